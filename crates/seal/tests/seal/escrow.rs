//! Escrow: enough of both sides open it; nothing less, nothing altered, nothing replayed.

use seal::OpenError;
use seal::epoch::EpochKeys;
use seal::escrow::{
    CombineError, Escrow, EscrowPolicy, Party, PolicyError, Share, ShareBox, Target,
};
use seal::holder::{Holder, HolderKey, HolderPublic};
use seal::hseal::SecretKey;
use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, HolderId, Timestamp};

use crate::{fixed, flips};

struct World {
    keys: EpochKeys,
    trustees: Vec<HolderKey>,
    guards: Vec<HolderKey>,
    policy: EscrowPolicy,
    escrow: Escrow,
}

fn holders(first: u8, keys: &[HolderKey]) -> Vec<Holder> {
    (first..)
        .zip(keys)
        .map(|(id, key)| Holder { id: HolderId([id; 16]), key: key.public() })
        .collect()
}

fn world(k: u8, n: usize, j: u8, w: usize) -> World {
    let entropy = fixed("escrow");
    let generate = |count| (0..count).map(|_| HolderKey::generate(&entropy).unwrap()).collect();
    let (trustees, guards): (Vec<_>, Vec<_>) = (generate(n), generate(w));
    let policy = EscrowPolicy::new(
        CellId([0xce; 16]),
        Custody::Trustee,
        (k, holders(1, &trustees)),
        (j, holders(101, &guards)),
    )
    .unwrap();
    let keys =
        EpochKeys::generate(AccountId([0xaa; 16]), Epoch(323), EpochVersion(1), &entropy).unwrap();
    let escrow = Escrow::seal(&keys, &policy, &entropy).unwrap();
    World { keys, trustees, guards, policy, escrow }
}

impl World {
    fn boxes(&self, party: Party) -> Vec<&ShareBox> {
        self.escrow.share_boxes().iter().filter(|each| each.target.party() == party).collect()
    }

    fn shares(&self, trustees: &[usize], guards: &[usize]) -> Vec<Share> {
        let open = |party, keys: &[HolderKey], chosen: &[usize]| -> Vec<Share> {
            chosen.iter().map(|i| self.boxes(party)[*i].open(&keys[*i]).unwrap()).collect()
        };
        let mut shares = open(Party::Trustee, &self.trustees, trustees);
        shares.extend(open(Party::Guard, &self.guards, guards));
        shares
    }
}

#[test]
fn enough_trustees_with_enough_guards_open_an_epoch() {
    let world = world(3, 5, 2, 3);
    assert!(
        (9_900..10_200).contains(&world.escrow.encode().len()),
        "{}",
        world.escrow.encode().len()
    );
    for (trustees, guards) in [
        (vec![0, 1, 2], vec![0, 1]),
        (vec![4, 2, 0], vec![2, 1]),
        (vec![0, 1, 2, 3, 4], vec![0, 1, 2]),
    ] {
        let keys = world.escrow.open(&world.shares(&trustees, &guards)).unwrap();
        assert!(keys.public(Timestamp(0)) == world.keys.public(Timestamp(0)));
    }
}

#[test]
fn fewer_open_nothing_and_no_side_replaces_the_other() {
    let world = world(3, 5, 2, 3);
    let refused = |trustees: &[usize], guards: &[usize]| {
        world.escrow.open(&world.shares(trustees, guards)).err()
    };
    assert_eq!(refused(&[0, 1], &[0, 1]), Some(CombineError::Trustees));
    assert_eq!(refused(&[0, 1, 2, 3, 4], &[]), Some(CombineError::Guards));
    assert_eq!(refused(&[0, 1, 2, 3, 4], &[1]), Some(CombineError::Guards));
    assert_eq!(refused(&[], &[0, 1, 2]), Some(CombineError::Trustees));
    assert_eq!(refused(&[0, 1, 1], &[0, 1]), Some(CombineError::Share));
}

