//! The journal's octets: segment header, record header, directories. Pure.
//!
//! Invariant: a length is believed only after the checksum over it; a record of
//! another segment, another place or an earlier use of the file does not check.
//! Refs: specs/store-journal.md §3, §4.

use crate::preserve::HoldId;
use vocab::AccountId;

/// The format this build reads and writes.
pub(crate) const VERSION: u32 = 1;
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"BWSEGMT\n";
pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
pub(crate) const RECORD_HEADER_LEN: usize = 40;
/// What a row costs in the books of live octets, beside its value.
pub(crate) const ROW_COST: u64 = 32;
/// account ‖ table ‖ row.
pub(crate) const KEY_LEN: usize = 26;
/// Room every segment keeps for its end record.
pub(crate) const END_LEN: u64 = 48;

pub(crate) type Key = [u8; KEY_LEN];

/// The key of a row in the index.
pub(crate) fn key(account: AccountId, table: u16, row: u64) -> Key {
    let mut key = [0; KEY_LEN];
    let parts = account.0.into_iter().chain(table.to_be_bytes()).chain(row.to_be_bytes());
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    key
}

/// A length on disk, which the batch limits keep far below 4 GiB.
pub(crate) fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Octets in a `usize`, which no platform we build for makes wider than 64 bits.
pub(crate) fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// An offset back as a `usize`; 64-bit platforms only, and saturating elsewhere.
pub(crate) fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// Reads big-endian fields off the front of a slice; `None` once it runs short.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a small file: after its magic and this version, and before its checksum.
    pub(crate) fn of_file(bytes: &'a [u8], magic: [u8; 8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let mut fields = Self(body);
        let is_whole = crc32c::crc32c(body) == u32::from_be_bytes(*crc);
        (is_whole && fields.array()? == magic && fields.u32()? == VERSION).then_some(fields)
    }
}

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// The first 64 octets of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) first_seq: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_LEN);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [self.id, self.size, self.first_seq] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.resize(SEGMENT_HEADER_LEN - 4, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out.try_into().unwrap_or([0; SEGMENT_HEADER_LEN])
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut fields = Fields(body);
        if fields.array()? != SEGMENT_MAGIC || fields.u32()? != VERSION {
            return None;
        }
        Some(Self { id: fields.u64()?, size: fields.u64()?, first_seq: fields.u64()? })
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordType {
    Commit = 1,
    Carry = 2,
    Hold = 3,
    Release = 4,
    End = 5,
}

impl RecordType {
    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::Commit, Self::Carry, Self::Hold, Self::Release, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == value)
    }
}

/// The 40 octets before every record's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordType,
    /// This record's place in the journal's order, from 1, without gaps.
    pub(crate) seq: u64,
    /// The last record known to be on disk when this one was written.
    pub(crate) durable: u64,
    pub(crate) directory_len: u32,
    pub(crate) directory_crc: u32,
    pub(crate) values_len: u32,
}

impl RecordHeader {
    fn crc(segment: u64, offset: u64, fields: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&segment.to_be_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &offset.to_be_bytes()), fields)
    }

    /// The header for this place and no other.
    pub(crate) fn encode(&self, segment: u64, offset: u64) -> [u8; RECORD_HEADER_LEN] {
        let mut fields = Vec::with_capacity(RECORD_HEADER_LEN);
        fields.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        fields.extend_from_slice(&self.seq.to_be_bytes());
        fields.extend_from_slice(&self.durable.to_be_bytes());
        for field in [self.directory_len, self.directory_crc, self.values_len, 0] {
            fields.extend_from_slice(&field.to_be_bytes());
        }
        let mut out = Self::crc(segment, offset, &fields).to_be_bytes().to_vec();
        out.append(&mut fields);
        out.try_into().unwrap_or([0; RECORD_HEADER_LEN])
    }

    /// The header, if these octets are one written for this place.
    pub(crate) fn decode(segment: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk::<4>()?;
        let fields = rest.get(..RECORD_HEADER_LEN - 4)?;
        let [kind, 0, 0, 0] = *fields.first_chunk::<4>()? else { return None };
        let kind = RecordType::from_u8(kind)?;
        if Self::crc(segment, offset, fields) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut fields = Fields(fields.get(4..)?);
        let (seq, durable) = (fields.u64()?, fields.u64()?);
        let (directory_len, directory_crc) = (fields.u32()?, fields.u32()?);
        Some(Self { kind, seq, durable, directory_len, directory_crc, values_len: fields.u32()? })
    }

    /// The whole record's length, padded to eight octets.
    pub(crate) fn record_len(&self) -> u64 {
        record_len(u64::from(self.directory_len), u64::from(self.values_len))
    }
}

