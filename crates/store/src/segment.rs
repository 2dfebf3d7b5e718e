//! Segments: the files of the journal, and walking through one.
//!
//! Invariant: a walk yields only records whose every octet checks; where it stops,
//! nothing after is believed.
//! Refs: specs/store-journal.md §2, §3.

use crate::ReadError;
use crate::disk::{DataFile, Disk, ReadAt};
use crate::format::{
    Directory, END_LEN, Place, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader,
    Value, len64, size,
};
use std::io;
use std::path::PathBuf;

/// A segment somebody is waiting for is no longer than this, unless its record is.
pub(crate) const STOPGAP_BYTES: u64 = 4 << 20;
/// How much of a value is read at a time when only its checksum is wanted.
const STEP: usize = 256 << 10;

/// One open segment.
pub(crate) struct Segment<F = DataFile> {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) first_seq: u64,
    pub(crate) file: F,
}

/// Where the first record of a segment starts.
pub(crate) fn first_offset() -> u64 {
    len64(SEGMENT_HEADER_LEN)
}

/// The size of a segment that has to take a record of `need` octets.
pub(crate) fn segment_size(usual: u64, need: u64) -> u64 {
    usual.max(first_offset() + need + END_LEN).next_multiple_of(4096)
}

pub(crate) fn path(disk: &Disk, id: u64) -> PathBuf {
    disk.journal().join(format!("{id:016x}.seg"))
}

/// A zeroed file, ready to become a segment.
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: DataFile,
    pub(crate) size: u64,
}

impl Spare {
    /// Writes the header; the file is not a segment before [`Spare::activate`].
    pub(crate) fn prepare(&self, id: u64, first_seq: u64) -> io::Result<()> {
        let header = SegmentHeader { id, size: self.size, first_seq };
        self.file.write_all_at(&header.encode(), 0)?;
        self.file.sync_data()
    }

    /// Gives the file its name in the journal.
    pub(crate) fn activate(self, disk: &Disk, id: u64, first_seq: u64) -> io::Result<Segment> {
        disk.rename(&self.path, &path(disk, id))?;
        Ok(Segment { id, size: self.size, first_seq, file: self.file })
    }
}

impl Segment {
    /// Opens a segment that is there; `None` if its header is not one.
    pub(crate) fn open(disk: &Disk, id: u64) -> io::Result<Option<Self>> {
        let segment = Self::on(disk.open(&path(disk, id))?)?;
        Ok(segment.filter(|segment| segment.id == id))
    }
}

impl<F: ReadAt> Segment<F> {
    /// The segment that these octets are; `None` if their header is not one, or they are fewer
    /// than it says.
    pub(crate) fn on(file: F) -> io::Result<Option<Self>> {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let len = file.len()?;
        if len >= first_offset() {
            file.read_exact_at(&mut bytes, 0)?;
        }
        let header = SegmentHeader::decode(&bytes).filter(|header| len >= header.size);
        Ok(header.map(|SegmentHeader { id, size, first_seq }| Self { id, size, first_seq, file }))
    }

    /// Reads the octets of a value, unchecked.
    pub(crate) fn read(&self, place: &Place) -> Result<Vec<u8>, ReadError> {
        let end = place.offset.checked_add(u64::from(place.len));
        if end.is_none_or(|end| end > self.size) {
            return Err(ReadError::Damaged { segment: self.id, offset: place.offset });
        }
        let mut value = vec![0; size(u64::from(place.len))];
        self.file.read_exact_at(&mut value, place.offset)?;
        Ok(value)
    }

    fn value_checks(&self, values_at: u64, value: &Value) -> io::Result<bool> {
        let (mut at, end) =
            (values_at + value.start, values_at + value.start + u64::from(value.len));
        let mut crc = 0;
        let mut buf = vec![0; STEP.min(size(u64::from(value.len)))];
        while at < end {
            let step = size(end - at).min(STEP);
            let part = buf.get_mut(..step).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
            crc = crc32c::crc32c_append(crc, part);
            at += len64(step);
        }
        Ok(crc == value.crc)
    }
}

/// A record that checks.
pub(crate) struct Record {
    pub(crate) directory: Directory,
    /// Where the record's values start in the segment.
    pub(crate) values_at: u64,
}

/// A walk through a segment's records.
pub(crate) struct Walk<'a, F = DataFile> {
    segment: &'a Segment<F>,
    pub(crate) offset: u64,
    /// The sequence the next record must have.
    pub(crate) seq: u64,
    /// Where it stops, if no record does.
    end: u64,
}

impl<'a, F: ReadAt> Walk<'a, F> {
    /// From the first record on.
    pub(crate) fn new(segment: &'a Segment<F>) -> Self {
        Self::from(segment, first_offset(), segment.first_seq)
    }

    /// From a record's start on.
    pub(crate) fn from(segment: &'a Segment<F>, offset: u64, seq: u64) -> Self {
        Self { segment, offset, seq, end: segment.size }
    }

    /// No further than to this octet.
    pub(crate) fn until(self, end: u64) -> Self {
        Self { end: end.min(self.end), ..self }
    }

    pub(crate) fn segment(&self) -> &'a Segment<F> {
        self.segment
    }

    /// The next record; `None` where the octets are not one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        let (segment, offset) = (self.segment, self.offset);
        let directory_at = offset.saturating_add(len64(RECORD_HEADER_LEN));
        if directory_at > self.end {
            return Ok(None);
        }
        let mut header = [0; RECORD_HEADER_LEN];
        segment.file.read_exact_at(&mut header, offset)?;
        let Some(header) = RecordHeader::decode(segment.id, offset, &header) else {
            return Ok(None);
        };
        let end = offset + header.record_len();
        if header.seq != self.seq || end > self.end {
            return Ok(None);
        }
        let mut directory = vec![0; size(u64::from(header.directory_len))];
        segment.file.read_exact_at(&mut directory, directory_at)?;
        if crc32c::crc32c(&directory) != header.directory_crc {
            return Ok(None);
        }
        let Some(directory) = Directory::decode(header.kind, &directory) else { return Ok(None) };
        if directory.values_len() != u64::from(header.values_len) {
            return Ok(None);
        }
        let values_at = directory_at + u64::from(header.directory_len);
        for value in directory.values() {
            if !segment.value_checks(values_at, value)? {
                return Ok(None);
            }
        }
        self.offset = end;
        self.seq = header.seq.saturating_add(1);
        Ok(Some(Record { directory, values_at }))
    }
}
