//! What any store must keep, and that this one keeps it through crashes and damage.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

extern crate bailiwick_store as store;

mod backup;
mod contract;
mod crash;
mod damage;
mod model;
mod opening;
mod preserving;
mod sample;
mod written;

use store::{Batch, Options, Store};
use vocab::{AccountId, RecordKind, Row};
use written::octets;

const ALICE: AccountId = AccountId([0xa1; 16]);
const BOB: AccountId = AccountId([0xb0; 16]);
const BODY: RecordKind = RecordKind::LetterBody;
const HEAD: RecordKind = RecordKind::LetterHead;

/// Small enough that a test passes through many segments.
fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        inline_bytes: 256,
        reserve_bytes: 0,
        checkpoint_bytes: 48 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

/// A cell's own segments: whatever a test writes lies in one, and is carried together.
fn large() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

fn put(store: &Store, row: u64, value: &[u8]) -> store::Change {
    store.append().commit_blocking(Batch::new(ALICE).put(BODY, Row(row), value)).unwrap()
}

fn delete(store: &Store, row: u64) {
    store.append().commit_blocking(Batch::new(ALICE).delete(BODY, Row(row))).unwrap();
}

fn get(store: &Store, row: u64) -> Option<Vec<u8>> {
    store.read().get(ALICE, BODY, Row(row)).unwrap().map(Into::into)
}

/// Every file under `dir`, with its octets.
fn files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let octets = std::fs::read(&path).unwrap();
            found.push((path, octets));
        }
    }
    found
}

fn holds(octets: &[u8], needle: &[u8]) -> bool {
    octets.windows(needle.len()).any(|window| window == needle)
}

/// The journal's segments, oldest first.
fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}
