//! App passwords, given and taken with the owner's secret.
//!
//! Invariant: nothing here works without a secret of the owner that may change unlockers.

use custody::user::{Attempt, ChangeError, UnlockError, Unlocked};
use seal::slot::Scope;
use store::CommitError;
use vocab::{AccountId, SlotId};
use zeroize::Zeroizing;

use super::Cell;
use super::accounts::not_stored;
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;

impl From<UnlockError> for Refusal {
    fn from(error: UnlockError) -> Self {
        Self::new(error.to_string(), "give the account's password or recovery code")
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        Self::new(error.to_string(), "give the account's password or recovery code")
    }
}

impl Cell {
    /// A new app password for one program.
    pub(crate) async fn add_app_password(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        scope: u8,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let scope = Scope(scope);
        if !Scope::IMAP.and(Scope::SUBMIT).contains(scope) {
            return Err(Refusal::new("not a scope of an app password", "use `imap` and `submit`"));
        }
        let (mut unlocked, seen) = self.unlock(account, secret).await?;
        let entropy = self.entropy.as_ref();
        let new = unlocked.add_app_password(scope, None, clock::now(), entropy)?;
        self.commit_keystore(account, seen, new.changes).await?;
        self.log_staff_act(account, "app password added").await?;
        Ok(Answer::AppPassword { slot: new.slot.to_string(), app_password: new.secret.to_string() })
    }

    /// Takes an unlocker away, with new keys for what comes.
    pub(crate) async fn revoke_slot(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        slot: &str,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let slot: SlotId = slot.parse().map_err(|_| {
            Refusal::new("not an unlocker's identifier", "use the one that `add` printed")
        })?;
        let (mut unlocked, seen) = self.unlock(account, secret).await?;
        let custody = unlocked.locked().manifest().custody;
        let escrow = self.config.custody.escrow(self.keys.cell(), custody);
        let entropy = self.entropy.as_ref();
        let changes = unlocked.revoke(slot, escrow.as_ref(), clock::now(), entropy)?;
        self.commit_keystore(account, seen, changes).await?;
        self.log_staff_act(account, "unlocker revoked").await?;
        Ok(Answer::Done)
    }

    async fn unlock(
        &self,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<(Unlocked, u64), Refusal> {
        let seen = self.store.read().change(account);
        let seen =
            seen.map_err(|error| Refusal::failed("the account could not be read", &error))?;
        let locked = self.locked(account)?;
        let pepper = self.keys.pepper();
        let unlocking = move || {
            locked.unlock(&Attempt {
                secret: &secret,
                scope: Scope::SUDO,
                passwords: true,
                pepper: Some(&pepper),
                now: clock::now(),
                remembered: 0,
            })
        };
        let unlocked = tokio::task::spawn_blocking(unlocking).await;
        Ok((unlocked.map_err(|error| Refusal::failed("unlocking failed", &error))??, seen))
    }

    /// Stores a change of the keystore, if nothing else of the account changed since `seen`: two
    /// changes made from one manifest must not both stand.
    async fn commit_keystore(
        &self,
        account: AccountId,
        seen: u64,
        changes: custody::user::Changes,
    ) -> Result<(), Refusal> {
        let batch = mail::account::batch(account, changes).require_change(seen);
        match self.store.append().commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => {
                Err(Refusal::new("the account changed meanwhile", "do it again"))
            }
            Err(error) => Err(not_stored("the change was not stored", &error)),
        }
    }
}
