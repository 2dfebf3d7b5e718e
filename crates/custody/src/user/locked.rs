//! A locked account as it lies in the store, and its unlocking.
//!
//! Invariant: whatever fails after a secret fitted its slot is tampering, is reported as such
//! and is not tried again another way. Records the manifest does not list are not used.
//! Refs: specs/bw1.md §5.4.

use super::{AccountKeys, EpochError, PASSWORDS_MAX, SLOTS_MAX};
use core::net::IpAddr;
use seal::Secret;
use seal::code;
use seal::epoch::{EpochPublic, EpochRecord, STANDING, arrival_epoch};
use seal::manifest::{Manifest, SignedManifest};
use seal::row::RowKeys;
use seal::slot::{Scope, SlotKind, SlotRecord, Unlocker};
use seal::unlock;
use vocab::{AccountId, Digest, Epoch, EpochVersion, RecordKind, SlotId, Timestamp};

/// Why stored records are not an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockedError {
    /// There is no manifest, or it does not read or verify.
    #[error("the account's manifest is missing, unreadable or not signed by its identity")]
    Manifest,
    /// The manifest is another account's.
    #[error("the manifest is another account's")]
    Account,
    /// A slot does not read, or is not listed as it is, or a listed one is missing.
    #[error("the account's slots are not those its manifest lists")]
    Slots,
    /// An epoch does not read, or is not listed as it is, or a listed one is missing.
    #[error("the account's epochs are not those its manifest lists")]
    Epochs,
}

/// An account as anyone with the disk sees it. Enough to take in letters.
#[derive(Clone)]
pub struct Locked {
    pub(super) manifest: SignedManifest,
    pub(super) slots: Vec<SlotRecord>,
    pub(super) epochs: Vec<EpochRecord>,
}

/// What was found altered in an account that unlocks.
pub use seal::unlock::Check as Tampered;

/// Why an account did not unlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// No unlocker has this secret.
    #[error("no unlocker of the account has this secret")]
    Wrong,
    /// The unlocker's time is over.
    #[error("the unlocker has expired")]
    Expired,
    /// The unlocker does not allow this.
    #[error("the unlocker does not allow this")]
    Scope,
    /// The secret is right, and is used from outside the networks its owner named. Whoever shows
    /// it may have stolen it: tell them what [`UnlockError::Wrong`] tells.
    #[error("the unlocker does not serve from there")]
    Network,
    /// No memory to hash a password with; the same secret may work later.
    #[error("no memory to hash the password with")]
    Memory,
    /// The store was tampered with.
    #[error("the account's records were tampered with")]
    Tampered(#[source] Tampered),
}

/// One attempt to unlock.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// As typed.
    pub secret: &'a str,
    /// What the session is for; the unlocker must allow all of it.
    pub scope: Scope,
    /// From where it was shown, if that is known.
    pub from: Option<IpAddr>,
    /// Whether to try it as a password too, at the cost of an Argon2id. App passwords and
    /// recovery codes are recognised by their check symbols and never cost one.
    pub passwords: bool,
    /// The cell's pepper ([`crate::cell::CellKeys::pepper`]).
    pub pepper: Option<&'a Secret<32>>,
    /// Now.
    pub now: Timestamp,
    /// The highest manifest version seen for this account, 0 if none is remembered.
    pub remembered: u64,
}

/// An account, unlocked: enough to change its unlockers. Make a session of it soon.
pub struct Unlocked {
    pub(super) account: AccountId,
    pub(super) slot: SlotId,
    pub(super) locked: Locked,
    pub(super) inner: unlock::Unlocked,
}

