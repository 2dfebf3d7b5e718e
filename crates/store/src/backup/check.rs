//! Checking a backup, which needs no key.
//!
//! Invariant: changes nothing; believes no length that no checksum covers.
//! Refs: specs/backup.md §4.

use super::{BackupError, FORMAT, FilePart, Point, SegmentPart, check_format, numbers};
use super::{file_path, segment_path};
use crate::disk::{DataFile, Disk, ReadAt};
use crate::format::{Directory, len64};
use crate::segment::{Segment, Walk, first_offset};
use std::fmt;
use std::io;
use std::path::Path;

const STEP: usize = 1 << 20;

/// What is wrong with a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointFault {
    /// Its own file is not one.
    Point {
        /// The number in the file's name.
        number: u64,
    },
    /// A segment's octets are gone or not those that were copied.
    Segment {
        /// The segment.
        id: u64,
    },
    /// A segment does not begin where the one before it ended, or the newest not end where it should.
    Order {
        /// The segment.
        id: u64,
    },
    /// A file is gone or is not the one that was copied.
    File {
        /// Its path below the data directory.
        name: String,
    },
}

impl fmt::Display for PointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point { number } => write!(f, "point {number} is not what was written"),
            Self::Segment { id } => write!(f, "segment {id} is gone or damaged"),
            Self::Order { id } => write!(f, "segment {id} does not follow the one before it"),
            Self::File { name } => write!(f, "{name} is gone or damaged"),
        }
    }
}

/// A point, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its number.
    pub number: u64,
    /// The point; `None` if its own file is none.
    pub point: Option<Point>,
    /// Records in its segments, every octet of them checked.
    pub records: u64,
    /// What is wrong with it.
    pub faults: Vec<PointFault>,
}

/// Checks every point of a backup, oldest first. Reads all of it, what points share once for each.
///
/// # Errors
/// [`BackupError::NotABackup`], [`BackupError::Open`], [`BackupError::Io`].
pub fn check(dir: &Path) -> Result<Vec<Checked>, BackupError> {
    let disk = Disk::new(dir);
    check_format(&disk.read(FORMAT)?.ok_or(BackupError::NotABackup)?)?;
    numbers(&disk)?.into_iter().map(|number| check_point(&disk, number)).collect()
}

pub(crate) fn check_point(disk: &Disk, number: u64) -> Result<Checked, BackupError> {
    let point = match Point::read(disk, number) {
        Ok(point) => point,
        Err(BackupError::Broken(fault)) => {
            return Ok(Checked { number, point: None, records: 0, faults: vec![fault] });
        }
        Err(error) => return Err(error),
    };
    let (mut faults, mut records) = (Vec::new(), 0);
    let mut before: Option<(u64, u64)> = None;
    for part in &point.segments {
        let next = if before
            .is_some_and(|(id, seq)| id.checked_add(1) == Some(part.id) && seq != part.first_seq)
        {
            Err(PointFault::Order { id: part.id })
        } else {
            check_segment(disk, &point, part)?
        };
        match next {
            Ok(seq) => {
                records += seq - part.first_seq;
                before = Some((part.id, seq));
            }
            Err(fault) => {
                faults.push(fault);
                before = None;
            }
        }
    }
    if point.segments.last().is_none_or(|last| last.id != point.segment) {
        faults.push(PointFault::Segment { id: point.segment });
    }
    for part in &point.files {
        if !is_whole(&file_path(disk, part), disk, part)? {
            faults.push(PointFault::File { name: part.name.clone() });
        }
    }
    Ok(Checked { number, point: Some(point), records, faults })
}

/// An open file, as far as a point goes.
struct Front<'a> {
    file: &'a DataFile,
    part: &'a SegmentPart,
}

impl ReadAt for Front<'_> {
    fn len(&self) -> io::Result<u64> {
        // What is behind the point is zero, and need not be there.
        Ok(self.part.size)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

/// The sequence behind a segment's last record of a point.
fn check_segment(
    disk: &Disk,
    point: &Point,
    part: &SegmentPart,
) -> Result<Result<u64, PointFault>, BackupError> {
    let fault = Ok(Err(PointFault::Segment { id: part.id }));
    let Some(file) = opened(disk, &segment_path(disk, part.id))? else { return fault };
    if part.end < first_offset() || file.len()? < part.end || checksum(&file, part.end)? != part.crc
    {
        return fault;
    }
    let Some(segment) = Segment::on(Front { file: &file, part })? else { return fault };
    if (segment.id, segment.first_seq, segment.size) != (part.id, part.first_seq, part.size) {
        return fault;
    }
    let mut walk = Walk::new(&segment).until(part.end);
    let mut is_ended = false;
    while !is_ended && let Some(record) = walk.next()? {
        is_ended = matches!(record.directory, Directory::End { .. });
    }
    let is_newest = part.id == point.segment;
    let ends = if is_newest { (point.offset, point.seq) } else { (part.end, walk.seq) };
    if (walk.offset, walk.seq) != ends || is_ended == is_newest {
        return Ok(Err(PointFault::Order { id: part.id }));
    }
    Ok(Ok(walk.seq))
}

pub(super) fn opened(disk: &Disk, path: &Path) -> Result<Option<DataFile>, BackupError> {
    match disk.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn checksum(file: &DataFile, end: u64) -> io::Result<u32> {
    let (mut at, mut crc, mut buf) = (0, 0, vec![0; STEP]);
    while at < end {
        let step = usize::try_from(end - at).map_or(STEP, |left| left.min(STEP));
        let part = buf.get_mut(..step).unwrap_or_default();
        file.read_exact_at(part, at)?;
        crc = crc32c::crc32c_append(crc, part);
        at += len64(step);
    }
    Ok(crc)
}

fn is_whole(path: &Path, disk: &Disk, part: &FilePart) -> Result<bool, BackupError> {
    let Some(file) = opened(disk, path)? else { return Ok(false) };
    Ok(file.len()? == part.len && checksum(&file, part.len)? == part.crc)
}
