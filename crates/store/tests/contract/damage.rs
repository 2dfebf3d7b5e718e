//! Torn and damaged journals.

use crate::{ALICE, get, octets, put, segments, small};
use std::fs;
use std::path::Path;
use store::check::{self, Rest};
use store::{OpenError, Options, ReadError, Store};
use vocab::Row;

/// A store as a crash leaves it: copied while open, so without the closing checkpoint.
fn crashed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("journal")).unwrap();
    fs::copy(dir.join("FORMAT"), copy.path().join("FORMAT")).unwrap();
    for path in segments(dir) {
        fs::copy(&path, copy.path().join("journal").join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// Where the records of a segment end: after its last octet that is not zero.
fn end(octets: &[u8]) -> usize {
    octets.iter().rposition(|octet| *octet != 0).unwrap() + 1
}

/// One segment with three acknowledged rows and a fourth; its octets, and where the fourth starts.
fn four_rows() -> (tempfile::TempDir, Vec<u8>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 16 << 10, ..small() };
    let store = Store::open(dir.path(), options).unwrap();
    (0..3).for_each(|row| {
        put(&store, row, &octets(row, 40));
    });
    let start = end(&fs::read(&segments(dir.path())[0]).unwrap()).next_multiple_of(8);
    put(&store, 3, &octets(3, 8));
    let copy = crashed(dir.path());
    let octets = fs::read(&segments(copy.path())[0]).unwrap();
    (copy, octets, start)
}

fn open_with(dir: &Path, octets: &[u8]) -> Result<Store, OpenError> {
    fs::write(&segments(dir)[0], octets).unwrap();
    Store::open(dir, Options { segment_bytes: 16 << 10, rebuild_index: true, ..small() })
}

fn earlier_rows_stand(store: &Store, what: &str) {
    (0..3).for_each(|row| assert_eq!(get(store, row).unwrap(), octets(row, 40), "{what}"));
}

#[test]
fn a_tail_torn_at_any_octet_leaves_all_before_it() {
    let (dir, whole, start) = four_rows();
    for cut in start..end(&whole) {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        let store = open_with(dir.path(), &torn).unwrap();
        earlier_rows_stand(&store, &format!("cut at {cut}"));
        assert_eq!(get(&store, 3), None, "cut at {cut}");
        assert_eq!(store.read().change(ALICE).unwrap(), 3);
        if cut % 8 == 0 {
            // The next record goes where the torn one was.
            put(&store, 4, &octets(4, 8));
            store.close().unwrap();
            let store = Store::open(dir.path(), small()).unwrap();
            assert_eq!(get(&store, 4).unwrap(), octets(4, 8), "cut at {cut}");
        }
    }
}

#[test]
fn a_tail_flipped_at_any_octet_leaves_all_before_it() {
    let (dir, whole, start) = four_rows();
    for at in start..end(&whole) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        let store = open_with(dir.path(), &flipped).unwrap();
        earlier_rows_stand(&store, &format!("flipped at {at}"));
        assert_eq!(get(&store, 3), None, "flipped at {at}");
    }
}

#[test]
fn damage_before_a_synced_record_is_reported() {
    let (dir, whole, start) = four_rows();
    for at in (64..start).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x01;
        // Padding is part of no checksum and carries nothing.
        match open_with(dir.path(), &flipped) {
            Err(OpenError::Damaged { segment: 1, offset }) => assert!(offset <= at as u64),
            Err(error) => panic!("{error} at {at}"),
            Ok(store) => {
                assert_eq!(whole[at], 0, "damage at {at} went unseen");
                earlier_rows_stand(&store, &format!("flipped at {at}"));
                assert_eq!(get(&store, 3).unwrap(), octets(3, 8));
            }
        }
    }
}

#[test]
fn a_damaged_segment_header_is_reported() {
    let (dir, whole, _) = four_rows();
    for at in 0..64 {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        let error = open_with(dir.path(), &flipped).err().unwrap();
        assert!(matches!(error, OpenError::Damaged { segment: 1, offset: 0 }), "{error} at {at}");
    }
}

