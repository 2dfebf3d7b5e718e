//! The handle that writes.
//!
//! Invariant: a commit that returned a [`Change`] is on disk, synced, and seen by every
//! reader; it cannot read a row.
//! Refs: specs/store-journal.md §4; docs/adr/0003-store.md.

use crate::batch::Batch;
use crate::writer::{Command, Queue};
use vocab::AccountId;

/// A change that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The account that changed.
    pub account: AccountId,
    /// The account's change sequence: its commits counted from 1, without gaps.
    pub seq: u64,
}

/// Why a batch was not written. Except after [`CommitError::Stopped`], nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full, or less is free than the reserve. Reading goes on; try again later.
    #[error("the disk is full")]
    Full,
    /// A row that [`Batch::require_absent`] named is there.
    #[error("the row exists")]
    Exists,
    /// The account has changed since the sequence that [`Batch::require_change`] named.
    #[error("the account has changed")]
    Conflict,
    /// The batch is over one of the limits of this crate.
    #[error("the batch is over a limit")]
    TooLarge,
    /// A write could not be brought to a known end, so the store takes no more until it is
    /// opened again; what this batch wrote may be found then, whole, or not at all.
    #[error("the store has stopped")]
    Stopped,
}

/// The handle that writes. Clones share one queue.
#[derive(Clone)]
pub struct Append {
    pub(crate) queue: Queue,
}

impl Append {
    /// Writes the batch, and returns when it is on disk. Many callers at once share one sync.
    ///
    /// Dropping the future does not take the batch back.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, batch: Batch) -> Result<Change, CommitError> {
        batch.check()?;
        self.queue.ask(|reply| Command::Commit { batch, reply }).await
    }

    /// [`Append::commit`] for a thread that runs no async code.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit_blocking(&self, batch: Batch) -> Result<Change, CommitError> {
        crate::block::on(self.commit(batch))
    }
}
