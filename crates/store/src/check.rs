//! A store's files read apart from the store: what a backup is checked with, and what is fuzzed.
//!
//! Invariant: changes nothing, opens no file, and believes no length that no checksum covers.
//! Refs: specs/store-journal.md §2 to §7.

use crate::backup::Point;
use crate::checkpoint::Checkpoint;
use crate::format::{Directory, RecordType, len64, size};
use crate::index::Entry;
use crate::recover::synced_record;
use crate::segment::{Segment, Walk};

/// What lies behind a segment's last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing: the segment was ended, and another follows it.
    Ended,
    /// Zeros: records may follow.
    Zeros,
    /// A write that was never finished, and never acknowledged. Right in the newest segment alone.
    Unfinished,
    /// Records that had been synced, behind octets that are none: damage.
    Damaged,
}

/// A segment as its octets have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentCheck {
    /// Its number.
    pub id: u64,
    /// The sequence of its first record.
    pub first_seq: u64,
    /// How many records check, every octet of them.
    pub records: u64,
    /// The octet at which they end.
    pub end: u64,
    /// What lies behind.
    pub rest: Rest,
}

/// Checks the octets of one segment (specs/store-journal.md §2, §3, §7); `None` if they do not
/// begin with a segment's header, or are fewer than it says.
#[must_use]
pub fn segment(octets: &[u8]) -> Option<SegmentCheck> {
    let segment = Segment::on(octets).ok()??;
    let mut walk = Walk::new(&segment);
    let (mut records, mut is_ended) = (0, false);
    while let Some(record) = walk.next().ok()? {
        records += 1;
        if matches!(record.directory, Directory::End { .. }) {
            is_ended = true;
            break;
        }
    }
    let (end, seq) = (walk.offset, walk.seq);
    let behind = octets.get(size(end)..size(segment.size)).unwrap_or_default();
    let rest = if is_ended {
        Rest::Ended
    } else if behind.iter().all(|octet| *octet == 0) {
        Rest::Zeros
    } else if synced_record(segment.id, end, behind, seq).is_some() {
        Rest::Damaged
    } else {
        Rest::Unfinished
    };
    let (id, first_seq) = (segment.id, segment.first_seq);
    Some(SegmentCheck { id, first_seq, records, end, rest })
}

/// Reads the directory of a record of this type and writes it again (specs/store-journal.md §4);
/// `None` if it is none. What is read prints as it came.
#[must_use]
pub fn directory(kind: u8, octets: &[u8]) -> Option<Vec<u8>> {
    Some(Directory::decode(RecordType::from_u8(kind)?, octets)?.encode())
}

/// The number of a checkpoint and how many segments it counts on (specs/store-journal.md §6);
/// `None` if the octets are none.
#[must_use]
pub fn checkpoint(octets: &[u8]) -> Option<(u64, u64)> {
    let checkpoint = Checkpoint::decode(octets)?;
    Some((checkpoint.number, len64(checkpoint.books.ledgers.len())))
}

/// How many segments and files a point of a backup names (specs/backup.md §2); `None` if the octets
/// are none. What is read prints as it came.
#[must_use]
pub fn point(octets: &[u8]) -> Option<(u64, u64)> {
    let point = Point::decode(octets).filter(|point| point.encode() == octets)?;
    Some((len64(point.segments.len()), len64(point.files.len())))
}

/// The version that a FORMAT file names (specs/store-journal.md §1); `None` if it names none.
#[must_use]
pub fn format(octets: &[u8]) -> Option<u32> {
    crate::read_version(octets)
}

/// Whether the octets are a row's entry in the index.
#[must_use]
pub fn index_row(octets: &[u8]) -> bool {
    Entry::parts(octets).is_ok()
}
