//! Ed25519: an account's identity, a cell's ingest key, an officer's, the log's.
//!
//! Invariant: a private key is never printed, and every message signed by this crate begins
//! with a label that no other message begins with.
//! Refs: RFC 8032; specs/bw1.md §1.6.

use core::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::entropy::Entropy;
use crate::error::SealError;
use crate::memory::scrubbed;
use crate::secret::Secret;

/// A signature that is not this key's over this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not this key's over this message")]
pub struct BadSignature;

/// An Ed25519 private key: its seed, which is expanded for each signature and not kept so, since
/// the library's form of it lies in ordinary memory.
pub struct SigningKey {
    seed: Secret<32>,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key a seed stands for (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// Only if the library refuses 32 octets, which it does not.
    pub fn from_seed(seed: Secret<32>) -> Result<Self, SealError> {
        let pair = pair(&seed).ok_or(SealError::Parameter)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SealError::Parameter)?;
        Ok(Self { seed, public: VerifyingKey(public) })
    }

    /// A new key.
    ///
    /// # Errors
    /// As [`Self::from_seed`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        Self::from_seed(Secret::random(entropy))
    }

    /// The seed, for wrapping.
    #[must_use]
    pub fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    /// The signature over `message`.
    #[must_use]
    #[expect(clippy::expect_used, reason = "INVARIANT: `from_seed` made a pair of this very seed")]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        let signature =
            scrubbed::<8192, _>(|| pair(&self.seed).expect("the seed is a key's").sign(message));
        out.iter_mut().zip(signature.as_ref()).for_each(|(to, from)| *to = *from);
        out
    }
}

fn pair(seed: &Secret<32>) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerifyingKey(pub [u8; 32]);

impl VerifyingKey {
    /// Checks a signature.
    ///
    /// # Errors
    /// [`BadSignature`], whatever is wrong.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}
