//! Backups: points that share the segments they have in common, made while the store runs, checked
//! and restored without a key.
//!
//! Invariant: a point's file is written after everything it names is on disk; what a point names is
//! never written over.
//! Refs: specs/backup.md.

mod check;
mod point;
mod restore;

pub use check::{Checked, PointFault, check};
pub use point::{FilePart, Point, SegmentPart};
pub use restore::{RESTORED, restore};

#[cfg(test)]
pub(crate) use check::check_point;

use crate::disk::{DataFile, Disk, ReadAt as _};
use crate::format::len64;
use crate::segment::{Segment, Walk, first_offset};
use crate::writer::Stand;
use crate::{CommitError, FORMAT, OpenError, Store, lock};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocab::Timestamp;

const FORMAT_TEXT: &[u8] = b"bailiwick backup\nversion 1\n";
/// The most octets of a file beside the store: no file of a log is larger.
const FILE_BYTES_MAX: u64 = 64 << 20;
const STEP: usize = 1 << 20;
const FOLDERS: [&str; 3] = ["points", "segments", "files"];

/// Why a backup was not made, could not be read, or could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing in the folder is a backup, and to begin one there it is not empty.
    #[error("there is no backup in the folder")]
    NotABackup,
    /// The folder that is to be restored into is not empty.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The folder that is to be restored into is the backup's, or lies in it: the next backup
    /// would remove what no point names.
    #[error("the folder lies in the backup's own")]
    Inside,
    /// There is no such point, or none at all.
    #[error("the backup has no such point")]
    NoPoint,
    /// The newest point is of another store, or of what this one was before it was restored from
    /// an older one, or damaged. Back up into another folder.
    #[error("the store does not go on from the newest point; back up into another folder")]
    Another,
    /// A name that no file of a backup has.
    #[error("a file has a name that no backup holds")]
    Name,
    /// The store's own files are not what was written: nothing was backed up.
    #[error("segment {segment} of the store is damaged at octet {offset}")]
    Damaged {
        /// The segment.
        segment: u64,
        /// Where in it.
        offset: u64,
    },
    /// What the point names is not what was copied.
    #[error("the backup is damaged: {0}")]
    Broken(PointFault),
    /// A newer build wrote it, another process writes it.
    #[error("the backup cannot be opened")]
    Open(#[from] OpenError),
    /// The store has stopped or is closing.
    #[error("the writer refused")]
    Writer(#[from] CommitError),
    /// A disk answered with an error.
    #[error("a file could not be read or written")]
    Io(#[from] io::Error),
}

/// A file beside the store that belongs to the cell.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Its path below the data directory, as specs/backup.md §2 allows.
    pub name: String,
    /// Its octets, or where they are read if they never change.
    pub source: Source,
}

/// Where the octets of a [`Beside`] come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Here they are.
    Octets(Bytes),
    /// In this file, which never changes: one that the last point has is not read again.
    Final(PathBuf),
}

/// What making a point came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The point.
    pub point: Point,
    /// Octets that were copied; the rest was there.
    pub copied_bytes: u64,
    /// Points that are there now.
    pub points: u64,
}

pub(crate) fn segment_path(disk: &Disk, id: u64) -> PathBuf {
    disk.root.join("segments").join(format!("{id:016x}.seg"))
}

pub(crate) fn file_path(disk: &Disk, part: &FilePart) -> PathBuf {
    disk.root.join("files").join(format!("{}.{:016x}", part.name, part.stored))
}

pub(crate) fn point_path(disk: &Disk, number: u64) -> PathBuf {
    disk.root.join("points").join(format!("{number:016x}.point"))
}

impl Store {
    /// Adds a point to the backup in `to`, making it if the folder is empty or not there, and keeps
    /// the newest `keep` points (at least one). `beside` was read before this is called. Blocks;
    /// commits and reads go on meanwhile, and a compaction waits with overwriting what is copied.
    ///
    /// # Errors
    /// See [`BackupError`]. Whatever it is, the points that were there are.
    pub fn back_up_blocking(
        &self,
        to: &Path,
        beside: Vec<Beside>,
        made: Timestamp,
        keep: usize,
    ) -> Result<Made, BackupError> {
        make(&Disk::new(to), || self.stand_blocking(), beside, made, keep)
    }
}

