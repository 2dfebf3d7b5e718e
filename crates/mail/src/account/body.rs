//! Reading a letter's octets: any range, opening only the chunks it lies in.
//!
//! Invariant: every octet returned was authenticated; what was asked for beyond the message's
//! end, padding included, is not returned.
//! Refs: specs/bw1.md §7, §9.

use core::ops::Range;

use bytes::Bytes;
use proto::message::MessageView;
use seal::blob::{self, BlobKey, BlobOpener, BlobSealer, PREFIX_BYTES};
use seal::{Entropy, Secret};
use store::Read;
use vocab::{AccountId, LetterId, RecordKind, Row};

use super::Account;
use crate::mailbox::MessageRow;

/// Sealed bodies up to this are read at once and kept while their [`Content`] is.
const READ_AT_ONCE: u64 = 160 * 1024;

/// A message could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadBodyError {
    /// It is not there any more.
    #[error("the message is gone")]
    Gone,
    /// Its row or body does not open, or the disk failed.
    #[error("the message cannot be read")]
    Failed,
}

/// One message, ready to be read.
pub struct Content {
    /// Its structure.
    pub view: MessageView,
    /// Octets of the message.
    pub size: u32,
    account: AccountId,
    read: Read,
    letter_row: u64,
    sealed_len: u64,
    whole: Option<Bytes>,
    opener: BlobOpener,
}

impl Account {
    /// The structure of a message alone.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub fn view(&self, row: u64) -> Result<MessageView, ReadBodyError> {
        let opened = self.open_message(row).map_err(|_| ReadBodyError::Gone)?;
        let row: MessageRow<'_> =
            minicbor::decode(&opened.plain).map_err(|_| ReadBodyError::Failed)?;
        minicbor::decode(row.view).map_err(|_| ReadBodyError::Failed)
    }

    /// A message to be read, by its row. Reads the disk on the caller's thread.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub fn content(&self, row: u64) -> Result<Content, ReadBodyError> {
        let opened = self.open_message(row).map_err(|_| ReadBodyError::Gone)?;
        let row: MessageRow<'_> =
            minicbor::decode(&opened.plain).map_err(|_| ReadBodyError::Failed)?;
        let view = minicbor::decode(row.view).map_err(|_| ReadBodyError::Failed)?;
        let (body, at) = (RecordKind::LetterBody, Row(row.letter_row));
        let failed = |_| ReadBodyError::Failed;
        let sealed_len =
            self.read.len(self.id, body, at).map_err(failed)?.ok_or(ReadBodyError::Gone)?;
        let whole = if sealed_len <= READ_AT_ONCE {
            self.read.get(self.id, body, at).map_err(failed)?
        } else {
            None
        };
        let start = match &whole {
            Some(whole) => whole.clone(),
            None => {
                let prefix = self.read.range(self.id, body, at, 0..PREFIX_BYTES as u64);
                prefix.map_err(failed)?.ok_or(ReadBodyError::Gone)?.octets
            }
        };
        let prefix = start.first_chunk::<PREFIX_BYTES>().ok_or(ReadBodyError::Failed)?;
        let key = BlobKey::from_secret(Secret::copied(&row.body_key));
        let context = blob::body_context(self.id, LetterId(row.letter));
        let opener = BlobOpener::new(&key, &context, prefix).map_err(|_| ReadBodyError::Failed)?;
        Ok(Content {
            view,
            size: row.size,
            account: self.id,
            read: self.read.clone(),
            letter_row: row.letter_row,
            sealed_len,
            whole,
            opener,
        })
    }
}

impl Content {
    /// The octets of a range, cut off at the message's end.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub fn read(&self, range: Range<u32>) -> Result<Vec<u8>, ReadBodyError> {
        let end = range.end.min(self.size);
        if range.start >= end {
            return Ok(Vec::new());
        }
        let span = blob::span(u64::from(range.start)..u64::from(end), self.sealed_len)
            .ok_or(ReadBodyError::Failed)?;
        let sealed = match &self.whole {
            Some(whole) => {
                let start = usize::try_from(span.sealed.start).unwrap_or(usize::MAX);
                let end = usize::try_from(span.sealed.end).unwrap_or(usize::MAX);
                if end > whole.len() || start > end {
                    return Err(ReadBodyError::Failed);
                }
                whole.slice(start..end)
            }
            None => {
                let (body, at) = (RecordKind::LetterBody, Row(self.letter_row));
                let part = self.read.range(self.account, body, at, span.sealed.clone());
                part.map_err(|_| ReadBodyError::Failed)?.ok_or(ReadBodyError::Gone)?.octets
            }
        };
        self.opener.open(&span, &sealed).map_err(|_| ReadBodyError::Failed)
    }

    /// The message's own header.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub fn header(&self) -> Result<Vec<u8>, ReadBodyError> {
        let span = self.view.root().map(|root| root.header).unwrap_or_default();
        self.read(span.start..span.end())
    }

    /// All of it.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub fn whole(&self) -> Result<Vec<u8>, ReadBodyError> {
        self.read(0..self.size)
    }
}

/// Seals a message of the owner's own as a letter's body, padded as one.
pub(super) fn seal(
    key: &BlobKey,
    context: &[u8],
    message: &[u8],
    entropy: &dyn Entropy,
) -> Option<Vec<u8>> {
    let padded = padme(message.len());
    let (mut sealer, prefix) = BlobSealer::begin(key, context, entropy).ok()?;
    let mut out = Vec::with_capacity(padded + padded / 1024 + 128);
    out.extend_from_slice(&prefix);
    sealer.push(message, &mut out).ok()?;
    sealer.push(&vec![0; padded.checked_sub(message.len())?], &mut out).ok()?;
    sealer.finish(&mut out).ok()?;
    Some(out)
}

/// The padded length: at most 12 % more, and it tells only O(log log n) bits of the length.
fn padme(length: usize) -> usize {
    let Some(exponent) = length.checked_ilog2() else { return 0 };
    let Some(kept) = exponent.checked_ilog2() else { return length };
    let mask = (1_usize << (exponent - kept - 1)) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::padme;

    #[test]
    fn padding_adds_little_and_never_takes_away() {
        for length in (0..5000).chain([1 << 20, (1 << 20) + 1, 10_000_001]) {
            let padded = padme(length);
            assert!(padded >= length && padded <= length + length / 8, "{length} {padded}");
        }
    }
}
