//! What mail looks like on the wire: addresses, SMTP, IMAP, the RFC 5322 message, SPF records.
//!
//! Everything here is sans-I/O: bytes go in, events and bytes come out, and the caller
//! owns sockets, time and storage.
//!
//! Invariant: no store, no async, no DNS, no clock, and no input that can stop the
//! program or make it use more than linear time and bounded memory.
//! Refs: RFC 5321, 5322, 6531, 9051; ARCHITECTURE.md, "Crates".

pub mod address;
pub mod imap;
pub mod message;
pub mod sasl;
pub mod smtp;
pub mod spf;
