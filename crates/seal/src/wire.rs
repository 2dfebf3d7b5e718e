//! Reading fixed binary layouts, octet by octet, without ever reaching past the end.
//!
//! Refs: specs/bw1.md §1.1 (integers are big-endian).

use crate::error::OpenError;

/// What is left to read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], OpenError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(OpenError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(OpenError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, OpenError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, OpenError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, OpenError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, OpenError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next octets must be exactly `mark`.
    pub(crate) fn mark(&mut self, mark: &[u8]) -> Result<(), OpenError> {
        if self.bytes(mark.len())? == mark { Ok(()) } else { Err(OpenError::Malformed) }
    }

    /// Everything but the last `count` octets.
    pub(crate) fn all_but(&mut self, count: usize) -> Result<&'a [u8], OpenError> {
        self.bytes(self.0.len().checked_sub(count).ok_or(OpenError::Malformed)?)
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), OpenError> {
        if self.0.is_empty() { Ok(()) } else { Err(OpenError::Malformed) }
    }
}

/// `text ‖ 0x80 ‖ 0x00…` up to the next multiple of 64 octets (ISO/IEC 7816-4).
pub(crate) fn pad64(out: &mut Vec<u8>, start: usize) {
    out.push(0x80);
    let length = out.len().saturating_sub(start);
    out.resize(start + length.next_multiple_of(64), 0);
}

/// Takes [`pad64`] away again.
pub(crate) fn unpad(padded: &mut Vec<u8>) -> Result<(), OpenError> {
    let end = padded.iter().rposition(|octet| *octet != 0).ok_or(OpenError::Malformed)?;
    if !padded.len().is_multiple_of(64) || padded.len() - end > 64 || padded.get(end) != Some(&0x80)
    {
        return Err(OpenError::Malformed);
    }
    padded.truncate(end);
    Ok(())
}
