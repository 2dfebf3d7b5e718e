//! The running server, tried from outside: the real executable, real sockets on loopback, a real
//! TLS authority made for the test. Nothing here links the server; a test knows what a stranger,
//! an owner or an administrator knows.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test stops at the first surprise"
)]

mod account_check;
mod admin;
mod backup;
mod cell;
mod config;
mod crash;
mod custody;
mod init;
mod log;
mod mail;
mod memory;
mod moving;
mod names;
mod rekey;
mod relay;
mod stop;
mod tls;
mod undelete;
mod unlockers;
mod wire;
