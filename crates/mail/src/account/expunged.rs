//! What an owner expunged and can still put back, for some days.
//!
//! An expunged message's row becomes one of kind [`RecordKind::ExpungedMessage`]; its body stays.
//! On its day it is purged by a session of its owner, or else by the cell, which has no key and
//! leaves a husk.
//!
//! Invariant: a body goes in the commit that deletes the last row naming it, not before; who has
//! no key purges nothing before its day, and nothing that an anchor would not tell.
//! Refs: specs/mail-rows.md §7; RFC 9051 §6.4.3; specs/bw1.md §8.4.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::{CommitError, ReadError};
use vocab::{AccountId, RecordKind, Row, Timestamp};

use super::change::{ROWS_PER_COMMIT, has_room, next_uid, shell};
use super::keys::Keys;
use super::mark::standing;
use super::rows::{Change, Writer};
use super::{Account, ChangeError, Registry, Services};
use crate::mailbox::{
    Expunged, ExpungedMessage, ExpungedRow, Flags, Mailbox, Message, MessageRow, Name, State,
    Threads, day_of, encode, letter_of, row_of,
};

const KIND: RecordKind = RecordKind::ExpungedMessage;
const DAY_SECONDS: u64 = 86_400;
/// How often an open account looks what is due.
const LOOK: Duration = Duration::from_secs(3600);
/// Octets of a husk: a sealed row's head and tag (specs/bw1.md §8.1).
const HUSK_HEAD: usize = 28;
const HUSK_TAG: usize = 16;
/// Octets of messages after which a row takes in no more of its letter's: they are copies of what
/// it has.
const ROW_OCTETS: usize = 1 << 20;

/// What is to be put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undelete {
    /// Only what was in a mailbox of this name.
    pub mailbox: Option<Name>,
    /// Only what was expunged on this day or later, in days since 1970-01-01 UTC.
    pub since: Option<u32>,
}

/// Whether messages can be put back for some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutBack {
    /// They can: nobody asked that they go now.
    Always,
    /// They can, unless the disk is full.
    UnlessFull,
    /// They are drafts, of which every next one replaces the one before.
    Never,
}

/// Some messages that can be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpungedShown {
    /// The name their mailbox had.
    pub mailbox: String,
    /// The day they were expunged, in days since 1970-01-01 UTC.
    pub expunged: u32,
    /// The day they are purged.
    pub purged: u32,
    /// How many they are.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
}

/// Days since 1970-01-01 UTC.
pub(super) fn day(now: Timestamp) -> u32 {
    u32::try_from(now.0 / DAY_SECONDS).unwrap_or(u32::MAX)
}

/// The day on which is purged what is expunged `today`: all of its last day can be put back. No
/// later than a row's number can say.
fn purged_on(today: u32, undelete_days: u16) -> u32 {
    let purged = today.saturating_add(u32::from(undelete_days)).saturating_add(1);
    purged.min(u32::from(u16::MAX))
}

fn is_husk(sealed: &[u8]) -> bool {
    sealed.len() == HUSK_HEAD + HUSK_TAG
}

/// What the cell leaves of a row.
fn husk(sealed: &[u8]) -> Option<Vec<u8>> {
    let (head, tag) = (sealed.first_chunk::<HUSK_HEAD>()?, sealed.last_chunk::<HUSK_TAG>()?);
    Some([head.as_slice(), tag].concat())
}

/// Takes a stored row into memory; `None` if it does not open.
pub(super) fn load(state: &mut State, keys: &Keys, row: u64, sealed: &[u8]) -> Option<()> {
    let header = seal::row::header(sealed).ok()?;
    state.modseq = state.modseq.max(header.modseq.0);
    let size = if is_husk(sealed) {
        0
    } else {
        let opened = keys.open_row(KIND, row, sealed)?;
        let held: ExpungedRow<'_> = minicbor::decode(&opened.plain).ok()?;
        let message: MessageRow<'_> = minicbor::decode(held.messages.first()?.row).ok()?;
        (message.letter_row == letter_of(row)).then_some(message.size)?
    };
    state.window.insert(row, Expunged { size, is_husk: is_husk(sealed) });
    Some(())
}

