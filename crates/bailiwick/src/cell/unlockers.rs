//! App passwords, given and taken with the owner's secret.
//!
//! Invariant: nothing here works without a secret of the owner that may change unlockers.

use custody::user::{Attempt, ChangeError, UnlockError, Unlocked};
use mail::account::KeystoreError;
use seal::slot::Scope;
use vocab::{AccountId, SlotId};
use zeroize::Zeroizing;

use super::{Cell, LONGER};
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;

const ALTERED: &str = "somebody else has written to the data folder: restore it from a backup";

impl From<UnlockError> for Refusal {
    fn from(error: UnlockError) -> Self {
        let cure = match error {
            UnlockError::Wrong | UnlockError::Expired | UnlockError::Scope => {
                "give the account's password or recovery code; an app password does not do"
            }
            UnlockError::Memory => "do it again when the cell has less to do",
            UnlockError::Tampered(_) => ALTERED,
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let cure = match error {
            ChangeError::Sudo => "give the account's password or recovery code",
            ChangeError::TooMany => "revoke an app password first",
            ChangeError::Unknown => "use the slot that `add` or `account create` printed",
            ChangeError::LastRecovery => "name the slot of an app password",
            ChangeError::Policy => {
                "name holders and guards in [custody] of the configuration, and restart"
            }
            ChangeError::Short => LONGER,
            ChangeError::Password(_) => "choose another password",
            ChangeError::Tampered => ALTERED,
            ChangeError::Seal(_) => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<KeystoreError> for Refusal {
    fn from(error: KeystoreError) -> Self {
        let cure = match error {
            KeystoreError::Changed => "do it again",
            KeystoreError::Full => "free disk space",
            KeystoreError::Unpinned
            | KeystoreError::Exchanged
            | KeystoreError::Older
            | KeystoreError::Altered(_) => ALTERED,
            KeystoreError::Failed => "see the server's log",
        };
        Self::new(error.to_string(), cure)
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
        let mut unlocked = self.unlock(account, secret).await?;
        let entropy = self.entropy.as_ref();
        let new = unlocked.add_app_password(scope, None, clock::now(), entropy)?;
        self.keystores.commit(account, new.changes).await?;
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
            let cure = "use the slot that `add` or `account create` printed";
            Refusal::new("not a slot, which is 32 hexadecimal digits", cure)
        })?;
        let mut unlocked = self.unlock(account, secret).await?;
        let escrow = self.policies.next(unlocked.locked().manifest());
        let entropy = self.entropy.as_ref();
        let changes = unlocked.revoke(slot, escrow, clock::now(), entropy)?;
        self.keystores.commit(account, changes).await?;
        self.log_staff_act(account, "unlocker revoked").await?;
        Ok(Answer::Done)
    }

    async fn unlock(
        &self,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<Unlocked, Refusal> {
        let locked = self.keystores.locked(account)?;
        let pepper = self.keys.pepper();
        let unlocking = move || {
            locked.unlock(&Attempt {
                secret: &secret,
                scope: Scope::SUDO,
                passwords: true,
                pepper: Some(&pepper),
                now: clock::now(),
                remembered: locked.manifest().version,
            })
        };
        let unlocked = tokio::task::spawn_blocking(unlocking).await;
        Ok(unlocked.map_err(|error| Refusal::failed("unlocking failed", &error))??)
    }
}
