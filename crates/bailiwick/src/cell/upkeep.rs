//! The store of the running cell examined and backed up, without a key.
//!
//! Invariant: what the log has in a backup, the store has in it: the log's files are read first.
//! Refs: specs/backup.md §3, §5.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::backup::{BackupError, Beside, Source};

use super::{ADMINISTRATOR, Cell};
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;
use crate::log::Item;
use crate::upkeep::Restored;

fn failed(what: &str, error: impl Into<anyhow::Error>) -> Refusal {
    Refusal::failed(what, &format!("{:#}", error.into()))
}

/// Why no backup was made, and what the operator can do.
fn not_backed_up(error: anyhow::Error) -> Refusal {
    let cure = match error.downcast_ref() {
        Some(BackupError::NotABackup) => "name a new or empty folder, or that of earlier backups",
        Some(BackupError::Another) => "name a new folder: this one keeps what it has",
        Some(BackupError::Io(_)) => "see that it is a folder the cell can write, with room",
        _ => return failed("no backup was made", error),
    };
    Refusal { cure: cure.into(), ..failed("no backup was made", error) }
}

impl Cell {
    /// Examines the store while it runs.
    pub(crate) async fn check_store(self: &Arc<Self>) -> Result<Answer, Refusal> {
        let store = self.store.clone();
        let found = tokio::task::spawn_blocking(move || store.examine_blocking()).await;
        let found = found.map_err(|error| failed("the examination broke off", error))?;
        let found = found.map_err(|error| failed("the store could not be examined", error))?;
        Ok(Answer::Store(found.into()))
    }

    /// Adds a point to the backup in `to`, and keeps the newest `keep`.
    pub(crate) async fn back_up(self: &Arc<Self>, to: &str, keep: u32) -> Result<Answer, Refusal> {
        let to = PathBuf::from(to);
        if !to.is_absolute() {
            return Err(Refusal::new("not an absolute path", "name the whole path"));
        }
        let data = self.config.cell.data.clone();
        if to.starts_with(std::path::absolute(&data).unwrap_or_default()) {
            let what = "the backup would be lost with the data directory it is in";
            return Err(Refusal::new(what, "name a folder elsewhere, best on another disk"));
        }
        let still = self.keeper.hold_still().await;
        let changing = read_changing(&data).map_err(|error| failed("the log is unreadable", error));
        drop(still);
        let (mut beside, cell) = (changing?, Arc::clone(self));
        let (made, keep) = (clock::now(), usize::try_from(keep).unwrap_or(usize::MAX));
        let backup = tokio::task::spawn_blocking(move || {
            beside.extend(list(&data)?.into_iter().filter(|name| is_final(name)).map(|name| {
                let source = Source::Final(data.join(&name));
                Beside { name, source }
            }));
            Ok::<_, anyhow::Error>(cell.store.back_up_blocking(&to, beside, made, keep)?)
        });
        let made = backup.await.map_err(|error| failed("the backup broke off", error))?;
        Ok(Answer::Backup(made.map_err(not_backed_up)?.into()))
    }

    /// Puts into the log that this cell was restored, and then forgets it. A stopped log does so at
    /// the next start after it goes on.
    pub(crate) async fn log_restored(&self, restored: &Restored) -> anyhow::Result<()> {
        let what = restored.outcome();
        tracing::warn!(what, "this cell is older than it was");
        if self.keeper.stopped().await.is_some() {
            return Ok(());
        }
        let draft = custody::acts::staff_act(clock::now(), ADMINISTRATOR, None, &what);
        self.keeper.append(vec![Item { draft, open_by: None, about: None }]).await?;
        Ok(Restored::settle(&self.config.cell.data)?)
    }
}

/// Whether a file below the data directory never changes once it is there: a full tile, or a full
/// bundle of entries (C2SP tlog-tiles).
fn is_final(name: &str) -> bool {
    name.starts_with("log/tile/") && !name.contains(".p/")
}

/// The log's and the witness's files that change, with their octets.
fn read_changing(data: &Path) -> io::Result<Vec<Beside>> {
    let names = list(data)?.into_iter().filter(|name| !is_final(name));
    names
        .map(|name| {
            let source = Source::Octets(fs::read(data.join(&name))?.into());
            Ok(Beside { name, source })
        })
        .collect()
}

/// The log's and the witness's files, by their paths below the data directory; drafts left out.
fn list(data: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec!["log".to_owned(), "witness".to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(data.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let sort = entry.file_type()?;
            if sort.is_dir() {
                folders.push(name);
            } else if sort.is_file() && !name.ends_with(".new") {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}
