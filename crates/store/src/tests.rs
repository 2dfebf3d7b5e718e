//! What only a failing disk shows, and the format's vectors.

use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::examine::{self, Fault};
use crate::format::{
    CarryOp, CommitOp, Directory, Head, Place, RecordHeader, SegmentHeader, Value, key, len32,
};
use crate::index::IndexWrite;
use crate::simulated::disk::{Act, SimulatedDisk};
use crate::{Batch, CommitError, HoldId, OpenError, Options, Store};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::path::Path;
use vocab::{AccountId, RecordKind, Row};

const ACCOUNT: AccountId = AccountId([7; 16]);
const BODY: RecordKind = RecordKind::LetterBody;

fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        reserve_bytes: 1 << 20,
        checkpoint_bytes: 1 << 30,
        ..Options::default()
    }
}

/// A folder for the index and a disk for the rest, which can be made to fail.
struct Failing {
    dir: tempfile::TempDir,
    disk: SimulatedDisk,
}

impl Failing {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = SimulatedDisk::new(0, dir.path().join("index"));
        Self { dir, disk }
    }

    fn open(&self) -> Store {
        let disk = Disk::on(self.dir.path(), std::sync::Arc::new(self.disk.clone()));
        Store::open_on(disk, options()).unwrap()
    }

    /// A store with one row, whose keeper has written a checkpoint after the one of its opening,
    /// and is at rest.
    fn begun(&self) -> Store {
        let store = self.open();
        assert_eq!(put(&store, 1, 100), Ok(1));
        let number = || Checkpoint::read(&store.shared.disk).unwrap().map_or(0, |it| it.number);
        while number() < 2 || !self.disk.is_settled() {
            std::thread::yield_now();
        }
        store
    }
}

fn put(store: &Store, row: u64, len: usize) -> Result<u64, CommitError> {
    let value = vec![u8::try_from(row).unwrap(); len];
    let batch = Batch::new(ACCOUNT).put(BODY, Row(row), value);
    store.append().commit_blocking(batch).map(|change| change.seq)
}

fn rows(store: &Store) -> Vec<u64> {
    let scan = store.read().scan(ACCOUNT, BODY, Row(0));
    scan.map(|row| row.unwrap().0.0).collect()
}

#[test]
fn a_failed_sync_stops_the_store_until_it_is_opened_again() {
    let failing = Failing::new();
    let store = failing.begun();
    failing.disk.arm(Act::Sync, 0, ErrorKind::Other);
    assert_eq!(put(&store, 2, 100), Err(CommitError::Stopped));
    assert_eq!(put(&store, 3, 100), Err(CommitError::Stopped), "no second try");
    assert!(store.stats().has_stopped);
    assert_eq!(rows(&store), [1], "reading goes on");
    assert_eq!(store.preserve().release_blocking(HoldId([1; 16])), Ok(0));
    let held = store.preserve().hold_blocking(HoldId([1; 16]), ACCOUNT, vec![(BODY, Row(1))]);
    assert_eq!(held, Err(CommitError::Stopped));
    drop(store);
    let store = failing.open();
    // The second was written, never acknowledged: it may be there, and then whole.
    assert!([vec![1], vec![1, 2]].contains(&rows(&store)));
    let change = store.read().change(ACCOUNT).unwrap();
    assert_eq!(put(&store, 4, 100), Ok(change + 1));
}

#[test]
fn a_disk_that_fills_refuses_and_goes_on() {
    let failing = Failing::new();
    let store = failing.begun();
    failing.disk.arm(Act::Write, 0, ErrorKind::StorageFull);
    assert_eq!(put(&store, 2, 5_000), Err(CommitError::Full));
    assert_eq!(put(&store, 3, 100), Ok(2), "what half arrived is taken back");
    drop(store);
    let store = failing.open();
    assert_eq!(rows(&store), [1, 3]);
}

#[test]
fn a_segment_that_cannot_be_begun_refuses_and_goes_on() {
    let failing = Failing::new();
    let store = failing.begun();
    // Longer than any segment put by.
    failing.disk.arm(Act::Create, 0, ErrorKind::StorageFull);
    assert_eq!(put(&store, 2, 200_000), Err(CommitError::Full));
    assert_eq!(put(&store, 3, 1_000), Ok(2));
    assert_eq!(put(&store, 4, 200_000), Ok(3));
    drop(store);
    let store = failing.open();
    assert_eq!(rows(&store), [1, 3, 4]);
}

#[test]
fn any_other_failed_write_stops_the_store() {
    let failing = Failing::new();
    let store = failing.begun();
    failing.disk.arm(Act::Write, 0, ErrorKind::Other);
    assert_eq!(put(&store, 2, 100), Err(CommitError::Stopped));
    assert_eq!(put(&store, 3, 100), Err(CommitError::Stopped));
    drop(store);
    let store = failing.open();
    assert_eq!(rows(&store), [1]);
}

