//! An owner's unlockers: given, replaced, named, listed and taken away.
//!
//! Invariant: only a session that may change unlockers does. An account never loses its last
//! recovery code; what people forget or delete is not given to an account without one. A token
//! always ends.
//! Refs: specs/bw1.md §4, §5.3; design §4.

use super::change::{ChangeError, Renewal};
use super::create::{enrolment, slot_record};
use super::{Changes, PASSWORDS_MAX, SLOTS_MAX, Unlocked, chosen, slot_row};
use seal::code;
use seal::note::Note;
use seal::slot::{Scope, SlotKind, SlotPublic, SlotRecord, Unlocker};
use seal::{Entropy, Secret};
use vocab::{RecordKind, SlotId, Timestamp};
use zeroize::Zeroizing;

/// The longest a token serves, in seconds: a program asks for another.
pub const TOKEN_SECONDS_MAX: u64 = 24 * 3600;

/// On what terms an unlocker is given.
#[derive(Clone)]
pub struct Terms {
    /// What its sessions may do.
    pub scope: Scope,
    /// When it stops opening; `None` for never.
    pub expires: Option<Timestamp>,
    /// Its name, and the networks it may be used from.
    pub note: Note,
}

/// A new unlocker, its secret shown once, and what to commit.
pub struct NewUnlocker {
    /// Its identifier, for revoking it.
    pub slot: SlotId,
    /// The app password, recovery code or token.
    pub secret: Zeroizing<String>,
    /// What to commit before showing it.
    pub changes: Changes,
}

/// What is enrolled: by whoever has the secret, or from the public half alone.
pub(super) enum New<'a> {
    Secret(Unlocker<'a>),
    Public(Box<SlotPublic>),
}

