//! The handle that reads.
//!
//! Invariant: a whole value is returned only if its checksum is right; it cannot write.
//! Calls read the disk on the caller's thread; from async code, they belong on a
//! blocking thread when the value may be large or cold.
//! Refs: specs/store-journal.md §6.

use crate::Shared;
use crate::disk::ReadAt as _;
use crate::format::{Place, key, size};
use crate::index::{IndexError, RowIter};
use crate::preserve::row_of;
use crate::segment::Segment;
use bytes::Bytes;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use tokio::sync::watch;
use vocab::{AccountId, RecordKind, Row};

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk answered with an error.
    #[error("a journal segment could not be read")]
    Io(#[from] io::Error),
    /// What the journal holds is not what was written there.
    #[error("segment {segment} is damaged at octet {offset}")]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// Where in it the value starts.
        offset: u64,
    },
    /// The index failed. Opening the store with `rebuild_index` makes it anew.
    #[error("the index could not be read: {0}")]
    Index(String),
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        Self::Index(format!("{error:?}"))
    }
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many rows.
    pub records: u64,
    /// The octets of their values.
    pub bytes: u64,
}

/// The handle that reads.
#[derive(Clone)]
pub struct Read {
    pub(crate) shared: Arc<Shared>,
}

/// Some octets of a value.
pub struct Part {
    /// Those octets.
    pub octets: Bytes,
    /// How many the whole value has.
    pub total: u64,
}

impl Read {
    /// The row's value, checked; `None` if there is no such row.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(
        &self,
        account: AccountId,
        kind: RecordKind,
        row: Row,
    ) -> Result<Option<Bytes>, ReadError> {
        let key = key(account, kind.table(), row.0);
        read_place(&self.shared, || {
            Ok(self.shared.index.row(&key)?.map(|entry| (entry.place, entry.inline)))
        })
    }

    /// The octets `range` of the row's value, cut off at its end, and how many it has. Not
    /// checked against the checksum, which covers whole values: the seal of what is inside has
    /// to tell.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn range(
        &self,
        account: AccountId,
        kind: RecordKind,
        row: Row,
        range: Range<u64>,
    ) -> Result<Option<Part>, ReadError> {
        let key = key(account, kind.table(), row.0);
        let entry = || Ok(self.shared.index.row(&key)?.map(|entry| (entry.place, entry.inline)));
        let Some(found) = locate(&self.shared, entry)? else { return Ok(None) };
        let total = u64::from(found.place().len);
        let end = range.end.min(total);
        let start = range.start.min(end);
        let octets = match found {
            Found::Here(_, value) => value.slice(size(start)..size(end)),
            Found::There(segment, place) => {
                let mut out = vec![0; size(end - start)];
                segment.file.read_exact_at(&mut out, place.offset + start)?;
                out.into()
            }
        };
        Ok(Some(Part { octets, total }))
    }

    /// The length of the row's value in octets; `None` if there is no such row.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn len(
        &self,
        account: AccountId,
        kind: RecordKind,
        row: Row,
    ) -> Result<Option<u64>, ReadError> {
        let entry = self.shared.index.row(&key(account, kind.table(), row.0))?;
        Ok(entry.map(|entry| u64::from(entry.place.len)))
    }

    /// The account's rows of one kind from `from` on, in order: as they stood when the scan
    /// began, but for rows overwritten since (the new value) or deleted since (left out).
    #[must_use]
    pub fn scan(&self, account: AccountId, kind: RecordKind, from: Row) -> Scan {
        self.scan_some(account, kind, from..=Row(u64::MAX))
    }

    /// [`scan`](Self::scan), to the last of some rows.
    #[must_use]
    pub fn scan_some(
        &self,
        account: AccountId,
        kind: RecordKind,
        rows: RangeInclusive<Row>,
    ) -> Scan {
        let key = |row: &Row| key(account, kind.table(), row.0);
        let (first, last) = (key(rows.start()), key(rows.end()));
        Scan { shared: self.shared.clone(), rows: self.shared.index.rows(first, last) }
    }

    /// The account's rows of one kind from `from` on, with the lengths of their values, which are
    /// not read.
    pub fn rows(
        &self,
        account: AccountId,
        kind: RecordKind,
        from: Row,
    ) -> impl Iterator<Item = Result<(Row, u32), ReadError>> + use<> {
        let (first, last) =
            (key(account, kind.table(), from.0), key(account, kind.table(), u64::MAX));
        self.shared.index.rows(first, last).map(|found| {
            let (key, entry) = found?;
            Ok((row_of(&key), entry.place.len))
        })
    }

    /// The account's highest row of one kind.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn last_row(&self, account: AccountId, kind: RecordKind) -> Result<Option<Row>, ReadError> {
        let (first, last) = (key(account, kind.table(), 0), key(account, kind.table(), u64::MAX));
        Ok(self.shared.index.last(first, last)?.map(|key| row_of(&key)))
    }

    /// The account's change sequence: how many commits it has had.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn change(&self, account: AccountId) -> Result<u64, ReadError> {
        Ok(self.shared.index.head(account)?.change)
    }

    /// Watches the account's change sequence, from where it stands.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn watch(&self, account: AccountId) -> Result<watch::Receiver<u64>, ReadError> {
        self.shared.watch(account)
    }

    /// What the account holds.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn usage(&self, account: AccountId) -> Result<Usage, ReadError> {
        let head = self.shared.index.head(account)?;
        Ok(Usage { records: head.records, bytes: head.bytes })
    }

    /// Every account that was ever written to, in the order of their ids.
    pub fn accounts(&self) -> impl Iterator<Item = Result<(AccountId, Usage), ReadError>> + use<> {
        self.shared.index.heads().map(|found| {
            let (account, head) = found?;
            Ok((account, Usage { records: head.records, bytes: head.bytes }))
        })
    }
}

