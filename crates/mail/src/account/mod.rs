//! Accounts while they are open: one object per account and process, shared by its sessions.
//!
//! [`Registry::open`] takes what custody unlocked, loads the rows, folds what arrived, and hands
//! out the [`Account`]; the last session to let go closes it, and its keys are wiped.
//!
//! Invariant: a change is on disk before it is in memory, and in memory before anyone is told.
//! No lock is held while a connection is written to.
//! Refs: specs/bw1.md §7, §8; docs/life-of-a-letter.md.

mod anchors;
mod attempts;
mod body;
mod change;
mod check;
mod deletion;
mod expunged;
mod fold;
mod index;
mod keys;
mod keystore;
mod load;
mod login;
mod mailboxes;
mod mark;
mod moving;
mod opaque;
mod parcel;
mod passes;
mod policies;
mod rekey;
mod retention;
mod rows;
mod sessions;
mod turns;
mod uses;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use seal::Entropy;
use store::{Append, CommitError, Read};
use tokio::sync::watch;
use vocab::{AccountId, RecordKind, Row};

pub use anchors::Anchors;
pub use body::{Content, ReadBodyError};
pub use change::{Appended, Copied, Stored};
pub use check::{Checked, Finding};
pub use expunged::{ExpungedShown, Undelete};
pub use keys::OpenKeys;
pub use keystore::{KeystoreError, Keystores, KeystoresOptions};
pub use load::OpenError;
pub use login::{Door, DoorOptions, LoginError, Policy, Resolve, Shown};
pub use mark::{Gone, Mark, Stage};
pub use moving::MoveError;
pub use opaque::{Entered, Knock};
pub use parcel::{Parcel, ParcelError};
pub use passes::Pass;
pub use policies::{Policies, PoliciesError, PoliciesOptions};
pub use rekey::{RekeyError, Resealing};
pub use sessions::SESSIONS_MAX;

use crate::mailbox::{Mailbox, MessageRow, State, TooManyKeywords, encode};
use crate::runtime::Clock;
pub(crate) use mark::standing;
use rows::{Change, Writer};

/// Rows of bodies that the owner put here have this bit; arrivals count up from 1 without it.
pub(crate) const OWN_ROWS: u64 = 1 << 63;

/// Octets of messages that all sessions of an account may hold together on their way in or out.
/// An owner who takes more than the host has would take it from everybody.
pub(crate) const IN_TRANSIT_OCTETS: usize = 160 << 20;

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The mailbox does not exist.
    #[error("no such mailbox")]
    NoMailbox,
    /// A mailbox of that name exists.
    #[error("the mailbox exists")]
    Exists,
    /// Mailboxes below it exist.
    #[error("the mailbox has children")]
    HasChildren,
    /// INBOX cannot be deleted or made.
    #[error("not possible with INBOX")]
    Inbox,
    /// More mailboxes, messages or keywords than an account may have.
    #[error("a limit of the account is reached")]
    Limit,
    /// The message is too large to be kept.
    #[error("the message is too large")]
    TooLarge,
    /// The disk is full. Reading goes on; try again later.
    #[error("the disk is full")]
    Full,
    /// The store has stopped, or a row could not be read.
    #[error("the store failed")]
    Failed,
}

impl From<CommitError> for ChangeError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::TooLarge => Self::TooLarge,
            CommitError::Exists | CommitError::Conflict | CommitError::Stopped => Self::Failed,
        }
    }
}

impl From<TooManyKeywords> for ChangeError {
    fn from(_: TooManyKeywords) -> Self {
        Self::Limit
    }
}

/// An open account.
pub struct Account {
    id: AccountId,
    keys: RwLock<Arc<keys::Keys>>,
    read: Read,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// One change at a time.
    writing: tokio::sync::Mutex<Writer>,
    /// Its rows were altered outside of it.
    altered: AtomicBool,
    anchors: Arc<Anchors>,
    /// Counts changes; sessions watch it.
    changes: watch::Sender<u64>,
    folding: Mutex<Option<tokio::task::AbortHandle>>,
    upkeep: Mutex<Option<tokio::task::AbortHandle>>,
    /// For how many days what is expunged can be put back.
    undelete_days: u16,
    indexing: index::Indexing,
    /// It is being sealed anew in the background.
    resealing: rekey::Busy,
    /// Letters arrived that could not be folded: the disk is full.
    arrivals_wait: Arc<AtomicBool>,
    /// Room for messages between its sessions and its owner's programs.
    in_transit: Arc<tokio::sync::Semaphore>,
}

