//! Grants: the epoch keys a session needs, and nothing that changes an unlocker.
//!
//! The owner's program, which alone has the master key, makes one for the server's session: sealed
//! to the session's key on the way, and under the session's token where it is kept.
//!
//! Invariant: no master key, no root key and no identity is in it. It says of which cell, account,
//! unlocker and generation it is, and when it ends; sealed or wrapped, it is bound to its session.
//! Refs: specs/session.md §1, §2; design §3.6.

use vocab::{AccountId, CellId, Epoch, EpochVersion, SlotId, Timestamp};
use zeroize::Zeroizing;

use crate::cwrap;
use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::hseal::{self, PublicKey, SecretKey};
use crate::secret::Secret;
use crate::slot::Scope;
use crate::wire::Reader;

/// The most epochs one may hold, each version counted: what a manifest may list.
pub const EPOCHS_MAX: usize = 4800;
const MARK: &[u8; 8] = b"BWGRANT1";
const HEAD_BYTES: usize = 8 + 16 + 16 + 16 + 4 + 1 + 8 + 2;
const EPOCH_BYTES: usize = 4 + 4 + 64;

/// What a session may do, for how long, and with which keys.
pub struct Grant {
    /// The cell it is for.
    pub cell: CellId,
    /// Whose.
    pub account: AccountId,
    /// The unlocker that opened it.
    pub slot: SlotId,
    /// The generation of the master key it was made under.
    pub generation: u32,
    /// What the session may do.
    pub scope: Scope,
    /// When it ends.
    pub expires: Timestamp,
    /// Ascending by number and version.
    pub epochs: Vec<GrantedEpoch>,
}

/// One epoch's keys.
pub struct GrantedEpoch {
    /// Which month.
    pub epoch: Epoch,
    /// Which re-keying of it.
    pub version: EpochVersion,
    /// `sk ‖ EK`. Whether they are the epoch's, [`crate::epoch::EpochRecord::keys`] says.
    pub keys: Secret<64>,
}

impl Grant {
    /// Its one encoding (specs/session.md §1).
    ///
    /// # Errors
    /// [`SealError::TooLong`] for more than [`EPOCHS_MAX`] epochs.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let count = self.epochs.len();
        let number = u16::try_from(count).map_err(|_| SealError::TooLong)?;
        if count > EPOCHS_MAX {
            return Err(SealError::TooLong);
        }
        // At once as long as it gets, so that no copy is left by growing.
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + count * EPOCH_BYTES));
        for part in [MARK.as_slice(), &self.cell.0, &self.account.0, &self.slot.0] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.push(self.scope.0);
        out.extend_from_slice(&self.expires.0.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        for granted in &self.epochs {
            out.extend_from_slice(&granted.epoch.0.to_be_bytes());
            out.extend_from_slice(&granted.version.0.to_be_bytes());
            out.extend_from_slice(granted.keys.expose());
        }
        Ok(out)
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless exactly one grant, its epochs ascending, its scope one that
    /// a session may have: never [`Scope::SUDO`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        reader.mark(MARK)?;
        let (cell, account) = (CellId(reader.array()?), AccountId(reader.array()?));
        let (slot, generation) = (SlotId(reader.array()?), reader.u32()?);
        let (scope, expires) = (Scope(reader.u8()?), Timestamp(reader.u64()?));
        let count = usize::from(reader.u16()?);
        if count > EPOCHS_MAX || scope.contains(Scope::SUDO) || !Scope::ALL.contains(scope) {
            return Err(OpenError::Malformed);
        }
        let mut epochs = Vec::with_capacity(count);
        for _ in 0..count {
            let (epoch, version) = (Epoch(reader.u32()?), EpochVersion(reader.u32()?));
            let keys = Secret::take(&mut Zeroizing::new(reader.array::<64>()?));
            epochs.push(GrantedEpoch { epoch, version, keys });
        }
        reader.end()?;
        let place = |granted: &GrantedEpoch| (granted.epoch, granted.version);
        if !epochs.is_sorted_by(|before, after| place(before) < place(after)) {
            return Err(OpenError::Malformed);
        }
        Ok(Self { cell, account, slot, generation, scope, expires, epochs })
    }

    /// Seals it to a session's key. `session` is the session's identifier.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and [`hseal::seal`].
    pub fn seal(
        &self,
        to: &PublicKey,
        session: &[u8; 16],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let context: [&[u8]; 4] = [&self.cell.0, &self.account.0, &self.slot.0, session];
        hseal::seal(to, "grant", &context, &self.encode()?, entropy)
    }

    /// Opens what [`seal`](Self::seal) made for this session of this unlocker.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if it is about another place than it is sealed for, and as
    /// [`decode`](Self::decode) and [`hseal::open`].
    pub fn open(
        key: &SecretKey,
        (cell, account, slot): (CellId, AccountId, SlotId),
        session: &[u8; 16],
        sealed: &[u8],
    ) -> Result<Self, OpenError> {
        let context: [&[u8]; 4] = [&cell.0, &account.0, &slot.0, session];
        let grant = Self::decode(&hseal::open(key, "grant", &context, sealed)?)?;
        let is_for = (grant.cell, grant.account, grant.slot);
        if is_for == (cell, account, slot) { Ok(grant) } else { Err(OpenError::Mismatch) }
    }

    /// Wraps it under a session's token. `head` is what stands beside it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and [`cwrap::wrap`].
    pub fn wrap(
        &self,
        token: &Secret<32>,
        head: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let context: [&[u8]; 3] = [&self.cell.0, &self.account.0, head];
        cwrap::wrap(token, "session", &context, &self.encode()?, entropy)
    }

    /// Undoes [`wrap`](Self::wrap).
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if it is about another account, and as [`decode`](Self::decode) and
    /// [`cwrap::unwrap`].
    pub fn unwrap(
        token: &Secret<32>,
        (cell, account): (CellId, AccountId),
        head: &[u8],
        wrapped: &[u8],
    ) -> Result<Self, OpenError> {
        let context: [&[u8]; 3] = [&cell.0, &account.0, head];
        let grant = Self::decode(&cwrap::unwrap(token, "session", &context, wrapped)?)?;
        let is_for = (grant.cell, grant.account);
        if is_for == (cell, account) { Ok(grant) } else { Err(OpenError::Mismatch) }
    }
}
