//! The header of a message: its envelope, ids, date and subject.
//!
//! Invariant: of a field that should stand once, the first counts, but for addresses,
//! where all are shown: hiding one would hide somebody.
//! Refs: RFC 5322 §3.6; RFC 9051 §7.5.2.

use super::address_list::parse_addresses;
use super::header::{Fields, unfold};
use super::view::Envelope;
use super::{Defect, MAX_IDS};

/// Octets in one message id that is kept; RFC 5322 §2.1.1 bounds its line.
const MAX_ID_OCTETS: usize = 998;

/// What the root's header gives besides the envelope.
#[derive(Default)]
pub(super) struct Threading {
    pub(super) message_id: Option<String>,
    pub(super) in_reply_to: Vec<String>,
    pub(super) references: Vec<String>,
}

/// Reads the envelope of a header.
pub(super) fn envelope(header: &[u8], defects: &mut Vec<Defect>) -> Envelope {
    let mut envelope = Envelope::default();
    let mut fits = true;
    for field in Fields::new(header) {
        let name = field.name.to_ascii_lowercase();
        let list = match name.as_slice() {
            b"from" => &mut envelope.from,
            b"sender" => &mut envelope.sender,
            b"reply-to" => &mut envelope.reply_to,
            b"to" => &mut envelope.to,
            b"cc" => &mut envelope.cc,
            b"bcc" => &mut envelope.bcc,
            other => {
                let scalar = match other {
                    b"date" => &mut envelope.date,
                    b"subject" => &mut envelope.subject,
                    b"in-reply-to" => &mut envelope.in_reply_to,
                    b"message-id" => &mut envelope.message_id,
                    _ => continue,
                };
                scalar.get_or_insert_with(|| unfold(field.value));
                continue;
            }
        };
        fits &= parse_addresses(&unfold(field.value), list);
    }
    if !fits {
        defects.push(Defect::TooManyAddresses);
    }
    envelope
}

/// Reads the ids of a header.
pub(super) fn threading(header: &[u8]) -> Threading {
    let mut threading = Threading::default();
    for field in Fields::new(header) {
        if field.is(b"message-id") && threading.message_id.is_none() {
            let value = unfold(field.value);
            threading.message_id = ids(&value).pop().or_else(|| plain_id(&value));
        } else if field.is(b"in-reply-to") && threading.in_reply_to.is_empty() {
            threading.in_reply_to = ids(&unfold(field.value));
        } else if field.is(b"references") && threading.references.is_empty() {
            threading.references = ids(&unfold(field.value));
        }
    }
    threading
}

/// What stands in angle brackets, the newest [`MAX_IDS`]. In-Reply-To once held prose too.
fn ids(value: &[u8]) -> Vec<String> {
    let mut ids: Vec<String> = value
        .split(|&octet| octet == b'>')
        .filter_map(|piece| {
            let start = memchr::memrchr(b'<', piece)?.checked_add(1)?;
            plain_id(piece.get(start..)?)
        })
        .collect();
    // What follows the last bracket was no id, but it has no `<` either, or no end.
    if !value.ends_with(b">")
        && value.contains(&b'<')
        && memchr::memrchr(b'<', value) > memchr::memrchr(b'>', value)
    {
        ids.pop();
    }
    ids.drain(..ids.len().saturating_sub(MAX_IDS));
    ids
}

fn plain_id(id: &[u8]) -> Option<String> {
    let id: Vec<u8> = id.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    if id.is_empty() || id.len() > MAX_ID_OCTETS || id.iter().any(u8::is_ascii_control) {
        return None;
    }
    Some(String::from_utf8_lossy(&id).into_owned())
}
