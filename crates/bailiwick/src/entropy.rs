//! Chance, drawn from the operating system.
//!
//! Invariant: the only place in the house that draws random octets; everyone else is
//! handed a `&dyn seal::Entropy`.

/// The operating system's generator (`getrandom(2)`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsEntropy;

impl seal::Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the place that draws chance")]
    fn fill(&self, out: &mut [u8]) {
        if getrandom::fill(out).is_err() {
            // Without chance no key is safe; nothing sensible can go on. INVARIANT: Linux's
            // getrandom(2) does not fail once the pool is ready, which it is at boot.
            std::process::abort();
        }
    }
}
