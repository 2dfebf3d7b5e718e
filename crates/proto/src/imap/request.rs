//! One command read: what `imap-codec` knows as its own types, the rest as ours.
//!
//! Invariant: a frame that is not exactly one command is [`Malformed`]; no part of it acts.
//! Refs: RFC 9051 §6, §9; RFC 4731 §3.1; RFC 5182 §2.1.

use core::ops::Range;

use imap_codec::decode::Decoder as _;
use imap_codec::{AuthenticateDataCodec, CommandCodec};
use imap_types::auth::AuthenticateData;
use imap_types::command::CommandBody;

use super::frame::{Frame, tag_of};
use super::lexer::{Lexer, is_atom_char};
use super::list::{self, List};
use super::objects::Objects;

/// Stands in a sequence set for `$`, the saved search result (RFC 5182 §2.1). No message has
/// this number: UIDs are given out below it.
pub const SAVED: u32 = u32::MAX;

/// Not a command this server can read: a tagged BAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command")]
pub struct Malformed;

/// What a SEARCH wants returned (RFC 4731 §3.1; RFC 5182 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOption {
    /// The lowest number.
    Min,
    /// The highest.
    Max,
    /// All of them, as a set.
    All,
    /// How many.
    Count,
    /// Keep them as `$`.
    Save,
}

/// What a command asks.
pub enum Body<'a> {
    /// A command as `imap-codec` reads it; never `List`.
    Plain(CommandBody<'a>),
    /// LIST.
    List(List),
    /// SEARCH or UID SEARCH with RETURN options; the body is `CommandBody::Search`.
    Search(Vec<ReturnOption>, CommandBody<'a>),
}

/// One command.
pub struct Request<'a> {
    /// Its tag.
    pub tag: String,
    /// What it asks.
    pub body: Body<'a>,
    /// The identifiers it asks for beside that (RFC 8474).
    pub objects: Objects,
}

