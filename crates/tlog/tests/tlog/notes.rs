//! Signed notes, checkpoints and cosignatures. Refs: C2SP signed-note, tlog-checkpoint.

use crate::tlog::{
    Checkpoint, CheckpointError, CosignError, EMPTY_ROOT, KeyError, NoteError, NoteSigner,
    SIGNATURES_MAX, SignatureKind, SignedNote, VerifierKey, VerifyError,
};
use vocab::{Digest, Timestamp};

use crate::{NOW, ORIGIN, cosigner, signer};

/// C2SP signed-note, "Example".
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
/// C2SP tlog-cosignature, the example checkpoint (its keys are not published).
const SPEC_CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

#[test]
fn the_note_of_the_specification_verifies() {
    let key: VerifierKey = SPEC_KEY.parse().unwrap();
    assert_eq!(key.to_string(), SPEC_KEY);
    assert_eq!(key.name(), "example.com/foo");
    assert_eq!(key.kind(), SignatureKind::Ed25519);
    let note = SignedNote::parse(SPEC_NOTE.as_bytes()).unwrap();
    assert_eq!(note.encode(), SPEC_NOTE);
    let verified = note.verify([&key]).unwrap();
    assert_eq!(verified.text(), "This is an example message.\n");
    assert_eq!(verified.signed_by()[0].key, &key);
}

#[test]
fn the_checkpoint_of_the_specification_reads() {
    let note = SignedNote::parse(SPEC_CHECKPOINT.as_bytes()).unwrap();
    assert_eq!(note.encode(), SPEC_CHECKPOINT);
    assert_eq!(note.signatures()[1].name(), "witness.example.com/w1");
    let checkpoint = Checkpoint::parse(note.text_unverified()).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_string(), note.text_unverified());
}

#[test]
fn every_flipped_octet_of_a_signed_note_is_refused() {
    let key: VerifierKey = SPEC_KEY.parse().unwrap();
    for place in 0..SPEC_NOTE.len() {
        let mut octets = SPEC_NOTE.as_bytes().to_vec();
        octets[place] ^= 1;
        let accepted = SignedNote::parse(&octets).is_ok_and(|note| note.verify([&key]).is_ok());
        assert!(!accepted, "octet {place}");
    }
}

#[test]
fn a_note_keeps_blank_lines_in_its_text() {
    let text = "one\n\n\ntwo\n\n";
    let note = SignedNote::new(text, signer().sign(text).unwrap()).unwrap();
    let read = SignedNote::parse(note.encode().as_bytes()).unwrap();
    assert_eq!(read.text_unverified(), text);
    assert!(read.verify([signer().verifier_key()]).is_ok());
}

#[test]
fn malformed_notes_are_refused() {
    let line = "— example.com/foo Uw2QOkn8srU=\n";
    let cases: &[(&str, NoteError)] = &[
        ("", NoteError::Shape),
        ("text\n", NoteError::Shape),
        ("text\n\n", NoteError::Shape),
        (&format!("text\n{line}"), NoteError::Shape),
        (&format!("text\n\n{}", line.trim_end()), NoteError::Shape),
        (&format!("text\n\n{line}\n"), NoteError::Shape),
        (&format!("te\txt\n\n{line}"), NoteError::NotText),
        (&format!("te\rxt\n\n{line}"), NoteError::NotText),
        (&format!("te\0xt\n\n{line}"), NoteError::NotText),
        ("text\n\n- example.com/foo Uw2QOkn8srU=\n", NoteError::SignatureLine),
        ("text\n\n—  Uw2QOkn8srU=\n", NoteError::SignatureLine),
        ("text\n\n— a+b Uw2QOkn8srU=\n", NoteError::SignatureLine),
        ("text\n\n— a\u{2003}b Uw2QOkn8srU=\n", NoteError::SignatureLine),
        ("text\n\n— ab Uw2QOg==\n", NoteError::SignatureLine),
        ("text\n\n— ab Uw2QOkn8srU= x\n", NoteError::SignatureLine),
        ("text\n\n— ab !!!!\n", NoteError::SignatureLine),
    ];
    for (note, error) in cases {
        assert_eq!(SignedNote::parse(note.as_bytes()), Err(*error), "{note:?}");
    }
    assert_eq!(SignedNote::parse(b"te\xffxt\n\n- a\n"), Err(NoteError::NotText));
    assert_eq!(SignedNote::parse(&vec![b'\n'; 1 << 20]), Err(NoteError::TooLarge));
}

