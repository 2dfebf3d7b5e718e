//! Whose turn it is to have a secret tried.
//!
//! A password costs an Argon2id: 64 MiB and a fifth of a second. A code costs next to nothing,
//! and does not wait behind passwords.
//!
//! Invariant: few secrets are tried at a time, a bounded number waits, and of these no source
//! that is known has more than a share; whoever finds no place, or no room for the keys it
//! would open, is told to come again.
//! Refs: specs/bw1.md §4.2; RFC 9106.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::LoginError;

/// Attempts of one sort that may wait or run at a time.
const PLACES: usize = 64;
/// Of these, one source's.
const PLACES_PER_SOURCE: usize = 8;
/// Secrets for which there must be room before one more account is opened: a root key, and for
/// each month that is read its keys and those of its rows. Some ten years of months.
const SECRETS_PER_LOGIN: usize = 1024;
/// Codes tried at a time.
const CODES_PARALLEL: usize = 16;

/// Who asks: an IPv4 address, an IPv6 network of 64 bits, or nobody known.
pub(super) type Source = Option<IpAddr>;

/// One sort of attempts.
struct Queue {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<Source, usize>>>,
}

/// Leave to try one secret now.
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: Place,
}

struct Place {
    source: Source,
    sources: Arc<Mutex<HashMap<Source, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

impl Queue {
    fn new(parallel: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (turns, places) = (semaphore(parallel.max(1)), semaphore(PLACES));
        Self { turns, places, sources: Arc::default() }
    }

    fn place(&self, source: Source) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_insert(0);
        if source.is_some() && *count >= PLACES_PER_SOURCE {
            return None;
        }
        *count += 1;
        Some(Place { source, sources: Arc::clone(&self.sources), _permit: permit })
    }
}

/// Both sorts.
pub(super) struct Turns {
    passwords: Queue,
    codes: Queue,
}

impl Turns {
    /// `parallel` Argon2id runs at a time.
    pub(super) fn new(parallel: usize) -> Self {
        Self { passwords: Queue::new(parallel), codes: Queue::new(CODES_PARALLEL) }
    }

    /// Waits for a turn.
    pub(super) async fn take(
        &self,
        from: Option<IpAddr>,
        hashes: bool,
    ) -> Result<Turn, LoginError> {
        room()?;
        let queue = if hashes { &self.passwords } else { &self.codes };
        let place = queue.place(source(from)).ok_or(LoginError::Busy)?;
        let turn = Arc::clone(&queue.turns).acquire_owned().await;
        Ok(Turn { _turn: turn.map_err(|_| LoginError::Failed)?, _place: place })
    }
}

/// Whether there is room for the keys of one more account.
pub(super) fn room() -> Result<(), LoginError> {
    if seal::memory::reserve(SECRETS_PER_LOGIN) {
        return Ok(());
    }
    tracing::warn!("a login was refused: no more memory may be locked (RLIMIT_MEMLOCK)");
    Err(LoginError::Busy)
}

pub(super) fn source(from: Option<IpAddr>) -> Source {
    from.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// What takes a place, and whether it got its turn at once.
    async fn take(turns: &Turns, at: Option<IpAddr>, hashes: bool) -> Result<Turn, LoginError> {
        turns.take(at, hashes).await
    }

    #[tokio::test]
    async fn one_source_cannot_take_every_place() {
        let turns = Turns::new(PLACES);
        let mut held = Vec::new();
        // The hosts of one network are one source.
        for host in 0..PLACES_PER_SOURCE {
            let at = from(&format!("2001:db8:0:1::{host:x}"));
            held.push(take(&turns, at, true).await.unwrap());
        }
        let refused = take(&turns, from("2001:db8:0:1:ffff::1"), true).await.err();
        assert_eq!(refused, Some(LoginError::Busy));
        for at in [from("2001:db8:0:2::1"), from("192.0.2.1"), None] {
            assert!(take(&turns, at, true).await.is_ok());
        }
        held.pop();
        assert!(take(&turns, from("2001:db8:0:1:ffff::1"), true).await.is_ok());
        drop(held);
        assert!(turns.passwords.sources.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn many_sources_together_are_bounded_and_codes_do_not_wait_for_passwords() {
        let turns = Turns::new(PLACES);
        let mut held = Vec::new();
        for host in 0..PLACES {
            held.push(take(&turns, from(&format!("192.0.2.{host}")), true).await.unwrap());
        }
        let refused = take(&turns, from("198.51.100.1"), true).await.err();
        assert_eq!(refused, Some(LoginError::Busy));
        assert!(take(&turns, from("198.51.100.1"), false).await.is_ok());
        held.clear();
        assert!(take(&turns, from("198.51.100.1"), true).await.is_ok());
    }

    #[tokio::test]
    async fn as_many_passwords_are_hashed_at_a_time_as_there_are_turns() {
        let turns = Turns::new(1);
        let first = turns.take(from("192.0.2.1"), true).await.unwrap();
        let mut second = Box::pin(turns.take(from("192.0.2.2"), true));
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
        drop(first);
        assert!(second.await.is_ok());
    }
}
