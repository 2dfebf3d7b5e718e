//! What one commit writes: the rows of one account, all of them or none.
//!
//! Invariant: a batch names one account and stays within the limits below; the
//! writer never meets a batch that does not fit a record.
//! Refs: specs/store-journal.md §4.

use crate::CommitError;
use bytes::Bytes;
use std::collections::BTreeMap;
use vocab::{AccountId, RecordKind, Row};

/// The longest value: 128 MiB.
pub const VALUE_BYTES_MAX: usize = 128 << 20;
/// The most operations in one batch.
pub const BATCH_OPS_MAX: usize = 65_536;
/// The most value octets in one batch: 192 MiB.
pub const BATCH_BYTES_MAX: usize = 192 << 20;

/// The most value octets in a batch that may go into the reserve.
pub const ROOM_BYTES_MAX: usize = 4 << 20;

/// A value handed over in pieces, so that nobody has to join them first.
#[derive(Debug, Clone, Default)]
pub struct Fragments(pub(crate) Vec<Bytes>);

impl Fragments {
    /// The length of the joined value in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }

    /// Whether the joined value is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    pub(crate) fn crc(&self) -> u32 {
        self.0.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece))
    }

    pub(crate) fn join(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.len());
        self.0.iter().for_each(|piece| joined.extend_from_slice(piece));
        joined
    }
}

impl From<Bytes> for Fragments {
    fn from(value: Bytes) -> Self {
        Self(vec![value])
    }
}

impl From<Vec<u8>> for Fragments {
    fn from(value: Vec<u8>) -> Self {
        Self(vec![value.into()])
    }
}

impl From<&[u8]> for Fragments {
    fn from(value: &[u8]) -> Self {
        Self(vec![Bytes::copy_from_slice(value)])
    }
}

impl From<Vec<Bytes>> for Fragments {
    fn from(value: Vec<Bytes>) -> Self {
        Self(value)
    }
}

impl<const N: usize> From<[Bytes; N]> for Fragments {
    fn from(value: [Bytes; N]) -> Self {
        Self(value.into())
    }
}

/// A put, with the checksum its caller's thread computed, or a delete.
#[derive(Debug)]
pub(crate) enum Op {
    Put { value: Fragments, len: u32, crc: u32 },
    Delete,
}

/// Changes to rows of one account, written together or not at all.
///
/// A later operation on the same row replaces an earlier one.
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    pub(crate) account: AccountId,
    pub(crate) ops: BTreeMap<(RecordKind, Row), Op>,
    pub(crate) absent: Vec<(RecordKind, Row)>,
    pub(crate) change: Option<u64>,
    makes_room: bool,
    too_large: bool,
}

impl Batch {
    /// An empty batch for `account`.
    pub fn new(account: AccountId) -> Self {
        Self {
            account,
            ops: BTreeMap::new(),
            absent: Vec::new(),
            change: None,
            makes_room: false,
            too_large: false,
        }
    }

    /// Writes `value` under `kind` and `row`, over what was there. The value is at most
    /// [`VALUE_BYTES_MAX`] octets; commit answers [`CommitError::TooLarge`] otherwise.
    ///
    /// What has no line in the record map cannot be named, so it cannot be put:
    ///
    /// ```
    /// use bailiwick_store::Batch;
    /// use vocab::{AccountId, RecordKind, Row};
    /// let _ = Batch::new(AccountId([1; 16])).put(RecordKind::LetterBody, Row(1), vec![1]);
    /// ```
    /// ```compile_fail,E0308
    /// use bailiwick_store::Batch;
    /// use vocab::{AccountId, RecordKind, Row};
    /// let _ = Batch::new(AccountId([1; 16])).put(17u16, Row(1), vec![1]);
    /// ```
    pub fn put(mut self, kind: RecordKind, row: Row, value: impl Into<Fragments>) -> Self {
        let value = value.into();
        match u32::try_from(value.len()) {
            Ok(len) if value.len() <= VALUE_BYTES_MAX => {
                let crc = value.crc();
                self.ops.insert((kind, row), Op::Put { value, len, crc });
            }
            _ => self.too_large = true,
        }
        self
    }

    /// Deletes the row. Deleting what is not there is no error.
    pub fn delete(mut self, kind: RecordKind, row: Row) -> Self {
        self.ops.insert((kind, row), Op::Delete);
        self
    }

    /// The commit fails with [`CommitError::Exists`], writing nothing, if the row exists.
    pub fn require_absent(mut self, kind: RecordKind, row: Row) -> Self {
        self.absent.push((kind, row));
        self
    }

    /// The commit fails with [`CommitError::Conflict`], writing nothing, unless the account's
    /// latest change is `seq` (0 for an account nothing was ever written to).
    pub fn require_change(mut self, seq: u64) -> Self {
        self.change = Some(seq);
        self
    }

    /// What this writes is a step of deleting: on a full disk it may go into the upper half of the
    /// reserve, as long as it puts [`ROOM_BYTES_MAX`] octets at most.
    pub fn to_make_room(mut self) -> Self {
        self.makes_room = true;
        self
    }

    pub(crate) fn makes_room(&self) -> bool {
        self.makes_room && self.bytes() <= ROOM_BYTES_MAX
    }

    /// The octets it puts.
    fn bytes(&self) -> usize {
        self.ops.values().fold(0, |sum, op| match op {
            Op::Put { value, .. } => sum.saturating_add(value.len()),
            Op::Delete => sum,
        })
    }

    /// Whether nothing has been put or deleted yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && !self.too_large
    }

    /// How many operations the batch holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn check(&self) -> Result<(), CommitError> {
        let fits = self.ops.len() <= BATCH_OPS_MAX
            && self.absent.len() <= BATCH_OPS_MAX
            && self.bytes() <= BATCH_BYTES_MAX;
        if fits && !self.too_large { Ok(()) } else { Err(CommitError::TooLarge) }
    }
}
