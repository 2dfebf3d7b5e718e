//! How much an account may hold.
//!
//! Invariant: nothing is opened to count, and nothing is deleted by a smaller quota.
//! Refs: RFC 9208.

use mail::quota::Quota;

use super::Cell;
use crate::admin::protocol::{Answer, QuotaAnswer, QuotaChange};
use crate::admin::server::Refusal;

impl Cell {
    /// What an account holds and may hold, after a change of that if one is wanted.
    pub(crate) async fn quota(
        &self,
        address: &str,
        change: Option<QuotaChange>,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        match change {
            Some(QuotaChange::Usual) => self.routes.set_quota(account, None).await?,
            Some(QuotaChange::Own { octets, messages }) => {
                self.routes.set_quota(account, Some(Quota { octets, messages })).await?;
            }
            None => {}
        }
        let used = self.quotas.used(account).map_err(|error| {
            Refusal::failed("the account's records could not be counted", &error)
        })?;
        let Quota { octets, messages } = self.quotas.of(account);
        Ok(Answer::Quota(QuotaAnswer {
            is_usual: self.routes.quota_of(account).is_none(),
            octets,
            messages,
            used_octets: used.octets,
            used_messages: used.messages,
        }))
    }
}
