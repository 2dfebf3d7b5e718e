//! How often a password may be tried that costs the server no Argon2id.
//!
//! Whoever guesses at an OPAQUE password pays for the stretching, and the server next to nothing;
//! so attempts are counted, by account and by network, and right ones are not.
//!
//! Invariant: a bounded number is remembered, each for its window; an account that is not there is
//! counted like one that is. Who is over a limit is told to come again, whatever they know.
//! Refs: specs/session.md §3; NIST SP 800-63B-4 §3.2.2.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vocab::{AccountId, Timestamp};

use super::turns::Source;

/// How long an attempt is remembered, from the first of its window.
const WINDOW_SECONDS: u64 = 600;
/// Attempts at one account, from everywhere.
const PER_ACCOUNT: u32 = 20;
/// Attempts from one network, at all accounts.
const PER_SOURCE: u32 = 100;
/// Windows remembered.
const WINDOWS_MAX: usize = 65_536;

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Of {
    Account(AccountId),
    Source(Source),
}

struct Window {
    ends: Timestamp,
    count: u32,
}

/// Every window that is open.
#[derive(Default)]
pub(super) struct Attempts(Mutex<Open>);

#[derive(Default)]
struct Open {
    windows: HashMap<Of, Window>,
    /// When those that had ended were last looked for.
    swept: Option<Timestamp>,
}

impl Attempts {
    /// Counts an attempt; false if it is one too many.
    pub(super) fn admits(&self, account: AccountId, source: Source, now: Timestamp) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // All are looked through once a second at most, whoever asks how often.
        if open.windows.len() + 2 > WINDOWS_MAX && open.swept != Some(now) {
            open.windows.retain(|_, window| window.ends > now);
            open.swept = Some(now);
        }
        let open = &mut open.windows;
        let limits = [(Of::Account(account), PER_ACCOUNT), (Of::Source(source), PER_SOURCE)];
        let has_room = open.len() + 2 <= WINDOWS_MAX;
        for (of, most) in limits {
            match open.get(&of) {
                Some(window) if window.ends > now && window.count >= most => return false,
                None if !has_room => return false,
                _ => {}
            }
        }
        for (of, _) in limits {
            let fresh =
                || Window { ends: Timestamp(now.0.saturating_add(WINDOW_SECONDS)), count: 0 };
            let window = open.entry(of).or_insert_with(fresh);
            if window.ends <= now {
                *window = fresh();
            }
            window.count += 1;
        }
        true
    }

    /// It was the right password.
    pub(super) fn forget(&self, account: AccountId, source: Source) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of in [Of::Account(account), Of::Source(source)] {
            if let Some(window) = open.windows.get_mut(&of) {
                window.count = window.count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_262_400);

    fn from(host: u8) -> Source {
        Some(core::net::IpAddr::from([192, 0, 2, host]))
    }

    #[test]
    fn an_account_is_guessed_at_a_bounded_number_of_times_from_everywhere_together() {
        let attempts = Attempts::default();
        let (alice, other) = (AccountId([1; 16]), AccountId([2; 16]));
        for host in 0..20 {
            assert!(attempts.admits(alice, from(host), NOW));
        }
        assert!(!attempts.admits(alice, from(99), NOW) && attempts.admits(other, from(99), NOW));
        // A right one makes room for one, and the end of the window for all.
        attempts.forget(alice, from(0));
        assert!(attempts.admits(alice, from(0), NOW) && !attempts.admits(alice, from(0), NOW));
        assert!(attempts.admits(alice, from(0), Timestamp(NOW.0 + WINDOW_SECONDS)));
    }

    #[test]
    fn a_network_guesses_a_bounded_number_of_times_at_all_accounts_together() {
        let attempts = Attempts::default();
        let tried =
            (0..=200).filter(|account| attempts.admits(AccountId([*account; 16]), from(1), NOW));
        assert_eq!(tried.count(), 100);
        assert!(attempts.admits(AccountId([201; 16]), from(2), NOW));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_makes_way_with_time() {
        let attempts = Attempts::default();
        let account = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            AccountId(id)
        };
        let source = |number: u32| Some(core::net::IpAddr::from(number.to_be_bytes()));
        let windows = u32::try_from(WINDOWS_MAX).unwrap();
        let admitted = (0..windows).filter(|n| attempts.admits(account(*n), source(*n), NOW));
        assert_eq!(admitted.count(), WINDOWS_MAX / 2);
        let later = Timestamp(NOW.0 + WINDOW_SECONDS);
        assert!(attempts.admits(account(windows), source(windows), later));
        assert_eq!(attempts.0.lock().unwrap().windows.len(), 2);
    }
}
