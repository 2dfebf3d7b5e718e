//! IMAP4rev1 and IMAP4rev2 without I/O: octets in, commands out; replies as octets.
//!
//! [`Framer`] cuts the stream into [`Frame`]s (one command with its literals), [`Frame::request`]
//! reads one, [`mod@write`] writes what a server says. The grammar is `imap-codec`'s; what that lacks
//! (LIST-EXTENDED, SEARCH RETURN, `$`, OBJECTID, quoted UTF-8) is read here and rewritten into what it knows.
//!
//! Invariant: nothing is buffered beyond the [`Limits`]; no octet of a literal is ever taken for a
//! command; a malformed command is an answer, never a panic.
//! Refs: RFC 9051; RFC 3501; RFC 7888; RFC 5258; RFC 5819; RFC 4731; RFC 5182; RFC 8474.

pub mod date;
mod frame;
mod lexer;
mod list;
pub mod mutf7;
mod objects;
mod request;
pub mod structure;
#[cfg(test)]
mod tests;
pub mod write;

pub use frame::{Event, Fatal, Frame, Framer, Limits, Refused};
pub use list::{List, ListReturn, ListSelect};
pub use objects::{Objects, SEARCHED_EMAIL, SEARCHED_THREAD};
pub use request::{Body, Malformed, Request, ReturnOption, SAVED, authenticate_data};
