//! Backups: what a point holds is what the store held, and damage is seen.

use crate::{ALICE, BODY, delete, files, get, octets, put, segments, small};
use std::fs;
use std::path::Path;
use store::backup::{self, BackupError, Beside, Made, Source};
use store::examine::{self, Fault};
use store::{HoldId, Store};
use vocab::{Row, Timestamp};

const HOLD: HoldId = HoldId([5; 16]);

fn beside(checkpoint: &str) -> Vec<Beside> {
    vec![Beside {
        name: "log/checkpoint".into(),
        source: Source::Octets(checkpoint.to_owned().into()),
    }]
}

fn back_up(store: &Store, to: &Path, keep: usize) -> Made {
    let text = format!("checkpoint {}", store.stats().records_written);
    store.back_up_blocking(to, beside(&text), Timestamp(1_795_219_200), keep).unwrap()
}

fn fill(store: &Store, rows: std::ops::Range<u64>, value: impl Fn(u64) -> Vec<u8>) {
    for row in rows {
        put(store, row, &value(row));
    }
}

fn restored(from: &Path, number: Option<u64>) -> (tempfile::TempDir, Store) {
    let to = tempfile::tempdir().unwrap();
    backup::restore(from, to.path(), number).unwrap();
    let store = Store::open(&to.path().join("store"), small()).unwrap();
    assert_eq!(store.examine_blocking().unwrap().faults, []);
    (to, store)
}

fn rows(store: &Store) -> Vec<(u64, Vec<u8>)> {
    let scan = store.read().scan(ALICE, BODY, Row(0));
    scan.map(|row| row.map(|(row, value)| (row.0, value.to_vec())).unwrap()).collect()
}

#[test]
fn a_point_restores_what_was_there_and_nothing_later() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), small()).unwrap();
    fill(&store, 0..50, |row| octets(row, 4_000));
    store.preserve().hold_blocking(HOLD, ALICE, vec![(BODY, Row(3))]).unwrap();
    (0..5).for_each(|row| delete(&store, row));
    let first = back_up(&store, to.path(), 9);
    let held = rows(&store);
    fill(&store, 50..60, |row| octets(row, 4_000));
    let second = back_up(&store, to.path(), 9);
    assert!(second.copied_bytes < 60_000, "{} again", second.copied_bytes);
    assert!(first.copied_bytes > 200_000);
    put(&store, 60, b"acknowledged after the last backup");

    let (_one, old) = restored(to.path(), Some(1));
    assert_eq!(rows(&old), held);
    assert_eq!(old.preserve().read(HOLD, ALICE, BODY, Row(3)).unwrap().unwrap(), octets(3, 4_000));
    let (data, new) = restored(to.path(), None);
    assert_eq!(rows(&new).len(), 55);
    assert_eq!(get(&new, 60), None);
    assert_eq!(new.read().change(ALICE).unwrap(), store.read().change(ALICE).unwrap() - 1);
    let mark = fs::read_to_string(data.path().join(backup::RESTORED)).unwrap();
    let seq = second.point.seq - 1;
    assert_eq!(mark, format!("bailiwick restored\npoint 2\nmade 1795219200\nsequence {seq}\n"));
    assert_eq!(
        fs::read_to_string(data.path().join("log/checkpoint")).unwrap(),
        format!("checkpoint {seq}")
    );
    // What is restored is a store like any other.
    put(&new, 61, b"goes on");
    new.compact_blocking().unwrap();
    assert_eq!(get(&new, 61).unwrap(), b"goes on");
}

#[test]
fn points_outlive_what_the_store_compacts_and_go_when_they_are_old() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let mut held = Vec::new();
    for round in 0..6 {
        fill(&store, 0..30, |row| octets(row ^ round << 8, 3_000));
        (0..5).for_each(|row| delete(&store, row + round));
        if round % 2 == 0 {
            store.compact_blocking().unwrap();
        }
        assert_eq!(back_up(&store, to.path(), 3).points, (round + 1).min(3));
        held.push(rows(&store));
    }
    let checked = backup::check(to.path()).unwrap();
    assert_eq!(checked.iter().map(|point| point.number).collect::<Vec<_>>(), [4, 5, 6]);
    for point in checked {
        assert_eq!(point.faults, []);
        let (_dir, store) = restored(to.path(), Some(point.number));
        assert_eq!(rows(&store), held[point.number as usize - 1]);
    }
    assert!(matches!(
        backup::restore(to.path(), &dir.path().join("new"), Some(3)),
        Err(BackupError::NoPoint)
    ));
    let kept = files(&to.path().join("segments")).len();
    assert!(kept <= 3 * segments(dir.path()).len() + 3, "{kept} segments");
}

