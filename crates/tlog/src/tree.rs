//! The Merkle tree: RFC 6962 hashes, its right edge, and how it grows.
//!
//! Invariant: the writes of one growth are ordered bundles, then tiles from the leaves up, and
//! overwrite nothing that a published checkpoint covers. The checkpoint comes after them
//! ([`crate::Log`]); until it is written, the old one still describes a whole log.
//! Refs: RFC 6962 §2.1; C2SP tlog-tiles.

use aws_lc_rs::digest::{Context, SHA256};
use vocab::Digest;

use crate::checkpoint::{Checkpoint, TREE_SIZE_MAX};
use crate::tile::{
    BundleError, ENTRY_BYTES_MAX, LEVEL_MAX, Resource, SourceError, TILE_WIDTH, TileSource, Write,
    fetch_entries, fetch_tile, shift, split_bundle,
};

/// The most entries sequenced at once: 64 MiB of the longest.
pub const SEQUENCE_ENTRIES_MAX: usize = 1024;

/// The root of the empty tree: SHA-256 of nothing (RFC 6962 §2.1).
pub const EMPTY_ROOT: Digest = Digest([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (octet, hashed) in out.iter_mut().zip(context.finish().as_ref()) {
        *octet = *hashed;
    }
    Digest(out)
}

/// SHA-256 of octets, as used for origins.
pub(crate) fn hash(octets: &[u8]) -> Digest {
    sha256(&[octets])
}

/// The hash of one entry: SHA-256(0x00 || entry), RFC 6962 §2.1.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    sha256(&[&[0], entry])
}

/// The hash of an inner node: SHA-256(0x01 || left || right), RFC 6962 §2.1.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], &left.0, &right.0])
}

/// The root over nodes of one height, whose number is a power of two. `None` for no nodes.
pub(crate) fn perfect_root(nodes: &[Digest]) -> Option<Digest> {
    let mut row = nodes.to_vec();
    while row.len() > 1 {
        let (pairs, odd) = row.as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}

/// A full tile that has just been completed.
pub(crate) struct FullTile {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Digest>,
}

/// The right edge: at each level the hashes of the tile that is not yet full.
#[derive(Clone, Default)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    /// Level by level, each shorter than [`TILE_WIDTH`].
    pub(crate) levels: Vec<Vec<Digest>>,
}