/// The line a client sends within AUTHENTICATE, without its CRLF; `None` if it gives up.
///
/// # Errors
/// [`Malformed`] when it is neither base64 nor `*`.
pub fn authenticate_data(line: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    if line.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let wire = [line, b"\r\n"].concat();
    match AuthenticateDataCodec::default().decode(&wire) {
        Ok((b"", AuthenticateData::Continue(data))) => Ok(Some(data.declassify().to_vec())),
        Ok((b"", AuthenticateData::Cancel)) => Ok(None),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

impl Frame {
    /// The tag, for an answer; `*` if there is none to be read.
    #[must_use]
    pub fn tag(&self) -> String {
        tag_of(&self.wire)
    }

    /// The command's first word in upper case, for a log line; empty if it is no plain word.
    #[must_use]
    pub fn name(&self) -> String {
        let mut words = self.wire.split(|byte| matches!(byte, b' ' | b'\r'));
        let word = words.nth(1).unwrap_or_default();
        let plain = word.len() <= 16 && word.iter().all(u8::is_ascii_alphabetic);
        if plain { String::from_utf8_lossy(word).to_ascii_uppercase() } else { String::new() }
    }

    /// Reads the command.
    ///
    /// # Errors
    /// [`Malformed`] when it is not exactly one command of the grammar.
    pub fn request(&mut self) -> Result<Request<'_>, Malformed> {
        self.quoted_utf8_to_literals()?;
        let tag = tag_of(&self.wire);
        if tag == "*" {
            return Err(Malformed);
        }
        let mut lexer = Lexer::new(self.wire.get(tag.len()..).unwrap_or_default());
        lexer.need(b' ')?;
        if lexer.eat_word(b"LIST ") {
            let body = Body::List(list::list(&mut lexer)?);
            return Ok(Request { tag, body, objects: Objects::default() });
        }
        let returned = self.cut_search_return(tag.len() + 1)?;
        let objects = self.replace_objects(tag.len() + 1);
        self.replace_saved(tag.len() + 1);
        let (rest, command) = CommandCodec::default().decode(&self.wire).map_err(|_| Malformed)?;
        if !rest.is_empty() {
            return Err(Malformed);
        }
        let body = match returned {
            Some(options) => Body::Search(options, command.body),
            None => Body::Plain(command.body),
        };
        Ok(Request { tag, body, objects })
    }

    /// The lines between the literals: each literal with its announcement stays out.
    fn outside(&self) -> Vec<Range<usize>> {
        let mut spans = Vec::with_capacity(self.literals.len() + 1);
        let mut at = 0;
        for literal in &self.literals {
            spans.push(at..literal.start);
            at = literal.end;
        }
        spans.push(at..self.wire.len());
        spans
    }

    /// RFC 9051 allows UTF-8 in quoted strings; the codec reads it in literals only.
    fn quoted_utf8_to_literals(&mut self) -> Result<(), Malformed> {
        let eight_bit = |span: &Range<usize>| {
            self.wire.get(span.clone()).unwrap_or_default().iter().any(|byte| !byte.is_ascii())
        };
        let outside = self.outside();
        if !outside.iter().any(eight_bit) {
            return Ok(());
        }
        let mut wire = Vec::with_capacity(self.wire.len() + 64);
        let mut literals = Vec::with_capacity(self.literals.len() + 1);
        let mut old_literals = self.literals.iter();
        for span in outside {
            let mut lexer = Lexer::new(self.wire.get(span).unwrap_or_default());
            while let Some(byte) = lexer.peek() {
                if byte != b'"' {
                    if !byte.is_ascii() {
                        return Err(Malformed);
                    }
                    lexer.eat(byte);
                    wire.push(byte);
                    continue;
                }
                let before = lexer.rest();
                let text = lexer.quoted()?;
                if text.is_ascii() {
                    let taken = before.len() - lexer.rest().len();
                    wire.extend_from_slice(before.get(..taken).unwrap_or_default());
                    continue;
                }
                core::str::from_utf8(&text).map_err(|_| Malformed)?;
                wire.extend_from_slice(format!("{{{}+}}\r\n", text.len()).as_bytes());
                literals.push(wire.len()..wire.len() + text.len());
                wire.extend_from_slice(&text);
            }
            if let Some(literal) = old_literals.next() {
                literals.push(wire.len()..wire.len() + literal.len());
                wire.extend_from_slice(self.wire.get(literal.clone()).unwrap_or_default());
            }
        }
        self.wire = wire;
        self.literals = literals;
        Ok(())
    }

    /// Takes `RETURN (…)` out of a SEARCH.
    fn cut_search_return(&mut self, from: usize) -> Result<Option<Vec<ReturnOption>>, Malformed> {
        let mut lexer = Lexer::new(self.wire.get(from..).unwrap_or_default());
        lexer.eat_word(b"UID ");
        if !lexer.eat_word(b"SEARCH ") {
            return Ok(None);
        }
        let start = self.wire.len() - lexer.rest().len();
        if !lexer.eat_word(b"RETURN (") {
            return Ok(None);
        }
        let mut options = Vec::new();
        while !lexer.eat(b')') {
            let option = match lexer.atom()?.to_ascii_uppercase().as_slice() {
                b"MIN" => ReturnOption::Min,
                b"MAX" => ReturnOption::Max,
                b"ALL" => ReturnOption::All,
                b"COUNT" => ReturnOption::Count,
                b"SAVE" => ReturnOption::Save,
                _ => return Err(Malformed),
            };
            if !options.contains(&option) {
                options.push(option);
            }
            if lexer.peek() != Some(b')') {
                lexer.need(b' ')?;
            }
        }
        lexer.need(b' ')?;
        let end = self.wire.len() - lexer.rest().len();
        self.wire.drain(start..end);
        for literal in &mut self.literals {
            *literal = literal.start - (end - start)..literal.end - (end - start);
        }
        // RFC 4731 §3.1: an empty list means ALL.
        if options.is_empty() {
            options.push(ReturnOption::All);
        }
        Ok(Some(options))
    }

    /// Puts [`SAVED`] where a sequence set is `$`.
    fn replace_saved(&mut self, from: usize) {
        let mut lexer = Lexer::new(self.wire.get(from..).unwrap_or_default());
        lexer.eat_word(b"UID ");
        let search = lexer.eat_word(b"SEARCH ");
        let set_first = !search
            && [b"FETCH ".as_slice(), b"STORE ", b"COPY ", b"MOVE ", b"EXPUNGE "]
                .iter()
                .any(|word| lexer.eat_word(word));
        let start = self.wire.len() - lexer.rest().len();
        if set_first {
            if lexer.eat(b'$') && matches!(lexer.peek(), Some(b' ' | b'\r')) {
                self.name_saved(&[start]);
            }
        } else if search {
            let line = self.wire.get(start..).unwrap_or_default();
            let line = match self.literals.first() {
                // What follows a literal is not searched: a `$` there stays a syntax error.
                Some(literal) => line.get(..literal.start.saturating_sub(start)),
                None => Some(line),
            };
            let keys = saved_search_keys(line.unwrap_or_default());
            let keys: Vec<usize> = keys.iter().map(|at| start + at).collect();
            self.name_saved(&keys);
        }
    }

    /// Writes [`SAVED`] over the octets at these places, all of them before the first literal.
    fn name_saved(&mut self, places: &[usize]) {
        if places.is_empty() {
            return;
        }
        let number = SAVED.to_string();
        let grown = places.len() * (number.len() - 1);
        let mut wire = Vec::with_capacity(self.wire.len() + grown);
        let mut from = 0;
        for at in places {
            wire.extend_from_slice(self.wire.get(from..*at).unwrap_or_default());
            wire.extend_from_slice(number.as_bytes());
            from = at + 1;
        }
        wire.extend_from_slice(self.wire.get(from..).unwrap_or_default());
        self.wire = wire;
        for literal in &mut self.literals {
            *literal = literal.start + grown..literal.end + grown;
        }
    }
}

/// Where a `$` stands that is a search key, and not some key's string. Read once from end to
/// end: a line full of them costs its length.
fn saved_search_keys(line: &[u8]) -> Vec<usize> {
    let mut keys = Vec::new();
    let mut at = 0;
    let mut strings_due = 0_usize;
    while let Some(byte) = line.get(at) {
        let rest = line.get(at..).unwrap_or_default();
        if *byte == b'"' {
            let mut lexer = Lexer::new(rest);
            if lexer.quoted().is_err() {
                // No command: the grammar will say so.
                return keys;
            }
            at = line.len() - lexer.rest().len();
            strings_due = strings_due.saturating_sub(1);
            continue;
        }
        let word_end = rest.iter().position(|byte| !is_atom_char(*byte));
        let word = rest.get(..word_end.unwrap_or(0)).unwrap_or_default();
        if word.is_empty() {
            at += 1;
            continue;
        }
        if strings_due > 0 {
            strings_due -= 1;
        } else if word == b"$" {
            keys.push(at);
        } else {
            strings_due = strings_after(word);
        }
        at += word.len();
    }
    keys
}

/// How many strings a search key takes.
pub(super) fn strings_after(key: &[u8]) -> usize {
    match key.to_ascii_uppercase().as_slice() {
        b"HEADER" => 2,
        b"BCC" | b"BODY" | b"CC" | b"FROM" | b"KEYWORD" | b"SUBJECT" | b"TEXT" | b"TO"
        | b"UNKEYWORD" | b"CHARSET" => 1,
        _ => 0,
    }
}
