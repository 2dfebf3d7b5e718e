//! Looking after a cell's data directory: what is answered about its store and its backups, and the
//! commands that need no running cell.
//!
//! Invariant: nothing here opens a record or needs a key; a restored directory is not served before
//! its operator has said that it is known.
//! Refs: specs/backup.md; specs/store-journal.md.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use store::backup::{self, Checked, Made, Point, RESTORED};
use store::examine::{self, Findings};
use store::{Options, Store};

use crate::admin::protocol::{Answer, Request};
use crate::config::Config;

/// What a store was found to be.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoreAnswer {
    pub(crate) segments: u64,
    pub(crate) records: u64,
    /// By account and kind of record.
    pub(crate) counts: Vec<CountLine>,
    pub(crate) holds: u64,
    pub(crate) held_rows: u64,
    pub(crate) faults: Vec<FaultLine>,
    /// Faults beyond those named.
    pub(crate) faults_more: u64,
    /// Whether the index was made anew.
    pub(crate) is_repaired: bool,
}

/// What an account has of one kind.
#[derive(Serialize, Deserialize)]
pub(crate) struct CountLine {
    pub(crate) account: String,
    pub(crate) kind: String,
    pub(crate) records: u64,
    pub(crate) octets: u64,
}

/// One fault, and what can be done.
#[derive(Serialize, Deserialize)]
pub(crate) struct FaultLine {
    pub(crate) what: String,
    pub(crate) cure: String,
}

impl From<Findings> for StoreAnswer {
    fn from(found: Findings) -> Self {
        let counts = found.counts.iter().map(|((account, kind), count)| CountLine {
            account: account.to_string(),
            kind: kind.holding().name.to_owned(),
            records: count.records,
            octets: count.octets,
        });
        let faults = found.faults.iter().map(|fault| FaultLine {
            what: fault.to_string(),
            cure: if fault.is_mendable() {
                "stop the cell; `bailiwick admin store check --repair` makes the index anew".into()
            } else {
                "stop the cell and restore a backup: what is lost here cannot be made again".into()
            },
        });
        Self {
            segments: found.segments,
            records: found.records,
            counts: counts.collect(),
            holds: found.holds.0,
            held_rows: found.holds.1,
            faults: faults.collect(),
            faults_more: found.faults_more,
            is_repaired: false,
        }
    }
}

impl StoreAnswer {
    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("journal   {} segments, {} records, each checked", self.segments, self.records),
            format!("holds     {} on {} rows", self.holds, self.held_rows),
        ];
        lines.extend(self.counts.iter().map(|line| {
            let CountLine { account, kind, records, octets } = line;
            format!("{account}  {kind:<22} {records:>8} records {octets:>12} octets")
        }));
        for fault in &self.faults {
            lines.extend([format!("WRONG     {}", fault.what), format!("  cure: {}", fault.cure)]);
        }
        if self.faults_more > 0 {
            lines.push(format!("WRONG     {} faults more", self.faults_more));
        }
        let repaired = self.is_repaired.then_some("the index was made anew");
        lines.extend(repaired.map(str::to_owned));
        lines.push(if self.is_sound() { "nothing is wrong" } else { "not sound" }.to_owned());
        lines
    }
}

/// One point of a backup.
#[derive(Serialize, Deserialize)]
pub(crate) struct PointLine {
    pub(crate) number: u64,
    /// When it was made, in seconds since 1970.
    pub(crate) made: u64,
    /// The last record of the journal in it.
    pub(crate) sequence: u64,
    pub(crate) octets: u64,
    pub(crate) files: u64,
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
}

