//! Against a map: whatever is done in whatever order, across closings, crashes of the index and
//! compactions, the store holds what a plain map would.

use crate::{ALICE, BOB, BODY, HEAD, octets, small};
use proptest::prelude::*;
use std::collections::BTreeMap;
use store::{Batch, Options, Store};
use vocab::{AccountId, RecordKind, Row};

#[derive(Debug, Clone)]
enum Step {
    Commit { alice: bool, puts: Vec<(bool, u8, u16)>, deletes: Vec<(bool, u8)> },
    Reopen,
    RebuildIndex,
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commit = (
        any::<bool>(),
        prop::collection::vec((any::<bool>(), 0_u8..12, 0_u16..6_000), 0..4),
        prop::collection::vec((any::<bool>(), 0_u8..12), 0..3),
    )
        .prop_map(|(alice, puts, deletes)| Step::Commit { alice, puts, deletes });
    let step = prop_oneof![
        40 => commit,
        1 => Just(Step::Reopen),
        1 => Just(Step::RebuildIndex),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..120)
}

type Model = BTreeMap<(AccountId, RecordKind, u64), Vec<u8>>;

fn kind(is_head: bool) -> RecordKind {
    if is_head { HEAD } else { BODY }
}

fn commit(store: &Store, model: &mut Model, step: &Step, seed: u64) {
    let Step::Commit { alice, puts, deletes } = step else { return };
    let account = if *alice { ALICE } else { BOB };
    let mut batch = Batch::new(account);
    for (is_head, row, len) in puts {
        let value = octets(seed ^ u64::from(*row), usize::from(*len));
        batch = batch.put(kind(*is_head), Row(u64::from(*row)), value.clone());
        model.insert((account, kind(*is_head), u64::from(*row)), value);
    }
    for (is_head, row) in deletes {
        batch = batch.delete(kind(*is_head), Row(u64::from(*row)));
        model.remove(&(account, kind(*is_head), u64::from(*row)));
    }
    store.append().commit_blocking(batch).unwrap();
}

fn check(store: &Store, model: &Model, changes: &BTreeMap<AccountId, u64>) {
    for account in [ALICE, BOB] {
        let mut found = Model::new();
        for kind in [HEAD, BODY] {
            for row in store.read().scan(account, kind, Row(0)) {
                let (row, value) = row.unwrap();
                found.insert((account, kind, row.0), value.into());
            }
        }
        let want: Model = model
            .iter()
            .filter(|(key, _)| key.0 == account)
            .map(|(k, v)| (*k, v.clone()))
            .collect();
        assert_eq!(found, want);
        let usage = store.read().usage(account).unwrap();
        assert_eq!(usage.records, want.len() as u64);
        assert_eq!(usage.bytes, want.values().map(|value| value.len() as u64).sum::<u64>());
        assert_eq!(
            store.read().change(account).unwrap(),
            changes.get(&account).copied().unwrap_or(0)
        );
    }
}

fn run(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), small()).unwrap();
    let (mut model, mut changes) = (Model::new(), BTreeMap::new());
    for (seed, step) in steps.iter().enumerate() {
        match step {
            Step::Commit { alice, .. } => {
                commit(&store, &mut model, step, seed as u64 * 1000);
                *changes.entry(if *alice { ALICE } else { BOB }).or_default() += 1;
            }
            Step::Reopen | Step::RebuildIndex => {
                store.close().unwrap();
                let rebuild_index = matches!(step, Step::RebuildIndex);
                store = Store::open(dir.path(), Options { rebuild_index, ..small() }).unwrap();
                check(&store, &model, &changes);
            }
            Step::Compact => {
                store.compact_blocking().unwrap();
                check(&store, &model, &changes);
            }
        }
    }
    check(&store, &model, &changes);
    store.close().unwrap();
    let rebuilt = Store::open(dir.path(), Options { rebuild_index: true, ..small() }).unwrap();
    check(&rebuilt, &model, &changes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(steps in steps()) {
        run(&steps);
    }
}
