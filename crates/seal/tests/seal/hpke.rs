//! The published vectors of HPKE over X-Wing, and what they do not say about low order.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, Serializable};
use seal::hseal::{self, PublicKey, SecretKey};
use seal::{OpenError, Secret};
use serde_json::Value;

use crate::{fixed, hex, unhex, vectors};

fn load(name: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(vectors(name)).unwrap()).unwrap()
}

fn octets(value: &Value, field: &str) -> Vec<u8> {
    unhex(value[field].as_str().unwrap())
}

#[test]
fn the_hpke_pq_vectors_of_this_suite_open() {
    for vector in load("hpke/xwing-hkdf-sha256-chacha20poly1305.json") {
        let seed: [u8; 32] = octets(&vector, "skRm").try_into().unwrap();
        let key = SecretKey::from_seed(Secret::copied(&seed)).unwrap();
        assert_eq!(hex(key.public().as_bytes()), vector["pkRm"].as_str().unwrap());
        let key = <XWing as Kem>::PrivateKey::from_bytes(&seed).unwrap();
        let capsule = octets(&vector, "enc");
        let capsule = <XWing as Kem>::EncappedKey::from_bytes(&capsule).unwrap();
        let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &key,
            &capsule,
            &octets(&vector, "info"),
        )
        .unwrap();
        let encryptions = vector["encryptions"].as_array().unwrap();
        assert_eq!(encryptions.len(), 10);
        for each in encryptions {
            let plain = context.open(&octets(each, "ct"), &octets(each, "aad")).unwrap();
            assert_eq!(plain, octets(each, "pt"));
        }
        for each in vector["exports"].as_array().unwrap() {
            let mut out = vec![0; usize::try_from(each["L"].as_u64().unwrap()).unwrap()];
            context.export(&octets(each, "exporter_context"), &mut out).unwrap();
            assert_eq!(out, octets(each, "exported_value"));
        }
    }
}

#[test]
fn the_x_wing_vectors_give_these_public_keys() {
    for vector in load("hpke/xwing.json") {
        let seed: [u8; 32] = octets(&vector, "seed").try_into().unwrap();
        let key = <XWing as Kem>::PrivateKey::from_bytes(&seed).unwrap();
        assert_eq!(hex(&XWing::sk_to_pk(&key).to_bytes()), vector["pk"].as_str().unwrap());
        let ours = SecretKey::from_seed(Secret::copied(&seed)).unwrap();
        assert_eq!(hex(ours.public().as_bytes()), vector["pk"].as_str().unwrap());
    }
}

#[test]
fn a_seal_opens_only_with_its_key_label_and_context() {
    let entropy = fixed("hseal");
    let key = SecretKey::generate(&entropy).unwrap();
    let sealed = hseal::seal(&key.public(), "test", &[b"one"], b"text", &entropy).unwrap();
    assert_eq!(sealed.len(), 4 + hseal::OVERHEAD);
    assert_eq!(hseal::open(&key, "test", &[b"one"], &sealed).unwrap().as_slice(), b"text");
    let other = SecretKey::generate(&entropy).unwrap();
    for opened in [
        hseal::open(&other, "test", &[b"one"], &sealed),
        hseal::open(&key, "tesu", &[b"one"], &sealed),
        hseal::open(&key, "test", &[b"two"], &sealed),
        hseal::open(&key, "test", &[], &sealed),
        hseal::open(&key, "test", &[b"one"], &sealed[..sealed.len() - 1]),
    ] {
        assert_eq!(opened.err(), Some(OpenError::Tampered));
    }
    for altered in crate::flips(&sealed, &[0, 500, 1087, 1088, 1118, 1120, sealed.len() - 1]) {
        assert_eq!(hseal::open(&key, "test", &[b"one"], &altered).err(), Some(OpenError::Tampered));
    }
    assert_eq!(
        hseal::open(&key, "test", &[b"one"], &sealed[..9]).err(),
        Some(OpenError::Malformed)
    );
}

#[test]
fn a_low_order_share_is_refused_in_capsules_and_in_keys() {
    let entropy = fixed("low order");
    let key = SecretKey::generate(&entropy).unwrap();
    // A sender who knows that the X25519 half will be zero still makes a capsule that the
    // hpke crate opens; the same with this crate's check does not open.
    let mut weak = *key.public().as_bytes();
    weak[1184..].fill(0);
    assert!(matches!(PublicKey::decode(&weak), Err(OpenError::Malformed)));
    let mut sealed = hseal::seal(&key.public(), "test", &[], b"text", &entropy).unwrap();
    sealed[1088..1120].fill(0);
    sealed[1088] = 1;
    assert_eq!(hseal::open(&key, "test", &[], &sealed).err(), Some(OpenError::Tampered));
    assert!(PublicKey::decode(&weak[1..]).is_err());
    // ML-KEM-768 coefficients are below 3329 (FIPS 203 §7.2).
    let mut invalid = *key.public().as_bytes();
    invalid[..3].fill(0xff);
    assert!(PublicKey::decode(&invalid).is_err());
}
