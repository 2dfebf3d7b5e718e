//! Productions, at the disclosure station: open, cut, package, seal to the authority.
//!
//! [`station`] opens what the order names and keeps what the scope names, [`unopened`] packs what
//! is handed out as sealed as it is; [`package`] makes the bag, [`archive`] makes it one file.
//!
//! Invariant: works from octets handed in and gives octets out; no file, no network, no clock.
//! What the scope does not name is dropped when it is opened and never leaves this module.
//! Refs: specs/production.md.

pub mod archive;
pub mod package;
pub mod station;
pub mod unopened;

use crate::scope::Scope;
use custody::OrderRecord;
use seal::age::Recipient;
use seal::mac::sha256;
use serde::Serialize;
use station::StationError;
use vocab::Digest;

/// A file's JSON, in the one form the desk and the station both write.
pub(crate) fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut octets = serde_json::to_vec_pretty(value).ok()?;
    octets.push(b'\n');
    Some(octets)
}

/// How an order names the age key that its production is encrypted to: the end of `authority`
/// (specs/release-evidence.md §2).
pub(crate) fn age_key(recipient: &str) -> String {
    format!(", age key sha256:{}", sha256(&[recipient.as_bytes()]))
}

/// Whether the officers, who sign both, signed the same: the narrower would rule anyway.
fn agree(scope: &Scope, order: &OrderRecord) -> bool {
    (scope.account, scope.from, scope.until) == (order.account, order.from, order.until)
        && scope.kinds() == order.kinds
        && scope.opens_account() == order.opens_account()
}

/// The authority's age key as the server gave it, if it is the one the officers signed for.
fn recipient(text: &str, order: &OrderRecord) -> Result<Recipient, StationError> {
    let signed = order.authority.ends_with(&age_key(text));
    text.parse().ok().filter(|_| signed).ok_or(StationError::Recipient)
}

/// `order.sha256`.
pub(crate) fn order_line(demand: Digest) -> Vec<u8> {
    format!("{demand}  demand\n").into_bytes()
}