/// A record's length on disk: header, directory, values, padding to eight octets.
pub(crate) fn record_len(directory: u64, values: u64) -> u64 {
    (len64(RECORD_HEADER_LEN) + directory + values).next_multiple_of(8)
}

/// Where a value lies, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

impl Place {
    /// What the value counts for in the books of live octets.
    pub(crate) fn cost(&self) -> u64 {
        ROW_COST + u64::from(self.len)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segment.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(&self.crc.to_be_bytes());
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let (segment, offset) = (fields.u64()?, fields.u64()?);
        Some(Self { segment, offset, len: fields.u32()?, crc: fields.u32()? })
    }
}

/// An account's counters after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) change: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Head {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.change, self.records, self.bytes] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { change: fields.u64()?, records: fields.u64()?, bytes: fields.u64()? })
    }
}

/// A value inside a record: its length, its checksum, and where it starts within the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) start: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// One line of a commit's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitOp {
    pub(crate) table: u16,
    pub(crate) row: u64,
    /// The segment whose live octets this operation lessens (0: none), and by how much.
    pub(crate) freed: (u64, u64),
    /// The new value; `None` deletes.
    pub(crate) value: Option<Value>,
}

/// One line of a carry's directory. The writer puts those with values last: what such a line says
/// of a hold stands against every pin and release carried beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CarryOp {
    /// A value, now here. `current`: it is the row's value; `holds`: these keep it.
    Value { key: Key, current: bool, holds: Vec<HoldId>, value: Value },
    /// The row stays deleted.
    Gone { key: Key },
    /// The account's counters.
    Head { account: AccountId, head: Head },
    /// A hold keeps the value at a place.
    Pin { hold: HoldId, key: Key, place: Place },
    /// Every earlier pin of this hold is void.
    Released { hold: HoldId },
}

impl CarryOp {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Value { value, .. } => Some(value),
            Self::Gone { .. } | Self::Head { .. } | Self::Pin { .. } | Self::Released { .. } => {
                None
            }
        }
    }
}

/// A record's directory, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Directory {
    Commit { account: AccountId, head: Head, ops: Vec<CommitOp> },
    Carry { from: u64, ops: Vec<CarryOp> },
    Hold { hold: HoldId, pins: Vec<(Key, Place)> },
    Release { hold: HoldId, freed: Vec<(u64, u64)> },
    End { next: u64 },
}

impl Directory {
    pub(crate) fn kind(&self) -> RecordType {
        match self {
            Self::Commit { .. } => RecordType::Commit,
            Self::Carry { .. } => RecordType::Carry,
            Self::Hold { .. } => RecordType::Hold,
            Self::Release { .. } => RecordType::Release,
            Self::End { .. } => RecordType::End,
        }
    }

    /// The values of this record, in their order.
    pub(crate) fn values(&self) -> Vec<&Value> {
        match self {
            Self::Commit { ops, .. } => ops.iter().filter_map(|op| op.value.as_ref()).collect(),
            Self::Carry { ops, .. } => ops.iter().filter_map(CarryOp::value).collect(),
            Self::Hold { .. } | Self::Release { .. } | Self::End { .. } => Vec::new(),
        }
    }

    /// The octets the values of this record take.
    pub(crate) fn values_len(&self) -> u64 {
        self.values().into_iter().map(|value| u64::from(value.len)).sum()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Commit { account, head, ops } => {
                out.extend_from_slice(&account.0);
                head.encode(&mut out);
                ops.iter().for_each(|op| encode_commit_op(op, &mut out));
            }
            Self::Carry { from, ops } => {
                out.extend_from_slice(&from.to_be_bytes());
                ops.iter().for_each(|op| encode_carry_op(op, &mut out));
            }
            Self::Hold { hold, pins } => {
                out.extend_from_slice(&hold.0);
                for (key, place) in pins {
                    out.extend_from_slice(key);
                    place.encode(&mut out);
                }
            }
            Self::Release { hold, freed } => {
                out.extend_from_slice(&hold.0);
                for (segment, bytes) in freed {
                    out.extend_from_slice(&segment.to_be_bytes());
                    out.extend_from_slice(&bytes.to_be_bytes());
                }
            }
            Self::End { next } => out.extend_from_slice(&next.to_be_bytes()),
        }
        out
    }

    /// Reads a directory whose checksum was right. `None`: this build does not know it.
    pub(crate) fn decode(kind: RecordType, bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut start = 0;
        let directory = match kind {
            RecordType::Commit => {
                let (account, head) = (AccountId(fields.array()?), Head::decode(&mut fields)?);
                let ops = many(&mut fields, |fields| decode_commit_op(fields, &mut start))?;
                Self::Commit { account, head, ops }
            }
            RecordType::Carry => {
                let from = fields.u64()?;
                let ops = many(&mut fields, |fields| decode_carry_op(fields, &mut start))?;
                Self::Carry { from, ops }
            }
            RecordType::Hold => {
                let hold = HoldId(fields.array()?);
                let pins = many(&mut fields, |f| Some((f.array()?, Place::decode(f)?)))?;
                Self::Hold { hold, pins }
            }
            RecordType::Release => {
                let hold = HoldId(fields.array()?);
                Self::Release { hold, freed: many(&mut fields, |f| Some((f.u64()?, f.u64()?)))? }
            }
            RecordType::End => Self::End { next: fields.u64()? },
        };
        fields.is_done().then_some(directory)
    }
}