impl Locked {
    /// Reads an account's keystore: all its records of the kinds slot, manifest and epoch box.
    /// Records of other kinds (escrow) are passed over.
    ///
    /// # Errors
    /// [`LockedError`].
    pub fn from_records<B: AsRef<[u8]>>(
        account: AccountId,
        records: impl IntoIterator<Item = (RecordKind, B)>,
    ) -> Result<Self, LockedError> {
        let (mut manifest, mut slots, mut epochs) = (None, Vec::new(), Vec::new());
        for (kind, bytes) in records {
            let bytes = bytes.as_ref();
            if kind == RecordKind::Manifest {
                manifest = Some(SignedManifest::decode(bytes).map_err(|_| LockedError::Manifest)?);
            } else if kind == RecordKind::Slot {
                slots.push(SlotRecord::decode(bytes).map_err(|_| LockedError::Slots)?);
            } else if kind == RecordKind::EpochBox {
                epochs.push(EpochRecord::decode(bytes).map_err(|_| LockedError::Epochs)?);
            }
        }
        let manifest = manifest.ok_or(LockedError::Manifest)?;
        let listed = manifest.manifest();
        if listed.account != account {
            return Err(LockedError::Account);
        }
        slots.sort_by_key(SlotRecord::slot);
        epochs.sort_by_key(place);
        if slots.len() > SLOTS_MAX || !lists_slots(listed, &slots) {
            return Err(LockedError::Slots);
        }
        if !lists_epochs(listed, &epochs) {
            return Err(LockedError::Epochs);
        }
        Ok(Self { manifest, slots, epochs })
    }

    /// What the manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.manifest.manifest()
    }

    /// The manifest as it was signed.
    #[must_use]
    pub fn signed(&self) -> &SignedManifest {
        &self.manifest
    }

    /// The digest of the manifest that all these records are listed in.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest()
    }

    /// The unlockers: identifier, kind, scope, end.
    #[must_use]
    pub fn slots(&self) -> &[SlotRecord] {
        &self.slots
    }

    /// The epoch for a letter that arrives now.
    #[must_use]
    pub fn arrival(&self, now: Timestamp) -> Option<EpochPublic> {
        let publics: Vec<_> = self.epochs.iter().map(|record| record.public().clone()).collect();
        arrival_epoch(&publics, now).cloned()
    }

    /// Every epoch, ascending by number and version.
    pub fn epochs(&self) -> impl Iterator<Item = (Epoch, EpochVersion)> {
        self.epochs.iter().map(place)
    }

    /// The digest of an epoch's escrow, if it has one.
    #[must_use]
    pub fn escrow(&self, epoch: Epoch, version: EpochVersion) -> Option<Digest> {
        self.manifest().epoch(epoch, version)?.escrow
    }

    /// Tries a secret.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn unlock(&self, attempt: &Attempt<'_>) -> Result<Unlocked, UnlockError> {
        let kind = code::kind_of(attempt.secret).unwrap_or(SlotKind::Password);
        let with = match kind {
            SlotKind::AppPassword => Unlocker::AppPassword(attempt.secret),
            SlotKind::Recovery => Unlocker::Recovery(attempt.secret),
            SlotKind::Token => Unlocker::Token(attempt.secret),
            SlotKind::Password if attempt.passwords => {
                Unlocker::Password { text: attempt.secret, pepper: attempt.pepper }
            }
            // The others open in their owner's program, which has their keys.
            SlotKind::Password | SlotKind::Opaque | SlotKind::Passkey | SlotKind::Device => {
                return Err(UnlockError::Wrong);
            }
        };
        let tries = if kind == SlotKind::Password { PASSWORDS_MAX } else { SLOTS_MAX };
        for slot in self.slots.iter().filter(|slot| slot.kind() == kind).take(tries) {
            let Attempt { now, remembered, .. } = *attempt;
            let unlocked = match self.unlock_with(slot.slot(), &with, now, remembered) {
                Err(UnlockError::Wrong) => continue,
                other => other?,
            };
            if !unlocked.inner.note.admits(attempt.from) {
                return Err(UnlockError::Network);
            }
            if !unlocked.inner.scope.contains(attempt.scope) {
                return Err(UnlockError::Scope);
            }
            return Ok(unlocked);
        }
        Err(UnlockError::Wrong)
    }
}

impl Locked {
    /// All its records as they are stored, for the owner's program.
    #[must_use]
    pub fn records(&self) -> Vec<(RecordKind, Vec<u8>)> {
        let slots = self.slots.iter().map(|slot| (RecordKind::Slot, slot.encode()));
        let epochs = self.epochs.iter().map(|epoch| (RecordKind::EpochBox, epoch.encode()));
        let manifest = (RecordKind::Manifest, self.manifest.as_bytes().to_vec());
        slots.chain(epochs).chain([manifest]).collect()
    }

