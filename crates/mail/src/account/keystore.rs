//! The keystores of the cell's accounts: unlockers, epochs, manifest, and the cell's pin of them.
//!
//! Everything in a keystore is public, and a manifest proves no more than that its own identity
//! signed it: whoever can write the disk could put another in its place. So the cell seals the
//! digest of the manifest that it stored last, and believes no other.
//!
//! Invariant: no key of an account is used before its keystore is found as it was pinned; pin
//! and keystore change in one commit, and only to the manifest's direct successor.
//! Refs: specs/cell-rows.md §6; specs/bw1.md §5.3, §5.4.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use custody::cell::CellKeys;
use custody::user::{Changes, Locked, LockedError, MANIFEST_ROW, Record, epoch_row};
use custody::{Pin, PinOf};
use seal::Entropy;
use seal::mac::sha256;
use seal::manifest::SignedManifest;
use seal::row::RowKeys;
use store::{Append, Batch, CommitError, Read, ReadError};
use vocab::{AccountId, Digest, RecordKind, Row};

/// How often a keystore is read that changes while it is read.
const READS_MAX: usize = 5;

/// Why a keystore was not read, made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The cell has pinned no keystore for the account.
    #[error("the cell has pinned no keystore for the account")]
    Unpinned,
    /// The manifest is not the one that was pinned, or the pin is not the cell's.
    #[error("the account's manifest is not the one the cell pinned")]
    Exchanged,
    /// Manifest and pin are older than what this process has seen.
    #[error("the account's keystore is older than what was seen before")]
    Older,
    /// The records are not as the manifest says.
    #[error("the account's records are not those its manifest lists")]
    Altered(#[source] LockedError),
    /// It changed since it was read; read it again.
    #[error("the account's keystore has changed meanwhile")]
    Changed,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The store or the cipher failed.
    #[error("the store failed")]
    Failed,
}

impl KeystoreError {
    /// Whether somebody who is not the cell has written there.
    #[must_use]
    pub fn is_tampering(self) -> bool {
        matches!(self, Self::Unpinned | Self::Exchanged | Self::Older | Self::Altered(_))
    }
}

impl From<ReadError> for KeystoreError {
    fn from(_: ReadError) -> Self {
        Self::Failed
    }
}

impl From<CommitError> for KeystoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::Exists | CommitError::Conflict => Self::Changed,
            CommitError::TooLarge | CommitError::Stopped => Self::Failed,
        }
    }
}

/// What keystores are kept with.
pub struct KeystoresOptions<'a> {
    /// The cell's keys.
    pub keys: &'a CellKeys,
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// Every account's keystore. There must be only one in a cell.
pub struct Keystores {
    pub(super) rows: RowKeys,
    pub(super) append: Append,
    pub(super) read: Read,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The highest manifest version seen of each account since the process began: a pin put back
    /// with its manifest is noticed as long as the process lives.
    seen: Mutex<HashMap<AccountId, u64>>,
    /// One change at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Keystores {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`] if the cell's keys make no row keys, which they do.
    pub fn new(options: KeystoresOptions<'_>) -> Result<Arc<Self>, KeystoreError> {
        let rows = options.keys.rows().map_err(|_| KeystoreError::Failed)?;
        let KeystoresOptions { append, read, entropy, .. } = options;
        let (seen, changing) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Ok(Arc::new(Self { rows, append, read, entropy, seen, changing }))
    }

    /// The digest of the manifest that lies in the store, unchecked: to tell whether what was
    /// checked before is still there.
    ///
    /// # Errors
    /// [`KeystoreError::Unpinned`] if there is none, [`KeystoreError::Failed`].
    pub fn stored(&self, account: AccountId) -> Result<Digest, KeystoreError> {
        let found = self.read.get(account, RecordKind::Manifest, MANIFEST_ROW)?;
        Ok(sha256(&[&found.ok_or(KeystoreError::Unpinned)?]))
    }

    /// The account's keystore, as it was pinned. Blocks on the disk.
    ///
    /// # Errors
    /// Every [`KeystoreError`] that [`KeystoreError::is_tampering`], which is also said in the
    /// server's log, and [`KeystoreError::Failed`].
    pub fn locked(&self, account: AccountId) -> Result<Locked, KeystoreError> {
        // Before the records: what is seen later may be newer than what is read here.
        let seen = self.seen(account);
        let mut reads = 1;
        loop {
            let before = self.read.change(account)?;
            let found = self.read_once(account, seen);
            let Err(error) = found else { return found };
            let is_still = self.read.change(account)? == before;
            if !error.is_tampering() {
                return Err(error);
            }
            if is_still || reads == READS_MAX {
                tracing::error!(%error, "an account's keystore was tampered with");
                return Err(error);
            }
            reads += 1;
        }
    }