/// The bodies that nothing names any more when these messages and rows are gone.
fn unneeded(state: &State, messages: &[Message], rows: &BTreeSet<u64>) -> Vec<u64> {
    let live = |letter| state.bodies.get(&letter).copied().unwrap_or(0);
    let mut left: BTreeMap<u64, u32> = BTreeMap::new();
    for Message { letter_row, .. } in messages {
        let named = || live(*letter_row) + state.window.names(*letter_row);
        let left = left.entry(*letter_row).or_insert_with(named);
        *left = left.saturating_sub(1);
    }
    for letter in rows.iter().map(|row| letter_of(*row)) {
        let named = || live(letter) + state.window.names(letter);
        let left = left.entry(letter).or_insert_with(named);
        *left = left.saturating_sub(1);
    }
    left.into_iter().filter(|(_, named)| *named == 0).map(|(letter, _)| letter).collect()
}

/// Messages of mailboxes that are gone no longer name their bodies.
fn forget_bodies(state: &mut State, gone: &[Message]) {
    for message in gone {
        if let Some(shared) = state.bodies.get_mut(&message.letter_row) {
            *shared = shared.saturating_sub(1);
            if *shared == 0 {
                state.bodies.remove(&message.letter_row);
            }
        }
    }
}

/// Takes messages, ascending by UID, out of a mailbox.
pub(super) fn take_out(mailbox: &mut Mailbox, gone: &[Message]) {
    mailbox
        .messages
        .retain(|held| gone.binary_search_by_key(&held.uid, |message| message.uid).is_err());
    mailbox.expunges += 1;
}

/// An [`ExpungedMessage`] that owns what it holds.
struct Kept {
    mailbox: String,
    day: u32,
    row: Vec<u8>,
}

/// What one row will hold.
#[derive(Default)]
struct Gathered {
    epoch: u32,
    size: u32,
    messages: Vec<Kept>,
}

impl Gathered {
    fn octets(&self) -> usize {
        self.messages.iter().map(|kept| kept.mailbox.len() + kept.row.len()).sum()
    }

    fn encode(&self) -> Vec<u8> {
        let messages = self.messages.iter().map(|kept| ExpungedMessage {
            mailbox: &kept.mailbox,
            day: kept.day,
            row: &kept.row,
        });
        encode(&ExpungedRow { messages: messages.collect() })
    }
}

impl Account {
    fn today(&self) -> u32 {
        day(self.clock.now())
    }

