//! The queue's rows: sealed in, opened out.
//!
//! Invariant: the letter's blob is written with its envelope in one commit; deleting the
//! envelope deletes both, and with it the key.
//! Refs: docs/adr/0005-queue.md; specs/bw1.md §8, §9.

use std::sync::Arc;

use bytes::Bytes;
use custody::cell::CellKeys;
use seal::blob::{self, BlobKey};
use seal::row::RowKeys;
use seal::{Entropy, Secret};
use store::{Append, Batch, Read};
use vocab::{AccountId, BlobId, ModSeq, RecordKind, Row};
use zeroize::Zeroizing;

use super::QueueError;
use super::item::Item;

/// What the blob of a letter is, in its context.
const BLOB_USE: &str = "queue";

pub(super) struct Rows {
    cell: AccountId,
    keys: RowKeys,
    append: Append,
    read: Read,
}

impl Rows {
    pub(super) fn new(keys: &CellKeys, append: Append, read: Read) -> Result<Self, QueueError> {
        let cell = keys.account();
        let keys = keys.rows().map_err(|_| QueueError::Failed)?;
        Ok(Self { cell, keys, append, read })
    }

    /// Gives every item that opens, and how many do not.
    pub(super) fn all(&self, mut each: impl FnMut(Row, Item)) -> Result<usize, QueueError> {
        let mut altered = 0;
        for found in self.read.scan(self.cell, RecordKind::QueueItem, Row(0)) {
            let (row, sealed) = found.map_err(|_| QueueError::Failed)?;
            match self.open(row, &sealed) {
                Ok(item) => each(row, item),
                Err(_) => altered += 1,
            }
        }
        Ok(altered)
    }

    /// One item; `None` if it is gone.
    pub(super) fn item(&self, row: Row) -> Result<Option<Item>, QueueError> {
        let sealed = self.read.get(self.cell, RecordKind::QueueItem, row);
        let Some(sealed) = sealed.map_err(|_| QueueError::Failed)? else { return Ok(None) };
        self.open(row, &sealed).map(Some)
    }

    fn open(&self, row: Row, sealed: &[u8]) -> Result<Item, QueueError> {
        let opened = self.keys.open(RecordKind::QueueItem, row, sealed);
        let (_, plain) = opened.map_err(|_| QueueError::Tampered)?;
        minicbor::decode(&Zeroizing::new(plain)).map_err(|_| QueueError::Tampered)
    }

    fn seal(&self, row: Row, item: &Item, entropy: &dyn Entropy) -> Result<Vec<u8>, QueueError> {
        let plain = Zeroizing::new(crate::mailbox::encode(item));
        let version = ModSeq(item.version);
        let sealed = self.keys.seal(RecordKind::QueueItem, row, version, &plain, entropy);
        sealed.map_err(|_| QueueError::Failed)
    }

    /// The letter of an item.
    pub(super) fn body(&self, row: Row, item: &Item) -> Result<Vec<u8>, QueueError> {
        let sealed = self.read.get(self.cell, RecordKind::QueueBody, row);
        let sealed = sealed.map_err(|_| QueueError::Failed)?.ok_or(QueueError::Tampered)?;
        let key = BlobKey::from_secret(Secret::copied(&item.body_key));
        let context = blob::blob_context(BLOB_USE, self.cell, BlobId(item.blob));
        blob::open(&key, &context, &sealed).map_err(|_| QueueError::Tampered)
    }

    /// Puts a new item and its letter on disk, under a key of their own.
    pub(super) async fn insert(
        &self,
        mut item: Item,
        letter: Bytes,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Row, Item), QueueError> {
        let key = BlobKey::random(entropy.as_ref());
        item.body_key = *key.expose();
        entropy.fill(&mut item.blob);
        let context = blob::blob_context(BLOB_USE, self.cell, BlobId(item.blob));
        let mut place = [0; 8];
        entropy.fill(&mut place);
        let row = Row(u64::from_be_bytes(place));
        let sealed_item = self.seal(row, &item, entropy.as_ref())?;
        let sealing = move || blob::seal(&key, &context, &letter, entropy.as_ref());
        let sealed = tokio::task::spawn_blocking(sealing).await.map_err(|_| QueueError::Failed)?;
        let sealed = sealed.map_err(|_| QueueError::TooLarge)?;
        let batch = Batch::new(self.cell)
            .require_absent(RecordKind::QueueItem, row)
            .put(RecordKind::QueueItem, row, sealed_item)
            .put(RecordKind::QueueBody, row, sealed);
        self.append.commit(batch).await?;
        Ok((row, item))
    }

    /// Writes what changed of an item.
    pub(super) async fn update(
        &self,
        row: Row,
        item: &mut Item,
        entropy: &dyn Entropy,
    ) -> Result<(), QueueError> {
        item.version = item.version.saturating_add(1);
        let sealed = self.seal(row, item, entropy)?;
        let batch = Batch::new(self.cell).put(RecordKind::QueueItem, row, sealed);
        self.append.commit(batch).await?;
        Ok(())
    }

    /// Deletes an item and its letter.
    pub(super) async fn remove(&self, row: Row) -> Result<(), QueueError> {
        let batch = Batch::new(self.cell)
            .delete(RecordKind::QueueItem, row)
            .delete(RecordKind::QueueBody, row);
        self.append.commit(batch).await?;
        Ok(())
    }
}
