//! The cell's pins of its accounts' anchors.
//!
//! An anchor is sealed to the account, so whoever writes the disk could put it back together with
//! every row of its time. The cell cannot open it; but it keeps its digest, handed over with each
//! change, under its own key.
//!
//! Invariant: a pin is in the same batch as the anchor it is of; no pin older than what this
//! process has seen is believed.
//! Refs: specs/cell-rows.md §6; specs/bw1.md §8.4.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use custody::cell::CellKeys;
use custody::{Pin, PinOf};
use seal::Entropy;
use seal::row::RowKeys;
use store::{Read, ReadError};
use vocab::{AccountId, RecordKind, Row};

use super::KeystoreError;

/// The pins of all anchors. There must be only one in a cell.
pub struct Anchors {
    rows: RowKeys,
    read: Read,
    entropy: Arc<dyn Entropy>,
    /// The highest modseq seen of each account since the process began.
    seen: Mutex<HashMap<AccountId, u64>>,
}

impl Anchors {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`] if the cell's keys make no row keys, which they do.
    pub fn new(
        keys: &CellKeys,
        read: Read,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, KeystoreError> {
        let rows = keys.rows().map_err(|_| KeystoreError::Failed)?;
        Ok(Arc::new(Self { rows, read, entropy, seen: Mutex::default() }))
    }

    /// The pin for an anchor, and the row it goes to.
    pub(super) fn sealed(&self, account: AccountId, pin: Pin) -> Option<(Row, Vec<u8>)> {
        let sealed = pin.seal(PinOf::Anchor, account, &self.rows, self.entropy.as_ref());
        Some((PinOf::Anchor.row(account), sealed.ok()?))
    }

    /// What the account's pin says; `None` if there is none.
    ///
    /// # Errors
    /// [`KeystoreError::Exchanged`] if it is not the cell's own, [`KeystoreError::Older`] if it is
    /// older than what was seen, and [`KeystoreError::Failed`].
    pub fn pinned(&self, account: AccountId) -> Result<Option<Pin>, KeystoreError> {
        let (row, seen) = (PinOf::Anchor.row(account), self.seen(account));
        let sealed = match self.read.get(account, RecordKind::AccountPin, row) {
            Ok(sealed) => sealed,
            Err(ReadError::Damaged { .. }) => return Err(KeystoreError::Exchanged),
            Err(error) => return Err(error.into()),
        };
        let Some(sealed) = sealed else {
            return if seen == 0 { Ok(None) } else { Err(KeystoreError::Older) };
        };
        let pin = Pin::open(PinOf::Anchor, account, &self.rows, &sealed);
        let pin = pin.ok_or(KeystoreError::Exchanged)?;
        if pin.number < seen {
            return Err(KeystoreError::Older);
        }
        self.see(account, pin.number);
        Ok(Some(pin))
    }

    /// Takes a modseq as seen, because it was written or is known from elsewhere: older rows are
    /// believed no more.
    pub fn see(&self, account: AccountId, modseq: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = seen.entry(account).or_insert(0);
        *highest = modseq.max(*highest);
    }

    pub(super) fn seen(&self, account: AccountId) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&account).copied().unwrap_or(0)
    }
}
