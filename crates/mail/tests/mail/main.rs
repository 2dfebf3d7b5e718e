//! The crate's one integration binary: everything runs on a real store in a temporary
//! directory with a real sealed account, over in-memory connections.

mod attacks;
mod deletion;
mod expunged;
mod fold;
mod imap;
mod imap_account;
mod imap_bounds;
mod imap_injection;
mod login;
mod moving;
mod opaque;
mod policies;
mod program;
mod rekey;
mod retention;
mod search;
mod sessions;
mod smtp;
mod threads;
mod transcript;
mod unlockers;
mod world;
