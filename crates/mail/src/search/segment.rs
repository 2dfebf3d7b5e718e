//! A segment: which terms are in which letters. Read by ranges; [`super::build`] and
//! [`super::merge`] write it.
//!
//! Invariant: any octets give an answer or an error, never a panic or an allocation that the
//! octets themselves do not back.
//! Refs: specs/search-index.md §3.

use core::ops::Range;

use memchr::memmem::Finder;

use super::bits::Bits;
use super::term::{Piece, TERM_END};
use super::text::Places;

/// Begins every segment.
pub(crate) const MAGIC: &[u8; 8] = b"BWINDEX1";
/// Octets of what stands before the letters.
pub(crate) const HEADER_BYTES: u64 = 48;
/// Octets of one letter's entry: its row and its mark.
pub(crate) const LETTER_BYTES: u64 = 9;
/// Octets of one term's place.
pub(crate) const PLACE_BYTES: u64 = 4;
/// The mark of a letter of which not all is indexed.
pub(crate) const PARTIAL: u8 = 1;
/// Octets read at once when looking through the terms, and around a list of letters.
const TERMS_BYTES: u64 = 1 << 20;
const LISTS_BYTES: u64 = 128 << 10;

/// Why a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentError {
    /// It was replaced, or somebody took it away.
    #[error("a segment of the search index is gone")]
    Gone,
    /// It does not open, or is none.
    #[error("a segment of the search index is damaged")]
    Damaged,
    /// The disk failed.
    #[error("the store failed")]
    Failed,
}

/// Octets that can be read by ranges.
pub(crate) trait Octets {
    /// Exactly the octets of a range.
    fn octets(&self, range: Range<u64>) -> Result<Vec<u8>, SegmentError>;
}

impl Octets for Vec<u8> {
    fn octets(&self, range: Range<u64>) -> Result<Vec<u8>, SegmentError> {
        part(self, range).map(<[u8]>::to_vec)
    }
}

fn part(octets: &[u8], range: Range<u64>) -> Result<&[u8], SegmentError> {
    let place = |at| usize::try_from(at).map_err(|_| SegmentError::Damaged);
    octets.get(place(range.start)?..place(range.end)?).ok_or(SegmentError::Damaged)
}

/// Where the parts of a segment are: its first octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How many letters.
    pub(crate) letters: u32,
    /// How many terms.
    pub(crate) terms: u32,
    /// Where the terms end; they begin where the letters end.
    pub(crate) terms_end: u64,
    /// Where the segment ends.
    pub(crate) end: u64,
}

impl Layout {
    /// Reads a segment's first [`HEADER_BYTES`] octets.
    pub(crate) fn read(header: &[u8]) -> Result<Self, SegmentError> {
        let rest = header.strip_prefix(MAGIC).ok_or(SegmentError::Damaged)?;
        let number = |at: u64| -> Result<u64, SegmentError> {
            let octets = part(rest, at..at + 8)?.first_chunk().ok_or(SegmentError::Damaged)?;
            Ok(u64::from_be_bytes(*octets))
        };
        let counted = |at| u32::try_from(number(at)?).map_err(|_| SegmentError::Damaged);
        let (letters, terms) = (counted(0)?, counted(8)?);
        let layout = Self { letters, terms, terms_end: number(16)?, end: number(24)? };
        let places_end = layout.terms_end.checked_add((u64::from(terms) + 1) * PLACE_BYTES);
        let ordered = layout.terms_start() < layout.terms_end
            && places_end.is_some_and(|places_end| places_end <= layout.end);
        if ordered { Ok(layout) } else { Err(SegmentError::Damaged) }
    }

    /// A segment's first octets.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [u64::from(self.letters), self.terms.into(), self.terms_end, self.end, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    pub(crate) fn terms_start(&self) -> u64 {
        HEADER_BYTES + u64::from(self.letters) * LETTER_BYTES
    }

    pub(crate) fn lists_start(&self) -> u64 {
        self.terms_end + (u64::from(self.terms) + 1) * PLACE_BYTES
    }
}