#[test]
fn one_officer_may_be_enough_for_a_vault_but_never_without_a_guard() {
    let entropy = fixed("vault");
    let officer = HolderKey::generate(&entropy).unwrap();
    let guard = HolderKey::generate(&entropy).unwrap();
    let one = |first, key: &HolderKey| (1, holders(first, std::slice::from_ref(key)));
    let cell = CellId([0xce; 16]);
    let policy =
        EscrowPolicy::new(cell, Custody::Managed, one(1, &officer), one(2, &guard)).unwrap();
    let keys =
        EpochKeys::generate(AccountId([1; 16]), Epoch(1), EpochVersion(1), &entropy).unwrap();
    let escrow = Escrow::seal(&keys, &policy, &entropy).unwrap();
    let [a, b] = escrow.share_boxes() else { panic!("two boxes") };
    let shares = [a.open(&officer).unwrap(), b.open(&guard).unwrap()];
    assert!(escrow.open(&shares).is_ok());
    assert_eq!(escrow.open(&shares[..1]).err(), Some(CombineError::Guards));
    let none = EscrowPolicy::new(cell, Custody::Managed, one(1, &officer), (0, Vec::new()));
    assert_eq!(none.err(), Some(PolicyError::Threshold));
}

#[test]
fn a_policy_that_cannot_be_is_refused() {
    let world = world(2, 3, 1, 2);
    let (_, trustees) = world.policy.side(Party::Trustee);
    let (_, guards) = world.policy.side(Party::Guard);
    let try_new = |custody, k, trustees: &[Holder], j, guards: &[Holder]| {
        let cell = world.policy.cell();
        EscrowPolicy::new(cell, custody, (k, trustees.to_vec()), (j, guards.to_vec())).err()
    };
    let trustee = Custody::Trustee;
    assert_eq!(try_new(Custody::Sealed, 2, trustees, 1, guards), Some(PolicyError::Sealed));
    assert_eq!(try_new(trustee, 4, trustees, 1, guards), Some(PolicyError::Threshold));
    assert_eq!(try_new(trustee, 0, trustees, 1, guards), Some(PolicyError::Threshold));
    assert_eq!(try_new(trustee, 2, trustees, 3, guards), Some(PolicyError::Threshold));
    // A trustee who is also a guard would be both sides at once.
    assert_eq!(try_new(trustee, 2, trustees, 1, &trustees[..1]), Some(PolicyError::Twice));
    let renamed = Holder { id: HolderId([9; 16]), key: trustees[0].key.clone() };
    assert_eq!(try_new(trustee, 2, trustees, 1, &[renamed]), Some(PolicyError::Twice));
    let mut swapped = guards.to_vec();
    swapped.swap(0, 1);
    let other =
        EscrowPolicy::new(world.policy.cell(), trustee, (2, trustees.to_vec()), (1, swapped));
    assert_ne!(other.unwrap().digest(), world.policy.digest());
}

#[test]
fn a_guard_sees_neither_account_nor_epoch() {
    let world = world(2, 2, 1, 2);
    for share in world.boxes(Party::Guard) {
        assert_eq!(share.target, Target::Tag(world.escrow.guard_tag()));
        let bytes = share.encode();
        let account = world.escrow.account().0;
        assert!(!bytes.windows(16).any(|window| window == account));
        assert_eq!(&ShareBox::decode(&bytes).unwrap(), share);
    }
}

#[test]
fn a_share_box_opens_only_for_its_holder_and_as_it_was_made() {
    let world = world(2, 3, 1, 2);
    let boxes = world.boxes(Party::Trustee);
    assert!(boxes[0].open(&world.trustees[1]).is_err());
    let bytes = boxes[0].encode();
    assert_eq!(bytes.len(), 8 + 4 + 24 + 16 + 32 + 16 + 32 + 1169);
    // index, needed, total, account, epoch, version, cell, policy, holder, commitment, box.
    let places = [9, 10, 11, 12, 31, 35, 36, 52, 84, 100, 131, 132, 1219, 1252, 1300];
    for altered in flips(&bytes, &places) {
        if let Ok(share) = ShareBox::decode(&altered) {
            assert!(share.open(&world.trustees[0]).is_err());
        }
    }
    for length in [0, 8, 12, bytes.len() - 1] {
        assert_eq!(ShareBox::decode(&bytes[..length]), Err(OpenError::Malformed));
    }
}

