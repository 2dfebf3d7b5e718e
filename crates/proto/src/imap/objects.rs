//! The words of RFC 8474, which `imap-codec` does not know, put into what it knows.
//!
//! `EMAILID` and `THREADID` of a FETCH become `UID` and are remembered; as search keys they become
//! `HEADER` with a field name that no message can have; `MAILBOXID` of a STATUS becomes
//! `UIDVALIDITY`.
//!
//! Invariant: nothing within a string, a literal or a section is taken for such a word; a line is
//! read once from end to end.
//! Refs: RFC 8474 §4.3, §5.3, §6.

use core::ops::Range;

use super::frame::Frame;
use super::lexer::{Lexer, is_atom_char};
use super::request::strings_after;

/// The field name that stands for the search key `EMAILID`.
pub const SEARCHED_EMAIL: &str = ":EMAILID";
/// The field name that stands for the search key `THREADID`.
pub const SEARCHED_THREAD: &str = ":THREADID";

/// Which object identifiers a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objects {
    /// A FETCH for `EMAILID`.
    pub email: bool,
    /// A FETCH for `THREADID`.
    pub thread: bool,
    /// A STATUS for `MAILBOXID`.
    pub mailbox: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Fetch,
    Search,
    Status,
}

/// One word, to be replaced.
struct Edit {
    at: Range<usize>,
    by: &'static str,
}

impl Frame {
    /// Replaces the words of RFC 8474 in the command that begins at `from`.
    pub(super) fn replace_objects(&mut self, from: usize) -> Objects {
        let mut lexer = Lexer::new(self.wire.get(from..).unwrap_or_default());
        lexer.eat_word(b"UID ");
        let commands = [
            (b"FETCH ".as_slice(), Command::Fetch),
            (b"SEARCH ", Command::Search),
            (b"STATUS ", Command::Status),
        ];
        let command = commands.into_iter().find(|(word, _)| lexer.eat_word(word));
        let Some((_, command)) = command else { return Objects::default() };
        let start = self.wire.len() - lexer.rest().len();
        let mut objects = Objects::default();
        let edits = self.find_objects(start, command, &mut objects);
        if !edits.is_empty() {
            self.apply(&edits);
        }
        objects
    }

    fn find_objects(&self, start: usize, command: Command, objects: &mut Objects) -> Vec<Edit> {
        let (mut edits, mut at) = (Vec::new(), start);
        let (mut strings_due, mut in_section, mut in_list) = (0_usize, false, false);
        let mut literals = self.literals.iter().skip_while(|literal| literal.start < start);
        let mut literal = literals.next();
        while let Some(byte) = self.wire.get(at) {
            if let Some(here) = literal.filter(|literal| literal.start == at) {
                at = here.end;
                literal = literals.next();
                strings_due = strings_due.saturating_sub(1);
                continue;
            }
            let rest = self.wire.get(at..).unwrap_or_default();
            if *byte == b'"' {
                let mut lexer = Lexer::new(rest);
                if lexer.quoted().is_err() {
                    // No command: the grammar will say so.
                    return Vec::new();
                }
                at = self.wire.len() - lexer.rest().len();
                strings_due = strings_due.saturating_sub(1);
                continue;
            }
            let end = rest.iter().position(|byte| !is_atom_char(*byte)).unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default();
            if word.is_empty() {
                match byte {
                    b']' => in_section = false,
                    b'(' => in_list = true,
                    b'{' if literal.is_some() => {
                        // The announcement of the literal that comes.
                        at = literal.map_or(at + 1, |literal| literal.start);
                        continue;
                    }
                    _ => {}
                }
                at += 1;
                continue;
            }
            if strings_due > 0 {
                strings_due -= 1;
            } else if !in_section {
                let found = replaced(word, command, in_list, objects);
                edits.extend(found.map(|by| Edit { at: at..at + word.len(), by }));
                strings_due = match (command, found) {
                    (Command::Search, Some(_)) => 1,
                    (Command::Search, None) => strings_after(word),
                    (Command::Fetch | Command::Status, _) => 0,
                };
            }
            in_section |= command == Command::Fetch && word.contains(&b'[');
            at += word.len();
        }
        edits
    }

