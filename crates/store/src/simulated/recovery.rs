//! What the schedules come upon too seldom: each a fault that was once put into recovery by hand,
//! and went unnoticed.
//!
//! Invariant: as of the disk of the schedules.
//! Refs: specs/store-journal.md §6, §7.

use super::disk::{Act, SimulatedDisk};
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::format::RecordHeader;
use crate::{Batch, CommitError, Options, Parts, Read, Store};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use vocab::{AccountId, RecordKind, Row};

const ALICE: AccountId = AccountId([0xa1; 16]);
const BODY: RecordKind = RecordKind::LetterBody;

fn options() -> Options {
    Options { segment_bytes: 16 << 10, reserve_bytes: 0, ..Options::default() }
}

fn batch(row: u64, len: usize) -> Batch {
    Batch::new(ALICE).put(BODY, Row(row), vec![row as u8; len])
}

fn rows(read: &Read) -> Vec<u64> {
    read.scan(ALICE, BODY, Row(0)).map(|row| row.unwrap().0.0).collect()
}

/// A store whose writer and keeper move only when they are told to.
struct Stepped {
    dir: tempfile::TempDir,
    disk: SimulatedDisk,
}

impl Stepped {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = SimulatedDisk::new(seed, dir.path().join("index"));
        Self { dir, disk }
    }

    fn open(&self) -> Parts {
        Parts::open(Disk::on(self.dir.path(), Arc::new(self.disk.clone())), options()).unwrap()
    }
}

fn put(parts: &mut Parts, row: u64, len: usize) -> Result<(), CommitError> {
    let append = crate::Append { queue: parts.queue.clone() };
    let mut commit = pin!(append.commit(batch(row, len)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(commit.as_mut().poll(&mut context).is_pending());
    parts.queue.close();
    parts.writer.run(&mut parts.commands);
    match commit.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer.map(drop),
        Poll::Pending => panic!("the writer answers everybody"),
    }
}

fn found(parts: &Parts) -> Vec<u64> {
    rows(&Read { shared: parts.shared.clone() })
}

#[test]
fn an_unfinished_record_does_not_come_back_behind_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        // Without a checkpoint everything is taken from the journal.
        drop(std::fs::remove_file(dir.path().join("CHECKPOINT")));
        Store::open(dir.path(), options()).unwrap()
    };
    let store = open();
    let end = || store.shared.books().offset;
    let put = |store: &Store, row| store.append().commit_blocking(batch(row, 100)).unwrap();
    put(&store, 1);
    let (second, seq) = (end(), store.shared.books().seq);
    put(&store, 2);
    let third = end();
    put(&store, 3);
    store.close().unwrap();
    // As if the second and the third had been one group, of which only the later half arrived.
    let path = crate::segment::path(&Disk::new(dir.path()), 1);
    let mut octets = std::fs::read(&path).unwrap();
    let (from, to) = (second as usize, third as usize);
    let header = RecordHeader::decode(1, third, &octets[to..]).unwrap();
    let header = RecordHeader { durable: seq - 1, ..header }.encode(1, third);
    octets[to..to + header.len()].copy_from_slice(&header);
    octets[from..to].fill(0);
    std::fs::write(&path, octets).unwrap();
    let store = open();
    assert_eq!(rows(&store.read()), [1]);
    // It takes the place of the second to the octet: what lay behind would follow on it.
    put(&store, 4);
    store.close().unwrap();
    assert_eq!(rows(&open().read()), [1, 4]);
}

#[test]
fn the_number_of_a_checkpoint_that_failed_is_not_used_again() {
    let stepped = Stepped::new(1);
    let mut parts = stepped.open();
    put(&mut parts, 1, 100).unwrap();
    parts.keeper.checkpoint().unwrap();
    put(&mut parts, 2, 100).unwrap();
    stepped.disk.arm(Act::Create, 0, ErrorKind::Other);
    assert!(parts.keeper.checkpoint().is_err());
    drop(parts);
    // The index carries the number, as of now.
    let (index, then) = (stepped.dir.path().join("index"), stepped.dir.path().join("then"));
    super::disk::copy_dir(&index, &then);
    let mut parts = stepped.open();
    let spent = parts.shared.index.token().unwrap();
    put(&mut parts, 3, 100).unwrap();
    parts.keeper.checkpoint().unwrap();
    let number = Checkpoint::read(&parts.shared.disk).unwrap().unwrap().number;
    drop(parts);
    // Whoever puts that index back is not believed.
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::rename(&then, &index).unwrap();
    assert_eq!(found(&stepped.open()), [1, 2, 3]);
    assert!(number > spent, "{number} again");
}

#[test]
fn names_that_were_in_memory_only_last_once_a_store_is_open() {
    let (mut reopened, mut syncs) = (0, 0);
    for seed in 0..4 {
        for after in 0.. {
            let stepped = Stepped::new(seed);
            let mut parts = stepped.open();
            put(&mut parts, 1, 100).unwrap();
            stepped.disk.arm(Act::Sync, after, ErrorKind::Other);
            // It begins a segment of its own size.
            let is_put = put(&mut parts, 2, 30_000).is_ok();
            drop(parts);
            stepped.disk.disarm();
            if is_put {
                syncs = after;
                break;
            }
            // The process died of it; the power is on still.
            let mut parts = stepped.open();
            assert!(stepped.disk.is_settled(), "sync {after}: names are in memory only");
            put(&mut parts, 3, 100).unwrap();
            let before = found(&parts);
            drop(parts);
            stepped.disk.power_cycle();
            assert_eq!(found(&stepped.open()), before, "sync {after}");
            assert!(before.ends_with(&[3]));
            reopened += 1;
        }
    }
    assert!(reopened >= 4 * 3, "{reopened} of {syncs} syncs");
}

#[test]
fn a_part_of_the_index_that_is_lost_whole_is_missed() {
    let stepped = Stepped::new(3);
    let mut parts = stepped.open();
    put(&mut parts, 1, 100).unwrap();
    parts.keeper.checkpoint().unwrap();
    drop(parts);
    // The engine makes an empty tree in its place.
    let trees = stepped.dir.path().join("index/keyspaces");
    let trees: Vec<_> =
        std::fs::read_dir(trees).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(trees.len() > 1, "{trees:?}");
    let (index, whole) = (stepped.dir.path().join("index"), stepped.dir.path().join("whole"));
    super::disk::copy_dir(&index, &whole);
    for tree in trees {
        std::fs::remove_dir_all(&index).unwrap();
        super::disk::copy_dir(&whole, &index);
        std::fs::remove_dir_all(&tree).unwrap();
        let parts = stepped.open();
        assert_eq!(found(&parts), [1], "without {}", tree.display());
        assert_eq!(Read { shared: parts.shared.clone() }.change(ALICE).unwrap(), 1);
    }
}
