//! Keys from keys: the two derivations every other format is built on.
//!
//! Invariant: no two uses share a label, and every context names what it is for, so that a
//! key derived for one thing opens nothing else.
//! Refs: specs/bw1.md §1.3; RFC 5869.

use aws_lc_rs::hmac::HMAC_SHA256;

use crate::mac::{HmacKey, expand};
use crate::memory::scrubbed;
use crate::secret::Secret;

/// What every label of this format begins with.
pub(crate) const PREFIX: &[u8] = b"bailiwick.v1 ";

/// `X(key, label, context, N)`: `N` octets that nobody without `key` can tell from chance.
///
/// `key` must be uniformly random; anything else goes through [`extract`] first.
#[must_use]
pub fn derive<const N: usize>(key: &Secret<32>, label: &str, context: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "RFC 5869 §2.3 limits the output to 255 blocks") };
    let mut info = Vec::with_capacity(context.len() + 3);
    info.extend([PREFIX, label.as_bytes(), &[0]]);
    info.extend_from_slice(context);
    Secret::filled(|out| {
        scrubbed::<4096, _>(|| expand(HMAC_SHA256, key.expose(), &info, out));
    })
}

/// A uniformly random key from unevenly random input: HKDF-Extract with this format's salt.
#[must_use]
pub fn extract(input: &[&[u8]]) -> Secret<32> {
    scrubbed::<4096, _>(|| Secret::take(&mut HmacKey::new(b"bailiwick.v1 extract").mac(input)))
}

/// `"bailiwick.v1 " ‖ label ‖ 0x00 ‖ context`, in one piece.
pub(crate) fn labelled(label: &str, context: &[&[u8]]) -> Vec<u8> {
    let mut out = [PREFIX, label.as_bytes(), &[0]].concat();
    context.iter().for_each(|part| out.extend_from_slice(part));
    out
}