#[test]
fn sixteen_signatures_are_accepted_and_a_flood_is_not() {
    let line = "— example.com/foo Uw2QOkn8srU=\n";
    for count in [16, SIGNATURES_MAX] {
        assert!(SignedNote::parse(format!("text\n\n{}", line.repeat(count)).as_bytes()).is_ok());
    }
    assert_eq!(
        SignedNote::parse(format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1)).as_bytes()),
        Err(NoteError::TooManySignatures)
    );
}

#[test]
fn a_line_by_an_unknown_key_is_ignored_even_under_a_known_name() {
    let text = "text\n";
    let stranger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    let mut note = SignedNote::new(text, stranger.sign(text).unwrap()).unwrap();
    assert_eq!(note.verify([signer().verifier_key()]), Err(VerifyError::NoKnownKey));
    note.add(signer().sign(text).unwrap()).unwrap();
    assert_eq!(note.verify([signer().verifier_key()]).unwrap().signed_by().len(), 1);
}

#[test]
fn one_false_line_by_a_known_key_refuses_the_note() {
    let text = "text\n";
    let other = NoteSigner::from_seed("other.example", &[2; 32]).unwrap();
    let mut note = SignedNote::new(text, signer().sign(text).unwrap()).unwrap();
    note.add(other.sign("another text\n").unwrap()).unwrap();
    assert!(note.verify([signer().verifier_key()]).is_ok());
    assert_eq!(
        note.verify([signer().verifier_key(), other.verifier_key()]),
        Err(VerifyError::Invalid { name: "other.example".to_owned() })
    );
}

#[test]
fn a_second_false_line_by_the_same_key_refuses_the_note() {
    let text = "text\n";
    let good = signer().sign(text).unwrap().to_string();
    let bad = signer().sign("other\n").unwrap().to_string();
    for lines in [format!("{good}{bad}"), format!("{bad}{good}")] {
        let note = SignedNote::parse(format!("{text}\n{lines}").as_bytes()).unwrap();
        assert!(matches!(note.verify([signer().verifier_key()]), Err(VerifyError::Invalid { .. })));
    }
}

#[test]
fn signing_again_replaces_the_line() {
    let text = "text\n";
    let mut note = SignedNote::new(text, signer().sign(text).unwrap()).unwrap();
    note.add(signer().sign(text).unwrap()).unwrap();
    assert_eq!(note.signatures().len(), 1);
}

#[test]
fn malformed_keys_are_refused() {
    let key = signer().verifier_key().to_string();
    let (name, rest) = key.split_once('+').unwrap();
    let (id, blob) = rest.split_once('+').unwrap();
    let cases = [
        (String::new(), KeyError::Shape),
        (format!("{name}+{id}"), KeyError::Shape),
        (format!("+{id}+{blob}"), KeyError::Name),
        (format!("a b+{id}+{blob}"), KeyError::Name),
        (format!("{}+{id}+{blob}", "a".repeat(256)), KeyError::Name),
        (format!("another+{id}+{blob}"), KeyError::Id),
        (format!("{name}+{}+{blob}", id.to_uppercase()), KeyError::Id),
        (format!("{name}+00000000+{blob}"), KeyError::Id),
        (format!("{name}+{id}+{blob}="), KeyError::Shape),
        (format!("{name}+{id}+"), KeyError::Shape),
        (format!("{name}+{id}+AQAA"), KeyError::Length),
        (format!("{name}+{id}+BgAA"), KeyError::Kind(6)),
    ];
    for (vkey, error) in cases {
        assert_eq!(vkey.parse::<VerifierKey>(), Err(error), "{vkey}");
    }
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let cases = [
        (format!("\n1\n{root}\n"), CheckpointError::Origin),
        (format!("{}\n1\n{root}\n", "a".repeat(256)), CheckpointError::Origin),
        (format!("a\n01\n{root}\n"), CheckpointError::Size),
        (format!("a\n-1\n{root}\n"), CheckpointError::Size),
        (format!("a\n\n{root}\n"), CheckpointError::Size),
        (format!("a\n9223372036854775808\n{root}\n"), CheckpointError::Size),
        ("a\n1\nAAAA\n".to_owned(), CheckpointError::Root),
        (format!("a\n1\n{}\n", root.replace('U', "V")), CheckpointError::Root),
        (format!("a\n1\n{root}"), CheckpointError::Shape),
        ("a\n1\n".to_owned(), CheckpointError::Shape),
        (format!("a\n1\n{root}\n\n"), CheckpointError::Extension),
        (format!("a\n1\n{root}\nextension\n\n"), CheckpointError::Extension),
        (format!("a\n1\n{root}\nextension"), CheckpointError::Shape),
    ];
    for (text, error) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
    let extended = format!("a b\n0\n{root}\none\ntwo\n");
    assert_eq!(Checkpoint::parse(&extended).unwrap().to_string(), extended);
}

