//! Address lists of header fields, as ENVELOPE shows them.
//!
//! Invariant: one pass, and never an error: what cannot be an address is still shown.
//! Refs: RFC 5322 §3.4, §4.4; RFC 9051 §7.5.2.

use super::MAX_ADDRESSES;
use super::content_type::{comment_length, unquote};
use super::view::EnvelopeAddress;

/// Appends the addresses of an unfolded field; `false` if some did not fit.
pub(super) fn parse_addresses(value: &[u8], list: &mut Vec<EnvelopeAddress>) -> bool {
    let mut parser = Parser { list, item: Item::default(), in_group: false, fits: true };
    let mut rest = value;
    while let Some(&first) = rest.first() {
        let length = parser.step(first, rest);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    parser.end_item();
    if parser.in_group {
        parser.end_group();
    }
    parser.fits
}

/// What stands between two commas, as far as it is read.
#[derive(Default)]
struct Item {
    /// Words and quoted strings; white space between them is one space.
    text: Vec<u8>,
    /// Where in `text` the last `@` outside quotes stands.
    at: Option<usize>,
    space: bool,
    comment: Option<Vec<u8>>,
}

impl Item {
    fn push(&mut self, octets: &[u8]) {
        if core::mem::take(&mut self.space) && !self.text.is_empty() {
            self.text.push(b' ');
        }
        self.text.extend_from_slice(octets);
    }
}

struct Parser<'a> {
    list: &'a mut Vec<EnvelopeAddress>,
    item: Item,
    in_group: bool,
    fits: bool,
}

impl Parser<'_> {
    /// Reads what `rest` begins with; gives its length.
    fn step(&mut self, first: u8, rest: &[u8]) -> usize {
        match first {
            b' ' | b'\t' => self.item.space = true,
            b',' => self.end_item(),
            b';' => {
                self.end_item();
                if core::mem::take(&mut self.in_group) {
                    self.end_group();
                }
            }
            b':' if !self.in_group && !self.item.text.is_empty() && self.item.at.is_none() => {
                let name = core::mem::take(&mut self.item).text;
                self.in_group = true;
                self.add(EnvelopeAddress { mailbox: Some(name), ..EnvelopeAddress::default() });
            }
            b'(' => {
                let length = comment_length(rest);
                let content = rest.get(1..length).unwrap_or_default();
                self.item.comment = Some(content.strip_suffix(b")").unwrap_or(content).to_vec());
                self.item.space = true;
                return length;
            }
            b'"' => {
                let (content, length) = unquote(rest);
                self.item.push(&content);
                return length;
            }
            b'<' => return self.angle(rest),
            b'@' => {
                self.item.push(b"@");
                self.item.at = Some(self.item.text.len().saturating_sub(1));
            }
            b'[' => {
                let length = memchr::memchr2(b']', b',', rest).unwrap_or(rest.len());
                let length =
                    if rest.get(length) == Some(&b']') { length.saturating_add(1) } else { length };
                self.item.push(rest.get(..length).unwrap_or_default());
                return length;
            }
            _ => {
                let length =
                    rest.iter().take_while(|octet| !b" \t,;:(\"<@[".contains(octet)).count();
                self.item.push(rest.get(..length.max(1)).unwrap_or_default());
                return length;
            }
        }
        1
    }

    /// `<route:local@domain>`, with the item so far as its name.
    fn angle(&mut self, rest: &[u8]) -> usize {
        let (spec, at, length) = angle_content(rest);
        let item = core::mem::take(&mut self.item);
        let name = if item.text.is_empty() { item.comment } else { Some(item.text) };
        let mut address = address_of(&spec, at);
        address.name = name.filter(|name| !name.is_empty());
        // RFC 5322 §4.4 `obs-route`.
        if let Some(mailbox) = &address.mailbox
            && mailbox.first() == Some(&b'@')
            && let Some(colon) = memchr::memchr(b':', mailbox)
        {
            let (route, local) = mailbox.split_at_checked(colon).unwrap_or((mailbox, &[]));
            address.route = Some(route.to_vec());
            address.mailbox = Some(local.get(1..).unwrap_or_default().to_vec());
        }
        self.add(address);
        length
    }

    fn end_item(&mut self) {
        let item = core::mem::take(&mut self.item);
        if item.text.is_empty() {
            return;
        }
        let mut address = address_of(&item.text, item.at);
        // RFC 5322 §3.4: a comment after an address once was where its name stood.
        address.name = item.comment.filter(|name| !name.is_empty());
        self.add(address);
    }

    fn end_group(&mut self) {
        self.add(EnvelopeAddress::default());
    }

    fn add(&mut self, address: EnvelopeAddress) {
        // The marks of a group always fit, so that groups stay balanced.
        let is_mark = address.host.is_none();
        if self.list.len() < MAX_ADDRESSES
            || (is_mark && self.list.len() < MAX_ADDRESSES.saturating_mul(2))
        {
            self.list.push(address);
        } else {
            self.fits = false;
        }
    }
}

/// Splits at the `@`. Without one the host is empty, not absent: absent means a group.
fn address_of(text: &[u8], at: Option<usize>) -> EnvelopeAddress {
    let (mailbox, host) = match at.and_then(|at| text.split_at_checked(at)) {
        Some((mailbox, host)) => (mailbox, host.get(1..).unwrap_or_default()),
        None => (text, &[][..]),
    };
    EnvelopeAddress {
        mailbox: Some(mailbox.trim_ascii().to_vec()),
        host: Some(host.trim_ascii().to_vec()),
        ..EnvelopeAddress::default()
    }
}

/// What stands in angle brackets, without white space and comments; where its last `@`
/// outside quotes stands; and the length with brackets.
fn angle_content(input: &[u8]) -> (Vec<u8>, Option<usize>, usize) {
    let (mut spec, mut at) = (Vec::new(), None);
    let mut position = 1;
    while let Some(rest) = input.get(position..).filter(|rest| !rest.is_empty()) {
        let mut length = 1;
        match rest.first().copied().unwrap_or_default() {
            b'>' => return (spec, at, position.saturating_add(1)),
            b' ' | b'\t' => {}
            b'(' => length = comment_length(rest),
            b'"' => {
                let (content, quoted) = unquote(rest);
                spec.extend_from_slice(&content);
                length = quoted;
            }
            octet => {
                if octet == b'@' {
                    at = Some(spec.len());
                }
                spec.push(octet);
            }
        }
        position = position.saturating_add(length.max(1));
    }
    (spec, at, input.len())
}