/// The rows of a segment's letters, ascending, and the numbers of those indexed in part.
pub(crate) fn letters(
    from: &dyn Octets,
    layout: &Layout,
) -> Result<(Vec<u64>, Vec<u32>), SegmentError> {
    let octets = from.octets(HEADER_BYTES..layout.terms_start())?;
    let (entries, _) = octets.as_chunks::<9>();
    let (mut rows, mut partial) = (Vec::with_capacity(entries.len()), Vec::new());
    for (entry, number) in entries.iter().zip(0..) {
        let (row, mark) = entry.split_first_chunk().ok_or(SegmentError::Damaged)?;
        rows.push(u64::from_be_bytes(*row));
        partial.extend((mark != [0]).then_some(number));
    }
    if rows.is_sorted_by(|one, next| one < next) {
        Ok((rows, partial))
    } else {
        Err(SegmentError::Damaged)
    }
}

/// The numbers of letters that have, in one of these places, a term for every piece.
pub(crate) fn find(
    from: &dyn Octets,
    layout: &Layout,
    pieces: &[Piece],
    places: Places,
) -> Result<Bits, SegmentError> {
    let size = usize::try_from(layout.letters).map_err(|_| SegmentError::Damaged)?;
    let mut found: Option<Bits> = None;
    for terms in matching(from, layout, pieces)? {
        let mut letters = Bits::new(size);
        let mut lists = Lists::new(from, layout);
        for term in terms {
            lists.each(term, |letter, at| {
                if at.0 & places.0 != 0 {
                    letters.add(letter);
                }
            })?;
        }
        match &mut found {
            None => found = Some(letters),
            Some(found) => found.keep(&letters),
        }
        if found.as_ref().is_some_and(Bits::is_empty) {
            break;
        }
    }
    Ok(found.unwrap_or_default())
}

/// For each piece the numbers of the terms it matches, ascending.
fn matching(
    from: &dyn Octets,
    layout: &Layout,
    pieces: &[Piece],
) -> Result<Vec<Vec<u32>>, SegmentError> {
    let finders: Vec<_> =
        pieces.iter().map(|piece| (Finder::new(&piece.pattern), piece.begins)).collect();
    let mut found = vec![Vec::new(); pieces.len()];
    // The terms begin with the end of a term that is none, and are read from end to end.
    let (mut at, mut first) = (layout.terms_start(), 0_u32);
    while at + 1 < layout.terms_end {
        let octets = from.octets(at..layout.terms_end.min(at + TERMS_BYTES))?;
        let last = memchr::memrchr(TERM_END, &octets).filter(|last| *last > 0);
        let last = last.ok_or(SegmentError::Damaged)?;
        let whole = octets.get(..=last).unwrap_or_default();
        for ((finder, begins), found) in finders.iter().zip(&mut found) {
            in_terms(whole, finder, *begins, first, found);
        }
        first = first.saturating_add(ends(whole).saturating_sub(1));
        at += u64::try_from(last).map_err(|_| SegmentError::Damaged)?;
    }
    Ok(found)
}

/// Adds the numbers of the terms that match, counted from `first`. `whole` begins and ends with
/// a term's end.
fn in_terms(whole: &[u8], finder: &Finder<'_>, begins: bool, first: u32, found: &mut Vec<u32>) {
    let (mut at, mut passed) = (0, 0);
    let mut counted = 0;
    while let Some(hit) = whole.get(at..).and_then(|rest| finder.find(rest)) {
        // The first octet of the term's own that matches.
        let inside = at + hit + usize::from(begins);
        passed += ends(whole.get(counted..inside).unwrap_or_default());
        counted = inside;
        found.push(first.saturating_add(passed.saturating_sub(1)));
        let rest = whole.get(inside..).unwrap_or_default();
        let Some(end) = memchr::memchr(TERM_END, rest) else { return };
        at = inside + end;
    }
}

