//! Unlocking: from a secret to an account's master key, with every check on the way.
//!
//! Invariant: a check that fails is reported as tampering and nothing is opened; there is no
//! second try with a check left out.
//! Refs: specs/bw1.md §5.4.

use vocab::{AccountId, Timestamp};

use crate::manifest::SignedManifest;
use crate::note::Note;
use crate::root::{MasterKey, RootKey};
use crate::sign::SigningKey;
use crate::slot::{Scope, SlotError, SlotRecord, Unlocker};

/// What did not fit. Each is evidence that someone wrote to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Check {
    /// The manifest is another account's.
    #[error("the manifest is another account's")]
    Account,
    /// The manifest is older than one already seen.
    #[error("the manifest is older than one already seen")]
    Rollback,
    /// The slot pins another identity than the one that signed the manifest.
    #[error("the slot pins another identity")]
    Pin,
    /// The manifest does not list this slot as it is.
    #[error("the manifest does not list this slot")]
    Unlisted,
    /// The slot asks for a cost below the floor or above the ceiling.
    #[error("the slot asks for a cost that is not allowed")]
    Cost,
    /// The slot does not open although its secret fits.
    #[error("the slot does not open")]
    Box,
    /// The master key is not the one the manifest commits to.
    #[error("another master key than the manifest commits to")]
    Commitment,
    /// The slot's note does not open.
    #[error("the slot's note does not open")]
    Note,
    /// The identity does not unwrap to the one that signed.
    #[error("another identity than the one that signed")]
    Identity,
}

/// Why an account did not unlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// Not this slot's secret.
    #[error("not this slot's secret")]
    Wrong,
    /// The slot's time is over.
    #[error("the slot has expired")]
    Expired,
    /// No memory to hash the password with; the same secret may work later.
    #[error("no memory to hash the password with")]
    Memory,
    /// The store was tampered with.
    #[error("the account's records were tampered with")]
    Tampered(#[source] Check),
}

/// An account, unlocked.
pub struct Unlocked {
    /// The master key. Drop it as soon as the epochs are open.
    pub master: MasterKey,
    /// Opens the epochs.
    pub root: RootKey,
    /// Signs the next manifest.
    pub identity: SigningKey,
    /// What the slot allows.
    pub scope: Scope,
    /// What its owner says of it, networks included: the caller enforces them, as the scope.
    pub note: Note,
    /// The manifest's version, to be remembered.
    pub version: u64,
}

/// Opens `slot` with `with` under `manifest`. `remembered` is the highest manifest version
/// the caller has seen for this account, 0 if none.
///
/// # Errors
/// As [`UnlockError`] says; [`UnlockError::Tampered`] is never to be retried silently.
pub fn unlock(
    account: AccountId,
    slot: &SlotRecord,
    manifest: &SignedManifest,
    with: &Unlocker<'_>,
    now: Timestamp,
    remembered: u64,
) -> Result<Unlocked, UnlockError> {
    let tampered = |check| Err(UnlockError::Tampered(check));
    let listed = manifest.manifest();
    if listed.account != account {
        return tampered(Check::Account);
    }
    // The signature was checked when the manifest was read; whose it is, the pin says below.
    if listed.version < remembered {
        return tampered(Check::Rollback);
    }
    if listed.slot(slot.slot()).map(|entry| entry.digest) != Some(slot.digest()) {
        return tampered(Check::Unlisted);
    }
    let key = slot.fits(account, with, &listed.identity).map_err(|error| match error {
        SlotError::Wrong | SlotError::Form => UnlockError::Wrong,
        SlotError::Memory => UnlockError::Memory,
        SlotError::Cost => UnlockError::Tampered(Check::Cost),
        SlotError::Pin => UnlockError::Tampered(Check::Pin),
        SlotError::Box => UnlockError::Tampered(Check::Box),
    })?;
    if slot.expires().is_some_and(|end| end <= now) {
        return Err(UnlockError::Expired);
    }
    let Ok(master) = slot.open(account, listed.generation, &key) else {
        return tampered(Check::Box);
    };
    if !crate::secret::same(&master.commitment(), &listed.master) {
        return tampered(Check::Commitment);
    }
    let root = master.root();
    let Ok(identity) = root.unwrap_identity(&listed.identity, &listed.identity_box) else {
        return tampered(Check::Identity);
    };
    let Ok(note) = slot.note(account, &root) else {
        return tampered(Check::Note);
    };
    Ok(Unlocked { master, root, identity, scope: slot.scope(), note, version: listed.version })
}
