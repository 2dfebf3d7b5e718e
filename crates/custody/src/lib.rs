//! Who may open: the owner, the holders of an account's escrow, the cell; and how each proves it.
//!
//! [`user`] is the owner's way in, [`cell`] what the running cell must read itself, [`release`]
//! the one door for anyone else, whose evidence [`holder`] checks on the trustees' and guards'
//! own machines, and [`opening`] what lies behind it. [`leaf`] and [`acts`] are what the log says.
//!
//! Invariant: this crate knows no desk, no law and no store, and does no I/O; time and chance
//! are handed in. It believes evidence, not callers. No key is ever printed.
//! Refs: specs/{log-entry,release-evidence,bw1}.md; design §5; house §2.4.

pub mod acts;
pub mod cell;
pub mod ciphertext;
mod day;
pub mod hex;
pub mod holder;
pub mod leaf;
pub mod octets;
pub mod officers;
pub mod opening;
pub mod order;
pub mod pin;
pub mod production;
pub mod receipt;
pub mod release;
pub mod statement;
pub mod time;
pub mod trust;
pub mod user;

pub use cell::CellKeys;
pub use day::{DAY_LINE_OCTETS, DayLine, day_digest};
pub use leaf::{Act, Draft, FieldId, Leaf, LeafError, LeafOpening, Place, Written};
pub use officers::{Approval, Officer, Register, Role};
pub use opening::{Opening, RecipientKey};
pub use order::{OrderEpoch, OrderError, OrderRecord};
pub use pin::{Pin, PinOf};
pub use receipt::{LeafReceipt, LogTrust, Logged};
pub use release::{GuardEvidence, Refused, ReleaseEvidence, VerifiedRelease};
pub use trust::TrustPolicy;

use vocab::Digest;

pub(crate) fn hash(parts: &[&[u8]]) -> Digest {
    seal::mac::sha256(parts)
}