#[test]
fn the_later_half_of_an_unfinished_group_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(put(&store, 1, 100), Ok(1));
    let (at, seq) = {
        let books = store.shared.books();
        (books.offset, books.seq)
    };
    drop(store);
    // Two records of one group were on their way; the second arrived, the first did not.
    let directory = Directory::End { next: 2 }.encode();
    let header = RecordHeader {
        kind: Directory::End { next: 2 }.kind(),
        seq: seq + 1,
        durable: seq - 1,
        directory_len: len32(directory.len()),
        directory_crc: crc32c::crc32c(&directory),
        values_len: 0,
    };
    let path = dir.path().join("journal/0000000000000001.seg");
    let mut octets = std::fs::read(&path).unwrap();
    let second = usize::try_from(at).unwrap() + 512;
    octets[second..second + 40].copy_from_slice(&header.encode(1, at + 512));
    octets[second + 40..second + 48].copy_from_slice(&directory);
    std::fs::write(&path, &octets).unwrap();
    let store = open(dir.path());
    assert_eq!(rows(&store), [1]);
    let cleared = std::fs::read(&path).unwrap();
    assert!(cleared[usize::try_from(at).unwrap()..].iter().all(|octet| *octet == 0));
    assert_eq!(put(&store, 2, 100), Ok(2));
    drop(store);
    // The same record, had it been written after the first was synced, is proof of damage.
    let header = RecordHeader { durable: seq, ..header };
    octets[second..second + 40].copy_from_slice(&header.encode(1, at + 512));
    std::fs::write(&path, &octets).unwrap();
    std::fs::remove_file(dir.path().join("CHECKPOINT")).unwrap();
    let error = Store::open(dir.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { segment: 1, offset } if offset == at), "{error}");
}

#[test]
fn the_reserve_is_kept_for_deleting() {
    let failing = Failing::new();
    let store = failing.begun();
    failing.disk.set_free(Some((1 << 20) - 1));
    assert_eq!(put(&store, 2, 100), Err(CommitError::Full));
    let deletes = Batch::new(ACCOUNT).delete(BODY, Row(1));
    assert!(store.append().commit_blocking(deletes).is_ok());
    failing.disk.set_free(Some(1 << 20));
    assert_eq!(put(&store, 2, 100), Ok(3));
    assert_eq!(rows(&store), [2]);
}

#[test]
fn what_leads_to_deleting_takes_half_of_the_reserve_at_most() {
    let failing = Failing::new();
    let store = failing.open();
    let mark = |row, octets: usize| {
        let batch = Batch::new(ACCOUNT).put(BODY, Row(row), vec![1; octets]).to_make_room();
        store.append().commit_blocking(batch).map(|change| change.seq)
    };
    failing.disk.set_free(Some(1 << 19));
    assert_eq!(put(&store, 1, 100), Err(CommitError::Full));
    assert_eq!(mark(1, 100), Ok(1));
    assert_eq!(mark(2, (4 << 20) + 1), Err(CommitError::Full));
    failing.disk.set_free(Some((1 << 19) - 1));
    assert_eq!(mark(2, 100), Err(CommitError::Full));
    let deletes = Batch::new(ACCOUNT).delete(BODY, Row(1));
    assert!(store.append().commit_blocking(deletes).is_ok());
}

#[test]
fn an_index_that_says_otherwise_is_found_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (1..=3).for_each(|row| assert_eq!(put(&store, row, 5_000), Ok(row)));
    store.preserve().hold_blocking(HoldId([1; 16]), ACCOUNT, vec![(BODY, Row(1))]).unwrap();
    let sound = store.examine_blocking().unwrap();
    assert_eq!((sound.faults.as_slice(), sound.records, sound.holds), ([].as_slice(), 4, (1, 1)));
    let count = examine::Count { records: 3, octets: 15_000 };
    assert_eq!(sound.counts, [((ACCOUNT, BODY), count)].into());

    let (account, table) = (ACCOUNT, BODY.table());
    let mut write = IndexWrite::default();
    write.delete_row(&key(account, table, 2));
    let place = Place { segment: 1, offset: 64, len: 7, crc: 0 };
    write.put_row(&key(account, table, 3), &place, None);
    write.put_row(&key(account, table, 9), &place, None);
    write.put_head(account, &Head { change: 1, records: 3, bytes: 15_000 });
    write.delete_pin(HoldId([1; 16]), &key(account, table, 1));
    store.shared.index.apply(write).unwrap();
    let row = |row| Fault::Row { account, table, row };
    let hold = Fault::Hold { account };
    let wrong = [row(2), row(3), row(9), Fault::Counters { account }, hold, hold];
    assert_eq!(store.examine_blocking().unwrap().faults, wrong);
    assert!(wrong.iter().all(Fault::is_mendable));
    store.close().unwrap();
    assert_eq!(examine::folder(dir.path()).unwrap().faults, wrong);
    let options = Options { rebuild_index: true, ..options() };
    Store::open(dir.path(), options).unwrap().close().unwrap();
    assert_eq!(examine::folder(dir.path()).unwrap(), sound);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(examine::folder(dir.path()).unwrap().faults, [Fault::NoIndex]);
}