    fn apply(&mut self, edits: &[Edit]) {
        let mut wire = Vec::with_capacity(self.wire.len() + edits.len() * 16);
        let mut literals = Vec::with_capacity(self.literals.len());
        let (mut from, mut old) = (0, self.literals.iter().peekable());
        let mut copy = |wire: &mut Vec<u8>, upto: usize, from: &mut usize| {
            while let Some(literal) = old.next_if(|literal| literal.start < upto) {
                let start = wire.len() + (literal.start - *from);
                literals.push(start..start + literal.len());
            }
            wire.extend_from_slice(self.wire.get(*from..upto).unwrap_or_default());
            *from = upto;
        };
        for edit in edits {
            copy(&mut wire, edit.at.start, &mut from);
            wire.extend_from_slice(edit.by.as_bytes());
            from = edit.at.end;
        }
        copy(&mut wire, self.wire.len(), &mut from);
        self.wire = wire;
        self.literals = literals;
    }
}

/// What stands for a word, if it is one of these; notes that it was asked for.
fn replaced(
    word: &[u8],
    command: Command,
    in_list: bool,
    objects: &mut Objects,
) -> Option<&'static str> {
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    match command {
        Command::Fetch if is(b"EMAILID") => {
            objects.email = true;
            Some("UID")
        }
        Command::Fetch if is(b"THREADID") => {
            objects.thread = true;
            Some("UID")
        }
        Command::Search if is(b"EMAILID") => Some("HEADER :EMAILID"),
        Command::Search if is(b"THREADID") => Some("HEADER :THREADID"),
        Command::Status if in_list && is(b"MAILBOXID") => {
            objects.mailbox = true;
            Some("UIDVALIDITY")
        }
        Command::Fetch | Command::Search | Command::Status => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(line: &str) -> (String, Objects) {
        let wire = line.as_bytes().to_vec();
        let literals = line.find("}\r\n").map(|at| at + 3).into_iter();
        let literals = literals.map(|start| start..start + 7).collect();
        let mut frame = Frame { wire, literals };
        let objects = frame.replace_objects(2);
        for literal in &frame.literals {
            assert_eq!(frame.wire.get(literal.clone()).unwrap(), b"EMAILID");
        }
        (String::from_utf8(frame.wire).unwrap(), objects)
    }

    #[test]
    fn the_words_are_found_where_they_are_words() {
        let none = Objects::default();
        let (email, thread) = (Objects { email: true, ..none }, Objects { thread: true, ..none });
        for (line, expected, objects) in [
            ("a FETCH 1 EMAILID\r\n", "a FETCH 1 UID\r\n", email),
            ("a uid fetch 1:* (flags threadid)\r\n", "a uid fetch 1:* (flags UID)\r\n", thread),
            (
                "a FETCH 1 (BODY[HEADER.FIELDS (EMAILID \"a]b\")] EMAILID)\r\n",
                "a FETCH 1 (BODY[HEADER.FIELDS (EMAILID \"a]b\")] UID)\r\n",
                email,
            ),
            ("a SEARCH EMAILID x\r\n", "a SEARCH HEADER :EMAILID x\r\n", none),
            (
                "a SEARCH OR SUBJECT EMAILID NOT THREADID EMAILID\r\n",
                "a SEARCH OR SUBJECT EMAILID NOT HEADER :THREADID EMAILID\r\n",
                none,
            ),
            (
                "a SEARCH SUBJECT {7}\r\nEMAILID EMAILID \"E1\"\r\n",
                "a SEARCH SUBJECT {7}\r\nEMAILID HEADER :EMAILID \"E1\"\r\n",
                none,
            ),
            (
                "a SEARCH EMAILID E1 TEXT {7}\r\nEMAILID\r\n",
                "a SEARCH HEADER :EMAILID E1 TEXT {7}\r\nEMAILID\r\n",
                none,
            ),
            (
                "a STATUS MAILBOXID (MESSAGES MAILBOXID)\r\n",
                "a STATUS MAILBOXID (MESSAGES UIDVALIDITY)\r\n",
                Objects { mailbox: true, ..none },
            ),
            ("a STORE 1 FLAGS EMAILID\r\n", "a STORE 1 FLAGS EMAILID\r\n", none),
            ("a SEARCH SUBJECT \"un EMAILID\r\n", "a SEARCH SUBJECT \"un EMAILID\r\n", none),
        ] {
            assert_eq!(replaced(line), (expected.to_owned(), objects));
        }
    }
}
