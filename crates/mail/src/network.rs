//! What the binary hands in to reach others: connections, and TLS on them.
//!
//! Invariant: this crate opens no socket and holds no certificate; it asks for a stream and
//! speaks SMTP on it.
//! Refs: RFC 3207; RFC 7435; RFC 8446; design §3.

use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// Octets both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection of any make.
pub type BoxStream = Box<dyn Stream>;
/// What will be a connection. The implementation bounds how long it takes.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>>;

/// TLS as a server: the cell's own certificate.
pub trait Accept: Send + Sync {
    /// Runs the handshake.
    fn accept(&self, stream: BoxStream) -> Connecting<'_>;
}

/// Connections to others.
pub trait Network: Send + Sync {
    /// A plain connection.
    fn connect(&self, to: SocketAddr) -> Connecting<'_>;

    /// TLS as a client to another domain's mail exchanger called `name`. The certificate need
    /// not be valid: the other choice is no TLS at all (RFC 7435).
    fn start_tls<'a>(&'a self, stream: BoxStream, name: &'a str) -> Connecting<'a>;

    /// A connection to another cell, TLS from the first octet: both sides show a certificate of
    /// the cells' authority, theirs for `name`.
    fn connect_cell<'a>(&'a self, to: SocketAddr, name: &'a str) -> Connecting<'a>;
}
