//! Re-keying at the door: everything an account has is sealed anew under its newest keys, some rows
//! at a time, while its sessions go on; then the old keys go.
//!
//! What is still to be done is what lies under a superseded version of an epoch. So nothing is
//! noted, a crash leaves nothing half done, and every login of an account that was cut short goes on
//! with it by itself.
//!
//! Invariant: old keys go only when nothing that opens is under them, and nothing can come under
//! them any more. Rows keep their numbers and mod-sequences; bodies and segments are not touched.
//! Refs: specs/bw1.md §6.7; docs/adr/0012-rekeying.md.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use custody::user::{Changes, Unlocked, epoch_row};
use seal::letter::{LetterHeader, Stated};
use seal::row::{RowKeys, header};
use seal::sign::VerifyingKey;
use store::{Read, ReadError};
use tokio::sync::{MutexGuard, RwLockReadGuard};
use vocab::{AccountId, Digest, Epoch, EpochVersion, RecordKind, Row, Timestamp};

use super::change::ROWS_PER_COMMIT;
use super::keys::Keys;
use super::keystore::Keystores;
use super::rows::{ANCHOR_ROW, COVERED, Writer};
use super::{Account, ChangeError, Door, KeystoreError, OpenError};

/// Octets of rows sealed anew in one commit; the row that passes it is the last.
const OCTETS_PER_COMMIT: usize = 4 << 20;

/// An epoch in one of its versions.
type Place = (Epoch, EpochVersion);

/// Why an account was not re-keyed to the end. What was done stays; the next login goes on, and the
/// command can be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RekeyError {
    /// The keystore could not be changed.
    #[error("the account's keys could not be changed")]
    Keystore(#[from] KeystoreError),
    /// The account did not open under its new keys.
    #[error("the account could not be opened")]
    Open(#[from] OpenError),
    /// Its rows are not those it wrote; what was altered is not sealed anew as if it were its own.
    #[error("the account's rows are not those it wrote")]
    Altered,
    /// A row could not be sealed anew.
    #[error("not everything could be sealed anew")]
    Change(#[from] ChangeError),
}

/// Where sealing anew goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resealing {
    /// Among the kinds an anchor covers.
    kind: usize,
    row: u64,
}

/// Some rows that are under superseded keys, and where to go on if there may be more.
struct Page {
    rows: Vec<(RecordKind, u64, Bytes)>,
    next: Option<Resealing>,
}

/// What an account has for being sealed anew in the background.
pub(super) type Busy = std::sync::atomic::AtomicBool;

impl Account {
    /// Whether something of it may still be under keys from before a re-key.
    #[must_use]
    pub fn is_being_rekeyed(&self) -> bool {
        self.keys().is_ok_and(|keys| keys.has_superseded())
    }

    /// Seals anew what is under superseded keys, and folds what arrived under them. Sessions go on
    /// meanwhile and see no change.
    ///
    /// # Errors
    /// [`RekeyError::Altered`], [`RekeyError::Change`].
    pub async fn reseal(self: &Arc<Self>) -> Result<(), RekeyError> {
        self.fold_or_say().await;
        // Husks do not open: they are to be gone before the keys they are known by.
        self.upkeep_or_say().await;
        let mut at = Some(Resealing::default());
        while let Some(from) = at {
            at = self.reseal_some(from).await?;
        }
        Ok(())
    }

    /// One commit of that: where to go on, or `None` at the end. The first is from the default.
    ///
    /// # Errors
    /// As [`Account::reseal`].
    pub async fn reseal_some(
        self: &Arc<Self>,
        from: Resealing,
    ) -> Result<Option<Resealing>, RekeyError> {
        // Most may be sealed anew already: that is found without holding anybody up.
        let first = self.page(from, 1).await?;
        let Some(from) = first.at() else { return self.reseal_anchor().await };
        let account = Arc::clone(self);
        super::to_its_end(async move { Ok(account.reseal_from(from).await) }).await?
    }

    async fn reseal_from(
        self: &Arc<Self>,
        from: Resealing,
    ) -> Result<Option<Resealing>, RekeyError> {
        let mut writer = self.renewed_writer().await?;
        let page = self.page(from, ROWS_PER_COMMIT).await?;
        let keys = self.keys()?;
        let mut change = self.change()?;
        for (kind, row, sealed) in page.rows {
            let opened = keys.open_row(kind, row, &sealed);
            // One that does not open is no loss with its key; its owner is told of it at a login.
            let Some(opened) = opened else { continue };
            change.replace((kind, row, sealed), opened.epoch, opened.modseq, &opened.plain)?;
        }
        change.commit(&mut writer).await?;
        Ok(Some(page.next.unwrap_or(Resealing { kind: COVERED.len(), row: 0 })))
    }

    /// The right to write, with an anchor under the present keys.
    async fn renewed_writer(&self) -> Result<MutexGuard<'_, Writer>, RekeyError> {
        let mut writer = self.writing.lock().await;
        writer.renew(self).await?;
        if writer.is_without_anchor() { Err(RekeyError::Altered) } else { Ok(writer) }
    }

    /// At the end: an anchor that no row has taken along.
    async fn reseal_anchor(self: &Arc<Self>) -> Result<Option<Resealing>, RekeyError> {
        let keys = self.keys()?;
        let stored = self.read.get(self.id, RecordKind::AccountAnchor, ANCHOR_ROW);
        let stored = stored.map_err(|_| ChangeError::Failed)?;
        if stored.is_some_and(|anchor| keys.is_under_superseded(&anchor)) {
            let account = Arc::clone(self);
            let write = async move {
                let mut writer = account.renewed_writer().await?;
                Ok(account.change()?.commit(&mut writer).await?)
            };
            let done: Result<(), RekeyError> =
                super::to_its_end(async move { Ok(write.await) }).await?;
            done?;
        }
        Ok(None)
    }

    /// Rows from there on that are under superseded keys, at most so many.
    async fn page(self: &Arc<Self>, from: Resealing, rows_max: usize) -> Result<Page, ChangeError> {
        let (account, keys) = (Arc::clone(self), self.keys()?);
        let page = move || account.page_blocking(&keys, from, rows_max);
        tokio::task::spawn_blocking(page).await.map_err(|_| ChangeError::Failed)?
    }

    fn page_blocking(
        &self,
        keys: &Keys,
        from: Resealing,
        rows_max: usize,
    ) -> Result<Page, ChangeError> {
        let (mut rows, mut octets) = (Vec::new(), 0);
        for (at, kind) in COVERED.into_iter().enumerate().skip(from.kind) {
            let first = if at == from.kind { from.row } else { 0 };
            for found in self.read.scan(self.id, kind, Row(first)) {
                let (row, sealed) = match found {
                    Ok(found) => found,
                    Err(ReadError::Damaged { .. }) => continue,
                    Err(ReadError::Io(_) | ReadError::Index(_)) => return Err(ChangeError::Failed),
                };
                if rows.len() >= rows_max || octets >= OCTETS_PER_COMMIT {
                    return Ok(Page { rows, next: Some(Resealing { kind: at, row: row.0 }) });
                }
                // What does not open is passed over, or it would be found again for ever.
                if keys.is_under_superseded(&sealed) {
                    octets += sealed.len();
                    rows.push((kind, row.0, sealed));
                }
            }
        }
        Ok(Page { rows, next: None })
    }
}

