//! The outbound queue: letters of our people to others, sealed to the cell until they are gone.
//!
//! An item is two rows: a sealed envelope with a key, and the letter under that key. Both are
//! on disk before the sender hears 250, and both go when the last recipient is settled. What
//! cannot be delivered is returned to its sender's account, sealed like any letter.
//!
//! Invariant: an item leaves the disk only when each recipient is delivered or its sender has
//! been told on disk; a bounce is never bounced; the log says how many, never who.
//! Refs: docs/adr/0005-queue.md; RFC 5321 §4.5.4, §6.1; RFC 3464.

mod attempt;
pub(crate) mod client;
mod item;
mod rows;
mod schedule;

use std::sync::Arc;

use bytes::Bytes;
use custody::cell::CellKeys;
use proto::address::{Address, Path};
use seal::Entropy;
use store::{Append, CommitError, Read};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use vocab::{AccountId, Timestamp};

use crate::dns::Dns;
use crate::inbound::Deliverer;
use crate::network::Network;
use crate::routes::Routes;
use crate::runtime::Clock;

pub(crate) use item::RECIPIENTS_MAX;
use item::{Item, Recipient};
use rows::Rows;
use schedule::Schedule;

/// Items that may wait at one time.
pub const ITEMS_MAX: usize = 100_000;
/// The longest sleep between two looks at the clock, in seconds.
const SLEEP_SECONDS_MAX: u64 = 60;

/// Why an item was not queued. Nothing of it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The disk, or the queue, is full. Try again later.
    #[error("the queue is full")]
    Full,
    /// The letter is larger than can be kept.
    #[error("the letter is too large")]
    TooLarge,
    /// A row does not open: it was altered, or the cell's key is another's.
    #[error("a row of the queue does not open under the cell's key")]
    Tampered,
    /// The store or the cipher failed.
    #[error("the queue's rows could not be read or written")]
    Failed,
}

impl From<CommitError> for QueueError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::TooLarge => Self::TooLarge,
            CommitError::Exists | CommitError::Conflict | CommitError::Stopped => Self::Failed,
        }
    }
}

/// When to try again and when to give up.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Seconds to wait before each further attempt; the last repeats.
    pub after_seconds: Vec<u64>,
    /// Seconds after which a letter is returned (RFC 5321 §4.5.4.1: four to five days).
    pub expire_seconds: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            after_seconds: [1, 5, 15, 60, 120, 240].map(|minutes| minutes * 60).to_vec(),
            expire_seconds: 120 * 3600,
        }
    }
}

impl Retry {
    /// Seconds to wait after that many attempts.
    fn wait(&self, attempts: u32) -> u64 {
        let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.after_seconds.last().copied().unwrap_or(3600);
        self.after_seconds.get(at).copied().unwrap_or(last).max(1)
    }

    /// When whatever waits at `now` is due at the latest. A time beyond that is of a clock that
    /// was set back since.
    fn latest(&self, now: Timestamp) -> Timestamp {
        let longest = self.after_seconds.iter().copied().max().unwrap_or(3600).max(1);
        Timestamp(now.0.saturating_add(longest))
    }
}

/// What a queue is made with.
pub struct QueueOptions<'a> {
    /// The cell's keys.
    pub keys: &'a CellKeys,
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The host's name, for EHLO and bounces.
    pub hostname: String,
    /// Addresses.
    pub routes: Arc<Routes>,
    /// Delivers bounces, and letters to addresses that are local when they are due.
    pub deliverer: Arc<Deliverer>,
    /// Where other domains' mail goes.
    pub dns: Dns,
    /// The way there.
    pub network: Arc<dyn Network>,
    /// The port other domains' mail exchangers are reached on: 25.
    pub port: u16,
    /// When to try again.
    pub retry: Retry,
    /// Items that are tried at one time.
    pub parallel: usize,
}

/// A letter to be sent.
pub struct Outgoing {
    /// The account that sends it, and is told if it fails.
    pub sender: AccountId,
    /// The reverse-path.
    pub from: Path,
    /// Whom it is for; at least one.
    pub recipients: Vec<Address>,
    /// The message, signed.
    pub octets: Bytes,
}

/// What the queue holds: counts and times, no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Letters.
    pub items: usize,
    /// Of these, being tried now.
    pub in_flight: usize,
    /// Of these, tried before without success for somebody.
    pub deferred: usize,
    /// When the next is due.
    pub next_attempt: Option<Timestamp>,
    /// When the oldest was accepted.
    pub oldest: Option<Timestamp>,
}

/// The outbound queue of a cell.
pub struct Queue {
    rows: Arc<Rows>,
    schedule: Schedule,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    hostname: String,
    routes: Arc<Routes>,
    deliverer: Arc<Deliverer>,
    dns: Dns,
    network: Arc<dyn Network>,
    port: u16,
    retry: Retry,
    turns: Arc<Semaphore>,
    wake: Notify,
}

