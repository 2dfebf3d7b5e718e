//! Mail for its owner and for the world: mailboxes, IMAP, delivery, submission, queue.
//!
//! Invariant: sees neither desk nor law. A plaintext octet leaves this crate only to the
//! owner's session or, sealed, to the store; no log line carries an address, a subject or
//! a recipient. Time and chance are handed in.
//! Refs: ARCHITECTURE.md, "Crates"; docs/life-of-a-letter.md.

pub mod account;
mod cores;
pub mod dkim;
pub mod dns;
mod dsn;
pub mod imap;
pub mod inbound;
pub mod letter;
pub mod mailbox;
pub mod network;
pub mod queue;
pub mod quota;
pub mod routes;
pub mod runtime;
mod search;
mod spf;
mod submission;
