//! A point of a backup: the file that says what belongs to it.
//!
//! Invariant: no name in it leads out of the folder it is restored into.
//! Refs: specs/backup.md §2.

use super::check::opened;
use super::{BackupError, PointFault, point_path};
use crate::disk::{Disk, ReadAt as _};
use crate::format::{Fields, len32, size};
use vocab::Timestamp;

const MAGIC: [u8; 8] = *b"BWPOINT\n";
const VERSION: u32 = 1;
/// The most segments, and the most files, of a point.
const PARTS_MAX: u32 = 1 << 20;
/// The octets of the largest.
const POINT_BYTES_MAX: u64 = 256 << 20;
/// The longest name.
const NAME_MAX: usize = 1024;

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made, by the cell's clock.
    pub made: Timestamp,
    /// The journal's newest segment,
    pub segment: u64,
    /// the octet at which it ended there,
    pub offset: u64,
    /// and the sequence of the record that would have come next.
    pub seq: u64,
    /// What it has of each segment.
    pub segments: Vec<SegmentPart>,
    /// The files beside the store.
    pub files: Vec<FilePart>,
}

/// What a point has of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPart {
    /// The segment's number.
    pub id: u64,
    /// Its full size.
    pub size: u64,
    /// The sequence of its first record.
    pub first_seq: u64,
    /// How many of its octets belong to the point.
    pub end: u64,
    /// The checksum of those.
    pub crc: u32,
}

/// A file of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// Its path below the data directory.
    pub name: String,
    /// The point that brought it.
    pub stored: u64,
    /// Its length in octets.
    pub len: u64,
    /// Its checksum.
    pub crc: u32,
}

/// Whether a file of a backup may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |part: &str| {
        let known = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
        !matches!(part, "" | "." | "..") && part.bytes().all(known)
    };
    let is_ours = name.starts_with("log/") || name.starts_with("witness/");
    name.len() <= NAME_MAX && is_ours && name.split('/').all(is_plain)
}

impl Point {
    /// The segment of this number.
    pub(crate) fn segment(&self, id: u64) -> Option<&SegmentPart> {
        let at = self.segments.binary_search_by_key(&id, |part| part.id).ok()?;
        self.segments.get(at)
    }

    /// The octets that belong to it, points it shares them with or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|part| part.end);
        segments.chain(self.files.iter().map(|part| part.len)).fold(0, u64::saturating_add)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [self.number, self.made.0, self.segment, self.offset, self.seq] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&len32(self.segments.len()).to_be_bytes());
        for part in &self.segments {
            for field in [part.id, part.size, part.first_seq, part.end] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            out.extend_from_slice(&part.crc.to_be_bytes());
        }
        out.extend_from_slice(&len32(self.files.len()).to_be_bytes());
        for part in &self.files {
            // At most `NAME_MAX`.
            let len = u16::try_from(part.name.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(part.name.as_bytes());
            for field in [part.stored, part.len] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            out.extend_from_slice(&part.crc.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::of_file(bytes, MAGIC)?;
        let (number, made) = (fields.u64()?, Timestamp(fields.u64()?));
        let (segment, offset, seq) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let count = fields.u32().filter(|count| *count <= PARTS_MAX)?;
        let segments = (0..count)
            .map(|_| {
                let (id, size, first_seq) = (fields.u64()?, fields.u64()?, fields.u64()?);
                Some(SegmentPart { id, size, first_seq, end: fields.u64()?, crc: fields.u32()? })
            })
            .collect::<Option<Vec<_>>>()?;
        let count = fields.u32().filter(|count| *count <= PARTS_MAX)?;
        let files = (0..count).map(|_| file(&mut fields)).collect::<Option<Vec<_>>>()?;
        let in_order = segments.is_sorted_by(|one, next| one.id < next.id);
        let point = Self { number, made, segment, offset, seq, segments, files };
        (fields.is_done() && in_order).then_some(point)
    }

    pub(crate) fn read(disk: &Disk, number: u64) -> Result<Self, BackupError> {
        let broken = || BackupError::Broken(PointFault::Point { number });
        let file = opened(disk, &point_path(disk, number))?.ok_or(BackupError::NoPoint)?;
        let len = file.len()?;
        if len > POINT_BYTES_MAX {
            return Err(broken());
        }
        let mut octets = vec![0; size(len)];
        file.read_exact_at(&mut octets, 0)?;
        let point = Self::decode(&octets).filter(|point| point.number == number);
        point.ok_or_else(broken)
    }
}

fn file(fields: &mut Fields<'_>) -> Option<FilePart> {
    let len = usize::from(fields.u16()?);
    let (name, rest) = fields.0.split_at_checked(len)?;
    fields.0 = rest;
    let name = str::from_utf8(name).ok().filter(|name| is_name(name))?.to_owned();
    Some(FilePart { name, stored: fields.u64()?, len: fields.u64()?, crc: fields.u32()? })
}