    /// Expunges messages, ascending by UID.
    pub(super) async fn expunge_all(
        &self,
        writer: &mut Writer,
        mailbox: u64,
        doomed: &[Message],
        put_back: PutBack,
    ) -> Result<(), ChangeError> {
        let keep = self.undelete_days > 0 && put_back != PutBack::Never;
        for some in doomed.chunks(ROWS_PER_COMMIT) {
            let done = self.expunge_some(writer, mailbox, some, keep).await;
            match done {
                // Who deletes on a full disk wants room.
                Err(ChangeError::Full) if keep && put_back == PutBack::UnlessFull => {
                    self.expunge_some(writer, mailbox, some, false).await?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn expunge_some(
        &self,
        writer: &mut Writer,
        mailbox: u64,
        doomed: &[Message],
        keep: bool,
    ) -> Result<(), ChangeError> {
        let mut change = self.change()?;
        let (mut shell, modseq) = {
            let state = self.state()?;
            let held = state.mailbox(mailbox).ok_or(ChangeError::NoMailbox)?;
            (shell(held), state.modseq + 1)
        };
        for message in doomed {
            change.delete(RecordKind::Message, message.row)?;
        }
        let kept = if keep {
            self.keep(&mut change, shell.name.as_str(), doomed, modseq)?
        } else {
            change.make_room();
            for body in unneeded(&*self.state()?, doomed, &BTreeSet::new()) {
                change.delete_blob(RecordKind::LetterBody, body);
            }
            Vec::new()
        };
        shell.highest_modseq = modseq;
        change.put_mailbox(&shell, modseq)?;
        change.commit(writer).await?;
        self.apply(modseq, |state| {
            forget_bodies(state, doomed);
            for (row, size) in kept {
                state.window.insert(row, Expunged { size, is_husk: false });
            }
            if let Some(held) = state.mailboxes.get_mut(&mailbox) {
                held.highest_modseq = modseq;
                take_out(held, doomed);
            }
        })
    }

    /// Puts the rows of messages that are to be purged later; gives their numbers and sizes.
    fn keep(
        &self,
        change: &mut Change<'_>,
        mailbox: &str,
        doomed: &[Message],
        modseq: u64,
    ) -> Result<Vec<(u64, u32)>, ChangeError> {
        let today = self.today();
        let purged = purged_on(today, self.undelete_days);
        let mut rows: BTreeMap<u64, Gathered> = BTreeMap::new();
        for message in doomed {
            let row = row_of(purged, message.letter_row).ok_or(ChangeError::Limit)?;
            let gathered = match rows.entry(row) {
                Entry::Occupied(begun) => begun.into_mut(),
                Entry::Vacant(place) => {
                    let before = self.state()?.window.row(row).is_some_and(|it| !it.is_husk);
                    let stored = if before { self.gathered(row)? } else { Gathered::default() };
                    let (epoch, size) = (message.epoch, message.size);
                    place.insert(Gathered { epoch, size, ..stored })
                }
            };
            let opened = self.open_message(message.row)?;
            if opened.modseq != message.modseq {
                // An older one, put back under an open account.
                self.found_altered();
                return Err(ChangeError::Failed);
            }
            if gathered.octets() < ROW_OCTETS {
                let kept = Kept { mailbox: mailbox.to_owned(), day: today, row: opened.plain };
                gathered.messages.push(kept);
            }
        }
        for (row, gathered) in &rows {
            change.put(KIND, *row, gathered.epoch, modseq, &gathered.encode())?;
        }
        Ok(rows.into_iter().map(|(row, gathered)| (row, gathered.size)).collect())
    }

    /// What a stored row holds.
    fn gathered(&self, row: u64) -> Result<Gathered, ChangeError> {
        let sealed = self.read.get(self.id, KIND, Row(row));
        let sealed = sealed.ok().flatten().ok_or(ChangeError::Failed)?;
        let opened = self.keys()?.open_row(KIND, row, &sealed).ok_or(ChangeError::Failed)?;
        let held: ExpungedRow<'_> =
            minicbor::decode(&opened.plain).map_err(|_| ChangeError::Failed)?;
        let size = self.state()?.window.row(row).map_or(0, |expunged| expunged.size);
        let owned = |kept: &ExpungedMessage<'_>| Kept {
            mailbox: kept.mailbox.to_owned(),
            day: kept.day,
            row: kept.row.to_vec(),
        };
        let messages = held.messages.iter().map(owned).collect();
        Ok(Gathered { epoch: opened.epoch, size, messages })
    }

    /// The rows that can be put back.
    fn within(&self) -> Result<Vec<u64>, ChangeError> {
        let today = self.today();
        let state = self.state()?;
        let rows = state.window.rows().filter(|(row, it)| !it.is_husk && day_of(*row) > today);
        Ok(rows.map(|(row, _)| row).collect())
    }

    /// What can be put back, by mailbox and day; the last expunged first. Opens every such row on
    /// the caller's thread.
    ///
    /// # Errors
    /// [`ChangeError::Failed`] if a row does not open.
    pub fn expunged(&self) -> Result<Vec<ExpungedShown>, ChangeError> {
        let mut shown: BTreeMap<(u32, u32, String), (u64, u64)> = BTreeMap::new();
        for row in self.within()? {
            let gathered = self.gathered(row)?;
            for kept in gathered.messages {
                let sum = shown.entry((kept.day, day_of(row), kept.mailbox)).or_default();
                *sum = (sum.0 + 1, sum.1.saturating_add(u64::from(gathered.size)));
            }
        }
        let line = |((expunged, purged, mailbox), (messages, octets))| ExpungedShown {
            mailbox,
            expunged,
            purged,
            messages,
            octets,
        };
        Ok(shown.into_iter().rev().map(line).collect())
    }

    /// Puts expunged messages back, each with a new UID into the mailbox of the name its own had,
    /// which is made if it is gone, and without `\Deleted`. Gives how many.
    ///
    /// # Errors
    /// What a commit can meet; what was put back before it is back.
    pub async fn undelete(self: &Arc<Self>, which: Undelete) -> Result<u64, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let mut count = 0;
            for row in account.within()? {
                let is_wanted = |kept: &Kept| {
                    which.since.is_none_or(|since| kept.day >= since)
                        && which.mailbox.as_ref().is_none_or(|name| kept.mailbox == name.as_str())
                };
                let mut gathered = account.gathered(row)?;
                let (wanted, rest) = gathered.messages.drain(..).partition(is_wanted);
                gathered.messages = rest;
                let wanted: Vec<Kept> = wanted;
                if !wanted.is_empty() {
                    count += u64::try_from(wanted.len()).unwrap_or(u64::MAX);
                    account.put_back(&mut writer, row, gathered, wanted).await?;
                }
            }
            Ok(count)
        })
        .await
    }

