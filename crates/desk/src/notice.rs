//! Notice to the owner: planned, sent, or withheld and why.
//!
//! Invariant: while a non-disclosure order binds no notice is recorded as sent; a notice that is
//! withheld says on what ground.
//! Refs: design §7; Regulation (EU) 2023/1543 art. 13.

use serde::{Deserialize, Serialize};
use vocab::Timestamp;

/// Where notice to the owner stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UserNotice {
    /// It will be given.
    Planned {
        /// When.
        #[serde(with = "crate::octets::time")]
        on: Timestamp,
    },
    /// It was given; the log says so.
    Sent {
        /// How, at most 200 octets, no address.
        means: String,
    },
    /// It is not given.
    Withheld {
        /// On what ground, at most 512 octets.
        because: String,
    },
}
