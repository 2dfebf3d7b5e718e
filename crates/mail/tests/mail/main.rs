//! The crate's one integration binary: everything runs on a real store in a temporary
//! directory with a real sealed account, over in-memory connections.

mod fold;
mod imap;
mod imap_account;
mod imap_bounds;
mod imap_injection;
mod login;
mod policies;
mod smtp;
mod transcript;
mod world;
