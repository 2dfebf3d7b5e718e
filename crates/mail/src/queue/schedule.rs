//! What is due when: the queue's memory, of row numbers and times alone.
//!
//! Invariant: an item is tried by one task at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vocab::{AccountId, Row, Timestamp};

use super::Status;
use super::item::Item;

#[derive(Default)]
pub(super) struct Schedule {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    due: BTreeSet<(u64, Row)>,
    items: HashMap<Row, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    sender: [u8; 16],
    created: u64,
    attempts: u32,
    in_flight: bool,
}

/// When an item is to be tried again, and how often it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) at: Timestamp,
    pub(super) attempts: u32,
}

impl Schedule {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.inner().items.len()
    }

    pub(super) fn add(&self, row: Row, item: &Item) {
        let mut inner = self.inner();
        inner.due.insert((item.next_attempt, row));
        let Item { sender, created, attempts, .. } = *item;
        let entry = Entry { sender, created, attempts, in_flight: false };
        inner.items.insert(row, entry);
    }

    /// Whether any item is from this account.
    pub(super) fn has_of(&self, account: AccountId) -> bool {
        self.inner().items.values().any(|entry| entry.sender == account.0)
    }

    /// The next item that is due, now in flight.
    pub(super) fn take_due(&self, now: Timestamp) -> Option<Row> {
        let mut inner = self.inner();
        let next = inner.due.first().copied().filter(|(at, _)| *at <= now.0)?;
        inner.due.remove(&next);
        if let Some(entry) = inner.items.get_mut(&next.1) {
            entry.in_flight = true;
        }
        Some(next.1)
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.inner().due.first().map(|(at, _)| Timestamp(*at))
    }

    /// An item was tried; without `again` it is gone.
    pub(super) fn finished(&self, row: Row, again: Option<Again>) {
        let mut inner = self.inner();
        let Some(again) = again else {
            inner.items.remove(&row);
            return;
        };
        inner.due.insert((again.at.0, row));
        if let Some(entry) = inner.items.get_mut(&row) {
            entry.in_flight = false;
            entry.attempts = again.attempts;
        }
    }

    /// Everything that waits is due at `latest`, if not before.
    pub(super) fn due_by(&self, latest: Timestamp) {
        let mut inner = self.inner();
        inner.due = inner.due.iter().map(|(at, row)| ((*at).min(latest.0), *row)).collect();
    }

    pub(super) fn status(&self) -> Status {
        let inner = self.inner();
        let count = |what: fn(&Entry) -> bool| inner.items.values().filter(|e| what(e)).count();
        Status {
            items: inner.items.len(),
            in_flight: count(|entry| entry.in_flight),
            deferred: count(|entry| entry.attempts > 0),
            next_attempt: inner.due.first().map(|(at, _)| Timestamp(*at)),
            oldest: inner.items.values().map(|entry| Timestamp(entry.created)).min(),
        }
    }
}
