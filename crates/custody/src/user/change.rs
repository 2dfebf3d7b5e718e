//! Changes to an unlocked account: unlockers come and go, months are made ahead.
//!
//! Invariant: every change is a manifest of the next version that names the one before. After
//! a revocation the old master key is gone from the store, and neither it nor the revoked
//! secret opens anything sealed from then on. An account never loses its last recovery code.
//! All its months are escrowed for the holders its manifest names, and for no others.
//! Refs: specs/bw1.md §5.3, §6.6; design §4.

use super::create::{enrolment, epoch_record, slot_record};
use super::{
    Changes, MANIFEST_ROW, MONTHS_AHEAD, PASSWORD_CHARS_MIN, PASSWORDS_MAX, Record, SLOTS_MAX,
    Unlocked, chosen, epoch_row, slot_row,
};
use seal::code;
use seal::epoch::{EpochKeys, EpochRecord, STANDING, begins, epoch_of};
use seal::escrow::{Escrow, EscrowPolicy};
use seal::mac::sha256;
use seal::manifest::{EpochEntry, Manifest, SignedManifest, SlotEntry};
use seal::root::RootKey;
use seal::slot::{Scope, SlotError, SlotKind, SlotRecord, Unlocker};
use seal::{Entropy, SealError, Secret};
use vocab::{AccountId, Custody, Digest, Epoch, EpochVersion, RecordKind, SlotId, Timestamp};
use zeroize::Zeroizing;

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

/// A new unlocker, its secret shown once, and what to commit.
pub struct NewUnlocker {
    /// Its identifier, for revoking it.
    pub slot: SlotId,
    /// The app password or recovery code.
    pub secret: Zeroizing<String>,
    /// What to commit before showing it.
    pub changes: Changes,
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

