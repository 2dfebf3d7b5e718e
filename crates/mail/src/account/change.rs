//! Every change an owner makes to messages: append, flags, copy, move, expunge.
//!
//! Invariant: a change is on disk before it shows in memory; one change runs at a time per
//! account, to its end, even if the session that asked for it is gone.
//! Refs: RFC 9051 §6.3.12, §6.4.3, §6.4.6, §6.4.7; RFC 7162 §3.1.3; RFC 6851.

use std::sync::Arc;

use seal::blob::{self, BlobKey};
use vocab::{LetterId, RecordKind};

use super::expunged::{PutBack, take_out};
use super::rows::{Change, Writer};
use super::{Account, ChangeError, OWN_ROWS};
use crate::letter::Parsed;
use crate::mailbox::{
    FlagChange, FlagSet, Flags, Mailbox, Message, MessageRow, Name, SpecialUse, encode,
};

/// How many rows one commit changes at most; a longer change is several commits.
pub(super) const ROWS_PER_COMMIT: usize = 500;
/// How many messages one mailbox may hold.
const MESSAGES_MAX: usize = 2_000_000;

/// Where an appended message is (RFC 4315 `APPENDUID`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: u32,
    /// The message's UID.
    pub uid: u32,
}

/// Where copied messages are (RFC 4315 `COPYUID`), pairwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The target's UIDVALIDITY.
    pub uid_validity: u32,
    /// The UIDs they were copied from, ascending.
    pub from: Vec<u32>,
    /// The UIDs they have now.
    pub to: Vec<u32>,
}

/// What STORE did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// UIDs that changed, with their new mod-sequence.
    pub changed: Vec<(u32, u64)>,
    /// UIDs left alone because they had changed meanwhile (RFC 7162 §3.1.3).
    pub modified: Vec<u32>,
}

/// What a STORE asks for.
struct Wanted {
    mailbox: u64,
    change: FlagChange,
    set: FlagSet,
    unchanged_since: Option<u64>,
}

/// A new message of one of the owner's mailboxes, before it has a UID.
struct Draft {
    row: MessageParts,
    body: Vec<u8>,
}

/// A [`MessageRow`] that owns what it holds.
struct MessageParts {
    letter_row: u64,
    letter: [u8; 16],
    body_key: zeroize::Zeroizing<[u8; 32]>,
    size: u32,
    parsed: Parsed,
}

/// UIDs in the pieces that one commit each changes.
struct Pieces<'a> {
    rest: &'a [u32],
    count: usize,
}

impl<'a> Pieces<'a> {
    fn of(rest: &'a [u32]) -> Self {
        Self { rest, count: ROWS_PER_COMMIT }
    }

