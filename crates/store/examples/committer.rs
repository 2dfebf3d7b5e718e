//! Commits without end and says which commits were acknowledged, until it is killed.
//!
//! Run by `tests/contract/crash.rs`; its one argument is the store's directory.

extern crate bailiwick_store as store;

#[path = "../tests/contract/written.rs"]
mod written;

use std::io::Write as _;
use std::path::Path;
use store::{Batch, Store};
use vocab::Row;
use written::{BODY, ROWS, WRITERS, account, value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).ok_or("which directory?")?;
    let store = Store::open(Path::new(&dir), written::options())?;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = store.clone();
            scope.spawn(move || write(&store, writer));
        }
    });
    Err("a commit failed".into())
}

fn write(store: &Store, writer: u64) -> Option<()> {
    for count in store.read().change(account(writer)).ok()? + 1.. {
        store.append().commit_blocking(batch(writer, count)).ok()?;
        let line = format!("acknowledged {writer} {count}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).ok()?;
    }
    None
}

/// A writer's commit of this number.
fn batch(writer: u64, count: u64) -> Batch {
    let batch = Batch::new(account(writer)).put(BODY, Row(count % ROWS), value(writer, count));
    if count.is_multiple_of(5) { batch.delete(BODY, Row((count + 1) % ROWS)) } else { batch }
}
