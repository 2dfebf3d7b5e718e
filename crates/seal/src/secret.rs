//! Octets that must not be seen.
//!
//! Invariant: a [`Secret`] is never printed, cloned or serialised, lives in the pages of
//! [`memory`](crate::memory) so that moving it leaves no copy behind, and is zeroed when dropped.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::entropy::Entropy;
use crate::memory::Cell;

/// `N` secret octets, at most 128.
pub struct Secret<const N: usize>(pub(crate) Cell<N>);

impl<const N: usize> Secret<N> {
    /// Takes over `bytes`, and zeroes them where they were.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self::copied(bytes);
        bytes.zeroize();
        secret
    }

    /// Copies `bytes`; the caller answers for the original.
    #[must_use]
    pub fn copied(bytes: &[u8; N]) -> Self {
        Self::filled(|out| out.copy_from_slice(bytes))
    }

    /// `N` octets of chance.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self::filled(|out| entropy.fill(out))
    }

    /// Octets written in place by `fill`.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut cell = Cell::new();
        fill(cell.octets_mut());
        Self(cell)
    }

    /// The octets themselves. Name what they are used for where this is called.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        self.0.octets()
    }

    /// Whether both hold the same octets, in time that does not depend on them.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Secret<64> {
    /// The two halves.
    pub(crate) fn halves(&self) -> (Secret<32>, Secret<32>) {
        let (low, high) = self.expose().split_at(32);
        (
            Secret::filled(|out| out.copy_from_slice(low)),
            Secret::filled(|out| out.copy_from_slice(high)),
        )
    }
}

/// Whether two equally long values are the same, in time that does not depend on them.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
