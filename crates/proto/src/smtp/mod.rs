//! SMTP without sockets: the grammar, the server's session and the client's.
//!
//! Invariant: a line ends in CRLF and nothing else, in commands and in the message, so
//! that no two servers can disagree on where a message ends. A reply never repeats what
//! the peer sent.
//! Refs: RFC 5321; RFC 1870, 2034, 2920, 3207, 3463, 4954, 6152, 6409, 6531.

mod client;
mod command;
mod line;
mod reply;
mod server;

pub use client::{Client, ClientEvent, Delivery, Job, Outcome, TlsNeed};
pub use command::{Body, Command, CommandError, MailParams, Recipient};
pub use line::{DataDecoder, DataPiece, DotStuffer, LineError, LineReader};
pub use reply::{EnhancedCode, Reply, ReplyError, ReplyReader, Severity};
pub use server::{Config, Event, NotAsked, Role, Session, Tls};
