//! Opening an account: its rows, once, into memory.
//!
//! Invariant: a message whose row does not open is reported, not shown and not touched; if the
//! account's own rows do not open, the account does not. Rows that are missing, old or added are
//! told from the anchor.
//! Refs: specs/bw1.md §8, §8.4.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use seal::row::RowOpener;
use store::{Read, ReadError};
use tokio::sync::Semaphore;
use vocab::{AccountId, RecordKind, Row};

use super::index::Indexing;
use super::keys::{Keys, OpenKeys};
use super::rows::{ANCHOR_ROW, COVERED, Kept, Writer};
use super::{Account, Anchors, IN_TRANSIT_OCTETS, KeystoreError, Services, expunged};
use crate::cores;
use crate::mailbox::{
    Mailbox, MailboxRow, Message, MessageRow, Name, SpecialUse, State, StateRow, Threads,
};

/// Why an account could not be opened though its keys were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A row of its own does not open: it was altered, or sealed by what is not known here.
    #[error("a row of the account does not open")]
    Tampered,
    /// Its keys were changed since it was unlocked: unlock it again.
    #[error("the account's keys have changed meanwhile")]
    Stale,
    /// The store failed, or the disk is full and nothing was there yet.
    #[error("the store failed")]
    Failed,
}

/// The kinds that are kept in memory.
const LOADED: [RecordKind; 4] = [
    RecordKind::AccountState,
    RecordKind::Mailbox,
    RecordKind::Message,
    RecordKind::ExpungedMessage,
];

/// So many row numbers are one thread's: whoever has few messages waits for no other.
const ROWS_ALONE: u64 = 2000;

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
        let loaded = loaded.await.map_err(|_| OpenError::Failed)?;
        // Under keys of another day rows would seem altered that are not.
        keys.is_stored(&services.read)?;
        let loaded = loaded?;
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
            upkeep: Mutex::new(None),
            undelete_days: services.undelete_days,
            indexing: Indexing::new(Arc::clone(indexers)),
            resealing: super::rekey::Busy::new(false),
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
        account.start_upkeep().await;
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

impl<'a> Rows<'a> {
    fn new(id: AccountId, keys: &'a Keys, read: &'a Read) -> Self {
        Self { id, keys, read, found: Kept::start(keys), lost: 0 }
    }

