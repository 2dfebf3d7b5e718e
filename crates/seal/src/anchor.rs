//! Anchors: one small value that changes with every live row of an account.
//!
//! A keyed XOR set hash, kept up row by row. Compared on a full load, it tells that rows were
//! removed, put back or rolled back; its digest in a public log tells so of the whole account.
//!
//! Invariant: the anchor is stored only inside a sealed row. Shown in the clear it would still
//! hide every row, but not stay unforgeable.
//! Refs: specs/bw1.md §8.4.

use vocab::{AccountId, Digest, Epoch, ModSeq, RecordKind, Row};

use crate::derive::derive;
use crate::epoch::EpochKeys;
use crate::error::OpenError;
use crate::mac::{HmacKey, sha256};
use crate::memory::scrubbed;
use crate::row::{RowKeys, header};
use crate::secret::Secret;
use crate::wire::Reader;

/// Octets of an encoded anchor.
pub const BYTES: usize = 80;

/// The key of an account's anchor.
pub struct AnchorKey(HmacKey);

impl AnchorKey {
    /// The anchor key of the epoch that keeps the anchor; for an account, epoch 0.
    #[must_use]
    pub fn of_epoch(keys: &EpochKeys) -> Self {
        let key: Secret<32> = derive(keys.rows(), "anchor", &[&keys.place()]);
        Self(scrubbed::<4096, _>(|| HmacKey::new(key.expose())))
    }

    /// One row's term: HMAC over what the row is bound to and its tag.
    fn term(
        &self,
        keys: &RowKeys,
        kind: RecordKind,
        row: Row,
        value: &[u8],
    ) -> Result<([u8; 32], ModSeq), OpenError> {
        let modseq = header(value)?.modseq;
        let tag = value.last_chunk::<16>().ok_or(OpenError::Malformed)?;
        let binding = keys.binding(kind, row, modseq);
        Ok((self.0.mac(&[binding.as_flattened(), tag]), modseq))
    }
}

/// The set hash over an account's live rows, and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    sum: [u8; 32],
    count: u64,
    modseq: u64,
    chain: [u8; 32],
}

impl Anchor {
    /// No rows yet.
    #[must_use]
    pub fn start(account: AccountId, epoch: Epoch) -> Self {
        let label = b"bailiwick.v1 anchor start\0";
        let chain = sha256(&[label, &account.0, &epoch.0.to_be_bytes()]);
        Self { sum: [0; 32], count: 0, modseq: 0, chain: chain.0 }
    }

    fn toggle(&mut self, term: &[u8; 32], modseq: ModSeq) {
        self.sum.iter_mut().zip(term).for_each(|(sum, term)| *sum ^= term);
        self.modseq = self.modseq.max(modseq.0);
    }

    /// A row came to be. `value` is its sealed value and `keys` the keys it was sealed under.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] if `value` is no sealed row.
    pub fn insert(
        &mut self,
        key: &AnchorKey,
        keys: &RowKeys,
        kind: RecordKind,
        row: Row,
        value: &[u8],
    ) -> Result<(), OpenError> {
        let (term, modseq) = key.term(keys, kind, row, value)?;
        self.toggle(&term, modseq);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// A row is no more. `value` is what it was sealed as.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] if `value` is no sealed row, or there was none left.
    pub fn remove(
        &mut self,
        key: &AnchorKey,
        keys: &RowKeys,
        kind: RecordKind,
        row: Row,
        value: &[u8],
    ) -> Result<(), OpenError> {
        let (term, modseq) = key.term(keys, kind, row, value)?;
        self.count = self.count.checked_sub(1).ok_or(OpenError::Malformed)?;
        self.toggle(&term, modseq);
        Ok(())
    }

    /// Takes in what was found of other rows, from [`start`](Self::start) on: rows may be found in
    /// any order, and in parts.
    pub fn join(&mut self, others: &Self) {
        self.toggle(&others.sum, ModSeq(others.modseq));
        self.count = self.count.saturating_add(others.count);
    }

    /// Closes one change: the chain now also covers it.
    pub fn close(&mut self) {
        let count = self.count.to_be_bytes();
        let modseq = self.modseq.to_be_bytes();
        let label = b"bailiwick.v1 anchor\0";
        self.chain = sha256(&[label, &self.chain, &self.sum, &count, &modseq]).0;
    }

    /// Counts `modseq` as seen: an anchor that is made anew must not be taken for an older one.
    pub fn raise(&mut self, modseq: ModSeq) {
        self.modseq = self.modseq.max(modseq.0);
    }

    /// How many rows are live.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The highest modseq seen.
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        ModSeq(self.modseq)
    }

    /// Whether `found`, computed from all rows that were loaded, is the set this anchor knows.
    #[must_use]
    pub fn agrees(&self, found: &Self) -> bool {
        crate::secret::same(&self.sum, &found.sum) && self.count == found.count
    }

    /// What a cell's daily root says of this account.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[b"bailiwick.v1 anchor digest\0", &self.encode()])
    }

    /// Its 80 octets, for a sealed row.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [self.count.to_be_bytes(), self.modseq.to_be_bytes()];
        [self.sum.as_slice(), numbers.as_flattened(), &self.chain].concat()
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless 80 octets.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        let (sum, count, modseq) = (reader.array()?, reader.u64()?, reader.u64()?);
        let chain = reader.array()?;
        reader.end()?;
        Ok(Self { sum, count, modseq, chain })
    }
}
