//! The preview: what a list of messages shows of each.
//!
//! Invariant: no more than [`MAX_READ_OCTETS`] of one part are read.
//! Refs: RFC 8970 §3.1.

use super::MAX_PREVIEW_CHARS;
use super::view::{MessageView, Part};
use super::{charset, transfer};

/// Octets of the body that are read; an HTML body can begin with much style.
const MAX_READ_OCTETS: usize = 64 << 10;

/// The first characters of the first text, plain if there is any.
pub(super) fn preview(view: &MessageView, message: &[u8]) -> String {
    let candidates = own_texts(view);
    let plain = candidates.iter().find(|part| part.subtype == "plain");
    let preview =
        plain.map(|part| one_line(&without_quotes(&start_of(part, message)))).unwrap_or_default();
    if !preview.is_empty() {
        return preview;
    }
    let html = candidates.iter().find(|part| part.subtype == "html");
    html.map(|part| one_line(&super::html::to_text(&start_of(part, message)))).unwrap_or_default()
}

/// The texts of the message itself: not those attached, nor those of messages within.
fn own_texts(view: &MessageView) -> Vec<&Part> {
    let mut texts = Vec::new();
    let mut open = vec![0_u32];
    while let Some(part) = open.pop().and_then(|position| view.part(position)) {
        open.extend(part.children.iter().rev());
        if part.is_text() && !part.is_attachment() {
            texts.push(part);
        }
    }
    texts
}

fn start_of(part: &Part, message: &[u8]) -> String {
    let body = part.body.of(message);
    let start = body.get(..MAX_READ_OCTETS).unwrap_or(body);
    charset::to_utf8(part.param("charset").as_deref(), &transfer::decode(&part.encoding, start))
}

/// Quoted lines say what the reader has read before; they count only if there is no other.
fn without_quotes(text: &str) -> String {
    let own: Vec<&str> = text.lines().filter(|line| !line.starts_with('>')).collect();
    if own.iter().all(|line| line.trim().is_empty()) { text.to_owned() } else { own.join("\n") }
}

fn one_line(text: &str) -> String {
    let mut out = String::new();
    let mut chars = 0;
    let mut space = false;
    for c in text.chars().filter(|&c| !is_invisible(c)) {
        if c.is_whitespace() || c.is_control() {
            space = chars > 0;
            continue;
        }
        if chars + usize::from(space) >= MAX_PREVIEW_CHARS {
            break;
        }
        if core::mem::take(&mut space) {
            out.push(' ');
            chars += 1;
        }
        out.push(c);
        chars += 1;
    }
    out
}

/// What newsletters pad their first line with.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