impl Unlocked {
    /// A new app password for one program.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], also for a scope with [`Scope::SUDO`]; [`ChangeError::End`] for one
    /// that is over; [`ChangeError::TooMany`]; [`ChangeError::Seal`].
    pub fn add_app_password(
        &mut self,
        terms: &Terms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewUnlocker, ChangeError> {
        no_sudo(terms.scope)?;
        let secret = code::app_password(entropy);
        let new = New::Secret(Unlocker::AppPassword(&secret));
        let (slot, changes) = self.add(new, terms, &[], Renewal::Routine, now, entropy)?;
        Ok(NewUnlocker { slot, secret, changes })
    }

    /// A new token for one program. Tokens whose time is over are deleted with it.
    ///
    /// # Errors
    /// As [`Unlocked::add_app_password`]; [`ChangeError::End`] also without an end, or for one
    /// later than [`TOKEN_SECONDS_MAX`] from now.
    pub fn add_token(
        &mut self,
        terms: &Terms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewUnlocker, ChangeError> {
        no_sudo(terms.scope)?;
        let latest = Timestamp(now.0.saturating_add(TOKEN_SECONDS_MAX));
        if terms.expires.is_none_or(|end| end > latest) {
            return Err(ChangeError::End);
        }
        let is_over = |slot: &&SlotRecord| {
            slot.kind() == SlotKind::Token && slot.expires().is_some_and(|end| end <= now)
        };
        let gone: Vec<_> = self.locked.slots.iter().filter(is_over).map(SlotRecord::slot).collect();
        let secret = code::token(entropy);
        let new = New::Secret(Unlocker::Token(&secret));
        let (slot, changes) = self.add(new, terms, &gone, Renewal::Routine, now, entropy)?;
        Ok(NewUnlocker { slot, secret, changes })
    }

    /// A new unlocker whose secret stays with its owner's program: OPAQUE, a passkey, a device's
    /// key. Its identifier is the one that program chose.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::End`], [`ChangeError::Taken`],
    /// [`ChangeError::NoRecovery`], [`ChangeError::TooMany`], [`ChangeError::Seal`].
    pub fn add_public(
        &mut self,
        public: SlotPublic,
        terms: &Terms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        if self.is_taken(public.slot()) {
            return Err(ChangeError::Taken);
        }
        let new = New::Public(Box::new(public));
        self.add(new, terms, &[], Renewal::Routine, now, entropy).map(|(_, changes)| changes)
    }

    /// A new recovery code beside the old one, which serves until its owner has shown that the
    /// new one is in their hands ([`Unlocked::settle_recovery`]).
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::TooMany`], [`ChangeError::Seal`].
    pub fn add_recovery(
        &mut self,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewUnlocker, ChangeError> {
        let secret = code::recovery_code(entropy);
        let new = New::Secret(Unlocker::Recovery(&secret));
        let (slot, changes) = self.add(new, &everything(), &[], Renewal::Routine, now, entropy)?;
        Ok(NewUnlocker { slot, secret, changes })
    }

    /// Takes every recovery code away but the one this account was just unlocked with, which has
    /// to be `new`: who types the old one has not got the new one.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`]; [`ChangeError::Unknown`] if it was unlocked with another; as
    /// [`Unlocked::revoke`].
    pub fn settle_recovery(
        &mut self,
        new: SlotId,
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let codes = self.of_kind(SlotKind::Recovery);
        if self.slot != new || !codes.contains(&new) {
            return Err(ChangeError::Unknown);
        }
        let stays = |slot: SlotId| slot == new || !codes.contains(&slot);
        let slots = self.locked.slots.iter();
        let slots: Vec<_> = slots.filter(|known| stays(known.slot())).cloned().collect();
        let gone = codes.iter().filter(|slot| **slot != new);
        let delete = gone.map(|slot| (RecordKind::Slot, slot_row(*slot))).collect();
        let changes = Changes { put: Vec::new(), delete };
        self.exchange_slots(slots, changes, renewal, now, entropy)
    }

    /// A new password in the place of every old one.
    ///
    /// # Errors
    /// As [`Unlocked::revoke`]; [`ChangeError::Short`], [`ChangeError::Password`].
    pub fn set_password(
        &mut self,
        password: &str,
        pepper: Option<&Secret<32>>,
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        let with = chosen(password, pepper).ok_or(ChangeError::Short)?;
        let gone = self.of_kind(SlotKind::Password);
        self.add(New::Secret(with), &everything(), &gone, renewal, now, entropy)
            .map(|(_, changes)| changes)
    }

    /// Takes an unlocker away.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::Unknown`], [`ChangeError::LastRecovery`],
    /// [`ChangeError::Seal`]; and where keys are renewed, [`ChangeError::Policy`],
    /// [`ChangeError::Tampered`].
    pub fn revoke(
        &mut self,
        slot: SlotId,
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let is_it = |known: &&SlotRecord| known.slot() == slot;
        let gone = self.locked.slots.iter().find(is_it).ok_or(ChangeError::Unknown)?;
        if self.of_kind(SlotKind::Recovery) == [gone.slot()] {
            return Err(ChangeError::LastRecovery);
        }
        let slots = self.locked.slots.iter().filter(|known| !is_it(known)).cloned().collect();
        let delete = vec![(RecordKind::Slot, slot_row(slot))];
        let changes = Changes { put: Vec::new(), delete };
        self.exchange_slots(slots, changes, renewal, now, entropy)
    }

    /// Gives an unlocker another name. Its networks stay.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::Unknown`], [`ChangeError::Name`],
    /// [`ChangeError::Tampered`], [`ChangeError::Seal`].
    pub fn rename(
        &mut self,
        slot: SlotId,
        name: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let mut slots = self.locked.slots.clone();
        let known = slots.iter_mut().find(|known| known.slot() == slot);
        let known = known.ok_or(ChangeError::Unknown)?;
        let note = known.note(self.account, &self.inner.root);
        let note = note.map_err(|_| ChangeError::Tampered)?;
        let note = Note::new(name, note.networks())?;
        *known = known.noted(&note, &self.inner.master, entropy)?;
        let changes = Changes { put: vec![slot_record(known)], delete: Vec::new() };
        self.exchange_slots(slots, changes, Renewal::Routine, now, entropy)
    }

    /// Every unlocker and what its owner says of it.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`], [`ChangeError::Tampered`].
    pub fn notes(&self) -> Result<Vec<(&SlotRecord, Note)>, ChangeError> {
        self.sudo()?;
        let noted = |slot| {
            let note = SlotRecord::note(slot, self.account, &self.inner.root);
            note.map(|note| (slot, note)).map_err(|_| ChangeError::Tampered)
        };
        self.locked.slots.iter().map(noted).collect()
    }

    /// One more slot, and those that are `gone` away.
    pub(super) fn add(
        &mut self,
        new: New<'_>,
        terms: &Terms,
        gone: &[SlotId],
        renewal: Renewal<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(SlotId, Changes), ChangeError> {
        self.sudo()?;
        if terms.expires.is_some_and(|end| end <= now) {
            return Err(ChangeError::End);
        }
        let (identity, master) = (&self.inner.identity, &self.inner.master);
        let enrolment = enrolment(terms, now, identity, master, entropy);
        let slot = match new {
            New::Secret(with) => SlotRecord::enrol(&with, &enrolment, entropy),
            New::Public(public) => SlotRecord::enrol_public(*public, &enrolment, entropy),
        };
        let slot = slot.map_err(ChangeError::Password)?;
        let (id, put) = (slot.slot(), vec![slot_record(&slot)]);
        let delete = gone.iter().map(|gone| (RecordKind::Slot, slot_row(*gone))).collect();
        let stay = self.locked.slots.iter().filter(|known| !gone.contains(&known.slot())).cloned();
        let slots: Vec<_> = stay.chain([slot]).collect();
        sound(&slots)?;
        let changes = Changes { put, delete };
        Ok((id, self.exchange_slots(slots, changes, renewal, now, entropy)?))
    }

    pub(super) fn is_taken(&self, slot: SlotId) -> bool {
        self.locked.slots.iter().any(|known| slot_row(known.slot()) == slot_row(slot))
    }

    pub(super) fn of_kind(&self, kind: SlotKind) -> Vec<SlotId> {
        let slots = self.locked.slots.iter().filter(|slot| slot.kind() == kind);
        slots.map(SlotRecord::slot).collect()
    }

    pub(super) fn sudo(&self) -> Result<(), ChangeError> {
        if self.inner.scope.contains(Scope::SUDO) { Ok(()) } else { Err(ChangeError::Sudo) }
    }
}

fn no_sudo(scope: Scope) -> Result<(), ChangeError> {
    if scope.contains(Scope::SUDO) { Err(ChangeError::Sudo) } else { Ok(()) }
}

pub(super) fn everything() -> Terms {
    Terms { scope: Scope::ALL, expires: None, note: Note::default() }
}

/// specs/bw1.md §4.1, and how many there may be.
fn sound(slots: &[SlotRecord]) -> Result<(), ChangeError> {
    let count = |kind| slots.iter().filter(|slot| slot.kind() == kind).count();
    let passwords = count(SlotKind::Password);
    let forgotten = passwords + count(SlotKind::Opaque) + count(SlotKind::Passkey);
    if forgotten > 0 && count(SlotKind::Recovery) == 0 {
        return Err(ChangeError::NoRecovery);
    }
    // Of two, a login would have to say which.
    if slots.len() > SLOTS_MAX || passwords > PASSWORDS_MAX || count(SlotKind::Opaque) > 1 {
        return Err(ChangeError::TooMany);
    }
    Ok(())
}
