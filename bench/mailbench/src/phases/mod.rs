//! The phases of load, a file each.
//!
//! Invariant: each counts what it did and fails if the server has another number.

pub(crate) mod bodies;
pub(crate) mod changes;
pub(crate) mod deliver;
pub(crate) mod fill;
pub(crate) mod hold;
pub(crate) mod list;
pub(crate) mod logins;
pub(crate) mod parts;
pub(crate) mod search;
