//! The octets to and from one client.
//!
//! Invariant: reads wait no longer than the state of the session allows, writes no longer than
//! the limit; waiting can be given up at any point without losing an octet.
//! Refs: RFC 9051 §5.4; RFC 7888.

use std::time::Duration;

use proto::imap::{self, Event, Frame, Framer, Refused};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::Limits;

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
    write_limit: Duration,
    append_octets: usize,
    after_login: Duration,
    shutdown: watch::Receiver<bool>,
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
            write_limit: limits.write,
            append_octets: limits.append_octets,
            after_login: limits.after_login,
            shutdown,
        }
    }

    /// From login on, more is allowed.
    pub(super) fn logged_in(&mut self) {
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
        let farewell = async {
            drop(self.stream.write_all(last).await);
            drop(self.stream.shutdown().await);
        };
        drop(tokio::time::timeout(Duration::from_secs(5), farewell).await);
    }

    /// The next command, giving leave for its literals.
    pub(super) async fn next_command(&mut self) -> Result<Incoming, Closed> {
        loop {
            match self.framer.next_event() {
                Ok(Some(Event::Frame(frame))) => return Ok(Incoming::Frame(frame)),
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
                Ok(Some(line)) => return Ok(line),
                Ok(None) => self.fill().await?,
                Err(_) => return Err(Closed::Unframed("line too long")),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Closed> {
        let patience = self.patience;
        let Self { stream, buffer, shutdown, .. } = self;
        let read = tokio::time::timeout(patience, stream.read(buffer));
        let count = tokio::select! {
            biased;
            // An error means the sender is gone, which is a shutdown too.
            _ = shutdown.wait_for(|down| *down) => return Err(Closed::Shutdown),
            read = read => match read {
                Err(_) => return Err(Closed::Silent),
                Ok(Err(_) | Ok(0)) => return Err(Closed::Gone),
                Ok(Ok(count)) => count,
            },
        };
        self.framer.push(self.buffer.get(..count).unwrap_or_default());
        Ok(())
    }
}
