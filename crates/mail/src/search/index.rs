//! All segments of an account, as one session asks them.
//!
//! Invariant: a letter has a number only if a segment holds it; what has none, or is marked as
//! indexed in part, is never answered for.
//! Refs: specs/search-index.md §4.

use std::sync::Arc;

use store::Read;
use vocab::AccountId;

use super::bits::Bits;
use super::sealed::{Sealed, SegmentRow};
use super::segment::{HEADER_BYTES, Layout, Octets as _, SegmentError, find, letters};
use super::term::Pieces;
use super::text::Places;

/// One segment, open.
pub(crate) struct Segment {
    /// The epoch of its letters.
    pub(crate) epoch: u32,
    pub(crate) entry: SegmentRow,
    pub(crate) sealed: Sealed,
    pub(crate) layout: Layout,
    /// The rows of its letters' bodies, ascending.
    pub(crate) rows: Vec<u64>,
    partial: Vec<u32>,
}

impl Segment {
    /// Opens a segment and reads which letters it holds.
    pub(crate) fn open(
        read: &Read,
        account: AccountId,
        epoch: u32,
        entry: SegmentRow,
    ) -> Result<Self, SegmentError> {
        let sealed = Sealed::open(read, account, &entry)?;
        let layout = Layout::read(&sealed.octets(0..HEADER_BYTES)?)?;
        if layout.end != entry.octets {
            return Err(SegmentError::Damaged);
        }
        let (rows, partial) = letters(&sealed, &layout)?;
        Ok(Self { epoch, entry, sealed, layout, rows, partial })
    }
}

/// What the index says of one text.
pub(crate) struct Answer {
    letters: Bits,
    exact: bool,
}

/// The index of an account as it stood at one time.
#[derive(Default)]
pub(crate) struct Index {
    /// Each with the number of its first letter, a multiple of 64.
    segments: Vec<(u32, Arc<Segment>)>,
    /// The number of each letter, ascending by the row of its body.
    numbers: Vec<(u64, u32)>,
    partial: Bits,
    size: usize,
}

impl Index {
    /// The index these segments make.
    pub(crate) fn of(segments: Vec<Arc<Segment>>) -> Self {
        let (mut index, mut base) = (Self::default(), 0_u32);
        let mut partial = Vec::new();
        for segment in segments {
            let numbered = segment.rows.iter().copied().zip(base..);
            index.numbers.extend(numbered);
            partial.extend(segment.partial.iter().map(|number| base.saturating_add(*number)));
            let next = base.saturating_add(segment.layout.letters).next_multiple_of(64);
            index.segments.push((base, segment));
            base = next;
        }
        index.numbers.sort_unstable();
        index.size = usize::try_from(base).unwrap_or(usize::MAX);
        index.partial = Bits::new(index.size);
        partial.into_iter().for_each(|number| index.partial.add(number));
        index
    }

    /// The segments.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().map(|(_, segment)| segment)
    }

    /// The number of the letter whose body has this row. `near` is kept from call to call:
    /// whoever asks in the order of rows is answered at once.
    pub(crate) fn number(&self, row: u64, near: &mut usize) -> Option<u32> {
        let follows = self.numbers.get(*near).filter(|(at, _)| *at == row);
        if follows.is_none() {
            *near = self.numbers.partition_point(|(at, _)| *at < row);
        }
        let (at, number) = self.numbers.get(*near)?;
        if *at != row {
            return None;
        }
        *near += 1;
        Some(*number)
    }

    /// What is known of a text in one of these places; `None` if the index has no term for it.
    ///
    /// # Errors
    /// The segment that does not read, and why.
    pub(crate) fn ask(
        &self,
        pieces: &Pieces,
        places: Places,
    ) -> Result<Option<Answer>, (u64, SegmentError)> {
        if pieces.all.is_empty() {
            return Ok(None);
        }
        let mut letters = Bits::new(self.size);
        for (base, segment) in &self.segments {
            let found = find(&segment.sealed, &segment.layout, &pieces.all, places);
            letters.add_from(&found.map_err(|error| (segment.entry.row, error))?, *base);
        }
        Ok(Some(Answer { letters, exact: pieces.exact }))
    }

    /// Whether a letter has the text, if the index can say.
    pub(crate) fn says(&self, answer: &Answer, number: u32) -> Option<bool> {
        match (self.partial.has(number), answer.letters.has(number)) {
            (true, _) => None,
            (false, false) => Some(false),
            (false, true) => answer.exact.then_some(true),
        }
    }
}
