//! Escrow policies on record: none is forgotten, and none is put in another's place.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use bailiwick_mail::account::{Policies, PoliciesError, PoliciesOptions};
use custody::user::{CreateAccount, Locked, create};
use seal::escrow::EscrowPolicy;
use seal::holder::{Holder, HolderKey};
use store::Batch;
use vocab::{AccountId, CellId, Custody, HolderId, RecordKind, Row, Timestamp};

use crate::world::{CountedEntropy, NOW, World, cell_keys};

const CELL: CellId = CellId([1; 16]);

fn policy(first: u8, custody: Custody, entropy: &CountedEntropy) -> EscrowPolicy {
    let holder = |id| {
        let key = HolderKey::generate(entropy).unwrap().public();
        Holder { id: HolderId([id; 16]), key }
    };
    let trustees = (first..first + 3).map(holder).collect();
    let guards = (first + 100..first + 102).map(holder).collect();
    EscrowPolicy::new(CELL, custody, (2, trustees), (1, guards)).unwrap()
}

fn load(world: &World, configured: &[&EscrowPolicy]) -> Result<Policies, PoliciesError> {
    let keys = cell_keys();
    Policies::load(PoliciesOptions {
        keys: &keys,
        append: world.store.append(),
        read: world.store.read(),
        entropy: Arc::clone(&world.entropy) as _,
        configured: configured.iter().copied().cloned().collect(),
    })
}

/// A locked account under this policy.
fn under(policy: &EscrowPolicy, entropy: &CountedEntropy) -> Locked {
    let (account, custody) = (AccountId([3; 16]), policy.custody());
    let with = CreateAccount {
        account,
        cell: CELL,
        custody,
        escrow: Some(policy),
        password: None,
        pepper: None,
        now: Timestamp(NOW),
    };
    let records = create(&with, entropy).unwrap().records;
    let records = records.iter().map(|record| (record.kind, &record.bytes));
    Locked::from_records(account, records).unwrap()
}

#[test]
fn what_comes_next_is_under_the_configured_policy_or_else_the_one_the_manifest_names() {
    let world = World::new();
    let entropy = world.entropy.as_ref();
    let old = policy(1, Custody::Trustee, entropy);
    let new = policy(11, Custody::Trustee, entropy);
    let vault = policy(21, Custody::Managed, entropy);
    let locked = under(&old, entropy);
    let next = |policies: &Policies| policies.next(locked.manifest()).map(EscrowPolicy::digest);
    let policies = load(&world, &[&old, &vault]).unwrap();
    assert_eq!(next(&policies), Some(old.digest()));
    let policies = load(&world, &[&vault, &new]).unwrap();
    assert_eq!(next(&policies), Some(new.digest()));
    assert!(policies.known(old.digest()) == Some(&old), "with all its keys");
    let policies = load(&world, &[&vault]).unwrap();
    assert!(policies.configured(Custody::Trustee).is_none());
    assert_eq!(next(&policies), Some(old.digest()));
    assert!(load(&world, &[]).unwrap().known(vault.digest()) == Some(&vault));
    assert!(policies.configured(Custody::Sealed).is_none());
}

#[test]
fn a_policy_in_anothers_place_is_noticed() {
    let world = World::new();
    let entropy = world.entropy.as_ref();
    let pair = [1, 11].map(|first| policy(first, Custody::Trustee, entropy));
    load(&world, &[&pair[0]]).unwrap();
    load(&world, &[&pair[1]]).unwrap();
    let (account, kind) = (cell_keys().account(), RecordKind::HolderPolicy);
    let rows: Vec<_> =
        world.store.read().scan(account, kind, Row(0)).map(|found| found.unwrap()).collect();
    assert_eq!(rows.len(), 2);
    let swapped = Batch::new(account).put(kind, rows[0].0, rows[1].1.clone());
    world.store.append().commit_blocking(swapped).unwrap();
    assert_eq!(load(&world, &[]).err(), Some(PoliciesError::Tampered));
    // The seal binds the row; what it says must be the row's policy too.
    let keys = cell_keys().rows().unwrap();
    let (modseq, plain) = keys.open(kind, rows[1].0, &rows[1].1).unwrap();
    let resealed = keys.seal(kind, rows[0].0, modseq, &plain, entropy).unwrap();
    let swapped = Batch::new(account).put(kind, rows[0].0, resealed);
    world.store.append().commit_blocking(swapped).unwrap();
    assert_eq!(load(&world, &[]).err(), Some(PoliciesError::Tampered));
}
