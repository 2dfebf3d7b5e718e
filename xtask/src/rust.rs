//! Rust text taken apart: code without strings and comments, comments alone, which
//! lines are tests, and where functions begin and end.
//!
//! Invariant: never fails; rustfmt has already laid the text out (`./x test` runs it
//! first), so braces are matched by indentation.

/// One Rust file, line by line; all vectors are of the same length.
pub(crate) struct Rust {
    /// The code, with comments and the insides of literals blanked.
    pub(crate) code: Vec<String>,
    /// The comments, with everything else blanked.
    pub(crate) comments: Vec<String>,
    /// Whether the line belongs to a `#[cfg(test)]` item.
    pub(crate) in_test: Vec<bool>,
}

/// One function: its name, its first line (from 1) and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    Line,
    Block(u32),
    Text { raw: Option<usize> },
}

impl Rust {
    pub(crate) fn read(text: &str) -> Self {
        let (code, comments) = split(text);
        let code: Vec<String> = code.lines().map(str::to_owned).collect();
        let comments: Vec<String> = comments.lines().map(str::to_owned).collect();
        let in_test = test_lines(&code);
        Self { code, comments, in_test }
    }

    /// Code lines with their numbers from 1, tests left out.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .iter()
            .zip(&self.in_test)
            .enumerate()
            .filter(|(_, (_, test))| !**test)
            .map(|(index, (line, _))| (index + 1, line.as_str()))
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (index, line) in self.code.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            if let Some(lines) = item_lines(self.code.get(index..).unwrap_or_default()) {
                functions.push(Function { name, line: index + 1, lines });
            }
        }
        functions
    }

    /// The `use` trees outside tests, flattened: line and full path.
    pub(crate) fn uses(&self) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        let mut open: Option<(usize, String)> = None;
        for (line, code) in self.shipped() {
            let (start, mut text) = match open.take() {
                Some(open) => open,
                None => match after_use(code) {
                    Some(rest) => (line, rest.to_owned()),
                    None => continue,
                },
            };
            if start != line {
                text.push_str(code.trim());
            }
            match text.split_once(';') {
                Some((whole, _)) => {
                    flatten("", whole, 0, &mut |path| paths.push((start, path)));
                }
                None => open = Some((start, text)),
            }
        }
        paths
    }
}

/// Splits text into code and comments; both keep every line break and width.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\n');
    let (mut code, mut comments) = (String::new(), String::new());
    let mut state = State::Code;
    let mut index = 0;
    while index < chars.len() {
        let here = at(index);
        let (length, next) = match state {
            State::Code => code_step(&chars, index),
            State::Line => (1, if here == '\n' { State::Code } else { state }),
            State::Block(depth) => match (here, at(index + 1)) {
                ('/', '*') => (2, State::Block(depth + 1)),
                ('*', '/') if depth == 1 => (2, State::Code),
                ('*', '/') => (2, State::Block(depth - 1)),
                _ => (1, state),
            },
            State::Text { raw: None } => match here {
                '\\' => (2, state),
                '"' => (1, State::Code),
                _ => (1, state),
            },
            State::Text { raw: Some(hashes) } => {
                let closes = here == '"' && (1..=hashes).all(|step| at(index + step) == '#');
                if closes { (1 + hashes, State::Code) } else { (1, state) }
            }
        };
        let is_code =
            matches!(state, State::Code) && matches!(next, State::Code | State::Text { .. });
        let is_comment = !is_code && !matches!(state, State::Text { .. });
        for step in index..index + length {
            let one = at(step);
            let keep = |wanted: bool| if wanted || one == '\n' { one } else { ' ' };
            code.push(keep(is_code && !is_char_inside(length, step - index)));
            comments.push(keep(is_comment));
        }
        index += length;
        state = next;
    }
    (code, comments)
}

/// A character literal is taken as one step longer than two; its inside is blanked.
fn is_char_inside(length: usize, step: usize) -> bool {
    length > 2 && step > 0 && step + 1 < length
}

/// From code: how far the next step goes, and what follows it.
fn code_step(chars: &[char], index: usize) -> (usize, State) {
    let at = |index: usize| chars.get(index).copied().unwrap_or('\n');
    let after_word = index.checked_sub(1).is_some_and(|before| is_word(at(before)));
    match (at(index), at(index + 1)) {
        ('/', '/') => (1, State::Line),
        ('/', '*') => (2, State::Block(1)),
        ('"', _) => (1, State::Text { raw: None }),
        ('r', '"' | '#') if !after_word => raw_step(chars, index + 1),
        ('b' | 'c', 'r') if !after_word && matches!(at(index + 2), '"' | '#') => {
            let (length, state) = raw_step(chars, index + 2);
            (if length == 1 { 1 } else { length + 1 }, state)
        }
        ('\'', '\\') => {
            let end = (index + 3..index + 14).find(|step| at(*step) == '\'');
            (end.map_or(1, |end| end + 1 - index), State::Code)
        }
        ('\'', _) if at(index + 2) == '\'' => (3, State::Code),
        _ => (1, State::Code),
    }
}

/// At the `#` or `"` after an `r`: the opening of a raw string, or a raw identifier.
fn raw_step(chars: &[char], from: usize) -> (usize, State) {
    let hashes = chars.iter().skip(from).take_while(|one| **one == '#').count();
    if chars.get(from + hashes) == Some(&'"') {
        (hashes + 2, State::Text { raw: Some(hashes) })
    } else {
        (1, State::Code)
    }
}

/// Whether a character can be part of an identifier.
pub(crate) fn is_word(one: char) -> bool {
    one.is_alphanumeric() || one == '_'
}

