//! What the cell says of itself to its administrator.
//!
//! Invariant: public keys, names and counts; no address, no secret.

use super::Cell;
use crate::admin::protocol::{Answer, LogAnswer};
use crate::admin::server::Refusal;
use crate::identity::Identity;

impl Cell {
    /// The cell's identity, public keys and DNS records.
    pub(crate) fn describe(&self) -> Result<Answer, Refusal> {
        let identity = Identity::of(&self.config, &self.keys);
        let identity = identity.map_err(|error| Refusal::failed("no identity", &error))?;
        Ok(Answer::Cell { identity })
    }

    /// Where the log stands.
    pub(crate) async fn describe_log(&self) -> Result<Answer, Refusal> {
        let note = self.keeper.note().await;
        let checkpoint = tlog::Checkpoint::parse(note.text_unverified())
            .map_err(|error| Refusal::failed("the checkpoint could not be read", &error))?;
        Ok(Answer::Log(LogAnswer {
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root.to_string(),
            cosigned_by: self.keeper.cosigned_by().await,
            checkpoint: note.encode(),
        }))
    }

    /// Outbound letters, by number.
    pub(crate) fn describe_queue(&self) -> Result<Answer, Refusal> {
        let status = self.queue.status();
        Ok(Answer::Queue {
            waiting: u64::try_from(status.items).unwrap_or(u64::MAX),
            delivering: u64::try_from(status.in_flight).unwrap_or(u64::MAX),
        })
    }
}
