//! The wall clock.
//!
//! Invariant: the only place in the house that reads the time; everyone else is handed a
//! [`vocab::Timestamp`].

use vocab::Timestamp;

/// The host's clock, in UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

/// The time now. Before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}
