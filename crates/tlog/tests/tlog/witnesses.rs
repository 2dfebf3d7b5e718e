//! The witness, asked honestly and dishonestly. Refs: C2SP tlog-witness.

use crate::tlog::{
    AddCheckpoint, Answer, Checkpoint, EMPTY_ROOT, Log, NoteSignature, NoteSigner, Outcome,
    ResponseError, RestoreError, SignedNote, Witness, WitnessAnswer, consistency_proof, leaf_hash,
    read_answer,
};
use vocab::{Digest, Timestamp};

use crate::{Files, NOW, ORIGIN, cosigner, grow, log_of, signer};

fn witness() -> Witness {
    Witness::new(cosigner(1), [signer().verifier_key().clone()])
}

fn note(log: &Log) -> SignedNote {
    log.checkpoint().sign(&signer()).unwrap()
}

fn request(old_size: u64, log: &Log, files: &Files) -> AddCheckpoint {
    let size = log.checkpoint().size;
    let proof = consistency_proof(files, old_size.min(size), size).unwrap();
    AddCheckpoint { old_size, proof, note: note(log) }
}

/// Asks, stores and answers. The stored record comes back too.
fn ask(witness: &mut Witness, request: &str) -> (Answer, Option<Vec<u8>>) {
    match witness.add_checkpoint(request.as_bytes(), NOW) {
        Outcome::Answer(answer) => (answer, None),
        Outcome::Persist(pending) => {
            let record = pending.record().note.encode().into_bytes();
            assert_eq!(pending.record().origin, ORIGIN);
            (witness.persisted(*pending), Some(record))
        }
    }
}

fn status(witness: &mut Witness, request: &str) -> u16 {
    ask(witness, request).0.status
}

#[test]
fn a_growing_log_is_cosigned_and_the_log_can_use_it() {
    let (mut log, mut files) = log_of(0);
    let mut witness = witness();
    let mut old = 0;
    for count in [5, 1, 300, 900] {
        grow(&mut log, &mut files, count);
        let request = request(old, &log, &files);
        let (answer, record) = ask(&mut witness, &request.encode());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let keys = [witness.verifier_key().clone()];
        let read = read_answer(200, answer.body.as_bytes(), &request.note, &keys).unwrap();
        let WitnessAnswer::Cosigned(lines) = read else { panic!("not cosigned") };
        let mut published = request.note.clone();
        published.add(lines[0].clone()).unwrap();
        let verified = published.verify(&keys).unwrap();
        assert_eq!(verified.signed_by()[0].time, Some(NOW));
        assert_eq!(record.unwrap(), published.encode().into_bytes());
        old = log.checkpoint().size;
    }
}

#[test]
fn the_same_checkpoint_is_cosigned_again() {
    let (log, files) = log_of(5);
    let mut witness = witness();
    assert_eq!(status(&mut witness, &request(0, &log, &files).encode()), 200);
    assert_eq!(status(&mut witness, &request(5, &log, &files).encode()), 200);
}

#[test]
fn an_empty_log_is_cosigned_only_with_the_empty_root() {
    let (log, files) = log_of(0);
    assert_eq!(status(&mut witness(), &request(0, &log, &files).encode()), 200);
    let mut wrong = request(0, &log, &files);
    wrong.note = Checkpoint::new(ORIGIN, 0, Digest([1; 32])).sign(&signer()).unwrap();
    assert_eq!(status(&mut witness(), &wrong.encode()), 422);
}

#[test]
fn a_malformed_request_is_400() {
    let (log, files) = log_of(5);
    let good = request(0, &log, &files).encode();
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    for bad in [
        String::new(),
        "old 0\n".to_owned(),
        good.replace("old 0", "old 00"),
        good.replace("old 0", "old -1"),
        good.replace("old 0", "old  0"),
        good.replace("old 0", "size 0"),
        good.replace("old 0\n", "old 0"),
        good.replace("old 0\n", "old 0\nnot a hash\n"),
        good.replace("old 0\n", &format!("old 0\n{}", hash.repeat(64))),
        good.replace("\n\n— ", "\n— "),
        good.replace("\n5\n", "\n05\n"),
        good.trim_end().to_owned(),
        good.replace("old 0", "old 6"),
        "x".repeat(1 << 20),
    ] {
        assert_eq!(status(&mut witness(), &bad), 400, "{bad:?}");
    }
    assert_eq!(status(&mut witness(), &good), 200);
}

