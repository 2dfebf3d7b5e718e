//! Makes a segment of some letters, in memory.
//!
//! Invariant: what is held stays near [`BUILD_BYTES_MAX`] and what one letter may add; of a letter
//! with more than [`LETTER_TEXT_MAX`] the rest is not indexed, and the letter is marked.
//! Refs: specs/search-index.md §3, §4.

use std::collections::HashMap;

use super::segment::{HEADER_BYTES, LETTER_BYTES, Layout, List, PARTIAL, PLACE_BYTES};
use super::term::{TERM_END, cut};
use super::text::Places;

/// Octets that a segment under way may hold before it is written: 24 MiB.
pub(crate) const BUILD_BYTES_MAX: usize = 24 << 20;
/// Octets of text of one letter that are indexed: 1 MiB in the form that is searched.
pub(crate) const LETTER_TEXT_MAX: usize = 1 << 20;
/// What a term costs in memory beside its octets, about.
const TERM_COST: usize = 96;
/// What a letter costs in the list of each of its terms, about.
const ENTRY_COST: usize = 4;

#[derive(Default)]
struct Term {
    list: List,
    /// The letter it was last seen in, counted from 1, and where in it.
    last: u32,
    places: u8,
}

/// A segment under way.
#[derive(Default)]
pub(crate) struct Builder {
    letters: Vec<(u64, bool)>,
    terms: HashMap<Box<str>, Term>,
    bytes: usize,
    /// Octets of the letter's texts so far.
    text: usize,
}

impl Builder {
    /// Begins the next letter; rows ascend.
    pub(crate) fn letter(&mut self, row: u64) {
        self.letters.push((row, false));
        self.text = 0;
    }

    /// The letter is not all indexed.
    pub(crate) fn partial(&mut self) {
        if let Some((_, partial)) = self.letters.last_mut() {
            *partial = true;
        }
    }

    /// A text of the letter, in the form that is searched.
    pub(crate) fn text(&mut self, places: Places, text: &str) {
        let room = text.len().min(LETTER_TEXT_MAX.saturating_sub(self.text));
        let taken = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        if taken.len() < text.len() {
            self.partial();
        }
        self.text += taken.len();
        let letter = u32::try_from(self.letters.len()).unwrap_or(u32::MAX);
        let (terms, bytes) = (&mut self.terms, &mut self.bytes);
        cut(taken, |term| {
            if let Some(held) = terms.get_mut(term) {
                *bytes += if held.last == letter { 0 } else { ENTRY_COST };
                held.see(letter, places);
                return;
            }
            *bytes += term.len() + TERM_COST;
            let mut held = Term::default();
            held.see(letter, places);
            terms.insert(term.into(), held);
        });
    }

    /// Whether it should be written before another letter is added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > BUILD_BYTES_MAX
    }

    /// How many letters it has.
    pub(crate) fn letters(&self) -> usize {
        self.letters.len()
    }

    /// The segment's octets.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut terms: Vec<(Box<str>, Term)> = self.terms.into_iter().collect();
        terms.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut writer = Writer::default();
        for (text, mut term) in terms {
            term.close();
            writer.term(text.as_bytes(), &term.list.octets);
        }
        writer.finish(&self.letters)
    }
}

impl Term {
    fn see(&mut self, letter: u32, places: Places) {
        if self.last != letter {
            self.close();
            (self.last, self.places) = (letter, 0);
        }
        self.places |= places.0;
    }

    fn close(&mut self) {
        if let Some(letter) = self.last.checked_sub(1) {
            self.list.add(letter, Places(self.places));
        }
    }
}

/// Puts a segment together, term by term in ascending order.
#[derive(Default)]
pub(crate) struct Writer {
    count: u32,
    terms: Vec<u8>,
    places: Vec<u8>,
    lists: Vec<u8>,
}

impl Writer {
    /// Adds a term and its list.
    pub(crate) fn term(&mut self, term: &[u8], list: &[u8]) {
        self.count += 1;
        self.terms.extend_from_slice(term);
        self.terms.push(TERM_END);
        self.place();
        self.lists.extend_from_slice(list);
    }

    fn place(&mut self) {
        let at = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        self.places.extend_from_slice(&at.to_be_bytes());
    }