#[test]
fn whatever_is_altered_in_a_backup_is_found_and_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    fill(&store, 0..20, |row| octets(row, 4_000));
    back_up(&store, to.path(), 1);
    let mut tried = 0;
    for (path, whole) in files(to.path()) {
        if path.ends_with("LOCK") || path.ends_with("FORMAT") {
            continue;
        }
        for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            fs::write(&path, altered).unwrap();
            let found = backup::check(to.path()).unwrap();
            assert!(!found[0].faults.is_empty(), "{} at {at}", path.display());
            let new = dir.path().join("new");
            assert!(backup::restore(to.path(), &new, None).is_err());
            assert!(!new.exists(), "something was written");
            tried += 1;
        }
        for short in [None, Some(&whole[..whole.len() - 1])] {
            match short {
                None => fs::remove_file(&path).unwrap(),
                Some(short) => fs::write(&path, short).unwrap(),
            }
            let found = backup::check(to.path()).unwrap();
            assert!(found.is_empty() || !found[0].faults.is_empty(), "{}", path.display());
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(tried > 80, "{tried}");
    assert_eq!(backup::check(to.path()).unwrap()[0].faults, []);
}

#[test]
fn a_folder_of_something_else_is_no_backup_and_none_is_restored_into() {
    let dir = tempfile::tempdir().unwrap();
    let (to, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("letters.txt"), "not ours").unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, b"sealed");
    let refused = store.back_up_blocking(other.path(), Vec::new(), Timestamp(1), 1);
    assert!(matches!(refused, Err(BackupError::NotABackup)));
    assert!(matches!(backup::check(other.path()), Err(BackupError::NotABackup)));
    back_up(&store, to.path(), 1);
    let refused = backup::restore(to.path(), other.path(), None);
    assert!(matches!(refused, Err(BackupError::NotEmpty)));
    for name in ["log/../../x", "/etc/x", "log//x", "other/x", "log/a b", "log/é"] {
        let beside = vec![Beside { name: name.into(), source: Source::Octets("x".into()) }];
        let refused = store.back_up_blocking(to.path(), beside, Timestamp(1), 1);
        assert!(matches!(refused, Err(BackupError::Name)), "{name}");
    }
}

#[test]
fn nothing_is_restored_into_the_backup_itself() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, b"sealed");
    back_up(&store, to.path(), 1);
    let before = files(to.path());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(to.path(), &link).unwrap();
    for into in [to.path().to_owned(), to.path().join("files/new"), link.join("a/b")] {
        let refused = backup::restore(to.path(), &into, None);
        assert!(matches!(refused, Err(BackupError::Inside)), "{}: {refused:?}", into.display());
    }
    assert_eq!(files(to.path()), before);
    backup::restore(to.path(), &dir.path().join("beside/a"), None).unwrap();
}

#[test]
fn a_restored_store_is_sound_before_it_is_opened_for_the_first_time() {
    let dir = tempfile::tempdir().unwrap();
    let (to, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path(), small()).unwrap();
    fill(&store, 0..20, |row| octets(row, 4_000));
    back_up(&store, to.path(), 1);
    backup::restore(to.path(), new.path(), None).unwrap();
    let folder = new.path().join("store");
    let found = examine::folder(&folder).unwrap();
    assert_eq!(found.faults, []);
    Store::open(&folder, small()).unwrap().close().unwrap();
    assert_eq!(examine::folder(&folder).unwrap().counts, found.counts);
    // Once it was opened, an index is missed.
    fs::remove_dir_all(folder.join("index")).unwrap();
    assert_eq!(examine::folder(&folder).unwrap().faults, [Fault::NoIndex]);
}

#[test]
fn a_folder_that_merely_has_a_folder_of_our_names_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("files")).unwrap();
    fs::write(other.path().join("files/letters.txt"), "not ours").unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let refused = store.back_up_blocking(other.path(), Vec::new(), Timestamp(1), 1);
    assert!(matches!(refused, Err(BackupError::NotABackup)), "{refused:?}");
    assert_eq!(fs::read(other.path().join("files/letters.txt")).unwrap(), b"not ours");
}

