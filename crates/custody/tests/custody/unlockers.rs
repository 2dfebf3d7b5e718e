//! Unlockers given, named, limited and taken away.

use crate::user::{Keystore, ROUTINE, SUSPECT, attempt, terms};
use crate::world::NOW;
use core::net::IpAddr;
use custody::user::{Attempt, ChangeError, TOKEN_SECONDS_MAX, Terms, UnlockError, Unlocked};
use seal::Secret;
use seal::note::{Note, NoteError};
use seal::slot::{PasswordCost, Scope, SlotKind, Unlocker};
use vocab::{SlotId, Timestamp};

const PASSWORD: &str = "a long enough password";
const OTHER: &str = "another long password";

fn sudo(keystore: &Keystore, secret: &str) -> Unlocked {
    keystore.locked().unlock(&attempt(secret, Scope::SUDO, NOW)).unwrap()
}

fn refused(keystore: &Keystore, secret: &str, scope: Scope) -> Option<UnlockError> {
    keystore.locked().unlock(&attempt(secret, scope, NOW)).err()
}

fn names(unlocked: &Unlocked) -> Vec<(SlotKind, String)> {
    let notes = unlocked.notes().unwrap();
    notes.iter().map(|(slot, note)| (slot.kind(), note.name().to_owned())).collect()
}

fn noted(name: &str, networks: &[&str]) -> Terms {
    let networks: Vec<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
    Terms { note: Note::new(name, &networks).unwrap(), ..terms(Scope::IMAP, None) }
}

#[test]
fn an_unlocker_has_a_name_that_its_owner_reads_and_changes_and_a_new_master_key_keeps() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut session = sudo(&keystore, &recovery);
    let terms = noted("phone", &["192.0.2.0/24"]);
    let phone = session.add_app_password(&terms, NOW, &keystore.chance).unwrap();
    keystore.commit(phone.changes);
    let laptop = session.add_app_password(&noted("laptop", &[]), NOW, &keystore.chance).unwrap();
    keystore.commit(laptop.changes);
    let changes = session.rename(phone.slot, "old phone", NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let changes = session.revoke(laptop.slot, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let session = sudo(&keystore, &recovery);
    let (recovery, app) = (SlotKind::Recovery, SlotKind::AppPassword);
    let mut all = names(&session);
    all.sort_by_key(|(kind, _)| *kind as u8);
    assert_eq!(all, [(app, "old phone".to_owned()), (recovery, String::new())]);
    let notes = session.notes().unwrap();
    let (_, note) = notes.iter().find(|(slot, _)| slot.slot() == phone.slot).unwrap();
    assert_eq!(note.networks()[0].to_string(), "192.0.2.0/24");
}

#[test]
fn only_who_may_change_unlockers_reads_or_changes_names() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut owner = sudo(&keystore, &recovery);
    let app = owner.add_app_password(&noted("phone", &[]), NOW, &keystore.chance).unwrap();
    keystore.commit(app.changes);
    let locked = keystore.locked();
    let mut session = locked.unlock(&attempt(&app.secret, Scope::IMAP, NOW)).unwrap();
    assert!(session.slot() == app.slot && owner.slot() != app.slot);
    let (chance, session_slot) = (&keystore.chance, session.slot());
    let token = terms(Scope::IMAP, Some(Timestamp(NOW.0 + 60)));
    for refused in [
        session.notes().err(),
        session.rename(app.slot, "mine", NOW, chance).err(),
        session.revoke(app.slot, ROUTINE, NOW, chance).err(),
        session.add_token(&token, NOW, chance).err(),
        session.add_recovery(NOW, chance).err(),
        session.settle_recovery(session_slot, SUSPECT, NOW, chance).err(),
        session.set_password(PASSWORD, None, SUSPECT, NOW, chance).err(),
    ] {
        assert_eq!(refused, Some(ChangeError::Sudo));
    }
    let refused = owner.rename(SlotId([0; 16]), "nobody", NOW, chance).err();
    assert_eq!(refused, Some(ChangeError::Unknown));
    let refused = owner.rename(app.slot, &"n".repeat(64), NOW, chance).err();
    assert_eq!(refused, Some(ChangeError::Name(NoteError::Name)));
}

