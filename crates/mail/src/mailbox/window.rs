//! What was expunged and is not purged yet, as an open account holds it in memory.
//!
//! Invariant: the number of such a row says in the clear on which day it is purged and which body
//! it names, and nothing else of it.
//! Refs: specs/mail-rows.md §7.

use std::collections::{BTreeMap, HashMap};

/// The upper bits of a row's number are the day.
const DAY_SHIFT: u32 = 48;
/// In its lower bits: the owner put the body here.
const OWN_HERE: u64 = 1 << 47;
/// The same, in the number of the body's row.
const OWN: u64 = 1 << 63;

/// Expunged messages of one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expunged {
    /// Octets of the letter.
    pub(crate) size: u32,
    /// Whether the cell purged it, and only a husk is left.
    pub(crate) is_husk: bool,
}

/// The number of the row in which a letter's messages are purged on `day`; `None` if it is beyond
/// what a number holds.
pub(crate) fn row_of(day: u32, letter_row: u64) -> Option<u64> {
    let own = if letter_row & OWN == 0 { 0 } else { OWN_HERE };
    let number = letter_row & !OWN;
    let fits = number < OWN_HERE && u16::try_from(day).is_ok();
    fits.then_some(u64::from(day) << DAY_SHIFT | own | number)
}

/// The day on which a row is purged, since 1970.
pub(crate) fn day_of(row: u64) -> u32 {
    u32::try_from(row >> DAY_SHIFT).unwrap_or(u32::MAX)
}

/// The row of the body that a row names.
pub(crate) fn letter_of(row: u64) -> u64 {
    let own = if row & OWN_HERE == 0 { 0 } else { OWN };
    own | row & (OWN_HERE - 1)
}

/// All of them, by row: those purged first come first.
#[derive(Debug, Default)]
pub(crate) struct Window {
    rows: BTreeMap<u64, Expunged>,
    /// How many rows name each body.
    letters: HashMap<u64, u32>,
}

impl Window {
    pub(crate) fn insert(&mut self, row: u64, expunged: Expunged) {
        if self.rows.insert(row, expunged).is_none() {
            *self.letters.entry(letter_of(row)).or_insert(0) += 1;
        }
    }

    pub(crate) fn remove(&mut self, row: u64) {
        if self.rows.remove(&row).is_some()
            && let Some(named) = self.letters.get_mut(&letter_of(row))
        {
            *named = named.saturating_sub(1);
            if *named == 0 {
                self.letters.remove(&letter_of(row));
            }
        }
    }

    pub(crate) fn row(&self, row: u64) -> Option<&Expunged> {
        self.rows.get(&row)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, &Expunged)> {
        self.rows.iter().map(|(row, expunged)| (*row, expunged))
    }

    /// How many rows name a body.
    pub(crate) fn names(&self, letter_row: u64) -> u32 {
        self.letters.get(&letter_row).copied().unwrap_or(0)
    }

    /// What was purged before its day: nobody may do that.
    pub(crate) fn has_early_husk(&self, today: u32) -> bool {
        self.rows.iter().any(|(row, expunged)| expunged.is_husk && day_of(*row) > today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_its_day_and_its_letter() {
        for letter in [1, (1 << 47) - 1, OWN | 5] {
            let row = row_of(20_778, letter).unwrap();
            assert_eq!((day_of(row), letter_of(row)), (20_778, letter));
        }
        assert_eq!(row_of(20_778, 1 << 47), None);
        assert_eq!(row_of(1 << 16, 1), None);
        assert!(row_of(2, 1).unwrap() > row_of(1, u64::from(u32::MAX)).unwrap());
    }

    #[test]
    fn a_body_is_named_as_often_as_there_are_rows() {
        let mut window = Window::default();
        let expunged = Expunged { size: 1, is_husk: false };
        let rows = [row_of(1, 9).unwrap(), row_of(2, 9).unwrap()];
        window.insert(rows[0], expunged);
        window.insert(rows[0], expunged);
        window.insert(rows[1], expunged);
        assert_eq!(window.names(9), 2);
        window.remove(rows[0]);
        window.remove(rows[0]);
        assert_eq!(window.names(9), 1);
        window.remove(rows[1]);
        assert_eq!(window.names(9), 0);
    }
}