impl Page {
    /// Where its first row is.
    fn at(&self) -> Option<Resealing> {
        let (kind, row, _) = self.rows.first()?;
        let kind = COVERED.iter().position(|covered| covered == kind)?;
        Some(Resealing { kind, row: *row })
    }
}

impl Keys {
    fn is_under_superseded(&self, sealed: &[u8]) -> bool {
        let place = header(sealed).map(|header| (header.epoch, header.version));
        place.is_ok_and(|place| self.is_superseded(place))
    }
}

impl Door {
    /// Stores what [`Unlocked::begin_rekey`] made, and seals everything anew. Then unlock the
    /// account again for [`Door::finish_rekey`]. Sessions go on, but for those that were granted:
    /// whoever has one has the keys that go.
    ///
    /// # Errors
    /// [`RekeyError`]; what is left to do is done from the next login on.
    pub async fn rekey(&self, unlocked: Unlocked, changes: Changes) -> Result<(), RekeyError> {
        let (id, digest) = (unlocked.account(), unlocked.locked().digest());
        self.options.keystores.commit(id, changes).await?;
        self.passes.keep_generation(id, unlocked.locked().manifest().generation);
        self.open_unlocked(unlocked).await?.reseal().await?;
        self.options.keystores.note_resealed(id, digest);
        Ok(())
    }

    /// Takes away the keys from before a re-key, if nothing is under them any more; says whether
    /// there are none left.
    ///
    /// # Errors
    /// [`KeystoreError`]; then nothing has changed.
    pub async fn finish_rekey(&self, mut unlocked: Unlocked) -> Result<bool, KeystoreError> {
        let is_done = self.take_away(&mut unlocked).await?;
        let keys = super::OpenKeys { keys: unlocked.into_keys(), ingest: self.options.ingest };
        self.registry.renew(keys).await;
        Ok(is_done)
    }

    async fn take_away(&self, unlocked: &mut Unlocked) -> Result<bool, KeystoreError> {
        let (ingest, now) = (self.options.ingest, self.registry.services().clock.now());
        self.options.keystores.finish_rekey(unlocked, &ingest, now).await
    }

    /// At a login: the old keys of an account that was sealed anew in an earlier session go.
    pub(super) async fn go_on_rekeying(&self, mut unlocked: Unlocked) -> Unlocked {
        let stored = unlocked.locked().clone();
        let is_due = !stored.superseded().is_empty()
            && self.options.keystores.is_resealed(unlocked.account(), stored.digest());
        if !is_due {
            return unlocked;
        }
        match self.take_away(&mut unlocked).await {
            Ok(true) => tracing::info!("the keys from before an account's re-key are gone"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the keys from before a re-key were not taken away");
                unlocked.take_back(stored);
            }
        }
        unlocked
    }