    fn next(&self) -> Option<&'a [u32]> {
        self.rest.chunks(self.count).next()
    }

    /// Goes on behind `some`. On a full disk it is tried again in smaller pieces: large rows may
    /// together be more than goes into the reserve ([`store::ROOM_BYTES_MAX`]).
    fn after(&mut self, some: &[u32], done: Result<(), ChangeError>) -> Result<(), ChangeError> {
        match done {
            Err(ChangeError::Full) if some.len() > 1 => self.count = some.len() / 2,
            done => {
                done?;
                self.rest = self.rest.get(some.len()..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

impl Account {
    /// Adds a message to a mailbox.
    ///
    /// # Errors
    /// [`ChangeError::NoMailbox`] and what a commit can meet.
    pub async fn append(
        self: &Arc<Self>,
        name: Name,
        message: Vec<u8>,
        set: FlagSet,
        received: Option<u64>,
    ) -> Result<Appended, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let modseq = account.state()?.modseq + 1;
            let sealing = Arc::clone(&account);
            let draft = tokio::task::spawn_blocking(move || sealing.draft(&message, modseq));
            let draft = draft.await.map_err(|_| ChangeError::Failed)??;
            account.append_draft(&mut writer, &name, draft, set, received, modseq).await
        })
        .await
    }

    /// Parses and seals; the slow part of an append.
    fn draft(&self, message: &[u8], modseq: u64) -> Result<Draft, ChangeError> {
        let size = u32::try_from(message.len()).map_err(|_| ChangeError::TooLarge)?;
        let key = BlobKey::random(self.entropy.as_ref());
        let mut letter = [0; 16];
        self.entropy.fill(&mut letter);
        let context = blob::body_context(self.id, LetterId(letter));
        let body = super::body::seal(&key, &context, message, self.entropy.as_ref());
        let body = body.ok_or(ChangeError::Failed)?;
        let letter_row = OWN_ROWS | modseq;
        let body_key = zeroize::Zeroizing::new(*key.expose());
        let row = MessageParts { letter_row, letter, body_key, size, parsed: Parsed::of(message) };
        Ok(Draft { row, body })
    }

    async fn append_draft(
        &self,
        writer: &mut Writer,
        name: &Name,
        draft: Draft,
        set: FlagSet,
        received: Option<u64>,
        modseq: u64,
    ) -> Result<Appended, ChangeError> {
        let now = self.clock.now();
        let epoch = self.keys()?.arrival_epoch(now).ok_or(ChangeError::Failed)?;
        let mut mailbox = {
            let state = self.state()?;
            let mailbox = state.named(name).ok_or(ChangeError::NoMailbox)?;
            has_room(mailbox, 1)?;
            shell(mailbox)
        };
        let uid = mailbox.uid_next;
        mailbox.uid_next = next_uid(uid)?;
        mailbox.highest_modseq = modseq;
        let keywords = self.state_mut()?.keywords.numbers(&set.keywords)?;
        let parts = draft.row;
        let received = received.unwrap_or(now.0);
        let links = [parts.parsed.links.as_slice()].into_iter();
        let thread = self.state_mut()?.threads.place(modseq, links).first().copied();
        let thread = thread.unwrap_or(modseq);
        let row = MessageRow {
            mailbox: mailbox.row,
            uid,
            flags: set.flags.0,
            keywords: set.keywords,
            received,
            size: parts.size,
            letter_row: parts.letter_row,
            letter: parts.letter,
            body_key: *parts.body_key,
            envelope: &parts.parsed.envelope,
            view: &parts.parsed.view,
            verdicts: "",
            sent: parts.parsed.sent,
            thread,
            links: &parts.parsed.links,
            saved: now.0,
        };
        let mut change = self.change()?;
        change.put_blob(RecordKind::LetterBody, parts.letter_row, draft.body);
        change.add_message(modseq, epoch, &row)?;
        change.put_mailbox(&mailbox, modseq)?;
        change.commit(writer).await?;
        let message = Message::of_row(&row, (modseq, modseq, epoch), keywords);
        let uid_validity = mailbox.uid_validity;
        self.apply(modseq, |state| {
            state.bodies.insert(parts.letter_row, 1);
            state.threads.note(thread, &parts.parsed.links);
            if let Some(target) = state.mailboxes.get_mut(&mailbox.row) {
                target.uid_next = mailbox.uid_next;
                target.highest_modseq = modseq;
                target.messages.push(message);
            }
        })?;
        Ok(Appended { uid_validity, uid })
    }

    /// Changes flags. `uids` ascend. A message whose mod-sequence is above `unchanged_since`
    /// is left alone.
    ///
    /// # Errors
    /// What a commit can meet; the messages before it are changed.
    pub async fn store_flags(
        self: &Arc<Self>,
        mailbox: u64,
        uids: Vec<u32>,
        change: FlagChange,
        set: FlagSet,
        unchanged_since: Option<u64>,
    ) -> Result<Stored, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let mut stored = Stored::default();
            // Checked and changed under one lock, so that of two conditional STOREs one loses.
            let wanted = Wanted { mailbox, change, set, unchanged_since };
            let mut pieces = Pieces::of(&uids);
            while let Some(some) = pieces.next() {
                let done = account.store_some(&mut writer, some, &wanted, &mut stored).await;
                pieces.after(some, done)?;
            }
            Ok(stored)
        })
        .await
    }

    async fn store_some(
        &self,
        writer: &mut Writer,
        uids: &[u32],
        wanted: &Wanted,
        stored: &mut Stored,
    ) -> Result<(), ChangeError> {
        let Wanted { mailbox, change, ref set, unchanged_since } = *wanted;
        let (mut changed, mut modified) = (Vec::new(), Vec::new());
        let modseq = {
            let mut state = self.state_mut()?;
            let given = match change {
                // Taking away a keyword nobody has needs no number for it.
                FlagChange::Remove => {
                    set.keywords.iter().filter_map(|name| state.keywords.find(name)).collect()
                }
                FlagChange::Add | FlagChange::Replace => state.keywords.numbers(&set.keywords)?,
            };
            let held = state.mailbox(mailbox).ok_or(ChangeError::NoMailbox)?;
            for message in uids.iter().filter_map(|uid| held.message(*uid)) {
                if unchanged_since.is_some_and(|limit| message.modseq > limit) {
                    modified.push(message.uid);
                    continue;
                }
                let flags = change.flags(message.flags, set.flags);
                let keywords = change.keywords(&message.keywords, &given)?;
                if flags != message.flags || keywords != message.keywords {
                    changed.push(Message { flags, keywords, ..message.clone() });
                }
            }
            state.modseq + 1
        };
        if changed.is_empty() {
            stored.modified.extend(modified);
            return Ok(());
        }
        let mut rows = self.change()?;
        if change != FlagChange::Remove && set.flags.has(Flags::DELETED) {
            // On a full disk this is how an owner begins to make room.
            rows.make_room();
        }
        for message in &mut changed {
            self.rewrite(&mut rows, message, modseq)?;
        }
        rows.commit(writer).await?;
        stored.modified.extend(modified);
        stored.changed.extend(changed.iter().map(|message| (message.uid, modseq)));
        self.apply(modseq, |state| {
            let Some(held) = state.mailboxes.get_mut(&mailbox) else { return };
            held.highest_modseq = modseq;
            for message in changed {
                if let Some(slot) = held.message_mut(message.uid) {
                    *slot = message;
                }
            }
        })
    }

    /// Writes a message's row again, with the flags of `message` and this mod-sequence.
    fn rewrite(
        &self,
        change: &mut Change<'_>,
        message: &mut Message,
        modseq: u64,
    ) -> Result<(), ChangeError> {
        let (sealed, opened) = self.read_message(message.row)?;
        if opened.modseq != message.modseq {
            // An older one, put back under an open account.
            self.found_altered();
            return Err(ChangeError::Failed);
        }
        message.modseq = modseq;
        let mut row: MessageRow<'_> =
            minicbor::decode(&opened.plain).map_err(|_| ChangeError::Failed)?;
        row.flags = message.flags.0;
        row.keywords = self.keyword_names(&message.keywords)?;
        let place = (RecordKind::Message, message.row, sealed);
        change.replace(place, message.epoch, modseq, &encode(&row))
    }

    /// Copies messages to another mailbox, or moves them. `uids` ascend.
    ///
    /// A copy shares the letter's body. A move is one commit per five hundred messages; what a
    /// failure leaves is whole messages on either side, none lost and none twice.
    ///
    /// # Errors
    /// [`ChangeError::NoMailbox`] if the target does not exist, and what a commit can meet.
    pub async fn copy(
        self: &Arc<Self>,
        mailbox: u64,
        uids: Vec<u32>,
        target: Name,
        r#move: bool,
    ) -> Result<Copied, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let mut copied = Copied::default();
            let mut pieces = Pieces::of(&uids);
            while let Some(some) = pieces.next() {
                let done = account
                    .copy_some(&mut writer, mailbox, some, &target, r#move, &mut copied)
                    .await;
                pieces.after(some, done)?;
            }
            Ok(copied)
        })
        .await
    }

    async fn copy_some(
        &self,
        writer: &mut Writer,
        from: u64,
        uids: &[u32],
        target: &Name,
        r#move: bool,
        copied: &mut Copied,
    ) -> Result<(), ChangeError> {
        let (sources, mut shell_from, mut shell_to, mut modseq) = {
            let state = self.state()?;
            let to = state.named(target).ok_or(ChangeError::NoMailbox)?;
            has_room(to, uids.len())?;
            let held = state.mailbox(from).ok_or(ChangeError::NoMailbox)?;
            let sources: Vec<Message> =
                uids.iter().filter_map(|uid| held.message(*uid)).cloned().collect();
            (sources, shell(held), shell(to), state.modseq)
        };
        copied.uid_validity = shell_to.uid_validity;
        if sources.is_empty() {
            return Ok(());
        }
        let mut change = self.change()?;
        if r#move && shell_to.special == Some(SpecialUse::Trash) {
            change.make_room();
        }
        let mut added = Vec::with_capacity(sources.len());
        let saved = self.clock.now().0;
        for source in &sources {
            modseq += 1;
            let uid = shell_to.uid_next;
            shell_to.uid_next = next_uid(uid)?;
            let opened = self.open_message(source.row)?;
            let mut row: MessageRow<'_> =
                minicbor::decode(&opened.plain).map_err(|_| ChangeError::Failed)?;
            (row.mailbox, row.uid, row.saved) = (shell_to.row, uid, saved);
            change.add_message(modseq, source.epoch, &row)?;
            if r#move {
                change.delete(RecordKind::Message, source.row)?;
            }
            added.push(Message { row: modseq, uid, modseq, saved, ..source.clone() });
        }
        shell_to.highest_modseq = modseq;
        change.put_mailbox(&shell_to, modseq)?;
        let within = from == shell_to.row;
        if r#move && !within {
            shell_from.highest_modseq = modseq;
            change.put_mailbox(&shell_from, modseq)?;
        }
        change.commit(writer).await?;
        copied.from.extend(sources.iter().map(|message| message.uid));
        copied.to.extend(added.iter().map(|message| message.uid));
        self.apply(modseq, |state| {
            if r#move && let Some(held) = state.mailboxes.get_mut(&from) {
                take_out(held, &sources);
                held.highest_modseq = modseq;
            }
            if !r#move {
                for message in &added {
                    *state.bodies.entry(message.letter_row).or_insert(0) += 1;
                }
            }
            if let Some(to) = state.mailboxes.get_mut(&shell_to.row) {
                to.uid_next = shell_to.uid_next;
                to.highest_modseq = modseq;
                to.messages.extend(added);
            }
        })
    }

    /// Expunges the messages that bear `\Deleted`: all, or those among `uids`. For some days they
    /// can be put back ([`Account::undelete`]). Gives the UIDs that are gone.
    ///
    /// # Errors
    /// What a commit can meet; what was removed before it is gone.
    pub async fn expunge(
        self: &Arc<Self>,
        mailbox: u64,
        uids: Option<Vec<u32>>,
    ) -> Result<Vec<u32>, ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let (doomed, is_drafts): (Vec<Message>, _) = {
                let state = account.state()?;
                let held = state.mailbox(mailbox).ok_or(ChangeError::NoMailbox)?;
                let is_drafts = held.special == Some(SpecialUse::Drafts);
                let named = |uid| uids.as_ref().is_none_or(|uids| uids.binary_search(&uid).is_ok());
                let all = held.messages.iter();
                let doomed = |it: &&Message| it.flags.has(Flags::DELETED) && named(it.uid);
                (all.filter(doomed).cloned().collect(), is_drafts)
            };
            let put_back = if is_drafts { PutBack::Never } else { PutBack::UnlessFull };
            account.expunge_all(&mut writer, mailbox, &doomed, put_back).await?;
            Ok(doomed.iter().map(|message| message.uid).collect())
        })
        .await
    }
}

/// A mailbox without its messages, to be written as a row.
pub(super) fn shell(mailbox: &Mailbox) -> Mailbox {
    let Mailbox { row, uid_validity, uid_next, highest_modseq, special, .. } = *mailbox;
    let Mailbox { subscribed, exists, recent_from, keep_days, expunges, .. } = *mailbox;
    let (name, messages) = (mailbox.name.clone(), Vec::new());
    Mailbox {
        row,
        name,
        uid_validity,
        uid_next,
        highest_modseq,
        special,
        subscribed,
        exists,
        recent_from,
        keep_days,
        expunges,
        messages,
    }
}

pub(super) fn next_uid(uid: u32) -> Result<u32, ChangeError> {
    // The highest number stands for a saved search (proto::imap::SAVED) and for `*`.
    uid.checked_add(1).filter(|next| *next < u32::MAX - 1).ok_or(ChangeError::Limit)
}

pub(super) fn has_room(mailbox: &Mailbox, more: usize) -> Result<(), ChangeError> {
    if mailbox.messages.len() + more > MESSAGES_MAX { Err(ChangeError::Limit) } else { Ok(()) }
}
