//! The one door through which rows of an open account are written.
//!
//! A [`Change`] collects what is to be put and deleted; its commit writes that together with the
//! anchor after it. The store's writing handle is in the [`Writer`], which one change at a time
//! holds, so nothing else of the account can write.
//!
//! Invariant: covered rows and their anchor are written in one batch or not at all; an anchor
//! the rows did not agree with stays as it was found, so that the next login finds it too.
//! Refs: specs/bw1.md §8.4.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use custody::Pin;
use seal::anchor::{Anchor, AnchorKey};
use seal::epoch::EpochKeys;
use store::{Append, Batch, Read};
use vocab::{Epoch, EpochVersion, ModSeq, RecordKind, Row};

use super::keys::Keys;
use super::mark::standing;
use super::{Account, ChangeError};

/// The kinds of rows an account's anchor covers: all that its keys seal but the anchor itself.
pub(super) const COVERED: [RecordKind; 5] = [
    RecordKind::Message,
    RecordKind::Mailbox,
    RecordKind::AccountState,
    RecordKind::SearchIndex,
    RecordKind::ExpungedMessage,
];
/// Where the anchor is.
pub(super) const ANCHOR_ROW: Row = Row(0);

/// An anchor and the key it is kept with.
#[derive(Clone)]
pub(super) struct Kept {
    /// Epoch 0, in the version the key is of.
    place: (Epoch, EpochVersion),
    key: Arc<AnchorKey>,
    anchor: Anchor,
    /// What the cell remembers, while the anchor that is stored is still under an older key.
    stored: Option<Pin>,
}

impl Kept {
    /// The anchor of no rows.
    pub(super) fn start(keys: &Keys) -> Option<Self> {
        keys.standing().map(|epoch| Self::start_under(keys, epoch))
    }

    fn start_under(keys: &Keys, epoch: &EpochKeys) -> Self {
        let key = Arc::new(AnchorKey::of_epoch(epoch));
        let anchor = Anchor::start(keys.account(), Epoch(0));
        Self { place: (epoch.epoch(), epoch.version()), key, anchor, stored: None }
    }

    /// Takes every stored row in.
    fn take_all(some: &mut [&mut Self], keys: &Keys, read: &Read) -> Option<()> {
        for kind in COVERED {
            for found in read.scan(keys.account(), kind, Row(0)) {
                let (row, sealed) = found.ok()?;
                for kept in some.iter_mut() {
                    kept.take_in(keys, kind, row, &sealed)?;
                }
            }
        }
        Some(())
    }

    /// The same rows' anchor under the present keys, if they are still those this one knows:
    /// the account was re-keyed. Reads every row, once, unless the key is the present one.
    fn renewed(&self, keys: &Keys, read: &Read) -> Option<Self> {
        let standing = keys.standing()?;
        if self.place == (standing.epoch(), standing.version()) {
            return Some(self.clone());
        }
        let mut known = Self::start_under(keys, keys.letter(self.place.0, self.place.1)?);
        let mut present = Self::start_under(keys, standing);
        Self::take_all(&mut [&mut known, &mut present], keys, read)?;
        self.anchor.agrees(&known.anchor).then(|| present.standing_for(self.pinned()))
    }

    /// This one, in the place of one under an older key that is stored, and knows the same rows.
    fn standing_for(mut self, stored: Pin) -> Self {
        self.anchor.raise(ModSeq(stored.number));
        self.stored = Some(stored);
        self
    }

    /// Takes a row in that is live.
    pub(super) fn take_in(
        &mut self,
        keys: &Keys,
        kind: RecordKind,
        row: Row,
        sealed: &[u8],
    ) -> Option<()> {
        self.anchor.insert(&self.key, keys.row_keys_of(sealed)?, kind, row, sealed).ok()
    }

    /// Takes in what was found of other rows, under the same key.
    pub(super) fn join(&mut self, others: &Self) {
        self.anchor.join(&others.anchor);
    }

    /// The anchor `stored`, if it is what these rows, taken in one by one, come to. It may be from
    /// before the account was re-keyed: then they are taken in anew under the keys of then.
    pub(super) fn agreed(&self, keys: &Keys, read: &Read, stored: &[u8]) -> Option<Self> {
        let opened = keys.open_row(RecordKind::AccountAnchor, ANCHOR_ROW.0, stored)?;
        let anchor = Anchor::decode(&opened.plain).ok()?;
        let header = seal::row::header(stored).ok()?;
        let place = (header.epoch, header.version);
        if place.0 != Epoch(0) || opened.modseq != anchor.modseq().0 {
            return None;
        }
        if place == self.place {
            let agrees = anchor.agrees(&self.anchor);
            return agrees.then(|| Self { anchor, ..self.clone() });
        }
        let mut known = Self::start_under(keys, keys.letter(place.0, place.1)?);
        Self::take_all(&mut [&mut known], keys, read)?;
        let pin = Pin { number: anchor.modseq().0, digest: anchor.digest() };
        anchor.agrees(&known.anchor).then(|| self.clone().standing_for(pin))
    }

