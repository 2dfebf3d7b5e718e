//! What the log's administrator sees of it, and the one thing to be decided about it.
//!
//! Invariant: while the log is stopped nothing that belongs into it is done, but that demands are
//! received and letters preserved; that it goes on is itself a leaf.
//! Refs: specs/log-entry.md §9; docs/adr/0007-fork.md.

use super::{ADMINISTRATOR, Cell};
use crate::admin::protocol::{Answer, LogAnswer, StoppedLog};
use crate::admin::server::Refusal;
use crate::log::{LogStop, ResumeError};

const SEE_LOG: &str = "`bailiwick admin log` says what happened and what to do";

impl Cell {
    /// Where the log stands.
    pub(crate) async fn describe_log(&self) -> Result<Answer, Refusal> {
        let note = self.keeper.note().await;
        let checkpoint = tlog::Checkpoint::parse(note.text_unverified())
            .map_err(|error| Refusal::failed("the checkpoint could not be read", &error))?;
        let unlogged = self.desk.unlogged()?;
        let (writable, set_aside): (Vec<_>, Vec<_>) =
            unlogged.iter().partition(|one| one.draft.check(one.open_by.is_some()).is_ok());
        let waiting = writable.iter().filter(|one| one.open_by.is_some()).count();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Answer::Log(LogAnswer {
            origin: checkpoint.origin,
            size: checkpoint.size,
            root: checkpoint.root.to_string(),
            cosigned_by: self.keeper.cosigned_by().await,
            refusals: self.keeper.refusals().await,
            checkpoint: note.encode(),
            waiting: count(waiting),
            batch: self.config.log.sealed_batch.into(),
            set_aside: count(set_aside.len()),
            stopped: self.keeper.stopped().await.map(|stop| stopped_log(stop, unlogged.len())),
        }))
    }

    /// Refuses while the log is stopped.
    pub(crate) async fn log_goes_on(&self) -> Result<(), Refusal> {
        match self.keeper.stopped().await {
            None => Ok(()),
            Some(_) => {
                Err(Refusal::new("the log is stopped, and with it whatever it records", SEE_LOG))
            }
        }
    }

    /// Lets the log go on past a fork; the operator's act. Answers where the log stands if another
    /// fork stops it still.
    pub(crate) async fn resume_log(&self, fork: &str) -> Result<Answer, Refusal> {
        match self.keeper.resume(fork, ADMINISTRATOR).await {
            Ok(true) => {
                self.log_desk_now().await?;
                Ok(Answer::Done)
            }
            Ok(false) => self.describe_log().await,
            Err(ResumeError::Unknown) => {
                Err(Refusal::new("the log is not stopped by this fork", SEE_LOG))
            }
            Err(ResumeError::Failed(error)) => {
                Err(Refusal::failed("the log could not go on", &format!("{error:#}")))
            }
        }
    }
}

fn stopped_log(stop: LogStop, waiting: usize) -> StoppedLog {
    let LogStop { name, witness, found, theirs, ours, is_mended } = stop;
    let mut cure = if is_mended {
        format!("the log holds again what {witness} saw: `bailiwick admin log resume {name}`")
    } else {
        format!(
            "stop the cell, restore its data folder from the newest backup whose log has {theirs} \
             leaves or more, start, and ask again here. If there is none, `bailiwick admin log \
             resume {name}` goes on with another history: the log says so for ever, {witness} \
             never cosigns it again, and holders and courts must be told why"
        )
    };
    if waiting > 0 && !is_mended {
        cure.push_str(&format!(
            ". {waiting} acts of the desk wait for the log: demands received and letters preserved \
             since are in no backup, and would have to be entered anew"
        ));
    }
    StoppedLog { fork: name, witness, found, theirs, ours, cure }
}