    /// Puts some of one row's messages back, in one commit; `left` is what stays expunged.
    async fn put_back(
        &self,
        writer: &mut Writer,
        row: u64,
        left: Gathered,
        wanted: Vec<Kept>,
    ) -> Result<(), ChangeError> {
        let mut names = Vec::with_capacity(wanted.len());
        for kept in &wanted {
            let name = Name::parse(&kept.mailbox).map_err(|_| ChangeError::Failed)?;
            self.ensure(writer, &name).await?;
            names.push(name);
        }
        let mut change = self.change()?;
        let (mut shells, mut modseq): (BTreeMap<u64, Mailbox>, u64) = (BTreeMap::new(), {
            let state = self.state()?;
            state.modseq
        });
        let (mut back, saved) = (Vec::with_capacity(wanted.len()), self.clock.now().0);
        let mut threads = Threads::default();
        for (kept, name) in wanted.iter().zip(&names) {
            modseq += 1;
            let target = {
                let state = self.state()?;
                let held = state.named(name).ok_or(ChangeError::NoMailbox)?;
                has_room(held, wanted.len())?;
                shells.entry(held.row).or_insert_with(|| shell(held)).row
            };
            let to = shells.get_mut(&target).ok_or(ChangeError::NoMailbox)?;
            let uid = to.uid_next;
            (to.uid_next, to.highest_modseq) = (next_uid(uid)?, modseq);
            let mut row: MessageRow<'_> =
                minicbor::decode(&kept.row).map_err(|_| ChangeError::Failed)?;
            (row.mailbox, row.uid, row.saved) = (target, uid, saved);
            row.flags = Flags(row.flags).without(Flags::DELETED).0;
            change.add_message(modseq, left.epoch, &row)?;
            let keywords = self.state_mut()?.keywords.numbers(&row.keywords)?;
            threads.note(row.thread, row.links);
            back.push((target, Message::of_row(&row, (modseq, modseq, left.epoch), keywords)));
        }
        if left.messages.is_empty() {
            change.delete(KIND, row)?;
        } else {
            change.put(KIND, row, left.epoch, modseq, &left.encode())?;
        }
        for to in shells.values() {
            change.put_mailbox(to, modseq)?;
        }
        change.commit(writer).await?;
        self.apply(modseq, |state| {
            if left.messages.is_empty() {
                state.window.remove(row);
            }
            state.threads.join(threads);
            for (target, message) in back {
                *state.bodies.entry(message.letter_row).or_insert(0) += 1;
                if let Some(held) = state.mailboxes.get_mut(&target) {
                    held.uid_next = message.uid.saturating_add(1);
                    held.highest_modseq = message.modseq;
                    held.messages.push(message);
                }
            }
        })
    }

    /// Purges everything that was expunged: from now on nothing puts it back. Gives how many
    /// letters that were.
    ///
    /// # Errors
    /// What a commit can meet; what was purged before it is gone.
    pub async fn purge(self: &Arc<Self>) -> Result<u64, ChangeError> {
        self.purge_where(|_, _| true).await
    }

    /// Purges the letters expunged first, until `octets` are free of them or none is left.
    ///
    /// # Errors
    /// What a commit can meet; what was purged before it is gone.
    pub(crate) async fn purge_oldest(self: &Arc<Self>, octets: u64) -> Result<u64, ChangeError> {
        let mut freed = 0_u64;
        self.purge_where(move |_, expunged| {
            let wanted = freed < octets;
            freed = freed.saturating_add(if wanted { u64::from(expunged.size) } else { 0 });
            wanted
        })
        .await
    }