    /// What the cell is to remember of it, or remembers while it is not stored yet.
    pub(super) fn pinned(&self) -> Pin {
        let own = || Pin { number: self.anchor.modseq().0, digest: self.anchor.digest() };
        self.stored.unwrap_or_else(own)
    }

    /// How many rows are live.
    pub(super) fn count(&self) -> u64 {
        self.anchor.count()
    }

    /// The anchor after a change; `None` if a row it replaces is none that was ever written here.
    fn after(&self, keys: &Keys, rows: &BTreeMap<(RecordKind, Row), Step>) -> Option<Self> {
        let Self { place, key, mut anchor, .. } = self.clone();
        for ((kind, row), step) in rows {
            if let Some(old) = &step.old {
                anchor.remove(&key, keys.row_keys_of(old)?, *kind, *row, old).ok()?;
            }
            if let Some(new) = &step.new {
                anchor.insert(&key, keys.row_keys_of(new)?, *kind, *row, new).ok()?;
            }
        }
        // Whatever numbers the rows have: of two anchors it is told which is the later.
        anchor.raise(ModSeq(self.anchor.modseq().0.saturating_add(1)));
        anchor.close();
        Some(Self { place, key, anchor, stored: None })
    }

    /// Puts the anchor and the cell's pin of it into a batch.
    fn put(&self, batch: Batch, account: &Account, keys: &Keys) -> Option<Batch> {
        let (plain, modseq) = (self.anchor.encode(), self.anchor.modseq().0);
        let (kind, row, entropy) =
            (RecordKind::AccountAnchor, ANCHOR_ROW, account.entropy.as_ref());
        let sealed = keys.seal_row(kind, row.0, 0, modseq, &plain, entropy)?;
        let (pin_row, pin) = account.anchors.sealed(account.id, self.pinned())?;
        Some(batch.put(kind, row, sealed).put(RecordKind::AccountPin, pin_row, pin))
    }
}

/// The right to write an account's rows.
pub(super) struct Writer {
    append: Append,
    /// `None` while the rows are not those the stored anchor knows.
    kept: Option<Kept>,
}

impl Writer {
    pub(super) fn new(append: Append, kept: Option<Kept>) -> Self {
        Self { append, kept }
    }

    /// Makes the anchor one of the present keys, if the account was re-keyed: whatever is changed
    /// next finds that done.
    pub(super) async fn renew(&mut self, account: &Account) -> Result<(), ChangeError> {
        let Some(kept) = self.kept.clone() else { return Ok(()) };
        let (keys, read) = (account.keys()?, account.read.clone());
        // As long as reading every row takes.
        let renewed = tokio::task::spawn_blocking(move || kept.renewed(&keys, &read));
        self.kept = renewed.await.map_err(|_| ChangeError::Failed)?;
        if self.kept.is_none() {
            account.found_altered();
        }
        Ok(())
    }

    /// Whether it writes no anchor, as the rows are not those the stored one knows.
    pub(super) fn is_without_anchor(&self) -> bool {
        self.kept.is_none()
    }

    /// Writes `kept` as of `modseq` over whatever anchor there is: the owner accepts the rows
    /// that are there.
    pub(super) async fn accept(
        &mut self,
        account: &Account,
        mut kept: Kept,
        modseq: u64,
    ) -> Result<(), ChangeError> {
        kept.anchor.raise(ModSeq(modseq));
        kept.anchor.close();
        kept.stored = None;
        let batch = kept.put(standing(account.id), account, account.keys()?.as_ref());
        self.append.commit(batch.ok_or(ChangeError::Failed)?).await?;
        account.anchors.see(account.id, modseq);
        self.kept = Some(kept);
        Ok(())
    }
}

/// What becomes of one row: what is there, and what will be.
struct Step {
    old: Option<Bytes>,
    new: Option<Vec<u8>>,
}

/// Rows to be written and deleted together, with the anchor after them.
#[must_use = "a change does nothing until it is committed"]
pub(crate) struct Change<'a> {
    account: &'a Account,
    keys: Arc<Keys>,
    rows: BTreeMap<(RecordKind, Row), Step>,
    rest: Batch,
}

impl Account {
    /// An empty change.
    pub(crate) fn change(&self) -> Result<Change<'_>, ChangeError> {
        let (keys, rest) = (self.keys()?, standing(self.id));
        Ok(Change { account: self, keys, rows: BTreeMap::new(), rest })
    }
}

