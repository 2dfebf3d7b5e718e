//! The nouns that crates which cannot see each other must share.
//!
//! Invariant: no logic, no I/O, no serde. An item enters only if two crates that
//! cannot see each other must name it. What can be computed from these nouns is
//! computed where it is used.
//! Refs: specs/bw1.md §1; ARCHITECTURE.md, "Crates".

mod id;
mod record;

pub use id::{
    AccountId, BlobId, CaseId, CellId, HolderId, LetterId, ParseIdError, PersonId, SlotId,
};
pub use record::{Custody, DataCategory, Holding, Keeper, RecordKind, Retention};

use core::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id::hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds. Only the binary reads a clock;
/// everyone else is handed one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// The period one set of arrival keys serves (specs/bw1.md §3).
///
/// 0 holds standing data (mailboxes, settings). A calendar month in UTC is
/// `(year - 2000) * 12 + month`, month from 1, so November 2026 is 323.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// How often an epoch has been re-keyed, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochVersion(pub u32);

/// A row of one record kind of one account. Chosen by the writer, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub u64);

/// A position in one account's history of changes (RFC 7162 §3.1), from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModSeq(pub u64);
