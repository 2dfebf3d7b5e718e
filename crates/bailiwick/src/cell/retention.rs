//! How long an owner's messages are kept.
//!
//! Invariant: set with a secret of the owner that may change unlockers, and by nothing else.
//! Refs: specs/mail-rows.md §3, §5.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Cell;
use super::undelete::{mailbox, not_made};
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;

/// How long messages are kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct RetentionAnswer {
    /// Days, in mailboxes without days of their own; 0 for ever.
    pub(crate) account: u16,
    /// Mailboxes with days of their own.
    pub(crate) mailboxes: Vec<(String, u16)>,
}

impl RetentionAnswer {
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match self.account {
            0 => "account    keeps messages until they are deleted".to_owned(),
            days => format!("account    keeps messages for {days} days"),
        }];
        let own = self.mailboxes.iter();
        lines.extend(own.map(|(name, days)| format!("mailbox    {days:>5} days  {name}")));
        lines
    }
}

impl Cell {
    /// How long an account keeps messages, after a change of that if one is wanted.
    pub(crate) async fn retention(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        name: Option<&str>,
        days: Option<u16>,
    ) -> Result<Answer, Refusal> {
        let account = self.opened(address, secret).await?;
        let name = name.map(mailbox).transpose()?;
        if let Some(days) = days {
            account.retain(name, days).await.map_err(not_made)?;
        }
        let (days, own) = account.retention().map_err(not_made)?;
        let mailboxes = own.into_iter().map(|(name, days)| (name.to_string(), days)).collect();
        Ok(Answer::Retention(RetentionAnswer { account: days, mailboxes }))
    }
}
