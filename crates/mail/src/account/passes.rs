//! Leave to go on: a session's, until its unlocker is taken away.
//!
//! Invariant: a pass is issued before it is checked that its unlocker is still there, so that no
//! session outlives a revocation that came between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use custody::user::SessionId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use vocab::{AccountId, SlotId};

/// Ends with its unlocker, and with its session's time.
#[derive(Clone)]
pub struct Pass {
    goes_on: watch::Receiver<()>,
    until: Option<Instant>,
}

impl Pass {
    /// Resolves when the unlocker is taken away, or the time is over. May be dropped and asked
    /// again.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes.
        let gone = async { while self.goes_on.changed().await.is_ok() {} };
        match self.until {
            None => gone.await,
            Some(until) => tokio::select! { () = gone => {}, () = sleep_until(until) => {} },
        }
    }

    /// Whether the unlocker was taken away, or the time is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_late = self.until.is_some_and(|until| until <= Instant::now());
        is_late || self.goes_on.has_changed().is_err()
    }
}

/// Whose a pass is: an unlocker's, or of a session that one granted under a master key of that
/// generation.
type Holder = (AccountId, SlotId, Option<(SessionId, u32)>);

/// Every pass whose session goes on.
#[derive(Default)]
pub(super) struct Passes(Mutex<HashMap<Holder, watch::Sender<()>>>);

impl Passes {
    pub(super) fn issue(&self, account: AccountId, slot: SlotId) -> Pass {
        self.issue_to((account, slot, None), None)
    }

    /// For a granted session, which ends after so many seconds.
    pub(super) fn issue_session(
        &self,
        account: AccountId,
        slot: SlotId,
        session: (SessionId, u32),
        seconds: u64,
    ) -> Pass {
        let until = Instant::now().checked_add(Duration::from_secs(seconds));
        self.issue_to((account, slot, Some(session)), until)
    }

    fn issue_to(&self, holder: Holder, until: Option<Instant>) -> Pass {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, sender| sender.receiver_count() > 0);
        let sender = held.entry(holder).or_insert_with(|| watch::Sender::new(()));
        Pass { goes_on: sender.subscribe(), until }
    }

    /// Ends the account's passes whose unlocker does not `stay`.
    pub(super) fn keep(&self, account: AccountId, stays: impl Fn(SlotId) -> bool) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(of, slot, _), _| *of != account || stays(*slot));
    }

    /// Ends the account's granted sessions of other generations.
    pub(super) fn keep_generation(&self, account: AccountId, generation: u32) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(of, _, session), _| {
            *of != account || session.is_none_or(|(_, made)| made == generation)
        });
    }

    /// Ends one session.
    pub(super) fn end_session(&self, account: AccountId, session: &SessionId) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(of, _, known), _| {
            *of != account || known.is_none_or(|(known, _)| known != *session)
        });
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
