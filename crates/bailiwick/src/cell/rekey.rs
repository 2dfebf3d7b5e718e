//! Re-keying an account, and a change of its custody, with its owner's secret.
//!
//! Invariant: nothing here works without a secret of the owner that may change unlockers; what is
//! begun is in the log first. Neither a preservation nor an order under way is asked for, so
//! nothing that is said or refused here tells of one.
//! Refs: specs/bw1.md §6.7; docs/adr/0012-rekeying.md.

use custody::user::Target;
use mail::account::{ChangeError, OpenError, RekeyError};
use seal::escrow::EscrowPolicy;
use vocab::Custody;
use zeroize::Zeroizing;

use super::Cell;
use super::unlockers::ALTERED;
use crate::admin::protocol::{Answer, RekeyAnswer};
use crate::admin::server::Refusal;
use crate::clock;

const AGAIN: &str = "do it again; what is left is also done after the owner's next logins";

impl From<RekeyError> for Refusal {
    fn from(error: RekeyError) -> Self {
        let cure = match error {
            RekeyError::Keystore(error) => return error.into(),
            RekeyError::Open(OpenError::Stale) => AGAIN,
            RekeyError::Open(error) => return error.into(),
            RekeyError::Altered => {
                "use `bailiwick admin account check`, restore what is missing or accept what is \
                 there, and do it again"
            }
            RekeyError::Change(ChangeError::Full) => "free disk space, and do it again",
            RekeyError::Change(_) => ALTERED,
        };
        Self::new(error.to_string(), cure)
    }
}

impl Cell {
    /// New keys for all of an account; in another custody, if one is named. Everything is sealed
    /// anew before the answer, which takes as long as the account is large.
    pub(crate) async fn rekey_account(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        custody: Option<Custody>,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let mut unlocked = self.unlock(account, secret.clone()).await?;
        let before = unlocked.locked().manifest().custody;
        let to = custody.unwrap_or(before);
        let policy = match custody {
            Some(custody) => self.offered(custody)?,
            None => self.policies.next(unlocked.locked().manifest()),
        };
        let (cell, policy) = (self.keys.cell(), policy.cloned());
        let entropy = std::sync::Arc::clone(&self.entropy);
        // Every month is escrowed anew, which is milliseconds each.
        let begun = tokio::task::spawn_blocking(move || {
            let target = Target { cell, custody: to, escrow: policy.as_ref() };
            let changes = unlocked.begin_rekey(&target, clock::now(), entropy.as_ref());
            changes.map(|changes| (unlocked, changes))
        });
        let begun = begun.await.map_err(|error| Refusal::failed("the new keys failed", &error))?;
        let (unlocked, changes) = begun?;
        self.log_staff_act(account, act(before, to)).await?;
        self.door.rekey(unlocked, changes).await?;
        let unlocked = self.unlock(account, secret).await?;
        let is_finished = self.door.finish_rekey(unlocked).await?;
        let (before, custody) = (before.into(), to.into());
        Ok(Answer::Rekeyed(RekeyAnswer { before, custody, is_finished }))
    }

    /// The holders of a custody that an account can go over to.
    fn offered(&self, custody: Custody) -> Result<Option<&EscrowPolicy>, Refusal> {
        let policy = self.policies.configured(custody);
        if custody != Custody::Sealed && policy.is_none() {
            return Err(Refusal::new(
                "the cell does not offer this custody",
                "name holders and guards in [custody] of the configuration, and restart",
            ));
        }
        Ok(policy)
    }
}

/// What the log says of it.
fn act(before: Custody, to: Custody) -> &'static str {
    match to {
        _ if before == to => "account re-keyed",
        Custody::Sealed => "custody changed to sealed",
        Custody::Trustee => "custody changed to trustee",
        Custody::Managed => "custody changed to managed",
    }
}
