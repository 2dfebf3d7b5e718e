//! Trust policies. Refs: C2SP tlog-policy.

use crate::tlog::{
    Checkpoint, CheckpointError, EMPTY_ROOT, FUTURE_SECONDS_MAX, Freshness, NoteSigner, Policy,
    PolicyError, PolicyProblem, SignatureKind, SignedNote, Unsatisfied, VerifierKey, VerifyError,
};
use vocab::Timestamp;

use crate::{NOW, ORIGIN, cosigner, signer};

fn key(number: u8) -> String {
    cosigner(number).verifier_key().to_string()
}

/// The example policy of the specification: two of X1 to X3, and one of Y1 to Y3 (4 to 6).
fn example() -> String {
    format!(
        "# an example\nlog {}\n\nwitness X1 {}\n\twitness  X2 {} https://w2.example/\nwitness X3 {}\n\
         group X-witnesses 2 X1 X2 X3\nwitness Y1 {}\nwitness Y2 {}\nwitness Y3 {}\n\
         group Y-witnesses any Y1 Y2 Y3\n  # both\ngroup X-and-Y all X-witnesses Y-witnesses\n\
         quorum X-and-Y\n",
        signer().verifier_key(),
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
        key(6),
    )
}

fn note_with(witnesses: &[u8], at: Timestamp) -> SignedNote {
    let mut note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    for witness in witnesses {
        note.add(cosigner(*witness).cosign(&note, at).unwrap()).unwrap();
    }
    note
}

#[test]
fn the_quorum_of_the_example_is_counted() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    assert_eq!(policy.witnesses()[1].url.as_deref(), Some(b"https://w2.example/".as_slice()));
    for (witnesses, enough) in [
        (&[1, 2, 4][..], true),
        (&[2, 3, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[], false),
        (&[1, 2, 3], false),
        (&[1, 4, 5, 6], false),
        (&[1, 9, 4], false),
    ] {
        let note = note_with(witnesses, NOW);
        let judged = policy.satisfied(&note, None);
        if enough {
            let accepted = judged.unwrap();
            assert_eq!(accepted.checkpoint.size, 0);
            assert_eq!(accepted.log, signer().verifier_key());
            assert_eq!(accepted.witnesses.len(), witnesses.len());
        } else {
            assert_eq!(judged, Err(Unsatisfied::Quorum), "{witnesses:?}");
        }
    }
}

#[test]
fn only_cosignatures_young_enough_count() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let judge = |at: u64| {
        let freshness = Freshness { now: NOW, age_seconds_max: 72 * 3600 };
        policy.satisfied(&note_with(&[1, 2, 4], Timestamp(at)), Some(freshness)).map(|_| ())
    };
    assert_eq!(judge(NOW.0), Ok(()));
    assert_eq!(judge(NOW.0 - 72 * 3600), Ok(()));
    assert_eq!(judge(NOW.0 - 72 * 3600 - 1), Err(Unsatisfied::Quorum));
    assert_eq!(judge(NOW.0 + FUTURE_SECONDS_MAX), Ok(()));
    assert_eq!(judge(NOW.0 + FUTURE_SECONDS_MAX + 1), Err(Unsatisfied::Quorum));
    assert!(policy.satisfied(&note_with(&[1, 2, 4], Timestamp(1)), None).is_ok());
}

#[test]
fn no_witnesses_do_for_a_missing_log_signature() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let forger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    let mut note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&forger).unwrap();
    assert_eq!(policy.satisfied(&note, None), Err(Unsatisfied::Signature(VerifyError::NoKnownKey)));
    for witness in 1..=6 {
        note.add(cosigner(witness).cosign(&note, NOW).unwrap()).unwrap();
    }
    assert_eq!(policy.satisfied(&note, None), Err(Unsatisfied::Log));
}

#[test]
fn a_log_speaks_only_for_its_own_origin() {
    let policy = format!("log {}\nquorum none\n", signer().verifier_key());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let text = Checkpoint::new("log.us.example/acts", 0, EMPTY_ROOT).to_string();
    let note = SignedNote::new(&text, signer().sign(&text).unwrap()).unwrap();
    assert_eq!(policy.satisfied(&note, None), Err(Unsatisfied::Log));
    assert!(policy.satisfied(&note_with(&[], NOW), None).is_ok());
    let text = "a letter, not a checkpoint\n";
    let note = SignedNote::new(text, signer().sign(text).unwrap()).unwrap();
    assert_eq!(
        policy.satisfied(&note, None),
        Err(Unsatisfied::NotACheckpoint(CheckpointError::Shape))
    );
}

