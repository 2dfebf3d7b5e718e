//! A holder's own client: a trustee, vault officer or guard checks a request and answers it.
//!
//! Invariant: nothing is answered before the whole check passed and the answer was written
//! down on disk; a trustee's answer is also seen and confirmed by a person.
//! Refs: specs/release-evidence.md §6, §7.

use crate::clock::{OsEntropy, now};
use crate::report::{Report, whole};
use crate::say;
use crate::{evidence, input};
use anyhow::Context as _;
use custody::holder::{
    Answer, Examined, GuardRequest, HolderSide, REQUEST_BYTES_MAX, Served, TrusteeRequest,
    examine_guard, examine_trustee,
};
use seal::holder::HolderKey;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use vocab::Timestamp;

/// Octets of the list of what was answered.
const SERVED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The files of one answer.
#[derive(clap::Args)]
pub(crate) struct Files {
    /// The request as the cell sent it.
    #[arg(long)]
    request: PathBuf,
    /// Your key file.
    #[arg(long)]
    key: PathBuf,
    /// Your own trust policy.
    #[arg(long)]
    trust: PathBuf,
    /// Where what you answered is written down. Made if absent; never delete it.
    #[arg(long)]
    served: PathBuf,
    /// Where the answer goes.
    #[arg(long)]
    out: PathBuf,
    /// Answer without asking. For guards, whose check is mechanical, and for rehearsals.
    #[arg(long)]
    yes: bool,
    /// As of this time (seconds since 1970) instead of now. For rehearsals only.
    #[arg(long, value_parser = input::time)]
    at: Option<Timestamp>,
}

/// A new key file, for its holder alone. Returns the public key to hand to the cell.
pub(crate) fn new_key(out: &Path) -> anyhow::Result<String> {
    let key = HolderKey::generate(&OsEntropy)?;
    let public = key.public().to_string();
    let mut file = new_file(out)?;
    let text = key.to_text();
    writeln!(
        file,
        "# A holder's key. Keep it to yourself, and one copy in a safe.\n{}",
        text.as_str()
    )?;
    file.sync_all()?;
    Ok(public)
}

/// The public half of a key file.
pub(crate) fn public_key(key: &Path) -> anyhow::Result<String> {
    Ok(input::holder_key(key)?.public().to_string())
}

/// A trustee's or vault officer's answer.
pub(crate) fn trustee(files: &Files) -> anyhow::Result<Report> {
    let request: TrusteeRequest = input::json(&files.request, REQUEST_BYTES_MAX)?;
    answer(files, |side, report| {
        let examined = examine_trustee(&request, side).map_err(|why| whole(&why));
        let examined =
            report.check("The release holds, and asks for this holder's share", examined)?;
        let release = examined.release();
        say(&evidence::describe(release.order(), release.scope())).ok()?;
        report.pass(evidence::witnessed(release.logged()));
        Some(examined)
    })
}

/// A guard's answer.
pub(crate) fn guard(files: &Files) -> anyhow::Result<Report> {
    let request: GuardRequest = input::json(&files.request, REQUEST_BYTES_MAX)?;
    answer(files, |side, report| {
        let examined = examine_guard(&request, side).map_err(|why| whole(&why));
        report.check("A release to this recipient is logged, witnessed and in force", examined)
    })
}

fn answer<R>(
    files: &Files,
    examine: impl FnOnce(&HolderSide<'_>, &mut Report) -> Option<Examined<R>>,
) -> anyhow::Result<Report> {
    let key = input::holder_key(&files.key)?;
    let trust = input::trust(&files.trust)?;
    let mut list = ServedList::open(&files.served)?;
    let served = list.read()?;
    let mut report = Report::default();
    let side =
        HolderSide { key: &key, trust: &trust, served: &served, now: files.at.unwrap_or_else(now) };
    let Some(examined) = examine(&side, &mut report) else { return Ok(report) };
    say(&format!("Shares asked for: {}", examined.shares()))?;
    if !files.yes && !confirmed()? {
        report.decline(
            "You do not give your share; hand the cell your reason, for `desk holder-refused`",
        );
        return Ok(report);
    }
    list.add(examined.served())?;
    let answer: Answer = examined.answer(&key, &OsEntropy)?;
    let mut out = new_file(&files.out)?;
    out.write_all(&serde_json::to_vec_pretty(&answer)?)?;
    out.sync_all()?;
    report.pass(format!("The answer is in `{}`", files.out.display()));
    Ok(report)
}

fn confirmed() -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    write!(out, "Give your share for this? Type yes: ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

/// What was answered before: one JSON object a line. Locked from the check to the answer, so
/// that two requests at once cannot both be the first.
struct ServedList {
    file: File,
    path: PathBuf,
}

impl ServedList {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        file.lock().with_context(|| format!("cannot lock `{}`", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn read(&self) -> anyhow::Result<Vec<Served>> {
        let text = input::text(&self.path, SERVED_BYTES_MAX)?;
        let damaged = || format!("`{}` has a damaged line; repair it first", self.path.display());
        text.lines().map(|line| serde_json::from_str(line).with_context(damaged)).collect()
    }

    /// On disk before anything is answered.
    fn add(&mut self, served: Served) -> anyhow::Result<()> {
        self.file.write_all(format!("{}\n", serde_json::to_string(&served)?).as_bytes())?;
        self.file.sync_all()?;
        // The name of a new file is on disk only once its folder is.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

fn new_file(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot make `{}` (it must not exist yet)", path.display()))
}
