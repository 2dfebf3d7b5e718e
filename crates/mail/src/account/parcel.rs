//! Parcels: an account's records as a stream, as sealed as they lie in the store.
//!
//! Invariant: what is read is bounded before it is held; nothing of a parcel is believed before its
//! digest and signature are right and its keystore is what its manifest lists.
//! Refs: specs/move.md §2.

use std::io::{self, Read as _, Write};

use custody::user::{
    END_BYTES, HEAD_BYTES, Locked, MARKS, MoveFormError, ParcelDigest, ParcelHead, RECORD_BYTES,
    RecordHead, travels,
};
use seal::sign::{SigningKey, VerifyingKey};
use store::{Read, ReadError, VALUE_BYTES_MAX};
use vocab::{CellId, Digest, RecordKind, Row};

/// Octets of a keystore that is read from a parcel. No account has as many.
const KEYSTORE_OCTETS_MAX: usize = 32 << 20;
/// What a keystore is made of.
const KEYSTORE: [RecordKind; 3] = [RecordKind::Slot, RecordKind::Manifest, RecordKind::EpochBox];

/// Why a parcel was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// It is not a parcel, or not whole, or was altered.
    #[error("the parcel is not one, is not whole or was altered")]
    Form(#[from] MoveFormError),
    /// It is for another cell.
    #[error("the parcel is for another cell")]
    Elsewhere,
    /// It is not signed by the cell that whoever runs this one named.
    #[error("the parcel is not the named cell's")]
    Stranger,
    /// It was written before the account left this cell, and is in another one since.
    #[error("the parcel is of before the account left this cell")]
    Earlier,
    /// Its keystore is not what its manifest lists.
    #[error("the parcel's keystore is not what its manifest lists")]
    Keystore,
    /// A record could not be read from the store.
    #[error("a record could not be read from the store")]
    Read(#[from] ReadError),
    /// The account changed while it was read.
    #[error("the account changed while it was read")]
    Changed,
    /// Reading or writing the parcel failed.
    #[error("the parcel could not be read or written")]
    Io(#[from] io::Error),
}

/// A parcel that was written or read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parcel {
    /// Whose it is, from where and to where.
    pub head: ParcelHead,
    /// Its digest.
    pub digest: Digest,
    /// How many records are in it.
    pub records: u64,
    /// How many octets these have.
    pub octets: u64,
}

/// Writes the parcel of an account to which nothing is written meanwhile. Blocks on the disk.
///
/// # Errors
/// [`ParcelError::Read`], [`ParcelError::Changed`], [`ParcelError::Io`].
pub(super) fn write_parcel(
    read: &Read,
    head: ParcelHead,
    key: &SigningKey,
    out: &mut impl Write,
) -> Result<Parcel, ParcelError> {
    let before = read.change(head.account)?;
    let octets = head.encode();
    out.write_all(&octets)?;
    let mut digest = ParcelDigest::begin(&octets);
    for kind in RecordKind::ALL.iter().copied().filter(|kind| travels(*kind)) {
        for found in read.scan(head.account, kind, Row(0)) {
            let (row, value) = found?;
            let length = u32::try_from(value.len()).map_err(|_| MoveFormError::Form)?;
            let record = RecordHead { kind, row, length };
            out.write_all(&[MARKS.0])?;
            out.write_all(&record.encode())?;
            out.write_all(&value)?;
            digest.record(&record, &value);
        }
    }
    if read.change(head.account)? != before {
        return Err(ParcelError::Changed);
    }
    let (records, octets) = digest.counts();
    let (end, digest) = digest.sign(key);
    out.write_all(&[MARKS.1])?;
    out.write_all(&end)?;
    Ok(Parcel { head, digest, records, octets })
}

/// A parcel as it is read.
pub(super) struct Parcels<R> {
    input: R,
    pub(super) head: ParcelHead,
    digest: Option<ParcelDigest>,
    last: Option<(RecordKind, Row)>,
    end: Option<Parcel>,
}

impl<R: io::Read> Parcels<R> {
    /// Reads the head.
    pub(super) fn open(mut input: R, cell: CellId) -> Result<Self, ParcelError> {
        let mut octets = [0; HEAD_BYTES];
        exactly(&mut input, &mut octets)?;
        let head = ParcelHead::decode(&octets)?;
        if head.to != cell || head.from == cell {
            return Err(ParcelError::Elsewhere);
        }
        let digest = Some(ParcelDigest::begin(&octets));
        Ok(Self { input, head, digest, last: None, end: None })
    }

    /// The next record; `None` when the parcel is at its end, which was right.
    pub(super) fn next(&mut self) -> Result<Option<(RecordHead, Vec<u8>)>, ParcelError> {
        let mut mark = [0];
        exactly(&mut self.input, &mut mark)?;
        if mark == [MARKS.1] {
            return self.finish().map(|()| None);
        }
        let mut octets = [0; RECORD_BYTES];
        exactly(&mut self.input, &mut octets)?;
        let record = RecordHead::decode(&octets)?;
        let is_next = self.last.is_none_or(|last| last < (record.kind, record.row));
        let length = usize::try_from(record.length).unwrap_or(usize::MAX);
        if mark != [MARKS.0] || !is_next || length > VALUE_BYTES_MAX {
            return Err(MoveFormError::Form.into());
        }
        let mut value = Vec::new();
        // Grows as it is read: a length is only what somebody wrote.
        self.input.by_ref().take(u64::from(record.length)).read_to_end(&mut value)?;
        if value.len() != length {
            return Err(MoveFormError::Form.into());
        }
        self.last = Some((record.kind, record.row));
        self.digest.as_mut().ok_or(MoveFormError::Form)?.record(&record, &value);
        Ok(Some((record, value)))
    }

    fn finish(&mut self) -> Result<(), ParcelError> {
        let mut end = [0; END_BYTES];
        exactly(&mut self.input, &mut end)?;
        if self.input.read(&mut [0])? != 0 {
            return Err(MoveFormError::Form.into());
        }
        let digest = self.digest.take().ok_or(MoveFormError::Form)?;
        let (records, octets) = digest.counts();
        let digest = digest.verify(&end, &self.head.key)?;
        self.end = Some(Parcel { head: self.head, digest, records, octets });
        Ok(())
    }

    /// The parcel, once it was read to its end.
    pub(super) fn end(&self) -> Option<Parcel> {
        self.end
    }
}

/// Reads a whole parcel for this cell, keeps nothing but its keystore, and checks all that can be
/// checked without its owner. Blocks on the disk.
pub(super) fn inspect(
    input: impl io::Read,
    cell: CellId,
    from: &VerifyingKey,
) -> Result<(Parcel, Locked), ParcelError> {
    let mut parcel = Parcels::open(input, cell)?;
    // A parcel brings its own key along: whoever carries it could sign it anew, and then discharge
    // what its old cell has not let go.
    if parcel.head.key != *from {
        return Err(ParcelError::Stranger);
    }
    let (mut keystore, mut octets) = (Vec::new(), 0_usize);
    while let Some((record, value)) = parcel.next()? {
        if KEYSTORE.contains(&record.kind) {
            octets = octets.saturating_add(value.len());
            if octets > KEYSTORE_OCTETS_MAX {
                return Err(ParcelError::Keystore);
            }
            keystore.push((record.kind, value));
        }
    }
    let parcel = parcel.end().ok_or(MoveFormError::Form)?;
    let locked = Locked::from_records(parcel.head.account, keystore);
    let locked = locked.map_err(|_| ParcelError::Keystore)?;
    let is_its_own = locked.digest() == parcel.head.manifest;
    // An account that was never in the cell it says to come from did not leave it.
    if !is_its_own || locked.manifest().cell != parcel.head.from {
        return Err(ParcelError::Keystore);
    }
    Ok((parcel, locked))
}

/// An end that comes too soon is a parcel that is not whole, and no failure of the disk.
fn exactly(input: &mut impl io::Read, octets: &mut [u8]) -> Result<(), ParcelError> {
    input.read_exact(octets).map_err(|error| {
        let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_short { MoveFormError::Form.into() } else { error.into() }
    })
}
