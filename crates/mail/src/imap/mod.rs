//! IMAP for the owner of an account: one task per connection, one file per command.
//!
//! The connection is TLS before it comes here (RFC 8314 §3.2), so there is no STARTTLS and a
//! password may be sent at once.
//!
//! Invariant: no lock of an account is held while the connection is written to; nothing is
//! advertised that is not here; a reply's numbers are those the client has been told.
//! Refs: RFC 9051; RFC 3501; docs/divergences.md.

mod append;
mod capability;
mod connection;
mod copy;
mod expunge;
mod fetch;
mod idle;
mod list;
mod login;
mod mailboxes;
mod objects;
mod quota;
mod reply;
mod search;
mod section;
mod select;
mod selected;
mod session;
mod set;
mod status;
mod store;

use core::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::account::Door;
use crate::quota::Quotas;

/// Times and sizes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest message APPEND takes, in octets.
    pub append_octets: usize,
    /// How long a client may be silent before it has logged in.
    pub before_login: Duration,
    /// How long it may take to log in, whatever it says meanwhile.
    pub login: Duration,
    /// How long after. RFC 9051 §5.4: at least 30 minutes.
    pub after_login: Duration,
    /// How long one write may be stuck.
    pub write: Duration,
    /// How long each failed login is made to wait; it grows with every failure.
    pub failed_login: Duration,
    /// Failed logins before the connection is closed.
    pub failed_logins: u32,
    /// Commands in a row that are not understood before the connection is closed.
    pub bad_commands: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            append_octets: 50 << 20,
            before_login: Duration::from_secs(60),
            login: Duration::from_secs(3 * 60),
            after_login: Duration::from_secs(30 * 60),
            write: Duration::from_secs(5 * 60),
            failed_login: Duration::from_secs(2),
            failed_logins: 3,
            bad_commands: 20,
        }
    }
}

/// What every connection is served with.
#[derive(Clone)]
pub struct Context {
    /// Who lets owners in.
    pub door: Arc<Door>,
    /// How much they may hold.
    pub quotas: Arc<Quotas>,
    /// Times and sizes.
    pub limits: Limits,
    /// Becomes true when the server goes down; each session then says BYE.
    pub shutdown: watch::Receiver<bool>,
}

/// Serves one connection to its end. What goes wrong on it is said to the client; nothing is
/// left for the caller to do.
///
/// `from` is where the client comes from; unlockers limited to networks serve nobody if it is
/// `None`.
pub async fn serve<S>(stream: S, from: Option<IpAddr>, context: &Context)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection =
        connection::Connection::new(Box::new(stream), context.limits, context.shutdown.clone());
    Box::pin(session::Session::new(context, connection, from).run()).await;
}
