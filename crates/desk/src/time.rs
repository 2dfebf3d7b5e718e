//! Times as people read them, and the ends of legal limits as instants.
//!
//! Invariant: nothing here reads a clock. A limit that ends with a day ends with that day at
//! the place of service.
//! Refs: Regulation (EEC, Euratom) 1182/71 art. 3.

use law::{Moment, When};
use vocab::Timestamp;

/// A time in UTC, to the second: `2026-11-21T20:00:00Z`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    let moment = Moment::from_timestamp(at, 0);
    moment.map_or_else(|| at.0.to_string(), |moment| moment.to_string().replace("+00:00", "Z"))
}

/// The day in UTC: `2026-11-21`.
#[must_use]
pub(crate) fn day(at: Timestamp) -> String {
    utc(at).split('T').next().unwrap_or_default().to_owned()
}

/// The instant a limit ends; `None` for one in words.
#[must_use]
pub(crate) fn ends(when: &When, served: Moment) -> Option<Timestamp> {
    match when {
        When::At(moment) => moment.timestamp(),
        When::Day(day) => {
            let text = served.to_string();
            // `2026-11-21T20:00:00` is 19 octets; the offset follows.
            let (_, offset) = text.split_at_checked(19)?;
            let last: Moment = format!("{day}T23:59:59{offset}").parse().ok()?;
            last.timestamp()
        }
        When::Words(_) => None,
    }
}
