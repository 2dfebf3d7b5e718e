//! Re-keying a whole account, and with it a change of who besides its owner can open it.
//!
//! It takes two changes. The first makes a new master key and the next version of every epoch beside
//! the old one; then whatever is sealed under an old version is sealed anew; the second takes the
//! old versions away, and what they were escrowed with. Between the two both are listed, so a crash
//! leaves an account that opens, and the manifest itself says what is still to be done.
//!
//! Invariant: only a session that may change unlockers begins it. After the second change no key
//! that was ever handed out before the first opens anything that is listed.
//! Refs: specs/bw1.md §3.2, §6.7; docs/adr/0012-rekeying.md.

use super::change::{ChangeError, fits};
use super::{Changes, Locked, Unlocked, epoch_row};
use seal::escrow::EscrowPolicy;
use seal::{Entropy, SealError};
use vocab::{CellId, Custody, Epoch, EpochVersion, RecordKind, Timestamp};

/// What an account is to be after it was re-keyed.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The cell it is kept in.
    pub cell: CellId,
    /// Who besides its owner can open it.
    pub custody: Custody,
    /// The holders: of that custody and cell; absent in `sealed`.
    pub escrow: Option<&'a EscrowPolicy>,
}

impl Locked {
    /// The epochs' versions that a higher one stands beside: what is sealed under them is to be
    /// sealed anew. Ascending.
    #[must_use]
    pub fn superseded(&self) -> Vec<(Epoch, EpochVersion)> {
        superseded(self.epochs())
    }
}

/// Of epochs, ascending, those that are not the last version of their month.
pub(super) fn superseded(
    epochs: impl Iterator<Item = (Epoch, EpochVersion)>,
) -> Vec<(Epoch, EpochVersion)> {
    let all: Vec<_> = epochs.collect();
    let pairs = all.iter().zip(all.iter().skip(1));
    pairs.filter(|(this, next)| this.0 == next.0).map(|(this, _)| *this).collect()
}

impl Unlocked {
    /// Begins to re-key the account: a new master key, and every epoch in a next version with new
    /// keys, escrowed for the target's holders. The old versions stay listed until
    /// [`Unlocked::finish_rekey`], with their escrows if the holders stay, with escrows for the new
    /// holders if these change, and with none in custody `sealed`. Twice begun is as good as once.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`]; [`ChangeError::Policy`] if the holders are not of the target's custody
    /// and cell; [`ChangeError::Tampered`], [`ChangeError::Seal`].
    pub fn begin_rekey(
        &mut self,
        target: &Target<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        if !fits(target.escrow, target.custody, target.cell) {
            return Err(ChangeError::Policy);
        }
        let mut manifest = self.next_manifest(now);
        let mut changes = Changes::default();
        self.rotate(&mut manifest, &mut changes, entropy)?;
        (manifest.cell, manifest.custody) = (target.cell, target.custody);
        let new = target.escrow.filter(|policy| Some(policy.digest()) != manifest.policy);
        self.change_holders(new, &mut manifest, &mut changes, entropy)?;
        if target.escrow.is_none() {
            manifest.policy = None;
            for entry in &mut manifest.epochs {
                if entry.escrow.take().is_some() {
                    let row = epoch_row(entry.epoch, entry.version);
                    changes.delete.push((RecordKind::Escrow, row));
                }
            }
        }
        let mut next: Vec<(Epoch, EpochVersion)> = Vec::new();
        for (epoch, version) in self.locked.epochs() {
            next.pop_if(|(known, _)| *known == epoch);
            let version = version.0.checked_add(1).ok_or(SealError::Parameter)?;
            next.push((epoch, EpochVersion(version)));
        }
        self.add_epochs(&next, target.escrow, &mut manifest, &mut changes, entropy)?;
        self.commit(manifest, changes)
    }

    /// Takes every superseded version away, box and escrow. Nothing may be sealed under one any
    /// more, and nothing that arrives: what is, nobody opens again. Any session may do it, as it
    /// gives nobody anything.
    ///
    /// # Errors
    /// [`ChangeError::Seal`].
    pub fn finish_rekey(&mut self, now: Timestamp) -> Result<Changes, ChangeError> {
        let gone = self.locked.superseded();
        let mut changes = Changes::default();
        if gone.is_empty() {
            return Ok(changes);
        }
        for (epoch, version) in &gone {
            let row = epoch_row(*epoch, *version);
            changes.delete.push((RecordKind::EpochBox, row));
            if self.locked.escrow(*epoch, *version).is_some() {
                changes.delete.push((RecordKind::Escrow, row));
            }
        }
        let mut manifest = self.next_manifest(now);
        manifest.epochs.retain(|entry| !gone.contains(&(entry.epoch, entry.version)));
        let changes = self.commit(manifest, changes)?;
        self.locked.epochs.retain(|record| {
            let public = record.public();
            !gone.contains(&(public.epoch, public.version))
        });
        Ok(changes)
    }
}
