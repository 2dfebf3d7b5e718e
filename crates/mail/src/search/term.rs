//! Cuts text into the terms the index knows, and what is looked for into pieces of terms.
//!
//! Search asks for substrings (RFC 9051 §6.4.4). A run of letters, digits and what joins them
//! is a term; where a script has no spaces, every two neighbours are. So a text that is part of
//! one run is found by looking which terms contain it, and exactly so; any other text is in a
//! message only if its runs are.
//!
//! Invariant: whatever [`cut`] is given, a text that contains `what` has for every piece of
//! [`Pieces::of`]`(what)` a term that [`Piece`] matches; if [`Pieces::exact`], also conversely.
//! Refs: specs/search-index.md §4.

/// Characters of a term at most; a longer run is several, each beginning [`STEP`] after the last.
const TERM_CHARACTERS: usize = 48;
const STEP: usize = TERM_CHARACTERS - PIECE_CHARACTERS;
/// Characters of a run that are looked for: as many as every long run has in one of its terms.
const PIECE_CHARACTERS: usize = 24;
/// Pieces that are looked for.
const PIECES_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Parts terms.
    Break,
    /// Joins what is on both sides, and is no part of a term's ends.
    Joint,
    /// Of a script that is written with spaces, or a digit or symbol.
    Spaced,
    /// Of a script that is written without.
    Unspaced,
}

fn class(c: char) -> Class {
    match c {
        '@' | '.' | '-' | '_' | '\'' | '+' => Class::Joint,
        c if c.is_ascii_alphanumeric() => Class::Spaced,
        c if c.is_ascii() || c.is_whitespace() || c.is_control() => Class::Break,
        // Thai and Lao, Tibetan and Myanmar, Khmer; then ideographs and kana, but not Hangul.
        '\u{e00}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}'
        | '\u{3040}'..='\u{312f}'
        | '\u{31a0}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}' => Class::Unspaced,
        '\u{2000}'..='\u{206f}' | '\u{2ff0}'..='\u{303f}' | '\u{fffd}' => Class::Break,
        _ => Class::Spaced,
    }
}

/// A run of one class, as octets of the text it is in.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    unspaced: bool,
}

fn runs(text: &str, mut found: impl FnMut(Run)) {
    let mut open: Option<Run> = None;
    for (at, c) in text.char_indices() {
        let unspaced = match class(c) {
            Class::Joint if open.is_some_and(|run| !run.unspaced) => continue,
            Class::Joint | Class::Break => {
                open.take().into_iter().for_each(&mut found);
                continue;
            }
            Class::Spaced => false,
            Class::Unspaced => true,
        };
        let end = at + c.len_utf8();
        match &mut open {
            Some(run) if run.unspaced == unspaced => run.end = end,
            _ => {
                let run = Run { start: at, end, unspaced };
                open.replace(run).into_iter().for_each(&mut found);
            }
        }
    }
    open.into_iter().for_each(found);
}

/// Gives every term of a text, in the form in which texts are searched
/// ([`proto::message::for_search`]), some more than once.
pub(crate) fn cut<'t>(text: &'t str, mut found: impl FnMut(&'t str)) {
    runs(text, |run| {
        let Some(run_text) = text.get(run.start..run.end) else { return };
        let (length, step) = if run.unspaced { (2, 1) } else { (TERM_CHARACTERS, STEP) };
        for (start, _) in run_text.char_indices().step_by(step) {
            let rest = run_text.get(start..).unwrap_or_default();
            let end = rest.char_indices().nth(length).map(|(end, _)| end);
            found(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
            // The window that reaches the end is the last.
            if end.is_none() {
                break;
            }
        }
    });
}

/// What a term must have to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Octets that occur in the lists of terms ([`super::segment`]): the text, with the end of
    /// the term before and its own end where it must begin or end a term.
    pub(crate) pattern: Vec<u8>,
    /// Whether the pattern begins with the end of the term before.
    pub(crate) begins: bool,
}

/// Ends every term in a list of terms; no term contains it.
pub(crate) const TERM_END: u8 = b'\n';

/// What is looked for, as the index can ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// All of them must be matched.
    pub(crate) all: Vec<Piece>,
    /// Whether a message that has a term for each piece surely has the text.
    pub(crate) exact: bool,
}

