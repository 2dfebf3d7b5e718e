//! Inclusion and consistency: built from tiles, checked against roots.
//!
//! Invariant: a check needs nothing but its arguments. A built proof is only as good as the
//! tiles; whoever hands it out checks it against the checkpoint first.
//! Refs: RFC 6962 §2.1.1, §2.1.2 (form); RFC 9162 §2.1.3.2, §2.1.4.2 (checking).

use std::collections::BTreeMap;

use vocab::Digest;

use crate::checkpoint::TREE_SIZE_MAX;
use crate::tile::{SourceError, TILE_WIDTH, TileSource, fetch_tile, shift};
use crate::tree::{EMPTY_ROOT, node_hash, perfect_root};

/// The most hashes in a proof (tlog-witness: 63 lines).
pub const PROOF_HASHES_MAX: usize = 63;

/// A proof that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or a size lies outside the tree.
    #[error("the proof is about a place outside the tree")]
    Range,
    /// The proof has too few or too many hashes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Why a proof was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The index or a size lies outside the tree.
    #[error("there is no proof for a place outside the tree")]
    Range,
    /// A tile could not be read.
    #[error("a tile that the proof needs is not there")]
    Source(#[from] SourceError),
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size || size > TREE_SIZE_MAX {
        return Err(ProofError::Range);
    }
    // RFC 9162 §2.1.3.2
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            hash = node_hash(sibling, &hash);
            while fn_ & 1 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    if sn != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `new_size` leaves begins with the whole tree of `old_size` leaves.
/// For an old size of 0, or equal sizes, the proof is empty.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size || new_size > TREE_SIZE_MAX {
        return Err(ProofError::Range);
    }
    if old_size == new_size || old_size == 0 {
        let same =
            if old_size == new_size { old_root == new_root } else { *old_root == EMPTY_ROOT };
        let empty = new_size != 0 || *new_root == EMPTY_ROOT;
        return match (proof.is_empty(), same && empty) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // RFC 9162 §2.1.4.2: an old tree that is a perfect subtree is its own first hash.
    let mut hashes = proof.iter();
    let first = if old_size.is_power_of_two() {
        *old_root
    } else {
        *hashes.next().ok_or(ProofError::Length)?
    };
    let trailing = (old_size - 1).trailing_ones();
    let (mut fn_, mut sn) = (shift(old_size - 1, trailing), shift(new_size - 1, trailing));
    let (mut old, mut new) = (first, first);
    for hash in hashes {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while fn_ & 1 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            new = node_hash(&new, hash);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    if sn != 0 {
        return Err(ProofError::Length);
    }
    if old == *old_root && new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// Builds the proof that leaf `index` is in the tree of `size` leaves, leaf's sibling first.
///
/// # Errors
/// [`BuildError`].
pub fn inclusion_proof(
    source: &impl TileSource,
    size: u64,
    index: u64,
) -> Result<Vec<Digest>, BuildError> {
    if index >= size || size > TREE_SIZE_MAX {
        return Err(BuildError::Range);
    }
    // RFC 6962 §2.1.1: PATH(m, D[lo:hi]), unrolled from the root down.
    let (mut lo, mut hi) = (0, size);
    let mut siblings = Vec::new();
    while hi - lo > 1 {
        let middle = lo + split(hi - lo);
        if index < middle {
            siblings.push((middle, hi));
            hi = middle;
        } else {
            siblings.push((lo, middle));
            lo = middle;
        }
    }
    Tiles::new(source, size).hashes(siblings)
}

/// Builds the proof that the tree of `new_size` leaves begins with that of `old_size` leaves.
/// Empty for an old size of 0 and for equal sizes.
///
/// # Errors
/// [`BuildError`].
pub fn consistency_proof(
    source: &impl TileSource,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Digest>, BuildError> {
    if old_size > new_size || new_size > TREE_SIZE_MAX {
        return Err(BuildError::Range);
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    // RFC 6962 §2.1.2: SUBPROOF(m, D[lo:hi], b), unrolled from the root down.
    let (mut lo, mut hi, mut whole) = (0, new_size, true);
    let mut ranges = Vec::new();
    while old_size != hi {
        let middle = lo + split(hi - lo);
        if old_size <= middle {
            ranges.push((middle, hi));
            hi = middle;
        } else {
            ranges.push((lo, middle));
            lo = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push((lo, hi));
    }
    Tiles::new(source, new_size).hashes(ranges)
}

/// The largest power of two smaller than `count`, which is at least 2 (RFC 6962 §2.1).
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The tiles of one tree size, each fetched once.
struct Tiles<'s, S> {
    source: &'s S,
    size: u64,
    seen: BTreeMap<(u8, u64), Vec<Digest>>,
}

impl<'s, S: TileSource> Tiles<'s, S> {
    fn new(source: &'s S, size: u64) -> Self {
        Self { source, size, seen: BTreeMap::new() }
    }

    /// The hashes of ranges given root-most first, in the order of a proof.
    fn hashes(mut self, ranges: Vec<(u64, u64)>) -> Result<Vec<Digest>, BuildError> {
        ranges.into_iter().rev().map(|(lo, hi)| self.subtree(lo, hi)).collect()
    }

    /// `MTH(D[lo:hi])`, for a range that the tree's own splitting makes: perfect subtrees of
    /// falling size, so each starts at a multiple of its size.
    fn subtree(&mut self, lo: u64, hi: u64) -> Result<Digest, BuildError> {
        let mut perfect = Vec::new();
        let mut start = lo;
        while start < hi {
            let height = (hi - start).ilog2();
            perfect.push(self.perfect(start, height)?);
            start += 1 << height;
        }
        let joined = perfect.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
        joined.ok_or(BuildError::Range)
    }

    /// The hash of the perfect subtree of 2^height leaves that begins at `start`.
    fn perfect(&mut self, start: u64, height: u32) -> Result<Digest, BuildError> {
        let level = u8::try_from(height / 8).map_err(|_| BuildError::Range)?;
        let bits = u32::from(level) * 8;
        let place = shift(start, bits);
        let index = place / u64::from(TILE_WIDTH);
        let first =
            usize::try_from(place % u64::from(TILE_WIDTH)).map_err(|_| BuildError::Range)?;
        let count = 1_usize << (height % 8);
        let tile = self.tile(level, bits, index)?;
        let nodes = tile.get(first..first.saturating_add(count)).ok_or(BuildError::Range)?;
        perfect_root(nodes).ok_or(BuildError::Range)
    }

    fn tile(&mut self, level: u8, bits: u32, index: u64) -> Result<&[Digest], BuildError> {
        let filled = shift(self.size, bits).saturating_sub(index * u64::from(TILE_WIDTH));
        let width = u16::try_from(filled).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        match self.seen.entry((level, index)) {
            std::collections::btree_map::Entry::Occupied(seen) => Ok(seen.into_mut()),
            std::collections::btree_map::Entry::Vacant(new) => {
                Ok(new.insert(fetch_tile(self.source, level, index, width)?))
            }
        }
    }
}