    /// The segment of these letters, ascending by row, each with its mark.
    pub(crate) fn finish(mut self, letters: &[(u64, bool)]) -> Vec<u8> {
        self.place();
        let count = letters.len() as u64;
        let terms_end = HEADER_BYTES + count * LETTER_BYTES + 1 + self.terms.len() as u64;
        let lists_start = terms_end + (u64::from(self.count) + 1) * PLACE_BYTES;
        let layout = Layout {
            letters: u32::try_from(count).unwrap_or(u32::MAX),
            terms: self.count,
            terms_end,
            end: lists_start + self.lists.len() as u64,
        };
        let mut out = layout.write();
        for (row, partial) in letters {
            out.extend_from_slice(&row.to_be_bytes());
            out.push(if *partial { PARTIAL } else { 0 });
        }
        out.push(TERM_END);
        out.extend_from_slice(&self.terms);
        out.extend_from_slice(&self.places);
        out.extend_from_slice(&self.lists);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::{SegmentError, find, letters};
    use super::super::term::Pieces;
    use super::*;

    pub(crate) fn built(texts: &[(u64, &str)]) -> Vec<u8> {
        let mut builder = Builder::default();
        for (row, text) in texts {
            builder.letter(*row);
            builder.text(Places::BODY, text);
        }
        builder.finish()
    }

    fn found(segment: &Vec<u8>, what: &str, places: Places) -> Vec<u32> {
        let layout = Layout::read(&segment[..48]).unwrap();
        let bits = find(segment, &layout, &Pieces::of(what).all, places).unwrap();
        (0..layout.letters).filter(|letter| bits.has(*letter)).collect()
    }

    // specs/search-index.md §6
    #[test]
    fn a_segment_is_written_as_specified() {
        let mut builder = Builder::default();
        builder.letter(1);
        builder.text(Places::SUBJECT, "b a");
        builder.text(Places::BODY, "a");
        builder.letter(3);
        builder.text(Places::BODY, "a");
        builder.partial();
        let hex: String = builder.finish().iter().map(|octet| format!("{octet:02x}")).collect();
        let expected = [
            "4257494e44455831",
            "0000000000000002",
            "0000000000000002",
            "0000000000000047",
            "0000000000000058",
            "0000000000000000",
            "000000000000000100",
            "000000000000000301",
            "0a610a620a",
            "00000000",
            "00000003",
            "00000005",
            "005001",
            "0010",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn letters_are_found_by_parts_of_words_and_by_place() {
        let mut builder = Builder::default();
        for row in 0..300_u64 {
            builder.letter(row);
            builder.text(Places::SUBJECT, if row % 3 == 0 { "privilege" } else { "other" });
            builder.text(Places::BODY, &format!("number n{row}n and 東京都"));
        }
        let segment = builder.finish();
        assert_eq!(found(&segment, "ivile", Places::SUBJECT).len(), 100);
        assert_eq!(found(&segment, "ivile", Places::BODY).len(), 0);
        assert_eq!(found(&segment, "n277n", Places::TEXT), [277]);
        assert_eq!(found(&segment, "number n27", Places::BODY).len(), 11);
        assert_eq!(found(&segment, "京都", Places::BODY).len(), 300);
        assert_eq!(found(&segment, "都京", Places::BODY).len(), 0);
    }

    #[test]
    fn letters_of_the_same_words_fill_a_segment_too() {
        let words: String = (0..100_000).map(|word| format!("w{word} ")).collect();
        let mut builder = Builder::default();
        while !builder.is_full() {
            builder.letter(builder.letters() as u64);
            builder.text(Places::BODY, &words);
            assert!(builder.letters() < 50);
        }
        assert!(builder.finish().len() < BUILD_BYTES_MAX);
    }

    #[test]
    fn a_letter_too_large_is_marked() {
        let mut builder = Builder::default();
        builder.letter(5);
        builder.text(Places::BODY, &"long ".repeat(LETTER_TEXT_MAX / 5 + 1));
        let segment = builder.finish();
        let layout = Layout::read(&segment[..48]).unwrap();
        assert_eq!(letters(&segment, &layout), Ok((vec![5], vec![0])));
    }

    #[test]
    fn no_octets_make_it_panic() {
        let segment = built(&[(1, "some words"), (2, "more words and 東京")]);
        for at in 0..segment.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = segment.clone();
                bad[at] = value;
                let Ok(layout) = Layout::read(&bad[..48]) else { continue };
                drop(letters(&bad, &layout));
                drop(find(&bad, &layout, &Pieces::of("words").all, Places::TEXT));
            }
            let cut = segment[..at].to_vec();
            let read = cut.get(..48).map(Layout::read);
            if let Some(Ok(layout)) = read {
                let found = find(&cut, &layout, &Pieces::of("words").all, Places::TEXT);
                assert_eq!(found, Err(SegmentError::Damaged));
            }
        }
    }
}