impl Pieces {
    /// The pieces of a text, in the form in which texts are searched. None if it has no term.
    pub(crate) fn of(what: &str) -> Self {
        let mut found = Vec::new();
        let mut exact = false;
        runs(what, |run| {
            let Some(text) = what.get(run.start..run.end) else { return };
            let bound = |side: Option<&str>| {
                side.is_some_and(|side| side.chars().any(|c| class(c) != Class::Joint))
            };
            let (begins, ends) = (bound(what.get(..run.start)), bound(what.get(run.end..)));
            let alone = text.len() == what.len();
            if run.unspaced {
                exact = alone && text.chars().nth(2).is_none();
                cut(text, |pair| found.push(piece(pair, false, false)));
                return;
            }
            let short = text.char_indices().nth(PIECE_CHARACTERS);
            exact = alone && short.is_none();
            let start = text.get(..short.map_or(text.len(), |(end, _)| end));
            found.push(piece(start.unwrap_or(text), begins, ends && short.is_none()));
        });
        // The longest say the most.
        found.sort_by_key(|piece| core::cmp::Reverse(piece.pattern.len()));
        found.dedup();
        found.truncate(PIECES_MAX);
        Self { all: found, exact }
    }
}

fn piece(text: &str, begins: bool, ends: bool) -> Piece {
    let mut pattern = Vec::with_capacity(text.len() + 2);
    pattern.extend(begins.then_some(TERM_END));
    pattern.extend_from_slice(text.as_bytes());
    pattern.extend(ends.then_some(TERM_END));
    Piece { pattern, begins }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<&str> {
        let mut terms = Vec::new();
        cut(text, |term| terms.push(term));
        terms
    }

    fn matched(pieces: &Pieces, text: &str) -> bool {
        pieces.all.iter().all(|piece| {
            terms(text).iter().any(|term| {
                let listed = format!("\n{term}\n");
                listed.as_bytes().windows(piece.pattern.len()).any(|seen| seen == piece.pattern)
            })
        })
    }

    #[test]
    fn texts_are_cut_by_their_scripts() {
        assert_eq!(terms("to: <alice@ie.example>, it's."), ["to", "alice@ie.example", "it's"]);
        assert_eq!(terms("東京都と abc"), ["東京", "京都", "都と", "abc"]);
        assert_eq!(terms("第3回"), ["第", "3", "回"]);
        assert_eq!(terms("привет мир"), ["привет", "мир"]);
        assert_eq!(terms(" -- . "), [""; 0]);
    }

    #[test]
    fn a_long_run_has_every_short_text_in_one_term() {
        let run: String = (0..500_u32).filter_map(|n| char::from_u32(0x61 + n * 7 % 26)).collect();
        for start in 0..run.len() - PIECE_CHARACTERS {
            let part = run.get(start..start + PIECE_CHARACTERS).unwrap();
            assert!(terms(&run).iter().any(|term| term.contains(part)), "{start}");
        }
        assert!(terms(&run).iter().all(|term| term.len() <= TERM_CHARACTERS));
    }

    /// The module's invariant, over all substrings of texts of every class of characters.
    #[test]
    fn whatever_a_text_contains_its_terms_have() {
        let long = "x1".repeat(60);
        let texts = [
            "a.b-c 'd' e@f.example, (g) .h. i-",
            "東京 都.京x都 -京- ทดสอบ",
            "prive\u{301}e ночь-день سلام، ก่อน",
            &long,
        ];
        for text in texts {
            let ends: Vec<usize> =
                text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            for (at, start) in ends.iter().enumerate() {
                for end in &ends[at + 1..] {
                    let what = text.get(*start..*end).unwrap();
                    let pieces = Pieces::of(what);
                    assert!(matched(&pieces, text), "{what:?} {pieces:?}");
                    for other in texts {
                        let sure = pieces.exact && !pieces.all.is_empty();
                        assert!(!sure || matched(&pieces, other) == other.contains(what), "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_run_is_exact_and_no_other_text() {
        assert!(Pieces::of("alice@ie.example").exact);
        assert!(Pieces::of("京都").exact && Pieces::of("京").exact);
        for what in ["brown fox", "京都市", "fox.", "-fox", "第3", &"x".repeat(25), "..."] {
            assert!(!Pieces::of(what).exact, "{what}");
        }
    }
}
