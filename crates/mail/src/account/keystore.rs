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
use seal::hseal::{PublicKey, SecretKey};
use seal::mac::sha256;
use seal::manifest::SignedManifest;
use seal::row::RowKeys;
use store::{Append, Batch, CommitError, Read, ReadError};
use vocab::{AccountId, Digest, RecordKind, Row};

use super::mark::{mark_row, standing};

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
    /// The account is on its way to another cell, or from one.
    #[error("the account is moving to another cell, or from one")]
    Moving,
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
    /// The cell's own rows are under it.
    pub(super) cell: AccountId,
    /// The cell's half of OPAQUE.
    pub(super) opaque: seal::opaque::Server,
    /// What is sealed to nobody is sealed to this.
    pub(super) nobody: PublicKey,
    pub(super) rows: RowKeys,
    pub(super) append: Append,
    pub(super) read: Read,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The highest manifest version seen of each account since the process began: a pin put back
    /// with its manifest is noticed as long as the process lives.
    seen: Mutex<HashMap<AccountId, u64>>,
    /// One change at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// Taken for writing while keys go that letters could be sealed to.
    pub(super) arriving: tokio::sync::RwLock<()>,
    /// Accounts with nothing left under the keys from before a re-key, as of a manifest.
    pub(super) resealed: Mutex<HashMap<AccountId, Digest>>,
}

impl Keystores {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`] if the cell's keys make no row keys, which they do.
    pub fn new(options: KeystoresOptions<'_>) -> Result<Arc<Self>, KeystoreError> {
        let cell = options.keys.account();
        let opaque = options.keys.opaque().map_err(|_| KeystoreError::Failed)?;
        let nobody = SecretKey::generate(options.entropy.as_ref());
        let nobody = nobody.map_err(|_| KeystoreError::Failed)?.public();
        let rows = options.keys.rows().map_err(|_| KeystoreError::Failed)?;
        let KeystoresOptions { append, read, entropy, .. } = options;
        Ok(Arc::new(Self {
            cell,
            opaque,
            nobody,
            rows,
            append,
            read,
            entropy,
            seen: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            arriving: tokio::sync::RwLock::default(),
            resealed: Mutex::default(),
        }))
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
    /// server's log, [`KeystoreError::Moving`] and [`KeystoreError::Failed`].
    pub fn locked(&self, account: AccountId) -> Result<Locked, KeystoreError> {
        if self.is_moving(account)? {
            return Err(KeystoreError::Moving);
        }
        self.locked_moving(account)
    }

    /// The same of an account that may be moving, for what ends that.
    pub(super) fn locked_moving(&self, account: AccountId) -> Result<Locked, KeystoreError> {
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
        let batch = standing(account).require_absent(RecordKind::Manifest, MANIFEST_ROW);
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
        self.commit_held(account, changes, None).await
    }

    /// The same for whoever holds `changing`, with another row.
    pub(super) async fn commit_held(
        &self,
        account: AccountId,
        mut changes: Changes,
        also: Option<Record>,
    ) -> Result<(), KeystoreError> {
        let manifest = manifest_in(&changes.put)?;
        changes.put.extend(also);
        let before = self.read.get(account, RecordKind::Manifest, MANIFEST_ROW)?;
        let before = before.ok_or(KeystoreError::Unpinned)?;
        if sha256(&[&before]) != self.pin(account)?.digest {
            return Err(KeystoreError::Exchanged);
        }
        let before = SignedManifest::decode(&before).map_err(|_| KeystoreError::Exchanged)?;
        manifest.follows(&before).map_err(|_| KeystoreError::Changed)?;
        // Only what ends its move changes an account that moves.
        let ends = changes.delete.contains(&(RecordKind::Departure, mark_row(account)));
        let batch = if ends { Batch::new(account) } else { standing(account) };
        self.store(account, &manifest, filled(batch, changes)).await
    }

    async fn store(
        &self,
        account: AccountId,
        manifest: &SignedManifest,
        batch: Batch,
    ) -> Result<(), KeystoreError> {
        let version = manifest.manifest().version;
        let pin = Pin { number: version, digest: manifest.digest() };
        self.append.commit(self.put_pin(batch, account, pin)?).await?;
        self.see(account, version);
        Ok(())
    }

    /// Puts the cell's pin of a keystore into the batch that stores it.
    pub(super) fn put_pin(
        &self,
        batch: Batch,
        account: AccountId,
        pin: Pin,
    ) -> Result<Batch, KeystoreError> {
        let sealed = pin.seal(PinOf::Keystore, account, &self.rows, self.entropy.as_ref());
        let sealed = sealed.map_err(|_| KeystoreError::Failed)?;
        Ok(batch.put(RecordKind::AccountPin, PinOf::Keystore.row(account), sealed))
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