fn many<T>(
    fields: &mut Fields<'_>,
    mut one: impl FnMut(&mut Fields<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut all = Vec::new();
    while !fields.is_done() {
        all.push(one(fields)?);
    }
    Some(all)
}

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.len.to_be_bytes());
    out.extend_from_slice(&value.crc.to_be_bytes());
}

fn decode_value(fields: &mut Fields<'_>, start: &mut u64) -> Option<Value> {
    let value = Value { start: *start, len: fields.u32()?, crc: fields.u32()? };
    *start += u64::from(value.len);
    Some(value)
}

fn encode_commit_op(op: &CommitOp, out: &mut Vec<u8>) {
    out.push(if op.value.is_some() { 1 } else { 2 });
    out.extend_from_slice(&op.table.to_be_bytes());
    out.extend_from_slice(&op.row.to_be_bytes());
    out.extend_from_slice(&op.freed.0.to_be_bytes());
    out.extend_from_slice(&op.freed.1.to_be_bytes());
    if let Some(value) = &op.value {
        encode_value(value, out);
    }
}

fn decode_commit_op(fields: &mut Fields<'_>, start: &mut u64) -> Option<CommitOp> {
    let tag = fields.u8()?;
    let (table, row) = (fields.u16()?, fields.u64()?);
    let freed = (fields.u64()?, fields.u64()?);
    let value = match tag {
        1 => Some(decode_value(fields, start)?),
        2 => None,
        _ => return None,
    };
    Some(CommitOp { table, row, freed, value })
}

fn encode_carry_op(op: &CarryOp, out: &mut Vec<u8>) {
    match op {
        CarryOp::Value { key, current, holds, value } => {
            out.push(1);
            out.extend_from_slice(key);
            out.push(u8::from(*current));
            out.extend_from_slice(&len32(holds.len()).to_be_bytes());
            holds.iter().for_each(|hold| out.extend_from_slice(&hold.0));
            encode_value(value, out);
        }
        CarryOp::Gone { key } => {
            out.push(2);
            out.extend_from_slice(key);
        }
        CarryOp::Head { account, head } => {
            out.push(3);
            out.extend_from_slice(&account.0);
            head.encode(out);
        }
        CarryOp::Pin { hold, key, place } => {
            out.push(4);
            out.extend_from_slice(&hold.0);
            out.extend_from_slice(key);
            place.encode(out);
        }
        CarryOp::Released { hold } => {
            out.push(5);
            out.extend_from_slice(&hold.0);
        }
    }
}

fn decode_carry_op(fields: &mut Fields<'_>, start: &mut u64) -> Option<CarryOp> {
    Some(match fields.u8()? {
        1 => {
            let key = fields.array()?;
            let current = match fields.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let count = fields.u32()?;
            let holds = (0..count).map(|_| Some(HoldId(fields.array()?))).collect::<Option<_>>()?;
            CarryOp::Value { key, current, holds, value: decode_value(fields, start)? }
        }
        2 => CarryOp::Gone { key: fields.array()? },
        3 => CarryOp::Head { account: AccountId(fields.array()?), head: Head::decode(fields)? },
        4 => CarryOp::Pin {
            hold: HoldId(fields.array()?),
            key: fields.array()?,
            place: Place::decode(fields)?,
        },
        5 => CarryOp::Released { hold: HoldId(fields.array()?) },
        _ => return None,
    })
}
