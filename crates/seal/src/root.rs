//! An account's master key, and the two things that hang from it: its root key and identity.
//!
//! Invariant: the master key is held only while unlocking and while unlockers change; what a
//! session keeps are epoch keys. The identity outlives a change of master key, because every
//! slot pins it.
//! Refs: specs/bw1.md §2.

use vocab::AccountId;

use crate::cwrap;
use crate::derive::derive;
use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::secret::Secret;
use crate::sign::{SigningKey, VerifyingKey};

/// Octets of a wrapped identity.
pub const IDENTITY_BOX_BYTES: usize = 32 + cwrap::OVERHEAD;

/// The key every unlocker leads to (`MRK`), in its generation.
pub struct MasterKey {
    account: AccountId,
    generation: u32,
    secret: Secret<32>,
}

impl MasterKey {
    /// A new account's master key, generation 1.
    #[must_use]
    pub fn generate(account: AccountId, entropy: &dyn Entropy) -> Self {
        Self { account, generation: 1, secret: Secret::random(entropy) }
    }

    /// The next generation: what the old one opened, once re-wrapped, it opens no longer.
    ///
    /// # Errors
    /// [`SealError::Parameter`] after 2³²-1 generations.
    pub fn next(&self, entropy: &dyn Entropy) -> Result<Self, SealError> {
        let generation = self.generation.checked_add(1).ok_or(SealError::Parameter)?;
        Ok(Self { account: self.account, generation, secret: Secret::random(entropy) })
    }

    pub(crate) fn from_octets(
        account: AccountId,
        generation: u32,
        octets: &[u8],
    ) -> Result<Self, OpenError> {
        let octets: &[u8; 32] = octets.try_into().map_err(|_| OpenError::Malformed)?;
        Ok(Self { account, generation, secret: Secret::copied(octets) })
    }

    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// How often it was replaced, from 1.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The commitment a manifest carries: no other master key has it.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        let generation = self.generation.to_be_bytes();
        *derive::<32>(&self.secret, "mrk com", &[&self.account.0, &generation]).expose()
    }

    /// The root key.
    #[must_use]
    pub fn root(&self) -> RootKey {
        let generation = self.generation.to_be_bytes();
        RootKey {
            account: self.account,
            secret: derive(&self.secret, "root", &[&self.account.0, &generation]),
        }
    }
}

/// The key under which epochs and the identity are wrapped (`K_root`).
pub struct RootKey {
    account: AccountId,
    secret: Secret<32>,
}

impl RootKey {
    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// Wraps the account's identity, for its manifest.
    ///
    /// # Errors
    /// As [`cwrap::wrap`].
    pub fn wrap_identity(
        &self,
        identity: &SigningKey,
        entropy: &dyn Entropy,
    ) -> Result<[u8; IDENTITY_BOX_BYTES], SealError> {
        let context: [&[u8]; 2] = [&self.account.0, &identity.public().0];
        cwrap::wrap(&self.secret, "identity", &context, identity.seed().expose(), entropy)?
            .try_into()
            .map_err(|_| SealError::Cipher)
    }

    /// Unwraps the identity and checks that it is `public`.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if it is not, or under another root key.
    pub fn unwrap_identity(
        &self,
        public: &VerifyingKey,
        wrapped: &[u8; IDENTITY_BOX_BYTES],
    ) -> Result<SigningKey, OpenError> {
        let seed = cwrap::unwrap(&self.secret, "identity", &[&self.account.0, &public.0], wrapped)?;
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| OpenError::Malformed)?;
        let identity =
            SigningKey::from_seed(Secret::copied(seed)).map_err(|_| OpenError::Malformed)?;
        if identity.public() == *public { Ok(identity) } else { Err(OpenError::Tampered) }
    }
}
