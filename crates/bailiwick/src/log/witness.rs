//! What this cell has seen of other cells' logs, and its cosignature under it.
//!
//! Invariant: one lock is held from judging a checkpoint until its record is on disk, so a
//! cosignature never leaves for a tree this cell could forget.
//! Refs: C2SP tlog-witness.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use tlog::{Answer, Outcome, Witness};
use vocab::{Digest, Timestamp};

use super::files;

/// The witness and the folder it remembers in, one file for each log.
pub(crate) struct WitnessKeeper {
    witness: Mutex<Witness>,
    folder: PathBuf,
}

impl WitnessKeeper {
    /// Takes up every record in the folder.
    pub(crate) fn open(mut witness: Witness, folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "checkpoint") {
                let record = files::read_bounded(&path)?.context("the record vanished")?;
                witness
                    .restore(&record)
                    .with_context(|| format!("`{}` is damaged", path.display()))?;
            }
        }
        Ok(Self { witness: Mutex::new(witness), folder })
    }

    /// The last checkpoint cosigned for the log whose origin has this digest.
    pub(crate) fn checkpoint(&self, origin: &Digest) -> Option<String> {
        self.witness.lock().ok()?.checkpoint(origin)
    }

    /// Judges `add-checkpoint` and answers once the new record is on disk.
    pub(crate) fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> io::Result<Answer> {
        let mut witness =
            self.witness.lock().map_err(|_| io::Error::other("the witness has stopped"))?;
        match witness.add_checkpoint(body, now) {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Persist(pending) => {
                let record = pending.record();
                let path = self.folder.join(format!("{}.checkpoint", record.key()));
                files::replace(&path, record.note.encode().as_bytes())?;
                Ok(witness.persisted(*pending))
            }
        }
    }
}
