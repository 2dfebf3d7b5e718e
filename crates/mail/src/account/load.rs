//! Opening an account: its rows, once, into memory.
//!
//! Invariant: a message whose row does not open is reported, not shown and not touched; if the
//! account's own rows do not open, the account does not.
//! Refs: specs/bw1.md §8.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use vocab::{AccountId, RecordKind, Row};

use super::keys::{Keys, OpenKeys};
use super::{Account, IN_TRANSIT_OCTETS, Services};
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

/// What loading found.
struct Loaded {
    state: State,
    unreadable: usize,
}

impl Account {
    /// Loads everything, makes the first mailboxes if there are none, folds what arrived, and
    /// goes on folding.
    pub(super) async fn load(keys: OpenKeys, services: &Services) -> Result<Arc<Self>, OpenError> {
        let (keys, read) = (Arc::new(Keys::new(keys)), services.read.clone());
        let id = keys.account();
        let loading = Arc::clone(&keys);
        // Fifty thousand rows are tens of milliseconds: not for an async thread.
        let loaded = tokio::task::spawn_blocking(move || load(id, &loading, &read));
        let loaded = loaded.await.map_err(|_| OpenError::Failed)??;
        if loaded.unreadable > 0 {
            tracing::error!(rows = loaded.unreadable, "message rows do not open");
        }
        let fresh = loaded.state.named(&Name::inbox()).is_none();
        let account = Arc::new(Self {
            id,
            keys: RwLock::new(keys),
            append: services.append.clone(),
            read: services.read.clone(),
            entropy: Arc::clone(&services.entropy),
            clock: Arc::clone(&services.clock),
            state: RwLock::new(loaded.state),
            writing: tokio::sync::Mutex::new(()),
            changes: tokio::sync::watch::Sender::new(0),
            folding: Mutex::new(None),
            arrivals_wait: AtomicBool::new(false),
            in_transit: Arc::new(tokio::sync::Semaphore::new(IN_TRANSIT_OCTETS)),
        });
        if fresh {
            account.create_first().await.map_err(|_| OpenError::Failed)?;
        }
        account.start_folding().await?;
        Ok(account)
    }
}

fn load(id: AccountId, keys: &Keys, read: &store::Read) -> Result<Loaded, OpenError> {
    let failed = |_| OpenError::Failed;
    let mut state = State::default();
    let row = read.get(id, RecordKind::AccountState, Row(0)).map_err(failed)?;
    if let Some(sealed) = row {
        let opened = keys.open_row(RecordKind::AccountState, 0, &sealed);
        let opened = opened.ok_or(OpenError::Tampered)?;
        let row: StateRow = minicbor::decode(&opened.plain).map_err(|_| OpenError::Tampered)?;
        state.modseq = row.modseq.max(opened.modseq);
        state.uid_validity = row.uid_validity;
        state.folded = row.folded;
        state.chain = row.chain;
    }
    for found in read.scan(id, RecordKind::Mailbox, Row(0)) {
        let (row, sealed) = found.map_err(failed)?;
        let mailbox = mailbox(keys, row.0, &sealed).ok_or(OpenError::Tampered)?;
        state.modseq = state.modseq.max(mailbox.highest_modseq);
        state.uid_validity = state.uid_validity.max(mailbox.uid_validity);
        state.mailboxes.insert(row.0, mailbox);
    }
    let mut unreadable = 0;
    for found in read.scan(id, RecordKind::Message, Row(0)) {
        let (row, sealed) = found.map_err(failed)?;
        if place(&mut state, keys, row.0, &sealed).is_none() {
            unreadable += 1;
        }
    }
    for mailbox in state.mailboxes.values_mut() {
        mailbox.messages.sort_unstable_by_key(|message| message.uid);
        let highest = mailbox.messages.iter().map(|message| message.modseq).max().unwrap_or(0);
        mailbox.highest_modseq = mailbox.highest_modseq.max(highest);
        state.modseq = state.modseq.max(highest);
    }
    Ok(Loaded { state, unreadable })
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
