//! What the cell says of itself to its administrator.
//!
//! Invariant: public keys, names and counts; no address, no secret.

use super::Cell;
use crate::admin::protocol::{Answer, QueueAnswer};
use crate::admin::server::Refusal;
use crate::clock;
use crate::identity::Identity;
use crate::memory::MemoryAnswer;

impl Cell {
    /// The cell's identity, public keys and DNS records, and how its keys are kept.
    pub(crate) fn describe(&self) -> Result<Answer, Refusal> {
        let identity = Identity::of(&self.config, &self.keys);
        let identity = identity.map_err(|error| Refusal::failed("no identity", &error))?;
        Ok(Answer::Cell { identity, memory: MemoryAnswer::now() })
    }

    /// Outbound letters, by number.
    pub(crate) fn describe_queue(&self) -> Answer {
        let status = self.queue.status();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let now = clock::now().0;
        Answer::Queue(QueueAnswer {
            waiting: count(status.items),
            delivering: count(status.in_flight),
            deferred: count(status.deferred),
            oldest_seconds: status.oldest.map(|at| now.saturating_sub(at.0)),
            next_seconds: status.next_attempt.map(|at| at.0.saturating_sub(now)),
        })
    }

    /// Makes every outbound letter due now.
    pub(crate) fn flush_queue(&self) -> Answer {
        self.queue.flush();
        self.describe_queue()
    }
}