#[test]
fn one_false_cosignature_by_a_listed_witness_refuses_all() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let other = Checkpoint::new(ORIGIN, 1, EMPTY_ROOT).sign(&signer()).unwrap();
    let mut note = note_with(&[1, 2, 4], NOW);
    note.add(cosigner(5).cosign(&other, NOW).unwrap()).unwrap();
    assert!(matches!(
        policy.satisfied(&note, None),
        Err(Unsatisfied::Signature(VerifyError::Invalid { .. }))
    ));
}

#[test]
fn a_policy_without_logs_accepts_nothing() {
    let policy = Policy::parse(b"quorum none\n").unwrap();
    assert!(policy.satisfied(&note_with(&[1], NOW), None).is_err());
}

#[test]
fn malformed_policies_name_the_line() {
    let log = format!("log {}\n", signer().verifier_key());
    let witness = format!("witness A {}\n", key(1));
    let second = format!("witness B {}\n", key(2));
    let cosigner_key = cosigner(1);
    let renamed = VerifierKey::new(
        "another.example",
        SignatureKind::Cosignature,
        *cosigner_key.verifier_key().public_key(),
    )
    .unwrap();
    let many: String =
        (0..65).map(|number| format!("witness W{number} {}\n", key(number))).collect();
    use PolicyProblem as P;
    let cases: Vec<(String, usize, P)> = vec![
        (String::new(), 1, P::Quorum),
        (log.clone(), 1, P::Quorum),
        ("quorum none".into(), 1, P::Unterminated),
        ("quorum none\nquorum none\n".into(), 2, P::Quorum),
        ("quorum nobody\n".into(), 1, P::UnknownName),
        ("quorum none extra\n".into(), 1, P::Line),
        ("logs x\n".into(), 1, P::Line),
        ("log\n".into(), 1, P::Line),
        (format!("{log}{log}"), 2, P::DuplicateKey),
        (format!("{witness}witness B {}\n", key(1)), 2, P::DuplicateKey),
        (format!("{witness}witness B {renamed}\n"), 2, P::DuplicateKey),
        (format!("{witness}witness A {}\n", key(2)), 2, P::DuplicateName),
        (format!("witness none {}\n", key(1)), 1, P::DuplicateName),
        (format!("witness A {}\n", signer().verifier_key()), 1, P::KeyKind),
        (format!("{witness}group G 2 A\n"), 2, P::Threshold),
        (format!("{witness}group G 0 A\n"), 2, P::Threshold),
        (format!("{witness}group G 01 A\n"), 2, P::Threshold),
        (format!("{witness}group G some A\n"), 2, P::Threshold),
        (format!("{witness}group G all\n"), 2, P::Threshold),
        (format!("{witness}group G any A B\n"), 2, P::UnknownName),
        (format!("{witness}group G any G\n"), 2, P::UnknownName),
        (format!("{witness}group G any none\n"), 2, P::UnknownName),
        (format!("{witness}group G any A A\n"), 2, P::DuplicateMember),
        (format!("{witness}{second}group G any A B\ngroup H any G A\n"), 4, P::DuplicateMember),
        (format!("{witness}group A any A\n"), 2, P::DuplicateName),
        ("quorum none\r\n".into(), 1, P::Control),
        ("quorum\u{7f}none\n".into(), 1, P::Control),
        (many, 65, P::TooMany),
        ("#".repeat(70_000), 1, P::TooLarge),
    ];
    for (text, line, problem) in cases {
        assert_eq!(Policy::parse(text.as_bytes()), Err(PolicyError { line, problem }), "{text}");
    }
    assert!(matches!(
        Policy::parse(b"log nonsense\n"),
        Err(PolicyError { line: 1, problem: PolicyProblem::Key(_) })
    ));
}

#[test]
fn names_are_opaque_octets() {
    let text = [b"witness \xff ".as_slice(), key(1).as_bytes(), b"\nquorum \xff\n"].concat();
    assert_eq!(Policy::parse(&text).unwrap().witnesses()[0].name, b"\xff");
}
