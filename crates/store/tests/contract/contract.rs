//! The contract, for any store that gives out the three handles (docs/adr/0009-backends.md). A
//! backend is held to all of it by one line: `contract!(name, its beginning)`.

use crate::{ALICE, BOB, BODY, HEAD, octets, small};
use bytes::Bytes;
use store::{
    Append, BATCH_OPS_MAX, Batch, CommitError, Held, HoldId, Preserve, Read, Store, Usage,
    VALUE_BYTES_MAX,
};
use vocab::{AccountId, Row};

/// What the contract needs of a store.
trait Backend {
    fn append(&self) -> Append;
    fn read(&self) -> Read;
    fn preserve(&self) -> Preserve;
    /// Closes and opens again; for a backend of several processes, goes on in another.
    fn reopen(self) -> Self;
}

struct Embedded {
    store: Store,
    dir: tempfile::TempDir,
}

impl Embedded {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open(dir.path(), small()).unwrap(), dir }
    }
}

impl Backend for Embedded {
    fn append(&self) -> Append {
        self.store.append()
    }

    fn read(&self) -> Read {
        self.store.read()
    }

    fn preserve(&self) -> Preserve {
        self.store.preserve()
    }

    fn reopen(self) -> Self {
        self.store.close().unwrap();
        Self { store: Store::open(self.dir.path(), small()).unwrap(), dir: self.dir }
    }
}

fn rows(read: &Read, account: AccountId, from: u64) -> Vec<(u64, Bytes)> {
    read.scan(account, BODY, Row(from))
        .map(|row| row.map(|(row, value)| (row.0, value)).unwrap())
        .collect()
}

fn what_is_put_is_read(backend: impl Backend) {
    for (row, len) in [0, 1, 256, 257, 5_000, 100_000, 1_000_000].into_iter().enumerate() {
        let (row, value) = (Row(row as u64), octets(row as u64, len));
        backend.append().commit_blocking(Batch::new(ALICE).put(BODY, row, value.clone())).unwrap();
        assert_eq!(backend.read().get(ALICE, BODY, row).unwrap().unwrap(), value);
        assert_eq!(backend.read().len(ALICE, BODY, row).unwrap(), Some(len as u64));
    }
    let backend = backend.reopen();
    for (row, len) in [0, 1, 256, 257, 5_000, 100_000, 1_000_000].into_iter().enumerate() {
        let value = backend.read().get(ALICE, BODY, Row(row as u64)).unwrap().unwrap();
        assert_eq!(value, octets(row as u64, len), "{row}");
    }
}

fn fragments_are_one_value(backend: impl Backend) {
    let pieces: Vec<Bytes> = [3, 70_000, 0, 5, 40_000]
        .into_iter()
        .map(|len| Bytes::from(octets(len as u64, len)))
        .collect();
    let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
    backend.append().commit_blocking(Batch::new(ALICE).put(BODY, Row(1), pieces)).unwrap();
    assert_eq!(backend.read().get(ALICE, BODY, Row(1)).unwrap().unwrap(), whole);
}

fn ranges_are_cut_at_the_end(backend: impl Backend) {
    for (row, len) in [(1, 200_u64), (2, 20_000)] {
        let value = octets(row, len as usize);
        backend
            .append()
            .commit_blocking(Batch::new(ALICE).put(BODY, Row(row), value.clone()))
            .unwrap();
        for (start, end) in
            [(0, len), (10, 20), (len - 5, len + 5), (len, len + 1), (len + 9, u64::MAX), (7, 3)]
        {
            let got = backend.read().range(ALICE, BODY, Row(row), start..end).unwrap().unwrap();
            let (end, start) = (end.min(len) as usize, start.min(len) as usize);
            assert_eq!(got.octets, value[start.min(end)..end], "{start}..{end}");
            assert_eq!(got.total, len);
        }
    }
    assert!(backend.read().range(ALICE, BODY, Row(9), 0..1).unwrap().is_none());
}

