//! Forks: a witness holds a checkpoint that this log signed and that its tree does not continue.
//!
//! Invariant: what a witness says alone stops nothing; this log's own signature under another
//! history stops it, on disk and over restarts, until an operator names every such checkpoint.
//! Nothing is signed meanwhile.
//! Refs: specs/log-entry.md §9; docs/adr/0007-fork.md; C2SP tlog-witness.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use custody::FieldId;
use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, SignedNote};
use vocab::{PersonId, Timestamp};

use super::files::{self, Files};
use super::keeper::{Item, Keeper, State, WitnessPeer, answer, recover};

/// How long a witness may take at the start of a cell, which waits for it.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why nothing is appended.
#[derive(Debug, thiserror::Error)]
#[error("the log is stopped: a witness holds another history that this log signed")]
pub(crate) struct Stopped;

/// Why a log did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    /// It is not stopped by this.
    #[error("the log is not stopped by this checkpoint")]
    Unknown,
    /// It could not be written.
    #[error("the log could not go on")]
    Failed(#[from] anyhow::Error),
}

/// A fork as it is kept, one file each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fork {
    /// The witness's name.
    witness: String,
    /// When it was found.
    found: u64,
    /// How many leaves this log had then, and the root over them.
    size: u64,
    root: String,
    /// The checkpoint the witness holds, with this log's signature.
    note: String,
    /// When an operator named it, giving up its history or having mended it.
    named: Option<u64>,
    /// When the log went on.
    resumed: Option<u64>,
}

impl Fork {
    fn theirs(&self) -> Result<Checkpoint> {
        let note = SignedNote::parse(self.note.as_bytes())?;
        Ok(Checkpoint::parse(note.text_unverified())?)
    }
}

/// What names a fork: the digest of the checkpoint's text, whoever signed it beside this log.
fn name(note: &SignedNote) -> String {
    seal::mac::sha256(&[note.text_unverified().as_bytes()]).to_string()
}

/// Every fork ever found, by name.
pub(super) struct Forks {
    folder: PathBuf,
    all: BTreeMap<String, Fork>,
}

impl Forks {
    /// Takes up every record in the folder. One that cannot be read stops the start: it may be
    /// what stops the log.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let mut all = BTreeMap::new();
        if folder.exists() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    let damaged = || format!("`{}` is damaged; restore it", path.display());
                    let octets = files::read_bounded(&path)?.with_context(damaged)?;
                    let fork: Fork = serde_json::from_slice(&octets).with_context(damaged)?;
                    let note = SignedNote::parse(fork.note.as_bytes()).with_context(damaged)?;
                    let name = name(&note);
                    anyhow::ensure!(path.file_stem() == Some(name.as_ref()), damaged());
                    all.insert(name, fork);
                }
            }
        }
        Ok(Self { folder, all })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopping().is_some()
    }

    /// What stops the log; first what nobody has named yet.
    fn stopping(&self) -> Option<(&String, &Fork)> {
        let open = self.unresumed();
        open.min_by_key(|(_, fork)| fork.named)
    }

    fn unresumed(&self) -> impl Iterator<Item = (&String, &Fork)> {
        self.all.iter().filter(|(_, fork)| fork.resumed.is_none())
    }

    /// Keeps a fork; in memory also if the disk does not take it.
    fn keep(&mut self, name: &str, fork: Fork) -> Result<()> {
        let path = self.folder.join(format!("{name}.json"));
        let octets = serde_json::to_vec_pretty(&fork)?;
        self.all.insert(name.to_owned(), fork);
        Ok(files::replace(&path, &octets)?)
    }
}

/// A stopped log, as its operator sees it.
pub(crate) struct Stop {
    /// What `resume` is to be given.
    pub(crate) name: String,
    pub(crate) witness: String,
    /// Seconds since 1970.
    pub(crate) found: u64,
    /// Leaves in the checkpoint that the witness holds.
    pub(crate) theirs: u64,
    /// Leaves in this log.
    pub(crate) ours: u64,
    /// Whether the log, restored, holds again what the witness saw.
    pub(crate) is_mended: bool,
}

impl Keeper {
    /// Asks each witness what it holds, before anything is signed: a log put back to an older
    /// state may bear the cosignatures of that time and would not ask by itself.
    pub(crate) async fn compare(&self) {
        for witness in &self.options.witnesses {
            let asked = tokio::time::timeout(COMPARE_TIMEOUT, self.stop_if_forked(witness)).await;
            let answer = asked.map_err(anyhow::Error::from).flatten();
            if let Err(error) = answer {
                let error = format!("{error:#}");
                tracing::info!(
                    witness = witness.name,
                    error,
                    "a witness shows no history that this log continues"
                );
            }
        }
    }

