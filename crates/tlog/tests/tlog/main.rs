//! The log, from outside: vectors, properties, forgeries, and an independent implementation.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod notes;
mod parsers;
mod peer;
mod policies;
mod proofs;
mod receipts;
mod trees;
mod witnesses;

use std::collections::BTreeMap;

use bailiwick_tlog as tlog;
use tlog::{Cosigner, Log, NoteSigner, Sequenced, Write};
use vocab::Timestamp;

pub(crate) const ORIGIN: &str = "log.ie.example/acts";
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000);

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[1; 32]).unwrap()
}

pub(crate) fn cosigner(number: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/w{number}"), &[100 + number; 32]).unwrap()
}

pub(crate) fn store(files: &mut Files, writes: &[Write]) {
    for write in writes {
        files.insert(write.resource.to_string(), write.bytes.clone());
    }
}

/// Entry number `index`; every log of these tests holds them in order.
pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// Appends `count` entries in batches and stores every file. Returns the last growth.
pub(crate) fn grow(log: &mut Log, files: &mut Files, count: u64) -> Sequenced {
    let mut last = None;
    let mut index = log.checkpoint().size;
    let end = index + count;
    while index < end {
        let batch: Vec<Vec<u8>> = (index..end.min(index + 1000)).map(entry).collect();
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        let sequenced = log.sequence(&batch).unwrap();
        assert_eq!(sequenced.first, index);
        store(files, &sequenced.writes);
        index += u64::try_from(batch.len()).unwrap();
        last = Some(sequenced);
    }
    last.unwrap()
}

/// A log of `size` entries, stored.
pub(crate) fn log_of(size: u64) -> (Log, Files) {
    let (mut log, created) = Log::create(signer()).unwrap();
    let mut files = Files::new();
    store(&mut files, &created.writes);
    if size > 0 {
        grow(&mut log, &mut files, size);
    }
    (log, files)
}
