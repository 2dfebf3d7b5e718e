//! What the binary hands in: the time.
//!
//! Invariant: nothing in this crate reads a clock of its own, but to wait.

use vocab::Timestamp;

/// The clock, handed in.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}
