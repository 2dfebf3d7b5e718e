//! Charsets, to UTF-8.
//!
//! Invariant: any label and any octets give text. What cannot be read is U+FFFD.
//! Refs: RFC 2046 §4.1.2; RFC 5051; WHATWG Encoding (labels as mail uses them too); RFC 2152.

use encoding_rs::{Encoding, REPLACEMENT, WINDOWS_1252};
use unicode_normalization::UnicodeNormalization as _;

/// Characters that one becomes at most in the form that is searched.
const FORM_CHARACTERS: usize = 4;
/// Octets in a charset label that is looked up.
const MAX_LABEL_OCTETS: usize = 64;

/// `octets` as text, given what the message says of their charset.
///
/// Text that says nothing, says ASCII, or names a charset nobody knows, is UTF-8 if it can
/// be, else windows-1252, which is what such text usually is.
#[must_use]
pub fn to_utf8(label: Option<&str>, octets: &[u8]) -> String {
    let label = label
        .unwrap_or_default()
        .trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let known = if label.len() <= MAX_LABEL_OCTETS { decode(label, octets) } else { None };
    known.unwrap_or_else(|| undeclared(octets))
}

/// `text` in the form in which texts are searched: what differs only in case, or only in how its
/// letters are put together, is the same. At most four times as long.
// RFC 5051 §2 with lower case for title case; what would come apart into more than
// FORM_CHARACTERS stays whole, since a stranger could fill the memory with it.
#[must_use]
pub fn for_search(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| c.to_lowercase().map(|c| if c == 'ς' { 'σ' } else { c });
    let mut form = String::with_capacity(text.len());
    for piece in text.split_inclusive(stays_whole) {
        let last = piece.chars().next_back().filter(|last| stays_whole(*last));
        let rest = last.and_then(|last| piece.strip_suffix(last)).unwrap_or(piece);
        // Marks without end would have to be sorted all at once.
        form.extend(rest.stream_safe().nfkd().flat_map(lower));
        form.extend(last);
    }
    form
}

fn stays_whole(c: char) -> bool {
    c >= '\u{2000}' && core::iter::once(c).nfkd().nth(FORM_CHARACTERS).is_some()
}

fn undeclared(octets: &[u8]) -> String {
    match core::str::from_utf8(octets) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    }
}

fn decode(label: &str, octets: &[u8]) -> Option<String> {
    // For the Web `ascii` is windows-1252. In mail it is the default that software writes
    // without looking, so that the text itself is the better witness.
    if matches!(
        label.to_ascii_lowercase().as_str(),
        "" | "us-ascii" | "ascii" | "unknown-8bit" | "x-unknown"
    ) {
        return None;
    }
    if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
        // The Web forbids a few (ISO-2022-KR, HZ); their ASCII part can still be read.
        let forbidden = encoding == REPLACEMENT;
        return (!forbidden).then(|| encoding.decode(octets).0.into_owned());
    }
    // UTF-7, DOS code pages, and names the Web does not use.
    let decoder = mail_parser::decoders::charsets::map::charset_decoder(label.as_bytes())?;
    Some(decoder(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_the_same_are_found() {
        let composed = for_search("PRIV\u{c9}E \u{fb01}n Ａ");
        assert_eq!(composed, for_search("prive\u{301}e fin a"));
        assert_eq!(for_search("Plain TEXT"), "plain text");
        assert_ne!(for_search("privée"), for_search("privee"));
        assert_eq!(for_search("ΟΔΟΣ Α"), for_search("οδος α"));
        assert_eq!(for_search("ab\u{fdfa}\u{301}C"), "ab\u{fdfa}\u{301}c");
    }

    #[test]
    fn no_text_fills_the_memory_of_a_search() {
        for c in '\0'..=char::MAX {
            let text = String::from(c);
            assert!(for_search(&text).len() <= 4 * text.len(), "U+{:04X}", u32::from(c));
        }
        let marks = "\u{301}\u{327}".repeat(100_000);
        assert!(for_search(&marks).len() <= 2 * marks.len());
    }
}