impl Drop for Account {
    fn drop(&mut self) {
        for task in [&mut self.folding, &mut self.upkeep] {
            if let Some(task) = task.get_mut().ok().and_then(Option::take) {
                task.abort();
            }
        }
    }
}

impl Account {
    /// Whose it is.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// The mailboxes. Hold it briefly, and never while writing to a connection.
    ///
    /// # Errors
    /// [`ChangeError::Failed`] if another thread died while changing them.
    pub fn state(&self) -> Result<RwLockReadGuard<'_, State>, ChangeError> {
        self.state.read().map_err(|_| ChangeError::Failed)
    }

    fn keys(&self) -> Result<Arc<keys::Keys>, ChangeError> {
        self.keys.read().map(|keys| Arc::clone(&keys)).map_err(|_| ChangeError::Failed)
    }

    /// Takes newer keys, if the account was given epochs, or lost some, since it was opened.
    fn renew(&self, keys: OpenKeys) -> bool {
        let keys = keys::Keys::new(keys);
        let Ok(mut held) = self.keys.write() else { return false };
        let newer = keys.manifest().0 > held.manifest().0;
        if newer {
            *held = Arc::new(keys);
        }
        newer
    }

    /// Whether letters arrived that cannot be shown until there is room on the disk. They are
    /// safe; everything else is there.
    #[must_use]
    pub fn arrivals_wait(&self) -> bool {
        self.arrivals_wait.load(Ordering::Relaxed)
    }

    /// Whether its rows are not those it wrote: some were altered, removed, added or put back
    /// (specs/bw1.md §8.4). What is there is shown; its owner has to be told.
    #[must_use]
    pub fn is_altered(&self) -> bool {
        self.altered.load(Ordering::Relaxed)
    }

    fn found_altered(&self) {
        self.altered.store(true, Ordering::Relaxed);
        tracing::error!("an account's rows are not those it wrote");
    }

    fn state_mut(&self) -> Result<RwLockWriteGuard<'_, State>, ChangeError> {
        self.state.write().map_err(|_| ChangeError::Failed)
    }

    /// Room for messages in transit, at most [`IN_TRANSIT_OCTETS`] permits.
    pub(crate) fn in_transit(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.in_transit
    }

    /// Wakes whenever something changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes the messages that are recent to nobody yet: gives the first such UID, and makes
    /// the next session's begin after the last (RFC 3501 §2.3.2). Kept at the mailbox's next
    /// change.
    pub(crate) fn take_recent(&self, mailbox: u64) -> Option<u32> {
        let mut state = self.state_mut().ok()?;
        let held = state.mailboxes.get_mut(&mailbox)?;
        let first = held.recent_from;
        held.recent_from = held.uid_next;
        Some(first)
    }

    /// Shows a change that is on disk, and wakes the sessions.
    fn apply(&self, modseq: u64, change: impl FnOnce(&mut State)) -> Result<(), ChangeError> {
        let mut state = self.state_mut()?;
        state.modseq = state.modseq.max(modseq);
        change(&mut state);
        drop(state);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    fn keyword_names(&self, numbers: &[u16]) -> Result<Vec<String>, ChangeError> {
        let state = self.state()?;
        Ok(numbers.iter().map(|number| state.keywords.name(*number).to_owned()).collect())
    }

    fn open_message(&self, row: u64) -> Result<keys::Opened, ChangeError> {
        Ok(self.read_message(row)?.1)
    }

    /// A message's row, as it is sealed and opened.
    fn read_message(&self, row: u64) -> Result<(bytes::Bytes, keys::Opened), ChangeError> {
        let read = || -> Result<_, ChangeError> {
            let sealed = self.read.get(self.id, RecordKind::Message, Row(row));
            let sealed = sealed.ok().flatten().ok_or(ChangeError::Failed)?;
            let opened = self.keys()?.open_row(RecordKind::Message, row, &sealed);
            Ok((sealed, opened.ok_or(ChangeError::Failed)?))
        };
        // Between the two it may have been sealed anew, and the old keys gone.
        read().or_else(|_| read())
    }
}

