//! What custody promises, tried from outside: the owner's way in, the log's leaves, and every
//! way a release must fail.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

extern crate bailiwick_custody as custody;

mod attacks;
mod cell;
mod client;
mod compile_fail;
mod holders;
mod leaf;
mod opening;
mod rekey;
mod release;
mod unlockers;
mod user;
mod vectors;
mod world;