impl Edge {
    /// Appends one leaf hash and returns the tiles it completed, from the leaves up.
    pub(crate) fn push(&mut self, leaf: Digest) -> Vec<FullTile> {
        self.size += 1;
        let mut full = Vec::new();
        let mut carried = leaf;
        for level in 0..=LEVEL_MAX {
            let depth = usize::from(level);
            if self.levels.len() <= depth {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(depth) else { break };
            hashes.push(carried);
            if hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let hashes = core::mem::take(hashes);
            let Some(root) = perfect_root(&hashes) else { break };
            carried = root;
            let index = shift(self.size, 8 * (u32::from(level) + 1)).saturating_sub(1);
            full.push(FullTile { level, index, hashes });
        }
        full
    }

    /// The tree hash, RFC 6962 §2.1: perfect subtrees joined from the right.
    pub(crate) fn root(&self) -> Digest {
        let mut root: Option<Digest> = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let width = 1_usize << rest.len().trailing_zeros();
                let Some((left, group)) = rest.split_at_checked(rest.len() - width) else { break };
                let Some(subtree) = perfect_root(group) else { break };
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                rest = left;
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// The partial tiles that the tree did not have at `old_size`, from the leaves up.
    fn partial_tiles(&self, old_size: u64) -> impl Iterator<Item = Write> {
        let size = self.size;
        let is_new = move |level: u8| {
            let bits = 8 * u32::from(level);
            shift(old_size, bits) != shift(size, bits)
        };
        (0_u8..)
            .zip(&self.levels)
            .filter(move |(level, hashes)| is_new(*level) && !hashes.is_empty())
            .map(move |(level, hashes)| {
                tile_write(level, shift(size, 8 * (u32::from(level) + 1)), hashes)
            })
    }
}

pub(crate) fn tile_write(level: u8, index: u64, hashes: &[Digest]) -> Write {
    let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
    let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
    Write { resource: Resource::Tile { level, index, width }, bytes }
}

/// Why entries were not sequenced. The tree is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// An entry is longer than [`ENTRY_BYTES_MAX`].
    #[error("entry {place} of the batch is longer than {ENTRY_BYTES_MAX} octets")]
    EntryTooLong {
        /// Its place in the batch, from 0.
        place: usize,
    },
    /// More than [`SEQUENCE_ENTRIES_MAX`] entries.
    #[error("a batch holds at most {SEQUENCE_ENTRIES_MAX} entries")]
    TooMany,
    /// The tree is at [`TREE_SIZE_MAX`].
    #[error("the log is full")]
    Full,
    /// The checkpoint could not be signed.
    #[error("the new checkpoint could not be signed")]
    Sign,
}

/// Why a stored log was not taken up again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A tile could not be read.
    #[error("the log's right edge is incomplete")]
    Source(#[from] SourceError),
    /// The last bundle is malformed.
    #[error("the last entry bundle is damaged")]
    Bundle(#[from] BundleError),
    /// The last bundle's entries do not hash to the leaves.
    #[error("the last entry bundle does not match its tile")]
    Entries,
    /// The tiles do not hash to the checkpoint's root.
    #[error("the tiles do not hash to the checkpoint's root")]
    Root,
}

/// A log's tree in memory: its size, its right edge, and the entries of the last bundle.
/// At most 8 × 8 KiB of hashes and 16 MiB of entries.
#[derive(Clone, Default)]
pub struct Tree {
    edge: Edge,
    /// The bundle that is not yet full.
    bundle: Vec<u8>,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a stored log at a checkpoint, reading only its right edge, and checks that the
    /// edge hashes to the checkpoint's root. Verify the checkpoint's signature first.
    ///
    /// # Errors
    /// [`LoadError`]: the files do not hold what the checkpoint says. Stop; do not sign.
    pub fn load(checkpoint: &Checkpoint, source: &impl TileSource) -> Result<Self, LoadError> {
        let size = checkpoint.size;
        let mut edge = Edge { size, levels: Vec::new() };
        for level in 0..=LEVEL_MAX {
            let filled = shift(size, 8 * u32::from(level));
            let width = partial_width(filled);
            edge.levels.push(if width == 0 {
                Vec::new()
            } else {
                fetch_tile(source, level, shift(filled, 8), width)?
            });
        }
        if edge.root() != checkpoint.root {
            return Err(LoadError::Root);
        }
        let mut bundle = Vec::new();
        let width = partial_width(size);
        if width > 0 {
            let (octets, got) = fetch_entries(source, shift(size, 8), width)?;
            let leaves = edge.levels.first().map(Vec::as_slice).unwrap_or_default();
            for (entry, leaf) in split_bundle(&octets, got)?.iter().zip(leaves) {
                if leaf_hash(entry) != *leaf {
                    return Err(LoadError::Entries);
                }
                push_entry(&mut bundle, entry);
            }
        }
        Ok(Self { edge, bundle })
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The tree hash.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.edge.root()
    }

    /// Appends entries, in order: the first gets index [`Self::size`]. Returns the files to
    /// write, in order, without a checkpoint. No entries, no writes.
    ///
    /// The tree has moved when this returns: if a write then fails, drop it and load again.
    ///
    /// # Errors
    /// [`SequenceError`]; the tree is then unchanged.
    pub fn sequence(&mut self, entries: &[&[u8]]) -> Result<Vec<Write>, SequenceError> {
        if entries.len() > SEQUENCE_ENTRIES_MAX {
            return Err(SequenceError::TooMany);
        }
        if let Some(place) = entries.iter().position(|entry| entry.len() > ENTRY_BYTES_MAX) {
            return Err(SequenceError::EntryTooLong { place });
        }
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        if count > TREE_SIZE_MAX - self.edge.size.min(TREE_SIZE_MAX) {
            return Err(SequenceError::Full);
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let old_size = self.edge.size;
        let mut bundles = Vec::new();
        let mut tiles = Vec::new();
        for entry in entries {
            push_entry(&mut self.bundle, entry);
            for full in self.edge.push(leaf_hash(entry)) {
                if full.level == 0 {
                    let bytes = core::mem::take(&mut self.bundle);
                    let resource = Resource::Entries { index: full.index, width: TILE_WIDTH };
                    bundles.push(Write { resource, bytes });
                }
                tiles.push(tile_write(full.level, full.index, &full.hashes));
            }
        }
        let width = partial_width(self.edge.size);
        if width > 0 {
            let resource = Resource::Entries { index: shift(self.edge.size, 8), width };
            bundles.push(Write { resource, bytes: self.bundle.clone() });
        }
        tiles.extend(self.edge.partial_tiles(old_size));
        // Leaves before what is hashed over them.
        tiles.sort_by_key(|write| write.resource);
        bundles.extend(tiles);
        Ok(bundles)
    }
}

/// How many hashes the last tile of a level holds, 0 if it is full: `filled mod 256`.
fn partial_width(filled: u64) -> u16 {
    u16::try_from(filled % u64::from(TILE_WIDTH)).unwrap_or(0)
}

fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    // The caller has held the entry to ENTRY_BYTES_MAX, or read it from behind a u16.
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}
