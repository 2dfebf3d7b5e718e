//! The view of one message: everything IMAP and delivery ask of it, without its text.
//!
//! Parts form a flat list in the order they begin in the message and name their children
//! by position, so that nothing here recurses, whatever nests in whatever.
//!
//! Invariant: every [`Span`] lies inside the message it was parsed from. The numbers in
//! `#[n(…)]` are an on-disk format: never reuse one.
//! Refs: specs/message-view.md; RFC 9051 §6.4.5.1, §7.5.2; RFC 2045; RFC 5322.

use core::fmt;

use minicbor::{Decode, Encode};

use super::{charset, content_type, html, transfer};

/// A range of octets in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Span {
    /// Offset of the first octet.
    #[n(0)]
    pub start: u32,
    /// Length in octets.
    #[n(1)]
    pub length: u32,
}

impl Span {
    /// The offset after the last octet.
    #[must_use]
    pub fn end(self) -> u32 {
        self.start.saturating_add(self.length)
    }

    /// These octets of `message`, or nothing if they are not there.
    #[must_use]
    pub fn of(self, message: &[u8]) -> &[u8] {
        let start = usize::try_from(self.start).unwrap_or(usize::MAX);
        let end = usize::try_from(self.end()).unwrap_or(usize::MAX);
        message.get(start..end).unwrap_or_default()
    }
}

/// What a message says of itself.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct MessageView {
    /// The header fields IMAP's ENVELOPE shows.
    #[n(0)]
    pub envelope: Envelope,
    /// All parts, depth first as they stand in the message; the first is the message
    /// itself. Never empty. At most [`super::MAX_PARTS`].
    #[n(1)]
    pub parts: Vec<Part>,
    /// When the Date field says it was written.
    #[n(2)]
    pub sent: Option<SentDate>,
    /// The Message-ID without its angle brackets.
    #[n(3)]
    pub message_id: Option<String>,
    /// The ids in In-Reply-To, without angle brackets.
    #[n(4)]
    pub in_reply_to: Vec<String>,
    /// The ids in References, oldest first, without angle brackets.
    #[n(5)]
    pub references: Vec<String>,
    /// The subject as a person reads it.
    #[n(6)]
    pub subject: String,
    /// The subject without `Re:`, `Fwd:` and list tags (RFC 5256 §2.1).
    #[n(7)]
    pub base_subject: String,
    /// Whether [`Self::base_subject`] dropped a reply or forward mark.
    #[n(8)]
    pub is_reply_or_forward: bool,
    /// The first characters of the text, at most [`super::MAX_PREVIEW_CHARS`], on one line.
    #[n(9)]
    pub preview: String,
}

impl fmt::Debug for MessageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageView").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

/// When a message says it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SentDate {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    #[n(0)]
    pub unix_seconds: i64,
    /// The writer's zone east of Greenwich, in minutes.
    #[n(1)]
    pub offset_minutes: i16,
}

/// RFC 9051 §7.5.2, ENVELOPE. The octets are those of the message with folding undone and
/// NUL removed; encoded words stay encoded, and 8-bit octets can occur, so a server must be
/// ready to send any of them as a literal.
#[derive(Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Envelope {
    /// Date.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub date: Option<Vec<u8>>,
    /// Subject.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub subject: Option<Vec<u8>>,
    /// From.
    #[n(2)]
    pub from: Vec<EnvelopeAddress>,
    /// Sender, only if the message has one: see [`Self::sender_or_from`].
    #[n(3)]
    pub sender: Vec<EnvelopeAddress>,
    /// Reply-To, only if the message has one: see [`Self::reply_to_or_from`].
    #[n(4)]
    pub reply_to: Vec<EnvelopeAddress>,
    /// To.
    #[n(5)]
    pub to: Vec<EnvelopeAddress>,
    /// Cc.
    #[n(6)]
    pub cc: Vec<EnvelopeAddress>,
    /// Bcc.
    #[n(7)]
    pub bcc: Vec<EnvelopeAddress>,
    /// In-Reply-To.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID.
    #[cbor(n(9), with = "minicbor::bytes")]
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// RFC 9051 §7.5.2: the server sets a missing Sender to From.
    #[must_use]
    pub fn sender_or_from(&self) -> &[EnvelopeAddress] {
        if self.sender.is_empty() { &self.from } else { &self.sender }
    }

    /// RFC 9051 §7.5.2: the server sets a missing Reply-To to From.
    #[must_use]
    pub fn reply_to_or_from(&self) -> &[EnvelopeAddress] {
        if self.reply_to.is_empty() { &self.from } else { &self.reply_to }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(..)")
    }
}

/// RFC 9051 §7.5.2, one address of an ENVELOPE. A group begins with an entry that has a
/// mailbox (the group's name) and no host, and ends with one that has neither.
#[derive(Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct EnvelopeAddress {
    /// Display name, quotes removed, encoded words as they are.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Option<Vec<u8>>,
    /// Source route (obsolete).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub route: Option<Vec<u8>>,
    /// Local part, quotes removed; or a group's name.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub mailbox: Option<Vec<u8>>,
    /// Domain.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub host: Option<Vec<u8>>,
}

impl fmt::Debug for EnvelopeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvelopeAddress(..)")
    }
}

