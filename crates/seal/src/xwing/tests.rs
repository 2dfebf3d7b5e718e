//! Published answers, and the `hpke` crate as a peer.

use std::sync::atomic::{AtomicU64, Ordering};

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::Entropy;
use crate::hseal::{self, SecretKey};
use crate::mac::sha256;

type Peer = hpke::aead::AeadCtxR<ChaCha20Poly1305, HkdfSha256, XWing>;

struct Seeded([u8; 32], AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.1.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let block = sha256(&[&self.0, &count]);
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }
}

fn seeded(seed: [u8; 32]) -> Seeded {
    Seeded(seed, AtomicU64::new(0))
}

/// What the `hpke` crate makes of a capsule, with no check of ours before it.
fn peer(seed: &[u8; 32], info: &[u8], capsule: &[u8]) -> Peer {
    let key = <XWing as Kem>::PrivateKey::from_bytes(seed).unwrap();
    let capsule = <XWing as Kem>::EncappedKey::from_bytes(capsule).unwrap();
    hpke::setup_receiver(&OpModeR::Base, &key, &capsule, info).unwrap()
}

fn ours(seed: &[u8; 32]) -> OpeningKey {
    OpeningKey::expand(&Secret::copied(seed)).unwrap()
}

fn load(name: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/hpke/");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}")).unwrap()).unwrap()
}

fn octets(value: &Value, field: &str) -> Vec<u8> {
    let text = value[field].as_str().unwrap().as_bytes();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.chunks(2).map(octet).collect()
}

#[test]
fn the_x_wing_vectors_give_these_secrets() {
    let vectors = load("xwing.json");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let key = ours(&octets(&vector, "seed").try_into().unwrap());
        assert_eq!(octets(&vector, "pk")[1184..], key.curve_public);
        let shared = key.decapsulate(&octets(&vector, "ct").try_into().unwrap()).unwrap();
        assert_eq!(shared.expose().as_slice(), octets(&vector, "ss"));
    }
}

#[test]
fn the_hpke_pq_vectors_of_this_suite_open() {
    let vectors = load("xwing-hkdf-sha256-chacha20poly1305.json");
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        assert_eq!(octets(&vector, "suite_id"), SUITE);
        let key = ours(&octets(&vector, "skRm").try_into().unwrap());
        let capsule = octets(&vector, "enc");
        let shared = key.decapsulate(&capsule.clone().try_into().unwrap()).unwrap();
        assert_eq!(shared.expose().as_slice(), octets(&vector, "shared_secret"));
        let (info, exporter) = (octets(&vector, "info"), octets(&vector, "exporter_secret"));
        assert_eq!(super::exporter(&shared, &info).expose().as_slice(), exporter);
        let exports = vector["exports"].as_array().unwrap();
        assert_eq!(exports.len(), 5);
        for each in exports {
            assert_eq!(each["L"], 32);
            let exported = key.export(&info, &capsule, &octets(each, "exporter_context")).unwrap();
            assert_eq!(exported.expose().as_slice(), octets(each, "exported_value"));
        }
    }
}

#[test]
fn a_capsule_of_another_length_is_refused() {
    let key = ours(&[1; 32]);
    for length in [0, 31, 1088, CAPSULE_BYTES - 1, CAPSULE_BYTES + 1] {
        assert!(matches!(key.export(b"", &vec![9; length], b""), Err(OpenError::Malformed)));
    }
}

/// The peer computes with a share of low order; neither way into this crate does.
#[test]
fn a_share_of_low_order_is_refused_though_it_would_open() {
    let seed = [5; 32];
    let (key, whole) = (ours(&seed), SecretKey::from_seed(Secret::copied(&seed)).unwrap());
    let sealed = hseal::seal(&whole.public(), "test", &[], b"text", &seeded([6; 32])).unwrap();
    let mut capsule: [u8; CAPSULE_BYTES] = sealed[..CAPSULE_BYTES].try_into().unwrap();
    for (low, top) in [(0, 0), (1, 0), (0, 0x80), (1, 0x80)] {
        capsule[LATTICE_BYTES..].fill(0);
        (capsule[LATTICE_BYTES], capsule[CAPSULE_BYTES - 1]) = (low, top);
        drop(peer(&seed, b"info", &capsule));
        assert!(matches!(key.export(b"info", &capsule, b""), Err(OpenError::Tampered)));
        assert!(matches!(hseal::receiver(&whole, b"info", &capsule), Err(OpenError::Tampered)));
    }
}

/// What can happen to a seal on its way: one octet anywhere, or none; and whether the share's
/// ignored top bit (RFC 7748 §5) is set, which X-Wing hashes all the same.
fn alteration() -> impl Strategy<Value = Option<(prop::sample::Index, u8)>> {
    prop::option::of((any::<prop::sample::Index>(), 1..=u8::MAX))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_export_the_same_of_a_capsule_altered_on_its_way(
        seed: [u8; 32],
        chance: [u8; 32],
        info in prop::collection::vec(any::<u8>(), 0..200),
        altered in alteration(),
        top: bool,
    ) {
        let whole = SecretKey::from_seed(Secret::copied(&seed)).unwrap();
        let (sender, mut capsule) =
            hseal::sender(&whole.public(), &info, &seeded(chance)).unwrap();
        if let Some((at, flip)) = altered {
            capsule[at.index(CAPSULE_BYTES)] ^= flip;
        }
        if top {
            capsule[CAPSULE_BYTES - 1] |= 0x80;
        }
        prop_assume!(!low_order(&capsule));
        // The same secret even of a capsule that nobody made (implicit rejection).
        let (mut sent, mut theirs) = ([0; 32], [0; 32]);
        peer(&seed, &info, &capsule).export(b"run", &mut theirs).unwrap();
        sender.export(b"run", &mut sent).unwrap();
        let mine = ours(&seed).export(&info, &capsule, b"run").unwrap();
        prop_assert_eq!(mine.expose(), &theirs);
        prop_assert_eq!(mine.expose() == &sent, altered.is_none() && !top);
    }

    #[test]
    fn both_make_the_same_of_any_capsule(
        seed: [u8; 32],
        capsule in prop::collection::vec(any::<u8>(), CAPSULE_BYTES),
    ) {
        prop_assume!(!low_order(&capsule));
        let mut exported = [0; 32];
        peer(&seed, b"", &capsule).export(b"", &mut exported).unwrap();
        let export = ours(&seed).export(b"", &capsule, b"").unwrap();
        prop_assert_eq!(&exported, export.expose());
    }
}
