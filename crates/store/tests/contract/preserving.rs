//! Holds, and what is gone once nobody holds it.

use crate::{ALICE, BODY, delete, files, get, holds, octets, put, segments, small};
use store::{Held, HoldId, Options, Store};
use vocab::Row;

const CASE: HoldId = HoldId([1; 16]);
const OTHER: HoldId = HoldId([2; 16]);

fn held(store: &Store, hold: HoldId, row: u64) -> Option<Vec<u8>> {
    store.preserve().read(hold, ALICE, BODY, Row(row)).unwrap().map(Into::into)
}

#[test]
fn a_held_version_outlives_its_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), small()).unwrap();
    for row in 0..40 {
        put(&store, row, &octets(row, 5_000));
    }
    let rows = (0..10).chain([99]).map(|row| (BODY, Row(row))).collect();
    let found = store.preserve().hold_blocking(CASE, ALICE, rows).unwrap();
    assert_eq!(found, Held { held: 10, missing: 1 });
    store.preserve().hold_blocking(OTHER, ALICE, vec![(BODY, Row(3))]).unwrap();
    put(&store, 4, b"rewritten by its owner");
    (0..40).filter(|row| *row != 4).for_each(|row| delete(&store, row));
    for round in 0..3 {
        store.compact_blocking().unwrap();
        for row in 0..10 {
            assert_eq!(held(&store, CASE, row).unwrap(), octets(row, 5_000), "{row}");
        }
        assert_eq!(held(&store, OTHER, 3).unwrap(), octets(3, 5_000));
        assert_eq!(held(&store, OTHER, 4), None);
        assert_eq!(get(&store, 4).unwrap(), b"rewritten by its owner");
        assert_eq!(get(&store, 3), None);
        let listed: Vec<_> = store.preserve().held(CASE).map(|row| row.unwrap().row.0).collect();
        assert_eq!(listed, (0..10).collect::<Vec<_>>());
        store.close().unwrap();
        let options = Options { rebuild_index: round == 1, ..small() };
        store = Store::open(dir.path(), options).unwrap();
    }
    let again = store.preserve().hold_blocking(CASE, ALICE, vec![(BODY, Row(4))]).unwrap();
    assert_eq!(again, Held { held: 1, missing: 0 });
    assert_eq!(held(&store, CASE, 4).unwrap(), octets(4, 5_000), "the first version stays held");
}

#[test]
fn a_released_version_goes_and_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), small()).unwrap();
    let needle = octets(77, 900);
    for row in 0..30 {
        put(&store, row, &octets(row, 3_000));
    }
    put(&store, 50, &needle);
    store.preserve().hold_blocking(CASE, ALICE, vec![(BODY, Row(50)), (BODY, Row(1))]).unwrap();
    delete(&store, 50);
    store.compact_blocking().unwrap();
    assert_eq!(held(&store, CASE, 50).unwrap(), needle);
    assert_eq!(store.preserve().release_blocking(CASE).unwrap(), 2);
    assert_eq!(store.preserve().release_blocking(CASE).unwrap(), 0);
    assert_eq!(held(&store, CASE, 50), None);
    store.compact_blocking().unwrap();
    for (path, octets) in files(dir.path()) {
        assert!(!holds(&octets, &needle), "{}", path.display());
    }
    for rebuild_index in [false, true] {
        store.close().unwrap();
        store = Store::open(dir.path(), Options { rebuild_index, ..small() }).unwrap();
        assert_eq!(held(&store, CASE, 50), None);
        assert_eq!(store.preserve().held(CASE).count(), 0);
        assert_eq!(get(&store, 50), None);
        assert_eq!(get(&store, 1).unwrap(), octets(1, 3_000));
    }
}

#[test]
fn a_hold_lists_rows_without_reading_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 3, &octets(1, 700));
    put(&store, 9, b"");
    let rows: Vec<_> = store.preserve().rows(ALICE, BODY, Row(0)).map(Result::unwrap).collect();
    assert_eq!(rows, [(Row(3), 700), (Row(9), 0)]);
}

#[test]
fn what_is_deleted_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let (long, short) = (octets(101, 2_000), octets(102, 200));
    for row in 0..40 {
        put(&store, row, &octets(row, 3_000));
    }
    put(&store, 50, &long);
    put(&store, 51, &short);
    put(&store, 52, &long);
    let found = |needle: &[u8]| files(dir.path()).iter().any(|(_, octets)| holds(octets, needle));
    assert!(found(&long));
    delete(&store, 50);
    delete(&store, 51);
    put(&store, 52, b"shorter now");
    let before = store.stats();
    let reclaimed = store.compact_blocking().unwrap();
    assert!(reclaimed.segments > 0 && reclaimed.dead_bytes >= 4_200);
    assert!(store.stats().journal_bytes < before.journal_bytes);
    assert!(!found(&long));
    store.close().unwrap();
    // The index's own log may still hold the small one; made anew it does not.
    let store = Store::open(dir.path(), Options { rebuild_index: true, ..small() }).unwrap();
    assert!(!found(&short));
    assert_eq!(get(&store, 52).unwrap(), b"shorter now");
    (0..40).for_each(|row| assert_eq!(get(&store, row).unwrap(), octets(row, 3_000)));
}

#[test]
fn mostly_dead_segments_go_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    for round in 0..40 {
        for row in 0..20 {
            put(&store, row, &octets(round * 20 + row, 2_000));
        }
    }
    // 1.6 MB were written, 40 kB live: the keeper must have kept up, or does so soon.
    let begun = std::time::Instant::now();
    while store.stats().journal_bytes > 400_000 {
        assert!(begun.elapsed().as_secs() < 20, "{:?}", store.stats());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (0..20).for_each(|row| assert_eq!(get(&store, row).unwrap(), octets(39 * 20 + row, 2_000)));
}

/// What is deleted in a later segment than it was put in, and whose deletion is compacted away
/// from under it, must not come back when the index is made from the journal alone.
#[test]
fn a_deletion_outlives_the_segment_it_was_written_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let rows = 16;
    (0..rows).for_each(|row| {
        put(&store, row, &octets(row, 3_500));
    });
    store.preserve().hold_blocking(CASE, ALICE, vec![(BODY, Row(6))]).unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
    // The second segment begins; the deletion and the release stand in it.
    (100..103).for_each(|row| {
        put(&store, row, &octets(row, 3_500));
    });
    assert_eq!(segments(dir.path()).len(), 2);
    delete(&store, 5);
    store.preserve().release_blocking(CASE).unwrap();
    let second = segments(dir.path())[1].clone();
    let begun = std::time::Instant::now();
    let mut round = 0;
    while second.exists() {
        round += 1;
        (100..116).for_each(|row| {
            put(&store, row, &octets(round * 1_000 + row, 3_500));
        });
        assert!(begun.elapsed().as_secs() < 20, "the second segment is never compacted");
    }
    let change = store.read().change(ALICE).unwrap();
    assert!(segments(dir.path())[0].ends_with("0000000000000001.seg"), "the first is still there");
    store.close().unwrap();
    let store = Store::open(dir.path(), Options { rebuild_index: true, ..small() }).unwrap();
    assert_eq!(get(&store, 5), None);
    assert_eq!(store.preserve().held(CASE).count(), 0);
    assert_eq!(held(&store, CASE, 6), None);
    assert_eq!(store.read().change(ALICE).unwrap(), change);
    assert_eq!(store.read().usage(ALICE).unwrap().records, rows - 1 + 16);
    (100..116).for_each(|row| {
        assert_eq!(get(&store, row).unwrap(), octets(round * 1_000 + row, 3_500));
    });
}