fn a_batch_is_one_change(backend: impl Backend) {
    let batch = Batch::new(ALICE)
        .put(HEAD, Row(1), octets(1, 10))
        .put(BODY, Row(1), octets(2, 1_000))
        .put(BODY, Row(1), octets(3, 2_000));
    assert_eq!(backend.append().commit_blocking(batch).unwrap().seq, 1);
    assert_eq!(backend.read().get(ALICE, BODY, Row(1)).unwrap().unwrap(), octets(3, 2_000));
    assert_eq!(backend.read().usage(ALICE).unwrap(), Usage { records: 2, bytes: 2_010 });
    let batch = Batch::new(ALICE).delete(HEAD, Row(1)).delete(HEAD, Row(2));
    assert_eq!(backend.append().commit_blocking(batch).unwrap().seq, 2);
    assert_eq!(
        backend.append().commit_blocking(Batch::new(BOB).delete(HEAD, Row(1))).unwrap().seq,
        1
    );
    let backend = backend.reopen();
    assert_eq!(backend.read().change(ALICE).unwrap(), 2);
    assert_eq!(backend.read().change(BOB).unwrap(), 1);
    assert_eq!(backend.read().usage(ALICE).unwrap(), Usage { records: 1, bytes: 2_000 });
    let accounts: Vec<_> = backend.read().accounts().map(|found| found.unwrap().0).collect();
    assert_eq!(accounts, [ALICE, BOB]);
}

fn accounts_and_kinds_are_apart(backend: impl Backend) {
    for (account, kind, byte) in [(ALICE, BODY, 1), (ALICE, HEAD, 2), (BOB, BODY, 3)] {
        let batch = Batch::new(account).put(kind, Row(7), vec![byte; 300]);
        backend.append().commit_blocking(batch).unwrap();
    }
    assert_eq!(rows(&backend.read(), ALICE, 0), [(7, vec![1; 300].into())]);
    assert_eq!(rows(&backend.read(), BOB, 0), [(7, vec![3; 300].into())]);
    assert_eq!(backend.read().last_row(ALICE, HEAD).unwrap(), Some(Row(7)));
    assert_eq!(backend.read().last_row(BOB, HEAD).unwrap(), None);
}

fn a_scan_is_in_order(backend: impl Backend) {
    for row in [5, u64::MAX, 1, 256, 0] {
        backend
            .append()
            .commit_blocking(Batch::new(ALICE).put(BODY, Row(row), octets(row, 9)))
            .unwrap();
    }
    let found: Vec<_> = rows(&backend.read(), ALICE, 1).into_iter().map(|(row, _)| row).collect();
    assert_eq!(found, [1, 5, 256, u64::MAX]);
    assert_eq!(backend.read().last_row(ALICE, BODY).unwrap(), Some(Row(u64::MAX)));
}

fn preconditions_hold_or_nothing_is_written(backend: impl Backend) {
    let append = backend.append();
    let first = Batch::new(ALICE).put(BODY, Row(1), octets(1, 8)).require_absent(BODY, Row(1));
    append.commit_blocking(first).unwrap();
    let again = Batch::new(ALICE)
        .put(BODY, Row(1), octets(2, 8))
        .put(BODY, Row(2), octets(2, 8))
        .require_absent(BODY, Row(1));
    assert_eq!(append.commit_blocking(again), Err(CommitError::Exists));
    let stale = Batch::new(ALICE).delete(BODY, Row(1)).require_change(0);
    assert_eq!(append.commit_blocking(stale), Err(CommitError::Conflict));
    assert_eq!(backend.read().change(ALICE).unwrap(), 1);
    assert_eq!(rows(&backend.read(), ALICE, 0), [(1, octets(1, 8).into())]);
    let fresh = Batch::new(ALICE).delete(BODY, Row(1)).require_change(1);
    assert_eq!(append.commit_blocking(fresh).unwrap().seq, 2);
}

fn only_one_of_many_creates_a_row(backend: impl Backend) {
    let append = backend.append();
    let winners = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16_u8)
            .map(|byte| {
                let append = append.clone();
                scope.spawn(move || {
                    let batch = Batch::new(ALICE).put(BODY, Row(1), vec![byte; 4]);
                    append.commit_blocking(batch.require_absent(BODY, Row(1))).is_ok()
                })
            })
            .collect();
        tries.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
    assert_eq!(backend.read().change(ALICE).unwrap(), 1);
}

