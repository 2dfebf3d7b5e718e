//! The octets to and from one client.
//!
//! Invariant: reads wait no longer than the state of the session allows, counted from the last
//! whole command and not from the last octet, writes no longer than the limit; waiting can be
//! given up at any point without losing an octet.
//! Refs: RFC 9051 §5.4; RFC 7888; docs/adr/0013-memory.md.

use std::sync::Arc;
use std::time::Duration;

use proto::imap::{self, Event, Frame, Framer, Refused};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::Limits;
use crate::account::{IN_TRANSIT_OCTETS, Pass};

/// Octets of a command that need no room of the account's.
const SMALL_OCTETS: usize = 128 * 1024;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The client closed it, or the network did.
    Gone,
    /// The client was silent too long.
    Silent,
    /// The client sent what cannot be followed.
    Unframed(&'static str),
    /// The server goes down.
    Shutdown,
    /// The unlocker that opened the account was taken away.
    Revoked,
    /// Everything was said.
    Done,
}

/// What came from the client.
pub(super) enum Incoming {
    Frame(Frame),
    Refused(Refused),
}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    framer: Framer,
    buffer: Vec<u8>,
    patience: Duration,
    /// When the client last had said all of something, or was last answered.
    heard: Instant,
    /// Until when the client must have logged in.
    login_by: Option<Instant>,
    /// The account's room for messages in transit, once it is open, and what this has of it.
    room: Option<Arc<Semaphore>>,
    taken: Option<OwnedSemaphorePermit>,
    write_limit: Duration,
    append_octets: usize,
    after_login: Duration,
    shutdown: watch::Receiver<bool>,
    pass: Option<Pass>,
}

impl Connection {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        limits: Limits,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            framer: Framer::new(imap::Limits::before_login()),
            buffer: vec![0; 8192],
            patience: limits.before_login,
            heard: Instant::now(),
            login_by: Some(Instant::now() + limits.login),
            room: None,
            taken: None,
            write_limit: limits.write,
            append_octets: limits.append_octets,
            after_login: limits.after_login,
            shutdown,
            pass: None,
        }
    }

    /// From login on, more is allowed.
    pub(super) fn logged_in(&mut self, room: &Arc<Semaphore>, pass: Pass) {
        self.login_by = None;
        self.pass = Some(pass);
        self.room = Some(Arc::clone(room));
        self.framer.set_limits(imap::Limits::after_login(self.append_octets));
        self.patience = self.after_login;
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Closed> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.write_limit, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Gone),
            Err(_) => Err(Closed::Silent),
        }
    }

    /// Says good-bye; whether it arrives is not waited for.
    pub(super) async fn close(&mut self, last: &[u8]) {
        // What came of a command that will never be whole.
        self.framer = Framer::new(imap::Limits::before_login());
        self.taken = None;
        let farewell = async {
            drop(self.stream.write_all(last).await);
            drop(self.stream.shutdown().await);
        };
        drop(tokio::time::timeout(Duration::from_secs(5), farewell).await);
    }

    /// The next command, giving leave for its literals.
    pub(super) async fn next_command(&mut self) -> Result<Incoming, Closed> {
        // The last command is done, and what came with it let go.
        self.taken = None;
        self.heard = Instant::now();
        if self.pass.as_ref().is_some_and(Pass::is_over) {
            return Err(Closed::Revoked);
        }
        loop {
            match self.framer.next_event() {
                Ok(Some(Event::Frame(frame))) => {
                    self.heard = Instant::now();
                    return Ok(Incoming::Frame(frame));
                }
                Ok(Some(Event::Refused(refused))) => return Ok(Incoming::Refused(refused)),
                Ok(Some(Event::Continue)) => self.send(b"+ OK\r\n").await?,
                Ok(None) => self.fill().await?,
                Err(imap::Fatal::Line) => return Err(Closed::Unframed("line too long")),
                Err(imap::Fatal::Literal) => {
                    return Err(Closed::Unframed("[TOOBIG] literal too large"));
                }
            }
        }
    }

    /// The next bare line. Giving up waiting loses nothing.
    pub(super) async fn next_line(&mut self) -> Result<Vec<u8>, Closed> {
        loop {
            match self.framer.next_line() {
                Ok(Some(line)) => {
                    self.heard = Instant::now();
                    return Ok(line);
                }
                Ok(None) => self.fill().await?,
                Err(_) => return Err(Closed::Unframed("line too long")),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Closed> {
        // A large message may take its time as long as it comes.
        let is_coming = self.framer.held() > SMALL_OCTETS;
        let since = if is_coming { Instant::now() } else { self.heard };
        let ends = since + self.patience;
        let ends = self.login_by.map_or(ends, |login_by| ends.min(login_by));
        let Self { stream, buffer, shutdown, pass, .. } = self;
        let ended = async {
            match pass {
                Some(pass) => pass.ended().await,
                None => core::future::pending().await,
            }
        };
        let read = tokio::time::timeout_at(ends, stream.read(buffer));
        let count = tokio::select! {
            biased;
            // An error means the sender is gone, which is a shutdown too.
            _ = shutdown.wait_for(|down| *down) => return Err(Closed::Shutdown),
            () = ended => return Err(Closed::Revoked),
            read = read => match read {
                Err(_) => return Err(Closed::Silent),
                Ok(Err(_) | Ok(0)) => return Err(Closed::Gone),
                Ok(Ok(count)) => count,
            },
        };
        let octets = self.buffer.get_mut(..count).unwrap_or_default();
        self.framer.push(octets);
        // The last login's password would stay until as much is said again.
        octets.fill(0);
        self.take_room()
    }

    /// Asks for room for what has come of a large command.
    fn take_room(&mut self) -> Result<(), Closed> {
        let held = self.framer.held();
        let Some(room) = self.room.as_ref().filter(|_| held > SMALL_OCTETS) else { return Ok(()) };
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = held.min(IN_TRANSIT_OCTETS).saturating_sub(taken);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(room).try_acquire_many_owned(more) else {
            return Err(Closed::Unframed("[LIMIT] too much at once on this account"));
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}
