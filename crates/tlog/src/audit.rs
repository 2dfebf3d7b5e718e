//! The whole log read again, entry by entry, by someone who trusts nothing but a checkpoint.
//!
//! Invariant: an entry reaches the visitor before the root is known; only `Ok` from
//! [`audit`] makes what was visited the log's.
//! Refs: C2SP tlog-tiles; RFC 6962 §2.1.

use crate::checkpoint::Checkpoint;
use crate::proof::ProofError;
use crate::tile::{
    BundleError, Resource, SourceError, TILE_WIDTH, TileSource, fetch_entries, fetch_tile,
    split_bundle,
};
use crate::tree::{Edge, leaf_hash};

/// Why a log does not bear out its checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file is missing or has the wrong length.
    #[error("a file of the log is missing or damaged")]
    Source(#[from] SourceError),
    /// A bundle is malformed.
    #[error("entry bundle {index} is damaged")]
    Bundle {
        /// Which bundle.
        index: u64,
        /// How.
        source: BundleError,
    },
    /// A tile is not the hash of the entries below it.
    #[error("`{0}` is not the hash of its entries")]
    Tile(Resource),
    /// The entries hash to another root.
    #[error("the entries do not make the checkpoint's tree")]
    Root(#[from] ProofError),
}

/// Reads every entry of a log up to a verified checkpoint, hands each with its index to `visit`,
/// and checks every tile and the root. Reads one bundle at a time: at most 16 MiB.
///
/// # Errors
/// [`AuditError`]: the first thing that does not hold.
pub fn audit(
    source: &impl TileSource,
    checkpoint: &Checkpoint,
    mut visit: impl FnMut(u64, &[u8]),
) -> Result<(), AuditError> {
    let mut edge = Edge::default();
    while edge.size < checkpoint.size {
        let index = edge.size / u64::from(TILE_WIDTH);
        let left = checkpoint.size - edge.size;
        let width = u16::try_from(left).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        let (octets, got) = fetch_entries(source, index, width)?;
        let entries = split_bundle(&octets, got)
            .map_err(|bundle| AuditError::Bundle { index, source: bundle })?;
        for entry in entries.into_iter().take(usize::from(width)) {
            visit(edge.size, entry);
            for full in edge.push(leaf_hash(entry)) {
                check_tile(source, full.level, full.index, &full.hashes)?;
            }
        }
    }
    for (level, hashes) in (0_u8..).zip(&edge.levels).filter(|(_, hashes)| !hashes.is_empty()) {
        let index = crate::tile::shift(edge.size, 8 * (u32::from(level) + 1));
        check_tile(source, level, index, hashes)?;
    }
    if edge.root() == checkpoint.root { Ok(()) } else { Err(ProofError::Root.into()) }
}

fn check_tile(
    source: &impl TileSource,
    level: u8,
    index: u64,
    hashes: &[vocab::Digest],
) -> Result<(), AuditError> {
    let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
    if fetch_tile(source, level, index, width)? == hashes {
        return Ok(());
    }
    Err(AuditError::Tile(Resource::Tile { level, index, width }))
}
