//! Letters on their way in, over SMTP: from strangers, from other cells, from our own people.
//!
//! A session ([`serve`]) takes an envelope, checks who sent it, and delivers: each letter is
//! sealed to its owner's key of this month and on disk before it is acknowledged. A letter for
//! another cell is handed over while its sender waits, and is kept nowhere here.
//!
//! Invariant: a letter is in memory or sealed, never otherwise; what all sessions hold together
//! is bounded; 250 is said only after every commit has returned.
//! Refs: RFC 5321; RFC 6409; docs/life-of-a-letter.md.

mod authenticate;
mod budget;
mod deliver;
pub(crate) mod envelope;
mod relay;
pub(crate) mod reply;
mod session;
pub(crate) mod trace;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use proto::address::Address;
use tokio::sync::watch;

pub use budget::{Budget, COPIES};
pub use deliver::{DeliverError, Deliverer, DelivererOptions, Letter};

use crate::account::Door;
use crate::dkim::Signer;
use crate::dns::Dns;
use crate::network::{Accept, BoxStream, Network, Stream};
use crate::queue::Queue;
use crate::routes::Routes;
use crate::runtime::Clock;

/// Whom a connection serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Other domains' servers, with letters for us. In the clear at first; STARTTLS is offered
    /// if [`Context::starttls`] is there.
    Mx,
    /// Another cell, with letters that belong here. TLS already runs, and its certificate was
    /// checked: its Authentication-Results are believed.
    Relay,
    /// Our own people, with letters for anyone. TLS already runs (RFC 8314 §3.3).
    Submission,
}

/// Times and sizes of a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest letter, in octets (RFC 1870).
    pub message_octets: u64,
    /// How long a client may be silent; RFC 5321 §4.5.3.2.7 asks for five minutes.
    pub silence: Duration,
    /// How long one write may be stuck.
    pub write: Duration,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long one letter may take from MAIL on: what has come of it is held meanwhile.
    pub letter: Duration,
    /// How long a letter waits for room in memory.
    pub room: Duration,
    /// How long a letter may stand still while others need its room.
    pub standing: Duration,
    /// How long one connection may last.
    pub connection: Duration,
    /// How long SPF, DKIM and DMARC may take together, before what is not found out counts as a
    /// temporary error: the letter is in memory meanwhile.
    pub checks: Duration,
    /// How long a failed login is made to wait, times the failures so far.
    pub failed_login: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_octets: 50 << 20,
            silence: Duration::from_secs(5 * 60),
            write: Duration::from_secs(5 * 60),
            handshake: Duration::from_secs(60),
            letter: Duration::from_secs(30 * 60),
            room: Duration::from_secs(20),
            standing: Duration::from_secs(10),
            connection: Duration::from_secs(2 * 3600),
            checks: Duration::from_secs(30),
            failed_login: Duration::from_secs(2),
        }
    }
}

/// What every connection is served with. One for all; share it in an [`Arc`].
pub struct Context {
    /// The host's name: in the greeting, in Received, in Authentication-Results.
    pub hostname: String,
    /// Who gets mail for `<Postmaster>`; should be a route.
    pub postmaster: Address,
    /// Times and sizes.
    pub limits: Limits,
    /// Memory that letters in arrival may hold together.
    pub budget: Budget,
    /// Addresses.
    pub routes: Arc<Routes>,
    /// Seals and stores.
    pub deliverer: Arc<Deliverer>,
    /// Holds what our people send elsewhere.
    pub queue: Arc<Queue>,
    /// Lets our people in.
    pub door: Arc<Door>,
    /// Signs what they send; `None` signs nothing.
    pub signer: Option<Arc<Signer>>,
    /// SPF, DKIM and DMARC; `None` checks nothing, and says so in the letter.
    pub dns: Option<Dns>,
    /// The way to other cells.
    pub network: Arc<dyn Network>,
    /// TLS for STARTTLS.
    pub starttls: Option<Arc<dyn Accept>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for message identifiers.
    pub entropy: Arc<dyn seal::Entropy>,
    /// Becomes true when the server goes down; each session then says 421.
    pub shutdown: watch::Receiver<bool>,
}

/// Serves one connection to its end. What goes wrong on it is said to the client; nothing is
/// left for the caller to do.
pub async fn serve<S>(stream: S, peer: SocketAddr, service: Service, context: &Arc<Context>)
where
    S: Stream + 'static,
{
    let stream: BoxStream = Box::new(stream);
    Box::pin(session::Connection::new(stream, peer, service, Arc::clone(context)).run()).await;
}

/// Tells a client that there are too many connections, and closes.
pub async fn turn_away<S>(stream: S, service: Service, context: &Arc<Context>)
where
    S: Stream + 'static,
{
    let stream: BoxStream = Box::new(stream);
    session::turn_away(stream, service, context).await;
}