    /// How many escrows are not those the manifest lists: missing, altered, or too many. Holders
    /// can open none of these, whatever an order says. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`].
    pub fn wrong_escrows(&self, account: AccountId, locked: &Locked) -> Result<u64, KeystoreError> {
        let mut listed: HashMap<Row, Digest> = locked
            .epochs()
            .filter_map(|(epoch, version)| {
                Some((epoch_row(epoch, version), locked.escrow(epoch, version)?))
            })
            .collect();
        let mut wrong = 0;
        for found in self.read.scan(account, RecordKind::Escrow, Row(0)) {
            let (row, octets) = match found {
                Ok(found) => found,
                Err(ReadError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            wrong += u64::from(listed.remove(&row) != Some(sha256(&[&octets])));
        }
        Ok(wrong + u64::try_from(listed.len()).unwrap_or(u64::MAX))
    }

    fn read_once(&self, account: AccountId, seen: u64) -> Result<Locked, KeystoreError> {
        let pin = self.pin(account)?;
        if pin.number < seen {
            return Err(KeystoreError::Older);
        }
        let mut records = Vec::new();
        for kind in [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox] {
            for found in self.read.scan(account, kind, Row(0)) {
                records.push((kind, found?.1));
            }
        }
        let locked = Locked::from_records(account, records).map_err(KeystoreError::Altered)?;
        if locked.digest() != pin.digest {
            return Err(KeystoreError::Exchanged);
        }
        self.see(account, pin.number);
        Ok(locked)
    }

    fn pin(&self, account: AccountId) -> Result<Pin, KeystoreError> {
        let sealed =
            self.read.get(account, RecordKind::AccountPin, PinOf::Keystore.row(account))?;
        let sealed = sealed.ok_or(KeystoreError::Unpinned)?;
        let pin = Pin::open(PinOf::Keystore, account, &self.rows, &sealed);
        pin.ok_or(KeystoreError::Exchanged)
    }

    /// Stores a new account's records.
    ///
    /// # Errors
    /// [`KeystoreError::Changed`] if the account has a keystore, and what a commit can meet.
    pub async fn create(
        &self,
        account: AccountId,
        records: Vec<Record>,
    ) -> Result<(), KeystoreError> {
        let _changing = self.changing.lock().await;
        let manifest = manifest_in(&records)?;
        let batch = Batch::new(account).require_absent(RecordKind::Manifest, MANIFEST_ROW);
        let changes = Changes { put: records, delete: Vec::new() };
        self.store(account, &manifest, filled(batch, changes)).await
    }

    /// Stores a change of a keystore, if nothing else of it has changed meanwhile.
    ///
    /// # Errors
    /// [`KeystoreError::Changed`] if its manifest does not follow the one that is stored, and
    /// what reading and a commit can meet.
    pub async fn commit(&self, account: AccountId, changes: Changes) -> Result<(), KeystoreError> {
        let _changing = self.changing.lock().await;
        let manifest = manifest_in(&changes.put)?;
        let before = self.read.get(account, RecordKind::Manifest, MANIFEST_ROW)?;
        let before = before.ok_or(KeystoreError::Unpinned)?;
        if sha256(&[&before]) != self.pin(account)?.digest {
            return Err(KeystoreError::Exchanged);
        }
        let before = SignedManifest::decode(&before).map_err(|_| KeystoreError::Exchanged)?;
        manifest.follows(&before).map_err(|_| KeystoreError::Changed)?;
        self.store(account, &manifest, filled(Batch::new(account), changes)).await
    }

    async fn store(
        &self,
        account: AccountId,
        manifest: &SignedManifest,
        batch: Batch,
    ) -> Result<(), KeystoreError> {
        let version = manifest.manifest().version;
        let pin = Pin { number: version, digest: manifest.digest() };
        let sealed = pin.seal(PinOf::Keystore, account, &self.rows, self.entropy.as_ref());
        let sealed = sealed.map_err(|_| KeystoreError::Failed)?;
        let row = PinOf::Keystore.row(account);
        self.append.commit(batch.put(RecordKind::AccountPin, row, sealed)).await?;
        self.see(account, version);
        Ok(())
    }

    /// Takes a version as seen: an older keystore is believed no more.
    pub fn recall(&self, account: AccountId, version: u64) {
        self.see(account, version);
    }

    fn seen(&self, account: AccountId) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&account).copied().unwrap_or(0)
    }

    fn see(&self, account: AccountId, version: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = seen.entry(account).or_insert(0);
        *highest = version.max(*highest);
    }
}

fn manifest_in(records: &[Record]) -> Result<SignedManifest, KeystoreError> {
    let manifest = records.iter().find(|record| record.kind == RecordKind::Manifest);
    let manifest = manifest.ok_or(KeystoreError::Failed)?;
    SignedManifest::decode(&manifest.bytes).map_err(|_| KeystoreError::Failed)
}

fn filled(mut batch: Batch, changes: Changes) -> Batch {
    for (kind, row) in changes.delete {
        batch = batch.delete(kind, row);
    }
    for record in changes.put {
        batch = batch.put(record.kind, record.row, record.bytes);
    }
    batch
}