/// One MIME entity: the message, a part of a multipart, or a message within.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// Media type in lower case, such as `text`.
    #[n(0)]
    pub media_type: String,
    /// Media subtype in lower case, such as `plain`.
    #[n(1)]
    pub subtype: String,
    /// Content-Type parameters; see [`Param`].
    #[n(2)]
    pub params: Vec<Param>,
    /// Content-ID, as written.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub id: Option<Vec<u8>>,
    /// Content-Description, as written.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding in lower case; `7bit` when there is none.
    #[n(5)]
    pub encoding: String,
    /// Content-MD5, as written.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    #[n(7)]
    pub disposition: Option<Disposition>,
    /// Content-Language, as a list.
    #[n(8)]
    pub language: Vec<String>,
    /// Content-Location, as written.
    #[cbor(n(9), with = "minicbor::bytes")]
    pub location: Option<Vec<u8>>,
    /// This entity's header, with the blank line that ends it.
    #[n(10)]
    pub header: Span,
    /// This entity's body, transfer-encoded as it stands.
    #[n(11)]
    pub body: Span,
    /// Lines in the body; a last line without an end counts.
    #[n(12)]
    pub lines: u32,
    /// For `multipart/*`: its parts, as positions in [`MessageView::parts`]. Not empty.
    #[n(13)]
    pub children: Vec<u32>,
    /// For `message/rfc822` and `message/global`: the message inside.
    #[n(14)]
    pub embedded: Option<Embedded>,
}

/// A message inside a message.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Embedded {
    /// Its envelope.
    #[n(0)]
    pub envelope: Envelope,
    /// Its position in [`MessageView::parts`]; that part's header and body are the inner
    /// message's own.
    #[n(1)]
    pub root: u32,
}

/// Content-Disposition (RFC 2183).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Disposition {
    /// In lower case, such as `attachment`.
    #[n(0)]
    pub kind: String,
    /// Its parameters.
    #[n(1)]
    pub params: Vec<Param>,
}

/// A parameter as IMAP shows it: the continuations of RFC 2231 are joined, and if any piece
/// was extended the name keeps its `*` and the value its `charset'language'` and percent
/// signs.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Param {
    /// In lower case.
    #[n(0)]
    pub name: String,
    /// Quotes removed; may hold 8-bit octets.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("header", &self.header)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("root", &self.root).finish_non_exhaustive()
    }
}

impl fmt::Debug for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disposition(..)")
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Param(..)")
    }
}

impl MessageView {
    /// The part at a position, such as one of [`Part::children`].
    #[must_use]
    pub fn part(&self, position: u32) -> Option<&Part> {
        self.parts.get(usize::try_from(position).ok()?)
    }

    /// The message itself.
    #[must_use]
    pub fn root(&self) -> Option<&Part> {
        self.parts.first()
    }

    /// The part an IMAP section number names: `[2, 1]` is `BODY[2.1]`; `[]` is the message.
    ///
    /// For `BODY[2.HEADER]` and `BODY[2.TEXT]` take the header and body of
    /// [`Self::embedded_root`] of section 2; for `BODY[2.MIME]` the header of section 2.
    // RFC 9051 §6.4.5.1
    #[must_use]
    pub fn section(&self, numbers: &[u32]) -> Option<&Part> {
        let mut part = self.root()?;
        // Whether `part` is a whole message, whose non-multipart body is its own part 1.
        let mut is_message = true;
        for &number in numbers {
            if let Some(inner) = &part.embedded
                && !is_message
            {
                part = self.part(inner.root)?;
                is_message = true;
            }
            let index = usize::try_from(number.checked_sub(1)?).ok()?;
            if part.is_multipart() {
                part = self.part(*part.children.get(index)?)?;
            } else if !(is_message && index == 0) {
                return None;
            }
            is_message = false;
        }
        Some(part)
    }

    /// The message inside a `message/rfc822` part.
    #[must_use]
    pub fn embedded_root(&self, part: &Part) -> Option<&Part> {
        self.part(part.embedded.as_ref()?.root)
    }
}

impl Part {
    /// Whether this is `multipart/*`.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.media_type == "multipart"
    }

    /// Whether this is `text/*`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.media_type == "text"
    }

    /// A Content-Type parameter by its name in lower case, decoded by RFC 2231 and RFC 2047.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        content_type::decoded_param(&self.params, name)
    }

    /// The file name the sender gave: of Content-Disposition, else of Content-Type.
    #[must_use]
    pub fn filename(&self) -> Option<String> {
        self.disposition
            .as_ref()
            .and_then(|disposition| content_type::decoded_param(&disposition.params, "filename"))
            .or_else(|| self.param("name"))
    }

    /// Whether the sender marked this as an attachment.
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|disposition| disposition.kind == "attachment")
    }

    /// The body with its transfer encoding undone. Damaged encodings give what can be read.
    #[must_use]
    pub fn decoded(&self, message: &[u8]) -> Vec<u8> {
        transfer::decode(&self.encoding, self.body.of(message))
    }

    /// The body as text: transfer encoding and charset undone. Markup stays.
    #[must_use]
    pub fn decoded_text(&self, message: &[u8]) -> String {
        charset::to_utf8(self.param("charset").as_deref(), &self.decoded(message))
    }

    /// The text a reader sees: [`Self::decoded_text`], of HTML without its markup.
    #[must_use]
    pub fn shown_text(&self, message: &[u8]) -> String {
        let text = self.decoded_text(message);
        if self.subtype == "html" { html::to_text(&text) } else { text }
    }
}
