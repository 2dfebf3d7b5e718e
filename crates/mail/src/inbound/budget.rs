//! The memory that letters in arrival hold, all sessions together.
//!
//! Whoever sends slowly holds what it sent. One source has a share; and when there is no room,
//! letters that stand still make it: the one that wastes most goes first, strangers' before our
//! own people's. While there is room nobody is hurried.
//!
//! Invariant: a letter grows only by octets that were granted; what is granted comes back when
//! the letter is dropped; one source holds a quarter at most, or one letter of the largest size.
//! Refs: docs/divergences.md, "SMTP".

use core::future::Future;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Limits;

/// How often a letter in arrival is in memory: once as it came and once sealed.
pub const COPIES: usize = 2;
/// A letter stands still until it has grown by one part in so many.
const STEP: usize = 8;

/// Who sends a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Anybody, from here.
    Stranger(IpAddr),
    /// One of our own people, from here.
    Own(IpAddr),
    /// Another cell, which carries the letters of many: its share is not counted, and it is
    /// believed to be as quick as it can.
    Cell,
}

impl Sender {
    fn source(self) -> Option<IpAddr> {
        match self {
            Self::Stranger(ip) | Self::Own(ip) => Some(customer(ip)),
            Self::Cell => None,
        }
    }
}

/// How much letters in arrival may hold together. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    all: usize,
    /// What one source may hold.
    share: usize,
    /// How long a letter may stand still when there is no room for another.
    patience: Duration,
    state: Mutex<State>,
    /// Something came back, or somebody no longer waits.
    freed: Notify,
}

struct State {
    left: usize,
    sources: HashMap<IpAddr, usize>,
    /// By when they began.
    letters: BTreeMap<u64, Arriving>,
    next: u64,
}

struct Arriving {
    sender: Sender,
    octets: usize,
    /// How large it was when it last moved on, and when that was.
    mark: usize,
    moved: Instant,
    phase: Phase,
    told: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its sender has the word.
    Coming,
    /// It waits for us: for room, or to be sealed.
    Ours,
    /// It was told to make room.
    Leaving,
}

/// What came of asking for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Granted,
    /// The source has its share, or the letter had to leave.
    Never,
    /// Perhaps later; not before this time, unless something comes back.
    NotYet(Option<Instant>),
}

impl Budget {
    /// Letters may hold `octets` together; of the limits, the size of a letter counts and how
    /// long one may stand still while others need room.
    #[must_use]
    pub fn new(octets: u64, limits: &Limits) -> Self {
        let number = |octets| usize::try_from(octets).unwrap_or(usize::MAX);
        let letter = number(limits.message_octets).saturating_mul(COPIES);
        let (all, patience) = (number(octets), limits.standing);
        let (sources, letters) = (HashMap::new(), BTreeMap::new());
        let state = Mutex::new(State { left: all, sources, letters, next: 0 });
        let share = letter.max(number(octets / 4));
        Self(Arc::new(Shared { all, share, patience, state, freed: Notify::new() }))
    }

    /// What is left, in octets.
    #[must_use]
    pub fn left(&self) -> usize {
        self.state().left
    }

    /// Nothing granted yet.
    pub(super) fn begin(&self, sender: Sender) -> Granted {
        let told = Arc::new(Notify::new());
        let letter = Arriving {
            sender,
            octets: 0,
            mark: 0,
            moved: Instant::now(),
            phase: Phase::Coming,
            told: Arc::clone(&told),
        };
        let mut state = self.state();
        let id = state.next;
        state.next = state.next.wrapping_add(1);
        state.letters.insert(id, letter);
        drop(state);
        Granted { budget: self.clone(), id, told }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Asks for room for `octets` more of a letter, which takes it if `takes`.
    fn ask(&mut self, id: u64, octets: usize, takes: bool, shared: &Shared) -> Asked {
        let now = Instant::now();
        let Some(letter) = self.letters.get_mut(&id) else { return Asked::Never };
        let source = letter.sender.source();
        let held = source.and_then(|source| self.sources.get(&source)).copied().unwrap_or(0);
        let has_share = source.is_none() || held.saturating_add(octets) <= shared.share;
        let is_possible = letter.octets.saturating_add(octets) <= shared.all;
        if letter.phase == Phase::Leaving || !has_share || !is_possible {
            return Asked::Never;
        }
        if octets > self.left {
            letter.phase = Phase::Ours;
            return self.make_room(octets, now, shared.patience);
        }
        letter.phase = Phase::Coming;
        if takes {
            self.left = self.left.saturating_sub(octets);
            letter.octets = letter.octets.saturating_add(octets);
            if letter.octets.saturating_sub(letter.mark) > letter.mark / STEP {
                (letter.mark, letter.moved) = (letter.octets, now);
            }
            if let Some(source) = source {
                self.sources.insert(source, held.saturating_add(octets));
            }
        }
        Asked::Granted
    }

    /// Tells as many letters to leave as are needed, if any stands still.
    fn make_room(&mut self, octets: usize, now: Instant, patience: Duration) -> Asked {
        let leaving = self.letters.values().filter(|letter| letter.phase == Phase::Leaving);
        let mut coming: usize = leaving.map(|letter| letter.octets).sum();
        while octets > self.left.saturating_add(coming) {
            let still = |letter: &&mut Arriving| {
                now.saturating_duration_since(letter.moved) >= patience && letter.may_leave()
            };
            let worst = self.letters.values_mut().filter(still).max_by_key(|it| it.waste(now));
            let Some(worst) = worst else { break };
            worst.phase = Phase::Leaving;
            worst.told.notify_one();
            coming = coming.saturating_add(worst.octets);
        }
        let others = self.letters.values().filter(|letter| letter.may_leave());
        Asked::NotYet(others.map(|letter| letter.moved + patience).filter(|at| *at > now).min())
    }
}

impl Arriving {
    fn may_leave(&self) -> bool {
        self.phase == Phase::Coming && self.octets > 0 && self.sender != Sender::Cell
    }