    /// Opens one unlocker where its secret is: in its owner's program.
    ///
    /// # Errors
    /// [`UnlockError`]; [`UnlockError::Wrong`] also if there is no such unlocker.
    pub fn unlock_with(
        &self,
        slot: SlotId,
        with: &Unlocker<'_>,
        now: Timestamp,
        remembered: u64,
    ) -> Result<Unlocked, UnlockError> {
        let account = self.manifest().account;
        let record = self.slots.iter().find(|known| known.slot() == slot);
        let record = record.ok_or(UnlockError::Wrong)?;
        let opened = unlock::unlock(account, record, &self.manifest, with, now, remembered);
        let inner = opened.map_err(|error| match error {
            unlock::UnlockError::Wrong => UnlockError::Wrong,
            unlock::UnlockError::Expired => UnlockError::Expired,
            unlock::UnlockError::Memory => UnlockError::Memory,
            unlock::UnlockError::Tampered(what) => UnlockError::Tampered(what),
        })?;
        Ok(Unlocked { account, slot, locked: self.clone(), inner })
    }
}

impl Unlocked {
    /// The account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The unlocker that opened it.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// What the unlocker allows.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.inner.scope
    }

    /// The manifest's version, to be remembered and given to the next [`Attempt`].
    #[must_use]
    pub fn version(&self) -> u64 {
        self.locked.manifest().version
    }

    /// What is public of the account.
    #[must_use]
    pub fn locked(&self) -> &Locked {
        &self.locked
    }

    /// Takes back an upkeep that was not stored, to what was there before: the keys it made
    /// exist nowhere else, and what they seal nobody could open again.
    pub fn take_back(&mut self, stored: Locked) {
        self.inner.version = stored.manifest().version;
        self.locked = stored;
    }

    /// The row keys of epoch 0 in one of its versions, for what is kept beside the mail; without
    /// a version, in the highest, with which is sealed what is written now.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn standing_rows(&self, version: Option<EpochVersion>) -> Result<RowKeys, EpochError> {
        let standing = self.locked.epochs.iter().filter(|record| place(record).0 == STANDING);
        let mut wanted =
            standing.filter(|record| version.is_none_or(|version| place(record).1 == version));
        let record = wanted.next_back().ok_or(EpochError::Unknown)?;
        let keys = record.open(&self.inner.root).map_err(|_| EpochError::Tampered)?;
        RowKeys::of_epoch(&keys).map_err(|_| EpochError::Tampered)
    }

    /// The row keys of an epoch in one of its versions.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn rows_of(&self, epoch: Epoch, version: EpochVersion) -> Result<RowKeys, EpochError> {
        let mut epochs = self.locked.epochs.iter();
        let record = epochs.find(|record| place(record) == (epoch, version));
        let keys = record.ok_or(EpochError::Unknown)?.open(&self.inner.root);
        RowKeys::of_epoch(&keys.map_err(|_| EpochError::Tampered)?)
            .map_err(|_| EpochError::Tampered)
    }

    /// The session's keys. The master key and the identity end here.
    #[must_use]
    pub fn into_keys(self) -> AccountKeys {
        AccountKeys::new(&self.inner.root, self.locked)
    }
}

fn place(record: &EpochRecord) -> (Epoch, EpochVersion) {
    (record.public().epoch, record.public().version)
}

/// Each listed once, as it is, and none missing. `slots` are sorted.
fn lists_slots(manifest: &Manifest, slots: &[SlotRecord]) -> bool {
    let listed = |slot: &SlotRecord| {
        manifest.slot(slot.slot()).is_some_and(|entry| entry.digest == slot.digest())
    };
    slots.len() == manifest.slots.len()
        && slots.is_sorted_by(|before, after| before.slot() < after.slot())
        && slots.iter().all(listed)
}

/// As [`lists_slots`]. `epochs` are sorted.
fn lists_epochs(manifest: &Manifest, epochs: &[EpochRecord]) -> bool {
    let listed = |record: &EpochRecord| {
        let public = record.public();
        public.account == manifest.account
            && manifest.epoch(public.epoch, public.version).is_some_and(|entry| {
                entry.not_before == public.not_before
                    && entry.public == record.public_digest()
                    && entry.wrapped == record.box_digest()
            })
    };
    epochs.len() == manifest.epochs.len()
        && epochs.is_sorted_by(|before, after| place(before) < place(after))
        && epochs.iter().all(listed)
}
