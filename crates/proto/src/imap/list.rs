//! LIST with the selection and return options of RFC 5258, 5819 and 6154.
//!
//! Invariant: an option that is not understood makes the command BAD; it is not skipped.
//! Refs: RFC 9051 §6.3.9; RFC 5258 §3; RFC 5819 §2; RFC 6154 §5.

use super::lexer::Lexer;
use super::request::Malformed;

/// How many patterns one LIST may hold.
const PATTERNS_MAX: usize = 64;

/// Which mailboxes a LIST asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSelect {
    /// Subscribed ones, whether or not they exist.
    pub subscribed: bool,
    /// Remote ones too; there are none.
    pub remote: bool,
    /// Those with a child that matches, though they do not themselves.
    pub recursive_match: bool,
    /// Those with a special use.
    pub special_use: bool,
}

/// What a LIST wants said of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// Whether it has children.
    pub children: bool,
    /// Its special use.
    pub special_use: bool,
    /// A STATUS response with these items, in upper case.
    pub status: Option<Vec<String>>,
}

/// A LIST command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The selection options.
    pub select: ListSelect,
    /// The reference name as it came.
    pub reference: Vec<u8>,
    /// The patterns as they came, at least one.
    pub patterns: Vec<Vec<u8>>,
    /// The return options.
    pub returned: ListReturn,
    /// Whether any extended syntax was used; then `\HasChildren` and the like are due.
    pub extended: bool,
}

/// Reads what follows `LIST `.
pub(super) fn list(lexer: &mut Lexer<'_>) -> Result<List, Malformed> {
    let mut extended = false;
    let mut select = ListSelect::default();
    if lexer.peek() == Some(b'(') {
        extended = true;
        select = selection(lexer)?;
        lexer.need(b' ')?;
    }
    let reference = lexer.astring()?;
    lexer.need(b' ')?;
    let mut patterns = Vec::new();
    if lexer.eat(b'(') {
        extended = true;
        loop {
            patterns.push(lexer.list_mailbox()?);
            if lexer.eat(b')') {
                break;
            }
            if patterns.len() >= PATTERNS_MAX {
                return Err(Malformed);
            }
            lexer.need(b' ')?;
        }
    } else {
        patterns.push(lexer.list_mailbox()?);
    }
    let mut returned = ListReturn::default();
    if lexer.eat_word(b" RETURN (") {
        extended = true;
        returned = return_options(lexer)?;
    }
    lexer.end()?;
    Ok(List { select, reference, patterns, returned, extended })
}

fn selection(lexer: &mut Lexer<'_>) -> Result<ListSelect, Malformed> {
    let mut select = ListSelect::default();
    lexer.need(b'(')?;
    while !lexer.eat(b')') {
        match lexer.atom()?.to_ascii_uppercase().as_slice() {
            b"SUBSCRIBED" => select.subscribed = true,
            b"REMOTE" => select.remote = true,
            b"RECURSIVEMATCH" => select.recursive_match = true,
            b"SPECIAL-USE" => select.special_use = true,
            _ => return Err(Malformed),
        }
        if lexer.peek() != Some(b')') {
            lexer.need(b' ')?;
        }
    }
    // RFC 5258 §3.1: RECURSIVEMATCH alone, or with REMOTE only, is an error.
    if select.recursive_match && !(select.subscribed || select.special_use) {
        return Err(Malformed);
    }
    Ok(select)
}

fn return_options(lexer: &mut Lexer<'_>) -> Result<ListReturn, Malformed> {
    let mut returned = ListReturn::default();
    while !lexer.eat(b')') {
        match lexer.atom()?.to_ascii_uppercase().as_slice() {
            b"SUBSCRIBED" => returned.subscribed = true,
            b"CHILDREN" => returned.children = true,
            b"SPECIAL-USE" => returned.special_use = true,
            b"STATUS" => {
                lexer.need(b' ')?;
                returned.status = Some(status_items(lexer)?);
            }
            _ => return Err(Malformed),
        }
        if lexer.peek() != Some(b')') {
            lexer.need(b' ')?;
        }
    }
    Ok(returned)
}

fn status_items(lexer: &mut Lexer<'_>) -> Result<Vec<String>, Malformed> {
    let mut items = Vec::new();
    lexer.need(b'(')?;
    loop {
        let item = lexer.atom()?.to_ascii_uppercase();
        items.push(String::from_utf8(item).map_err(|_| Malformed)?);
        if lexer.eat(b')') {
            return Ok(items);
        }
        if items.len() >= 16 {
            return Err(Malformed);
        }
        lexer.need(b' ')?;
    }
}
