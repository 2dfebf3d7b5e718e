//! Holders: the keys of trustees, vault officers and receipt guards.
//!
//! Invariant: a holder keeps a key, never a share; deleting an escrow record revokes what the
//! key could open.
//! Refs: specs/bw1.md §6.1.

use core::fmt;
use core::str::FromStr;

use vocab::HolderId;
use zeroize::Zeroizing;

use crate::bech32;
use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::hseal::{PublicKey, SecretKey};
use crate::secret::Secret;

const PUBLIC_HRP: &str = "bwholder";
const SECRET_HRP: &str = "bwholder-secret-key-";

/// A text that is not a holder's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a holder's key of this kind")]
pub struct ParseHolderError;

/// A holder's private key: an X-Wing seed.
pub struct HolderKey(SecretKey);

/// A holder's public key, as the cell's register keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct HolderPublic(PublicKey);

/// A holder, as a policy names one.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which holder.
    pub id: HolderId,
    /// Its public key.
    pub key: HolderPublic,
}

impl HolderKey {
    /// A new key.
    ///
    /// # Errors
    /// Only if the `hpke` crate refuses, which it does not.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        SecretKey::generate(entropy).map(Self)
    }

    /// Reads `BWHOLDER-SECRET-KEY-1…`.
    ///
    /// # Errors
    /// [`ParseHolderError`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, ParseHolderError> {
        let bytes = bech32::decode(SECRET_HRP, text.trim()).ok_or(ParseHolderError)?;
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| ParseHolderError)?;
        SecretKey::from_seed(Secret::copied(seed)).map(Self).map_err(|_| ParseHolderError)
    }

    /// The key as text, for the holder's own key file and nowhere else.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let text = bech32::encode(SECRET_HRP, self.0.seed().expose());
        Zeroizing::new(text.to_ascii_uppercase())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> HolderPublic {
        HolderPublic(self.0.public())
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.0
    }
}

impl HolderPublic {
    /// Reads a key's 1216 octets.
    ///
    /// # Errors
    /// As [`PublicKey::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        PublicKey::decode(bytes).map(Self)
    }

    /// The key's octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.0
    }
}

impl fmt::Display for HolderPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PUBLIC_HRP, self.0.as_bytes()))
    }
}

impl fmt::Debug for HolderPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderPublic({})", crate::mac::sha256(&[self.0.as_bytes()]))
    }
}

impl FromStr for HolderPublic {
    type Err = ParseHolderError;

    fn from_str(text: &str) -> Result<Self, ParseHolderError> {
        let bytes = bech32::decode(PUBLIC_HRP, text.trim()).ok_or(ParseHolderError)?;
        Self::decode(&bytes).map_err(|_| ParseHolderError)
    }
}
