//! Non-disclosure orders: a duty of secrecy with a basis, an issuer and an end.
//!
//! Invariant: while one binds, what the log is given of the case is sealed leaves, each naming the
//! day by which it will be opened; the order's own end is never overstepped in silence. Whether
//! a demand is secret is said when it is entered: its first leaf cannot be hidden later.
//! Refs: specs/log-entry.md §7; design §5.

use custody::leaf::SEALED_SECONDS_MAX;
use serde::{Deserialize, Serialize};
use vocab::Timestamp;

/// A duty of secrecy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonDisclosureOrder {
    /// The provision or order, 1 to 512 octets.
    pub basis: String,
    /// Who imposed it, 1 to 512 octets.
    pub issuer: String,
    /// When it ends; `None` where it names no end, which counsel is to challenge.
    #[serde(with = "custody::octets::maybe_time")]
    pub until: Option<Timestamp>,
    /// When counsel looks at it again.
    #[serde(with = "crate::octets::time")]
    pub review: Timestamp,
}

/// What a demand says of secrecy: one or the other, never by silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecrecyStated {
    /// The paper imposes none.
    None,
    /// It came with this order.
    Order(NonDisclosureOrder),
}

impl SecrecyStated {
    /// The order, if there is one.
    #[must_use]
    pub const fn order(&self) -> Option<&NonDisclosureOrder> {
        match self {
            Self::None => None,
            Self::Order(order) => Some(order),
        }
    }
}

impl NonDisclosureOrder {
    /// Whether it binds at this time.
    #[must_use]
    pub fn binds(&self, at: Timestamp) -> bool {
        self.until.is_none_or(|until| at < until)
    }

    /// The day by which a leaf about an act at `at` must be opened: the order's end, or the
    /// longest the log allows; `None` when the order does not bind then.
    #[must_use]
    pub fn open_by(&self, at: Timestamp) -> Option<Timestamp> {
        let longest = at.0.saturating_add(SEALED_SECONDS_MAX);
        let until = self.until.map_or(longest, |until| until.0.min(longest));
        self.binds(at).then_some(Timestamp(until))
    }

    pub(crate) fn is_bounded(&self) -> bool {
        let text = |text: &str| (1..=512).contains(&text.len());
        text(&self.basis) && text(&self.issuer)
    }
}