    /// Calls `take` with each row of a kind; it says whether the row opened.
    fn each(
        &mut self,
        kind: RecordKind,
        mut take: impl FnMut(&'a Keys, u64, &[u8]) -> bool,
    ) -> Result<(), OpenError> {
        let keys = self.keys;
        self.each_of(kind, Row(0)..=Row(u64::MAX), |row, sealed| take(keys, row, sealed))
    }

    /// The same of some rows. One the disk has lost is no reason to show nothing.
    fn each_of(
        &mut self,
        kind: RecordKind,
        rows: RangeInclusive<Row>,
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), OpenError> {
        for found in self.read.scan_some(self.id, kind, rows) {
            let (row, sealed) = match found {
                Ok(found) => found,
                Err(ReadError::Damaged { .. }) => {
                    self.lost += 1;
                    continue;
                }
                Err(ReadError::Io(_) | ReadError::Index(_)) => return Err(OpenError::Failed),
            };
            let is_whole = take(row.0, &sealed);
            let take_in = |kept: &mut Kept| kept.take_in(self.keys, kind, row, &sealed);
            let is_known = is_whole && self.found.as_mut().and_then(take_in).is_some();
            self.lost += usize::from(!is_known);
        }
        Ok(())
    }

    /// Takes in what was found of other rows.
    fn join(&mut self, others: &Rows<'_>) {
        self.lost += others.lost;
        let both = self.found.as_mut().zip(others.found.as_ref());
        both.into_iter().for_each(|(found, others)| found.join(others));
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
    let mut rows = Rows::new(id, keys, read);
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
    messages(&mut state, &mut rows)?;
    rows.each(RecordKind::ExpungedMessage, |keys, row, sealed| {
        expunged::load(&mut state, keys, row, sealed).is_some()
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
    state.keep_days = held.keep_days;
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
        keep_days: held.keep_days,
        expunges: 0,
        messages: Vec::new(),
    })
}

/// Some of an account's message rows, opened by one thread.
struct Part<'a> {
    rows: Rows<'a>,
    messages: Vec<Opened>,
    threads: Threads,
}

/// A message, its mailbox's row, and the keywords that are not yet numbers.
struct Opened {
    mailbox: u64,
    keywords: Vec<String>,
    message: Message,
}

/// Opens the message rows, on several cores if there may be many, and puts each where it belongs.
fn messages(state: &mut State, rows: &mut Rows<'_>) -> Result<(), OpenError> {
    let last = rows.read.last_row(rows.id, RecordKind::Message);
    let last = last.map_err(|_| OpenError::Failed)?.map_or(0, |last| last.0);
    // Several for each thread: their numbers say little of how many rows there are.
    let shares = u64::try_from(cores::threads()).unwrap_or(1) * 8;
    let width = (last / shares + 1).max(ROWS_ALONE);
    let starts = (0..shares).map(|nth| nth.saturating_mul(width));
    let starts: Vec<u64> = starts.take_while(|start| *start <= last).collect();
    let mailboxes = &state.mailboxes;
    let parts = cores::share(starts.len(), |nth| {
        let start = starts.get(nth).copied().unwrap_or(last);
        Part::open(rows, mailboxes, Row(start)..=Row(start.saturating_add(width - 1)))
    });
    let parts: Vec<_> =
        parts.ok_or(OpenError::Failed)?.into_iter().collect::<Result<_, OpenError>>()?;
    state.bodies.reserve(parts.iter().map(|part| part.messages.len()).sum());
    for part in parts {
        rows.join(&part.rows);
        state.threads.join(part.threads);
        let placed = part.messages.into_iter().map(|opened| place(state, opened));
        rows.lost += placed.filter(Option::is_none).count();
    }
    Ok(())
}

impl<'a> Part<'a> {
    fn open(
        rows: &Rows<'a>,
        mailboxes: &BTreeMap<u64, Mailbox>,
        some: RangeInclusive<Row>,
    ) -> Result<Self, OpenError> {
        let (mut messages, mut threads) = (Vec::new(), Threads::default());
        let (keys, mut opener) = (rows.keys, None);
        let mut rows = Rows::new(rows.id, keys, rows.read);
        rows.each_of(RecordKind::Message, some, |row, sealed| {
            let opened = open_message(keys, &mut opener, row, sealed, &mut threads);
            let opened = opened.filter(|opened| {
                mailboxes.get(&opened.mailbox).is_some_and(|mailbox| mailbox.exists)
            });
            let is_whole = opened.is_some();
            messages.extend(opened);
            is_whole
        })?;
        Ok(Self { rows, messages, threads })
    }
}

/// A message's row; `None` if it does not open.
fn open_message<'a>(
    keys: &'a Keys,
    opener: &mut Option<RowOpener<'a>>,
    row: u64,
    sealed: &[u8],
    threads: &mut Threads,
) -> Option<Opened> {
    let of_row = keys.row_keys_of(sealed)?;
    if !opener.as_ref().is_some_and(|opener| opener.opens_with(of_row)) {
        *opener = Some(of_row.opener(RecordKind::Message).ok()?);
    }
    let (modseq, plain) = opener.as_mut()?.open(Row(row), sealed).ok()?;
    let held: MessageRow<'_> = minicbor::decode(plain).ok()?;
    threads.note(held.thread, held.links);
    let message = Message::of_row(&held, (row, modseq.0, of_row.epoch().0), Box::default());
    Some(Opened { mailbox: held.mailbox, keywords: held.keywords, message })
}

/// Puts a message where it belongs; `None` if there are too many keywords.
fn place(state: &mut State, opened: Opened) -> Option<()> {
    let Opened { mailbox, keywords, mut message } = opened;
    message.keywords = state.keywords.numbers(&keywords).ok()?;
    let mailbox = state.mailboxes.get_mut(&mailbox)?;
    // A UID is never given twice, whatever the mailbox's own row says.
    mailbox.uid_next = mailbox.uid_next.max(message.uid.saturating_add(1));
    *state.bodies.entry(message.letter_row).or_insert(0) += 1;
    mailbox.messages.push(message);
    Some(())
}
