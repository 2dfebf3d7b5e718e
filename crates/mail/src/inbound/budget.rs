//! The memory that letters in arrival hold, all sessions together.
//!
//! Whoever sends slowly holds what it sent: without a share of its own for each source, a few
//! connections of one stranger would keep everybody's letters out for hours.
//!
//! Invariant: a letter grows only by octets that were granted; what is granted comes back when
//! the letter is dropped; one source holds a quarter at most, or one letter of the largest size.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often a letter in arrival is in memory: once as it came and once sealed.
pub const COPIES: usize = 2;

/// How much letters in arrival may hold together. Clones share it.
#[derive(Clone)]
pub struct Budget {
    octets: Arc<Semaphore>,
    /// What one source may hold.
    share: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Budget {
    /// Letters may hold `octets` together, and the largest letter has `letter_octets`.
    #[must_use]
    pub fn new(octets: u64, letter_octets: u64) -> Self {
        let number = |octets| usize::try_from(octets).unwrap_or(usize::MAX);
        Self {
            octets: Arc::new(Semaphore::new(number(octets).min(Semaphore::MAX_PERMITS))),
            share: number(octets / 4).max(number(letter_octets).saturating_mul(COPIES)),
            held: Arc::default(),
        }
    }

    /// What is left, in octets.
    #[must_use]
    pub fn left(&self) -> usize {
        self.octets.available_permits()
    }

    /// Nothing granted yet, for a letter from `source`; without one its share is not counted.
    pub(super) fn begin(&self, source: Option<IpAddr>) -> Granted {
        Granted { budget: self.clone(), source: source.map(customer), octets: 0, held: None }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
    source: Option<IpAddr>,
    octets: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Granted {
    /// Whether a letter of that size would fit now.
    pub(super) fn fits(&self, octets: u64) -> bool {
        let octets = usize::try_from(octets).ok().and_then(|octets| octets.checked_mul(COPIES));
        octets.is_some_and(|octets| octets <= self.budget.left().min(self.left_of_share()))
    }

    fn left_of_share(&self) -> usize {
        let Some(source) = self.source else { return usize::MAX };
        let held = self.budget.held().get(&source).copied().unwrap_or(0);
        self.budget.share.saturating_sub(held)
    }

    /// Asks for room for `octets` more of the letter.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let Some(octets) = octets.checked_mul(COPIES) else { return false };
        let Ok(count) = u32::try_from(octets) else { return false };
        let semaphore = Arc::clone(&self.budget.octets);
        let Ok(more) = semaphore.try_acquire_many_owned(count) else { return false };
        if let Some(source) = self.source {
            let mut sources = self.budget.held();
            let held = sources.get(&source).copied().unwrap_or(0).saturating_add(octets);
            if held > self.budget.share {
                return false;
            }
            sources.insert(source, held);
        }
        self.octets = self.octets.saturating_add(octets);
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }

    /// Lets go of everything.
    pub(super) fn give_back(&mut self) {
        self.held = None;
        let octets = core::mem::take(&mut self.octets);
        let Some(source) = self.source.filter(|_| octets > 0) else { return };
        let mut sources = self.budget.held();
        if let Some(held) = sources.get_mut(&source) {
            *held = held.saturating_sub(octets);
            if *held == 0 {
                sources.remove(&source);
            }
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_comes_back() {
        let budget = Budget::new(1000, 500);
        let mut first = budget.begin(None);
        assert!(first.grow(400) && budget.left() == 200);
        let mut second = budget.begin(None);
        assert!(second.grow(50) && !second.grow(100) && !second.fits(51) && second.fits(50));
        drop(first);
        assert!(second.grow(100));
        drop(second);
        assert_eq!(budget.left(), 1000);
    }

    #[test]
    fn one_source_leaves_room_for_others() {
        let budget = Budget::new(1000, 10);
        let [one, same, other] = ["2001:db8:0:1::1", "2001:db8:0:1::2", "192.0.2.1"]
            .map(|ip| Some(ip.parse::<IpAddr>().unwrap()));
        let mut first = budget.begin(one);
        assert!(first.grow(100) && !first.grow(26));
        let mut second = budget.begin(same);
        assert!(!second.fits(26) && second.fits(25) && second.grow(25) && !second.grow(1));
        let mut third = budget.begin(other);
        assert!(third.fits(125) && third.grow(125));
        drop((first, second, third));
        assert_eq!(budget.left(), 1000);
        assert!(budget.held().is_empty());
        // A budget of few letters still takes one of the largest size.
        assert!(Budget::new(1000, 500).begin(one).grow(500));
    }
}
