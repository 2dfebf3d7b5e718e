//! Opening an account: its rows, once, into memory.
//!
//! Invariant: a message whose row does not open is reported, not shown and not touched; if the
//! account's own rows do not open, the account does not. Rows that are missing, old or added are
//! told from the anchor.
//! Refs: specs/bw1.md §8, §8.4.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use store::{Read, ReadError};
use tokio::sync::Semaphore;
use vocab::{AccountId, RecordKind, Row};

use super::index::Indexing;
use super::keys::{Keys, OpenKeys};
use super::rows::{ANCHOR_ROW, COVERED, Kept, Writer};
use super::{Account, Anchors, IN_TRANSIT_OCTETS, KeystoreError, Services};
use crate::mailbox::{
    Flags, Mailbox, MailboxRow, Message, MessageRow, Name, SpecialUse, State, StateRow,
};

/// Why an account could not be opened though its keys were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A row of its own does not open: it was altered, or sealed by what is not known here.
    #[error("a row of the account does not open")]
    Tampered,
    /// The store failed, or the disk is full and nothing was there yet.
    #[error("the store failed")]
    Failed,
}

/// The kinds that are kept in memory.
const LOADED: [RecordKind; 3] =
    [RecordKind::AccountState, RecordKind::Mailbox, RecordKind::Message];

/// What loading found.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) unreadable: usize,
    /// What the rows that open come to.
    pub(super) found: Option<Kept>,
    /// The stored anchor, if all rows open and are those it knows.
    pub(super) kept: Option<Kept>,
}

impl Account {
    /// Loads everything, makes the first mailboxes if there are none, folds what arrived, and
    /// goes on folding.
    pub(super) async fn load(
        keys: OpenKeys,
        services: &Services,
        indexers: &Arc<Semaphore>,
    ) -> Result<Arc<Self>, OpenError> {
        let (keys, read) = (Arc::new(Keys::new(keys)), services.read.clone());
        let anchors = Arc::clone(&services.anchors);
        let id = keys.account();
        let loading = Arc::clone(&keys);
        // Fifty thousand rows are tens of milliseconds: not for an async thread.
        let loaded = tokio::task::spawn_blocking(move || load(id, &loading, &read, &anchors));
        let loaded = loaded.await.map_err(|_| OpenError::Failed)??;
        if loaded.unreadable > 0 {
            tracing::error!(rows = loaded.unreadable, "message rows do not open");
        }
        let is_altered = loaded.kept.is_none();
        let fresh = loaded.state.named(&Name::inbox()).is_none();
        let account = Arc::new(Self {
            id,
            keys: RwLock::new(keys),
            read: services.read.clone(),
            entropy: Arc::clone(&services.entropy),
            clock: Arc::clone(&services.clock),
            state: RwLock::new(loaded.state),
            altered: AtomicBool::new(false),
            anchors: Arc::clone(&services.anchors),
            writing: tokio::sync::Mutex::new(Writer::new(services.append.clone(), loaded.kept)),
            changes: tokio::sync::watch::Sender::new(0),
            folding: Mutex::new(None),
            indexing: Indexing::new(Arc::clone(indexers)),
            arrivals_wait: Arc::default(),
            in_transit: Arc::new(Semaphore::new(IN_TRANSIT_OCTETS)),
        });
        if is_altered {
            account.found_altered();
        }
        if fresh {
            account.create_first().await.map_err(|_| OpenError::Failed)?;
        }
        account.start_folding().await?;
        account.start_indexing();
        Ok(account)
    }
}

/// The rows as they are read: what they come to, and whether each of them opened.
struct Rows<'a> {
    id: AccountId,
    keys: &'a Keys,
    read: &'a Read,
    found: Option<Kept>,
    lost: usize,
}

impl Rows<'_> {
    /// Calls `take` with each row of a kind; it says whether the row opened. One the disk has
    /// lost is no reason to show nothing.
    fn each(
        &mut self,
        kind: RecordKind,
        mut take: impl FnMut(&Keys, u64, &[u8]) -> bool,
    ) -> Result<(), OpenError> {
        for found in self.read.scan(self.id, kind, Row(0)) {
            let (row, sealed) = match found {
                Ok(found) => found,
                Err(ReadError::Damaged { .. }) => {
                    self.lost += 1;
                    continue;
                }
                Err(ReadError::Io(_) | ReadError::Index(_)) => return Err(OpenError::Failed),
            };
            let is_whole = take(self.keys, row.0, &sealed);
            let take_in = |kept: &mut Kept| kept.take_in(self.keys, kind, row, &sealed);
            let is_known = is_whole && self.found.as_mut().and_then(take_in).is_some();
            self.lost += usize::from(!is_known);
        }
        Ok(())
    }

    /// The anchor, if these are the rows it knows.
    fn kept(&self) -> Result<Option<Kept>, OpenError> {
        let stored = match self.read.get(self.id, RecordKind::AccountAnchor, ANCHOR_ROW) {
            Ok(stored) => stored,
            Err(ReadError::Damaged { .. }) => return Ok(None),
            Err(ReadError::Io(_) | ReadError::Index(_)) => return Err(OpenError::Failed),
        };
        let found = self.found.as_ref().filter(|_| self.lost == 0);
        Ok(found.and_then(|found| match stored {
            Some(stored) => found.agreed(self.keys, self.read, &stored),
            None if found.count() == 0 => Kept::start(self.keys),
            None => None,
        }))
    }
}