/// What a backup is found to hold, or was brought to.
#[derive(Serialize, Deserialize)]
pub(crate) struct BackupAnswer {
    pub(crate) points: Vec<PointLine>,
    /// What was done: octets copied, or where it was restored to.
    pub(crate) done: Option<String>,
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn point_line(point: &Point) -> PointLine {
    PointLine {
        number: point.number,
        made: point.made.0,
        sequence: point.seq.saturating_sub(1),
        octets: point.bytes(),
        files: count(point.files.len()),
        faults: Vec::new(),
    }
}

impl From<Made> for BackupAnswer {
    fn from(made: Made) -> Self {
        let done = format!(
            "{} octets copied, {} points kept. Not in it: the configuration, cell.keys, and the \
             DKIM and TLS keys",
            made.copied_bytes, made.points
        );
        Self { points: vec![point_line(&made.point)], done: Some(done) }
    }
}

impl From<Vec<Checked>> for BackupAnswer {
    fn from(checked: Vec<Checked>) -> Self {
        let line = |checked: Checked| {
            let faults = checked.faults.iter().map(ToString::to_string).collect();
            let (number, none) = (checked.number, Vec::new());
            let empty =
                PointLine { number, made: 0, sequence: 0, octets: 0, files: 0, faults: none };
            PointLine { faults, ..checked.point.as_ref().map_or(empty, point_line) }
        };
        Self { points: checked.into_iter().map(line).collect(), done: None }
    }
}

impl BackupAnswer {
    /// Whether there is a point, and nothing is wrong with any.
    pub(crate) fn is_sound(&self) -> bool {
        !self.points.is_empty() && self.points.iter().all(|point| point.faults.is_empty())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for point in &self.points {
            let PointLine { number, sequence, octets, files, .. } = point;
            lines.push(format!(
                "point {number}  made {}  records 1 to {sequence}  {octets} octets, {files} files",
                when(point.made)
            ));
            lines.extend(point.faults.iter().map(|fault| format!("  WRONG  {fault}")));
        }
        lines.extend(self.done.clone());
        if self.points.is_empty() {
            lines.push("there is no point in it".to_owned());
        }
        lines
    }
}

fn when(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().map(jiff::Timestamp::from_second);
    at.and_then(Result::ok).map_or("-".to_owned(), |at| at.to_string())
}

/// `bailiwick admin store check`: of the running cell; of its folder if none runs.
pub(crate) fn check_store(config: &Config, repair: bool) -> Result<Answer> {
    let socket = &config.cell.admin_socket;
    if UnixStream::connect(socket).is_ok() {
        if repair {
            bail!("the cell runs; stop it before its index is made anew");
        }
        return crate::admin::client::ask(socket, &Request::StoreCheck);
    }
    let folder = config.cell.data.join("store");
    let found = examine::folder(&folder).context("the store cannot be examined")?;
    let mends = repair && !found.faults.is_empty() && found.faults.iter().all(|f| f.is_mendable());
    if !mends {
        return Ok(Answer::Store(found.into()));
    }
    let options = Options { rebuild_index: true, ..Options::default() };
    Store::open(&folder, options)?.close()?;
    let answer = StoreAnswer::from(examine::folder(&folder)?);
    Ok(Answer::Store(StoreAnswer { is_repaired: true, ..answer }))
}

/// `bailiwick backup check`.
pub(crate) fn check_backup(dir: &Path) -> Result<Answer> {
    let checked = backup::check(dir).context("the backup cannot be checked")?;
    Ok(Answer::Backup(checked.into()))
}

/// `bailiwick restore`.
pub(crate) fn restore(from: &Path, to: &Path, point: Option<u64>) -> Result<Answer> {
    let point = backup::restore(from, to, point).context("nothing was restored")?;
    let done = format!(
        "restored to {} as it stood then. What was acknowledged later is lost, unlockers revoked \
         later open again, accounts deleted later are back, and letters that left later may leave \
         twice.\n\
         next: name it as `data` in [cell], with the cell's own cell.keys; tell the owners; then \
         bailiwick serve --accept-restored",
        to.display()
    );
    Ok(Answer::Backup(BackupAnswer { points: vec![point_line(&point)], done: Some(done) }))
}

/// What a restored directory says of itself.
pub(crate) struct Restored {
    made: u64,
    sequence: u64,
}

impl Restored {
    /// Reads the mark of a data directory; `None` if it was not restored, or that is in the log.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(data.join(RESTORED)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Some(Self { made: number("made "), sequence: number("sequence ") }))
    }

    /// As the log says it (specs/backup.md §5).
    pub(crate) fn outcome(&self) -> String {
        format!("restored from the backup of {}, record {}", when(self.made), self.sequence)
    }

    /// Takes the mark away, durably.
    pub(crate) fn settle(data: &Path) -> io::Result<()> {
        std::fs::remove_file(data.join(RESTORED))?;
        std::fs::File::open(data)?.sync_all()
    }
}

/// Refuses to serve from a restored directory unless that is accepted.
pub(crate) fn heed_restored(config: &Config, is_accepted: bool) -> Result<Option<Restored>> {
    let restored = Restored::read(&config.cell.data)?;
    // `restore` writes it last: without it the store would be made anew, and empty.
    if restored.is_some() && !config.cell.data.join("store/FORMAT").exists() {
        bail!(
            "the restoring of this cell broke off\n  cure: empty the data directory, and restore again"
        );
    }
    if let Some(restored) = restored.as_ref().filter(|_| !is_accepted) {
        bail!(
            "this cell was {}: what was acknowledged later is lost, and unlockers revoked later \
             open again\n  cure: tell the owners; then serve with --accept-restored, which the log \
             will say",
            restored.outcome()
        );
    }
    Ok(restored)
}
