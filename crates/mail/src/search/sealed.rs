//! Segments in the store: each a blob whose key is in the row of its epoch.
//!
//! Invariant: every octet given was authenticated, under the key and for the place its epoch's
//! row names.
//! Refs: specs/search-index.md §2; specs/bw1.md §9.

use core::ops::Range;

use minicbor::{Decode, Encode};
use seal::Secret;
use seal::blob::{self, BlobKey, BlobOpener, PREFIX_BYTES};
use store::{Read, ReadError};
use vocab::{AccountId, BlobId, RecordKind, Row};
use zeroize::Zeroize;

use super::segment::{Octets, SegmentError};

/// The search index of one epoch. Its row is the epoch's number, sealed in that epoch.
#[derive(Default, Encode, Decode)]
pub(crate) struct IndexRow {
    /// In no order.
    #[n(0)]
    pub(crate) segments: Vec<SegmentRow>,
}

/// One segment of it.
#[derive(Encode, Decode)]
pub(crate) struct SegmentRow {
    /// The row of its SearchSegment: the mod-sequence it was made at.
    #[n(0)]
    pub(crate) row: u64,
    /// For the blob's context.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) blob: [u8; 16],
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) key: [u8; 32],
    /// Octets without padding.
    #[n(3)]
    pub(crate) octets: u64,
}

impl Drop for SegmentRow {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// What a segment's blob is bound to.
pub(crate) fn context(account: AccountId, blob: [u8; 16]) -> Vec<u8> {
    blob::blob_context("index", account, BlobId(blob))
}

/// A segment as it is stored, ready to be read.
pub(crate) struct Sealed {
    read: Read,
    account: AccountId,
    row: Row,
    /// Octets, sealed.
    length: u64,
    opener: BlobOpener,
}

impl Sealed {
    /// Opens a segment; reads its first octets.
    pub(crate) fn open(
        read: &Read,
        account: AccountId,
        entry: &SegmentRow,
    ) -> Result<Self, SegmentError> {
        let row = Row(entry.row);
        let prefix = read.range(account, RecordKind::SearchSegment, row, 0..PREFIX_BYTES as u64);
        let prefix = prefix.map_err(failed)?.ok_or(SegmentError::Gone)?;
        let first = prefix.octets.first_chunk().ok_or(SegmentError::Damaged)?;
        let key = BlobKey::from_secret(Secret::copied(&entry.key));
        let opener = BlobOpener::new(&key, &context(account, entry.blob), first);
        let opener = opener.map_err(|_| SegmentError::Damaged)?;
        Ok(Self { read: read.clone(), account, row, length: prefix.total, opener })
    }
}

impl Octets for Sealed {
    fn octets(&self, range: Range<u64>) -> Result<Vec<u8>, SegmentError> {
        let span = blob::span(range, self.length).ok_or(SegmentError::Damaged)?;
        let kind = RecordKind::SearchSegment;
        let part = self.read.range(self.account, kind, self.row, span.sealed.clone());
        let sealed = part.map_err(failed)?.ok_or(SegmentError::Gone)?.octets;
        self.opener.open(&span, &sealed).map_err(|_| SegmentError::Damaged)
    }
}

fn failed(error: ReadError) -> SegmentError {
    match error {
        ReadError::Damaged { .. } => SegmentError::Damaged,
        ReadError::Io(_) | ReadError::Index(_) => SegmentError::Failed,
    }
}
