//! Places: the States whose law can matter, by their two-letter codes.
//!
//! Invariant: a place is a code and nothing more; what its law says is in its pack.
//! Refs: ISO 3166-1, with `uk` for the United Kingdom as in EU practice.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A State, as two lower-case letters: `ie`, `us`, `uk`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place([u8; 2]);

/// A text that is not two lower-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place is two lower-case letters, such as `ie`")]
pub struct ParsePlaceError;

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let code: [u8; 2] = text.as_bytes().try_into().map_err(|_| ParsePlaceError)?;
        if code.iter().all(u8::is_ascii_lowercase) { Ok(Self(code)) } else { Err(ParsePlaceError) }
    }
}

impl TryFrom<String> for Place {
    type Error = ParsePlaceError;

    fn try_from(text: String) -> Result<Self, ParsePlaceError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}
