//! The desk, tried: whole cases, every state and role, and what must be refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod attacks;
mod cures;
mod facts;
mod founding;
mod officers;
mod papers;
mod preserving;
mod production;
mod releases;
mod tables;
mod unopened;
mod world;