    async fn purge_where(
        self: &Arc<Self>,
        mut which: impl FnMut(u64, &Expunged) -> bool + Send + 'static,
    ) -> Result<u64, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let rows: Vec<u64> = {
                let state = account.state()?;
                let rows = state.window.rows().filter(|(row, expunged)| which(*row, expunged));
                rows.map(|(row, _)| row).collect()
            };
            for some in rows.chunks(ROWS_PER_COMMIT) {
                account.purge_some(&mut writer, some).await?;
            }
            Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
        })
        .await
    }

    async fn purge_some(&self, writer: &mut Writer, rows: &[u64]) -> Result<(), ChangeError> {
        let mut change = self.change()?;
        change.make_room();
        let rows: BTreeSet<u64> = rows.iter().copied().collect();
        for row in &rows {
            change.delete(KIND, *row)?;
        }
        for body in unneeded(&*self.state()?, &[], &rows) {
            change.delete_blob(RecordKind::LetterBody, body);
        }
        change.commit(writer).await?;
        let mut state = self.state_mut()?;
        rows.iter().for_each(|row| state.window.remove(*row));
        Ok(())
    }

    /// Purges what is due and expunges what is kept long enough, now and as long as the account is
    /// open.
    pub(super) async fn start_upkeep(self: &Arc<Self>) {
        if self.state().is_ok_and(|state| state.window.has_early_husk(self.today())) {
            self.found_altered();
        }
        self.upkeep_or_say().await;
        let account = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(account) = account.upgrade() else { return };
                account.upkeep_or_say().await;
            }
        });
        if let Ok(mut upkeep) = self.upkeep.lock() {
            *upkeep = Some(task.abort_handle());
        }
    }

    /// One such look; the log says if it fails.
    pub(super) async fn upkeep_or_say(self: &Arc<Self>) {
        let today = self.today();
        let is_due = move |row| day_of(row) <= today;
        // The rows come in the order of their days.
        let due = self
            .state()
            .is_ok_and(|it| it.window.rows().next().is_some_and(|(row, _)| is_due(row)));
        let purged = if due { self.purge_where(move |row, _| is_due(row)).await } else { Ok(0) };
        if let Err(error) = purged {
            tracing::warn!(%error, "expunged messages could not be purged; it is tried again");
        }
        if let Err(error) = self.expire().await {
            tracing::warn!(%error, "old messages could not be expunged; it is tried again");
        }
    }
}

impl Registry {
    /// Purges, without a key, what is due in accounts that no session has open: of each such row
    /// only a husk stays. Gives how many. Blocks on the disk; look daily.
    ///
    /// # Errors
    /// [`ReadError`] if the store cannot say what is there; what was purged before it is gone.
    pub fn purge_due(&self) -> Result<u64, ReadError> {
        let Services { read, clock, .. } = self.services();
        let today = day(clock.now());
        let mut purged = 0;
        for found in read.accounts() {
            let (account, _) = found?;
            if !self.is_open(account) {
                purged += self.purge_account(account, today)?;
            }
        }
        Ok(purged)
    }

    fn purge_account(&self, account: AccountId, today: u32) -> Result<u64, ReadError> {
        let Services { read, append, .. } = self.services();
        let (mut purged, mut from) = (0, Row(0));
        loop {
            // Whoever opens the account meanwhile changes it, and purges by itself.
            let change = read.change(account)?;
            let mut batch = standing(account).require_change(change).to_make_room();
            for found in read.scan(account, KIND, from) {
                let (row, sealed): (Row, Bytes) = match found {
                    Ok(found) => found,
                    Err(ReadError::Damaged { .. }) => continue,
                    Err(error) => return Err(error),
                };
                if day_of(row.0) > today || batch.len() >= ROWS_PER_COMMIT {
                    break;
                }
                from = row;
                if !is_husk(&sealed)
                    && let Some(husk) = husk(&sealed)
                {
                    batch = batch.put(KIND, row, husk);
                }
            }
            let some = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            if some == 0 {
                return Ok(purged);
            }
            match append.commit_blocking(batch) {
                Ok(_) => purged += some,
                Err(CommitError::Conflict | CommitError::Exists) => return Ok(purged),
                Err(error) => {
                    tracing::warn!(%error, "expunged messages could not be purged; it is tried again");
                    return Ok(purged);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_configured_there_is_a_row_for_what_is_expunged() {
        assert_eq!(purged_on(20_778, 14), 20_793);
        for days in [1, u16::MAX] {
            assert!(row_of(purged_on(20_778, days), 1).is_some());
        }
    }
}
