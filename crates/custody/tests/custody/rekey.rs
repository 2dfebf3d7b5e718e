//! A whole account re-keyed, and changes of custody: what old keys, secrets and shares open then.

use crate::user::{Keystore, attempt, terms};
use crate::world::{HeldKey, MONTH, NOW, World};
use custody::user::{ChangeError, Locked, LockedError, Target, Unlocked};
use seal::epoch::EpochRecord;
use seal::escrow::{Escrow, Share};
use seal::row::RowKeys;
use seal::slot::Scope;
use vocab::{CellId, Custody, Epoch, EpochVersion, ModSeq, RecordKind, Row};

const CELL: CellId = CellId([2; 16]);
const SEALED: Target<'static> = Target { cell: CELL, custody: Custody::Sealed, escrow: None };

fn sudo(locked: &Locked, secret: &str) -> Unlocked {
    locked.unlock(&attempt(secret, Scope::SUDO, NOW)).unwrap()
}

fn target(world: &World) -> Target<'_> {
    let custody = world.policy.custody();
    Target { cell: world.cell, custody, escrow: Some(&world.policy) }
}

fn shares(escrow: &Escrow, held: &[&[HeldKey]]) -> Vec<Share> {
    let of = |id| held.iter().flat_map(|side| side.iter()).find(|held| held.id == id);
    let boxes = escrow.share_boxes().iter();
    boxes.filter_map(|share| share.open(&of(share.holder)?.key).ok()).collect()
}

/// Every epoch once, in this version.
fn versions(locked: &Locked) -> Vec<u32> {
    let mut versions: Vec<u32> = locked.epochs().map(|(_, version)| version.0).collect();
    versions.dedup();
    versions
}

