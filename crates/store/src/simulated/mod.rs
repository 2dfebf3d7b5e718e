//! Seeded runs of the store on a disk that fails, against a model of what it must hold.
//!
//! Nothing is left to the scheduler: one thread gives commands and drives writer and keeper in
//! turn, so that a seed is a run. Again: `SEED=n cargo nextest run -p bailiwick-store schedules`;
//! more: `SCHEDULES=n`. The index is derived, so its engine's files are real: after a power cut
//! they are as they were, as at some checkpoint, or gone.
//!
//! Invariant: what was acknowledged is there; what was not is there whole, after all before it,
//! or not at all.
//! Refs: specs/store-journal.md §5, §7, §8.

#![expect(clippy::cast_possible_truncation, reason = "a test stops at the first surprise")]

mod backup;
pub(crate) mod disk;
mod model;
mod recovery;
mod tests;

/// Chance from a seed (SplitMix64).
#[derive(Debug, Clone, Default)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// So many octets, never all zero.
    pub(crate) fn octets(&mut self, len: usize) -> bytes::Bytes {
        let seed = self.next() | 1;
        let octet = |at: usize| seed.rotate_left((at % 64) as u32).to_be_bytes()[at % 8];
        (0..len).map(octet).collect()
    }
}
