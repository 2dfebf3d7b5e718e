//! The owner's way in.

use crate::world::{Chance, DAY, MADE, NOW, World};
use custody::user::{
    Attempt, ChangeError, Changes, CreateAccount, CreateError, Locked, LockedError, MANIFEST_ROW,
    Record, Renewal, Tampered, Terms, UnlockError, create,
};
use seal::epoch::{STANDING, epoch_of};
use seal::manifest::SignedManifest;
use seal::note::Note;
use seal::slot::{Scope, SlotKind};
use std::collections::BTreeMap;
use vocab::{AccountId, CellId, Custody, Epoch, EpochVersion, RecordKind, Row, SlotId, Timestamp};

pub(crate) fn attempt(secret: &str, scope: Scope, now: Timestamp) -> Attempt<'_> {
    Attempt { secret, scope, from: None, passwords: true, pepper: None, now, remembered: 0 }
}

pub(crate) const ROUTINE: Renewal<'static> = Renewal::Routine;
pub(crate) const SUSPECT: Renewal<'static> = Renewal::Suspect(None);

pub(crate) fn terms(scope: Scope, expires: Option<Timestamp>) -> Terms {
    Terms { scope, expires, note: Note::default() }
}

/// An account's keystore as a store would keep it.
pub(crate) struct Keystore {
    account: AccountId,
    pub(crate) chance: Chance,
    rows: BTreeMap<(RecordKind, Row), Vec<u8>>,
}

impl Keystore {
    pub(crate) fn new(password: Option<&str>) -> (Self, String) {
        let (account, chance) = (AccountId([1; 16]), Chance::new(1));
        let (cell, custody) = (CellId([2; 16]), Custody::Sealed);
        let with = CreateAccount {
            account,
            cell,
            custody,
            escrow: None,
            password,
            pepper: None,
            now: MADE,
        };
        let created = create(&with, &chance).unwrap();
        let mut keystore = Self { account, chance, rows: BTreeMap::new() };
        keystore.commit(Changes { put: created.records, delete: Vec::new() });
        (keystore, created.recovery_code.to_string())
    }

    pub(crate) fn commit(&mut self, changes: Changes) {
        for place in changes.delete {
            assert!(self.rows.remove(&place).is_some());
        }
        for Record { kind, row, bytes } in changes.put {
            self.rows.insert((kind, row), bytes);
        }
    }

    fn read(&self) -> Result<Locked, LockedError> {
        Locked::from_records(
            self.account,
            self.rows.iter().map(|((kind, _), bytes)| (*kind, bytes)),
        )
    }

    pub(crate) fn manifest(&self) -> SignedManifest {
        SignedManifest::decode(&self.rows[&(RecordKind::Manifest, MANIFEST_ROW)]).unwrap()
    }

    pub(crate) fn locked(&self) -> Locked {
        self.read().unwrap()
    }
}

#[test]
fn a_recovery_code_opens_a_new_account_and_nothing_else_does() {
    let (keystore, recovery) = Keystore::new(None);
    let locked = keystore.locked();
    let unlocked = locked.unlock(&attempt(&recovery, Scope::SUDO, NOW)).unwrap();
    assert_eq!((unlocked.version(), unlocked.scope()), (1, Scope::ALL));
    let keys = unlocked.into_keys();
    assert_eq!(keys.standing().unwrap().epoch(), STANDING);
    assert_eq!(keys.current(MADE).unwrap().epoch(), epoch_of(MADE));
    assert_eq!(keys.epochs().count(), 14);
    let other = Keystore::new(None).1;
    assert_eq!(recovery, other, "the same chance makes the same code");
    let wrong = create(
        &CreateAccount {
            account: AccountId([1; 16]),
            cell: CellId([2; 16]),
            custody: Custody::Sealed,
            escrow: None,
            password: None,
            pepper: None,
            now: MADE,
        },
        &Chance::new(2),
    );
    let wrong = wrong.unwrap().recovery_code;
    for secret in [wrong.as_str(), "correct horse battery staple", ""] {
        let refused = locked.unlock(&attempt(secret, Scope::IMAP, NOW)).err();
        assert_eq!(refused, Some(UnlockError::Wrong), "{secret}");
    }
}

#[test]
fn a_letter_can_arrive_while_locked_for_as_long_as_it_likes() {
    let (keystore, _) = Keystore::new(None);
    let locked = keystore.locked();
    let month = |now| locked.arrival(now).unwrap().epoch;
    assert_eq!(month(MADE), epoch_of(MADE));
    assert_eq!(month(NOW), epoch_of(NOW));
    assert_eq!(month(Timestamp(MADE.0 + 3650 * DAY)), Epoch(epoch_of(MADE).0 + 12));
}

