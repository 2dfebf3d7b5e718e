//! The cell's public log: the one writer of leaves, the tiles over HTTP, and the witness that
//! this cell is to others.
//!
//! Invariant: a leaf is in the store with its opening before it is in a tile, and in a tile
//! before a checkpoint covers it; a checkpoint is never signed for a tree that does not continue
//! the last one.
//! Refs: specs/log-entry.md; C2SP tlog-tiles, tlog-witness.

mod day;
mod files;
mod fork;
pub(crate) mod http;
mod keeper;
mod sealed;
mod standing;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use files::Files;
pub(crate) use fork::{ResumeError, Stop as LogStop, Stopped};
pub(crate) use keeper::{Item, Keeper, KeeperOptions, WitnessPeer};
pub(crate) use witness::WitnessKeeper;
