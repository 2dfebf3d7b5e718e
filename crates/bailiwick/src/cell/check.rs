//! Looking through an account with its owner's secret.
//!
//! Invariant: without a secret of the owner that may change unlockers, nothing is opened; and
//! nothing is changed but by the owner's word.
//! Refs: specs/bw1.md §8.4.

use mail::account::{ChangeError, Checked, Finding, OpenError};
use zeroize::Zeroizing;

use super::Cell;
use super::unlockers::ALTERED;
use crate::admin::protocol::{Answer, CheckAnswer, FindingLine};
use crate::admin::server::Refusal;

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        let cure = match error {
            OpenError::Tampered => ALTERED,
            OpenError::Stale => "ask again",
            OpenError::Failed => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl Cell {
    /// Opens every row of an account and looks at every body; `accept` then takes what is there
    /// for what is to be there.
    pub(crate) async fn check_account(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        accept: bool,
    ) -> Result<Answer, Refusal> {
        let id = self.account_of(address)?;
        let unlocked = self.unlock(id, secret).await?;
        let escrows = self.keystores.wrong_escrows(id, unlocked.locked())?;
        let account = self.door.open_unlocked(unlocked).await?;
        let Checked { messages, mailboxes, waiting, mut findings } = account.check().await?;
        findings.extend((escrows > 0).then_some(Finding::Escrows(escrows)));
        let is_accepted = accept && findings.contains(&Finding::Anchor);
        if is_accepted {
            account.accept().await.map_err(|error| {
                if error == ChangeError::Full {
                    return Refusal::new(error.to_string(), "free disk space");
                }
                Refusal::failed("what is there could not be accepted", &error)
            })?;
            self.log_staff_act(id, "account accepted as found").await?;
        }
        let line = |finding: &Finding| FindingLine {
            what: finding.what(),
            cure: finding.cure().to_owned(),
        };
        let findings = findings.iter().map(line).collect();
        Ok(Answer::Checked(CheckAnswer { messages, mailboxes, waiting, findings, is_accepted }))
    }
}