#[test]
fn an_unknown_log_is_404() {
    let stranger = NoteSigner::from_seed("log.us.example/acts", &[2; 32]).unwrap();
    let (log, _) = Log::create(stranger).unwrap();
    let stranger = NoteSigner::from_seed("log.us.example/acts", &[2; 32]).unwrap();
    let note = log.checkpoint().sign(&stranger).unwrap();
    let request = AddCheckpoint { old_size: 0, proof: vec![], note };
    assert_eq!(status(&mut witness(), &request.encode()), 404);
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign_is_403() {
    let (log, files) = log_of(5);
    let mut request = request(0, &log, &files);
    let forger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    request.note = log.checkpoint().sign(&forger).unwrap();
    assert_eq!(status(&mut witness(), &request.encode()), 403);
    // A known key's line that is false.
    let good = note(&log);
    let forged = good.encode().replace("\n5\n", "\n6\n");
    request.note = SignedNote::parse(forged.as_bytes()).unwrap();
    assert_eq!(status(&mut witness(), &request.encode()), 403);
    // A signature over the same text that is not over a checkpoint of the origin's key.
    let text = good.text_unverified().to_owned();
    request.note = SignedNote::new(&text, cosigner(1).cosign(&good, NOW).unwrap()).unwrap();
    assert_eq!(status(&mut witness(), &request.encode()), 403);
}

#[test]
fn a_wrong_old_size_is_409_and_names_the_right_one() {
    let (mut log, mut files) = log_of(5);
    let mut witness = witness();
    let (answer, _) = ask(&mut witness, &request(3, &log, &files).encode());
    assert_eq!((answer.status, answer.body.as_str()), (409, "0\n"));
    assert_eq!(answer.content_type, "text/x.tlog.size");
    assert_eq!(status(&mut witness, &request(0, &log, &files).encode()), 200);
    grow(&mut log, &mut files, 4);
    let note = note(&log);
    let (answer, _) = ask(&mut witness, &request(0, &log, &files).encode());
    assert_eq!(
        read_answer(answer.status, answer.body.as_bytes(), &note, &[]),
        Ok(WitnessAnswer::Conflict { size: 5 })
    );
    assert_eq!(status(&mut witness, &request(5, &log, &files).encode()), 200);
}

#[test]
fn a_rollback_is_never_cosigned() {
    let (mut log, mut files) = log_of(5);
    let early = request(0, &log, &files);
    grow(&mut log, &mut files, 4);
    let mut witness = witness();
    assert_eq!(status(&mut witness, &request(0, &log, &files).encode()), 200);
    assert_eq!(status(&mut witness, &early.encode()), 409);
    let mut early = early;
    early.old_size = 9;
    assert_eq!(status(&mut witness, &early.encode()), 400);
}

#[test]
fn a_fork_is_422() {
    let (mut log, mut files) = log_of(5);
    let mut witness = witness();
    assert_eq!(status(&mut witness, &request(0, &log, &files).encode()), 200);
    grow(&mut log, &mut files, 4);

    let (mut fork, mut fork_files) = log_of(4);
    let other = fork.sequence(&[b"another history"]).unwrap();
    crate::store(&mut fork_files, &other.writes);
    // The same size with another root.
    assert_eq!(status(&mut witness, &request(5, &fork, &fork_files).encode()), 422);
    // A larger tree that does not hold the first.
    grow(&mut fork, &mut fork_files, 4);
    assert_eq!(status(&mut witness, &request(5, &fork, &fork_files).encode()), 422);
    // Nor with the honest log's proof, nor with any octet of a proof changed.
    let honest = request(5, &log, &files);
    let mixed = AddCheckpoint { note: note(&fork), ..honest.clone() };
    assert_eq!(status(&mut witness, &mixed.encode()), 422);
    for place in 0..honest.proof.len() {
        let mut forged = honest.clone();
        forged.proof[place].0[0] ^= 1;
        assert_eq!(status(&mut witness, &forged.encode()), 422);
        forged.proof.remove(place);
        assert_eq!(status(&mut witness, &forged.encode()), 422);
    }
    assert_eq!(status(&mut witness, &honest.encode()), 200);
}

#[test]
fn a_proof_from_zero_is_422() {
    let (log, files) = log_of(5);
    let mut request = request(0, &log, &files);
    request.proof = vec![EMPTY_ROOT];
    assert_eq!(status(&mut witness(), &request.encode()), 422);
}

#[test]
fn a_witness_without_a_clock_does_not_cosign() {
    let (log, files) = log_of(5);
    let request = request(0, &log, &files).encode();
    let outcome = witness().add_checkpoint(request.as_bytes(), Timestamp(0));
    assert!(matches!(outcome, Outcome::Answer(Answer { status: 500, .. })));
}

#[test]
fn a_restarted_witness_remembers() {
    let (log, files) = log_of(5);
    let request = request(0, &log, &files).encode();
    let (_, record) = ask(&mut witness(), &request);
    let record = record.unwrap();
    let mut restarted = witness();
    restarted.restore(&record).unwrap();
    assert_eq!(ask(&mut restarted, &request).0.body, "5\n");
    assert_eq!(restarted.restore(&record), Err(RestoreError::Duplicate));

    let mut octets = record.clone();
    let place = octets.iter().position(|octet| *octet == b'5').unwrap();
    octets[place] = b'4';
    assert!(matches!(witness().restore(&octets), Err(RestoreError::Signature(_))));
    assert!(matches!(witness().restore(b"nothing"), Err(RestoreError::Note(_))));
    let uncosigned = note(&log).encode();
    assert!(matches!(witness().restore(uncosigned.as_bytes()), Err(RestoreError::Signature(_))));
}

#[test]
fn of_two_requests_judged_at_once_only_one_is_answered() {
    let (mut log, mut files) = log_of(5);
    let small = request(0, &log, &files).encode();
    grow(&mut log, &mut files, 4);
    let large = request(0, &log, &files).encode();
    let mut witness = witness();
    let Outcome::Persist(first) = witness.add_checkpoint(small.as_bytes(), NOW) else { panic!() };
    let Outcome::Persist(second) = witness.add_checkpoint(large.as_bytes(), NOW) else { panic!() };
    assert_eq!(witness.persisted(*second).status, 200);
    let answer = witness.persisted(*first);
    assert_eq!((answer.status, answer.body.as_str()), (409, "9\n"));
}

#[test]
fn the_monitor_gets_the_logs_line_and_the_witnesss_and_no_others() {
    let (log, files) = log_of(5);
    let mut request = request(0, &log, &files);
    request.note.add(cosigner(2).cosign(&request.note, NOW).unwrap()).unwrap();
    let mut witness = witness();
    let Outcome::Persist(pending) = witness.add_checkpoint(request.encode().as_bytes(), NOW) else {
        panic!()
    };
    let key = pending.record().key();
    assert_eq!(witness.checkpoint(&key), None);
    assert_eq!(witness.persisted(*pending).status, 200);
    let served = SignedNote::parse(witness.checkpoint(&key).unwrap().as_bytes()).unwrap();
    let names: Vec<&str> = served.signatures().iter().map(NoteSignature::name).collect();
    assert_eq!(names, [ORIGIN, "witness.example/w1"]);
    assert_eq!(witness.checkpoint(&leaf_hash(b"")), None);
}

#[test]
fn a_log_believes_no_witness_that_it_did_not_ask() {
    let (log, _) = log_of(5);
    let note = note(&log);
    let line = |number| cosigner(number).cosign(&note, NOW).unwrap().to_string();
    let keys = [cosigner(1).verifier_key().clone()];
    let read = |status, body: &str| read_answer(status, body.as_bytes(), &note, &keys);

    assert!(matches!(read(200, &line(2)), Err(ResponseError::Signature(_))));
    let Ok(WitnessAnswer::Cosigned(lines)) = read(200, &(line(2) + &line(1))) else { panic!() };
    assert_eq!(lines.len(), 1);
    let other = Checkpoint::new(ORIGIN, 6, EMPTY_ROOT).sign(&signer()).unwrap();
    let false_line = cosigner(1).cosign(&other, NOW).unwrap().to_string();
    assert!(matches!(read(200, &false_line), Err(ResponseError::Signature(_))));
    for body in ["", "\n", "hello\n", &line(1).replace('\n', "")] {
        assert!(matches!(read(200, body), Err(ResponseError::Lines(_))), "{body:?}");
    }
    for body in ["", "5", "05\n", "5\n\n", "five\n"] {
        assert_eq!(read(409, body), Err(ResponseError::Malformed), "{body:?}");
    }
    assert_eq!(read(422, "no\n"), Ok(WitnessAnswer::Refused { status: 422 }));
    // A plain signature of the log's own is no cosignature, whatever list it is on.
    let log_key = [signer().verifier_key().clone()];
    let own = signer().sign(note.text_unverified()).unwrap().to_string();
    assert!(read_answer(200, own.as_bytes(), &note, &log_key).is_err());
}
