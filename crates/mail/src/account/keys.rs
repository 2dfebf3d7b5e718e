//! The keys of an open account, made ready for rows.
//!
//! Invariant: which keys open a row is read from the row; with which it is sealed is the
//! highest version of its epoch. Nothing here is printed, cloned or kept beyond the account.
//! Refs: specs/bw1.md §3, §8.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use custody::user::{AccountKeys, MANIFEST_ROW};
use seal::Entropy;
use seal::epoch::EpochKeys;
use seal::mac::sha256;
use seal::row::RowKeys;
use seal::sign::VerifyingKey;
use store::Read;
use vocab::{AccountId, Digest, Epoch, EpochVersion, ModSeq, RecordKind, Row, Timestamp};

use super::OpenError;

/// What opens an account: the session's keys, and the cell's key that signs arrivals.
pub struct OpenKeys {
    /// What custody unlocked.
    pub keys: AccountKeys,
    /// The cell's ingest key ([`custody::cell::CellKeys::ingest`]), public half.
    pub ingest: VerifyingKey,
}

pub(super) struct Keys {
    held: AccountKeys,
    pub(super) ingest: VerifyingKey,
    rows: BTreeMap<(Epoch, EpochVersion), OnceLock<RowKeys>>,
}

/// An opened row.
pub(super) struct Opened {
    pub(super) epoch: u32,
    pub(super) modseq: u64,
    pub(super) plain: Vec<u8>,
}

impl Keys {
    pub(super) fn new(keys: OpenKeys) -> Self {
        let rows = keys.keys.epochs().map(|place| (place, OnceLock::new())).collect();
        Self { held: keys.keys, ingest: keys.ingest, rows }
    }

    pub(super) fn account(&self) -> AccountId {
        self.held.account()
    }

    /// Version and digest of the manifest that lists them.
    pub(super) fn manifest(&self) -> (u64, Digest) {
        self.held.manifest()
    }

    /// Refused unless they are those of the manifest that is stored; what that one is worth, who
    /// unlocks says.
    pub(super) fn is_stored(&self, read: &Read) -> Result<(), OpenError> {
        let stored = read.get(self.account(), RecordKind::Manifest, MANIFEST_ROW);
        let stored = stored.map_err(|_| OpenError::Failed)?;
        let is_other = |stored: bytes::Bytes| sha256(&[&stored]) != self.manifest().1;
        if stored.is_some_and(is_other) { Err(OpenError::Stale) } else { Ok(()) }
    }

    /// Whether a higher version stands beside this one, or there is none of that number.
    pub(super) fn is_superseded(&self, (epoch, version): (Epoch, EpochVersion)) -> bool {
        self.highest(epoch).is_none_or(|highest| version < highest.1)
    }

    /// Whether any version is superseded: the account was re-keyed and not everything is sealed
    /// anew yet.
    pub(super) fn has_superseded(&self) -> bool {
        self.rows.keys().any(|place| self.is_superseded(*place))
    }

    fn highest(&self, epoch: Epoch) -> Option<(Epoch, EpochVersion)> {
        let (lowest, highest) = (EpochVersion(0), EpochVersion(u32::MAX));
        let mut versions = self.rows.range((epoch, lowest)..=(epoch, highest));
        versions.next_back().map(|(place, _)| *place)
    }

    /// The epoch with which what is written now is sealed.
    pub(super) fn arrival_epoch(&self, now: Timestamp) -> Option<u32> {
        self.held.current(now).ok().map(|keys| keys.epoch().0)
    }

    /// The keys an arrived letter opens with.
    pub(super) fn letter(&self, epoch: Epoch, version: EpochVersion) -> Option<&EpochKeys> {
        self.held.epoch(epoch, version).ok()
    }

    fn row_keys(&self, place: (Epoch, EpochVersion)) -> Option<&RowKeys> {
        let slot = self.rows.get(&place)?;
        if let Some(keys) = slot.get() {
            return Some(keys);
        }
        let keys = RowKeys::of_epoch(self.held.epoch(place.0, place.1).ok()?).ok()?;
        Some(slot.get_or_init(|| keys))
    }

    /// The keys a sealed row says it is under.
    pub(super) fn row_keys_of(&self, sealed: &[u8]) -> Option<&RowKeys> {
        let header = seal::row::header(sealed).ok()?;
        self.row_keys((header.epoch, header.version))
    }

    /// The keys standing data is sealed with.
    pub(super) fn standing(&self) -> Option<&EpochKeys> {
        self.held.standing().ok()
    }

    pub(super) fn open_row(&self, kind: RecordKind, row: u64, sealed: &[u8]) -> Option<Opened> {
        let keys = self.row_keys_of(sealed)?;
        let (modseq, plain) = keys.open(kind, Row(row), sealed).ok()?;
        Some(Opened { epoch: keys.epoch().0, modseq: modseq.0, plain })
    }

    pub(super) fn seal_row(
        &self,
        kind: RecordKind,
        row: u64,
        epoch: u32,
        modseq: u64,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Option<Vec<u8>> {
        let place = self.highest(Epoch(epoch))?;
        self.row_keys(place)?.seal(kind, Row(row), ModSeq(modseq), plain, entropy).ok()
    }
}
