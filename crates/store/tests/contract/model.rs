//! Against a map: whatever is done in whatever order, across closings, crashes of the index and
//! compactions, the store holds what a plain map would, and each hold what was there when it was
//! laid.

use crate::{ALICE, BOB, BODY, HEAD, large, octets, small};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use store::{Batch, Held, HoldId, Options, Store};
use vocab::{AccountId, RecordKind, Row};

#[derive(Debug, Clone)]
enum Step {
    Commit { alice: bool, puts: Vec<(bool, u8, u16)>, deletes: Vec<(bool, u8)> },
    Hold { hold: u8, alice: bool, rows: Vec<(bool, u8)> },
    Release { hold: u8 },
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
    let hold = (0..HOLDS, any::<bool>(), prop::collection::vec((any::<bool>(), 0_u8..12), 0..8))
        .prop_map(|(hold, alice, rows)| Step::Hold { hold, alice, rows });
    let step = prop_oneof![
        40 => commit,
        6 => hold,
        2 => (0..HOLDS).prop_map(|hold| Step::Release { hold }),
        1 => Just(Step::Reopen),
        1 => Just(Step::RebuildIndex),
        2 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..120)
}

const HOLDS: u8 = 3;

type Key = (AccountId, RecordKind, u64);
type Rows = BTreeMap<Key, Vec<u8>>;

/// What the store has to hold.
#[derive(Default)]
struct Model {
    rows: Rows,
    changes: BTreeMap<AccountId, u64>,
    holds: BTreeMap<HoldId, Rows>,
}

fn kind(is_head: bool) -> RecordKind {
    if is_head { HEAD } else { BODY }
}

fn account(is_alice: bool) -> AccountId {
    if is_alice { ALICE } else { BOB }
}

fn hold_id(hold: u8) -> HoldId {
    HoldId([hold; 16])
}

impl Model {
    fn commit(
        &mut self,
        store: &Store,
        account: AccountId,
        puts: &[(bool, u8, u16)],
        deletes: &[(bool, u8)],
        seed: u64,
    ) {
        let mut batch = Batch::new(account);
        for (is_head, row, len) in puts {
            let value = octets(seed ^ u64::from(*row), usize::from(*len));
            batch = batch.put(kind(*is_head), Row(u64::from(*row)), value.clone());
            self.rows.insert((account, kind(*is_head), u64::from(*row)), value);
        }
        for (is_head, row) in deletes {
            batch = batch.delete(kind(*is_head), Row(u64::from(*row)));
            self.rows.remove(&(account, kind(*is_head), u64::from(*row)));
        }
        store.append().commit_blocking(batch).unwrap();
        *self.changes.entry(account).or_default() += 1;
    }

    fn hold(&mut self, store: &Store, hold: HoldId, account: AccountId, rows: &[(bool, u8)]) {
        let wanted: Vec<_> =
            rows.iter().map(|(is_head, row)| (kind(*is_head), Row(u64::from(*row)))).collect();
        let kept = self.holds.entry(hold).or_default();
        for (kind, row) in &wanted {
            let key = (account, *kind, row.0);
            if let Some(value) = self.rows.get(&key) {
                // What a hold keeps already stays at the version it was first held at.
                kept.entry(key).or_insert_with(|| value.clone());
            }
        }
        let is_kept =
            |(kind, row): &&(RecordKind, Row)| kept.contains_key(&(account, *kind, row.0));
        let held = wanted.iter().filter(is_kept).collect::<BTreeSet<_>>().len();
        let missing = wanted.iter().filter(|row| !is_kept(row)).count();
        let found = store.preserve().hold_blocking(hold, account, wanted.clone()).unwrap();
        assert_eq!(found, Held { held, missing });
    }

    fn release(&mut self, store: &Store, hold: HoldId) {
        let count = self.holds.remove(&hold).unwrap_or_default().len();
        assert_eq!(store.preserve().release_blocking(hold).unwrap(), count);
    }

    fn check(&self, store: &Store) {
        for account in [ALICE, BOB] {
            let mut found = Rows::new();
            for kind in [HEAD, BODY] {
                for row in store.read().scan(account, kind, Row(0)) {
                    let (row, value) = row.unwrap();
                    found.insert((account, kind, row.0), value.into());
                }
            }
            let of_account = self.rows.iter().filter(|(key, _)| key.0 == account);
            let want: Rows = of_account.map(|(key, value)| (*key, value.clone())).collect();
            assert_eq!(found, want);
            let usage = store.read().usage(account).unwrap();
            assert_eq!(usage.records, want.len() as u64);
            assert_eq!(usage.bytes, want.values().map(|value| value.len() as u64).sum::<u64>());
            let changes = self.changes.get(&account).copied().unwrap_or(0);
            assert_eq!(store.read().change(account).unwrap(), changes);
        }
        for hold in (0..HOLDS).map(hold_id) {
            let mut found = Rows::new();
            for row in store.preserve().held(hold) {
                let row = row.unwrap();
                let value = store.preserve().read(hold, row.account, row.kind, row.row);
                let value = value.unwrap().unwrap();
                assert_eq!(value.len(), row.len as usize);
                found.insert((row.account, row.kind, row.row.0), value.into());
            }
            assert_eq!(found, self.holds.get(&hold).cloned().unwrap_or_default(), "{hold}");
        }
    }
}

fn run(steps: &[Step], options: &Options) {
    let dir = tempfile::tempdir().unwrap();
    let open = |rebuild_index| {
        Store::open(dir.path(), Options { rebuild_index, ..options.clone() }).unwrap()
    };
    let mut store = open(false);
    let mut model = Model::default();
    for (seed, step) in steps.iter().enumerate() {
        match step {
            Step::Commit { alice, puts, deletes } => {
                model.commit(&store, account(*alice), puts, deletes, seed as u64 * 1000);
            }
            Step::Hold { hold, alice, rows } => {
                model.hold(&store, hold_id(*hold), account(*alice), rows);
            }
            Step::Release { hold } => model.release(&store, hold_id(*hold)),
            Step::Reopen | Step::RebuildIndex => {
                store.close().unwrap();
                store = open(matches!(step, Step::RebuildIndex));
                model.check(&store);
            }
            Step::Compact => {
                store.compact_blocking().unwrap();
                model.check(&store);
            }
        }
    }
    model.check(&store);
    store.compact_blocking().unwrap();
    model.check(&store);
    store.close().unwrap();
    let rebuilt = open(true);
    model.check(&rebuilt);
    rebuilt.compact_blocking().unwrap();
    model.check(&rebuilt);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(steps in steps()) {
        run(&steps, &small());
    }

    /// Where what is held, what holds it and what releases it are all carried at once.
    #[test]
    fn the_store_is_a_map_in_one_segment(steps in steps()) {
        run(&steps, &large());
    }
}
