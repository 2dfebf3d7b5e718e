//! What the killed process writes, for it and for the test that counts afterwards.

use store::Options;
use vocab::{AccountId, RecordKind};

pub(crate) const BODY: RecordKind = RecordKind::LetterBody;
pub(crate) const WRITERS: u64 = 6;
/// Each writer goes round so many rows, so that most of what is written dies and is compacted.
pub(crate) const ROWS: u64 = 16;

/// Small enough that a run passes through many segments.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        inline_bytes: 64,
        reserve_bytes: 0,
        checkpoint_bytes: 48 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

pub(crate) fn account(writer: u64) -> AccountId {
    AccountId(u128::from(writer + 1).to_be_bytes())
}

/// Octets that are the same for the same seed and never all zero.
pub(crate) fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect()
}

pub(crate) fn value(writer: u64, count: u64) -> Vec<u8> {
    let mut value = count.to_be_bytes().to_vec();
    let len = if count.is_multiple_of(7) { 9_000 } else { 150 };
    value.extend(octets(writer ^ count << 8, len));
    value
}