/// Rows of one account and kind in order; see [`Read::scan`].
pub struct Scan {
    shared: Arc<Shared>,
    rows: RowIter,
}

impl Iterator for Scan {
    type Item = Result<(Row, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, entry) = match self.rows.next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error.into())),
            };
            let mut first = Some((entry.place, entry.inline));
            let value = read_place(&self.shared, || match first.take() {
                Some(seen) => Ok(Some(seen)),
                // The segment has been recycled since: what the row is now counts.
                None => Ok(self.shared.index.row(&key)?.map(|now| (now.place, now.inline))),
            });
            match value.transpose() {
                Some(value) => return Some(value.map(|value| (row_of(&key), value))),
                None => continue,
            }
        }
    }
}

enum Found {
    Here(Place, Bytes),
    There(Arc<Segment>, Place),
}

impl Found {
    fn place(&self) -> &Place {
        match self {
            Self::Here(place, _) | Self::There(_, place) => place,
        }
    }
}

type Look = Result<Option<(Place, Option<Bytes>)>, IndexError>;

/// Finds a value, again if compaction moved it between the look into the index and ours.
fn locate(shared: &Shared, mut look: impl FnMut() -> Look) -> Result<Option<Found>, ReadError> {
    let mut seen = None;
    loop {
        let Some((place, inline)) = look()? else { return Ok(None) };
        if let Some(value) = inline {
            return Ok(Some(Found::Here(place, value)));
        }
        if let Some(segment) = shared.segment(place.segment) {
            return Ok(Some(Found::There(segment, place)));
        }
        if seen == Some(place) {
            return Err(ReadError::Damaged { segment: place.segment, offset: place.offset });
        }
        seen = Some(place);
    }
}

/// Reads a whole value and checks it.
pub(crate) fn read_place(
    shared: &Shared,
    look: impl FnMut() -> Look,
) -> Result<Option<Bytes>, ReadError> {
    let Some(found) = locate(shared, look)? else { return Ok(None) };
    let (value, place) = match found {
        Found::Here(place, value) => (value, place),
        Found::There(segment, place) => (Bytes::from(segment.read(&place)?), place),
    };
    if crc32c::crc32c(&value) != place.crc {
        return Err(ReadError::Damaged { segment: place.segment, offset: place.offset });
    }
    Ok(Some(value))
}