/// How many leading blanks a line has.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// How many lines the item starting at the first line has; `None` if it has no body.
fn item_lines(code: &[String]) -> Option<usize> {
    let width = indent(code.first()?);
    let mut opened = false;
    for (index, line) in code.iter().enumerate() {
        let text = line.trim_end();
        if opened && indent(text) == width && text.trim_start().starts_with('}') {
            return Some(index + 1);
        }
        if !opened && text.ends_with('}') {
            return Some(index + 1);
        }
        if !opened && text.ends_with(';') {
            return None;
        }
        opened |= text.ends_with('{');
    }
    None
}

fn test_lines(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    let mut index = 0;
    while let Some(line) = code.get(index) {
        let text = line.trim_start();
        let is_test = text.starts_with("#[cfg(test)]") || text.starts_with("#[cfg(all(test");
        if !is_test {
            index += 1;
            continue;
        }
        let rest = code.get(index..).unwrap_or_default();
        let attributes = rest.iter().take_while(|line| line.trim_start().starts_with("#[")).count();
        let item = rest.get(attributes..).unwrap_or_default();
        let end = index + attributes + item_lines(item).unwrap_or(1);
        marks.iter_mut().take(end).skip(index).for_each(|mark| *mark = true);
        index = end;
    }
    marks
}

/// The name of the function this line begins, if it begins one.
fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    loop {
        let end = rest.find(|one| !is_word(one)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        match word {
            "fn" => {
                let name = after.trim_start();
                let end = name.find(|one| !is_word(one))?;
                return name.split_at_checked(end).map(|(name, _)| name.to_owned());
            }
            "pub" if after.starts_with('(') => rest = after.split_once(')')?.1.trim_start(),
            "extern" => rest = after.trim_start().trim_start_matches(['"', ' ']),
            "pub" | "const" | "async" | "unsafe" | "default" => rest = after.trim_start(),
            _ => return None,
        }
    }
}

fn after_use(line: &str) -> Option<&str> {
    let text = line.trim_start();
    let text = match text.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => text,
    };
    text.strip_prefix("use ")
}

/// Gives every leaf of a `use` tree; nesting deeper than 16 is cut off.
fn flatten(prefix: &str, tree: &str, depth: u32, give: &mut dyn FnMut(String)) {
    let tree = tree.trim().trim_start_matches("::");
    let Some((head, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim();
        if !name.is_empty() {
            give(format!("{prefix}{name}"));
        }
        return;
    };
    if depth > 16 {
        return;
    }
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut open, mut start) = (0_u32, 0);
    for (index, one) in inner.char_indices().chain([(inner.len(), ',')]) {
        match one {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            ',' if open == 0 => {
                flatten(&prefix, inner.get(start..index).unwrap_or_default(), depth + 1, give);
                start = index + 1;
            }
            _ => {}
        }
    }
}

/// Every path in a line of code, such as `std::fs::read`, and whether `!` follows it.
pub(crate) fn paths(line: &str) -> Vec<(Vec<&str>, bool)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        let text = rest.get(start..).unwrap_or_default();
        let mut segments = Vec::new();
        let mut tail = text;
        loop {
            let end = tail.find(|one| !is_word(one)).unwrap_or(tail.len());
            let (word, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
            segments.push(word);
            tail = after;
            match after.strip_prefix("::") {
                Some(next) if next.starts_with(is_word) => tail = next,
                _ => break,
            }
        }
        found.push((segments, tail.starts_with('!') && !tail.starts_with("!=")));
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_code() {
        let rust =
            Rust::read("let a = \"std::fs // no\"; // yes: tokio\nlet b = r#\"x\"y\n}\"#; c\n");
        assert!(rust.code[0].starts_with("let a = \"") && rust.code[0].contains(';'));
        assert!(!rust.code[0].contains("fs") && !rust.code[0].contains("tokio"));
        assert!(rust.comments[0].contains("yes: tokio"));
        assert!(!rust.code[2].contains('}') && rust.code[2].contains("; c"));
    }

    #[test]
    fn a_quote_in_a_character_or_a_lifetime_opens_no_string() {
        let rust = Rust::read(
            "let q = '\"'; let e = '\\''; fn f<'a>(x: &'a str) { tokio } // '\n/* a /* b */ c */ d\n",
        );
        assert!(rust.code[0].contains("tokio"), "{}", rust.code[0]);
        assert!(rust.code[1].contains('d') && !rust.code[1].contains('c'));
    }

    #[test]
    fn a_function_ends_at_its_own_indentation() {
        let text = "impl A {\n    pub(crate) const fn a(\n        x: u8,\n    ) -> u8 {\n        match x {\n            _ => 1,\n        }\n    }\n    fn b() {}\n    fn c();\n}\n";
        let found = Rust::read(text).functions();
        let shape: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(shape, [("a", 2, 7), ("b", 9, 1)]);
    }

    #[test]
    fn a_test_module_is_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    use std::fs;\n}\nfn b() {}\n#[cfg(test)]\nmod more;\n";
        let rust = Rust::read(text);
        let lines: Vec<usize> = rust.shipped().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 7]);
    }

    #[test]
    fn a_use_tree_is_flattened() {
        let rust = Rust::read(
            "pub use std::{\n    fs::{self, File as F},\n    io,\n};\nuse tokio::net;\n",
        );
        let found: Vec<String> = rust.uses().into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["std::fs::self", "std::fs::File", "std::io", "tokio::net"]);
    }

    #[test]
    fn paths_are_whole() {
        let found = paths("x = std::fs::read(a)?; println!(b); c != d");
        assert_eq!(found[1], (vec!["std", "fs", "read"], false));
        assert_eq!(found[3], (vec!["println"], true));
        assert!(!found[5].1);
    }
}
