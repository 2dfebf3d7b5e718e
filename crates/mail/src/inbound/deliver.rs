//! Delivery: a letter is sealed to its account's key of this month and put in its chain.
//!
//! Letters that arrive for one account at the same moment are chained and committed together,
//! so that a busy account costs one sync for many letters and its chain never branches.
//! If power fails before the commit returns, nothing was acknowledged; after it, head, body and
//! chain are all there.
//!
//! Invariant: needs nothing private of the account. [`Deliverer::deliver`] returns `Ok` only
//! when the letter is on disk; a letter is signed into the chain after the one before it.
//! Refs: specs/bw1.md §7; RFC 5321 §4.2.5, §6.1.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use seal::epoch::{EpochPublic, epoch_of};
use seal::letter::{Chain, ClosedLetter, LetterSealer};
use seal::mac::sha256;
use seal::run::{Run, Step};
use seal::sign::SigningKey;
use seal::{Entropy, SealError};
use store::{Append, Batch, CommitError, Read};
use tokio::sync::oneshot;
use vocab::{AccountId, Digest, Epoch, EpochVersion, LetterId, RecordKind, Row, Timestamp};

use crate::account::{KeystoreError, Keystores, standing};
use crate::letter::{Head, Parsed};
use crate::quota::{Quotas, Room};
use crate::runtime::Clock;

/// The row of an account's chain of arrivals.
const CHAIN_ROW: Row = Row(0);
/// Letters of one account in one commit.
const LETTERS_PER_COMMIT: usize = 64;
/// Octets of bodies in one commit, but for a single letter.
const OCTETS_PER_COMMIT: usize = 32 << 20;
/// How long letters of one account may share a run (specs/bw1.md §7.1).
const RUN_SECONDS_MAX: u64 = 60;
/// Accounts that are remembered between letters.
const LANES_MAX: usize = 10_000;

/// An epoch in one of its versions.
type Place = (Epoch, EpochVersion);

/// Why a letter was not delivered. Nothing of it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// The disk is full. Try again later.
    #[error("the disk is full")]
    Full,
    /// The letter, or what its header says, is larger than can be kept.
    #[error("the letter is too large")]
    TooLarge,
    /// The account holds as much as it may. Try again later.
    #[error("the account is over its quota")]
    OverQuota,
    /// The letter is larger than all the account may hold.
    #[error("the letter is larger than the account's quota")]
    OverAllQuota,
    /// The account is on its way to another cell. Try again later.
    #[error("the account is moving to another cell")]
    Moving,
    /// The account has no keys that check.
    #[error("the account's keys are missing or were altered")]
    NoKeys,
    /// The store or the cipher failed, or the chain does not read.
    #[error("the letter could not be stored")]
    Failed,
}

impl From<CommitError> for DeliverError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::TooLarge => Self::TooLarge,
            CommitError::Exists | CommitError::Conflict | CommitError::Stopped => Self::Failed,
        }
    }
}

impl From<SealError> for DeliverError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLong => Self::TooLarge,
            SealError::WrongKeys | SealError::Parameter | SealError::Cipher => Self::Failed,
        }
    }
}

impl From<KeystoreError> for DeliverError {
    fn from(error: KeystoreError) -> Self {
        if error == KeystoreError::Moving {
            return Self::Moving;
        }
        if error.is_tampering() { Self::NoKeys } else { Self::Failed }
    }
}

/// A letter, ready to be delivered.
pub struct Letter {
    /// The message with its trace fields.
    pub octets: Bytes,
    /// The SMTP reverse-path without brackets; empty for `<>`.
    pub mail_from: String,
    /// When it was accepted.
    pub received: Timestamp,
    /// The value of its Authentication-Results field; empty if nothing was checked.
    pub verdicts: String,
    /// Whether it goes to the mailbox for unwanted mail.
    pub junk: bool,
}

/// What a deliverer is made with.
pub struct DelivererOptions {
    /// The cell's key that signs arrivals ([`custody::cell::CellKeys::ingest`]).
    pub ingest: SigningKey,
    /// The accounts' keystores.
    pub keystores: Arc<Keystores>,
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How much accounts may hold.
    pub quotas: Arc<Quotas>,
}

/// Delivers letters to the accounts of this cell.
pub struct Deliverer {
    options: DelivererOptions,
    lanes: Mutex<HashMap<AccountId, Arc<Lane>>>,
}

/// What is remembered of one account between letters.
#[derive(Default)]
struct Lane {
    waiting: Mutex<Vec<Waiting>>,
    /// Where its chain stands, if that is known; one commit at a time.
    chain: tokio::sync::Mutex<Option<Chain>>,
    /// Where letters go, as last checked.
    target: Mutex<Option<Target>>,
    /// The account's keys are others than before: it may have been away, and its chain with it.
    is_stale: AtomicBool,
}

/// The epoch that receives: as long as the manifest and the month are these.
struct Target {
    manifest: Digest,
    month: Epoch,
    public: EpochPublic,
    run: Option<(Timestamp, Run)>,
}

