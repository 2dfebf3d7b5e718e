//! What can go wrong when sealing and opening, for every format of this crate.
//!
//! Invariant: an error names no secret, no address and no plaintext, and does not tell
//! which octet of a ciphertext was wrong.

/// Why something could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The plaintext is longer than its format allows.
    #[error("the plaintext is longer than its format allows")]
    TooLong,
    /// These keys do not seal records of this kind.
    #[error("these keys do not seal records of this kind")]
    WrongKeys,
    /// A key or a parameter is outside what the format allows.
    #[error("a key or parameter is outside what the format allows")]
    Parameter,
    /// The cipher refused its input. Does not happen while limits are kept.
    #[error("the cipher refused its input")]
    Cipher,
}

/// Why something could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not of this format: a length, version, mark or order is wrong.
    #[error("not of this format")]
    Malformed,
    /// Well formed, but about another account, epoch, row, letter or holder than expected.
    #[error("about something other than expected")]
    Mismatch,
    /// Does not authenticate under this key and context: another key, or altered.
    #[error("does not authenticate under this key and context")]
    Tampered,
}
