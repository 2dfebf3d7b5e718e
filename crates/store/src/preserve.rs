//! The handle that keeps records from disappearing, without reading them.
//!
//! Invariant: a held version stays where the journal can find it, whatever its owner
//! overwrites or deletes, until the hold is released; holding opens and copies nothing.
//! Refs: specs/store-journal.md §5; design §7.

use crate::format::{Key, key};
use crate::index::IndexError;
use crate::read::{ReadError, read_place};
use crate::writer::{Command, Queue};
use crate::{CommitError, Shared};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use vocab::{AccountId, RecordKind, Row};

/// The most rows one call to [`Preserve::hold`] takes; call it again for more.
pub const HOLD_ROWS_MAX: usize = 65_536;

/// One hold: sixteen octets that its holder chose. Holding again under the same id adds to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(pub [u8; 16]);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HoldId({self})")
    }
}

/// What a hold found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Rows now held, those held before by the same hold included.
    pub held: usize,
    /// Rows that do not exist and so are not held.
    pub missing: usize,
}

/// A row that a hold keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRow {
    /// Whose it is.
    pub account: AccountId,
    /// Its kind.
    pub kind: RecordKind,
    /// Its row.
    pub row: Row,
    /// The held version's length in octets.
    pub len: u32,
}

/// The handle that preserves.
#[derive(Clone)]
pub struct Preserve {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Queue,
}

impl Preserve {
    /// Keeps the present versions of these rows until [`Preserve::release`]. A row this hold
    /// already keeps stays at the version it was first held at. At most [`HOLD_ROWS_MAX`] rows.
    /// Returns when the hold is on disk.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`], [`CommitError::Full`], [`CommitError::Stopped`].
    pub async fn hold(
        &self,
        hold: HoldId,
        account: AccountId,
        rows: Vec<(RecordKind, Row)>,
    ) -> Result<Held, CommitError> {
        if rows.len() > HOLD_ROWS_MAX {
            return Err(CommitError::TooLarge);
        }
        let keys = rows.into_iter().map(|(kind, row)| key(account, kind.table(), row.0)).collect();
        self.queue.ask(|reply| Command::Hold { hold, keys, reply }).await
    }

    /// [`Preserve::hold`] for a thread that runs no async code.
    ///
    /// # Errors
    /// As [`Preserve::hold`].
    pub fn hold_blocking(
        &self,
        hold: HoldId,
        account: AccountId,
        rows: Vec<(RecordKind, Row)>,
    ) -> Result<Held, CommitError> {
        crate::block::on(self.hold(hold, account, rows))
    }

    /// Ends a hold; returns how many rows it kept. What nobody else needs goes with the next
    /// compaction. An unknown hold keeps nothing, and releasing it is no error.
    ///
    /// # Errors
    /// [`CommitError::Full`], [`CommitError::Stopped`].
    pub async fn release(&self, hold: HoldId) -> Result<usize, CommitError> {
        self.queue.ask(|reply| Command::Release { hold, reply }).await
    }

    /// [`Preserve::release`] for a thread that runs no async code.
    ///
    /// # Errors
    /// As [`Preserve::release`].
    pub fn release_blocking(&self, hold: HoldId) -> Result<usize, CommitError> {
        crate::block::on(self.release(hold))
    }

    /// The account's rows of one kind from `from` on, with their lengths and without their values.
    pub fn rows(
        &self,
        account: AccountId,
        kind: RecordKind,
        from: Row,
    ) -> impl Iterator<Item = Result<(Row, u32), ReadError>> + use<> {
        let read = crate::Read { shared: Arc::clone(&self.shared) };
        read.rows(account, kind, from)
    }

    /// The rows a hold keeps, in the order of account, kind and row.
    pub fn held(&self, hold: HoldId) -> impl Iterator<Item = Result<HeldRow, ReadError>> + use<> {
        let shared = self.shared.clone();
        self.shared.index.held(hold).filter_map(move |key| {
            let found = key
                .map_err(ReadError::from)
                .and_then(|key| Ok(shared.index.pin(hold, &key)?.map(|place| (key, place))));
            // A row released since the list was begun is left out.
            found.transpose().map(|found| found.and_then(|(key, place)| held_row(&key, place.len)))
        })
    }

    /// The version of a row that a hold keeps, checked against its checksum; `None` if it keeps
    /// none. It is as sealed as it was.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        hold: HoldId,
        account: AccountId,
        kind: RecordKind,
        row: Row,
    ) -> Result<Option<Bytes>, ReadError> {
        let key = key(account, kind.table(), row.0);
        read_place(&self.shared, || {
            Ok(self.shared.index.pin(hold, &key)?.map(|place| (place, None)))
        })
    }
}

pub(crate) fn row_of(key: &Key) -> Row {
    Row(key.last_chunk::<8>().map_or(0, |row| u64::from_be_bytes(*row)))
}

fn held_row(key: &Key, len: u32) -> Result<HeldRow, ReadError> {
    let mut fields = crate::format::Fields(key);
    let parts =
        (|| Some((fields.array()?, RecordKind::from_table(fields.u16()?)?, fields.u64()?)))();
    let (account, kind, row) = parts.ok_or(ReadError::from(IndexError::Entry))?;
    Ok(HeldRow { account: AccountId(account), kind, row: Row(row), len })
}
