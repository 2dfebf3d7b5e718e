//! Content-Transfer-Encoding, undone.
//!
//! Invariant: decoding never fails and never gives more octets than it was given. Damage
//! is passed over, as readers of mail have always done.
//! Refs: RFC 2045 §6.7, §6.8.

/// Undoes the encoding called `encoding`; anything but base64 and quoted-printable is as
/// it stands.
#[must_use]
pub fn decode(encoding: &str, body: &[u8]) -> Vec<u8> {
    if encoding.eq_ignore_ascii_case("base64") {
        decode_base64(body)
    } else if encoding.eq_ignore_ascii_case("quoted-printable") {
        decode_quoted_printable(body)
    } else {
        body.to_vec()
    }
}

/// Undoes base64. Characters outside the alphabet are passed over, and so is what follows
/// the padding.
#[must_use]
pub fn decode_base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u8);
    for &octet in body {
        let Some(value) = base64_value(octet) else {
            // RFC 2045 §6.8: padding is the end of the data. One that completes nothing
            // is damage like any other.
            if octet == b'=' && count >= 2 {
                break;
            }
            continue;
        };
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (bits, count) = (0, 0);
        }
    }
    flush(&mut out, bits, count);
    out
}

/// The octets of a group that is not full.
fn flush(out: &mut Vec<u8>, bits: u32, count: u8) {
    match count {
        2 => {
            let [_, _, _, a] = (bits >> 4).to_be_bytes();
            out.push(a);
        }
        3 => {
            let [_, _, a, b] = (bits >> 2).to_be_bytes();
            out.extend_from_slice(&[a, b]);
        }
        _ => {}
    }
}

fn base64_value(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Undoes quoted-printable. An `=` that escapes nothing stands for itself.
#[must_use]
pub fn decode_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let line = rest.get(..super::header::line_length(rest)).unwrap_or(rest);
        rest = rest.get(line.len()..).unwrap_or_default();
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let end = line.get(text.len()..).unwrap_or_default();
        // RFC 2045 §6.7 (3): white space at the end of a line was added on the way.
        let text = trim_blanks_end(text);
        let soft = text.strip_suffix(b"=");
        decode_escapes(soft.unwrap_or(text), false, &mut out);
        if soft.is_none() {
            out.extend_from_slice(end);
        }
    }
    out
}

fn trim_blanks_end(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
    text.get(..kept.map_or(0, |last| last.saturating_add(1))).unwrap_or_default()
}

/// Undoes `=XX`; and `_` for a space, if it is the Q encoding of RFC 2047 §4.2.
pub(super) fn decode_escapes(text: &[u8], underscore_is_space: bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, hex_pair(tail)) {
            (b'=', Some(octet)) => {
                out.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'_', _) if underscore_is_space => out.push(b' '),
            _ => out.push(first),
        }
    }
}

/// The octet that two hexadecimal digits at the start of `text` name.
pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some((digit(*text.first()?)? << 4) | digit(*text.get(1)?)?)
}
