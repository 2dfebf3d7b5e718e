//! The RFC 5322 message: one parse gives all that IMAP and delivery ask of it.
//!
//! Invariant: [`parse`] accepts any octets, never fails, takes time linear in their
//! number and nests no deeper than [`MAX_DEPTH`]. What is wrong with a message is a
//! [`Defect`], never an error: bad mail is normal.
//! Refs: RFC 5322, RFC 2045 to 2047, RFC 2231, RFC 6532; specs/message-view.md.

mod address_list;
mod charset;
mod content_type;
mod date;
mod encoded_word;
mod envelope;
mod header;
mod html;
mod preview;
mod structure;
mod subject;
mod transfer;
mod view;

pub use charset::{for_search, to_utf8};
pub use date::parse_date;
pub use encoded_word::decode_header_text;
pub use header::{Field, Fields, field_value, header_length, select_fields};
pub use subject::{BaseSubject, base_subject};
pub use transfer::{decode as decode_transfer, decode_base64, decode_quoted_printable};
pub use view::{
    Disposition, Embedded, Envelope, EnvelopeAddress, MessageView, Param, Part, SentDate, Span,
};

/// Multiparts and messages within messages deeper than this are leaves.
pub const MAX_DEPTH: usize = 50;
/// Parts of one message; what follows is not split further.
pub const MAX_PARTS: usize = 2000;
/// Header octets read in one message, all its parts together.
pub const MAX_HEADER_OCTETS: usize = 1 << 20;
/// Addresses kept of one header field.
pub const MAX_ADDRESSES: usize = 2000;
/// Message ids kept of In-Reply-To and of References; the newest are kept.
pub const MAX_IDS: usize = 200;
/// Characters of [`MessageView::preview`].
pub const MAX_PREVIEW_CHARS: usize = 200;

/// What is wrong with a message. Each kind is reported once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// A line ends in LF alone, or holds a CR that no LF follows.
    BareLineEnd,
    /// The message holds NUL.
    Nul,
    /// A header line is neither a field nor a continuation (RFC 5322 §2.2).
    MalformedHeaderLine,
    /// A header has octets above 127 that are not UTF-8 (RFC 6532 §3).
    HeaderNotUtf8,
    /// More than [`MAX_HEADER_OCTETS`] of headers; the rest was not read.
    HeaderTooLong,
    /// More than [`MAX_ADDRESSES`] addresses in one field; the rest was dropped.
    TooManyAddresses,
    /// No blank line ends a header.
    UnendedHeader,
    /// The Date is absent or unreadable.
    BadDate,
    /// No From field.
    NoFrom,
    /// A Content-Type that RFC 2045 does not allow; read as plain text.
    BadContentType,
    /// A multipart names no boundary; read as plain text.
    NoBoundary,
    /// A multipart whose boundary never occurs; its body is its one part.
    BoundaryNotFound,
    /// A multipart without its closing line.
    UnendedMultipart,
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More than [`MAX_PARTS`].
    TooManyParts,
    /// Longer than 4 GiB; the rest was not read.
    TooLong,
}

/// Reads one message. Any octets parse; the defects are sorted and each appears once.
#[must_use]
pub fn parse(message: &[u8]) -> (MessageView, Vec<Defect>) {
    structure::parse(message)
}
