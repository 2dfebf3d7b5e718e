//! Encoded words: header text in any charset, as a person reads it.
//!
//! Invariant: linear in the text. The result has no control characters.
//! Refs: RFC 2047; RFC 2231 §5; RFC 6532.

use memchr::memmem;

use super::{charset, header, transfer};

/// Octets in one encoded word. RFC 2047 §2 says 75; some software never counts.
const MAX_WORD_OCTETS: usize = 2048;
/// Octets in its charset and language.
const MAX_CHARSET_OCTETS: usize = 100;

/// An encoded word: its charset, its octets, and the octets it takes.
struct Word<'a> {
    charset: &'a str,
    octets: Vec<u8>,
    length: usize,
}

/// Header text as a person reads it: folding undone, encoded words decoded, UTF-8 taken as
/// it is, other 8-bit text guessed.
#[must_use]
pub fn decode_header_text(raw: &[u8]) -> String {
    let raw = header::unfold(raw);
    let mut out = Decoder { text: String::with_capacity(raw.len()), pending: None };
    let mut rest = raw.as_slice();
    while let Some(at) = memmem::find(rest, b"=?") {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if let Some(word) = take_word(tail) {
            out.plain(plain, true);
            rest = tail.get(word.length..).unwrap_or_default();
            out.word(word);
        } else {
            let (skipped, next) =
                rest.split_at_checked(at.saturating_add(2)).unwrap_or((rest, &[]));
            out.plain(skipped, false);
            rest = next;
        }
    }
    out.plain(rest, false);
    out.finish()
}

struct Decoder {
    text: String,
    /// Words of one charset whose octets wait for the next: some software splits a
    /// character between two words, against RFC 2047 §5.
    pending: Option<(String, Vec<u8>)>,
}

impl Decoder {
    /// Text outside words. White space between two words is not shown (RFC 2047 §6.2).
    fn plain(&mut self, octets: &[u8], word_follows: bool) {
        let between =
            self.pending.is_some() && word_follows && octets.iter().all(u8::is_ascii_whitespace);
        if !between && !octets.is_empty() {
            self.flush();
            self.text.push_str(&charset::to_utf8(None, octets));
        }
    }

    fn word(&mut self, word: Word<'_>) {
        match &mut self.pending {
            Some((charset, octets)) if charset.eq_ignore_ascii_case(word.charset) => {
                octets.extend_from_slice(&word.octets);
            }
            _ => {
                self.flush();
                self.pending = Some((word.charset.to_owned(), word.octets));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((charset, octets)) = self.pending.take() {
            self.text.push_str(&charset::to_utf8(Some(&charset), &octets));
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        if self.text.contains(char::is_control) {
            self.text = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        self.text
    }
}

/// Reads `=?charset?B?text?=` at the start of `input`.
fn take_word(input: &[u8]) -> Option<Word<'_>> {
    let body = input.strip_prefix(b"=?")?;
    let window = body.get(..body.len().min(MAX_CHARSET_OCTETS))?;
    let charset_end = memchr::memchr(b'?', window)?;
    let charset = core::str::from_utf8(body.get(..charset_end)?).ok()?;
    if charset.is_empty() || !charset.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let text_start = charset_end.checked_add(3)?;
    let [encoding, b'?'] = body.get(charset_end.checked_add(1)?..text_start)? else { return None };
    let text = body.get(text_start..)?;
    let window = text.get(..text.len().min(MAX_WORD_OCTETS))?;
    let text_end = memmem::find(window, b"?=")?;
    let text = text.get(..text_end)?;
    let octets = match encoding {
        b'B' | b'b' => transfer::decode_base64(text),
        b'Q' | b'q' => {
            let mut octets = Vec::with_capacity(text.len());
            transfer::decode_escapes(text, true, &mut octets);
            octets
        }
        _ => return None,
    };
    // RFC 2231 §5: a language may follow the charset.
    let charset = charset.split('*').next().unwrap_or(charset);
    let length = text_start.checked_add(text_end)?.checked_add(4)?;
    Some(Word { charset, octets, length })
}
