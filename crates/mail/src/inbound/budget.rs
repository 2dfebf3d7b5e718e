//! The memory that letters in arrival hold, all sessions together.
//!
//! Invariant: a letter grows only by octets that were granted; what is granted comes back when
//! the letter is dropped.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A letter is in memory once as it came and once sealed.
const COPIES: usize = 2;

/// How much letters in arrival may hold together. Clones share it.
#[derive(Clone)]
pub struct Budget {
    octets: Arc<Semaphore>,
}

impl Budget {
    /// Letters may hold `octets` together.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        let octets = usize::try_from(octets).unwrap_or(usize::MAX);
        Self { octets: Arc::new(Semaphore::new(octets.min(Semaphore::MAX_PERMITS))) }
    }

    /// What is left, in octets.
    #[must_use]
    pub fn left(&self) -> usize {
        self.octets.available_permits()
    }

    /// Whether a letter of that size would fit now.
    pub(super) fn fits(&self, octets: u64) -> bool {
        usize::try_from(octets)
            .ok()
            .and_then(|octets| octets.checked_mul(COPIES))
            .is_some_and(|octets| octets <= self.left())
    }

    /// Nothing granted yet.
    pub(super) fn begin(&self) -> Granted {
        Granted { budget: self.clone(), held: None }
    }
}

/// What one letter was granted; comes back when dropped.
pub(super) struct Granted {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Granted {
    /// Asks for room for `octets` more of the letter.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let Some(count) = octets.checked_mul(COPIES).and_then(|all| u32::try_from(all).ok()) else {
            return false;
        };
        let semaphore = Arc::clone(&self.budget.octets);
        let Ok(more) = semaphore.try_acquire_many_owned(count) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_comes_back() {
        let budget = Budget::new(1000);
        let mut first = budget.begin();
        assert!(first.grow(400) && budget.left() == 200);
        let mut second = budget.begin();
        assert!(second.grow(50) && !second.grow(100) && !budget.fits(51) && budget.fits(50));
        drop(first);
        assert!(second.grow(100));
        drop(second);
        assert_eq!(budget.left(), 1000);
    }
}
