//! Every parser, on octets that are nearly right: no panic, and what is read is written back.

use proptest::prelude::*;

use crate::tlog::{
    AddCheckpoint, Checkpoint, Policy, Resource, SignedNote, TlogProof, VerifierKey, Witness,
    split_bundle,
};

use crate::{NOW, ORIGIN, cosigner, signer};

const PIECES: &[&str] = &[
    "\n",
    "\n\n",
    " ",
    "+",
    "—",
    "— ",
    "old 0\n",
    "old ",
    "0",
    "1",
    "01",
    "9223372036854775807",
    "18446744073709551616",
    "c2sp.org/tlog-proof@v1\n",
    "extra ",
    "extra AA==\n",
    "index 0\n",
    ORIGIN,
    "AA==",
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    "— a Uw2QOkn8srU=\n",
    "log ",
    "witness ",
    "group ",
    "quorum none\n",
    " all ",
    " any ",
    "#",
    "tile/",
    "tile/entries/",
    "x001/",
    "000",
    ".p/",
    "/",
    "checkpoint",
    "\t",
    "\r",
    "\0",
    "é",
    "\u{2003}",
];

fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn check(octets: &[u8]) {
    if let Ok(note) = SignedNote::parse(octets) {
        assert_eq!(note.encode().as_bytes(), octets);
        assert!(note.verify([signer().verifier_key()]).is_err());
    }
    if let Ok(proof) = TlogProof::parse(octets) {
        assert_eq!(proof.encode().as_bytes(), octets);
    }
    if let Ok(request) = AddCheckpoint::parse(octets) {
        assert_eq!(request.encode().as_bytes(), octets);
    }
    if let Ok(text) = core::str::from_utf8(octets) {
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_string(), text);
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        if let Ok(resource) = text.parse::<Resource>() {
            assert_eq!(resource.to_string(), text);
        }
    }
    let _read = Policy::parse(octets);
    for width in [0, 1, 256] {
        let _split = split_bundle(octets, width);
    }
    let mut witness = Witness::new(cosigner(1), [signer().verifier_key().clone()]);
    assert!(witness.restore(octets).is_err());
    assert!(matches!(witness.add_checkpoint(octets, NOW), crate::tlog::Outcome::Answer(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics_and_what_is_read_is_written_back(octets in nearly()) {
        check(&octets);
    }

    #[test]
    fn any_resource_path_is_read_back(level in 0_u8..64, index: u64, width in 1_u16..=256) {
        for resource in [Resource::Tile { level, index, width }, Resource::Entries { index, width }] {
            prop_assert_eq!(resource.to_string().parse(), Ok(resource));
        }
    }

    #[test]
    fn any_text_that_can_be_signed_is_read_back(text in "[a-z\\n— é]{0,40}") {
        let text = text + "\n";
        let note = SignedNote::new(&text, signer().sign(&text).unwrap()).unwrap();
        let read = SignedNote::parse(note.encode().as_bytes()).unwrap();
        prop_assert_eq!(read.text_unverified(), &text);
        prop_assert!(read.verify([signer().verifier_key()]).is_ok());
    }
}
