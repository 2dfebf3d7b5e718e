//! Work for one account on several cores, for whoever waits for it on a blocking thread.
//!
//! Invariant: one account takes at most [`THREADS_MAX`] threads at a time, whatever the host has:
//! others log in too. Where no thread is to be had, the caller's own does it all.
//! Refs: docs/bench.md.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, available_parallelism, scope};

/// How many threads work for one account.
const THREADS_MAX: usize = 8;

/// How many threads work for one account on this host.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

/// Does every one of `pieces`; gives what came of each, in order. `None` if a thread died.
pub(crate) fn share<T: Send>(pieces: usize, work: impl Fn(usize) -> T + Sync) -> Option<Vec<T>> {
    let next = AtomicUsize::new(0);
    let take = || {
        let pieces = core::iter::from_fn(|| {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            (piece < pieces).then(|| (piece, work(piece)))
        });
        pieces.collect::<Vec<_>>()
    };
    let done = scope(|scope| {
        let others = 1..threads().min(pieces);
        let others = others.filter_map(|_| Builder::new().spawn_scoped(scope, take).ok());
        let others: Vec<_> = others.collect();
        let mut done = vec![Some(take())];
        done.extend(others.into_iter().map(|other| other.join().ok()));
        done.into_iter().collect::<Option<Vec<_>>>()
    })?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(piece, _)| *piece);
    Some(done.into_iter().map(|(_, done)| done).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_pieces_is_in_their_order() {
        for pieces in [0, 1, 2, 100] {
            let squares: Vec<_> = (0..pieces).map(|piece| piece * piece).collect();
            assert_eq!(share(pieces, |piece| piece * piece), Some(squares));
        }
    }
}