#[test]
fn a_password_opens_and_is_not_tried_unless_allowed() {
    let (mut keystore, _) = Keystore::new(Some("a long enough password"));
    let locked = keystore.locked();
    let with = attempt("a long enough password", Scope::SUDO, NOW);
    let mut unlocked = locked.unlock(&with).unwrap();
    let without = Attempt { passwords: false, ..with };
    assert_eq!(locked.unlock(&without).err(), Some(UnlockError::Wrong));
    let short = unlocked.set_password("14 characters.", None, ROUTINE, NOW, &keystore.chance);
    assert_eq!(short.err(), Some(ChangeError::Short));
    let changes =
        unlocked.set_password("another password", None, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let locked = keystore.locked();
    assert_eq!(locked.unlock(&with).err(), Some(UnlockError::Wrong));
    assert!(locked.unlock(&attempt("another password", Scope::SUDO, NOW)).is_ok());
}

#[test]
fn an_app_password_opens_its_scope_until_its_end_and_changes_nothing() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut unlocked = keystore.locked().unlock(&attempt(&recovery, Scope::SUDO, NOW)).unwrap();
    let end = Timestamp(NOW.0 + DAY);
    let sudo = unlocked.add_app_password(&terms(Scope::ALL, None), NOW, &keystore.chance);
    assert_eq!(sudo.err(), Some(ChangeError::Sudo));
    let new =
        unlocked.add_app_password(&terms(Scope::IMAP, Some(end)), NOW, &keystore.chance).unwrap();
    keystore.commit(new.changes);
    let locked = keystore.locked();
    assert_eq!(locked.manifest().version, 2);
    let typed = new.secret.to_lowercase().replace('-', " ");
    let mut session = locked.unlock(&attempt(&typed, Scope::IMAP, NOW)).unwrap();
    let refused = session.add_app_password(&terms(Scope::IMAP, None), NOW, &keystore.chance);
    assert_eq!(refused.err(), Some(ChangeError::Sudo));
    let refused = |scope, now| locked.unlock(&attempt(&new.secret, scope, now)).err();
    assert_eq!(refused(Scope::JMAP, NOW), Some(UnlockError::Scope));
    assert_eq!(refused(Scope::SUDO, NOW), Some(UnlockError::Scope));
    assert_eq!(refused(Scope::IMAP, end), Some(UnlockError::Expired));
}

#[test]
fn a_revoked_app_password_opens_nothing_new_even_from_an_old_copy_of_its_slot() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut unlocked = keystore.locked().unlock(&attempt(&recovery, Scope::SUDO, NOW)).unwrap();
    let stolen =
        unlocked.add_app_password(&terms(Scope::IMAP, None), NOW, &keystore.chance).unwrap();
    keystore.commit(stolen.changes);
    let kept = unlocked.add_app_password(&terms(Scope::IMAP, None), NOW, &keystore.chance).unwrap();
    keystore.commit(kept.changes);
    let old = keystore.rows.clone();
    let changes = unlocked.revoke(stolen.slot, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let locked = keystore.locked();
    assert_eq!((locked.manifest().version, locked.manifest().generation), (4, 2));
    assert_eq!(
        locked.unlock(&attempt(&stolen.secret, Scope::IMAP, NOW)).err(),
        Some(UnlockError::Wrong)
    );
    // The others still open, old epochs too, and arrivals go to keys the old copy lacks.
    let keys = locked.unlock(&attempt(&kept.secret, Scope::IMAP, NOW)).unwrap().into_keys();
    for (epoch, version) in keys.epochs() {
        assert!(keys.epoch(epoch, version).is_ok());
    }
    assert_eq!(locked.arrival(NOW).unwrap().version, EpochVersion(2));
    assert_eq!(keys.standing().unwrap().version(), EpochVersion(2));
    assert!(locked.unlock(&attempt(&recovery, Scope::SUDO, NOW)).is_ok());
    // The slot put back, and the slot with its manifest put back.
    let row = custody::user::slot_row(stolen.slot);
    keystore.rows.insert((RecordKind::Slot, row), old[&(RecordKind::Slot, row)].clone());
    assert_eq!(keystore.read().err(), Some(LockedError::Slots));
    keystore.rows = old;
    let remembering = Attempt { remembered: 4, ..attempt(&recovery, Scope::IMAP, NOW) };
    assert_eq!(
        keystore.locked().unlock(&remembering).err(),
        Some(UnlockError::Tampered(Tampered::Rollback))
    );
}

