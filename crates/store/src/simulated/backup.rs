//! The power goes at every moment of a backup: the points before it stay whole.
//!
//! Invariant: as of the disk of the schedules.
//! Refs: specs/backup.md §3.

use super::disk::SimulatedDisk;
use crate::backup::{self, Beside, Source};
use crate::disk::Disk;
use crate::{Batch, Options, Store};
use std::sync::Arc;
use vocab::{AccountId, RecordKind, Row, Timestamp};

const ALICE: AccountId = AccountId([0xa1; 16]);

fn put(store: &Store, rows: std::ops::Range<u64>) {
    for row in rows {
        let value = vec![row as u8 | 1; 1500];
        let batch = Batch::new(ALICE).put(RecordKind::LetterBody, Row(row), value);
        store.append().commit_blocking(batch).unwrap();
    }
}

fn beside(text: &'static str) -> Vec<Beside> {
    let file = |name: &str, text: &'static str| Beside {
        name: name.to_owned(),
        source: Source::Octets(text.as_bytes().into()),
    };
    vec![file("log/checkpoint", text), file("log/tile/0/000.p/3", "a tile")]
}

fn back_up(store: &Store, disk: &Disk, text: &'static str) -> Result<(), backup::BackupError> {
    let stand = || store.stand_blocking();
    backup::make(disk, stand, beside(text), Timestamp(9), 2).map(drop)
}

#[test]
fn a_power_cut_at_any_moment_of_a_backup_leaves_the_points_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 16 << 10, reserve_bytes: 0, ..Options::default() };
    let store = Store::open(&dir.path().join("store"), options).unwrap();
    let root = dir.path().join("backup");
    let simulated = SimulatedDisk::new(7, dir.path().join("none"));
    let disk = Disk::on(&root, Arc::new(simulated.clone()));
    put(&store, 0..20);
    back_up(&store, &disk, "one").unwrap();
    let (mut cut, mut cuts, mut row) = (1, 0, 20);
    loop {
        put(&store, row..row + 7);
        row += 7;
        let before = backup::numbers(&disk).unwrap();
        simulated.cut_after(Some(cut));
        let made = back_up(&store, &disk, if cut % 2 == 0 { "two" } else { "three" });
        let is_off = simulated.is_off();
        simulated.power_cycle();
        let after = backup::numbers(&disk).unwrap();
        let newest_before = before.last().unwrap();
        assert!(after.last().unwrap() >= newest_before, "{before:?} {after:?}");
        assert!(made.is_err() || after.last().unwrap() > newest_before);
        for number in after {
            let checked = backup::check_point(&disk, number).unwrap();
            assert_eq!(checked.faults, [], "cut {cut}, point {number}");
        }
        if !is_off {
            break;
        }
        (cut, cuts) = (cut + 1, cuts + 1);
        // What was cut off is made up for, so that the next has no more to do than this one.
        back_up(&store, &disk, "four").unwrap();
    }
    assert!(cuts > 10, "{cuts}");
}
