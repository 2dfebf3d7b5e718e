//! How long an owner keeps messages: a number of days for a mailbox, or for the account.
//!
//! Counted from the day a message came into its mailbox, so that moving an old letter to one that
//! keeps little does not destroy it at once. Nothing is set unless its owner sets it.
//!
//! Invariant: what is kept long enough is expunged by the one change every client is told of, and
//! can be put back like all that is expunged; what a preservation holds stays held.
//! Refs: specs/mail-rows.md §3, §5.

use std::sync::Arc;

use vocab::RecordKind;

use super::change::shell;
use super::expunged::PutBack;
use super::{Account, ChangeError};
use crate::mailbox::{Mailbox, Message, Name, encode};

const DAY_SECONDS: u64 = 86_400;

impl Account {
    /// How long messages are kept: the account's own days, and those of mailboxes with days of
    /// their own. 0 is for ever.
    ///
    /// # Errors
    /// [`ChangeError::Failed`] if another thread died while changing them.
    pub fn retention(&self) -> Result<(u16, Vec<(Name, u16)>), ChangeError> {
        let state = self.state()?;
        let own = state.mailboxes.values().filter(|held| held.exists && held.keep_days > 0);
        Ok((state.keep_days, own.map(|held| (held.name.clone(), held.keep_days)).collect()))
    }

    /// Keeps what comes into a mailbox for so many days, or, without a name, what comes into any
    /// that has no days of its own; 0 is for ever. What is older now goes with the next upkeep.
    ///
    /// # Errors
    /// [`ChangeError::NoMailbox`], and what a commit can meet.
    pub async fn retain(
        self: &Arc<Self>,
        name: Option<Name>,
        days: u16,
    ) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            if let Some(name) = name {
                let changed = {
                    let state = account.state()?;
                    let held = state.named(&name).ok_or(ChangeError::NoMailbox)?;
                    Mailbox { keep_days: days, ..shell(held) }
                };
                return account.commit_mailboxes(&mut writer, vec![changed], &[]).await;
            }
            let (mut row, modseq) = {
                let state = account.state()?;
                (state.to_row(), state.modseq + 1)
            };
            (row.keep_days, row.modseq) = (days, modseq);
            let mut change = account.change()?;
            change.put(RecordKind::AccountState, 0, 0, modseq, &encode(&row))?;
            change.commit(&mut writer).await?;
            account.apply(modseq, |state| state.keep_days = days)
        })
        .await
    }

    /// Expunges what was kept long enough.
    pub(super) async fn expire(self: &Arc<Self>) -> Result<(), ChangeError> {
        if self.kept_too_long()?.is_empty() {
            return Ok(());
        }
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            for (mailbox, old) in account.kept_too_long()? {
                account.expunge_all(&mut writer, mailbox, &old, PutBack::Always).await?;
            }
            Ok(())
        })
        .await
    }

    /// The messages that have been in their mailboxes for longer than they are to be kept.
    fn kept_too_long(&self) -> Result<Vec<(u64, Vec<Message>)>, ChangeError> {
        let now = self.clock.now().0;
        let state = self.state()?;
        let mut old = Vec::new();
        for held in state.mailboxes.values().filter(|held| held.exists) {
            let days = if held.keep_days > 0 { held.keep_days } else { state.keep_days };
            if days == 0 {
                continue;
            }
            let since = now.saturating_sub(u64::from(days) * DAY_SECONDS);
            let is_old = |message: &&Message| message.saved < since;
            let messages: Vec<Message> = held.messages.iter().filter(is_old).cloned().collect();
            if !messages.is_empty() {
                old.push((held.row, messages));
            }
        }
        Ok(old)
    }
}