#[test]
fn a_released_share_serves_one_opening_under_one_leaf() {
    let world = world(2, 3, 1, 2);
    let entropy = fixed("release");
    let opening = SecretKey::generate(&entropy).unwrap();
    let leaf = Digest([7; 32]);
    let mut shares = Vec::new();
    for (share, key) in world.boxes(Party::Trustee).into_iter().zip(&world.trustees).take(2) {
        let released = share.release(key, &opening.public(), &leaf, &entropy).unwrap();
        let other = SecretKey::generate(&entropy).unwrap();
        assert!(share.receive(&released, &other, &leaf).is_err());
        assert!(share.receive(&released, &opening, &Digest([8; 32])).is_err());
        for altered in flips(&released, &[0, 1119, 1120, released.len() - 1]) {
            assert!(share.receive(&altered, &opening, &leaf).is_err());
        }
        shares.push(share.receive(&released, &opening, &leaf).unwrap());
        // Nor does it pass for another holder's.
        assert!(world.boxes(Party::Trustee)[2].receive(&released, &opening, &leaf).is_err());
    }
    let guard = world.boxes(Party::Guard)[0];
    let released = guard.release(&world.guards[0], &opening.public(), &leaf, &entropy).unwrap();
    shares.push(guard.receive(&released, &opening, &leaf).unwrap());
    assert!(world.escrow.open(&shares).is_ok());
    assert!(guard.release(&world.guards[1], &opening.public(), &leaf, &entropy).is_err());
}

#[test]
fn shares_of_another_epoch_do_not_open_this_one() {
    let world = world(2, 2, 1, 1);
    let entropy = fixed("another epoch");
    let keys =
        EpochKeys::generate(AccountId([0xaa; 16]), Epoch(324), EpochVersion(1), &entropy).unwrap();
    let other = Escrow::seal(&keys, &world.policy, &entropy).unwrap();
    assert_ne!(other.guard_tag(), world.escrow.guard_tag());
    assert_eq!(other.open(&world.shares(&[0, 1], &[0])).err(), Some(CombineError::Share));
}

#[test]
fn an_altered_escrow_does_not_open() {
    let world = world(2, 2, 1, 1);
    let bytes = world.escrow.encode();
    assert!(Escrow::decode(&bytes).unwrap() == world.escrow);
    let shares = world.shares(&[0, 1], &[0]);
    // Account, epoch, version, policy, joint commitment, the wrap's parts.
    for altered in flips(&bytes, &[8, 27, 31, 48, 96, 128, 152, 184, 263]) {
        assert!(Escrow::decode(&altered).unwrap().open(&shares).is_err());
    }
    // k lowered to one: the shares are then not the secret.
    let mut lowered = bytes.clone();
    assert_eq!(lowered[264], 2);
    lowered[264] = 1;
    let lowered = Escrow::decode(&lowered).unwrap();
    assert_eq!(lowered.open(&shares).err(), Some(CombineError::Commitment));
    assert!(lowered.share_boxes()[0].open(&world.trustees[0]).is_err());
    for length in [0, 100, 264, 266, bytes.len() - 1] {
        assert!(Escrow::decode(&bytes[..length]).is_err());
    }
    assert!(Escrow::decode(&[&bytes[..], &[0]].concat()).is_err());
    let mut many = bytes;
    many[265] = 33;
    assert!(Escrow::decode(&many).is_err());
}

#[test]
fn a_holder_s_key_is_read_back_from_its_text() {
    let key = HolderKey::generate(&fixed("holder")).unwrap();
    let text = key.to_text();
    assert!(text.starts_with("BWHOLDER-SECRET-KEY-1"));
    assert!(HolderKey::parse(&text).unwrap().public() == key.public());
    let public = key.public().to_string();
    assert!(public.starts_with("bwholder1"));
    assert!(public.parse::<HolderPublic>().unwrap() == key.public());
    assert!(text.parse::<HolderPublic>().is_err() && HolderKey::parse(&public).is_err());
    assert!(
        HolderKey::parse(
            "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
        )
        .is_err()
    );
}
