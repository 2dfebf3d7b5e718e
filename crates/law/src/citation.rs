//! Citations: where a rule comes from, since when, and how surely that is known.
//!
//! Invariant: a citation is written in a pack and never made up here.
//! Refs: packs/README.md.

use core::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How surely the text of a rule is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mark {
    /// The text or fact was seen in a stored source.
    V,
    /// Partly seen, partly from knowledge.
    #[serde(rename = "V/K")]
    Partly,
    /// From knowledge, unverified: counsel checks it before relying on it.
    K,
}

impl Mark {
    /// The mark as the packs write it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V => "V",
            Self::Partly => "V/K",
            Self::K => "K",
        }
    }
}

/// One passage of law an opinion rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Citation {
    /// The rule that cites it, as `pack.rule`.
    pub rule: String,
    /// The passage, as a lawyer writes it.
    pub text: String,
    /// How surely the rule is known.
    pub mark: Mark,
    /// First day the rule may be used; `None` where the law tables give no start.
    pub from: Option<Date>,
    /// First day it may no longer be used; `None` while it is in force.
    pub until: Option<Date>,
}

impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.mark.text())?;
        match (self.from, self.until) {
            (Some(from), Some(until)) => write!(f, " (used from {from} until {until})"),
            (Some(from), None) => write!(f, " (used from {from})"),
            (None, Some(until)) => write!(f, " (used until {until})"),
            (None, None) => Ok(()),
        }
    }
}
