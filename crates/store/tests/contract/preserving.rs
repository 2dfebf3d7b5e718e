//! Holds, and what is gone once nobody holds it.

use crate::{ALICE, BODY, delete, files, get, holds, large, octets, put, segments, small};
use std::path::Path;
use store::{Batch, Held, HoldId, Options, Store};
use vocab::Row;

const CASE: HoldId = HoldId([1; 16]);
const OTHER: HoldId = HoldId([2; 16]);
const THIRD: HoldId = HoldId([3; 16]);

fn held(store: &Store, hold: HoldId, row: u64) -> Option<Vec<u8>> {
    store.preserve().read(hold, ALICE, BODY, Row(row)).unwrap().map(Into::into)
}

fn hold(store: &Store, hold: HoldId, rows: impl IntoIterator<Item = u64>) {
    let rows: Vec<_> = rows.into_iter().map(|row| (BODY, Row(row))).collect();
    let want = Held { held: rows.len(), missing: 0 };
    assert_eq!(store.preserve().hold_blocking(hold, ALICE, rows).unwrap(), want);
}

/// The rows a hold keeps, each with what it reads as.
fn kept(store: &Store, hold: HoldId) -> Vec<(u64, Vec<u8>)> {
    let rows = store.preserve().held(hold).map(|row| row.unwrap().row.0);
    rows.map(|row| (row, held(store, hold, row).unwrap())).collect()
}

/// Checks a store as it stands and after each of compacting it, opening it again and making its
/// index anew, several times over, so that what was carried once is carried again.
fn through_compactions(dir: &Path, mut store: Store, check: impl Fn(&Store)) -> Store {
    check(&store);
    for rebuild_index in [false, true, false, true] {
        // Something dead beside what was carried last time.
        put(&store, u64::MAX, &octets(9, 100));
        delete(&store, u64::MAX);
        assert!(store.compact_blocking().unwrap().segments > 0);
        check(&store);
        store.close().unwrap();
        store = Store::open(dir, Options { rebuild_index, ..large() }).unwrap();
        check(&store);
    }
    store
}

#[test]
fn a_hold_carried_in_one_record_with_its_values_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), large()).unwrap();
    (0..6).for_each(|row| {
        put(&store, row, &octets(row, 3_000));
    });
    hold(&store, CASE, 0..5);
    (0..3).for_each(|row| delete(&store, row));
    through_compactions(dir.path(), store, |store| {
        let want: Vec<_> = (0..5).map(|row| (row, octets(row, 3_000))).collect();
        assert_eq!(kept(store, CASE), want);
        (0..3).for_each(|row| assert_eq!(get(store, row), None));
        (3..6).for_each(|row| assert_eq!(get(store, row).unwrap(), octets(row, 3_000)));
    });
}

#[test]
fn holds_of_several_versions_each_keep_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), large()).unwrap();
    let version = |row: u64, nth: u64| octets(row + 100 * nth, 2_100 + 10 * row as usize);
    (0..4).for_each(|row| {
        put(&store, row, &version(row, 0));
    });
    hold(&store, CASE, 0..4);
    hold(&store, THIRD, 1..3);
    (0..4).for_each(|row| {
        put(&store, row, &version(row, 1));
    });
    hold(&store, OTHER, 0..4);
    // Stays at the first versions.
    hold(&store, CASE, 0..4);
    put(&store, 0, &version(0, 2));
    delete(&store, 1);
    put(&store, 2, b"");
    let all = |nth| (0..4).map(|row| (row, version(row, nth))).collect::<Vec<_>>();
    let rows = |store: &Store| {
        assert_eq!(get(store, 0).unwrap(), version(0, 2));
        assert_eq!(get(store, 1), None);
        assert_eq!(get(store, 2).unwrap(), b"");
        assert_eq!(get(store, 3).unwrap(), version(3, 1));
    };
    let store = through_compactions(dir.path(), store, |store| {
        assert_eq!(kept(store, CASE), all(0));
        assert_eq!(kept(store, OTHER), all(1));
        assert_eq!(kept(store, THIRD), all(0)[1..3]);
        rows(store);
    });
    assert_eq!(store.preserve().release_blocking(CASE).unwrap(), 4);
    let store = through_compactions(dir.path(), store, |store| {
        assert_eq!(kept(store, CASE), []);
        assert_eq!(kept(store, OTHER), all(1));
        assert_eq!(kept(store, THIRD), all(0)[1..3]);
        rows(store);
    });
    let found = |needle: &[u8]| files(dir.path()).iter().any(|(_, octets)| holds(octets, needle));
    assert!(!found(&version(0, 0)), "what only the released hold kept is gone");
    assert!(found(&version(1, 0)));
    assert_eq!(store.preserve().release_blocking(OTHER).unwrap(), 4);
    assert_eq!(store.preserve().release_blocking(THIRD).unwrap(), 2);
    let store = through_compactions(dir.path(), store, |store| {
        [CASE, OTHER, THIRD].iter().for_each(|hold| assert_eq!(kept(store, *hold), []));
        rows(store);
    });
    assert_eq!(store.stats().live_bytes, 32 * 3 + 2_100 + 2_130, "three rows are left");
}