impl Change<'_> {
    /// Puts a new message.
    fn add_message(
        &mut self,
        row: u64,
        epoch: u32,
        message: &MessageRow<'_>,
    ) -> Result<(), ChangeError> {
        self.add(RecordKind::Message, row, epoch, row, &encode(message))
    }

    /// Puts a mailbox, new or changed.
    fn put_mailbox(&mut self, mailbox: &Mailbox, modseq: u64) -> Result<(), ChangeError> {
        self.put(RecordKind::Mailbox, mailbox.row, 0, modseq, &encode(&mailbox.to_row()))
    }
}

/// Runs a change as a task of its own: a session that ends meanwhile must not leave the disk
/// and the memory saying different things.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    tokio::spawn(change).await.unwrap_or(Err(ChangeError::Failed))
}

/// What every open account is made with.
#[derive(Clone)]
pub struct Services {
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The cell's pins of what accounts wrote last.
    pub anchors: Arc<Anchors>,
    /// For how many days what an owner expunges can be put back; 0 for none.
    pub undelete_days: u16,
}

/// The accounts that are open in this process.
pub struct Registry {
    services: Services,
    open: Mutex<HashMap<AccountId, Arc<tokio::sync::Mutex<Weak<Account>>>>>,
    /// Whose search index is worked on: one account's at a time.
    indexers: Arc<tokio::sync::Semaphore>,
}

impl Registry {
    /// None is open.
    #[must_use]
    pub fn new(services: Services) -> Self {
        let indexers = Arc::new(tokio::sync::Semaphore::new(1));
        Self { services, open: Mutex::new(HashMap::new()), indexers }
    }

    /// What accounts are made with.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The open account, opening it with these keys if no session has it open.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, keys: OpenKeys) -> Result<Arc<Account>, OpenError> {
        let id = keys.keys.account();
        let slot = {
            let mut open = self.open.lock().map_err(|_| OpenError::Failed)?;
            // Whoever let go of an account left its slot; a busy slot is being opened.
            open.retain(|_, slot| {
                slot.try_lock().is_ok_and(|held| held.strong_count() > 0)
                    || Arc::strong_count(slot) > 1
            });
            Arc::clone(open.entry(id).or_default())
        };
        let mut held = slot.lock().await;
        if let Some(account) = held.upgrade() {
            if account.renew(keys) {
                // What arrived under the newer keys has waited for them.
                account.fold_or_say().await;
            }
            return Ok(account);
        }
        let account = Account::load(keys, &self.services, &self.indexers).await?;
        *held = Arc::downgrade(&account);
        Ok(account)
    }

    /// Whether a session has the account open.
    fn is_open(&self, account: AccountId) -> bool {
        let Ok(open) = self.open.lock() else { return false };
        let slot = open.get(&account).map(Arc::clone);
        drop(open);
        slot.is_some_and(|slot| slot.try_lock().map_or(true, |held| held.strong_count() > 0))
    }

    /// Hands newer keys to the account if it is open.
    async fn renew(&self, keys: OpenKeys) {
        let slot = match self.open.lock() {
            Ok(open) => open.get(&keys.keys.account()).map(Arc::clone),
            Err(_) => None,
        };
        let Some(slot) = slot else { return };
        let held = slot.lock().await;
        if let Some(account) = held.upgrade()
            && account.renew(keys)
        {
            account.fold_or_say().await;
        }
    }

    /// How many accounts are open.
    #[must_use]
    pub fn count(&self) -> usize {
        let Ok(open) = self.open.lock() else { return 0 };
        open.values()
            .filter(|slot| slot.try_lock().map_or(true, |held| held.strong_count() > 0))
            .count()
    }
}
