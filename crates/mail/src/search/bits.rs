//! A set of small numbers.
//!
//! Invariant: numbers outside its size are never in it.

/// A set of numbers below a size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// The empty set of numbers below `size`.
    pub(crate) fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    /// Adds a number; one outside the size is left out.
    pub(crate) fn add(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(place(number)) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether a number is in the set.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.0.get(place(number)).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Keeps what is in `other` too.
    pub(crate) fn keep(&mut self, other: &Self) {
        for (at, word) in self.0.iter_mut().enumerate() {
            *word &= other.0.get(at).copied().unwrap_or(0);
        }
    }

    /// Adds the numbers of `other`, each raised by `base`, a multiple of 64.
    pub(crate) fn add_from(&mut self, other: &Self, base: u32) {
        let words = self.0.iter_mut().skip(place(base));
        words.zip(&other.0).for_each(|(to, from)| *to |= from);
    }

    /// Whether nothing is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number / 64).unwrap_or(usize::MAX)
}
