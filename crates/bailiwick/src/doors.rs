//! What tests and fuzzing reach of this package beside the program: its parsers.
//!
//! Invariant: reads octets and says what was read; opens, changes and keeps nothing.

use crate::admin::protocol::{Answer, Request};
use crate::config::{Config, ConfigError};

/// Where a configuration is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

/// Reads the TOML of a cell, as `serve` and `check` do.
///
/// # Errors
/// The first [`Mistake`].
pub fn configuration(text: &str) -> Result<(), Mistake> {
    match Config::parse(text, "") {
        Ok(_) => Ok(()),
        Err(ConfigError::Line { line, what, cure, .. }) => Err(Mistake { line, what, cure }),
        // Only `load` opens a file.
        Err(error @ ConfigError::Read(..)) => {
            Err(Mistake { line: 0, what: error.to_string(), cure: String::new() })
        }
    }
}

/// Reads a request as the administration socket does, and writes it again; `None` if it is none.
#[must_use]
pub fn request(line: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<Request>(line).ok()?).ok()
}

/// Reads an answer as `bailiwick admin` does, prints it as a person sees it, and writes it again;
/// `None` if it is none.
#[must_use]
pub fn answer(line: &[u8]) -> Option<Vec<u8>> {
    let answer: Answer = serde_json::from_slice(line).ok()?;
    let (Ok(_) | Err(_)) = crate::admin::render::text(&answer);
    serde_json::to_vec(&answer).ok()
}

/// Whether a text is a member of staff's key file.
#[must_use]
pub fn staff_key(text: &str) -> bool {
    crate::staff::is_key(text)
}