#[test]
fn an_unlocker_serves_only_from_its_networks() {
    let (mut keystore, recovery) = Keystore::new(None);
    let terms = noted("office", &["192.0.2.0/24", "2001:db8::/32"]);
    let mut session = sudo(&keystore, &recovery);
    let app = session.add_app_password(&terms, NOW, &keystore.chance).unwrap();
    keystore.commit(app.changes);
    let locked = keystore.locked();
    let from = |from: Option<&str>| {
        let from: Option<IpAddr> = from.map(|text| text.parse().unwrap());
        locked.unlock(&Attempt { from, ..attempt(&app.secret, Scope::IMAP, NOW) }).err()
    };
    for inside in ["192.0.2.200", "::ffff:192.0.2.200", "2001:db8::1"] {
        assert_eq!(from(Some(inside)), None, "{inside}");
    }
    for outside in [Some("198.51.100.1"), Some("2001:db9::1"), None] {
        assert_eq!(from(outside), Some(UnlockError::Network));
    }
    // Said before what it may be used for: a thief learns nothing of it.
    let elsewhere = Attempt { from: None, ..attempt(&app.secret, Scope::SUDO, NOW) };
    assert_eq!(locked.unlock(&elsewhere).err(), Some(UnlockError::Network));
}

#[test]
fn a_token_ends_within_a_day_and_the_next_one_sweeps_it_away() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut session = sudo(&keystore, &recovery);
    let at = |seconds| Some(Timestamp(NOW.0 + seconds));
    for end in [None, at(TOKEN_SECONDS_MAX + 1), at(0)] {
        let refused = session.add_token(&terms(Scope::IMAP, end), NOW, &keystore.chance).err();
        assert_eq!(refused, Some(ChangeError::End));
    }
    let refused = session.add_token(&terms(Scope::ALL, at(60)), NOW, &keystore.chance).err();
    assert_eq!(refused, Some(ChangeError::Sudo));
    let first = session.add_token(&terms(Scope::IMAP, at(60)), NOW, &keystore.chance).unwrap();
    keystore.commit(first.changes);
    let locked = keystore.locked();
    assert!(locked.unlock(&attempt(&first.secret, Scope::IMAP, NOW)).is_ok());
    let later = Timestamp(NOW.0 + 60);
    let refused = locked.unlock(&attempt(&first.secret, Scope::IMAP, later)).err();
    assert_eq!(refused, Some(UnlockError::Expired));
    let second = session.add_token(&terms(Scope::IMAP, at(3600)), later, &keystore.chance);
    keystore.commit(second.unwrap().changes);
    assert_eq!(refused_kinds(&keystore), [SlotKind::Recovery, SlotKind::Token]);
}

fn refused_kinds(keystore: &Keystore) -> Vec<SlotKind> {
    let mut kinds: Vec<_> = keystore.locked().slots().iter().map(|slot| slot.kind()).collect();
    kinds.sort_by_key(|kind| *kind as u8);
    kinds
}

