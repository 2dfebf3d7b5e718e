//! The verifier's own clock and chance, and times as people read them.
//!
//! Invariant: the only place of this program that reads the time or draws chance; every check
//! is handed a [`Timestamp`], so that `--at` can stand in for the clock.

pub(crate) use custody::time::utc;
use seal::Entropy;
use vocab::Timestamp;

/// The time now. Before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}

/// The operating system's generator.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the place that draws chance")]
    fn fill(&self, out: &mut [u8]) {
        if getrandom::fill(out).is_err() {
            // Without chance no key is safe; nothing sensible can go on.
            std::process::abort();
        }
    }
}
