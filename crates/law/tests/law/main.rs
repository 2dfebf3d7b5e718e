//! One binary for the tests of the law engine: replay cases, tables, and refusals to load.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod cases;
mod loading;
mod silence;
mod tables;

use std::path::PathBuf;

/// The packs' own directory.
fn packs_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packs")
}