#[test]
fn a_suspect_change_of_password_renews_the_keys_in_one_step() {
    let (mut keystore, recovery) = Keystore::new(Some(PASSWORD));
    let mut session = sudo(&keystore, PASSWORD);
    let app = session.add_app_password(&noted("phone", &[]), NOW, &keystore.chance).unwrap();
    keystore.commit(app.changes);
    let before = keystore.locked();
    let changes = session.set_password(OTHER, None, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let after = keystore.locked();
    assert_eq!(after.manifest().version, before.manifest().version + 1);
    assert_eq!(after.manifest().generation, before.manifest().generation + 1);
    let month = |locked: &custody::user::Locked| locked.arrival(NOW).unwrap().version.0;
    assert_eq!(month(&after), month(&before) + 1);
    assert_eq!(refused(&keystore, PASSWORD, Scope::SUDO), Some(UnlockError::Wrong));
    for (secret, scope) in
        [(OTHER, Scope::SUDO), (&*recovery, Scope::SUDO), (&*app.secret, Scope::IMAP)]
    {
        assert_eq!(refused(&keystore, secret, scope), None);
    }
}

#[test]
fn a_suspect_change_of_recovery_code_renews_the_keys_too() {
    let (mut keystore, recovery) = Keystore::new(Some(PASSWORD));
    let mut session = sudo(&keystore, PASSWORD);
    let new = session.add_recovery(NOW, &keystore.chance).unwrap();
    keystore.commit(new.changes);
    let mut session = sudo(&keystore, &new.secret);
    let changes = session.settle_recovery(new.slot, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    assert_eq!(keystore.locked().manifest().generation, 2);
    assert_eq!(refused(&keystore, &recovery, Scope::SUDO), Some(UnlockError::Wrong));
    assert_eq!(refused(&keystore, &new.secret, Scope::SUDO), None);
    assert_eq!(refused(&keystore, PASSWORD, Scope::SUDO), None);
}

#[test]
fn the_old_recovery_code_goes_only_when_the_new_one_was_typed() {
    let (mut keystore, recovery) = Keystore::new(None);
    let new = sudo(&keystore, &recovery).add_recovery(NOW, &keystore.chance).unwrap();
    keystore.commit(new.changes);
    // The power fails here: both open.
    for code in [&*recovery, &*new.secret] {
        assert_eq!(refused(&keystore, code, Scope::SUDO), None);
    }
    // Who types the old one again has not got the new one; nor is any slot a new code's.
    let chance = &keystore.chance;
    let old = sudo(&keystore, &recovery).slot();
    for (code, slot) in [(&*recovery, new.slot), (&*new.secret, old), (&*recovery, SlotId([0; 16]))]
    {
        let settled = sudo(&keystore, code).settle_recovery(slot, ROUTINE, NOW, chance);
        assert_eq!(settled.err(), Some(ChangeError::Unknown));
    }
    // One that was begun and never settled goes with the old one.
    let lost = sudo(&keystore, &recovery).add_recovery(NOW, chance).unwrap();
    keystore.commit(lost.changes);
    let mut session = sudo(&keystore, &new.secret);
    let changes = session.settle_recovery(new.slot, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    for code in [&*recovery, &*lost.secret] {
        assert_eq!(refused(&keystore, code, Scope::SUDO), Some(UnlockError::Wrong));
    }
    assert_eq!(refused(&keystore, &new.secret, Scope::SUDO), None);
    assert_eq!(keystore.locked().slots().len(), 1);
}

#[test]
fn a_routine_change_leaves_the_keys_and_what_else_opens_them() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut session = sudo(&keystore, &recovery);
    let changes = session.set_password(PASSWORD, None, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let app = session.add_app_password(&noted("phone", &[]), NOW, &keystore.chance).unwrap();
    keystore.commit(app.changes);
    let changes = session.revoke(app.slot, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    assert_eq!(keystore.locked().manifest().generation, 1);
    assert_eq!(refused(&keystore, &app.secret, Scope::IMAP), Some(UnlockError::Wrong));
    assert_eq!(refused(&keystore, PASSWORD, Scope::SUDO), None);
    assert_eq!(refused(&keystore, &recovery, Scope::SUDO), None);
}

#[test]
fn a_device_and_a_passkey_unlock_with_what_their_owner_s_program_keeps() {
    let (mut keystore, recovery) = Keystore::new(None);
    let mut session = sudo(&keystore, &recovery);
    let (account, key) = (keystore.locked().manifest().account, Secret::copied(&[7; 32]));
    let salt = [8; 32];
    let programs = [
        (Unlocker::Device(&key), SlotId([0x11; 16])),
        (Unlocker::Passkey { output: &key, salt: &salt }, SlotId([0x22; 16])),
    ];
    for (with, slot) in &programs {
        let identity = keystore.locked().manifest().identity;
        let cost = PasswordCost::FLOOR;
        let public = |chance: &_| with.public(account, *slot, &identity, cost, chance).unwrap();
        let terms = terms(Scope::ALL, None);
        let once = public(&keystore.chance);
        let changes = session.add_public(once, &terms, NOW, &keystore.chance).unwrap();
        keystore.commit(changes);
        let again = public(&keystore.chance);
        let refused = session.add_public(again, &terms, NOW, &keystore.chance).err();
        assert_eq!(refused, Some(ChangeError::Taken));
    }
    // A revocation needs neither of them.
    let stolen = session.add_app_password(&noted("", &[]), NOW, &keystore.chance).unwrap();
    keystore.commit(stolen.changes);
    let changes = session.revoke(stolen.slot, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    // The owner's half: it gets the records and opens them itself.
    let (locked, manifest) = (keystore.locked(), keystore.manifest());
    for (with, slot) in &programs {
        let record = locked.slots().iter().find(|known| known.slot() == *slot).unwrap();
        let opened = seal::unlock::unlock(account, record, &manifest, with, NOW, 1).unwrap();
        assert_eq!(opened.master.generation(), 2);
    }
}
