//! Every primitive that hides data: keys, slots, epochs, letters, rows, blobs, escrow, age.
//!
//! Reading order: [`memory`], [`secret`], [`derive`](mod@derive), [`hseal`], [`cwrap`], [`blob`] are the
//! primitives; [`root`], [`slot`], [`epoch`], [`manifest`] the hierarchy; [`letter`], [`row`],
//! [`anchor`], [`escrow`] what it protects; [`opaque`], [`grant`] how a password and a session stay
//! out of the server; [`sign`], [`mac`], [`age`] what other crates need.
//!
//! Invariant: no I/O, no clock, no policy. Time is a [`vocab::Timestamp`] handed in, chance an
//! [`Entropy`] handed in. A secret type has no `Debug`, `Clone` or serialiser.
//! Refs: specs/bw1.md; docs/adr/0002-bw1.md.

pub mod age;
pub mod anchor;
mod armor;
mod bech32;
pub mod blob;
pub mod code;
pub mod cwrap;
pub mod derive;
pub mod entropy;
pub mod epoch;
pub mod error;
pub mod escrow;
pub mod grant;
pub mod holder;
pub mod hseal;
pub mod letter;
pub mod mac;
pub mod manifest;
pub mod memory;
pub mod note;
pub mod opaque;
pub mod root;
pub mod row;
pub mod run;
pub mod secret;
pub mod sign;
pub mod slot;
pub mod unlock;
mod wire;
mod xwing;

pub use entropy::Entropy;
pub use error::{OpenError, SealError};
pub use secret::Secret;
