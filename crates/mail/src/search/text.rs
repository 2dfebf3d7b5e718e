//! What of a message is searched: the same for the index and for who opens the message.
//!
//! Invariant: every text is in the form in which texts are searched
//! ([`proto::message::for_search`]), so that two texts compare as octets.
//! Refs: RFC 9051 §6.4.4; specs/search-index.md §4; docs/divergences.md.

use proto::message::{self, EnvelopeAddress, MessageView};

use crate::account::{Content, ReadBodyError};

/// Where in a message a text is: bits of one octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places(pub(crate) u8);

impl Places {
    pub(crate) const FROM: Self = Self(1);
    pub(crate) const TO: Self = Self(2);
    pub(crate) const CC: Self = Self(4);
    pub(crate) const BCC: Self = Self(8);
    pub(crate) const SUBJECT: Self = Self(16);
    pub(crate) const HEADER: Self = Self(32);
    pub(crate) const BODY: Self = Self(64);
    pub(crate) const TEXT: Self = Self(32 | 64);
}

/// Fields that hosts add for hosts: long, without meaning to an owner, and different in each
/// letter. `TEXT` does not look into them; `HEADER` does.
const TRACE: [&[u8]; 11] = [
    b"Received",
    b"Return-Path",
    b"Received-SPF",
    b"Authentication-Results",
    b"DKIM-Signature",
    b"DomainKey-Signature",
    b"ARC-Seal",
    b"ARC-Message-Signature",
    b"ARC-Authentication-Results",
    b"X-Google-DKIM-Signature",
    b"X-Gm-Message-State",
];

/// Whether a field is for hosts alone.
pub(crate) fn is_trace(name: &[u8]) -> bool {
    TRACE.iter().any(|trace| trace.eq_ignore_ascii_case(name))
}

/// Addresses, a line each, as `name <mailbox@host>`.
pub(crate) fn addresses(addresses: &[EnvelopeAddress]) -> String {
    let lossy = |octets: &Option<Vec<u8>>| {
        octets.as_deref().map(|octets| message::for_search(&String::from_utf8_lossy(octets)))
    };
    let mut text = String::new();
    for address in addresses {
        let name = address.name.as_deref().map(message::decode_header_text).unwrap_or_default();
        text.push_str(&message::for_search(&name));
        text.push_str(" <");
        text.push_str(&lossy(&address.mailbox).unwrap_or_default());
        text.push('@');
        text.push_str(&lossy(&address.host).unwrap_or_default());
        text.push_str(">\n");
    }
    text
}

/// A field's value.
pub(crate) fn value(field: &message::Field<'_>) -> String {
    message::for_search(&message::decode_header_text(field.value))
}

/// A header's fields, but those of [`is_trace`], a line each.
pub(crate) fn header(octets: &[u8]) -> String {
    let mut text = String::new();
    for field in message::Fields::new(octets).filter(|field| !is_trace(field.name)) {
        text.push_str(&message::for_search(&String::from_utf8_lossy(field.name)));
        text.push_str(": ");
        text.push_str(value(&field).trim_ascii());
        text.push('\n');
    }
    text
}

/// The subject.
pub(crate) fn subject(view: &MessageView) -> String {
    message::for_search(&view.subject)
}

/// All text parts as their reader sees them, attached ones too, each given to `found`; then the
/// names of files.
pub(crate) fn body(view: &MessageView, whole: &[u8], mut found: impl FnMut(&str)) {
    for part in view.parts.iter().filter(|part| part.is_text()) {
        found(&message::for_search(&part.shown_text(whole)));
    }
    for name in view.parts.iter().filter_map(message::Part::filename) {
        found(&message::for_search(&name));
    }
}

/// One message's texts, read when first needed.
pub(crate) struct Texts {
    content: Content,
    body: Option<String>,
    raw_header: Option<Vec<u8>>,
    header: Option<String>,
}

impl Texts {
    pub(crate) fn of(content: Content) -> Self {
        Self { content, body: None, raw_header: None, header: None }
    }

    /// Whether a place that has one text contains `what`.
    pub(crate) fn contain(&mut self, places: Places, what: &str) -> Result<bool, ReadBodyError> {
        let envelope = &self.content.view.envelope;
        match places {
            Places::FROM => Ok(addresses(&envelope.from).contains(what)),
            Places::TO => Ok(addresses(&envelope.to).contains(what)),
            Places::CC => Ok(addresses(&envelope.cc).contains(what)),
            Places::BCC => Ok(addresses(&envelope.bcc).contains(what)),
            Places::SUBJECT => Ok(subject(&self.content.view).contains(what)),
            Places::HEADER => Ok(self.header()?.contains(what)),
            Places::BODY => Ok(self.body()?.contains(what)),
            _ => Ok(self.header()?.contains(what) || self.body()?.contains(what)),
        }
    }

    /// Whether a field of this name contains `what`; of an empty text, whether it is there.
    // RFC 9051 §6.4.4
    pub(crate) fn field_contains(
        &mut self,
        name: &[u8],
        what: &str,
    ) -> Result<bool, ReadBodyError> {
        let header = self.raw_header()?;
        let mut fields = message::Fields::new(header);
        Ok(fields.any(|field| field.is(name) && value(&field).contains(what)))
    }

    fn raw_header(&mut self) -> Result<&[u8], ReadBodyError> {
        if self.raw_header.is_none() {
            self.raw_header = Some(self.content.header()?);
        }
        Ok(self.raw_header.as_deref().unwrap_or_default())
    }

    fn header(&mut self) -> Result<&str, ReadBodyError> {
        if self.header.is_none() {
            self.header = Some(header(self.raw_header()?));
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    fn body(&mut self) -> Result<&str, ReadBodyError> {
        if self.body.is_none() {
            let whole = self.content.whole()?;
            let mut text = String::new();
            body(&self.content.view, &whole, |part| {
                text.push_str(part);
                text.push('\n');
            });
            self.body = Some(text);
        }
        Ok(self.body.as_deref().unwrap_or_default())
    }
}
