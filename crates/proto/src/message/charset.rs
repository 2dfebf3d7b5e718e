//! Charsets, to UTF-8.
//!
//! Invariant: any label and any octets give text. What cannot be read is U+FFFD.
//! Refs: RFC 2046 §4.1.2; WHATWG Encoding (labels as mail uses them too); RFC 2152.

use encoding_rs::{Encoding, REPLACEMENT, WINDOWS_1252};

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
