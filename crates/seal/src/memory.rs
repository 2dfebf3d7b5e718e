//! Where secrets live: cells in pages that are locked, out of dumps, and, where the kernel can,
//! out of every other reader's reach.
//!
//! One arena for the process. It grows by regions up to [`OCTETS_MAX`] or to what the host lets
//! be locked, and gives nothing back: what is freed is zeroed and used again. A secret that finds
//! no room is kept in ordinary memory, zeroed too, and counted: whoever unlocks accounts asks
//! [`reserve`] before, and refuses.
//!
//! Invariant: a cell is a unique borrow of its octets, handed out and taken back whole, so that
//! no two secrets share one and none is given back twice; the compiler says so, but for the
//! mapping itself, which is in `pages`.
//! Refs: docs/adr/0013-memory.md; memfd_secret(2), mlock(2), madvise(2).

mod pages;

use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::{Zeroize as _, Zeroizing};

/// Most octets of all regions together.
pub const OCTETS_MAX: usize = 64 << 20;
/// Octets of one region, of whole pages of any size.
const REGION: usize = 128 << 10;
/// Octets of the sizes of cell: a key's, two keys', and whatever is longer's.
const SIZES: [usize; 3] = [32, 64, CELL_OCTETS_MAX];
/// Octets of the longest secret.
pub(crate) const CELL_OCTETS_MAX: usize = 128;

/// What keeps other readers from the pages of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Out of the kernel's own map: neither `/proc/PID/mem`, a core dump, a swapped page nor a
    /// read by another process has them (`memfd_secret`, Linux 5.14).
    Hidden,
    /// Locked against swapping, left out of core dumps and of children; root can read them.
    Locked,
}

/// How the secrets of this process are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The weakest protection any region has; `None` if the host gives no protected page at all.
    pub protection: Option<Protection>,
    /// Octets of all regions.
    pub octets: usize,
    /// Secrets in protected pages now.
    pub held: usize,
    /// Secrets that found no room there since the start, and were kept in ordinary memory.
    pub outside: u64,
}

/// The arena of this process.
static ARENA: Mutex<Arena> = Mutex::new(Arena::new(OCTETS_MAX));

fn arena() -> MutexGuard<'static, Arena> {
    // A thread that died in here died between whole steps: nothing in an arena can panic.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How secrets are kept now. The first region is mapped if none was.
#[must_use]
pub fn standing() -> Standing {
    let mut arena = arena();
    if arena.octets == 0 {
        arena.grow(0);
    }
    arena.standing()
}

/// Whether that many secrets, of whatever length, find room in protected pages, which are mapped
/// if need be. They are not kept for the caller: ask for more than is needed.
///
/// Where the host gives no protected page at all there is nothing to run out of: yes.
#[must_use]
pub fn reserve(secrets: usize) -> bool {
    arena().reserve(secrets)
}

/// Runs `work` and overwrites the stack it ran on, `OCTETS` deep: the libraries move keys about
/// in their frames and leave them there.
pub(crate) fn scrubbed<const OCTETS: usize, T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    scrub::<OCTETS>();
    done
}

/// Never inlined, so that its frames are where [`scrub`]'s will be.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn scrub<const OCTETS: usize>() {
    let mut octets = [0_u8; OCTETS];
    core::hint::black_box(&mut octets);
}

struct Arena {
    /// Cells nobody has, zeroed, by size.
    free: [Vec<&'static mut [u8]>; 3],
    octets: usize,
    octets_max: usize,
    protection: Option<Protection>,
    /// The host has refused a region. It is asked again when one is reserved.
    refused: bool,
    held: usize,
    outside: u64,
}

impl Arena {
    const fn new(octets_max: usize) -> Self {
        Self {
            free: [const { Vec::new() }; 3],
            octets: 0,
            octets_max,
            protection: None,
            refused: false,
            held: 0,
            outside: 0,
        }
    }

