//! What a server says, written safely.
//!
//! Invariant: whatever octets are handed in, what comes out is one well-formed string, set or
//! name; mail cannot write a reply of its own.
//! Refs: RFC 9051 §4.3, §7, §9.

use super::mutf7;

/// The longest quoted string; longer ones go as literals.
const QUOTED_MAX: usize = 512;

/// A `string`: quoted where it can be, otherwise a literal. NUL, which IMAP cannot carry
/// (RFC 9051 `CHAR8`), becomes 0x80, so that sizes stay true.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    let quotable = text.len() <= QUOTED_MAX && text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !quotable {
        literal(out, text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// A `literal`.
pub fn literal(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
    let start = out.len();
    out.extend_from_slice(text);
    if text.contains(&0) {
        for byte in out.iter_mut().skip(start).filter(|byte| **byte == 0) {
            *byte = 0x80;
        }
    }
}

/// A `literal8`, which may hold NUL (RFC 9051 §4.3.1).
pub fn literal8(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("~{{{}}}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
}

/// A `nstring`.
pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A mailbox name: UTF-8 where the client enabled that, else modified UTF-7.
pub fn mailbox(out: &mut Vec<u8>, name: &str, utf8: bool) {
    if utf8 {
        string(out, name.as_bytes());
    } else {
        string(out, mutf7::encode(name).as_bytes());
    }
}

/// A `sequence-set` of ascending numbers; the caller sees to it that there is one.
pub fn set(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    let mut numbers = numbers.into_iter();
    let Some(mut first) = numbers.next() else { return };
    let mut last = first;
    for number in numbers {
        if number == last.saturating_add(1) {
            last = number;
            continue;
        }
        range(out, first, last);
        out.push(b',');
        first = number;
        last = number;
    }
    range(out, first, last);
}

fn range(out: &mut Vec<u8>, first: u32, last: u32) {
    let text = if first == last { first.to_string() } else { format!("{first}:{last}") };
    out.extend_from_slice(text.as_bytes());
}

/// Words of ours that go out as they are.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[u8]) {
        let mut out = Vec::new();
        string(&mut out, text);
        assert_eq!(out, expected);
    }

    #[test]
    fn a_string_is_quoted_escaped_or_sent_as_a_literal() {
        check(b"", b"\"\"");
        check(b"a \"b\" \\c", b"\"a \\\"b\\\" \\\\c\"");
        check(b"a\r\nb", b"{4}\r\na\r\nb");
        check("é".as_bytes(), b"{2}\r\n\xc3\xa9");
        check(b"a\0b", b"{3}\r\na\x80b");
    }

    #[test]
    fn a_set_is_written_in_runs() {
        let mut out = Vec::new();
        set(&mut out, [1, 2, 3, 5, 7, 8]);
        assert_eq!(out, b"1:3,5,7:8");
    }
}
