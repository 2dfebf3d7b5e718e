//! The offline proof. Refs: C2SP tlog-proof.

use crate::tlog::{
    Policy, ProofError, ProofRefused, TlogProof, TlogProofError, Unsatisfied, inclusion_proof,
    leaf_hash,
};

use crate::{NOW, cosigner, entry, log_of, signer};

fn policy() -> Policy {
    let (log, witness) = (signer(), cosigner(1));
    let (log, witness) = (log.verifier_key(), witness.verifier_key());
    Policy::parse(format!("log {log}\nwitness W {witness}\nquorum W\n").as_bytes()).unwrap()
}

fn receipt(index: u64) -> TlogProof {
    let (log, files) = log_of(600);
    let mut note = log.checkpoint().sign(&signer()).unwrap();
    note.add(cosigner(1).cosign(&note, NOW).unwrap()).unwrap();
    let path = inclusion_proof(&files, 600, index).unwrap();
    TlogProof { extra: Some(b"a salt".to_vec()), index, path, note }
}

#[test]
fn a_receipt_is_written_read_and_verified() {
    for index in [0, 255, 256, 599] {
        let receipt = receipt(index);
        let text = receipt.encode();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra YSBzYWx0\nindex "));
        let read = TlogProof::parse(text.as_bytes()).unwrap();
        assert_eq!(read, receipt);
        let policy = policy();
        let accepted = read.verify(&leaf_hash(&entry(index)), &policy, None).unwrap();
        assert_eq!(accepted.checkpoint.size, 600);
        assert_eq!(accepted.witnesses[0].1, NOW);
    }
}

#[test]
fn a_receipt_is_for_one_entry_at_one_place() {
    let policy = policy();
    let receipt = receipt(7);
    assert_eq!(
        receipt.verify(&leaf_hash(&entry(8)), &policy, None),
        Err(ProofRefused::Inclusion(ProofError::Root))
    );
    let mut moved = receipt.clone();
    moved.index = 6;
    assert!(moved.verify(&leaf_hash(&entry(7)), &policy, None).is_err());
    moved.index = 600;
    assert_eq!(
        moved.verify(&leaf_hash(&entry(7)), &policy, None),
        Err(ProofRefused::Inclusion(ProofError::Range))
    );
}

#[test]
fn a_receipt_without_its_witness_is_refused() {
    let receipt = receipt(7);
    let mut lines: Vec<&str> = Vec::new();
    let text = receipt.encode();
    lines.extend(text.lines().filter(|line| !line.starts_with("— witness")));
    let stripped = TlogProof::parse((lines.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!(
        stripped.verify(&leaf_hash(&entry(7)), &policy(), None),
        Err(ProofRefused::Policy(Unsatisfied::Quorum))
    );
}

#[test]
fn every_flipped_octet_of_a_receipt_but_of_its_extra_is_refused() {
    let policy = policy();
    let text = receipt(7).encode();
    let extra = text.find("extra ").unwrap()..text.find("index ").unwrap();
    for place in (0..text.len()).filter(|place| !extra.contains(place)) {
        let mut octets = text.clone().into_bytes();
        octets[place] ^= 1;
        let accepted = TlogProof::parse(&octets)
            .is_ok_and(|proof| proof.verify(&leaf_hash(&entry(7)), &policy, None).is_ok());
        assert!(!accepted, "octet {place}");
    }
}

#[test]
fn malformed_receipts_are_refused() {
    let good = receipt(7).encode();
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let flood = good.replace("index 7\n", &format!("index 7\n{}", hash.repeat(60)));
    for (text, error) in [
        (String::new(), TlogProofError::Header),
        (good.replace("@v1", "@v2"), TlogProofError::Header),
        (good.replace("extra Y", "extra !"), TlogProofError::Line),
        (good.replace("extra ", "Extra "), TlogProofError::Line),
        (good.replace("index 7", "index 07"), TlogProofError::Line),
        (good.replace("index 7\n", ""), TlogProofError::Line),
        (good.replace("index 7\n", "index 7\nindex 7\n"), TlogProofError::Line),
        (flood, TlogProofError::TooManyHashes),
        ("x".repeat(1 << 20), TlogProofError::TooLarge),
    ] {
        assert_eq!(TlogProof::parse(text.as_bytes()), Err(error), "{text:.80}");
    }
    assert!(matches!(TlogProof::parse(good.trim_end().as_bytes()), Err(TlogProofError::Note(_))));
    let bare = good.replace("extra YSBzYWx0\n", "");
    let read = TlogProof::parse(bare.as_bytes()).unwrap();
    assert_eq!(read.extra, None);
    assert_eq!(read.encode(), bare);
    assert!(read.verify(&leaf_hash(&entry(7)), &policy(), None).is_ok());
}