/// See [`Store::back_up_blocking`].
pub(crate) fn make(
    disk: &Disk,
    stand: impl FnOnce() -> Result<Stand, CommitError>,
    beside: Vec<Beside>,
    made: Timestamp,
    keep: usize,
) -> Result<Made, BackupError> {
    std::fs::create_dir_all(&disk.root)?;
    let _lock = claim(disk)?;
    let numbers = numbers(disk)?;
    let last = numbers.last().map(|number| Point::read(disk, *number)).transpose()?;
    let mut copy = Copy::onto(disk, last.as_ref());
    let number = last.as_ref().map_or(0, |last| last.number).checked_add(1);
    let number = number.ok_or(BackupError::NoPoint)?;
    let files = copy.files(number, beside)?;
    let Stand { books, segments, index: _ } = stand()?;
    if !last.as_ref().map_or(Ok(true), |last| goes_on_from(last, &segments))? {
        return Err(BackupError::Another);
    }
    let mut parts = Vec::new();
    for segment in segments.values() {
        let until = if segment.id == books.segment { books.offset } else { segment.size };
        parts.push(copy.segment(segment, until, segment.id == books.segment)?);
    }
    copy.folders.iter().try_for_each(|folder| disk.sync_dir(folder))?;
    let copied_bytes = copy.bytes;
    let (segment, offset, seq) = (books.segment, books.offset, books.seq);
    let point = Point { number, made, segment, offset, seq, segments: parts, files };
    disk.replace(&format!("points/{number:016x}.point"), &point.encode())?;
    disk.sync_dir(&disk.root.join("points"))?;
    let points = prune(disk, keep.max(1))?;
    Ok(Made { point, copied_bytes, points })
}

/// Takes the lock of a folder that is a backup or becomes one.
fn claim(disk: &Disk) -> Result<std::fs::File, BackupError> {
    if disk.read(FORMAT)?.is_none() && holds_anything_else(disk)? {
        return Err(BackupError::NotABackup);
    }
    let lock = lock(&disk.root)?;
    match disk.read(FORMAT)? {
        None => {
            for folder in FOLDERS {
                disk.make_dir(&disk.root.join(folder))?;
            }
            disk.replace(FORMAT, FORMAT_TEXT)?;
        }
        Some(format) => check_format(&format)?,
    }
    Ok(lock)
}