#[test]
fn what_went_on_otherwise_than_the_newest_point_is_not_mixed_with_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(one.path(), small()).unwrap();
    fill(&store, 0..40, |row| octets(row, 4_000));
    back_up(&store, to.path(), 9);
    fill(&store, 40..80, |row| octets(row, 4_000));
    back_up(&store, to.path(), 9);
    let before = files(to.path());
    let refuses = |store: &Store, what: &str| {
        let refused = store.back_up_blocking(to.path(), beside("new"), Timestamp(1), 9);
        assert!(matches!(refused, Err(BackupError::Another)), "{what}: {refused:?}");
        let kept = files(to.path());
        assert!(before.iter().all(|file| kept.contains(file)), "{what}: a point was changed");
    };
    // The same cell, restored to an older point, and gone on: as far, less far, further.
    let (_old, old) = restored(to.path(), Some(1));
    refuses(&old, "as restored");
    fill(&old, 40..80, |row| octets(row ^ 0xff, 4_000));
    refuses(&old, "of the same length");
    fill(&old, 80..160, |row| octets(row, 4_000));
    refuses(&old, "longer");
    old.compact_blocking().unwrap();
    refuses(&old, "compacted");
    let another = Store::open(two.path(), small()).unwrap();
    refuses(&another, "another, new");
    fill(&another, 0..80, |row| octets(row ^ 0xff, 4_000));
    refuses(&another, "another");
    // One that was restored to the newest point goes on in the same folder.
    let (_new, new) = restored(to.path(), None);
    fill(&new, 80..90, |row| octets(row, 4_000));
    (0..60).for_each(|row| delete(&new, row));
    new.compact_blocking().unwrap();
    back_up(&new, to.path(), 9);
    assert!(backup::check(to.path()).unwrap().iter().all(|point| point.faults.is_empty()));
    assert_eq!(rows(&restored(to.path(), None).1), rows(&new));
}

#[test]
fn a_point_of_any_size_or_numbers_is_a_fault_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, b"sealed");
    back_up(&store, to.path(), 1);
    let path = to.path().join("points/0000000000000001.point");
    let whole = fs::read(&path).unwrap();
    // Where the numbers of the point and of its one segment stand (specs/backup.md §2).
    for at in [12, 28, 36, 44, 56, 64, 72, 80] {
        for octet in [0, 0xff] {
            let mut forged = whole.clone();
            forged[at..at + 8].fill(octet);
            let end = forged.len() - 4;
            let crc = crc32c::crc32c(&forged[..end]);
            forged[end..].copy_from_slice(&crc.to_be_bytes());
            fs::write(&path, forged).unwrap();
            let found = backup::check(to.path()).unwrap();
            assert!(!found[0].faults.is_empty(), "{octet} at {at}");
            if let Some(point) = &found[0].point {
                assert!(point.bytes() > 0);
            }
        }
    }
    let sparse = fs::File::create(&path).unwrap();
    sparse.set_len(1 << 50).or_else(|_| sparse.set_len(1 << 40)).unwrap();
    assert!(!backup::check(to.path()).unwrap()[0].faults.is_empty());
}

#[test]
fn examinations_at_one_time_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    fill(&store, 0..60, |row| octets(row, 4_000));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(store.examine_blocking().unwrap().faults, []));
        }
    });
}

#[test]
fn a_backup_of_a_damaged_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    fill(&store, 0..60, |row| octets(row, 4_000));
    let path = &segments(dir.path())[1];
    let mut segment = fs::read(path).unwrap();
    segment[30_000] ^= 1;
    fs::write(path, segment).unwrap();
    let refused = store.back_up_blocking(to.path(), Vec::new(), Timestamp(1), 1);
    assert!(matches!(refused, Err(BackupError::Damaged { segment: 2, .. })), "{refused:?}");
    assert!(backup::check(to.path()).unwrap().is_empty());
}

#[test]
fn a_store_that_nobody_has_open_is_examined_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    fill(&store, 0..60, |row| octets(row, 4_000));
    delete(&store, 3);
    assert!(matches!(
        examine::folder(dir.path()),
        Err(examine::ExamineError::Open(store::OpenError::Locked))
    ));
    let running = store.examine_blocking().unwrap();
    store.close().unwrap();
    let before = files(dir.path());
    let closed = examine::folder(dir.path()).unwrap();
    assert_eq!(closed, running);
    assert_eq!((closed.faults.len(), closed.records > 60), (0, true));
    assert!(before == files(dir.path()), "it changed something");

    let path = &segments(dir.path())[1];
    let mut segment = fs::read(path).unwrap();
    segment[30_000] ^= 1;
    fs::write(path, &segment).unwrap();
    let damaged = examine::folder(dir.path()).unwrap();
    assert!(matches!(damaged.faults[..], [Fault::Damaged { segment: 2, .. }, ..]));
    fs::remove_file(path).unwrap();
    let missing = examine::folder(dir.path()).unwrap();
    assert_eq!(missing.faults.first(), Some(&Fault::Missing { segment: 2 }));
    assert!(!missing.faults[0].is_mendable());
}
