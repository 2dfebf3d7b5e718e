//! A new account: its keys, its recovery code, its first epochs and its first manifest.
//!
//! Invariant: no account without a recovery code; none in custody `trustee` or `managed`
//! without an escrow of every epoch, and none in custody `sealed` with one.
//! Refs: specs/bw1.md §2–§6.

use super::change::{escrowed, fits, listed_epoch, listed_slot};
use super::{
    MANIFEST_ROW, MONTHS_AHEAD, PASSWORD_CHARS_MIN, Record, Terms, chosen, epoch_row, slot_row,
};
use seal::code;
use seal::epoch::{EpochRecord, STANDING, epoch_of};
use seal::escrow::EscrowPolicy;
use seal::manifest::Manifest;
use seal::note::Note;
use seal::root::MasterKey;
use seal::sign::SigningKey;
use seal::slot::{Enrolment, PasswordCost, Scope, SlotError, SlotRecord, Unlocker};
use seal::{Entropy, SealError, Secret};
use vocab::{AccountId, CellId, Custody, Epoch, EpochVersion, RecordKind, SlotId, Timestamp};
use zeroize::Zeroizing;

/// What account to create.
#[derive(Clone, Copy)]
pub struct CreateAccount<'a> {
    /// A new identifier, never used before.
    pub account: AccountId,
    /// The cell it lives in.
    pub cell: CellId,
    /// Who besides the owner can open it, and only by a release.
    pub custody: Custody,
    /// The holders; needed in `trustee` and `managed`, absent in `sealed`.
    pub escrow: Option<&'a EscrowPolicy>,
    /// A password for the web; programs get app passwords.
    pub password: Option<&'a str>,
    /// The cell's pepper for passwords.
    pub pepper: Option<&'a Secret<32>>,
    /// Now.
    pub now: Timestamp,
}

/// A new account's records, to be committed in one batch, and its recovery code.
pub struct Created {
    /// Slots, epochs, escrow, manifest.
    pub records: Vec<Record>,
    /// To be shown to the owner once and kept nowhere.
    pub recovery_code: Zeroizing<String>,
}

/// Why an account was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Custody `trustee` and `managed` need a policy for that mode and cell, `sealed` has none.
    #[error(
        "custody `trustee` and `managed` need an escrow policy of their own, `sealed` has none"
    )]
    Custody,
    /// The password is too short.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters")]
    Short,
    /// The password cannot be used or hashed.
    #[error("the password cannot be used")]
    Password(#[source] SlotError),
    /// Sealing failed.
    #[error("the account's keys could not be sealed")]
    Seal(#[from] SealError),
}

/// Makes an account.
///
/// # Errors
/// [`CreateError`].
pub fn create(with: &CreateAccount<'_>, entropy: &dyn Entropy) -> Result<Created, CreateError> {
    if !fits(with.escrow, with.custody, with.cell) {
        return Err(CreateError::Custody);
    }
    let master = MasterKey::generate(with.account, entropy);
    let root = master.root();
    let identity = SigningKey::generate(entropy)?;
    let recovery_code = code::recovery_code(entropy);
    let mut records = Vec::new();
    let mut manifest = Manifest {
        account: with.account,
        cell: with.cell,
        custody: with.custody,
        policy: with.escrow.map(EscrowPolicy::digest),
        version: 1,
        generation: master.generation(),
        previous: None,
        master: master.commitment(),
        identity: identity.public(),
        identity_box: root.wrap_identity(&identity, entropy)?,
        slots: Vec::new(),
        epochs: Vec::new(),
        created: with.now,
    };
    let recovery = Some(Unlocker::Recovery(&recovery_code));
    let password = with.password.map(|text| chosen(text, with.pepper).ok_or(CreateError::Short));
    let password = password.transpose()?;
    for unlocker in recovery.into_iter().chain(password) {
        let terms = Terms { scope: Scope::ALL, expires: None, note: Note::default() };
        let enrolment = enrolment(&terms, with.now, &identity, &master, entropy);
        let slot =
            SlotRecord::enrol(&unlocker, &enrolment, entropy).map_err(CreateError::Password)?;
        manifest.slots.push(listed_slot(&slot));
        records.push(slot_record(&slot));
    }
    let this_month = epoch_of(with.now);
    let months = (0..=MONTHS_AHEAD).map(|ahead| Epoch(this_month.0.saturating_add(ahead)));
    for epoch in core::iter::once(STANDING).chain(months) {
        let place = (with.account, epoch, EpochVersion(1));
        let (record, escrow) = escrowed(&root, place, with.escrow, entropy)?;
        manifest.epochs.push(listed_epoch(&record, escrow.as_ref()));
        records.push(epoch_record(&record));
        records.extend(escrow);
    }
    let signed = manifest.sign(&identity).map_err(|_| SealError::Parameter)?;
    records.push(Record {
        kind: RecordKind::Manifest,
        row: MANIFEST_ROW,
        bytes: signed.as_bytes().to_vec(),
    });
    Ok(Created { records, recovery_code })
}

/// The particulars of a new slot.
pub(super) fn enrolment<'a>(
    terms: &'a Terms,
    created: Timestamp,
    identity: &SigningKey,
    master: &'a MasterKey,
    entropy: &dyn Entropy,
) -> Enrolment<'a> {
    let mut slot = [0; 16];
    entropy.fill(&mut slot);
    let (slot, cost, identity) = (SlotId(slot), PasswordCost::FLOOR, identity.public());
    let Terms { scope, expires, note } = terms;
    Enrolment { slot, scope: *scope, created, expires: *expires, note, cost, identity, master }
}

pub(super) fn slot_record(slot: &SlotRecord) -> Record {
    Record { kind: RecordKind::Slot, row: slot_row(slot.slot()), bytes: slot.encode() }
}

pub(super) fn epoch_record(record: &EpochRecord) -> Record {
    let public = record.public();
    let row = epoch_row(public.epoch, public.version);
    Record { kind: RecordKind::EpochBox, row, bytes: record.encode() }
}
