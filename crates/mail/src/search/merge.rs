//! Makes one segment of several, without the letters that are gone.
//!
//! Invariant: a letter that stays has the same terms in the same places; a term whose letters
//! are all gone is gone. What is held is the segments' octets and the result's.
//! Refs: specs/search-index.md §5.

use core::iter::Peekable;

use super::build::Writer;
use super::segment::{Layout, List, Octets, PLACE_BYTES, SegmentError, each_letter, letters};
use super::term::TERM_END;

/// One segment, read whole.
struct Source {
    terms: Vec<u8>,
    places: Vec<u8>,
    lists: Vec<u8>,
    /// The new number of each of its letters, if it stays.
    numbers: Vec<Option<u32>>,
}

impl Source {
    fn read(from: &dyn Octets, layout: &Layout) -> Result<Self, SegmentError> {
        let terms = from.octets(layout.terms_start() + 1..layout.terms_end)?;
        let places = from.octets(layout.terms_end..layout.lists_start())?;
        let lists = from.octets(layout.lists_start()..layout.end)?;
        Ok(Self { terms, places, lists, numbers: Vec::new() })
    }

    fn list(&self, term: usize) -> Result<&[u8], SegmentError> {
        let width = usize::try_from(PLACE_BYTES).unwrap_or(4);
        let end = |term: usize| -> Option<usize> {
            let octets = self.places.get(term.checked_mul(width)?..)?.first_chunk()?;
            usize::try_from(u32::from_be_bytes(*octets)).ok()
        };
        let range = end(term).zip(end(term + 1));
        let list = range.and_then(|(start, end)| self.lists.get(start..end));
        list.ok_or(SegmentError::Damaged)
    }
}

/// The octets of the segment that holds what `sources` hold of the letters that `stays` says
/// stay; `None` if none does.
pub(crate) fn merge(
    sources: &[(&dyn Octets, Layout)],
    stays: impl Fn(u64) -> bool,
) -> Result<Option<Vec<u8>>, SegmentError> {
    let (mut read, mut kept) = (Vec::with_capacity(sources.len()), Vec::new());
    for (from, layout) in sources {
        let (rows, partial) = letters(*from, layout)?;
        let mut partial = partial.into_iter().peekable();
        let marked =
            (0..).zip(&rows).map(|(number, row)| (*row, partial.next_if_eq(&number).is_some()));
        let marked: Vec<(u64, bool)> = marked.collect();
        kept.extend(marked.iter().filter(|(row, _)| stays(*row)));
        read.push((Source::read(*from, layout)?, rows));
    }
    kept.sort_unstable();
    kept.dedup_by_key(|(row, _)| *row);
    if kept.is_empty() {
        return Ok(None);
    }
    let number = |row: &u64| {
        let at = kept.binary_search_by_key(row, |(row, _)| *row).ok()?;
        u32::try_from(at).ok()
    };
    let sources = read.into_iter().map(|(source, rows)| {
        let numbers = rows.iter().map(number).collect();
        Source { numbers, ..source }
    });
    join(&sources.collect::<Vec<_>>(), &kept).map(Some)
}

fn join(sources: &[Source], kept: &[(u64, bool)]) -> Result<Vec<u8>, SegmentError> {
    let mut terms: Vec<Peekable<_>> = sources
        .iter()
        .map(|source| {
            source.terms.split_inclusive(|octet| *octet == TERM_END).enumerate().peekable()
        })
        .collect();
    let mut writer = Writer::default();
    let mut found: Vec<(u32, u8)> = Vec::new();
    while let Some(least) = terms.iter_mut().filter_map(|terms| Some(terms.peek()?.1)).min() {
        found.clear();
        for (source, terms) in sources.iter().zip(&mut terms) {
            let Some((term, _)) = terms.next_if(|(_, term)| *term == least) else { continue };
            each_letter(source.list(term)?, |letter, places| {
                let number = usize::try_from(letter).ok().and_then(|at| source.numbers.get(at));
                found.extend(number.copied().flatten().map(|number| (number, places.0)));
            })?;
        }
        if found.is_empty() {
            continue;
        }
        found.sort_unstable();
        let mut list = List::default();
        for same in found.chunk_by(|one, next| one.0 == next.0) {
            let places = same.iter().fold(0, |all, (_, places)| all | places);
            if let Some((letter, _)) = same.first() {
                list.add(*letter, super::text::Places(places));
            }
        }
        writer.term(least.strip_suffix(&[TERM_END]).unwrap_or(least), &list.octets);
    }
    Ok(writer.finish(kept))
}

#[cfg(test)]
mod tests {
    use super::super::build::Builder;
    use super::super::text::Places;
    use super::*;

    fn built(letters: &[(u64, Places, &str)]) -> Vec<u8> {
        let mut builder = Builder::default();
        for (row, places, text) in letters {
            builder.letter(*row);
            builder.text(*places, text);
        }
        builder.finish()
    }

    fn merged(parts: &[Vec<u8>], stays: impl Fn(u64) -> bool) -> Option<Vec<u8>> {
        let sources: Vec<_> = parts
            .iter()
            .map(|part| (part as &dyn Octets, Layout::read(&part[..48]).unwrap()))
            .collect();
        merge(&sources, stays).unwrap()
    }

    #[test]
    fn merging_gives_what_building_at_once_would() {
        let all = [
            (1, Places::BODY, "one and another"),
            (2, Places::SUBJECT, "two and 東京"),
            (5, Places::BODY, "another again"),
            (9, Places::HEADER, "x-one: last"),
        ];
        let parts = [built(&[all[0], all[2]]), built(&[all[1]]), built(&[all[3]])];
        assert_eq!(merged(&parts, |_| true), Some(built(&all)));
        assert_eq!(merged(&parts, |row| row != 2), Some(built(&[all[0], all[2], all[3]])));
        assert_eq!(merged(&parts, |_| false), None);
    }

    #[test]
    fn a_letter_that_is_gone_leaves_no_term() {
        let parts = [built(&[(1, Places::BODY, "stays"), (2, Places::BODY, "secret")])];
        let left = merged(&parts, |row| row == 1).unwrap();
        assert!(!left.windows(6).any(|seen| seen == b"secret"));
    }
}