fn limits_are_errors(backend: impl Backend) {
    let append = backend.append();
    let long = Bytes::from(vec![0; 1 << 20]);
    let pieces = vec![long; VALUE_BYTES_MAX / (1 << 20) + 1];
    let batch = Batch::new(ALICE).put(BODY, Row(1), pieces);
    assert_eq!(append.commit_blocking(batch), Err(CommitError::TooLarge));
    let many = (0..=BATCH_OPS_MAX as u64)
        .fold(Batch::new(ALICE), |batch, row| batch.delete(BODY, Row(row)));
    assert_eq!(append.commit_blocking(many), Err(CommitError::TooLarge));
    assert_eq!(backend.read().change(ALICE).unwrap(), 0);
}

fn changes_have_no_gaps(backend: impl Backend) {
    let append = backend.append();
    let mut seen: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u64)
            .map(|writer| {
                let append = append.clone();
                scope.spawn(move || {
                    let commit = |row| {
                        Batch::new(ALICE).put(BODY, Row(writer * 100 + row), octets(row, 700))
                    };
                    (0..25)
                        .map(|row| append.commit_blocking(commit(row)).unwrap().seq)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    let backend = backend.reopen();
    assert_eq!(rows(&backend.read(), ALICE, 0).len(), 200);
    assert_eq!(backend.read().change(ALICE).unwrap(), 200);
}

fn a_watcher_hears_of_every_change(backend: impl Backend) {
    let mut watch = backend.read().watch(ALICE).unwrap();
    assert_eq!(*watch.borrow_and_update(), 0);
    backend.append().commit_blocking(Batch::new(BOB).put(BODY, Row(1), octets(1, 1))).unwrap();
    assert!(!watch.has_changed().unwrap());
    backend.append().commit_blocking(Batch::new(ALICE).put(BODY, Row(1), octets(1, 1))).unwrap();
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), 1);
    assert_eq!(*backend.read().watch(ALICE).unwrap().borrow(), 1);
}

fn what_is_held_outlives_its_deletion(backend: impl Backend) {
    let (hold, other) = (HoldId([1; 16]), HoldId([2; 16]));
    let put = |value: Vec<u8>| {
        backend.append().commit_blocking(Batch::new(ALICE).put(BODY, Row(1), value)).unwrap();
    };
    put(octets(1, 5_000));
    let rows = vec![(BODY, Row(1)), (BODY, Row(9))];
    let held = backend.preserve().hold_blocking(hold, ALICE, rows.clone()).unwrap();
    assert_eq!(held, Held { held: 1, missing: 1 });
    put(octets(2, 5_000));
    backend.preserve().hold_blocking(other, ALICE, rows).unwrap();
    backend.append().commit_blocking(Batch::new(ALICE).delete(BODY, Row(1))).unwrap();
    assert_eq!(backend.preserve().release_blocking(other).unwrap(), 1);
    let backend = backend.reopen();
    assert_eq!(backend.read().get(ALICE, BODY, Row(1)).unwrap(), None);
    let read = |hold| backend.preserve().read(hold, ALICE, BODY, Row(1)).unwrap();
    assert_eq!(read(hold).unwrap(), octets(1, 5_000));
    assert_eq!(read(other), None);
    assert_eq!(backend.preserve().held(hold).count(), 1);
}

macro_rules! contract {
    ($backend:ident, $begin:expr) => {
        contract! {
            $backend, $begin;
            what_is_put_is_read
            fragments_are_one_value
            ranges_are_cut_at_the_end
            a_batch_is_one_change
            accounts_and_kinds_are_apart
            a_scan_is_in_order
            preconditions_hold_or_nothing_is_written
            only_one_of_many_creates_a_row
            limits_are_errors
            changes_have_no_gaps
            a_watcher_hears_of_every_change
            what_is_held_outlives_its_deletion
        }
    };
    ($backend:ident, $begin:expr; $($name:ident)*) => {
        mod $backend {
            use super::*;
            $(
                #[test]
                fn $name() {
                    super::$name($begin);
                }
            )*
        }
    };
}

contract!(embedded, Embedded::new());
