//! One binary for all integration tests of this crate.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

extern crate bailiwick_seal as seal;

mod account;
mod age;
mod blob;
mod escrow;
mod hostile;
mod hpke;
mod letter;
mod row;
mod secrets;
mod vectors;
mod wycheproof;

use std::sync::atomic::{AtomicU64, Ordering};

use seal::letter::{Chain, Stated};
use seal::mac::sha256;
use seal::sign::VerifyingKey;
use seal::{Entropy, OpenError};

/// Reproducible chance: SHA-256 of a label and a counter (specs/vectors/bw1/README.md).
pub(crate) struct Fixed {
    label: &'static str,
    next: AtomicU64,
}

pub(crate) fn fixed(label: &'static str) -> Fixed {
    Fixed { label, next: AtomicU64::new(0) }
}

impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let block =
                sha256(&[b"bailiwick test entropy\0", self.label.as_bytes(), b"\0", &count]);
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }
}

/// Whether a head record is signed by the cell and the next in the chain: both halves of what
/// a fold checks (specs/bw1.md §7.4).
pub(crate) fn verify_ingest(
    record: &[u8],
    key: &VerifyingKey,
    before: &Chain,
) -> Result<Chain, OpenError> {
    let stated = Stated::read(record)?;
    stated.verify(key)?;
    stated.follows(before)
}

/// Every place worth altering in a record: each end of each region, by one bit.
pub(crate) fn flips(record: &[u8], places: &[usize]) -> impl Iterator<Item = Vec<u8>> {
    places.iter().flat_map(move |place| {
        [0x01, 0x80].map(|bit| {
            let mut altered = record.to_vec();
            altered[*place] ^= bit;
            altered
        })
    })
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn vectors(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors").join(path)
}

/// Octet i is i mod `modulus`.
pub(crate) fn pattern(length: usize, modulus: u8) -> Vec<u8> {
    (0..modulus).cycle().take(length).collect()
}

/// The octets of `sealed` that a span asks for.
pub(crate) fn part<'a>(sealed: &'a [u8], span: &seal::blob::Span) -> &'a [u8] {
    let place = |at: u64| usize::try_from(at).unwrap();
    &sealed[place(span.sealed.start)..place(span.sealed.end)]
}
