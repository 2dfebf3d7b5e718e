//! Chance, handed in.
//!
//! Invariant: this crate never asks the operating system for randomness itself; only the
//! binary does, through its implementation of [`Entropy`].

use core::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// A source of uniformly random octets fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills `out` completely. A source that cannot must stop the process, not return.
    fn fill(&self, out: &mut [u8]);
}

/// Draws `N` octets.
pub(crate) fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}

/// An [`Entropy`] in the shape the `hpke` and `vsss-rs` crates ask for.
pub(crate) struct Draw<'a>(pub(crate) &'a dyn Entropy);

impl TryRng for Draw<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(draw(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(draw(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Draw<'_> {}