/// Reads and opens every row.
pub(super) fn load(
    id: AccountId,
    keys: &Keys,
    read: &Read,
    anchors: &Anchors,
) -> Result<Loaded, OpenError> {
    let mut state = State::default();
    let mut rows = Rows { id, keys, read, found: Kept::start(keys), lost: 0 };
    let mut own = true;
    rows.each(RecordKind::AccountState, |keys, row, sealed| {
        own &= account_state(&mut state, keys, row, sealed).is_some();
        own
    })?;
    rows.each(RecordKind::Mailbox, |keys, row, sealed| {
        let mailbox = mailbox(keys, row, sealed);
        own &= mailbox.is_some();
        let Some(mailbox) = mailbox else { return false };
        state.modseq = state.modseq.max(mailbox.highest_modseq);
        state.uid_validity = state.uid_validity.max(mailbox.uid_validity);
        state.mailboxes.insert(row, mailbox);
        true
    })?;
    if !own || rows.lost > 0 {
        return Err(OpenError::Tampered);
    }
    rows.each(RecordKind::Message, |keys, row, sealed| {
        place(&mut state, keys, row, sealed).is_some()
    })?;
    let unreadable = rows.lost;
    for kind in COVERED.into_iter().filter(|kind| !LOADED.contains(kind)) {
        rows.each(kind, |keys, row, sealed| keys.open_row(kind, row, sealed).is_some())?;
    }
    for mailbox in state.mailboxes.values_mut() {
        mailbox.messages.sort_unstable_by_key(|message| message.uid);
        let highest = mailbox.messages.iter().map(|message| message.modseq).max().unwrap_or(0);
        mailbox.highest_modseq = mailbox.highest_modseq.max(highest);
        state.modseq = state.modseq.max(highest);
    }
    let pinned = anchors.pinned(id);
    if pinned == Err(KeystoreError::Failed) {
        return Err(OpenError::Failed);
    }
    // No anchor is as good as one of no rows, if no pin says that there was one.
    let kept = rows.kept()?.filter(|kept| match pinned {
        Ok(Some(pinned)) => pinned == kept.pinned(),
        Ok(None) => kept.count() == 0,
        Err(_) => false,
    });
    let pinned = pinned.ok().flatten().map_or(0, |pinned| pinned.number);
    state.modseq = state.modseq.max(pinned);
    Ok(Loaded { state, unreadable, found: rows.found, kept })
}

fn account_state(state: &mut State, keys: &Keys, row: u64, sealed: &[u8]) -> Option<()> {
    let opened = keys.open_row(RecordKind::AccountState, row, sealed).filter(|_| row == 0)?;
    let held: StateRow = minicbor::decode(&opened.plain).ok()?;
    state.modseq = held.modseq.max(opened.modseq);
    state.uid_validity = held.uid_validity;
    state.folded = held.folded;
    state.chain = held.chain;
    Some(())
}

fn mailbox(keys: &Keys, row: u64, sealed: &[u8]) -> Option<Mailbox> {
    let opened = keys.open_row(RecordKind::Mailbox, row, sealed)?;
    let held: MailboxRow = minicbor::decode(&opened.plain).ok()?;
    Some(Mailbox {
        row,
        name: Name::parse(&held.name).ok()?,
        uid_validity: held.uid_validity,
        uid_next: held.uid_next,
        highest_modseq: held.highest_modseq.max(opened.modseq),
        special: SpecialUse::from_number(held.special),
        subscribed: held.subscribed,
        exists: held.exists,
        recent_from: held.recent_from,
        expunges: 0,
        messages: Vec::new(),
    })
}

/// Puts a message where it belongs; `None` if its row does not open or names no mailbox.
fn place(state: &mut State, keys: &Keys, row: u64, sealed: &[u8]) -> Option<()> {
    let opened = keys.open_row(RecordKind::Message, row, sealed)?;
    let held: MessageRow<'_> = minicbor::decode(&opened.plain).ok()?;
    let keywords = state.keywords.numbers(&held.keywords).ok()?;
    let mailbox = state.mailboxes.get_mut(&held.mailbox).filter(|mailbox| mailbox.exists)?;
    mailbox.messages.push(Message {
        row,
        uid: held.uid,
        modseq: opened.modseq,
        epoch: opened.epoch,
        size: held.size,
        flags: Flags(held.flags),
        keywords,
        received: held.received,
        sent: held.sent,
        letter_row: held.letter_row,
        envelope: held.envelope.into(),
    });
    // A UID is never given twice, whatever the mailbox's own row says.
    mailbox.uid_next = mailbox.uid_next.max(held.uid.saturating_add(1));
    *state.bodies.entry(held.letter_row).or_insert(0) += 1;
    Some(())
}
