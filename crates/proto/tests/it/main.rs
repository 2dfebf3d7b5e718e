//! What `proto` promises, shown from outside: SMTP transcripts and the message view.
//!
//! Invariant: no network, no clock; every test says one fact.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at the first surprise"
)]

mod address;
mod message;
mod message_hostile;
mod message_vectors;
mod smtp_client;
mod smtp_reply;
mod smtp_smuggling;
mod transcript;
