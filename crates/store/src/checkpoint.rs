//! The checkpoint: how far the index is known to be on disk, and the books at that point.
//!
//! Invariant: a checkpoint is written only after the index holds everything before it,
//! synced; it is replaced whole.
//! Refs: specs/store-journal.md §6.

use crate::disk::Disk;
use crate::effects::{Books, Ledger};
use crate::format::{Fields, VERSION, len32};
use std::io;

pub(crate) const FILE: &str = "CHECKPOINT";
const MAGIC: [u8; 8] = *b"BWCHECK\n";

/// One checkpoint.
pub(crate) struct Checkpoint {
    /// Counted from 1; the index carries the number too.
    pub(crate) number: u64,
    pub(crate) books: Books,
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        let books = &self.books;
        for field in [self.number, books.segment, books.offset, books.seq] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&len32(books.ledgers.len()).to_be_bytes());
        for (id, ledger) in &books.ledgers {
            for field in [*id, ledger.size, ledger.used, ledger.put, ledger.live] {
                out.extend_from_slice(&field.to_be_bytes());
            }
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::of_file(bytes, MAGIC)?;
        let number = fields.u64()?;
        let (segment, offset, seq) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let count = fields.u32()?;
        let ledgers = (0..count)
            .map(|_| {
                let id = fields.u64()?;
                let (size, used) = (fields.u64()?, fields.u64()?);
                Some((id, Ledger { size, used, put: fields.u64()?, live: fields.u64()? }))
            })
            .collect::<Option<_>>()?;
        fields.is_done().then_some(Self { number, books: Books { segment, offset, seq, ledgers } })
    }

    /// Writes the checkpoint over the last one.
    pub(crate) fn write(&self, disk: &Disk) -> io::Result<()> {
        disk.replace(FILE, &self.encode())
    }

    /// Whether there is one, whether or not it checks.
    pub(crate) fn is_there(disk: &Disk) -> io::Result<bool> {
        Ok(disk.read(FILE)?.is_some())
    }

    /// The last checkpoint; `None` if there is none that checks.
    pub(crate) fn read(disk: &Disk) -> io::Result<Option<Self>> {
        Ok(disk.read(FILE)?.and_then(|bytes| Self::decode(&bytes)))
    }
}
