//! What the targets share: entropy that repeats, and records that were almost valid.

use std::sync::atomic::{AtomicU64, Ordering};

/// The same octets in every run, so that a crash can be repeated.
#[derive(Default)]
pub struct Repeating(AtomicU64);

impl seal::Entropy for Repeating {
    fn fill(&self, out: &mut [u8]) {
        for octet in out {
            // SplitMix64.
            let mut next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *octet = (next ^ (next >> 31)) as u8;
        }
    }
}

/// The input itself; or, if it begins with an odd octet, a valid record with a few octets
/// changed: each three of the input are a place and what to change there. A place past the end
/// cuts the record short.
pub fn candidate(valid: &[u8], input: &[u8]) -> Vec<u8> {
    let Some((first, patches)) = input.split_first().filter(|(first, _)| **first % 2 == 1) else {
        return input.to_vec();
    };
    let mut record = valid.to_vec();
    for patch in patches.chunks_exact(3).take(usize::from(first / 2) + 1) {
        let place = usize::from(u16::from_be_bytes([patch[0], patch[1]]));
        match record.get_mut(place) {
            Some(octet) => *octet ^= patch[2],
            None => record.truncate(record.len().saturating_sub(usize::from(patch[2]))),
        }
    }
    record
}
