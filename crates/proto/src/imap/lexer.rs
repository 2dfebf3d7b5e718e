//! The few tokens this module reads itself: atoms, strings, list patterns.
//!
//! Invariant: never reads past the frame; a literal's octets are taken by their announced length.
//! Refs: RFC 9051 §9 (`astring`, `list-mailbox`, `string`).

use super::request::Malformed;

pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(wire: &'a [u8]) -> Self {
        Self { rest: wire }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn need(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Takes `word`, in any case, if it is next.
    pub(super) fn eat_word(&mut self, word: &[u8]) -> bool {
        match self.rest.split_at_checked(word.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(word) => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if self.rest == b"\r\n" { Ok(()) } else { Err(Malformed) }
    }

    fn take_while(&mut self, good: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !good(*byte)).unwrap_or(self.rest.len());
        let (head, rest) = self.rest.split_at(end);
        self.rest = rest;
        head
    }

    /// An atom (RFC 9051 `1*ATOM-CHAR`).
    pub(super) fn atom(&mut self) -> Result<&'a [u8], Malformed> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() { Err(Malformed) } else { Ok(atom) }
    }

    /// `astring`.
    pub(super) fn astring(&mut self) -> Result<Vec<u8>, Malformed> {
        self.string_or(|byte| is_atom_char(byte) || byte == b']')
    }

    /// `list-mailbox`: as an astring, with the wildcards.
    pub(super) fn list_mailbox(&mut self) -> Result<Vec<u8>, Malformed> {
        self.string_or(|byte| is_atom_char(byte) || matches!(byte, b']' | b'%' | b'*'))
    }

    fn string_or(&mut self, good: impl Fn(u8) -> bool) -> Result<Vec<u8>, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            Some(_) | None => {
                let word = self.take_while(good);
                if word.is_empty() { Err(Malformed) } else { Ok(word.to_vec()) }
            }
        }
    }

    pub(super) fn quoted(&mut self) -> Result<Vec<u8>, Malformed> {
        self.need(b'"')?;
        let mut text = Vec::new();
        loop {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            match byte {
                b'"' => return Ok(text),
                b'\\' => {
                    let (escaped, rest) = self.rest.split_first().ok_or(Malformed)?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return Err(Malformed);
                    }
                    self.rest = rest;
                    text.push(*escaped);
                }
                b'\r' | b'\n' | 0 => return Err(Malformed),
                other => text.push(*other),
            }
        }
    }

    pub(super) fn literal(&mut self) -> Result<Vec<u8>, Malformed> {
        self.need(b'{')?;
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let length: usize = core::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Malformed)?;
        self.eat(b'+');
        if !self.eat_word(b"}\r\n") {
            return Err(Malformed);
        }
        let (data, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(data.to_vec())
    }
}

/// RFC 9051 `ATOM-CHAR`.
pub(super) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}