    /// What stops the log, if anything does.
    pub(crate) async fn stopped(&self) -> Option<Stop> {
        let state = self.state.lock().await;
        let (name, fork) = state.forks.stopping()?;
        let theirs = fork.theirs();
        let continues = |theirs| continues(&self.options.files, &state, theirs).unwrap_or(false);
        Some(Stop {
            name: name.clone(),
            witness: fork.witness.clone(),
            found: fork.found,
            theirs: theirs.as_ref().map_or(0, |theirs| theirs.size),
            ours: state.log.checkpoint().size,
            is_mended: theirs.as_ref().is_ok_and(continues),
        })
    }

    /// Lets a stopped log go on past a fork; false if another one stops it still. That each was
    /// named are the log's next leaves, after those that waited in the store.
    pub(crate) async fn resume(&self, named: &str, by: PersonId) -> Result<bool, ResumeError> {
        {
            let mut state = self.state.lock().await;
            let fork = state.forks.all.get(named).filter(|fork| fork.resumed.is_none());
            let mut fork = fork.cloned().ok_or(ResumeError::Unknown)?;
            fork.named = Some(self.options.clock.now().0);
            state.forks.keep(named, fork)?;
        }
        // Another witness may hold yet another history, and was not asked while the log stood.
        self.compare().await;
        let mut state = self.state.lock().await;
        if state.forks.unresumed().any(|(_, fork)| fork.named.is_none()) {
            return Ok(false);
        }
        let open: Vec<(String, Fork)> =
            state.forks.unresumed().map(|(name, fork)| (name.clone(), fork.clone())).collect();
        let acts = open.iter().map(|(name, fork)| resumed(name, fork, by));
        let acts = acts.collect::<Option<Vec<Item>>>().ok_or(ResumeError::Unknown)?;
        recover(&self.options, &mut state)?;
        self.append_to(&mut state, acts).await?;
        for (name, mut fork) in open {
            fork.resumed = Some(self.options.clock.now().0);
            tracing::warn!(fork = name, "the log goes on past a fork, by its operator's act");
            state.forks.keep(&name, fork)?;
        }
        Ok(true)
    }

    /// After a witness said that the log does not continue: stops the log if the witness shows a
    /// checkpoint that proves it. Otherwise the witness is mistaken or lies.
    pub(super) async fn stop_if_forked(&self, witness: &WitnessPeer) -> Result<()> {
        let key = self.key().await;
        let origin = seal::mac::sha256(&[key.name().as_bytes()]);
        let url = format!("{}/witness/{origin}/checkpoint", witness.url.trim_end_matches('/'));
        let (_, octets) = answer(self.http.get(url)).await?;
        let note = SignedNote::parse(&octets).context("it shows no checkpoint of this log")?;
        let theirs = Checkpoint::open(&note, &key).context("it shows nothing this log signed")?;
        let mut state = self.state.lock().await;
        if continues(&self.options.files, &state, &theirs)? {
            return Ok(());
        }
        let (name, ours) = (name(&note), state.log.checkpoint());
        match state.forks.all.get(&name) {
            Some(fork) if fork.named.is_some() => {
                bail!("the witness holds to a history that the operator gave up")
            }
            Some(_) => bail!(Stopped),
            None => {}
        }
        let fork = Fork {
            witness: witness.name.clone(),
            found: self.options.clock.now().0,
            size: ours.size,
            root: ours.root.to_string(),
            note: note.encode(),
            named: None,
            resumed: None,
        };
        tracing::error!(
            witness = witness.name,
            theirs = theirs.size,
            ours = ours.size,
            "the log has forked or lost leaves: it stops; see `bailiwick admin log`"
        );
        // Stopped in any case; if the disk does not take it, the next start finds it out anew.
        state.forks.keep(&name, fork).context("the fork could not be recorded")?;
        bail!(Stopped)
    }
}

/// That an operator named a fork, which is its leaf's subject.
fn resumed(name: &str, fork: &Fork, by: PersonId) -> Option<Item> {
    let digest: [u8; 32] = custody::hex::decode_array(name)?;
    let draft = custody::acts::staff_act(Timestamp(fork.named?), by, None, "log resumed");
    let draft = draft.with(FieldId::SUBJECT, &digest);
    Some(Item { draft, open_by: None, about: None })
}

/// Whether the log's tree begins with the whole tree of a checkpoint.
fn continues(files: &Files, state: &State, theirs: &Checkpoint) -> Result<bool> {
    let ours = state.log.checkpoint();
    if theirs.size > ours.size {
        return Ok(false);
    }
    let proof = tlog::consistency_proof(files, theirs.size, ours.size)?;
    let proven = tlog::verify_consistency(theirs.size, &theirs.root, ours.size, &ours.root, &proof);
    Ok(proven.is_ok())
}
