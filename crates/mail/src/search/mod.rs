//! The sealed search index: which letters may hold a text, without opening them.
//!
//! [`text`] says what of a message is searched, for the index and for who opens the message
//! alike; [`term`] cuts it; [`build`] and [`merge`] write segments, [`segment`] reads them,
//! [`sealed`] keeps them in the store, [`index`] asks all of an account's.
//!
//! Invariant: the index never changes an answer: what it does not know, or cannot say for
//! sure, is opened and looked at. No term leaves this crate but sealed.
//! Refs: specs/search-index.md; docs/adr/0008-search.md; RFC 9051 §6.4.4.

pub(crate) mod bits;
pub(crate) mod build;
pub(crate) mod index;
pub(crate) mod merge;
pub(crate) mod sealed;
pub(crate) mod segment;
pub(crate) mod term;
pub(crate) mod text;
