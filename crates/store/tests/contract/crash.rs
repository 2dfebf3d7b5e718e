//! A process killed amid commits, a hundred times: every row it acknowledged is there.

use crate::written::{BODY, ROWS, WRITERS, account, options, value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use store::{Options, Store};
use vocab::Row;

const KILLS: u64 = 100;

/// The example `committer`, which cargo builds with the tests.
fn committer() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent().unwrap().parent().unwrap().join("examples/committer");
    assert!(path.exists(), "build it: cargo build -p bailiwick-store --example committer");
    path
}

/// Runs the child until it has acknowledged `acks` commits, kills it, and returns the highest
/// count each writer was acknowledged.
fn run_and_kill(dir: &Path, acks: u64) -> BTreeMap<u64, u64> {
    let mut child = Command::new(committer())
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut highest = BTreeMap::new();
    let mut learn = |line: &str| {
        let rest = line.strip_prefix("acknowledged ").unwrap();
        let numbers: Vec<u64> = rest.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let count: &mut u64 = highest.entry(numbers[0]).or_default();
        *count = (*count).max(numbers[1]);
        1
    };
    let (mut seen, mut line) = (0, String::new());
    while seen < acks {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child ended by itself");
        seen += learn(&line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had still said before it died counts too; a line cut off was not said.
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).for_each(|line| {
        learn(line);
    });
    highest
}

/// What one writer's rows are after `count` commits.
fn expected(writer: u64, count: u64) -> BTreeMap<u64, Vec<u8>> {
    let mut rows = BTreeMap::new();
    for count in count.saturating_sub(4 * ROWS)..=count {
        if count > 0 {
            rows.insert(count % ROWS, value(writer, count));
        }
        if count > 0 && count.is_multiple_of(5) {
            rows.remove(&((count + 1) % ROWS));
        }
    }
    rows
}

fn check(store: &Store, acknowledged: &BTreeMap<u64, u64>, round: u64) {
    for writer in 0..WRITERS {
        let count = store.read().change(account(writer)).unwrap();
        let want = acknowledged.get(&writer).copied().unwrap_or(0);
        assert!(count >= want, "writer {writer} lost {} commits in round {round}", want - count);
        // One commit may have been on disk and not yet acknowledged.
        let found: BTreeMap<_, _> = store
            .read()
            .scan(account(writer), BODY, Row(0))
            .map(|row| row.map(|(row, value)| (row.0, value.to_vec())).unwrap())
            .collect();
        assert_eq!(found, expected(writer, count), "writer {writer}, round {round}");
    }
}

#[test]
fn a_kill_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..KILLS {
        for (writer, count) in run_and_kill(dir.path(), 1 + round * 37 % 211) {
            acknowledged.insert(writer, count);
        }
        // Every tenth time with nothing but the journal to go by.
        let rebuild_index = round % 10 == 9;
        let options = Options { rebuild_index, ..options() };
        let store = Store::open(dir.path(), options).unwrap();
        check(&store, &acknowledged, round);
        store.close().unwrap();
    }
    assert!(acknowledged.values().sum::<u64>() > KILLS);
}
