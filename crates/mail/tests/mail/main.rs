//! The crate's one integration binary: everything runs on a real store in a temporary
//! directory with a real sealed account, over in-memory connections.

mod attacks;
mod deletion;
mod fold;
mod imap;
mod imap_account;
mod imap_bounds;
mod imap_injection;
mod login;
mod policies;
mod search;
mod smtp;
mod transcript;
mod unlockers;
mod world;
