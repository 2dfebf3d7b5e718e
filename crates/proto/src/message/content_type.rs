//! Content-Type and Content-Disposition: a value and its parameters.
//!
//! Invariant: at most [`MAX_PARAMS`] parameters are kept of one field; joining the pieces
//! of RFC 2231 never makes a value longer than three times the field.
//! Refs: RFC 2045 §5.1; RFC 2183; RFC 2231 §3, §4.

use super::view::Param;
use super::{charset, encoded_word, transfer};

/// Parameters kept of one field, continuations counted singly.
const MAX_PARAMS: usize = 100;

/// `type/subtype` in lower case, and the parameters. `None` if it is not that.
pub(super) fn parse_content_type(value: &[u8]) -> Option<(String, String, Vec<Param>)> {
    let mut input = Input { rest: value };
    input.skip_blanks();
    let media_type = input.token()?;
    input.skip_blanks();
    input.rest = input.rest.strip_prefix(b"/")?;
    input.skip_blanks();
    let subtype = input.token()?;
    Some((media_type, subtype, input.params()))
}

/// A token in lower case, and the parameters, as in Content-Disposition.
pub(super) fn parse_token_with_params(value: &[u8]) -> Option<(String, Vec<Param>)> {
    let mut input = Input { rest: value };
    input.skip_blanks();
    let token = input.token()?;
    Some((token, input.params()))
}

/// Tokens between commas, as in Content-Language.
pub(super) fn parse_tokens(value: &[u8]) -> Vec<String> {
    value
        .split(|&octet| octet == b',')
        .take(MAX_PARAMS)
        .filter_map(|item| {
            let mut input = Input { rest: item };
            input.skip_blanks();
            input.token()
        })
        .collect()
}

struct Input<'a> {
    rest: &'a [u8],
}

/// A parameter as it stands: its name may end in `*0`, `*`, or `*0*`.
struct RawParam {
    name: String,
    value: Vec<u8>,
}

impl Input<'_> {
    fn take(&mut self, length: usize) -> &[u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Passes over white space and comments. A comment that never ends is the rest.
    fn skip_blanks(&mut self) {
        while let Some(first) = self.rest.first() {
            let length = match first {
                b' ' | b'\t' | b'\r' | b'\n' => 1,
                b'(' => comment_length(self.rest),
                _ => break,
            };
            self.take(length);
        }
    }

    /// RFC 2045 §5.1 `token`, in lower case.
    fn token(&mut self) -> Option<String> {
        let length = self.rest.iter().take_while(|&&octet| is_token(octet)).count();
        let token = core::str::from_utf8(self.take(length)).ok()?;
        (!token.is_empty()).then(|| token.to_ascii_lowercase())
    }

    fn params(&mut self) -> Vec<Param> {
        let mut raw = Vec::new();
        while raw.len() < MAX_PARAMS {
            // What stands before the semicolon belongs to nothing.
            let Some(semicolon) = memchr::memchr(b';', self.rest) else { break };
            self.take(semicolon.saturating_add(1));
            self.skip_blanks();
            if let Some(param) = self.param() {
                raw.push(param);
            }
        }
        join_continuations(raw)
    }

    fn param(&mut self) -> Option<RawParam> {
        let name = self.token()?;
        self.skip_blanks();
        self.rest = self.rest.strip_prefix(b"=")?;
        self.skip_blanks();
        let value = if self.rest.first() == Some(&b'"') { self.quoted() } else { self.unquoted() };
        Some(RawParam { name, value })
    }

    /// A quoted string; one that never ends is the rest.
    fn quoted(&mut self) -> Vec<u8> {
        let (value, length) = unquote(self.rest);
        self.take(length);
        value
    }

    /// A token. Software exists that does not quote what it must, so all goes in up to a
    /// semicolon or a comment.
    fn unquoted(&mut self) -> Vec<u8> {
        let length = self.rest.iter().take_while(|&&octet| !matches!(octet, b';' | b'(')).count();
        self.take(length).trim_ascii().to_vec()
    }
}

