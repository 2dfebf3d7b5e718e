//! Small secrets under a key, so that only one key can ever open them.
//!
//! Invariant: the commitment is compared before anything is decrypted, so no ciphertext opens
//! under two keys (no partitioning oracle).
//! Refs: specs/bw1.md §1.5.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::derive::derive;
use crate::entropy::{Entropy, draw};
use crate::error::{OpenError, SealError};
use crate::memory::scrubbed;
use crate::secret::{Secret, same};
use crate::wire::Reader;

/// How much longer a wrap is than what it holds: salt 24, commitment 32, tag 16.
pub const OVERHEAD: usize = 72;

/// The cipher key, its nonce and the commitment for one salt.
fn keys(key: &Secret<32>, label: &str, salt: &[u8; 24], context: &[&[u8]]) -> Option<Keys> {
    let mut parts = Vec::with_capacity(context.len() + 1);
    parts.push(salt.as_slice());
    parts.extend_from_slice(context);
    let derived: Secret<76> = derive(key, label, &parts);
    let (cipher, rest) = derived.expose().split_first_chunk::<32>()?;
    let (nonce, commitment) = rest.split_first_chunk::<12>()?;
    Some(Keys {
        cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher).ok()?),
        nonce: *nonce,
        commitment: *commitment.first_chunk()?,
    })
}

struct Keys {
    cipher: LessSafeKey,
    nonce: [u8; 12],
    commitment: [u8; 32],
}

/// `CWrap(key, label, context, plain)`: `salt[24] ‖ commitment[32] ‖ AES-256-GCM`.
///
/// # Errors
/// Only if the cipher refuses, which it does not below 64 GiB.
pub fn wrap(
    key: &Secret<32>,
    label: &str,
    context: &[&[u8]],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let salt = draw(entropy);
    let keys = keys(key, label, &salt, context).ok_or(SealError::Cipher)?;
    let mut sealed = Zeroizing::new(plain.to_vec());
    let nonce = Nonce::assume_unique_for_key(keys.nonce);
    let tag = keys
        .cipher
        .seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed)
        .map_err(|_| SealError::Cipher)?;
    Ok([&salt, keys.commitment.as_slice(), &sealed, tag.as_ref()].concat())
}

/// Undoes [`wrap`].
///
/// # Errors
/// [`OpenError::Malformed`] if too short; [`OpenError::Tampered`] if the commitment or the tag
/// does not fit.
pub fn unwrap(
    key: &Secret<32>,
    label: &str,
    context: &[&[u8]],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut reader = Reader::new(wrapped);
    let salt = reader.array()?;
    let commitment: [u8; 32] = reader.array()?;
    let sealed = reader.all_but(16)?;
    let tag: [u8; 16] = reader.array()?;
    let keys = scrubbed::<4096, _>(|| keys(key, label, &salt, context));
    let keys = keys.ok_or(OpenError::Tampered)?;
    if !same(&keys.commitment, &commitment) {
        return Err(OpenError::Tampered);
    }
    let mut plain = Zeroizing::new(vec![0; sealed.len()]);
    let nonce = Nonce::assume_unique_for_key(keys.nonce);
    keys.cipher
        .open_separate_gather(nonce, Aad::empty(), sealed, &tag, &mut plain)
        .map_err(|_| OpenError::Tampered)?;
    Ok(plain)
}
