//! bailiwick-verify: checks what a cell handed out, without the cell.
//!
//! For courts, authorities, auditors, users and holders. It reads files, prints a numbered
//! list, and its exit status says it: 0 every check passed, 1 a check failed, 2 something
//! could not be read.
//!
//! Invariant: it links no part of the server, opens no network connection, and believes
//! nothing but the trust policy its reader brought along. It is a library so that its parsers can
//! be fuzzed; [`run`] is all that the program calls.
//! Refs: specs/{production,release-evidence,log-entry}.md.

mod bag;
mod clock;
mod contents;
mod evidence;
mod holder;
mod input;
mod log;
mod production;
mod report;

use clap::{Parser, Subcommand};
use custody::{ReleaseEvidence, TrustPolicy};
use report::Report;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use vocab::Timestamp;

/// Checks what a Bailiwick cell handed out, without the cell.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a production: a folder, or the encrypted file as it was delivered.
    Production {
        /// The folder or file.
        path: PathBuf,
        /// Your trust policy.
        #[arg(long)]
        trust: PathBuf,
        /// The age key file that opens the production.
        #[arg(long)]
        identity: Option<PathBuf>,
        /// The demand as it was served, to compare with the order.
        #[arg(long)]
        demand: Option<PathBuf>,
    },
    /// Check a receipt for an entry of the log.
    Receipt {
        /// The receipt.
        file: PathBuf,
        /// Your trust policy.
        #[arg(long)]
        trust: PathBuf,
    },
    /// Check the evidence of a release.
    Release {
        /// The evidence.
        file: PathBuf,
        /// Your trust policy.
        #[arg(long)]
        trust: PathBuf,
        /// As of this time (seconds since 1970) instead of now.
        #[arg(long, value_parser = input::time)]
        at: Option<Timestamp>,
    },
    /// Check a whole log, copied to a folder.
    Log {
        /// The folder: `checkpoint`, `tile/`, `openings/`. A copy made before the witnesses saw the
        /// newest leaves does not meet their quorum; make it again.
        folder: PathBuf,
        /// Your trust policy.
        #[arg(long)]
        trust: PathBuf,
        /// As of this time (seconds since 1970) instead of now.
        #[arg(long, value_parser = input::time)]
        at: Option<Timestamp>,
    },
    /// For holders: make a key, or tell its public half.
    #[command(subcommand)]
    Holder(HolderCommand),
    /// For trustees and officers of a vault.
    #[command(subcommand)]
    Trustee(AnswerCommand),
    /// For receipt guards.
    #[command(subcommand)]
    Guard(AnswerCommand),
}

#[derive(Subcommand)]
enum HolderCommand {
    /// Make a new key file and print the public key for the cell.
    New {
        /// The key file to make.
        #[arg(long)]
        out: PathBuf,
    },
    /// Print the public key of a key file.
    Public {
        /// The key file.
        #[arg(long)]
        key: PathBuf,
    },
}

#[derive(Subcommand)]
enum AnswerCommand {
    /// Check a request and, if it holds and you agree, give the share.
    Answer(holder::Files),
}

/// Runs the program: reads its arguments, prints, and gives its exit status.
#[must_use]
pub fn run() -> ExitCode {
    // clap exits with 2 on arguments it cannot read, which is what 2 means here too.
    let Arguments { command } = Arguments::parse();
    match carry_out(command) {
        Ok(None) => ExitCode::SUCCESS,
        // A report that nobody read whole is not a report.
        Ok(Some(report)) => match say(report.to_string().trim_end()) {
            Ok(()) => ExitCode::from(u8::from(!report.passed())),
            Err(_) => ExitCode::from(2),
        },
        Err(why) => {
            eprintln!("bailiwick-verify: {why:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints a line. A reader that has gone away is an error, and no panic.
fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// The list of checks of a production that is a bare tar archive in memory. For fuzzing.
///
/// # Errors
/// What is no archive, in words.
pub fn report_on_archive(archive: Vec<u8>, trust: &TrustPolicy) -> Result<String, String> {
    let bag = bag::Bag::of_archive(archive).map_err(|why| format!("{why:#}"))?;
    Ok(production::check(&bag, trust, None).to_string())
}

/// The list of checks of release evidence as JSON, as of `at`, and what it says. For fuzzing.
///
/// # Errors
/// What is no release evidence, in words.
pub fn report_on_evidence(
    json: &[u8],
    trust: &TrustPolicy,
    at: Timestamp,
) -> Result<String, String> {
    let evidence: ReleaseEvidence = serde_json::from_slice(json).map_err(|why| why.to_string())?;
    let mut report = Report::default();
    let order = evidence::release(&mut report, &evidence, trust, at);
    let said = order.map(|(order, _)| evidence::describe(&order, &evidence.scope));
    Ok(said.unwrap_or_default() + &report.to_string())
}

/// Runs one command; `None` if it checks nothing.
fn carry_out(command: Command) -> anyhow::Result<Option<Report>> {
    match command {
        Command::Production { path, trust, identity, demand } => {
            let trust = input::trust(&trust)?;
            let identities = identity.map(|path| input::identities(&path)).transpose()?;
            let bag = bag::Bag::open(&path, &identities.unwrap_or_default())?;
            let demand =
                demand.map(|path| input::octets(&path, bag::FILE_BYTES_MAX)).transpose()?;
            Ok(Some(production::check(&bag, &trust, demand.as_deref())))
        }
        Command::Receipt { file, trust } => {
            let trust = input::trust(&trust)?;
            let receipt = input::json(&file, custody::release::EVIDENCE_BYTES_MAX)?;
            let mut report = Report::default();
            if let Some(logged) = evidence::receipt(&mut report, &receipt, &trust) {
                say(&evidence::shown(&logged))?;
            }
            Ok(Some(report))
        }
        Command::Release { file, trust, at } => {
            let trust = input::trust(&trust)?;
            let evidence: ReleaseEvidence =
                input::json(&file, custody::release::EVIDENCE_BYTES_MAX)?;
            let mut report = Report::default();
            let at = at.unwrap_or_else(clock::now);
            if let Some((order, _)) = evidence::release(&mut report, &evidence, &trust, at) {
                say(&evidence::describe(&order, &evidence.scope))?;
            }
            Ok(Some(report))
        }
        Command::Log { folder, trust, at } => {
            let trust = input::trust(&trust)?;
            let (report, told) = log::check(&folder, &trust, at.unwrap_or_else(clock::now))?;
            say(&told)?;
            Ok(Some(report))
        }
        Command::Holder(HolderCommand::New { out }) => {
            say(&holder::new_key(&out)?)?;
            Ok(None)
        }
        Command::Holder(HolderCommand::Public { key }) => {
            say(&holder::public_key(&key)?)?;
            Ok(None)
        }
        Command::Trustee(AnswerCommand::Answer(files)) => holder::trustee(&files).map(Some),
        Command::Guard(AnswerCommand::Answer(files)) => holder::guard(&files).map(Some),
    }
}