#[test]
fn the_last_recovery_code_stays() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut unlocked = keystore.locked().unlock(&attempt(&recovery, Scope::SUDO, NOW)).unwrap();
    let slot = unlocked.locked().slots()[0].slot();
    let refused = unlocked.revoke(slot, SUSPECT, NOW, &keystore.chance);
    assert_eq!(refused.err(), Some(ChangeError::LastRecovery));
    let refused = unlocked.revoke(SlotId([0; 16]), SUSPECT, NOW, &keystore.chance);
    assert_eq!(refused.err(), Some(ChangeError::Unknown));
    let new = unlocked.add_recovery(NOW, &keystore.chance).unwrap();
    keystore.commit(new.changes);
    let mut unlocked = keystore.locked().unlock(&attempt(&new.secret, Scope::SUDO, NOW)).unwrap();
    let changes = unlocked.settle_recovery(new.slot, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let refused = unlocked.revoke(new.slot, SUSPECT, NOW, &keystore.chance);
    assert_eq!(refused.err(), Some(ChangeError::LastRecovery));
    let locked = keystore.locked();
    assert_eq!(locked.slots().len(), 1);
    assert_eq!(locked.slots()[0].kind(), SlotKind::Recovery);
    assert!(locked.unlock(&attempt(&recovery, Scope::SUDO, NOW)).is_err());
    assert!(locked.unlock(&attempt(&new.secret, Scope::SUDO, NOW)).is_ok());
}

#[test]
fn months_ahead_are_made_at_unlock_and_escrowed() {
    let mut world = World::new();
    let mut unlocked = world.locked().unlock(&attempt(&world.recovery, Scope::IMAP, NOW)).unwrap();
    assert_eq!(unlocked.upkeep(None, NOW, &world.chance).err(), Some(ChangeError::Policy));
    let changes = unlocked.upkeep(Some(&world.policy), NOW, &world.chance).unwrap();
    // Two months passed: two boxes, two escrows, a manifest.
    assert_eq!((changes.put.len(), changes.delete.len()), (5, 0));
    assert!(unlocked.upkeep(Some(&world.policy), NOW, &world.chance).unwrap().is_empty());
    world.records.retain(|record| record.kind != RecordKind::Manifest);
    world.records.extend(changes.put);
    let locked = world.locked();
    let last = locked.epochs().last().unwrap();
    assert_eq!(last.0, Epoch(epoch_of(NOW).0 + 12));
    let escrow = world.escrow(last.0);
    assert_eq!(locked.escrow(last.0, last.1), Some(escrow.digest()));
}

#[test]
fn custody_without_holders_and_holders_without_custody_are_refused() {
    let world = World::new();
    let with = |custody, escrow| {
        let (account, cell) = (AccountId([3; 16]), world.cell);
        let with = CreateAccount {
            account,
            cell,
            custody,
            escrow,
            password: None,
            pepper: None,
            now: NOW,
        };
        create(&with, &world.chance).err()
    };
    assert_eq!(with(Custody::Trustee, None), Some(CreateError::Custody));
    assert_eq!(with(Custody::Sealed, Some(&world.policy)), Some(CreateError::Custody));
    assert_eq!(with(Custody::Managed, Some(&world.policy)), Some(CreateError::Custody));
}

#[test]
fn whatever_is_altered_in_the_keystore_is_noticed() {
    let (keystore, recovery) = Keystore::new(None);
    for (place, bytes) in &keystore.rows {
        for at in [2, 30, bytes.len() / 2, bytes.len() - 1] {
            let mut rows = keystore.rows.clone();
            rows.get_mut(place).unwrap()[at] ^= 1;
            let altered = Keystore { account: keystore.account, chance: Chance::new(1), rows };
            assert!(altered.read().is_err(), "{place:?} {at}");
        }
        let mut rows = keystore.rows.clone();
        rows.remove(place);
        let altered = Keystore { account: keystore.account, chance: Chance::new(1), rows };
        assert!(altered.read().is_err(), "{place:?}");
    }
    // Another account's whole keystore in its place: the code does not fit it.
    let records = keystore.rows.iter().map(|((kind, _), bytes)| (*kind, bytes));
    let other = Locked::from_records(AccountId([9; 16]), records);
    assert_eq!(other.err(), Some(LockedError::Account));
    // A keystore made anew by someone who controls the store.
    let with = CreateAccount {
        account: keystore.account,
        cell: CellId([2; 16]),
        custody: Custody::Sealed,
        escrow: None,
        password: None,
        pepper: None,
        now: MADE,
    };
    let forged = create(&with, &Chance::new(5)).unwrap().records;
    let slots = keystore.rows.iter().filter(|((kind, _), _)| *kind == RecordKind::Slot);
    let slots = slots.map(|((kind, _), bytes)| (*kind, bytes.clone()));
    let mixed = forged.into_iter().filter(|record| record.kind != RecordKind::Slot);
    let mixed = mixed.map(|record| (record.kind, record.bytes)).chain(slots);
    assert_eq!(Locked::from_records(keystore.account, mixed).err(), Some(LockedError::Slots));
    assert!(keystore.locked().unlock(&attempt(&recovery, Scope::SUDO, NOW)).is_ok());
}
