//! An account is deleted: its keys first, so that nothing opens what follows, then every row.
//!
//! Invariant: the keystore goes in one commit, before anything else; a deletion that was cut
//! short is finished by deleting again. What a preservation holds stays, as sealed as it was.
//! Refs: specs/cell-rows.md §2.1; design §3.6.

use std::time::Duration;

use store::{Batch, Read, ReadError};
use vocab::{AccountId, RecordKind, Row};

use super::keystore::Keystores;
use super::{Door, KeystoreError};

/// Rows deleted in one commit.
const ROWS_PER_COMMIT: usize = 1000;
/// How often, and how many times, it is looked whether the sessions have let go.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 250;
/// What opens an account, and what the cell says of that.
const KEYS: [RecordKind; 7] = [
    RecordKind::Slot,
    RecordKind::SessionGrant,
    RecordKind::Manifest,
    RecordKind::EpochBox,
    RecordKind::Escrow,
    RecordKind::AccountPin,
    RecordKind::UnlockerUse,
];

impl Door {
    /// Deletes an account that no address leads to any more. Its sessions end; what is not ended
    /// in five seconds writes rows that nothing opens, and that the next deletion takes.
    ///
    /// # Errors
    /// [`KeystoreError`]; what was deleted until then stays so.
    pub async fn delete(&self, account: AccountId) -> Result<(), KeystoreError> {
        let keystores = &self.options.keystores;
        {
            // A letter that is being committed is there before, or finds that there are no keys.
            let _changing = keystores.changing.lock().await;
            let _arriving = keystores.arriving.write().await;
            keystores.delete(account, KEYS.to_vec(), usize::MAX).await?;
        }
        // After the keystore: whoever gets a pass now finds that there is none.
        self.passes.keep(account, |_| false);
        for _ in 0..LOOKS_MAX {
            if !self.registry.is_open(account) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        keystores.delete(account, RecordKind::ALL.to_vec(), ROWS_PER_COMMIT).await
    }
}

impl Keystores {
    /// Deletes every row of these kinds, so many in one commit.
    pub(super) async fn delete(
        &self,
        account: AccountId,
        kinds: Vec<RecordKind>,
        rows_per_commit: usize,
    ) -> Result<(), KeystoreError> {
        let read = self.read.clone();
        // As long as everything the account has takes to be read.
        let rows = tokio::task::spawn_blocking(move || rows(&read, account, &kinds)).await;
        let rows = rows.map_err(|_| KeystoreError::Failed)??;
        for some in rows.chunks(rows_per_commit) {
            let delete = |batch: Batch, (kind, row): &(RecordKind, Row)| batch.delete(*kind, *row);
            let batch = Batch::new(account).to_make_room();
            self.append.commit(some.iter().fold(batch, delete)).await?;
        }
        Ok(())
    }
}

fn rows(
    read: &Read,
    account: AccountId,
    kinds: &[RecordKind],
) -> Result<Vec<(RecordKind, Row)>, ReadError> {
    let mut rows = Vec::new();
    for kind in kinds {
        for found in read.scan(account, *kind, Row(0)) {
            // A row that the disk has lost has no number; its key is gone with the others.
            match found {
                Ok((row, _)) => rows.push((*kind, row)),
                Err(ReadError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(rows)
}