    /// Strangers first; then how much it holds times how long it has stood still.
    fn waste(&self, now: Instant) -> (bool, u128) {
        let still = now.saturating_duration_since(self.moved).as_millis();
        (matches!(self.sender, Sender::Stranger(_)), still.saturating_mul(self.octets as u128))
    }
}

/// An IPv4 address, or an IPv6 network of 64 bits, which is what one customer has.
fn customer(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
    }
}

/// What one letter was granted; comes back when dropped.
pub(super) struct Granted {
    budget: Budget,
    id: u64,
    told: Arc<Notify>,
}

impl Granted {
    /// Waits until a letter of that size would fit, at most until `ends`; whether it would.
    pub(super) async fn fits(&self, octets: u64, ends: Instant) -> bool {
        let octets = usize::try_from(octets).ok().and_then(|octets| octets.checked_mul(COPIES));
        match octets {
            Some(octets) => self.ask(octets, false, ends).await,
            None => false,
        }
    }

    /// Asks for room for `octets` more of the letter, and waits for it at most until `ends`.
    pub(super) async fn grow(&self, octets: usize, ends: Instant) -> bool {
        match octets.checked_mul(COPIES) {
            Some(octets) => self.ask(octets, true, ends).await,
            None => false,
        }
    }

    async fn ask(&self, octets: usize, takes: bool, ends: Instant) -> bool {
        let shared = &self.budget.0;
        loop {
            // Before the question, so that nothing that comes back in between is missed.
            let mut freed = core::pin::pin!(shared.freed.notified());
            freed.as_mut().enable();
            let asked = self.budget.state().ask(self.id, octets, takes, shared);
            let next = match asked {
                Asked::Granted => return true,
                Asked::Never => return false,
                Asked::NotYet(next) => next.unwrap_or(ends).min(ends),
            };
            let is_over = timeout_at(next, freed).await.is_err() && next == ends;
            if is_over {
                self.came_back(Phase::Coming);
                return false;
            }
        }
    }

    /// Resolves when the letter has to make room for others. It never does by itself.
    pub(super) fn told_to_leave(&self) -> impl Future<Output = ()> + use<> {
        let told = Arc::clone(&self.told);
        async move { told.notified().await }
    }

    /// The letter is whole: what it still takes is our time.
    pub(super) fn is_whole(&self) {
        self.came_back(Phase::Ours);
    }

    fn came_back(&self, phase: Phase) {
        let mut state = self.budget.state();
        let letter = state.letters.get_mut(&self.id);
        if let Some(letter) = letter.filter(|letter| letter.phase != Phase::Leaving) {
            (letter.phase, letter.moved) = (phase, Instant::now());
        }
    }

    /// Lets go of everything.
    pub(super) fn give_back(&self) {
        let mut state = self.budget.state();
        let Some(letter) = state.letters.get_mut(&self.id) else { return };
        let octets = core::mem::take(&mut letter.octets);
        letter.mark = 0;
        let source = letter.sender.source();
        state.left = state.left.saturating_add(octets);
        if let Some(source) = source
            && let Some(held) = state.sources.get_mut(&source)
        {
            *held = held.saturating_sub(octets);
            if *held == 0 {
                state.sources.remove(&source);
            }
        }
        drop(state);
        self.budget.0.freed.notify_waiters();
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.give_back();
        self.budget.state().letters.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