impl Queue {
    /// Reads what waits. Blocks on the disk. A row that does not open is reported and left.
    ///
    /// # Errors
    /// [`QueueError::Failed`].
    pub fn load(options: QueueOptions<'_>) -> Result<Arc<Self>, QueueError> {
        let rows = Arc::new(Rows::new(options.keys, options.append, options.read)?);
        let schedule = Schedule::default();
        let altered = rows.all(|row, item| schedule.add(row, &item))?;
        if altered > 0 {
            tracing::error!(rows = altered, "rows of the outbound queue do not open");
        }
        schedule.due_by(options.retry.latest(options.clock.now()));
        Ok(Arc::new(Self {
            rows,
            schedule,
            entropy: options.entropy,
            clock: options.clock,
            hostname: options.hostname,
            routes: options.routes,
            deliverer: options.deliverer,
            dns: options.dns,
            network: options.network,
            port: options.port,
            retry: options.retry,
            turns: Arc::new(Semaphore::new(options.parallel.max(1))),
            wake: Notify::new(),
        }))
    }

    /// Takes a letter. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn accept(self: &Arc<Self>, letter: Outgoing) -> Result<(), QueueError> {
        if self.schedule.len() >= ITEMS_MAX {
            return Err(QueueError::Full);
        }
        if letter.recipients.is_empty() || letter.recipients.len() > RECIPIENTS_MAX {
            return Err(QueueError::TooLarge);
        }
        let now = self.clock.now();
        let octets = u64::try_from(letter.octets.len()).map_err(|_| QueueError::TooLarge)?;
        let header = proto::message::header_length(&letter.octets);
        let header = letter.octets.get(..header).unwrap_or_default();
        let item = Item {
            sender: letter.sender.0,
            mail_from: letter.from.address().map(Address::to_string).unwrap_or_default(),
            recipients: letter.recipients.iter().map(Recipient::new).collect(),
            body_key: [0; 32],
            blob: [0; 16],
            octets,
            created: now.0,
            next_attempt: now.0,
            attempts: 0,
            utf8_headers: !header.is_ascii(),
            eight_bit: !letter.octets.is_ascii(),
            version: 1,
        };
        // A task of its own: what is on disk must be in the schedule, whoever still listens.
        let queue = Arc::clone(self);
        let accepting = tokio::spawn(async move {
            let (row, item) =
                queue.rows.insert(item, letter.octets, Arc::clone(&queue.entropy)).await?;
            queue.schedule.add(row, &item);
            queue.wake.notify_one();
            Ok(())
        });
        accepting.await.unwrap_or(Err(QueueError::Failed))
    }

    /// What the queue holds.
    #[must_use]
    pub fn status(&self) -> Status {
        self.schedule.status()
    }

    /// Whether letters that this account sent wait to be delivered.
    #[must_use]
    pub fn has_letters_of(&self, account: AccountId) -> bool {
        self.schedule.has_of(account)
    }

    /// Makes everything that waits due now.
    pub fn flush(&self) {
        self.schedule.due_by(self.clock.now());
        self.wake.notify_one();
    }

    /// Delivers what is due, for as long as the server runs; then waits for what is being
    /// tried, which the caller may cut short without loss.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let (mut trying, mut before) = (JoinSet::new(), self.clock.now());
        loop {
            while trying.try_join_next().is_some() {}
            let now = self.clock.now();
            if now < before {
                self.schedule.due_by(self.retry.latest(now));
            }
            before = now;
            self.begin_due(&mut trying);
            let due = self.schedule.next_due();
            let seconds = due.map_or(SLEEP_SECONDS_MAX, |due| {
                due.0.saturating_sub(now.0).clamp(1, SLEEP_SECONDS_MAX)
            });
            let sleep = tokio::time::sleep(core::time::Duration::from_secs(seconds));
            tokio::select! {
                // An error means the sender is gone, which is a shutdown too.
                _ = shutdown.wait_for(|down| *down) => break,
                () = self.wake.notified() => {}
                () = sleep => {}
            }
        }
        while trying.join_next().await.is_some() {}
    }

    /// Tries everything that is due now, once; gives how many letters that were.
    pub async fn run_once(self: &Arc<Self>) -> usize {
        let mut trying = JoinSet::new();
        let mut count = self.begin_due(&mut trying);
        while trying.join_next().await.is_some() {
            count += self.begin_due(&mut trying);
        }
        count
    }

    /// Begins what is due, as far as there are turns; gives how many.
    fn begin_due(self: &Arc<Self>, trying: &mut JoinSet<()>) -> usize {
        let (now, mut count) = (self.clock.now(), 0);
        while let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            let Some(row) = self.schedule.take_due(now) else { break };
            let queue = Arc::clone(self);
            trying.spawn(async move {
                let trying = Arc::clone(&queue);
                // Should an attempt die, its item must not wait for a restart.
                let tried = tokio::spawn(async move { trying.attempt(row).await }).await;
                let again = tried.unwrap_or_else(|_| Some(queue.later()));
                queue.schedule.finished(row, again);
                drop(turn);
                queue.wake.notify_one();
            });
            count += 1;
        }
        count
    }
}
