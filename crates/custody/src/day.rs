//! What all accounts had come to on a day: a line each, under one digest that the log vouches for.
//!
//! Invariant: of two lines of an account the later is told, pin by pin; the digest hides every line
//! from who does not have its salt.
//! Refs: specs/cell-rows.md §9; specs/log-entry.md §8.

use crate::pin::Pin;
use seal::mac::Sha256;
use vocab::{AccountId, Digest};

/// Octets of an encoded [`DayLine`].
pub const DAY_LINE_OCTETS: usize = 96;

/// What one account had come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayLine {
    /// Whose it is.
    pub account: AccountId,
    /// Its keystore.
    pub keystore: Pin,
    /// Its rows.
    pub rows: Pin,
}

impl DayLine {
    /// Its [`DAY_LINE_OCTETS`] octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { account, keystore, rows } = self;
        let mut out = account.0.to_vec();
        for pin in [keystore, rows] {
            out.extend_from_slice(&pin.number.to_be_bytes());
            out.extend_from_slice(&pin.digest.0);
        }
        out
    }

    /// The line these octets are; `None` if they are none.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (account, rest) = octets.split_first_chunk::<16>()?;
        let (keystore, rest) = pin(rest)?;
        let (rows, rest) = pin(rest)?;
        rest.is_empty().then_some(Self { account: AccountId(*account), keystore, rows })
    }

    /// The later of what two lines say of an account.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        let later = |one: Pin, two: Pin| if two.number > one.number { two } else { one };
        let keystore = later(self.keystore, other.keystore);
        Self { keystore, rows: later(self.rows, other.rows), ..self }
    }
}

fn pin(octets: &[u8]) -> Option<(Pin, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<8>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    Some((Pin { number: u64::from_be_bytes(*number), digest: Digest(*digest) }, rest))
}

/// The digest of a day's encoded lines, ascending by account.
#[must_use]
pub fn day_digest<'a>(salt: &[u8; 32], lines: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"bailiwick.v1 day\0");
    hash.update(salt);
    lines.for_each(|line| hash.update(line));
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_a_cut_one_is_none() {
        let one = |number, digest| Pin { number, digest: Digest([digest; 32]) };
        let line = DayLine { account: AccountId([1; 16]), keystore: one(3, 2), rows: one(9, 4) };
        let octets = line.encode();
        assert_eq!(octets.len(), DAY_LINE_OCTETS);
        assert_eq!(DayLine::decode(&octets), Some(line));
        assert_eq!(octets.split_last().and_then(|(_, cut)| DayLine::decode(cut)), None);
        let other = DayLine { keystore: one(4, 5), rows: one(8, 6), ..line };
        assert_eq!(line.later(other), DayLine { keystore: one(4, 5), ..line });
    }
}
