//! Leave to go on: a session's, until its unlocker is taken away.
//!
//! Invariant: a pass is issued before it is checked that its unlocker is still there, so that no
//! session outlives a revocation that came between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use vocab::{AccountId, SlotId};

/// Ends with its unlocker.
#[derive(Clone)]
pub struct Pass(watch::Receiver<()>);

impl Pass {
    /// Resolves when the unlocker is taken away. May be dropped and asked again.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes.
        while self.0.changed().await.is_ok() {}
    }

    /// Whether the unlocker was taken away.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

/// Every pass whose session goes on.
#[derive(Default)]
pub(super) struct Passes(Mutex<HashMap<(AccountId, SlotId), watch::Sender<()>>>);

impl Passes {
    pub(super) fn issue(&self, account: AccountId, slot: SlotId) -> Pass {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, sender| sender.receiver_count() > 0);
        Pass(held.entry((account, slot)).or_insert_with(|| watch::Sender::new(())).subscribe())
    }

    /// Ends the account's passes whose unlocker does not `stay`.
    pub(super) fn keep(&self, account: AccountId, stays: impl Fn(SlotId) -> bool) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(of, slot), _| *of != account || stays(*slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_ends_with_its_unlocker_and_with_no_other() {
        let passes = Passes::default();
        let (account, other) = (AccountId([1; 16]), AccountId([2; 16]));
        let (gone, stays) = (SlotId([3; 16]), SlotId([4; 16]));
        let mut ended = [passes.issue(account, gone), passes.issue(account, gone)];
        let going_on = [passes.issue(account, stays), passes.issue(other, gone)];
        passes.keep(account, |slot| slot == stays);
        for pass in &mut ended {
            assert!(pass.is_over());
            pass.ended().await;
        }
        assert!(!going_on.iter().any(Pass::is_over));
        // Given again under the same number, it is another pass.
        assert!(!passes.issue(account, gone).is_over() && ended[0].is_over());
    }
}
