//! Commits per second at 1, 8 and 64 writers with 10 KiB values, every one synced.
//!
//! Run as `cargo run -p bailiwick-store --example commits -- <directory> <seconds>`; the
//! directory is made and left behind. What it prints depends on the disk and on what else
//! the machine does.

use bailiwick_store::{Batch, Options, Store};
use std::path::Path;
use std::time::{Duration, Instant};
use vocab::{AccountId, RecordKind, Row};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), seconds) = (arguments.next(), arguments.next()) else {
        return Err("which directory?".into());
    };
    let seconds = seconds.map_or(Ok(5), |seconds| seconds.parse())?;
    for writers in [1_u8, 8, 64] {
        let store = Store::open(&Path::new(&dir).join(writers.to_string()), Options::default())?;
        let (mut waits, took) = run(&store, writers, Duration::from_secs(seconds));
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
        let rate = waits.len() as f64 / took.as_secs_f64();
        println!("{writers:>2} writers: {rate:>6.0} commits/s, p50 {:?}, p99 {:?}", at(50), at(99));
        store.close()?;
    }
    Ok(())
}

fn run(store: &Store, writers: u8, long: Duration) -> (Vec<Duration>, Duration) {
    let begun = Instant::now();
    let waits = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let append = store.append();
                scope.spawn(move || {
                    let value = bytes::Bytes::from(vec![writer | 1; 10 << 10]);
                    let mut waits = Vec::new();
                    for row in 0.. {
                        let asked = Instant::now();
                        let batch = Batch::new(AccountId([writer; 16]))
                            .put(RecordKind::LetterHead, Row(row), value.slice(..400))
                            .put(RecordKind::LetterBody, Row(row), value.clone());
                        if begun.elapsed() > long || append.commit_blocking(batch).is_err() {
                            break;
                        }
                        waits.push(asked.elapsed());
                    }
                    waits
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    (waits, begun.elapsed())
}
