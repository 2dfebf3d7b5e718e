//! Deleting an account.
//!
//! Invariant: it is in the log before it begins; only its owner's secret, or that nobody was ever
//! given an address of it, lets it begin; once begun it comes to its end, after a restart too.
//! Refs: specs/cell-rows.md §2.1.

use mail::account::Stage;
use vocab::{AccountId, RecordKind, Timestamp};
use zeroize::Zeroizing;

use super::Cell;
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;

/// How long nobody else may take an address of a deleted account, in seconds: half a year. Who
/// writes to it means its former owner, and who can reset a password by it too.
pub(super) const CLOSED_SECONDS: u64 = 183 * 24 * 3600;

impl Cell {
    /// Deletes the account that an address leads to; or one that was begun and never got one.
    pub(crate) async fn delete_account(
        &self,
        which: &str,
        secret: Option<Zeroizing<String>>,
    ) -> Result<Answer, Refusal> {
        let account = match (secret, which.parse()) {
            (Some(secret), Ok(copy)) => self.arrived_copy(copy, secret).await?,
            (Some(secret), Err(_)) => {
                let account = self.account_of(which)?;
                self.refuse_postmaster(account)?;
                self.unlock(account, secret).await?;
                account
            }
            (None, _) => self.begun_account(which)?,
        };
        self.log_staff_act(account, "account deleted").await?;
        let closed_until = Timestamp(clock::now().0.saturating_add(CLOSED_SECONDS));
        self.routes.close(account, closed_until, false).await?;
        self.shred(account).await?;
        self.overwrite(&[account]).await?;
        Ok(Answer::Deleted { closed_until: closed_until.0 })
    }

    /// Deletes the rest of every account whose deletion was cut short. The accounts whose octets
    /// are to be overwritten yet: see [`Cell::overwrite`].
    pub(crate) async fn finish_deletions(&self) -> Result<Vec<AccountId>, Refusal> {
        let closing = self.routes.closing_accounts();
        for account in &closing {
            let usage = self.store.read().usage(*account);
            let usage = usage.map_err(|error| Refusal::failed("a record was not read", &error))?;
            if usage.records > 0 {
                self.shred(*account).await?;
            }
        }
        Ok(closing)
    }

    /// Overwrites what deleted accounts had, and everything else that is deleted. A start does
    /// it again until it is known to be done.
    pub(crate) async fn overwrite(&self, accounts: &[AccountId]) -> Result<(), Refusal> {
        tracing::info!("what was deleted is overwritten now");
        let store = self.store.clone();
        let freed = tokio::task::spawn_blocking(move || store.compact_blocking()).await;
        let freed = freed.map_err(|error| Refusal::failed("compaction failed", &error))?;
        freed.map_err(|error| {
            Refusal::failed("it is deleted, and its space is not yet overwritten", &error)
        })?;
        for account in accounts {
            self.routes.note_overwritten(*account).await?;
        }
        Ok(())
    }

    /// What is sent to the cell's offices must reach somebody (RFC 5321 §4.5.1, RFC 2142 §2).
    pub(super) fn refuse_postmaster(&self, account: AccountId) -> Result<(), Refusal> {
        if self.routes.postmaster() != Some(account) {
            return Ok(());
        }
        Err(Refusal::new(
            "the account gets what is written to postmaster and abuse",
            "name another account in [cell] postmaster, start the cell again, then delete this one",
        ))
    }

    pub(super) async fn shred(&self, account: AccountId) -> Result<(), Refusal> {
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
        let mark = self.keystores.mark(account)?;
        let is_whole = match mark.map(|mark| mark.stage) {
            Some(stage) => stage == Stage::Arrived,
            // Only what has arrived and was brought to life was re-keyed before it has an address.
            None => self.keystores.locked(account)?.manifest().generation > 1,
        };
        if is_whole {
            return Err(Refusal::new(
                "the account came from another cell, and this may be all there is of it",
                "let its owner settle it, or delete it with `--owner` and their recovery code",
            ));
        }
        Ok(account)
    }

    /// An account that came from another cell and has no address yet, by its owner's word.
    async fn arrived_copy(
        &self,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<AccountId, Refusal> {
        if !self.routes.of(account).is_empty() {
            return Err(Refusal::new(
                "an address leads to the account",
                "name the address in the place of the identifier",
            ));
        }
        drop(self.door.sudo_moving(account, secret).await??);
        Ok(account)
    }
}
