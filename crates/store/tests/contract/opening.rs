//! What opening accepts and what it refuses.

use crate::{ALICE, BODY, get, octets, put, segments, small};
use store::{Batch, CommitError, OpenError, Options, Store};
use vocab::Row;

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path(), small()).unwrap().close().unwrap();
    std::fs::write(dir.path().join("FORMAT"), "bailiwick store\nversion 2\n").unwrap();
    let error = Store::open(dir.path(), small()).err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1 }));
    assert_eq!(
        error.to_string(),
        "the store has format 2, and this build reads up to 1; use a newer build"
    );
}

#[test]
fn a_malformed_format_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path(), small()).unwrap().close().unwrap();
    for text in
        ["", "bailiwick store\n", "bailiwick store\nversion 0\n", "something else\nversion 1\n"]
    {
        std::fs::write(dir.path().join("FORMAT"), text).unwrap();
        assert!(matches!(Store::open(dir.path(), small()).err(), Some(OpenError::NotAStore)));
    }
}

#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    assert!(matches!(Store::open(dir.path(), small()).err(), Some(OpenError::Locked)));
    put(&store, 1, b"still open");
    store.close().unwrap();
    assert_eq!(get(&Store::open(dir.path(), small()).unwrap(), 1).unwrap(), b"still open");
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letters.txt"), "not ours").unwrap();
    assert!(matches!(Store::open(dir.path(), small()).err(), Some(OpenError::NotAStore)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn options_have_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Options { segment_bytes: 1, ..small() };
    assert!(matches!(
        Store::open(dir.path(), tiny).err(),
        Some(OpenError::Options("segment_bytes"))
    ));
}

#[test]
fn a_full_disk_takes_no_letters_but_is_read_and_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, &octets(1, 3_000));
    store.close().unwrap();
    let full = Options { reserve_bytes: u64::MAX, ..small() };
    let store = Store::open(dir.path(), full).unwrap();
    let letter = Batch::new(ALICE).put(BODY, Row(2), octets(2, 10));
    assert_eq!(store.append().commit_blocking(letter), Err(CommitError::Full));
    assert_eq!(get(&store, 1).unwrap(), octets(1, 3_000));
    store.append().commit_blocking(Batch::new(ALICE).delete(BODY, Row(1))).unwrap();
    assert_eq!(get(&store, 1), None);
}

#[test]
fn a_closed_store_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let (append, twin) = (store.append(), store.clone());
    put(&store, 1, b"before");
    store.close().unwrap();
    let late = Batch::new(ALICE).put(BODY, Row(2), octets(2, 10));
    assert_eq!(append.commit_blocking(late), Err(CommitError::Stopped));
    assert_eq!(get(&twin, 1).unwrap(), b"before");
    twin.close().unwrap();
}

#[test]
fn a_missing_segment_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    (0..60).for_each(|row| {
        put(&store, row, &octets(row, 4_000));
    });
    store.close().unwrap();
    let paths = segments(dir.path());
    assert!(paths.len() >= 3);
    std::fs::remove_file(&paths[1]).unwrap();
    assert!(matches!(
        Store::open(dir.path(), small()).err(),
        Some(OpenError::MissingSegment { segment: 2 })
    ));
}

#[test]
fn the_index_can_be_lost_or_spoilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    (0..60).for_each(|row| {
        put(&store, row, &octets(row, 4_000));
    });
    store.close().unwrap();
    let spoil: [fn(&std::path::Path); 4] = [
        |dir| std::fs::remove_dir_all(dir.join("index")).unwrap(),
        |dir| std::fs::remove_file(dir.join("CHECKPOINT")).unwrap(),
        |dir| std::fs::write(dir.join("CHECKPOINT"), b"BWCHECK\n and then nonsense").unwrap(),
        |dir| {
            for entry in std::fs::read_dir(dir.join("index")).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::write(path, b"nonsense").unwrap();
                }
            }
        },
    ];
    for spoil in spoil {
        spoil(dir.path());
        let store = Store::open(dir.path(), small()).unwrap();
        (0..60).for_each(|row| assert_eq!(get(&store, row).unwrap(), octets(row, 4_000)));
        assert_eq!(store.read().change(ALICE).unwrap(), 60);
        store.close().unwrap();
    }
}

#[test]
fn an_index_from_before_the_checkpoint_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, &octets(1, 4_000));
    store.close().unwrap();
    let old = crate::files(&dir.path().join("index"));
    let store = Store::open(dir.path(), small()).unwrap();
    put(&store, 1, &octets(2, 4_000));
    put(&store, 2, &octets(3, 4_000));
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    for (path, octets) in old {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, octets).unwrap();
    }
    let store = Store::open(dir.path(), small()).unwrap();
    assert_eq!(get(&store, 1).unwrap(), octets(2, 4_000));
    assert_eq!(get(&store, 2).unwrap(), octets(3, 4_000));
}
