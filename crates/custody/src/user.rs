//! The owner's way in: a new account, its unlocking, and every change of its unlockers.
//!
//! Invariant: a record counts only if the signed manifest lists it as it is; a change is a set
//! of records and a manifest of the next version, to be committed together or not at all. The
//! master key lives only in an [`Unlocked`], which is dropped once the session is made.
//! Refs: specs/bw1.md §2–§6; design §4.

mod change;
mod create;
mod locked;
mod unlockers;

pub use change::{ChangeError, Renewal};
pub use create::{CreateAccount, CreateError, Created, create};
pub use locked::{Attempt, Locked, LockedError, Tampered, UnlockError, Unlocked};
pub use unlockers::{NewUnlocker, TOKEN_SECONDS_MAX, Terms};

use seal::Secret;
use seal::epoch::{EpochKeys, EpochRecord};
use seal::root::RootKey;
use seal::slot::Unlocker;
use std::sync::OnceLock;
use vocab::{AccountId, Epoch, EpochVersion, RecordKind, Row, SlotId, Timestamp};

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

/// What a session holds of an unlocked account: the keys of its epochs, opened when first
/// asked for. No master key, no identity: nothing here changes an unlocker.
pub struct AccountKeys {
    account: AccountId,
    root: RootKey,
    epochs: Vec<Held>,
}

struct Held {
    record: EpochRecord,
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
    pub(crate) fn new(account: AccountId, root: RootKey, epochs: Vec<EpochRecord>) -> Self {
        let held = |record| Held { record, keys: OnceLock::new() };
        Self { account, root, epochs: epochs.into_iter().map(held).collect() }
    }

    /// Whose keys these are.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
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
        let keys = held.record.open(&self.root).map_err(|_| EpochError::Tampered)?;
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