#[test]
fn a_checkpoint_is_signed_and_opened_only_under_its_own_origin() {
    let checkpoint = Checkpoint::new("elsewhere.example", 0, EMPTY_ROOT);
    assert_eq!(checkpoint.sign(&signer()), Err(CheckpointError::WrongOrigin));
    let text = checkpoint.to_string();
    let note = SignedNote::new(&text, signer().sign(&text).unwrap()).unwrap();
    assert_eq!(Checkpoint::open(&note, signer().verifier_key()), Err(CheckpointError::WrongOrigin));
    let ours = Checkpoint::new(ORIGIN, 3, Digest([7; 32]));
    assert_eq!(Checkpoint::open(&ours.sign(&signer()).unwrap(), signer().verifier_key()), Ok(ours));
}

#[test]
fn an_origin_cannot_smuggle_a_line() {
    let checkpoint = Checkpoint::new("a\n5", 0, EMPTY_ROOT);
    let signer = NoteSigner::from_seed("a\n5", &[1; 32]);
    assert_eq!(signer.err(), Some(KeyError::Name));
    assert!(Checkpoint::parse(&checkpoint.to_string()).is_err());
}

#[test]
fn a_cosignature_carries_its_time_and_nothing_else_verifies() {
    let mut note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    let witness = cosigner(1);
    note.add(witness.cosign(&note, NOW).unwrap()).unwrap();
    let keys = [signer().verifier_key().clone(), witness.verifier_key().clone()];
    let verified = note.verify(&keys).unwrap();
    assert_eq!(verified.signed_by()[1].time, Some(NOW));
    assert_eq!(verified.signed_by()[0].time, None);

    // The same line under another checkpoint is false.
    let other = Checkpoint::new(ORIGIN, 1, Digest([1; 32])).sign(&signer()).unwrap();
    let moved = other.encode() + &note.signatures()[1].to_string();
    let moved = SignedNote::parse(moved.as_bytes()).unwrap();
    assert!(matches!(moved.verify(&keys), Err(VerifyError::Invalid { .. })));
}

#[test]
fn the_newest_of_several_cosignatures_counts() {
    let note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    let witness = cosigner(1);
    let lines: String =
        [5, 9, 7].map(|time| witness.cosign(&note, Timestamp(time)).unwrap().to_string()).concat();
    let note = SignedNote::parse((note.encode() + &lines).as_bytes()).unwrap();
    let verified = note.verify([witness.verifier_key()]).unwrap();
    assert_eq!(verified.signed_by().len(), 1);
    assert_eq!(verified.signed_by()[0].time, Some(Timestamp(9)));
}

#[test]
fn only_a_checkpoint_is_cosigned_and_only_with_a_time() {
    let text = "not a checkpoint\n";
    let note = SignedNote::new(text, signer().sign(text).unwrap()).unwrap();
    assert!(matches!(cosigner(1).cosign(&note, NOW), Err(CosignError::NotACheckpoint(_))));
    let note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    for time in [0, 1 << 63, u64::MAX] {
        assert_eq!(cosigner(1).cosign(&note, Timestamp(time)), Err(CosignError::Time));
    }
}

#[test]
fn a_key_of_one_kind_does_not_answer_for_another() {
    let note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    let public_key = *signer().verifier_key().public_key();
    let as_cosigner = VerifierKey::new(ORIGIN, SignatureKind::Cosignature, public_key).unwrap();
    assert_ne!(as_cosigner.id(), signer().verifier_key().id());
    assert_eq!(note.verify([&as_cosigner]), Err(VerifyError::NoKnownKey));
}
