//! Changes of an unlocked account's keys: months made ahead, holders, a new master key.
//!
//! Invariant: every change is a manifest of the next version that names the one before. After
//! a revocation the old master key is gone from the store, and neither it nor the revoked
//! secret opens anything sealed from then on. All its months are escrowed for the holders its manifest names, and for no others.
//! Refs: specs/bw1.md §5.3, §6.6; design §4.

use super::create::{epoch_record, slot_record};
use super::{Changes, MANIFEST_ROW, MONTHS_AHEAD, PASSWORD_CHARS_MIN, Record, Unlocked, epoch_row};
use seal::epoch::{EpochKeys, EpochRecord, STANDING, begins, epoch_of};
use seal::escrow::{Escrow, EscrowPolicy};
use seal::mac::sha256;
use seal::manifest::{EpochEntry, Manifest, SignedManifest, SlotEntry};
use seal::note::NoteError;
use seal::root::RootKey;
use seal::slot::{SlotError, SlotRecord};
use seal::{Entropy, SealError};
use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, RecordKind, Timestamp};

/// Why a change was not made. Commit nothing of it, and drop the [`Unlocked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The session's unlocker may not change unlockers.
    #[error("this unlocker may not change unlockers")]
    Sudo,
    /// The account has as many unlockers as it may.
    #[error("the account has as many unlockers as it may have")]
    TooMany,
    /// The account has no such unlocker.
    #[error("the account has no such unlocker")]
    Unknown,
    /// It is the account's last recovery code.
    #[error("the last recovery code cannot be revoked")]
    LastRecovery,
    /// The account has no recovery code, without which this unlocker is not given.
    #[error("the account has no recovery code")]
    NoRecovery,
    /// A token without an end, or one too far away; or an end that is over.
    #[error("a token ends, and within a day; nothing ends before it begins")]
    End,
    /// An unlocker of that identifier exists.
    #[error("the account has an unlocker of that identifier")]
    Taken,
    /// The name cannot be used.
    #[error("the name cannot be used")]
    Name(#[from] NoteError),
    /// The escrow policy handed in is not for the account's custody and cell, or is missing.
    #[error("there is no escrow policy for the account's custody and cell")]
    Policy,
    /// The password is too short.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters")]
    Short,
    /// The password cannot be used or hashed.
    #[error("the password cannot be used")]
    Password(#[source] SlotError),
    /// A stored epoch does not open.
    #[error("an epoch's box was tampered with")]
    Tampered,
    /// Sealing failed.
    #[error("the change could not be sealed")]
    Seal(#[from] SealError),
}

/// What a change of unlockers does to the account's keys.
#[derive(Clone, Copy)]
pub enum Renewal<'a> {
    /// Nothing: what an unlocker opened that goes now, its secret and an old copy of the store
    /// open still.
    Routine,
    /// As if the secret of what goes were known to others: a new master key for all unlockers
    /// that stay, and new keys for the standing epoch, this month and the months ahead. The
    /// escrow policy as in [`Unlocked::upkeep`].
    Suspect(Option<&'a EscrowPolicy>),
}

/// Whether these are holders for an account of that custody and cell.
pub(super) fn fits(escrow: Option<&EscrowPolicy>, custody: Custody, cell: CellId) -> bool {
    match escrow {
        None => custody == Custody::Sealed,
        Some(policy) => (policy.custody(), policy.cell()) == (custody, cell),
    }
}

/// Keys for a new epoch, their record, and their escrow if there is a policy.
pub(super) fn escrowed(
    root: &RootKey,
    (account, epoch, version): (AccountId, Epoch, EpochVersion),
    policy: Option<&EscrowPolicy>,
    entropy: &dyn Entropy,
) -> Result<(EpochRecord, Option<Record>), SealError> {
    let keys = EpochKeys::generate(account, epoch, version, entropy)?;
    let record = EpochRecord::seal(root, &keys, begins(epoch), entropy)?;
    let escrow = policy.map(|policy| escrow_record(&keys, policy, entropy)).transpose()?;
    Ok((record, escrow))
}

fn escrow_record(
    keys: &EpochKeys,
    policy: &EscrowPolicy,
    entropy: &dyn Entropy,
) -> Result<Record, SealError> {
    let bytes = Escrow::seal(keys, policy, entropy)?.encode();
    let row = epoch_row(keys.epoch(), keys.version());
    Ok(Record { kind: RecordKind::Escrow, row, bytes })
}

fn escrow_digest(escrow: &Record) -> Digest {
    sha256(&[&escrow.bytes])
}

pub(super) fn listed_slot(slot: &SlotRecord) -> SlotEntry {
    SlotEntry { slot: slot.slot(), digest: slot.digest() }
}

pub(super) fn listed_epoch(record: &EpochRecord, escrow: Option<&Record>) -> EpochEntry {
    let public = record.public();
    EpochEntry {
        epoch: public.epoch,
        version: public.version,
        not_before: public.not_before,
        public: record.public_digest(),
        wrapped: record.box_digest(),
        escrow: escrow.map(escrow_digest),
    }
}

impl Unlocked {
    /// Makes the months ahead that are missing, and if the holders are no longer those the
    /// manifest names, escrows every month anew for `escrow`. To be called, and its changes
    /// committed, at every unlock, so that arrival never needs a private key. If they could not
    /// be committed, [`Unlocked::take_back`].
    ///
    /// # Errors
    /// [`ChangeError::Policy`], [`ChangeError::Tampered`], [`ChangeError::Seal`].
    pub fn upkeep(
        &mut self,
        escrow: Option<&EscrowPolicy>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        let new_holders = self.new_holders(escrow)?;
        let this_month = epoch_of(now);
        let months = (0..=MONTHS_AHEAD).map(|ahead| Epoch(this_month.0.saturating_add(ahead)));
        let has = |epoch: &Epoch| self.locked.epochs().any(|(known, _)| known == *epoch);
        let missing: Vec<_> =
            months.filter(|epoch| !has(epoch)).map(|epoch| (epoch, EpochVersion(1))).collect();
        if missing.is_empty() && new_holders.is_none() {
            return Ok(Changes::default());
        }
        let mut manifest = self.next_manifest(now);
        let mut changes = Changes::default();
        self.change_holders(new_holders, &mut manifest, &mut changes, entropy)?;
        self.add_epochs(&missing, escrow, &mut manifest, &mut changes, entropy)?;
        self.commit(manifest, changes)
    }

    /// The account under `slots` from now on: those that are new are among `changes`, those that
    /// go are deleted there.
    pub(super) fn exchange_slots(
        &mut self,
        slots: Vec<SlotRecord>,
        mut changes: Changes,
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        let mut manifest = self.next_manifest(now);
        let Renewal::Suspect(escrow) = renewal else {
            manifest.slots = slots.iter().map(listed_slot).collect();
            let changes = self.commit(manifest, changes)?;
            self.locked.slots = slots;
            return Ok(changes);
        };
        let new_holders = self.new_holders(escrow)?;
        self.locked.slots = slots;
        // All are written anew, under the new master key.
        changes.put.clear();
        self.rotate(&mut manifest, &mut changes, entropy)?;
        self.change_holders(new_holders, &mut manifest, &mut changes, entropy)?;
        let this_month = epoch_of(now);
        let mut fresh: Vec<(Epoch, EpochVersion)> = Vec::new();
        for (epoch, version) in self.locked.epochs() {
            if epoch == STANDING || epoch >= this_month {
                fresh.retain(|(known, _)| *known != epoch);
                let next = version.0.checked_add(1).ok_or(SealError::Parameter)?;
                fresh.push((epoch, EpochVersion(next)));
            }
        }
        self.add_epochs(&fresh, escrow, &mut manifest, &mut changes, entropy)?;
        self.commit(manifest, changes)
    }

    /// A new master key, with every slot, every epoch and the identity under it.
    pub(super) fn rotate(
        &mut self,
        manifest: &mut Manifest,
        changes: &mut Changes,
        entropy: &dyn Entropy,
    ) -> Result<(), ChangeError> {
        let master = self.inner.master.next(entropy)?;
        let root = master.root();
        let mut slots = Vec::with_capacity(self.locked.slots.len());
        for slot in &self.locked.slots {
            let note = slot.note(self.account, &self.inner.root);
            let note = note.map_err(|_| ChangeError::Tampered)?;
            slots.push(slot.rewrap(&note, &master, entropy)?);
        }
        let mut epochs = Vec::with_capacity(self.locked.epochs.len());
        for record in &self.locked.epochs {
            let keys = record.open(&self.inner.root).map_err(|_| ChangeError::Tampered)?;
            epochs.push(EpochRecord::seal(&root, &keys, record.public().not_before, entropy)?);
        }
        manifest.generation = master.generation();
        manifest.master = master.commitment();
        manifest.identity_box = root.wrap_identity(&self.inner.identity, entropy)?;
        manifest.slots = slots.iter().map(listed_slot).collect();
        for (entry, record) in manifest.epochs.iter_mut().zip(&epochs) {
            entry.wrapped = record.box_digest();
        }
        changes.put.extend(slots.iter().map(slot_record));
        changes.put.extend(epochs.iter().map(epoch_record));
        (self.locked.slots, self.locked.epochs) = (slots, epochs);
        (self.inner.master, self.inner.root) = (master, root);
        Ok(())
    }

    /// `escrow`, if it is other than what the manifest names; an error if it is not for this
    /// account's custody and cell.
    pub(super) fn new_holders<'a>(
        &self,
        escrow: Option<&'a EscrowPolicy>,
    ) -> Result<Option<&'a EscrowPolicy>, ChangeError> {
        let manifest = self.locked.manifest();
        if !fits(escrow, manifest.custody, manifest.cell) {
            return Err(ChangeError::Policy);
        }
        Ok(escrow.filter(|policy| Some(policy.digest()) != manifest.policy))
    }

    /// Every epoch there is, escrowed for the new holders in the place of the old.
    pub(super) fn change_holders(
        &self,
        new: Option<&EscrowPolicy>,
        manifest: &mut Manifest,
        changes: &mut Changes,
        entropy: &dyn Entropy,
    ) -> Result<(), ChangeError> {
        let Some(policy) = new else { return Ok(()) };
        manifest.policy = Some(policy.digest());
        for (entry, record) in manifest.epochs.iter_mut().zip(&self.locked.epochs) {
            let keys = record.open(&self.inner.root).map_err(|_| ChangeError::Tampered)?;
            let escrow = escrow_record(&keys, policy, entropy)?;
            entry.escrow = Some(escrow_digest(&escrow));
            changes.put.push(escrow);
        }
        Ok(())
    }

    pub(super) fn add_epochs(
        &mut self,
        places: &[(Epoch, EpochVersion)],
        escrow: Option<&EscrowPolicy>,
        manifest: &mut Manifest,
        changes: &mut Changes,
        entropy: &dyn Entropy,
    ) -> Result<(), ChangeError> {
        for (epoch, version) in places {
            let place = (self.account, *epoch, *version);
            let (record, escrow) = escrowed(&self.inner.root, place, escrow, entropy)?;
            manifest.epochs.push(listed_epoch(&record, escrow.as_ref()));
            changes.put.push(epoch_record(&record));
            changes.put.extend(escrow);
            self.locked.epochs.push(record);
        }
        self.locked.epochs.sort_by_key(|record| (record.public().epoch, record.public().version));
        Ok(())
    }

    /// The manifest after this one, still saying the same.
    pub(super) fn next_manifest(&self, now: Timestamp) -> Manifest {
        let manifest = self.locked.manifest().clone();
        let version = manifest.version.saturating_add(1);
        Manifest {
            version,
            previous: Some(self.locked.manifest.digest()),
            created: now,
            ..manifest
        }
    }

    pub(super) fn commit(
        &mut self,
        manifest: Manifest,
        mut changes: Changes,
    ) -> Result<Changes, ChangeError> {
        let signed: SignedManifest =
            manifest.sign(&self.inner.identity).map_err(|_| SealError::Parameter)?;
        signed.follows(&self.locked.manifest).map_err(|_| SealError::Parameter)?;
        changes.put.push(Record {
            kind: RecordKind::Manifest,
            row: MANIFEST_ROW,
            bytes: signed.as_bytes().to_vec(),
        });
        self.inner.version = signed.manifest().version;
        self.locked.manifest = signed;
        Ok(changes)
    }
}