#[test]
fn every_epoch_has_a_next_version_beside_the_old_one_until_the_old_ones_are_taken_away() {
    let (mut keystore, recovery) = Keystore::new(None);
    let before = keystore.locked();
    let mut session = sudo(&before, &recovery);
    let changes = session.begin_rekey(&SEALED, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let locked = keystore.locked();
    assert_eq!(locked.manifest().generation, before.manifest().generation + 1);
    assert_eq!(locked.superseded(), before.epochs().collect::<Vec<_>>());
    assert_eq!(locked.epochs().count(), 2 * before.epochs().count());
    // What was written before opens still; what is written now is under the new ones.
    let keys = sudo(&locked, &recovery).into_keys();
    for (epoch, version) in locked.epochs() {
        assert!(keys.epoch(epoch, version).is_ok());
    }
    assert_eq!(keys.standing().unwrap().version(), EpochVersion(2));
    assert_eq!(locked.arrival(NOW).unwrap().version, EpochVersion(2));
    let mut session = locked.unlock(&attempt(&recovery, Scope::IMAP, NOW)).unwrap();
    let changes = session.finish_rekey(NOW).unwrap();
    keystore.commit(changes);
    let locked = keystore.locked();
    assert_eq!(versions(&locked), [2]);
    assert_eq!(locked.epochs().count(), before.epochs().count());
    assert!(locked.superseded().is_empty());
    assert!(sudo(&locked, &recovery).finish_rekey(NOW).unwrap().is_empty());
}

#[test]
fn begun_twice_is_as_good_as_once() {
    let (mut keystore, recovery) = Keystore::new(None);
    for _ in 0..2 {
        let mut session = sudo(&keystore.locked(), &recovery);
        let changes = session.begin_rekey(&SEALED, NOW, &keystore.chance).unwrap();
        keystore.commit(changes);
    }
    let mut session = sudo(&keystore.locked(), &recovery);
    let changes = session.finish_rekey(NOW).unwrap();
    keystore.commit(changes);
    assert_eq!(versions(&keystore.locked()), [3]);
}

#[test]
fn an_old_copy_and_its_secret_open_nothing_that_is_sealed_after_a_rekey() {
    let (mut keystore, recovery) = Keystore::new(None);
    let old = keystore.locked();
    let thief = sudo(&old, &recovery);
    let thief_keys = thief.into_keys();
    let mut session = sudo(&old, &recovery);
    let changes = session.begin_rekey(&SEALED, NOW, &keystore.chance).unwrap();
    let boxes: Vec<EpochRecord> = changes
        .put
        .iter()
        .filter(|record| record.kind == RecordKind::EpochBox)
        .map(|record| EpochRecord::decode(&record.bytes).unwrap())
        .collect();
    keystore.commit(changes);
    let locked = keystore.locked();
    let keys = sudo(&locked, &recovery).into_keys();
    let chance = &keystore.chance;
    for (epoch, version) in old.epochs() {
        let next = keys.epoch(epoch, EpochVersion(version.0 + 1)).unwrap();
        let thief = RowKeys::of_epoch(thief_keys.epoch(epoch, version).unwrap()).unwrap();
        let rows = RowKeys::of_epoch(next).unwrap();
        let (kind, row) = (RecordKind::Message, Row(1));
        let sealed = rows.seal(kind, row, ModSeq(1), b"text", chance).unwrap();
        assert!(thief.open(kind, row, &sealed).is_err());
        // Not even as if it were in the version the thief has.
        let mut claimed = sealed;
        claimed[4..8].copy_from_slice(&version.0.to_be_bytes());
        assert!(thief.open(kind, row, &claimed).is_err());
        // New letters are sealed to another key, in every month.
        let public = |keys: &seal::epoch::EpochKeys| keys.public(NOW).key;
        assert!(public(next) != public(thief_keys.epoch(epoch, version).unwrap()));
    }
    // The old master key is of no use with the new records.
    let old_root = seal_root(&old, &recovery);
    assert!(boxes.iter().all(|record| record.open(&old_root).is_err()));
}

/// The root key that an old copy of the keystore and its secret lead to.
fn seal_root(locked: &Locked, recovery: &str) -> seal::root::RootKey {
    let slot = &locked.slots()[0];
    let with = seal::slot::Unlocker::Recovery(recovery);
    let signed = signed(locked);
    let account = locked.manifest().account;
    let opened = seal::unlock::unlock(account, slot, &signed, &with, NOW, 0);
    opened.ok().unwrap().master.root()
}

fn signed(locked: &Locked) -> seal::manifest::SignedManifest {
    locked.signed().clone()
}

#[test]
fn to_sealed_every_escrow_goes_and_old_shares_open_no_key_that_is_left() {
    let mut world = World::new();
    let old = world.escrow(MONTH);
    let all = shares(&old, &[&world.trustees, &world.guards]);
    let held = old.open(&all).ok().unwrap();
    let target = Target { cell: world.cell, custody: Custody::Sealed, escrow: None };
    let mut session = sudo(&world.locked(), &world.recovery);
    let changes = session.begin_rekey(&target, NOW, &world.chance).unwrap();
    world.commit(changes);
    assert!(world.escrows().is_empty());
    let manifest = world.locked().manifest().clone();
    assert_eq!((manifest.custody, manifest.policy), (Custody::Sealed, None));
    let mut session = sudo(&world.locked(), &world.recovery);
    let changes = session.finish_rekey(NOW).unwrap();
    world.commit(changes);
    let keys = sudo(&world.locked(), &world.recovery).into_keys();
    assert!(keys.epoch(MONTH, EpochVersion(1)).is_err());
    let now = keys.epoch(MONTH, EpochVersion(2)).unwrap();
    let rows = RowKeys::of_epoch(now).unwrap();
    let sealed = rows.seal(RecordKind::Message, Row(1), ModSeq(1), b"text", &world.chance).unwrap();
    let by_holders = RowKeys::of_epoch(&held).unwrap();
    assert!(by_holders.open(RecordKind::Message, Row(1), &sealed).is_err());
    assert!(held.public(NOW).key != now.public(NOW).key);
    // And at the next login nothing comes back.
    let mut login = world.locked().unlock(&attempt(&world.recovery, Scope::IMAP, NOW)).unwrap();
    let changes = login.upkeep(None, NOW, &world.chance).unwrap();
    world.commit(changes);
    assert!(world.escrows().is_empty());
}

#[test]
fn to_trustee_or_managed_every_epoch_is_escrowed_for_its_holders() {
    for custody in [Custody::Trustee, Custody::Managed] {
        let mut world = World::with(Custody::Trustee, (2, 3), (2, 2));
        let sealed = Target { cell: world.cell, custody: Custody::Sealed, escrow: None };
        let mut session = sudo(&world.locked(), &world.recovery);
        let changes = session.begin_rekey(&sealed, NOW, &world.chance).unwrap();
        world.commit(changes);
        world.replace_holders(custody);
        let mut session = sudo(&world.locked(), &world.recovery);
        let changes = session.begin_rekey(&target(&world), NOW, &world.chance).unwrap();
        world.commit(changes);
        let locked = world.locked();
        assert_eq!(locked.manifest().custody, custody);
        // Also what is still to be sealed anew: an order can reach it meanwhile.
        assert_eq!(world.escrows().len(), locked.epochs().count());
        let mut session = sudo(&locked, &world.recovery);
        let changes = session.finish_rekey(NOW).unwrap();
        world.commit(changes);
        let escrows = world.escrows();
        assert_eq!(escrows.len(), world.locked().epochs().count());
        for escrow in &escrows {
            let place = (escrow.epoch(), escrow.version());
            assert_eq!(world.locked().escrow(place.0, place.1), Some(escrow.digest()));
            assert!(escrow.open(&shares(escrow, &[&world.trustees, &world.guards])).is_ok());
        }
    }
}

#[test]
fn a_rekey_under_the_same_holders_keeps_old_escrows_until_its_end() {
    let mut world = World::new();
    let before = world.escrow(MONTH);
    let mut session = sudo(&world.locked(), &world.recovery);
    let changes = session.begin_rekey(&target(&world), NOW, &world.chance).unwrap();
    world.commit(changes);
    assert!(world.escrows().contains(&before));
    let mut session = sudo(&world.locked(), &world.recovery);
    let changes = session.finish_rekey(NOW).unwrap();
    world.commit(changes);
    let is_new = |escrow: &Escrow| escrow.version() == EpochVersion(2);
    assert!(world.escrows().iter().all(is_new));
    assert_eq!(world.escrows().len(), world.locked().epochs().count());
}

#[test]
fn only_the_owners_own_secret_rekeys_or_changes_custody() {
    let mut world = World::new();
    let mut owner = sudo(&world.locked(), &world.recovery);
    let app = owner.add_app_password(&terms(Scope::IMAP, None), NOW, &world.chance).unwrap();
    world.commit(app.changes);
    let sealed = Target { cell: world.cell, custody: Custody::Sealed, escrow: None };
    let mut program = world.locked().unlock(&attempt(&app.secret, Scope::IMAP, NOW)).unwrap();
    for target in [sealed, target(&world)] {
        let refused = program.begin_rekey(&target, NOW, &world.chance).err();
        assert_eq!(refused, Some(ChangeError::Sudo));
    }
    // Holders of another custody or cell, or none where there must be some.
    let mut owner = sudo(&world.locked(), &world.recovery);
    for wrong in [
        Target { custody: Custody::Managed, ..target(&world) },
        Target { cell: CellId([9; 16]), ..target(&world) },
        Target { escrow: None, ..target(&world) },
        Target { custody: Custody::Sealed, ..target(&world) },
    ] {
        let refused = owner.begin_rekey(&wrong, NOW, &world.chance).err();
        assert_eq!(refused, Some(ChangeError::Policy));
    }
}

#[test]
fn whoever_writes_the_disk_cannot_flip_the_custody() {
    let world = World::new();
    let manifest = world.locked().signed().as_bytes().to_vec();
    // specs/bw1.md §5.1: mark, account, cell, then custody.
    for custody in [0, 2] {
        let mut records: Vec<_> =
            world.records.iter().map(|record| (record.kind, record.bytes.clone())).collect();
        for (kind, bytes) in &mut records {
            if *kind == RecordKind::Manifest {
                bytes.clone_from(&manifest);
                assert_eq!(bytes[40], 1);
                bytes[40] = custody;
            }
        }
        let refused = Locked::from_records(world.account, records).err();
        assert_eq!(refused, Some(LockedError::Manifest));
    }
}

#[test]
fn an_account_that_was_rekeyed_is_told_which_of_two_keys_is_the_newer() {
    let (mut keystore, recovery) = Keystore::new(None);
    let old = sudo(&keystore.locked(), &recovery).into_keys();
    let mut session = sudo(&keystore.locked(), &recovery);
    let changes = session.begin_rekey(&SEALED, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    let new = sudo(&keystore.locked(), &recovery).into_keys();
    assert!(new.manifest().0 > old.manifest().0);
    assert_eq!(new.manifest().1, keystore.manifest().digest());
    assert_eq!(new.epochs().filter(|(epoch, _)| *epoch == Epoch(0)).count(), 2);
}