/// The release is carried too, for the sake of the older segment, and sets the hold's present
/// rows anew.
#[test]
fn a_hold_taken_up_again_survives_the_carrying_of_its_release() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), large()).unwrap();
    (0..3).for_each(|row| {
        put(&store, row, &octets(row, 3_000));
    });
    hold(&store, CASE, 0..3);
    // Ends the first segment, in which nothing is dead and nothing will be.
    assert_eq!(store.compact_blocking().unwrap().segments, 0);
    (10..14).for_each(|row| {
        put(&store, row, &octets(row, 3_000));
    });
    hold(&store, CASE, 10..12);
    assert_eq!(store.preserve().release_blocking(CASE).unwrap(), 5);
    hold(&store, CASE, [2, 11, 12]);
    hold(&store, OTHER, [11, 13]);
    (10..13).for_each(|row| delete(&store, row));
    through_compactions(dir.path(), store, |store| {
        assert!(segments(dir.path())[0].ends_with("0000000000000001.seg"));
        let row = |row| (row, octets(row, 3_000));
        assert_eq!(kept(store, CASE), [2, 11, 12].map(row));
        assert_eq!(kept(store, OTHER), [11, 13].map(row));
        (10..13).for_each(|row| assert_eq!(get(store, row), None));
        (0..3).for_each(|row| assert_eq!(get(store, row).unwrap(), octets(row, 3_000)));
    });
}

/// More than is carried in one record: values and their pins meet in every combination of
/// sooner, later and together.
#[test]
fn holds_survive_being_carried_in_several_records() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), large()).unwrap();
    // An older segment, for whose sake the release is carried every time.
    put(&store, u64::MAX - 1, &octets(8, 100));
    assert_eq!(store.compact_blocking().unwrap().segments, 0);
    let rows = 10_000;
    let value = |row: u64| octets(row, 20 + row as usize % 7);
    let fill = |rows: std::ops::Range<u64>| {
        let batch =
            rows.fold(Batch::new(ALICE), |batch, row| batch.put(BODY, Row(row), value(row)));
        store.append().commit_blocking(batch).unwrap();
    };
    fill(0..6_000);
    hold(&store, CASE, 0..6_000);
    fill(6_000..rows);
    hold(&store, OTHER, (0..rows).step_by(3));
    store.preserve().release_blocking(CASE).unwrap();
    hold(&store, CASE, 3_000..rows);
    let batch =
        (0..rows).step_by(2).fold(Batch::new(ALICE), |batch, row| batch.delete(BODY, Row(row)));
    store.append().commit_blocking(batch).unwrap();
    through_compactions(dir.path(), store, |store| {
        let want = |rows: &mut dyn Iterator<Item = u64>| {
            rows.map(|row| (row, value(row))).collect::<Vec<_>>()
        };
        assert!(kept(store, CASE) == want(&mut (3_000..rows)));
        assert!(kept(store, OTHER) == want(&mut (0..rows).step_by(3)));
        assert!(segments(dir.path())[0].ends_with("0000000000000001.seg"));
    });
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