/// Whether a folder without FORMAT holds more than a beginning of ours: what no point names is
/// removed later, so nothing of anybody else's may be there.
fn holds_anything_else(disk: &Disk) -> io::Result<bool> {
    for path in disk.list(&disk.root)? {
        let is_file = ["LOCK", "FORMAT.new"].iter().any(|name| path.ends_with(name));
        let is_folder = FOLDERS.iter().any(|name| path.ends_with(name));
        if !(is_file || is_folder && disk.list(&path)?.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the store is the one of this point, later: it has no other segments from that time, and
/// the newest it still has begins as it did then. Those before it are then the same too.
fn goes_on_from(last: &Point, segments: &BTreeMap<u64, Arc<Segment>>) -> io::Result<bool> {
    let mut newest = None;
    for (id, segment) in segments.range(..=last.segment) {
        let part = last.segment(*id);
        let same = |part: &&SegmentPart| {
            (part.size, part.first_seq) == (segment.size, segment.first_seq)
                && part.end <= segment.size
        };
        let Some(part) = part.filter(same) else { return Ok(false) };
        newest = Some((segment, part));
    }
    newest.map_or(Ok(true), |(segment, part)| {
        Ok(check::checksum(&segment.file, part.end)? == part.crc)
    })
}

pub(crate) fn check_format(format: &[u8]) -> Result<(), BackupError> {
    let text = str::from_utf8(format).map_err(|_| BackupError::NotABackup)?;
    let version = text.strip_prefix("bailiwick backup\nversion ").ok_or(BackupError::NotABackup)?;
    match version.trim_end().parse() {
        Ok(1) => Ok(()),
        Ok(found) => Err(OpenError::NewerFormat { found, known: 1 }.into()),
        Err(_) => Err(BackupError::NotABackup),
    }
}

/// The numbers of the points that are there, oldest first.
pub(crate) fn numbers(disk: &Disk) -> Result<Vec<u64>, BackupError> {
    let mut numbers = Vec::new();
    for path in disk.list(&disk.root.join("points"))? {
        let is_point = path.extension().is_some_and(|extension| extension == "point");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        numbers.extend(u64::from_str_radix(stem, 16).ok().filter(|_| is_point));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is being copied.
struct Copy<'a> {
    disk: &'a Disk,
    last: Option<&'a Point>,
    /// The last point's files by name.
    files: BTreeMap<&'a str, &'a FilePart>,
    bytes: u64,
    /// Where names were made.
    folders: BTreeSet<PathBuf>,
}

impl<'a> Copy<'a> {
    fn onto(disk: &'a Disk, last: Option<&'a Point>) -> Self {
        let files = last.map_or(&[][..], |last| &last.files);
        let files = files.iter().map(|part| (part.name.as_str(), part)).collect();
        Self { disk, last, files, bytes: 0, folders: BTreeSet::new() }
    }

    fn begin(&mut self, path: &Path) -> io::Result<DataFile> {
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.disk.root);
        for folder in folders {
            self.disk.make_dir(folder)?;
            self.folders.insert(folder.to_owned());
        }
        self.disk.begin(path)
    }

    fn files(&mut self, number: u64, beside: Vec<Beside>) -> Result<Vec<FilePart>, BackupError> {
        let mut parts = Vec::new();
        for Beside { name, source } in beside {
            if !point::is_name(&name) {
                return Err(BackupError::Name);
            }
            let before = self.files.get(name.as_str()).copied();
            let octets = match (source, before) {
                (Source::Final(_), Some(before)) => {
                    parts.push(before.clone());
                    continue;
                }
                (Source::Final(path), None) => read_bounded(&path)?,
                (Source::Octets(octets), _) => octets,
            };
            let (len, crc) = (len64(octets.len()), crc32c::crc32c(&octets));
            if let Some(before) = before.filter(|before| (before.len, before.crc) == (len, crc)) {
                parts.push(before.clone());
                continue;
            }
            let part = FilePart { name, stored: number, len, crc };
            let file = self.begin(&file_path(self.disk, &part))?;
            file.write_all_at(&octets, 0)?;
            file.sync_data()?;
            self.bytes += len;
            parts.push(part);
        }
        Ok(parts)
    }

    /// Copies what the last point lacks of a segment, up to `until` or its end record.
    fn segment(
        &mut self,
        segment: &Segment,
        until: u64,
        is_newest: bool,
    ) -> Result<SegmentPart, BackupError> {
        let before = self.last.and_then(|last| last.segment(segment.id));
        // Ended by the time of the last point: it has it whole.
        if let Some(whole) = before.filter(|_| self.last.is_some_and(|l| l.segment > segment.id)) {
            return Ok(whole.clone());
        }
        let start = before.map_or(0, |before| before.end);
        let mut walk = match (before, self.last) {
            (Some(_), Some(last)) => Walk::from(segment, last.offset, last.seq),
            _ => Walk::new(segment),
        }
        .until(until);
        let mut is_ended = false;
        while !is_ended && let Some(record) = walk.next()? {
            is_ended = matches!(record.directory, crate::format::Directory::End { .. });
        }
        let end = walk.offset.max(first_offset());
        if is_newest && end != until || !is_newest && !is_ended {
            return Err(BackupError::Damaged { segment: segment.id, offset: walk.offset });
        }
        let path = segment_path(self.disk, segment.id);
        let file = match before {
            Some(_) => self.disk.open(&path)?,
            None => self.begin(&path)?,
        };
        let crc = self.octets(segment, &file, start, end, before.map_or(0, |before| before.crc))?;
        let Segment { id, size, first_seq, .. } = *segment;
        Ok(SegmentPart { id, size, first_seq, end, crc })
    }

    fn octets(
        &mut self,
        segment: &Segment,
        file: &DataFile,
        mut at: u64,
        end: u64,
        mut crc: u32,
    ) -> io::Result<u32> {
        let mut buf = vec![0; STEP];
        while at < end {
            let step = usize::try_from(end - at).map_or(STEP, |left| left.min(STEP));
            let part = buf.get_mut(..step).unwrap_or_default();
            segment.file.read_exact_at(part, at)?;
            file.write_all_at(part, at)?;
            crc = crc32c::crc32c_append(crc, part);
            at += len64(step);
            self.bytes += len64(step);
        }
        file.sync_data()?;
        Ok(crc)
    }
}

fn read_bounded(path: &Path) -> Result<Bytes, BackupError> {
    use std::io::Read as _;
    let mut octets = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut octets)?;
    Ok(octets.into())
}

/// Removes points beyond the newest `keep`, then what no point names; returns how many are left.
fn prune(disk: &Disk, keep: usize) -> Result<u64, BackupError> {
    let numbers = numbers(disk)?;
    let (old, kept) = numbers.split_at(numbers.len().saturating_sub(keep));
    for number in old {
        disk.remove(&point_path(disk, *number))?;
    }
    let mut named = BTreeSet::new();
    for number in kept {
        let point = Point::read(disk, *number)?;
        named.extend(point.segments.iter().map(|part| segment_path(disk, part.id)));
        named.extend(point.files.iter().map(|part| file_path(disk, part)));
    }
    for folder in ["segments", "files"] {
        for path in disk.list_all(&disk.root.join(folder))? {
            if !named.contains(&path) {
                disk.remove(&path)?;
            }
        }
    }
    Ok(len64(kept.len()))
}