/// `(name, octets)` of every line of the vectors that is not a comment.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let text = include_str!("../../../specs/vectors/store-journal.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            let digits = hex.as_bytes().chunks(2);
            let octet = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            (name, digits.map(octet).collect())
        })
        .collect()
}

fn record(directory: &Directory, values: &[u8]) -> Vec<u8> {
    let encoded = directory.encode();
    let header = RecordHeader {
        kind: directory.kind(),
        seq: 9,
        durable: 7,
        directory_len: len32(encoded.len()),
        directory_crc: crc32c::crc32c(&encoded),
        values_len: len32(values.len()),
    };
    let mut out = header.encode(3, 64).to_vec();
    out.extend_from_slice(&encoded);
    out.extend_from_slice(values);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// One of each, as specs/store-journal.md §9 describes them.
fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let account = AccountId([0xa1; 16]);
    let hold = HoldId([0xc5; 16]);
    let head = Head { change: 5, records: 2, bytes: 11 };
    let value = |text: &[u8]| Value { start: 0, len: len32(text.len()), crc: crc32c::crc32c(text) };
    let place = Place { segment: 2, offset: 4096, len: 6, crc: crc32c::crc32c(b"sealed") };
    let row = key(account, 17, 1);
    let commit = Directory::Commit {
        account,
        head,
        ops: vec![
            CommitOp { table: 16, row: 1, freed: (2, 42), value: None },
            CommitOp { table: 17, row: 1, freed: (0, 0), value: Some(value(b"sealed")) },
        ],
    };
    let carry = Directory::Carry {
        from: 1,
        ops: vec![
            CarryOp::Value { key: row, current: true, holds: vec![hold], value: value(b"sealed") },
            CarryOp::Gone { key: key(account, 16, 1) },
            CarryOp::Head { account, head },
            CarryOp::Pin { hold, key: row, place },
            CarryOp::Released { hold },
        ],
    };
    vec![
        ("segment", SegmentHeader { id: 3, size: 65_536, first_seq: 8 }.encode().to_vec()),
        ("commit", record(&commit, b"sealed")),
        ("carry", record(&carry, b"sealed")),
        ("hold", record(&Directory::Hold { hold, pins: vec![(row, place)] }, b"")),
        ("release", record(&Directory::Release { hold, freed: vec![(2, 38)] }, b"")),
        ("end", record(&Directory::End { next: 4 }, b"")),
    ]
}

#[test]
fn the_format_is_the_published_one() {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let ours: Vec<_> =
        examples().iter().map(|(name, octets)| format!("{name} {}", hex(octets))).collect();
    let published: Vec<_> =
        vectors().iter().map(|(name, octets)| format!("{name} {}", hex(octets))).collect();
    assert_eq!(ours.join("\n"), published.join("\n"));
}

#[test]
fn a_published_record_reads_back_and_no_shorter_one_does() {
    for (name, octets) in vectors().into_iter().skip(1) {
        let header = RecordHeader::decode(3, 64, &octets).unwrap();
        assert_eq!(header.record_len(), octets.len() as u64, "{name}");
        assert_eq!(RecordHeader::decode(3, 72, &octets), None, "{name} is of another place");
        assert_eq!(RecordHeader::decode(4, 64, &octets), None, "{name} is of another segment");
        let directory = &octets[40..40 + header.directory_len as usize];
        let read = Directory::decode(header.kind, directory).unwrap();
        assert_eq!(read.encode(), directory, "{name}");
        for cut in 0..directory.len() {
            if let Some(shorter) = Directory::decode(header.kind, &directory[..cut]) {
                assert_ne!(shorter, read, "{name} cut at {cut}");
            }
        }
    }
}

proptest! {
    #[test]
    fn reading_any_octets_ends(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let octets: Vec<u8> = octets;
        for (_, vector) in vectors().into_iter().skip(1) {
            let kind = RecordHeader::decode(3, 64, &vector).unwrap().kind;
            if let Some(directory) = Directory::decode(kind, &octets) {
                prop_assert_eq!(directory.encode(), octets.clone());
            }
        }
        prop_assert_eq!(RecordHeader::decode(1, 64, &octets), None);
    }
}