/// RFC 2045 §5.1: any ASCII but control, space, and tspecials.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

/// The length of the comment at the start of `input`, or of all if it never ends.
pub(super) fn comment_length(input: &[u8]) -> usize {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, &octet) in input.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth = depth.saturating_add(1),
            b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at.saturating_add(1);
                }
            }
            _ => {}
        }
    }
    input.len()
}

/// The content of the quoted string at the start of `input`, and its length with quotes.
pub(super) fn unquote(input: &[u8]) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    let mut escaped = false;
    for (at, &octet) in input.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => {
                value.push(octet);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => return (value, at.saturating_add(1)),
            _ => value.push(octet),
        }
    }
    (value, input.len())
}

/// A name without its section, the section's number, and whether it is extended.
fn split_name(name: &str) -> (&str, Option<u32>, bool) {
    let (base, extended) = match name.strip_suffix('*') {
        Some(base) => (base, true),
        None => (name, false),
    };
    match base.rsplit_once('*').map(|(stem, number)| (stem, number.parse().ok())) {
        Some((stem, Some(number))) if !stem.is_empty() => (stem, Some(number), extended),
        _ => (base, None, extended),
    }
}

/// RFC 2231 §3, §4.1: joins `name*0`, `name*1*`, … into one.
fn join_continuations(raw: Vec<RawParam>) -> Vec<Param> {
    let mut params: Vec<Param> = Vec::new();
    // (name, number, extended, value): the pieces, in the order of their numbers.
    let mut pieces: Vec<(String, u32, bool, Vec<u8>)> = Vec::new();
    for RawParam { name, value } in raw {
        match split_name(&name) {
            (stem, Some(number), extended) => {
                pieces.push((stem.to_owned(), number, extended, value))
            }
            (_, None, _) => params.push(Param { name, value }),
        }
    }
    pieces.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    for group in pieces.chunk_by(|a, b| a.0 == b.0) {
        let extended = group.iter().any(|piece| piece.2);
        let mut value = Vec::new();
        for (_, _, piece_extended, piece) in group {
            if extended && !piece_extended {
                percent_encode(piece, &mut value);
            } else {
                value.extend_from_slice(piece);
            }
        }
        let Some((stem, ..)) = group.first() else { continue };
        // A charset is named only by an extended first piece.
        let starts_extended = group.first().is_some_and(|piece| piece.2);
        if extended && !starts_extended {
            value.splice(..0, b"''".iter().copied());
        }
        let name = if extended { format!("{stem}*") } else { stem.clone() };
        params.push(Param { name, value });
    }
    params
}

fn percent_encode(piece: &[u8], out: &mut Vec<u8>) {
    for &octet in piece {
        if is_token(octet) && !matches!(octet, b'%' | b'\'' | b'*') {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
}

/// A parameter by name as a person reads it; the extended form is preferred.
pub(super) fn decoded_param(params: &[Param], name: &str) -> Option<String> {
    let find = |wanted: &str| params.iter().find(|param| param.name == wanted);
    if let Some(param) = find(&format!("{name}*")) {
        return Some(decode_extended(&param.value));
    }
    // RFC 2047 §5 (3) forbids encoded words here; they are common.
    find(name).map(|param| encoded_word::decode_header_text(&param.value))
}

/// RFC 2231 §4: `charset'language'percent-encoded`.
fn decode_extended(value: &[u8]) -> String {
    let mut fields = value.splitn(3, |&octet| octet == b'\'');
    let (charset, encoded) = match (fields.next(), fields.next(), fields.next()) {
        (Some(charset), Some(_), Some(encoded)) => (core::str::from_utf8(charset).ok(), encoded),
        _ => (None, value),
    };
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, transfer::hex_pair(tail)) {
            (b'%', Some(octet)) => {
                octets.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => octets.push(first),
        }
    }
    charset::to_utf8(charset, &octets)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
