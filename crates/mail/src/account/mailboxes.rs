//! Making, naming and dropping mailboxes.
//!
//! Invariant: every mailbox's parents exist; INBOX always does; a UIDVALIDITY is never given
//! twice in an account.
//! Refs: RFC 9051 §6.3.4 to §6.3.8; RFC 6154 §2.

use std::sync::Arc;

use vocab::RecordKind;

use super::change::shell;
use super::expunged::PutBack;
use super::rows::{Change, Writer};
use super::{Account, ChangeError};
use crate::mailbox::{MAILBOXES_MAX, Mailbox, Name, SpecialUse, State, encode};

impl Account {
    /// Makes a mailbox, and its parents where they are missing.
    ///
    /// # Errors
    /// [`ChangeError::Exists`], [`ChangeError::Limit`], and what a commit can meet.
    pub async fn create(self: &Arc<Self>, name: Name) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            if account.state()?.named(&name).is_some() {
                return Err(ChangeError::Exists);
            }
            let made = account.new_mailboxes(&[(name, None)])?;
            account.commit_mailboxes(&mut writer, made, &[]).await
        })
        .await
    }

    /// Makes a mailbox if there is none of that name.
    pub(super) async fn ensure(&self, writer: &mut Writer, name: &Name) -> Result<(), ChangeError> {
        if self.state()?.named(name).is_some() {
            return Ok(());
        }
        let made = self.new_mailboxes(&[(name.clone(), None)])?;
        self.commit_mailboxes(writer, made, &[]).await
    }

    /// The mailboxes an account has from the start.
    pub(super) async fn create_first(&self) -> Result<(), ChangeError> {
        let mut wanted = vec![(Name::inbox(), None)];
        for (special, name) in SpecialUse::ALL {
            let name = Name::parse(name).map_err(|_| ChangeError::Failed)?;
            wanted.push((name, Some(special)));
        }
        let made = self.new_mailboxes(&wanted)?;
        self.commit_mailboxes(&mut *self.writing.lock().await, made, &[]).await
    }

    /// These mailboxes and their missing parents, numbered, not yet written.
    fn new_mailboxes(
        &self,
        wanted: &[(Name, Option<SpecialUse>)],
    ) -> Result<Vec<Mailbox>, ChangeError> {
        let state = self.state()?;
        let mut made: Vec<Mailbox> = Vec::new();
        let (mut modseq, mut uid_validity) = (state.modseq, state.uid_validity);
        // RFC 9051 §2.3.1.1: a UIDVALIDITY grows; the time makes it differ after a restore.
        let now = u32::try_from(self.clock.now().0).unwrap_or(u32::MAX / 2);
        for (name, special) in wanted {
            for each in name.parents().chain([name.clone()]) {
                let known = made.iter().any(|mailbox| mailbox.name == each);
                if known || state.named(&each).is_some() {
                    continue;
                }
                modseq += 1;
                uid_validity = now.max(uid_validity + 1);
                let subscribed_only = state.entry(&each);
                made.push(Mailbox {
                    row: subscribed_only.map_or(modseq, |entry| entry.row),
                    subscribed: special.is_some()
                        || each.is_inbox()
                        || subscribed_only.is_some_and(|entry| entry.subscribed),
                    special: if each == *name { *special } else { None },
                    name: each,
                    uid_validity,
                    uid_next: 1,
                    highest_modseq: modseq,
                    exists: true,
                    recent_from: 1,
                    keep_days: 0,
                    expunges: 0,
                    messages: Vec::new(),
                });
            }
        }
        if state.mailboxes.len() + made.len() > MAILBOXES_MAX {
            return Err(ChangeError::Limit);
        }
        Ok(made)
    }

    /// Writes mailboxes and forgets the rows in `gone`, with the account's counters.
    pub(super) async fn commit_mailboxes(
        &self,
        writer: &mut Writer,
        put: Vec<Mailbox>,
        gone: &[u64],
    ) -> Result<(), ChangeError> {
        let (mut modseq, mut uid_validity) = {
            let state = self.state()?;
            (state.modseq + 1, state.uid_validity)
        };
        for mailbox in &put {
            modseq = modseq.max(mailbox.highest_modseq);
            uid_validity = uid_validity.max(mailbox.uid_validity);
        }
        let mut change = self.change()?;
        for mailbox in &put {
            change.put_mailbox(mailbox, modseq)?;
        }
        for row in gone {
            change.delete(RecordKind::Mailbox, *row)?;
        }
        self.put_state(&mut change, modseq, uid_validity)?;
        change.commit(writer).await?;
        self.apply(modseq, |state| {
            state.uid_validity = uid_validity;
            for row in gone {
                state.mailboxes.remove(row);
            }
            for mut mailbox in put {
                if let Some(old) = state.mailboxes.get_mut(&mailbox.row) {
                    mailbox.messages = core::mem::take(&mut old.messages);
                    mailbox.expunges = old.expunges;
                }
                state.mailboxes.insert(mailbox.row, mailbox);
            }
        })
    }

    /// The account's counters, so that no number is given twice though its mailbox is gone.
    pub(super) fn put_state(
        &self,
        change: &mut Change<'_>,
        modseq: u64,
        uid_validity: u32,
    ) -> Result<(), ChangeError> {
        let row = {
            let state = self.state()?;
            let mut row = state.to_row();
            row.modseq = row.modseq.max(modseq);
            row.uid_validity = row.uid_validity.max(uid_validity);
            row
        };
        change.put(RecordKind::AccountState, 0, 0, modseq, &encode(&row))
    }

    /// Drops a mailbox and expunges its messages.
    ///
    /// # Errors
    /// [`ChangeError::Inbox`], [`ChangeError::HasChildren`], [`ChangeError::NoMailbox`], and
    /// what a commit can meet.
    pub async fn delete(self: &Arc<Self>, name: Name) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let (row, messages) = {
                let state = account.state()?;
                let held = state.named(&name).ok_or(ChangeError::NoMailbox)?;
                let below = |other: &Mailbox| other.exists && other.name.is_below(&name);
                if name.is_inbox() {
                    return Err(ChangeError::Inbox);
                }
                if state.mailboxes.values().any(below) {
                    return Err(ChangeError::HasChildren);
                }
                (held.row, held.messages.clone())
            };
            account.expunge_all(&mut writer, row, &messages, PutBack::UnlessFull).await?;
            let (mut left, modseq) = {
                let state = account.state()?;
                let held = state.mailbox(row).ok_or(ChangeError::NoMailbox)?;
                (shell(held), state.modseq + 1)
            };
            left.exists = false;
            left.special = None;
            left.keep_days = 0;
            // RFC 9051 §6.3.7: a subscription outlives its mailbox.
            let mut change = account.change()?;
            if left.subscribed {
                change.put_mailbox(&left, modseq)?;
            } else {
                change.delete(RecordKind::Mailbox, row)?;
            }
            account.put_state(&mut change, modseq, 0)?;
            change.make_room();
            change.commit(&mut writer).await?;
            account.apply(modseq, |state| {
                state.mailboxes.remove(&row);
                if left.subscribed {
                    state.mailboxes.insert(row, left);
                }
            })
        })
        .await
    }

    /// Renames a mailbox and all below it. INBOX itself stays: its messages move.
    ///
    /// # Errors
    /// [`ChangeError::NoMailbox`], [`ChangeError::Exists`], and what a commit can meet.
    pub async fn rename(self: &Arc<Self>, from: Name, to: Name) -> Result<(), ChangeError> {
        if from.is_inbox() {
            return self.empty_inbox_into(to).await;
        }
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let mut gone = Vec::new();
            let mut put = {
                let state = account.state()?;
                state.named(&from).ok_or(ChangeError::NoMailbox)?;
                // RFC 9051 §6.3.6: nothing may move below itself, or onto what exists.
                if to.is_below(&from) || state.named(&to).is_some() {
                    return Err(ChangeError::Exists);
                }
                let mut put = Vec::new();
                for mailbox in state.mailboxes.values() {
                    let Some(name) = mailbox.name.moved(&from, &to) else {
                        let below = mailbox.name == from || mailbox.name.is_below(&from);
                        if below {
                            return Err(ChangeError::Limit);
                        }
                        continue;
                    };
                    if let Some(taken) = state.entry(&name) {
                        if taken.exists {
                            return Err(ChangeError::Exists);
                        }
                        gone.push(taken.row);
                    }
                    put.push(Mailbox { name, ..shell(mailbox) });
                }
                put
            };
            let parents: Vec<_> = to.parents().map(|name| (name, None)).collect();
            put.extend(account.new_mailboxes(&parents)?);
            account.commit_mailboxes(&mut writer, put, &gone).await
        })
        .await
    }

    // RFC 9051 §6.3.6: renaming INBOX moves all its messages to a new mailbox.
    async fn empty_inbox_into(self: &Arc<Self>, to: Name) -> Result<(), ChangeError> {
        self.create(to.clone()).await?;
        let (row, uids) = {
            let state = self.state()?;
            let inbox = state.named(&Name::inbox()).ok_or(ChangeError::NoMailbox)?;
            (inbox.row, inbox.messages.iter().map(|message| message.uid).collect())
        };
        self.copy(row, uids, to, true).await.map(drop)
    }

    /// Subscribes to a name, which need not exist, or ends that.
    ///
    /// # Errors
    /// [`ChangeError::Limit`] and what a commit can meet.
    pub async fn subscribe(self: &Arc<Self>, name: Name, wanted: bool) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let (put, gone) = {
                let state = account.state()?;
                subscription(&state, name, wanted)?
            };
            if put.is_empty() && gone.is_empty() {
                return Ok(());
            }
            account.commit_mailboxes(&mut writer, put, &gone).await
        })
        .await
    }
}

/// The rows to write and to forget for a subscription.
fn subscription(
    state: &State,
    name: Name,
    wanted: bool,
) -> Result<(Vec<Mailbox>, Vec<u64>), ChangeError> {
    match state.entry(&name) {
        Some(entry) if entry.subscribed == wanted => Ok((Vec::new(), Vec::new())),
        Some(entry) if entry.exists => {
            Ok((vec![Mailbox { subscribed: wanted, ..shell(entry) }], Vec::new()))
        }
        Some(entry) => Ok((Vec::new(), vec![entry.row])),
        None if !wanted => Ok((Vec::new(), Vec::new())),
        None if state.mailboxes.len() >= MAILBOXES_MAX => Err(ChangeError::Limit),
        None => {
            let modseq = state.modseq + 1;
            let entry = Mailbox {
                row: modseq,
                name,
                uid_validity: 1,
                uid_next: 1,
                highest_modseq: modseq,
                special: None,
                subscribed: true,
                exists: false,
                recent_from: 1,
                keep_days: 0,
                expunges: 0,
                messages: Vec::new(),
            };
            Ok((vec![entry], Vec::new()))
        }
    }
}
