//! Administration: one request and one answer over a local socket.
//!
//! Invariant: whoever can open the socket file can administer the cell, so the file belongs to
//! the cell's user and nobody else; no request opens an account without its owner's secret.

pub(crate) mod client;
pub(crate) mod protocol;
pub(crate) mod render;
pub(crate) mod server;
