//! Which octets of a message a FETCH item means.
//!
//! Invariant: works on the view's spans; the message itself is read only where asked.
//! Refs: RFC 9051 §6.4.5.1; RFC 3516 §4.2.

use core::num::NonZeroU32;

use imap_types::core::AString;
use imap_types::core::Vec1;
use imap_types::fetch::{Part as PartNumbers, Section};
use proto::imap::write;
use proto::message::{self, MessageView, Part, Span};

use super::session::octets;
use crate::account::{Content, ReadBodyError};

/// The octets of a section; `None` if the message has no such part.
pub(super) fn read(
    content: &Content,
    section: Option<&Section<'_>>,
    partial: Option<(u32, NonZeroU32)>,
) -> Result<Option<Vec<u8>>, ReadBodyError> {
    let view = &content.view;
    let span = match section {
        None => Some(Span { start: 0, length: content.size }),
        Some(Section::Part(numbers)) => part(view, numbers).map(|part| part.body),
        Some(Section::Mime(numbers)) => part(view, numbers).map(|part| part.header),
        Some(Section::Header(of)) => message_at(view, of.as_ref()).map(|part| part.header),
        Some(Section::Text(of)) => message_at(view, of.as_ref()).map(|part| part.body),
        Some(Section::HeaderFields(of, names)) => {
            return fields(content, of.as_ref(), names, false, partial);
        }
        Some(Section::HeaderFieldsNot(of, names)) => {
            return fields(content, of.as_ref(), names, true, partial);
        }
    };
    let Some(span) = span else { return Ok(None) };
    let (start, end) = match partial {
        None => (span.start, span.end()),
        Some((from, count)) => {
            let start = span.start.saturating_add(from).min(span.end());
            (start, start.saturating_add(count.get()).min(span.end()))
        }
    };
    content.read(start..end).map(Some)
}

fn fields(
    content: &Content,
    of: Option<&PartNumbers>,
    names: &Vec1<AString<'_>>,
    others: bool,
    partial: Option<(u32, NonZeroU32)>,
) -> Result<Option<Vec<u8>>, ReadBodyError> {
    let Some(part) = message_at(&content.view, of) else { return Ok(None) };
    let header = content.read(part.header.start..part.header.end())?;
    let names: Vec<&[u8]> = names.as_ref().iter().map(octets).collect();
    let chosen = message::select_fields(&header, &names, others);
    Ok(Some(cut(chosen, partial)))
}

/// The decoded octets of a part, or why not.
pub(super) fn binary(
    content: &Content,
    numbers: &[NonZeroU32],
    partial: Option<(u32, NonZeroU32)>,
) -> Result<Option<Vec<u8>>, ReadBodyError> {
    if numbers.is_empty() {
        return read(content, None, partial);
    }
    let numbers: Vec<u32> = numbers.iter().map(|number| number.get()).collect();
    let Some(part) = content.view.section(&numbers) else { return Ok(None) };
    let body = content.read(part.body.start..part.body.end())?;
    Ok(Some(cut(message::decode_transfer(&part.encoding, &body), partial)))
}

/// Whether the encoding of a part is one that can be undone (RFC 3516 `UNKNOWN-CTE`).
pub(super) fn is_decodable(view: &MessageView, numbers: &[NonZeroU32]) -> bool {
    let numbers: Vec<u32> = numbers.iter().map(|number| number.get()).collect();
    view.section(&numbers).is_none_or(|part| {
        matches!(part.encoding.as_str(), "7bit" | "8bit" | "binary" | "base64" | "quoted-printable")
    })
}

fn cut(octets: Vec<u8>, partial: Option<(u32, NonZeroU32)>) -> Vec<u8> {
    let Some((from, count)) = partial else { return octets };
    let start = usize::try_from(from).unwrap_or(usize::MAX).min(octets.len());
    let count = usize::try_from(count.get()).unwrap_or(usize::MAX);
    let end = start.saturating_add(count).min(octets.len());
    octets.get(start..end).unwrap_or_default().to_vec()
}

fn part<'v>(view: &'v MessageView, numbers: &PartNumbers) -> Option<&'v Part> {
    let numbers: Vec<u32> = numbers.0.as_ref().iter().map(|number| number.get()).collect();
    view.section(&numbers)
}

/// The message a HEADER or TEXT is of: the whole, or the one inside a part.
fn message_at<'v>(view: &'v MessageView, of: Option<&PartNumbers>) -> Option<&'v Part> {
    match of {
        None => view.root(),
        Some(numbers) => view.embedded_root(part(view, numbers)?),
    }
}

/// `BODY[…]<origin>` as the response repeats it.
pub(super) fn label(
    out: &mut Vec<u8>,
    section: Option<&Section<'_>>,
    partial: Option<(u32, NonZeroU32)>,
) {
    write::text(out, "BODY[");
    match section {
        None => {}
        Some(Section::Part(of)) => numbers(out, of.0.as_ref()),
        Some(Section::Mime(of)) => {
            numbers(out, of.0.as_ref());
            write::text(out, ".MIME");
        }
        Some(Section::Header(of)) => of_message(out, of.as_ref(), "HEADER"),
        Some(Section::Text(of)) => of_message(out, of.as_ref(), "TEXT"),
        Some(Section::HeaderFields(of, names)) => {
            of_message(out, of.as_ref(), "HEADER.FIELDS ");
            field_names(out, names.as_ref());
        }
        Some(Section::HeaderFieldsNot(of, names)) => {
            of_message(out, of.as_ref(), "HEADER.FIELDS.NOT ");
            field_names(out, names.as_ref());
        }
    }
    out.push(b']');
    if let Some((from, _)) = partial {
        write::text(out, &format!("<{from}>"));
    }
}

pub(super) fn numbers(out: &mut Vec<u8>, numbers: &[NonZeroU32]) {
    for (at, number) in numbers.iter().enumerate() {
        let dot = if at == 0 { "" } else { "." };
        write::text(out, &format!("{dot}{number}"));
    }
}

fn of_message(out: &mut Vec<u8>, of: Option<&PartNumbers>, what: &str) {
    if let Some(of) = of {
        numbers(out, of.0.as_ref());
        out.push(b'.');
    }
    write::text(out, what);
}

fn field_names(out: &mut Vec<u8>, names: &[AString<'_>]) {
    for (at, name) in names.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        let name = octets(name);
        // A name is repeated as an atom where it is one: some clients compare.
        if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        {
            out.extend_from_slice(name);
        } else {
            write::string(out, name);
        }
    }
    out.push(b')');
}