    fn standing(&self) -> Standing {
        let Self { protection, octets, held, outside, .. } = *self;
        Standing { protection, octets, held, outside }
    }

    /// The cells that `octets` fit in, and how long they are.
    fn free(&mut self, octets: usize) -> Option<(usize, &mut Vec<&'static mut [u8]>)> {
        SIZES.into_iter().zip(&mut self.free).find(|(size, _)| octets <= *size)
    }

    /// Maps one more region and cuts it into cells for `octets`.
    fn grow(&mut self, octets: usize) -> bool {
        self.refused = true;
        let after = self.octets.saturating_add(REGION);
        if after > self.octets_max {
            return false;
        }
        let mut kinds = [Protection::Hidden, Protection::Locked].into_iter();
        let mapped = kinds.find_map(|kind| Some((pages::map(REGION, kind)?, kind)));
        let Some((region, protection)) = mapped else { return false };
        let Some((size, free)) = self.free(octets) else { return false };
        free.extend(region.chunks_exact_mut(size));
        let is_weaker = self.protection == Some(Protection::Locked);
        self.protection = Some(if is_weaker { Protection::Locked } else { protection });
        (self.octets, self.refused) = (after, false);
        true
    }

    fn reserve(&mut self, secrets: usize) -> bool {
        // The longest are soon given back: a few do.
        SIZES.into_iter().zip([secrets, secrets, secrets.min(8)]).all(|(size, wanted)| {
            while self.free(size).is_some_and(|(_, free)| free.len() < wanted) {
                if !self.grow(size) {
                    return self.octets == 0;
                }
            }
            true
        })
    }

    /// A zeroed cell of at least that many octets; `None` if there is no room.
    fn take(&mut self, octets: usize) -> Option<&'static mut [u8]> {
        let (_, free) = self.free(octets)?;
        let cell = match free.pop() {
            None if !self.refused && self.grow(octets) => self.free(octets)?.1.pop(),
            found => found,
        };
        if cell.is_some() {
            self.held += 1;
        } else {
            self.outside = self.outside.saturating_add(1);
        }
        cell
    }

    /// Takes a cell back.
    fn put(&mut self, cell: &'static mut [u8]) {
        cell.zeroize();
        self.held = self.held.saturating_sub(1);
        if let Some((_, free)) = self.free(cell.len()) {
            free.push(cell);
        }
    }
}

/// `N` octets, zeroed when dropped. They do not move when this does.
pub(crate) enum Cell<const N: usize> {
    /// In the arena. At least `N` octets until it is dropped.
    Kept(&'static mut [u8]),
    /// On the heap, because the arena had no room.
    Outside(Box<Zeroizing<[u8; N]>>),
}

impl<const N: usize> Cell<N> {
    /// `N` zeros.
    pub(crate) fn new() -> Self {
        const { assert!(N <= CELL_OCTETS_MAX, "no cell is as long") };
        match arena().take(N) {
            Some(cell) => Self::Kept(cell),
            None => Self::Outside(Box::new(Zeroizing::new([0; N]))),
        }
    }

    #[expect(clippy::expect_used, reason = "INVARIANT: `new` took a cell of N octets or more")]
    pub(crate) fn octets(&self) -> &[u8; N] {
        match self {
            Self::Kept(cell) => cell.first_chunk().expect("a cell has N octets"),
            Self::Outside(octets) => octets,
        }
    }

    #[expect(clippy::expect_used, reason = "INVARIANT: `new` took a cell of N octets or more")]
    pub(crate) fn octets_mut(&mut self) -> &mut [u8; N] {
        match self {
            Self::Kept(cell) => cell.first_chunk_mut().expect("a cell has N octets"),
            Self::Outside(octets) => octets,
        }
    }
}

impl<const N: usize> Drop for Cell<N> {
    fn drop(&mut self) {
        if let Self::Kept(cell) = self {
            arena().put(core::mem::take(cell));
        }
    }
}

#[cfg(test)]
mod tests;
