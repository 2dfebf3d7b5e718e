//! The owner's way in: a new account, its unlocking, and every change of its unlockers.
//!
//! Invariant: a record counts only if the signed manifest lists it as it is; a change is a set
//! of records and a manifest of the next version, to be committed together or not at all. The
//! master key lives only in an [`Unlocked`], which is dropped once the session is made.
//! Refs: specs/bw1.md §2–§6; design §4.

mod change;
pub mod client;
mod create;
mod grants;
mod locked;
mod moving;
mod opaque;
mod rekey;
mod unlockers;

pub use change::{ChangeError, Renewal};
pub use create::{CreateAccount, CreateError, Created, create};
pub use grants::{
    GRANT_SECONDS_MAX, GrantError, KeptSession, SESSION_BYTES_MAX, SessionId, SessionToken,
    session_row,
};
pub use locked::{Attempt, Locked, LockedError, Tampered, UnlockError, Unlocked};
pub use moving::{
    Acceptance, Discharge, END_BYTES, HEAD_BYTES, MARKS, Move, MoveFormError, ParcelDigest,
    ParcelHead, RECORD_BYTES, RecordHead, travels,
};
pub use rekey::Target;
pub use unlockers::{NewUnlocker, TOKEN_SECONDS_MAX, Terms};

use seal::Secret;
use seal::epoch::{EpochKeys, EpochRecord};
use seal::root::RootKey;
use seal::slot::Unlocker;
use std::sync::OnceLock;
use vocab::{AccountId, Digest, Epoch, EpochVersion, RecordKind, Row, SlotId, Timestamp};

/// Months whose keys are made ahead.
pub const MONTHS_AHEAD: u32 = 12;
/// Password slots an account may have, since trying each costs an Argon2id.
pub const PASSWORDS_MAX: usize = 2;
/// Characters of a password, at least: it is the only factor (NIST SP 800-63B-4).
pub const PASSWORD_CHARS_MIN: usize = 15;
/// Slots an account may have.
pub const SLOTS_MAX: usize = 64;
/// The row of an account's manifest.
pub const MANIFEST_ROW: Row = Row(1);

/// One stored record of the keystore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Slot, manifest, epoch box or escrow.
    pub kind: RecordKind,
    /// Where.
    pub row: Row,
    /// Its octets.
    pub bytes: Vec<u8>,
}

/// What to write and delete, in one batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Records to write, over whatever is there.
    pub put: Vec<Record>,
    /// Records to delete.
    pub delete: Vec<(RecordKind, Row)>,
}

impl Changes {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }
}

/// A password its owner may choose; `None` if it is too short.
fn chosen<'a>(text: &'a str, pepper: Option<&'a Secret<32>>) -> Option<Unlocker<'a>> {
    let long_enough = text.chars().count() >= PASSWORD_CHARS_MIN;
    long_enough.then_some(Unlocker::Password { text, pepper })
}

/// The row of a slot: the first eight octets of its identifier.
#[must_use]
pub fn slot_row(slot: SlotId) -> Row {
    Row(slot.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
}

/// The row of an epoch's box and of its escrow: number, then version.
#[must_use]
pub fn epoch_row(epoch: Epoch, version: EpochVersion) -> Row {
    Row(u64::from(epoch.0) << 32 | u64::from(version.0))
}

/// What a session holds of an unlocked account: the keys of its epochs, expanded when first
/// asked for. No master key, no root key, no identity: nothing here changes an unlocker.
pub struct AccountKeys {
    account: AccountId,
    /// Version and digest of the manifest that lists the epochs.
    manifest: (u64, Digest),
    epochs: Vec<Held>,
}

struct Held {
    record: EpochRecord,
    /// `sk ‖ EK` as they came out of the box; `None` if it did not open.
    octets: Option<Secret<64>>,
    keys: OnceLock<EpochKeys>,
}

/// Why an epoch's keys are not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The account has no such epoch.
    #[error("the account has no such epoch")]
    Unknown,
    /// Its box does not open under the root key that the manifest commits to.
    #[error("the epoch's box was tampered with")]
    Tampered,
}

impl AccountKeys {
    /// Every box is opened now, so that the root key, which opens the identity too, goes.
    pub(crate) fn new(root: &RootKey, locked: Locked) -> Self {
        Self::of(locked, |record| record.unwrap(root).ok())
    }

    /// The keys of the account's epochs, wherever `octets` has them from.
    fn of(locked: Locked, mut octets: impl FnMut(&EpochRecord) -> Option<Secret<64>>) -> Self {
        let (account, version) = (locked.manifest().account, locked.manifest().version);
        let manifest = (version, locked.digest());
        let held = |record| Held { octets: octets(&record), record, keys: OnceLock::new() };
        Self { account, manifest, epochs: locked.epochs.into_iter().map(held).collect() }
    }

    /// Whose keys these are.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Version and digest of the manifest they are listed in: of two sets of keys of an account it
    /// tells which is the newer, and whether it is the one that is stored.
    #[must_use]
    pub fn manifest(&self) -> (u64, Digest) {
        self.manifest
    }

    /// Every epoch there is, ascending by number and version.
    pub fn epochs(&self) -> impl Iterator<Item = (Epoch, EpochVersion)> {
        self.epochs.iter().map(|held| {
            let public = held.record.public();
            (public.epoch, public.version)
        })
    }

    /// The keys of one epoch. Costs an ML-KEM key generation the first time.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn epoch(&self, epoch: Epoch, version: EpochVersion) -> Result<&EpochKeys, EpochError> {
        let is = |held: &&Held| {
            let public = held.record.public();
            (public.epoch, public.version) == (epoch, version)
        };
        let held = self.epochs.iter().find(is).ok_or(EpochError::Unknown)?;
        if let Some(keys) = held.keys.get() {
            return Ok(keys);
        }
        let octets = held.octets.as_ref().ok_or(EpochError::Tampered)?;
        let keys = held.record.keys(octets).map_err(|_| EpochError::Tampered)?;
        Ok(held.keys.get_or_init(|| keys))
    }

    /// The keys standing data is sealed with: epoch 0 in its highest version.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn standing(&self) -> Result<&EpochKeys, EpochError> {
        let standing = self.epochs().filter(|(epoch, _)| *epoch == seal::epoch::STANDING);
        let (epoch, version) = standing.max().ok_or(EpochError::Unknown)?;
        self.epoch(epoch, version)
    }

    /// The keys to seal with what is written `now` (sent mail, appended messages): the epoch
    /// that arrivals would use.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn current(&self, now: Timestamp) -> Result<&EpochKeys, EpochError> {
        let publics: Vec<_> = self.epochs.iter().map(|held| held.record.public().clone()).collect();
        let public = seal::epoch::arrival_epoch(&publics, now).ok_or(EpochError::Unknown)?;
        self.epoch(public.epoch, public.version)
    }
}