impl Change<'_> {
    /// Puts a row whose number was never given before, sealed in `epoch`.
    pub(crate) fn add(
        &mut self,
        kind: RecordKind,
        row: u64,
        epoch: u32,
        modseq: u64,
        plain: &[u8],
    ) -> Result<(), ChangeError> {
        self.step(kind, Row(row), |_| Ok(None), Some((epoch, modseq, plain)))
    }

    /// Puts a row over the one that is there, if there is one.
    pub(crate) fn put(
        &mut self,
        kind: RecordKind,
        row: u64,
        epoch: u32,
        modseq: u64,
        plain: &[u8],
    ) -> Result<(), ChangeError> {
        self.step(kind, Row(row), |change| change.stored(kind, row), Some((epoch, modseq, plain)))
    }

    /// Puts a row over `old`, which was read under this change's lock.
    pub(crate) fn replace(
        &mut self,
        (kind, row, old): (RecordKind, u64, Bytes),
        epoch: u32,
        modseq: u64,
        plain: &[u8],
    ) -> Result<(), ChangeError> {
        self.step(kind, Row(row), |_| Ok(Some(old)), Some((epoch, modseq, plain)))
    }

    /// Deletes a row.
    pub(crate) fn delete(&mut self, kind: RecordKind, row: u64) -> Result<(), ChangeError> {
        self.step(kind, Row(row), |change| change.stored(kind, row), None)
    }

    /// Puts what is no row: a body, a segment. Its key is in a row, and so vouched for by it.
    pub(crate) fn put_blob(&mut self, kind: RecordKind, row: u64, octets: Vec<u8>) {
        if !COVERED.contains(&kind) {
            self.edit(|rest| rest.require_absent(kind, Row(row)).put(kind, Row(row), octets));
        }
    }

    /// Deletes what is no row.
    pub(crate) fn delete_blob(&mut self, kind: RecordKind, row: u64) {
        if !COVERED.contains(&kind) {
            self.edit(|rest| rest.delete(kind, Row(row)));
        }
    }

    /// [`Batch::to_make_room`].
    pub(crate) fn make_room(&mut self) {
        self.edit(Batch::to_make_room);
    }

    /// Writes it all. `writer` is held from before what the change rests on was read.
    pub(super) async fn commit(self, writer: &mut Writer) -> Result<(), ChangeError> {
        let Self { account, keys, rows, rest: mut batch } = self;
        let kept = match &writer.kept {
            None => None,
            Some(kept) => {
                let renewed = kept.renewed(&keys, &account.read);
                let after = renewed.and_then(|kept| kept.after(&keys, &rows));
                if after.is_none() {
                    account.found_altered();
                }
                after
            }
        };
        if let Some(kept) = &kept {
            batch = kept.put(batch, account, &keys).ok_or(ChangeError::Failed)?;
        }
        for ((kind, row), step) in rows {
            batch = match step.new {
                Some(sealed) => batch.put(kind, row, sealed),
                None => batch.delete(kind, row),
            };
        }
        writer.append.commit(batch).await?;
        if let Some(kept) = &kept {
            account.anchors.see(account.id, kept.pinned().number);
        }
        writer.kept = kept;
        Ok(())
    }

    fn step(
        &mut self,
        kind: RecordKind,
        row: Row,
        old: impl FnOnce(&Self) -> Result<Option<Bytes>, ChangeError>,
        new: Option<(u32, u64, &[u8])>,
    ) -> Result<(), ChangeError> {
        if !COVERED.contains(&kind) {
            return Err(ChangeError::Failed);
        }
        let seal = |(epoch, modseq, plain): (u32, u64, &[u8])| {
            let entropy = self.account.entropy.as_ref();
            self.keys.seal_row(kind, row.0, epoch, modseq, plain, entropy)
        };
        let new = new.map(|new| seal(new).ok_or(ChangeError::Failed)).transpose()?;
        // What was there before the first of several steps is what the anchor knows.
        if let Some(step) = self.rows.get_mut(&(kind, row)) {
            step.new = new;
        } else {
            let old = old(self)?;
            self.rows.insert((kind, row), Step { old, new });
        }
        Ok(())
    }

    fn stored(&self, kind: RecordKind, row: u64) -> Result<Option<Bytes>, ChangeError> {
        self.account.read.get(self.account.id, kind, Row(row)).map_err(|_| ChangeError::Failed)
    }

    fn edit(&mut self, edit: impl FnOnce(Batch) -> Batch) {
        let rest = core::mem::replace(&mut self.rest, Batch::new(self.account.id));
        self.rest = edit(rest);
    }
}
