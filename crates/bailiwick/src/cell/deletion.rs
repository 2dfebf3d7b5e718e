//! Deleting an account.
//!
//! Invariant: it is in the log before it begins; only its owner's secret, or that nobody was ever
//! given an address of it, lets it begin; once begun it comes to its end, after a restart too.
//! Refs: specs/cell-rows.md §2.1.

use vocab::{AccountId, RecordKind, Timestamp};
use zeroize::Zeroizing;

use super::Cell;
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;

/// How long nobody else may take an address of a deleted account, in seconds: half a year. Who
/// writes to it means its former owner, and who can reset a password by it too.
const CLOSED_SECONDS: u64 = 183 * 24 * 3600;

impl Cell {
    /// Deletes the account that an address leads to; or one that was begun and never got one.
    pub(crate) async fn delete_account(
        &self,
        which: &str,
        secret: Option<Zeroizing<String>>,
    ) -> Result<Answer, Refusal> {
        let account = match secret {
            Some(secret) => {
                let account = self.account_of(which)?;
                self.unlock(account, secret).await?;
                account
            }
            None => self.begun_account(which)?,
        };
        self.log_staff_act(account, "account deleted").await?;
        let closed_until = Timestamp(clock::now().0.saturating_add(CLOSED_SECONDS));
        self.routes.close(account, closed_until).await?;
        self.shred(account).await?;
        let store = self.store.clone();
        let freed = tokio::task::spawn_blocking(move || store.compact_blocking()).await;
        let freed = freed.map_err(|error| Refusal::failed("compaction failed", &error))?;
        let freed = freed.map_err(|error| {
            Refusal::failed("it is deleted, and its space is not yet overwritten", &error)
        })?;
        Ok(Answer::Deleted { closed_until: closed_until.0, octets: freed.dead_bytes })
    }

    /// Comes to the end of every deletion that was cut short.
    pub(crate) async fn finish_deletions(&self) -> Result<(), Refusal> {
        for account in self.routes.closed_accounts() {
            let usage = self.store.read().usage(account);
            let usage = usage.map_err(|error| Refusal::failed("a record was not read", &error))?;
            if usage.records > 0 {
                tracing::info!("the deletion of an account is finished");
                self.shred(account).await?;
            }
        }
        Ok(())
    }

    async fn shred(&self, account: AccountId) -> Result<(), Refusal> {
        // Before the last of its own records goes: that any is left is how a start knows that a
        // deletion was cut short.
        self.desk.forget_account(account)?;
        Ok(self.door.delete(account).await?)
    }

    /// An account that no address leads to, since its making did not come to its end: its secrets
    /// open nothing.
    fn begun_account(&self, which: &str) -> Result<AccountId, Refusal> {
        let unknown = || {
            Refusal::new(
                "not an account that waits for its address",
                "name one of the account's addresses, and give its owner's secret",
            )
        };
        let account: AccountId = which.parse().map_err(|_| unknown())?;
        let has_keys =
            self.store.read().scan(account, RecordKind::Manifest, vocab::Row(0)).next().is_some();
        if !has_keys || !self.routes.of(account).is_empty() {
            return Err(unknown());
        }
        Ok(account)
    }
}