    /// After a login: what is still under old keys is sealed anew in the background.
    pub(super) fn reseal_later(&self, account: &Arc<Account>) {
        let Ok(keys) = account.keys() else { return };
        let (id, digest) = (account.id, keys.manifest().1);
        let keystores = &self.options.keystores;
        if !keys.has_superseded() || keystores.is_resealed(id, digest) {
            return;
        }
        if !account.resealing.swap(true, Ordering::Relaxed) {
            let (keystores, account) = (Arc::clone(keystores), Arc::downgrade(account));
            tokio::spawn(async move {
                if keep_resealing(&account).await.is_some() {
                    keystores.note_resealed(id, digest);
                }
                if let Some(account) = account.upgrade() {
                    account.resealing.store(false, Ordering::Relaxed);
                }
            });
        }
    }
}

/// To the end, or until its sessions have left the account.
async fn keep_resealing(account: &Weak<Account>) -> Option<()> {
    account.upgrade()?.fold_or_say().await;
    let mut at = Resealing::default();
    loop {
        let account = account.upgrade()?;
        match account.reseal_some(at).await {
            Ok(Some(next)) if !account.is_left() => at = next,
            Ok(Some(_)) => return None,
            Ok(None) => return Some(()),
            Err(error) => {
                tracing::error!(%error, "an account's rows were not sealed anew");
                return None;
            }
        }
    }
}

impl Keystores {
    /// Held by whoever takes a letter in, from before the keys it is sealed to are looked for a last
    /// time until it is on disk: meanwhile no key goes.
    pub(crate) async fn arriving(&self) -> RwLockReadGuard<'_, ()> {
        self.arriving.read().await
    }

    /// Whether the account still has an epoch's keys.
    pub(crate) fn has_epoch(&self, account: AccountId, place: Place) -> Result<bool, ReadError> {
        let row = epoch_row(place.0, place.1);
        Ok(self.read.len(account, RecordKind::EpochBox, row)?.is_some())
    }

    fn note_resealed(&self, account: AccountId, manifest: Digest) {
        let mut resealed = self.resealed.lock().unwrap_or_else(PoisonError::into_inner);
        resealed.insert(account, manifest);
    }

    fn is_resealed(&self, account: AccountId, manifest: Digest) -> bool {
        let resealed = self.resealed.lock().unwrap_or_else(PoisonError::into_inner);
        resealed.get(&account) == Some(&manifest)
    }

    async fn finish_rekey(
        &self,
        unlocked: &mut Unlocked,
        ingest: &VerifyingKey,
        now: Timestamp,
    ) -> Result<bool, KeystoreError> {
        let account = unlocked.account();
        let gone = unlocked.locked().superseded();
        if gone.is_empty() {
            return Ok(true);
        }
        let _changing = self.changing.lock().await;
        if self.stored(account)? != unlocked.locked().digest() {
            return Err(KeystoreError::Changed);
        }
        self.resealed.lock().unwrap_or_else(PoisonError::into_inner).remove(&account);
        if heads_under(&self.read, account, &gone, ingest)? {
            return Ok(false);
        }
        let keys = gone.iter().map(|place| unlocked.rows_of(place.0, place.1));
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|_| KeystoreError::Failed)?;
        let read = self.read.clone();
        // As long as reading every row takes.
        let is_any = tokio::task::spawn_blocking(move || row_under(&read, account, &keys));
        if is_any.await.map_err(|_| KeystoreError::Failed)?? {
            return Ok(false);
        }
        let last_use = self.renewed_uses(unlocked)?;
        // From here on nothing is put under what goes.
        let _none_arrives = self.arriving.write().await;
        if heads_under(&self.read, account, &gone, ingest)? {
            return Ok(false);
        }
        let changes = unlocked.finish_rekey(now).map_err(|_| KeystoreError::Failed)?;
        self.commit_held(account, changes, last_use).await?;
        Ok(true)
    }
}

/// Whether a letter that is the cell's own still waits under one of these.
fn heads_under(
    read: &Read,
    account: AccountId,
    gone: &[Place],
    ingest: &VerifyingKey,
) -> Result<bool, ReadError> {
    for found in read.scan(account, RecordKind::LetterHead, Row(0)) {
        let record = match found {
            Ok((_, record)) => record,
            Err(ReadError::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let Ok(head) = LetterHeader::read(&record) else { continue };
        let is_ours = || Stated::read(&record).is_ok_and(|stated| stated.verify(ingest).is_ok());
        if gone.contains(&(head.epoch, head.version)) && is_ours() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a row opens with one of these keys.
fn row_under(read: &Read, account: AccountId, gone: &[RowKeys]) -> Result<bool, ReadError> {
    for kind in COVERED.into_iter().chain([RecordKind::AccountAnchor]) {
        for found in read.scan(account, kind, Row(0)) {
            let (row, sealed) = match found {
                Ok(found) => found,
                Err(ReadError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Ok(head) = header(&sealed) else { continue };
            let place = (head.epoch, head.version);
            let keys = gone.iter().find(|keys| (keys.epoch(), keys.version()) == place);
            if keys.is_some_and(|keys| keys.open(kind, row, &sealed).is_ok()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