#[test]
fn a_record_of_another_place_is_not_believed() {
    let (dir, whole, start) = four_rows();
    let mut moved = whole.clone();
    let record = whole[start..end(&whole)].to_vec();
    moved[start..].fill(0);
    moved[start + 8..start + 8 + record.len()].copy_from_slice(&record);
    let store = open_with(dir.path(), &moved).unwrap();
    earlier_rows_stand(&store, "moved");
    assert_eq!(get(&store, 3), None);
}

#[test]
fn a_length_nobody_wrote_is_not_believed() {
    let (dir, whole, start) = four_rows();
    for field in [24, 32] {
        let mut long = whole.clone();
        long[start + field..start + field + 4].fill(0xff);
        let store = open_with(dir.path(), &long).unwrap();
        earlier_rows_stand(&store, "long");
    }
}

#[test]
fn a_damaged_value_is_not_returned() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let value = octets(1, 9_000);
    put(&store, 1, &value);
    let path = &segments(dir.path())[0];
    let mut segment = fs::read(path).unwrap();
    let at = segment.windows(16).position(|window| window == &value[100..116]).unwrap();
    segment[at] ^= 1;
    fs::write(path, segment).unwrap();
    let error = store.read().get(ALICE, crate::BODY, Row(1)).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { segment: 1, .. }));
}

#[test]
fn an_ended_segment_that_stops_early_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    (0..60).for_each(|row| {
        put(&store, row, &octets(row, 4_000));
    });
    let copy = crashed(dir.path());
    let path = &segments(copy.path())[1];
    let mut segment = fs::read(path).unwrap();
    let last = end(&segment);
    segment[last - 48..].fill(0);
    fs::write(path, segment).unwrap();
    assert!(matches!(
        Store::open(copy.path(), small()).err(),
        Some(OpenError::Damaged { segment: 2, .. })
    ));
}

#[test]
fn a_segment_read_apart_from_its_store_says_what_opening_would() {
    let (dir, whole, start) = four_rows();
    let sound = check::segment(&whole).unwrap();
    assert_eq!((sound.id, sound.first_seq, sound.records), (1, 1, 4));
    assert_eq!((sound.end, sound.rest), (end(&whole).next_multiple_of(8) as u64, Rest::Zeros));
    for at in (start..end(&whole)).chain([70, 100, start - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let checked = check::segment(&flipped).unwrap();
        let opened = open_with(dir.path(), &flipped);
        match checked.rest {
            Rest::Damaged => assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{at}"),
            Rest::Unfinished => assert_eq!(opened.unwrap().stats().records_written, 3, "{at}"),
            // A flipped octet of padding is none of a record's.
            Rest::Zeros => assert_eq!((checked.records, opened.is_ok()), (4, true), "{at}"),
            Rest::Ended => panic!("nothing ended it"),
        }
    }
    assert!((0..64).all(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        check::segment(&flipped).is_none()
    }));
    assert_eq!(check::segment(&whole[..whole.len() - 1]), None);
}

#[test]
fn what_a_store_leaves_behind_checks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    (0..200).for_each(|row| {
        put(&store, row, &octets(row, 3_000));
    });
    store.close().unwrap();
    let paths = segments(dir.path());
    let (newest, ended) = paths.split_last().unwrap();
    assert!(!ended.is_empty());
    for path in ended {
        assert_eq!(check::segment(&fs::read(path).unwrap()).unwrap().rest, Rest::Ended);
    }
    assert_eq!(check::segment(&fs::read(newest).unwrap()).unwrap().rest, Rest::Zeros);
    let (_, counted) =
        check::checkpoint(&fs::read(dir.path().join("CHECKPOINT")).unwrap()).unwrap();
    assert_eq!(counted, paths.len() as u64);
    assert_eq!(check::format(&fs::read(dir.path().join("FORMAT")).unwrap()), Some(1));
}