    /// A new app password for one program.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], also for a scope with [`Scope::SUDO`]; [`ChangeError::TooMany`];
    /// [`ChangeError::Seal`].
    pub fn add_app_password(
        &mut self,
        scope: Scope,
        expires: Option<Timestamp>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewUnlocker, ChangeError> {
        self.sudo()?;
        if scope.contains(Scope::SUDO) {
            return Err(ChangeError::Sudo);
        }
        let secret = code::app_password(entropy);
        let with = Unlocker::AppPassword(&secret);
        let (slot, changes) = self.add(&with, scope, expires, None, now, entropy)?;
        Ok(NewUnlocker { slot, secret, changes })
    }

    /// A new recovery code in the place of every old one. The routine change: what the old one
    /// could open stays as it is. If it may be known to others, revoke it too.
    ///
    /// # Errors
    /// As [`Unlocked::add_app_password`].
    pub fn renew_recovery(
        &mut self,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewUnlocker, ChangeError> {
        self.sudo()?;
        let secret = code::recovery_code(entropy);
        let with = Unlocker::Recovery(&secret);
        let (slot, changes) =
            self.add(&with, Scope::ALL, None, Some(SlotKind::Recovery), now, entropy)?;
        Ok(NewUnlocker { slot, secret, changes })
    }

    /// A new password in the place of every old one (the routine change).
    ///
    /// # Errors
    /// As [`Unlocked::add_app_password`], and [`ChangeError::Password`].
    pub fn set_password(
        &mut self,
        password: &str,
        pepper: Option<&Secret<32>>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let with = chosen(password, pepper).ok_or(ChangeError::Short)?;
        self.add(&with, Scope::ALL, None, Some(SlotKind::Password), now, entropy)
            .map(|(_, changes)| changes)
    }

    /// Revokes an unlocker as if its secret were known to others: a new master key for all
    /// others, new keys for the standing epoch, this month and the months ahead. A change of
    /// holders is made with it, as in [`Unlocked::upkeep`].
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::Unknown`], [`ChangeError::LastRecovery`],
    /// [`ChangeError::Policy`], [`ChangeError::Tampered`], [`ChangeError::Seal`].
    pub fn revoke(
        &mut self,
        slot: SlotId,
        escrow: Option<&EscrowPolicy>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let slots = &self.locked.slots;
        let revoked =
            slots.iter().find(|known| known.slot() == slot).ok_or(ChangeError::Unknown)?;
        let recoveries = slots.iter().filter(|slot| slot.kind() == SlotKind::Recovery).count();
        if revoked.kind() == SlotKind::Recovery && recoveries == 1 {
            return Err(ChangeError::LastRecovery);
        }
        let new_holders = self.new_holders(escrow)?;
        let mut manifest = self.next_manifest(now);
        let mut changes =
            Changes { delete: vec![(RecordKind::Slot, slot_row(slot))], ..Changes::default() };
        self.rotate(slot, &mut manifest, &mut changes, entropy)?;
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

    /// A new master key, with every slot but `revoked`, every epoch and the identity under it.
    fn rotate(
        &mut self,
        revoked: SlotId,
        manifest: &mut Manifest,
        changes: &mut Changes,
        entropy: &dyn Entropy,
    ) -> Result<(), ChangeError> {
        let master = self.inner.master.next(entropy)?;
        let root = master.root();
        let slots = self.locked.slots.iter().filter(|slot| slot.slot() != revoked);
        let slots: Vec<_> =
            slots.map(|slot| slot.rewrap(&master, entropy)).collect::<Result<_, _>>()?;
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
    fn new_holders<'a>(
        &self,
        escrow: Option<&'a EscrowPolicy>,
    ) -> Result<Option<&'a EscrowPolicy>, ChangeError> {
        let manifest = self.locked.manifest();
        let fits = match escrow {
            None => manifest.custody == Custody::Sealed,
            Some(policy) => (policy.custody(), policy.cell()) == (manifest.custody, manifest.cell),
        };
        if !fits {
            return Err(ChangeError::Policy);
        }
        Ok(escrow.filter(|policy| Some(policy.digest()) != manifest.policy))
    }

    /// Every epoch there is, escrowed for the new holders in the place of the old.
    fn change_holders(
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

    /// One more slot; `instead` of those of that kind, if given.
    fn add(
        &mut self,
        with: &Unlocker<'_>,
        scope: Scope,
        expires: Option<Timestamp>,
        instead: Option<SlotKind>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(SlotId, Changes), ChangeError> {
        let (identity, master) = (&self.inner.identity, &self.inner.master);
        let enrolment = enrolment(scope, expires, now, identity, master, entropy);
        let slot = SlotRecord::enrol(with, &enrolment, entropy).map_err(ChangeError::Password)?;
        let goes = |known: &&SlotRecord| instead == Some(known.kind());
        let gone = self.locked.slots.iter().filter(goes);
        let delete = gone.map(|known| (RecordKind::Slot, slot_row(known.slot()))).collect();
        let changes = Changes { put: vec![slot_record(&slot)], delete };
        let id = slot.slot();
        let stay = self.locked.slots.iter().filter(|known| !goes(known)).cloned();
        let slots: Vec<_> = stay.chain([slot]).collect();
        let passwords = slots.iter().filter(|slot| slot.kind() == SlotKind::Password).count();
        if slots.len() > SLOTS_MAX || passwords > PASSWORDS_MAX {
            return Err(ChangeError::TooMany);
        }
        let mut manifest = self.next_manifest(now);
        manifest.slots = slots.iter().map(listed_slot).collect();
        let changes = self.commit(manifest, changes)?;
        self.locked.slots = slots;
        Ok((id, changes))
    }

    fn add_epochs(
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

    fn sudo(&self) -> Result<(), ChangeError> {
        if self.inner.scope.contains(Scope::SUDO) { Ok(()) } else { Err(ChangeError::Sudo) }
    }

    /// The manifest after this one, still saying the same.
    fn next_manifest(&self, now: Timestamp) -> Manifest {
        let manifest = self.locked.manifest().clone();
        let version = manifest.version.saturating_add(1);
        Manifest {
            version,
            previous: Some(self.locked.manifest.digest()),
            created: now,
            ..manifest
        }
    }

    fn commit(&mut self, manifest: Manifest, mut changes: Changes) -> Result<Changes, ChangeError> {
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
