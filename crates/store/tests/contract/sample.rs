//! Samples of every format this build must read, kept as they were written: `samples/format-N`.
//!
//! Each is a backup, which holds the octets of a journal without the zeros behind them, and so shows
//! both formats. A change of either adds a sample and keeps the old ones.

use crate::{ALICE, BOB, BODY, HEAD, octets, small};
use std::path::{Path, PathBuf};
use store::backup::{self, Beside, Source};
use store::{Batch, HoldId, Options, Store, Usage};
use vocab::{Row, Timestamp};

const HOLD: HoldId = HoldId([3; 16]);

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/samples")
}

/// Every type of record: commits that put and delete, a hold, a release, what compaction carries.
fn write(store: &Store) {
    let commit = |batch| store.append().commit_blocking(batch).map(drop).unwrap();
    for row in 0..6 {
        commit(Batch::new(ALICE).put(BODY, Row(row), octets(row, 900)).put(
            HEAD,
            Row(row),
            [9; 40].to_vec(),
        ));
    }
    let rows = |rows: [u64; 2]| rows.map(|row| (BODY, Row(row))).to_vec();
    store.preserve().hold_blocking(HOLD, ALICE, rows([1, 2])).unwrap();
    store.preserve().hold_blocking(HoldId([4; 16]), ALICE, rows([3, 4])).unwrap();
    commit(Batch::new(ALICE).delete(BODY, Row(1)).delete(HEAD, Row(1)));
    commit(Batch::new(ALICE).put(BODY, Row(2), octets(22, 700)));
    store.preserve().release_blocking(HoldId([4; 16])).unwrap();
    store.compact_blocking().unwrap();
    commit(Batch::new(BOB).put(BODY, Row(1), octets(7, 100)));
}

fn holds(store: &Store) {
    let get = |row| store.read().get(ALICE, BODY, Row(row)).unwrap().map(Vec::from);
    for row in [0, 3, 4, 5] {
        assert_eq!(get(row).unwrap(), octets(row, 900));
    }
    assert_eq!((get(1), get(2).unwrap()), (None, octets(22, 700)));
    for row in [1, 2] {
        let held = store.preserve().read(HOLD, ALICE, BODY, Row(row)).unwrap().unwrap();
        assert_eq!(held, octets(row, 900));
    }
    assert_eq!(store.preserve().held(HoldId([4; 16])).count(), 0);
    assert_eq!(
        store.read().usage(ALICE).unwrap(),
        Usage { records: 10, bytes: 4 * 900 + 700 + 200 }
    );
    assert_eq!(store.read().get(BOB, BODY, Row(1)).unwrap().unwrap(), octets(7, 100));
    assert_eq!(store.read().change(ALICE).unwrap(), 8);
    assert_eq!(store.examine_blocking().unwrap().faults, []);
}

/// Writes the sample of a new format; there is one already of each that was ever written.
fn write_sample() {
    let to = samples().join("format-1");
    assert!(!to.exists(), "a sample is kept as it is");
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 16 << 10, ..small() };
    let store = Store::open(dir.path(), options).unwrap();
    write(&store);
    holds(&store);
    let source = Source::Octets("a checkpoint\n".into());
    let beside = vec![Beside { name: "log/checkpoint".into(), source }];
    store.back_up_blocking(&to, beside, Timestamp(1_795_219_200), 1).unwrap();
}

/// Set `BAILIWICK_BLESS` at compile time to write the sample of this format first.
#[test]
fn every_format_that_was_ever_written_is_read() {
    if option_env!("BAILIWICK_BLESS").is_some() {
        write_sample();
    }
    let mut read = 0;
    for sample in std::fs::read_dir(samples()).unwrap() {
        let to = tempfile::tempdir().unwrap();
        backup::restore(&sample.unwrap().path(), to.path(), None).unwrap();
        assert_eq!(std::fs::read(to.path().join("log/checkpoint")).unwrap(), b"a checkpoint\n");
        let store = Store::open(&to.path().join("store"), small()).unwrap();
        holds(&store);
        // And goes on, under the format of today.
        store.compact_blocking().unwrap();
        holds(&store);
        read += 1;
    }
    assert!(read > 0);
}
