//! HTML as its reader sees it, as far as searching and previews need.
//!
//! `mail-parser` decodes the entities; where words end is decided here: at blocks, line breaks and
//! cells, and at white space on either side of any other tag, but not at such a tag itself.
//!
//! Invariant: the time is that of reading the text a bounded number of times, whatever is open in
//! it and never closed.
//! Refs: HTML Living Standard §13.2.5, §15.3; specs/search-index.md §4.

use mail_parser::decoders::html::html_to_text;

/// Elements that begin and end a line.
const BLOCKS: [&str; 42] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tr",
    "ul",
    "legend",
];
/// Elements that part words.
const CELLS: [&str; 2] = ["td", "th"];
/// Elements that are not shown, with what is in them.
const HIDDEN: [&str; 4] = ["title", "script", "style", "template"];

/// The text, words apart where their reader sees them apart.
pub(super) fn to_text(html: &str) -> String {
    let mut out = Out { text: String::with_capacity(html.len() / 2), space: false };
    let mut rest = html;
    while let Some(at) = next_tag(rest) {
        let (text, tag) = rest.split_at(at);
        out.text(text);
        rest = if tag.starts_with("<!--") {
            // `<!-->` is a whole comment.
            let comment = tag.get(2..).unwrap_or_default();
            comment.split_once("-->").map_or("", |(_, rest)| rest)
        } else {
            out.tag(tag)
        };
    }
    out.text(rest);
    out.text
}

/// Where a tag or comment begins; any other `<` is text.
fn next_tag(text: &str) -> Option<usize> {
    let begins = |(at, _): &(usize, &str)| {
        let next = text.as_bytes().get(at + 1);
        next.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?'))
    };
    text.match_indices('<').find(begins).map(|(at, _)| at)
}

/// What is behind the end of a tag. A `>` between quotes ends none, if the quotes are closed.
fn behind(tag: &str) -> &str {
    let mut at = 0;
    while let Some(rest) = tag.get(at..) {
        let Some(found) = rest.find(['>', '"', '\'']) else { return "" };
        let after = rest.get(found + 1..).unwrap_or_default();
        let quote = match rest.as_bytes().get(found) {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return after,
        };
        match after.find(quote) {
            Some(closed) => at += found + closed + 2,
            // Read as if it were none.
            None => return after.split_once('>').map_or("", |(_, rest)| rest),
        }
    }
    ""
}

struct Out {
    text: String,
    /// White space came since the last word.
    space: bool,
}

impl Out {
    /// Text between tags.
    fn text(&mut self, text: &str) {
        self.space |= text.starts_with(|char: char| char.is_ascii_whitespace());
        // A `<` that begins no tag would swallow what is behind it.
        for (count, piece) in text.split('<').enumerate() {
            let decoded = html_to_text(piece);
            if count > 0 {
                self.word("<");
            }
            self.space |= piece.starts_with(|char: char| char.is_ascii_whitespace());
            self.word(&decoded);
            self.space |= piece.ends_with(|char: char| char.is_ascii_whitespace());
        }
    }

    fn word(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        if self.space && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push(' ');
        }
        self.space = false;
        self.text.push_str(word);
    }

    /// A tag; gives what is behind it, or behind all that it hides.
    fn tag<'h>(&mut self, tag: &'h str) -> &'h str {
        let inner = tag.get(1..).unwrap_or_default();
        let is_end = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let end = inner.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let name = inner.get(..end).unwrap_or_default();
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        let after = behind(tag);
        if BLOCKS.iter().any(is) {
            if !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push('\n');
            }
            self.space = false;
        } else if CELLS.iter().any(is) {
            self.space = true;
        } else if !is_end && HIDDEN.iter().any(is) {
            return behind_element(after, name);
        }
        after
    }
}

/// What is behind the end of a hidden element; nothing, if it has none.
fn behind_element<'h>(html: &'h str, name: &str) -> &'h str {
    let is_end = |(at, _): &(usize, &str)| {
        let found = html.as_bytes().get(at + 2..at + 2 + name.len());
        let next = html.as_bytes().get(at + 2 + name.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            && next.is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    let at = html.match_indices("</").find(is_end).map(|(at, _)| at);
    at.and_then(|at| html.get(at..)).map_or("", behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_apart_where_their_reader_sees_them_apart() {
        for (html, text) in [
            ("<b>one</b> two", "one two"),
            ("<b>one </b>two", "one two"),
            ("one<b> two</b>", "one two"),
            ("o<b>n</b>e", "one"),
            ("one<br>two<BR/>three", "one\ntwo\nthree"),
            ("<p>one</p><p>two</p>", "one\ntwo\n"),
            ("<table><tr><td>one</td><td>two</td></tr><tr><td>x</td></tr></table>", "one two\nx\n"),
            ("<div>one</div>two", "one\ntwo"),
            ("one\r\n  two", "one two"),
            ("a &lt;b&gt; &amp; &eacute;", "a <b> & é"),
            ("1 < 2 and 3<4", "1 < 2 and 3<4"),
            ("<head><title>no</title></head><body>yes</body>", "\nyes\n"),
            // The end of a head need not be written.
            ("<head><title>no</title><style>no</style><body>yes</body>", "\nyes\n"),
            ("<!-->one<!--->two<!-- no -->", "onetwo"),
            ("<style>p { color: red }</style>x<script>if (a</b) {}</script>y", "xy"),
            ("one<!-- <b> no --> two", "one two"),
            ("<a title=\"1 > 2\" href='x'>one</a>", "one"),
            ("<a title=\"never closed>one</a> two", "one two"),
            ("one<script>never closed", "one"),
        ] {
            assert_eq!(
                to_text(html).trim_start_matches('\n'),
                text.trim_start_matches('\n'),
                "{html}"
            );
        }
    }

    #[test]
    fn what_is_never_closed_takes_no_longer_than_its_length_allows() {
        for piece in ["<", "<a \"", "<a '\"", "<script>", "<!--", "</", "<head></", "\"<b>", "&"] {
            let html = piece.repeat(400_000 / piece.len());
            assert!(to_text(&html).len() <= html.len() * 3, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(html in "[<>a-c/!'\" &;\\-é\n]{0,200}") {
            to_text(&html);
        }
    }
}