fn ends(octets: &[u8]) -> u32 {
    u32::try_from(memchr::memchr_iter(TERM_END, octets).count()).unwrap_or(u32::MAX)
}

/// The lists of letters, read in pieces that serve many terms that follow one another.
struct Lists<'a> {
    from: &'a dyn Octets,
    layout: &'a Layout,
    places: Held,
    lists: Held,
}

/// What was read last.
#[derive(Default)]
struct Held {
    start: u64,
    octets: Vec<u8>,
}

impl Held {
    fn of(
        &mut self,
        from: &dyn Octets,
        range: Range<u64>,
        end: u64,
    ) -> Result<&[u8], SegmentError> {
        let held = self.start..self.start + self.octets.len() as u64;
        if range.start < held.start || range.end > held.end {
            if range.end > end || range.start > range.end {
                return Err(SegmentError::Damaged);
            }
            let more = range.end.max((range.start + LISTS_BYTES).min(end));
            self.octets = from.octets(range.start..more)?;
            self.start = range.start;
        }
        part(&self.octets, range.start - self.start..range.end - self.start)
    }
}

impl<'a> Lists<'a> {
    fn new(from: &'a dyn Octets, layout: &'a Layout) -> Self {
        Self { from, layout, places: Held::default(), lists: Held::default() }
    }

    /// Gives every letter of a term, ascending, and where in it the term is.
    fn each(&mut self, term: u32, found: impl FnMut(u32, Places)) -> Result<(), SegmentError> {
        let (layout, start) = (self.layout, self.layout.terms_end + u64::from(term) * PLACE_BYTES);
        let range = start..start + 2 * PLACE_BYTES;
        let octets = self.places.of(self.from, range, layout.lists_start())?;
        let (ends, _) = octets.as_chunks::<4>();
        let &[from, to] = ends else { return Err(SegmentError::Damaged) };
        let [from, to] = [from, to].map(|end| u64::from(u32::from_be_bytes(end)));
        let range = layout.lists_start() + from..layout.lists_start() + to;
        each_letter(self.lists.of(self.from, range, layout.end)?, found)
    }
}

/// Reads one term's list.
pub(crate) fn each_letter(
    mut list: &[u8],
    mut found: impl FnMut(u32, Places),
) -> Result<(), SegmentError> {
    let mut next = 0_u32;
    while !list.is_empty() {
        let (step, rest) = number(list).ok_or(SegmentError::Damaged)?;
        let (places, rest) = if step & 1 == 1 {
            (Places::BODY, rest)
        } else {
            let (places, rest) = rest.split_first().ok_or(SegmentError::Damaged)?;
            (Places(*places), rest)
        };
        let step = u32::try_from(step >> 1).map_err(|_| SegmentError::Damaged)?;
        let letter = next.checked_add(step).ok_or(SegmentError::Damaged)?;
        found(letter, places);
        next = letter.checked_add(1).ok_or(SegmentError::Damaged)?;
        list = rest;
    }
    Ok(())
}

/// One term's list under way.
#[derive(Default)]
pub(crate) struct List {
    pub(crate) octets: Vec<u8>,
    next: u32,
}

impl List {
    /// Adds a letter above all before it.
    pub(crate) fn add(&mut self, letter: u32, places: Places) {
        let step = u64::from(letter.saturating_sub(self.next)) << 1;
        if places == Places::BODY {
            put_number(&mut self.octets, step | 1);
        } else {
            put_number(&mut self.octets, step);
            self.octets.push(places.0);
        }
        self.next = letter.saturating_add(1);
    }
}

/// Seven bits an octet, the lowest first; the top bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn number(octets: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut shift, mut rest) = (0, 0, octets);
    loop {
        let (octet, after) = rest.split_first()?;
        number |= u64::from(octet & 0x7f) << shift;
        rest = after;
        if octet & 0x80 == 0 {
            return Some((number, rest));
        }
        shift += 7;
        if shift > 35 {
            return None;
        }
    }
}