impl Target {
    fn place(&self) -> Place {
        (self.public.epoch, self.public.version)
    }

    /// The place of the next letter, in the run under way or a new one.
    fn step(&mut self, now: Timestamp, entropy: &dyn Entropy) -> Result<Step, DeliverError> {
        // A clock that was set back ends a run too.
        let age = |begun: Timestamp| now.0.checked_sub(begun.0);
        self.run.take_if(|(begun, _)| age(*begun).is_none_or(|age| age >= RUN_SECONDS_MAX));
        if let Some(step) = self.run.as_mut().and_then(|(_, run)| run.step()) {
            return Ok(step);
        }
        let (_, run) = self.run.insert((now, Run::begin(&self.public, entropy)?));
        run.step().ok_or(DeliverError::Failed)
    }
}

struct Waiting {
    /// What it is sealed to.
    place: Place,
    letter: ClosedLetter,
    body: Vec<u8>,
    done: oneshot::Sender<Result<(), DeliverError>>,
}

fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliverer {
    /// A deliverer. There must be only one in a cell: it holds the chains.
    #[must_use]
    pub fn new(options: DelivererOptions) -> Arc<Self> {
        Arc::new(Self { options, lanes: Mutex::default() })
    }

    /// Seals a letter to an account and stores it; `rcpt_to` are the forward-paths that led
    /// there. When this returns `Ok`, the letter is on disk.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub async fn deliver(
        self: &Arc<Self>,
        account: AccountId,
        letter: Arc<Letter>,
        rcpt_to: Vec<String>,
    ) -> Result<(), DeliverError> {
        self.has_room(account, u64::try_from(letter.octets.len()).unwrap_or(u64::MAX))?;
        self.deliver_always(account, letter, rcpt_to).await
    }

    /// The same, whatever the account's quota: what its owner has to know.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub(crate) async fn deliver_always(
        self: &Arc<Self>,
        account: AccountId,
        letter: Arc<Letter>,
        rcpt_to: Vec<String>,
    ) -> Result<(), DeliverError> {
        let lane = self.lane(account);
        let (sealing, keys) = (Arc::clone(self), Arc::clone(&lane));
        let sealed = move || sealing.seal(account, &keys, &letter, rcpt_to);
        let sealed = tokio::task::spawn_blocking(sealed).await;
        let (place, letter, body) = sealed.map_err(|_| DeliverError::Failed)??;
        let (done, result) = oneshot::channel();
        hold(&lane.waiting).push(Waiting { place, letter, body, done });
        // A task of its own: a session that ends must not leave a chain half known.
        let committing = Arc::clone(self);
        tokio::spawn(async move { committing.commit_waiting(account, &lane).await });
        result.await.unwrap_or(Err(DeliverError::Failed))
    }

    /// Whether the account may hold a letter of that size as well. What waits to be committed is
    /// not counted: a quota may be passed by what comes at one moment.
    ///
    /// # Errors
    /// [`DeliverError::OverQuota`], [`DeliverError::OverAllQuota`]; [`DeliverError::Moving`] if
    /// the account takes nothing now.
    pub fn has_room(&self, account: AccountId, octets: u64) -> Result<(), DeliverError> {
        if self.options.keystores.is_moving(account)? {
            return Err(DeliverError::Moving);
        }
        match self.options.quotas.room(account, octets, 1) {
            Room::Fits => Ok(()),
            Room::Full => Err(DeliverError::OverQuota),
            Room::Never => Err(DeliverError::OverAllQuota),
        }
    }

    fn lane(&self, account: AccountId) -> Arc<Lane> {
        let mut lanes = hold(&self.lanes);
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        Arc::clone(lanes.entry(account).or_default())
    }

    /// Where the next letter goes: a run to the epoch that receives now, of the keystore that
    /// the cell pinned.
    fn arrival(&self, account: AccountId, lane: &Lane) -> Result<(Place, Step), DeliverError> {
        let (keystores, entropy) = (&self.options.keystores, self.options.entropy.as_ref());
        let now = self.options.clock.now();
        let month = epoch_of(now);
        // If there is none, `locked` says so in the log.
        let stored = keystores.stored(account).ok();
        if let Some(known) = hold(&lane.target).as_mut()
            && (Some(known.manifest), known.month) == (stored, month)
        {
            return Ok((known.place(), known.step(now, entropy)?));
        }
        let locked = keystores.locked(account)?;
        let public = locked.arrival(now).ok_or(DeliverError::NoKeys)?;
        let mut target = Target { manifest: locked.digest(), month, public, run: None };
        let (place, step) = (target.place(), target.step(now, entropy)?);
        *hold(&lane.target) = Some(target);
        lane.is_stale.store(true, Ordering::Relaxed);
        Ok((place, step))
    }

    fn seal(
        &self,
        account: AccountId,
        lane: &Lane,
        letter: &Letter,
        rcpt_to: Vec<String>,
    ) -> Result<(Place, ClosedLetter, Vec<u8>), DeliverError> {
        let (place, step) = self.arrival(account, lane)?;
        let entropy = self.options.entropy.as_ref();
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let octets = &letter.octets;
        let length = u32::try_from(octets.len()).map_err(|_| DeliverError::TooLarge)?;
        let head = Head {
            length: u64::from(length),
            sha256: sha256(&[octets]).0,
            mail_from: letter.mail_from.clone(),
            rcpt_to,
            received: letter.received.0,
            parsed: Parsed::of(octets),
            verdicts: letter.verdicts.clone(),
            junk: letter.junk,
        };
        let mut body = Vec::with_capacity(octets.len() + octets.len() / 8 + 256);
        let mut sealer =
            LetterSealer::begin(LetterId(id), letter.received, step, entropy, &mut body)?;
        sealer.push(octets, &mut body)?;
        let closed = sealer.close(&head.encode(), &mut body)?;
        Ok((place, closed, body))
    }

    /// Commits what waits for one account. Whoever comes second finds it done.
    async fn commit_waiting(&self, account: AccountId, lane: &Lane) {
        let mut chain = lane.chain.lock().await;
        loop {
            let letters = take_some(&mut hold(&lane.waiting));
            if letters.is_empty() {
                return;
            }
            let _arriving = self.options.keystores.arriving().await;
            let letters = self.openable(account, letters);
            if lane.is_stale.swap(false, Ordering::Relaxed) {
                *chain = None;
            }
            let (waiters, result) = self.commit(account, &mut chain, letters).await;
            for waiter in waiters {
                // A session that is gone does not hear it.
                let _ = waiter.send(result);
            }
        }
    }

    /// Those whose keys the account still has; an account that was re-keyed meanwhile could open
    /// the others no more, so whoever brought them is to come again.
    fn openable(&self, account: AccountId, letters: Vec<Waiting>) -> Vec<Waiting> {
        let mut known: Option<(Place, bool)> = None;
        let mut stay = Vec::with_capacity(letters.len());
        for letter in letters {
            let has = match known {
                Some((place, has)) if place == letter.place => has,
                _ => self.options.keystores.has_epoch(account, letter.place).unwrap_or(false),
            };
            known = Some((letter.place, has));
            if has {
                stay.push(letter);
            } else {
                // A session that is gone does not hear it.
                let _ = letter.done.send(Err(DeliverError::Failed));
            }
        }
        stay
    }

    async fn commit(
        &self,
        account: AccountId,
        known: &mut Option<Chain>,
        letters: Vec<Waiting>,
    ) -> (Vec<oneshot::Sender<Result<(), DeliverError>>>, Result<(), DeliverError>) {
        let mut waiters = Vec::with_capacity(letters.len());
        let mut parts = Vec::with_capacity(letters.len());
        for Waiting { letter, body, done, .. } in letters {
            waiters.push(done);
            parts.push((letter, body));
        }
        let result = match self.chained(account, *known, parts) {
            Ok((batch, chain)) => match self.options.append.commit(batch).await {
                Ok(_) => {
                    *known = Some(chain);
                    Ok(())
                }
                Err(error) if self.options.keystores.is_moving(account) == Ok(true) => {
                    tracing::debug!(%error, "a letter came for an account that moves");
                    Err(DeliverError::Moving)
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        if result.is_err() {
            // Read again next time: whatever the disk says is true.
            *known = None;
        }
        (waiters, result)
    }

    fn chained(
        &self,
        account: AccountId,
        known: Option<Chain>,
        letters: Vec<(ClosedLetter, Vec<u8>)>,
    ) -> Result<(Batch, Chain), DeliverError> {
        let mut chain = match known {
            Some(chain) => chain,
            None => self.stored_chain(account)?,
        };
        // What an account took with it when it left is all that it had: nothing comes after.
        let mut batch = standing(account);
        for (letter, body) in letters {
            let (head, next) = letter.ingest(&self.options.ingest, &chain)?;
            chain = next;
            let row = Row(chain.sequence);
            batch = batch
                .require_absent(RecordKind::LetterHead, row)
                .require_absent(RecordKind::LetterBody, row)
                .put(RecordKind::LetterHead, row, head)
                .put(RecordKind::LetterBody, row, body);
        }
        Ok((batch.put(RecordKind::Arrivals, CHAIN_ROW, chain.encode()), chain))
    }

    fn stored_chain(&self, account: AccountId) -> Result<Chain, DeliverError> {
        let stored = self.options.read.get(account, RecordKind::Arrivals, CHAIN_ROW);
        match stored.map_err(|_| DeliverError::Failed)? {
            Some(octets) => Chain::decode(&octets).map_err(|_| DeliverError::Failed),
            None => Ok(Chain::start(account)),
        }
    }
}

/// The first letters of those that wait, as many as fit one commit.
fn take_some(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let mut octets = 0_usize;
    let fitting = waiting.iter().take(LETTERS_PER_COMMIT).take_while(|one| {
        let first = octets == 0;
        octets = octets.saturating_add(one.body.len());
        first || octets <= OCTETS_PER_COMMIT
    });
    let count = fitting.count();
    waiting.drain(..count).collect()
}
