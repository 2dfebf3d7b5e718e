//! SMTP in and out: real sessions over in-memory connections, a real store, real sealed
//! accounts, and a DNS server on loopback that says what each test needs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod authenticate;
mod cells;
mod dns;
mod keystore;
mod queue;
mod receive;
mod rekey;
mod runs;
mod submit;
mod talk;
mod world;
