//! A cell names other holders: accounts go over to them when their owners come.

use crate::user::{attempt, terms};
use crate::world::{HeldKey, MONTH, NOW, World};
use custody::holder::ask_trustee;
use custody::user::{ChangeError, Renewal, Unlocked};
use custody::{OrderRecord, RecipientKey};
use seal::escrow::{Escrow, EscrowPolicy, Party, Share};
use seal::slot::Scope;
use vocab::{Custody, RecordKind, SlotId};

fn unlocked(world: &World, scope: Scope) -> Unlocked {
    world.locked().unlock(&attempt(&world.recovery, scope, NOW)).unwrap()
}

fn upkeep(world: &mut World) {
    let mut unlocked = unlocked(world, Scope::IMAP);
    let changes = unlocked.upkeep(Some(&world.policy), NOW, &world.chance).unwrap();
    world.commit(changes);
}

/// Every share of an escrow that these holders can open.
fn shares(escrow: &Escrow, held: &[HeldKey]) -> Vec<Share> {
    let of = |id| held.iter().find(|held| held.id == id);
    let boxes = escrow.share_boxes().iter();
    boxes.filter_map(|share| share.open(&of(share.holder)?.key).ok()).collect()
}

/// Every escrow is listed, under the world's policy, and opens for its holders and no others.
fn check(world: &World, others: &[HeldKey]) {
    let locked = world.locked();
    assert_eq!(locked.manifest().policy, Some(world.policy.digest()));
    let escrows = world.escrows();
    assert_eq!(escrows.len(), locked.manifest().epochs.len());
    for escrow in &escrows {
        assert_eq!(escrow.policy(), world.policy.digest());
        assert_eq!(locked.escrow(escrow.epoch(), escrow.version()), Some(escrow.digest()));
        assert!(shares(escrow, others).is_empty());
        let mut all = shares(escrow, &world.trustees);
        all.extend(shares(escrow, &world.guards));
        let keys = escrow.open(&all).ok().unwrap();
        assert_eq!((keys.epoch(), keys.version()), (escrow.epoch(), escrow.version()));
    }
}

#[test]
fn a_change_of_holders_takes_every_month_along_and_leaves_the_old_ones_nothing() {
    let mut world = World::new();
    upkeep(&mut world);
    let version = world.locked().manifest().version;
    let old = std::mem::take(&mut world.trustees);
    world.trustees = old.iter().map(copy).collect();
    world.replace_holders(Custody::Trustee);
    upkeep(&mut world);
    check(&world, &old);
    // It is done once, with keys as they were, and goes on under the new holders.
    assert_eq!(world.locked().manifest().version, version + 1);
    let mut again = unlocked(&world, Scope::IMAP);
    assert!(again.upkeep(Some(&world.policy), NOW, &world.chance).unwrap().is_empty());
    let keys = again.into_keys();
    for (epoch, version) in keys.epochs() {
        assert!(keys.epoch(epoch, version).is_ok());
    }
}

fn copy(held: &HeldKey) -> HeldKey {
    HeldKey { id: held.id, key: seal::holder::HolderKey::parse(&held.key.to_text()).unwrap() }
}

#[test]
fn new_holders_release_an_old_month_and_an_order_from_before_is_void() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let before = world.evidence(&recipient);
    world.replace_holders(Custody::Trustee);
    upkeep(&mut world);
    let answer = world.trustee_answer(&before, 0, &[], NOW);
    assert!(answer.is_err(), "its tag and policy are gone");
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&recipient);
    let a = (0..2).map(|one| world.trustee_answer(&evidence, one, &[], NOW).unwrap());
    let b = (0..2).map(|one| world.guard_answer(&evidence, one, &[], NOW).unwrap());
    let answers: Vec<_> = a.chain(b).collect();
    let release = evidence.verify(&world.trust, NOW).unwrap();
    assert!(release.open(recipient, &world.escrows(), &answers, NOW).is_ok());
    let order = OrderRecord::decode(&evidence.order).unwrap();
    assert_eq!(order.epoch(MONTH, vocab::EpochVersion(1)).unwrap().policy, world.policy.digest());
    assert!(ask_trustee(&evidence, &world.escrows(), vocab::HolderId([1; 16])).is_none());
}

#[test]
fn a_revocation_takes_new_holders_along() {
    let mut world = World::new();
    let mut session = unlocked(&world, Scope::SUDO);
    let new = session.add_app_password(&terms(Scope::IMAP, None), NOW, &world.chance).unwrap();
    world.commit(new.changes);
    let old: Vec<_> = world.trustees.iter().map(copy).collect();
    world.replace_holders(Custody::Trustee);
    let mut session = unlocked(&world, Scope::SUDO);
    let changes = session
        .revoke(new.slot, Renewal::Suspect(Some(&world.policy)), NOW, &world.chance)
        .unwrap();
    world.commit(changes);
    check(&world, &old);
    assert!(world.locked().unlock(&attempt(&new.secret, Scope::IMAP, NOW)).is_err());
}

#[test]
fn holders_of_another_custody_or_cell_are_refused_and_so_are_none() {
    let mut world = World::new();
    let (trustees, guards) = (world.policy.side(Party::Trustee), world.policy.side(Party::Guard));
    let side = |(needed, holders): (u8, &[_])| (needed, holders.to_vec());
    let abroad = EscrowPolicy::new(
        vocab::CellId([0xdd; 16]),
        Custody::Trustee,
        side(trustees),
        side(guards),
    );
    let abroad = abroad.unwrap();
    world.replace_holders(Custody::Managed);
    let managed = world.policy.clone();
    for policy in [None, Some(&abroad), Some(&managed)] {
        let mut session = unlocked(&world, Scope::SUDO);
        let refused = session.upkeep(policy, NOW, &world.chance).err();
        assert_eq!(refused, Some(ChangeError::Policy));
        let slot = SlotId(session.locked().slots()[0].slot().0);
        assert!(session.revoke(slot, Renewal::Suspect(policy), NOW, &world.chance).is_err());
    }
    let boxes = world.records.iter().filter(|record| record.kind == RecordKind::EpochBox);
    assert_eq!(boxes.count(), world.locked().manifest().epochs.len());
}

#[test]
fn an_upkeep_that_was_not_stored_leaves_no_key_behind() {
    let world = World::new();
    let mut session = unlocked(&world, Scope::IMAP);
    let stored = session.locked().clone();
    assert!(!session.upkeep(Some(&world.policy), NOW, &world.chance).unwrap().is_empty());
    session.take_back(stored);
    assert_eq!(session.version(), world.locked().manifest().version);
    let keys = session.into_keys();
    let known = world.locked();
    let listed: Vec<_> = known.epochs().collect();
    assert_eq!(keys.epochs().collect::<Vec<_>>(), listed);
}
