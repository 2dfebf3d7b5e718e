//! The desk's staff at their own machines: keys, signed commands, the disclosure station.
//!
//! Invariant: a member of staff's key and the station's keys are in this process and in no
//! other; the server gets signatures and sealed records, never a key.
//! Refs: docs/life-of-a-demand.md; specs/release-evidence.md.

pub(crate) mod cli;
mod command;
mod key;
pub(crate) mod show;
mod station;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use desk::Command;

use crate::admin::client;
use crate::admin::protocol::{Answer, Request};
use crate::clock;
use crate::config::Config;
use crate::entropy::OsEntropy;
use crate::staff::cli::{Desk, DeskCommand};
use crate::staff::key::StaffKey;

/// A member of staff at the desk of one cell.
struct AtDesk<'a> {
    config: &'a Config,
    key: StaffKey,
}

const OTHER_VERSION: &str =
    "the cell answered something else; use the same version of `bailiwick` on both sides";

impl<'a> AtDesk<'a> {
    /// Takes up the person's key.
    fn sit(config: &'a Config, key: Option<PathBuf>) -> Result<Self> {
        let path = key.context("name your key file with --as")?;
        Ok(Self { config, key: StaffKey::load(&path)? })
    }

    /// Signs a command and has it carried out.
    fn ask(&self, command: &Command) -> Result<desk::Answer> {
        let cell = self.config.cell.cell_id();
        let (person, key, now) = (self.key.person, &self.key.signing, clock::now());
        let signed = desk::Signed::sign(cell, person, key, command, now, &OsEntropy)?;
        let request = Request::Desk { signed: Box::new(signed) };
        let answer = client::ask(&self.config.cell.admin_socket, &request)?.or_refusal()?;
        let Answer::Desk { said } = answer else { bail!(OTHER_VERSION) };
        Ok(*said)
    }
}

/// Whether a text is a member of staff's key file.
pub(crate) fn is_key(text: &str) -> bool {
    StaffKey::parse(text).is_some()
}

/// Runs one command of the desk's staff.
pub(crate) fn run(args: Desk) -> Result<Answer> {
    let config = Config::load(&args.config.config)?;
    let socket = &config.cell.admin_socket;
    match args.command {
        DeskCommand::Keygen { out } => Ok(Answer::Made { public: key::generate(&out)? }),
        DeskCommand::Trust => client::ask(socket, &Request::Trust),
        DeskCommand::Enrol(enrol) => {
            let staff = Box::new(command::staff(&enrol)?);
            client::ask(socket, &Request::StaffEnrol { staff })
        }
        DeskCommand::OrderKey { out } => Ok(Answer::Made { public: station::order_key(&out)? }),
        DeskCommand::Intake(work) => {
            let at = AtDesk::sit(&config, args.key)?;
            said(at.ask(&command::intake(&at, work)?))
        }
        DeskCommand::Decision(work) => {
            let at = AtDesk::sit(&config, args.key)?;
            let command = command::decision(&at, work)?;
            let answer = at.ask(&command)?;
            command::prepared(&at, &command, &answer)?;
            said(Ok(answer))
        }
        DeskCommand::Paper(work) => {
            let at = AtDesk::sit(&config, args.key)?;
            said(command::paper(&at, work))
        }
        DeskCommand::Station(produce) => {
            let at = AtDesk::sit(&config, args.key)?;
            said(station::produce(&at, &produce))
        }
    }
}

fn said(answer: Result<desk::Answer>) -> Result<Answer> {
    Ok(Answer::Desk { said: Box::new(answer?) })
}

/// Reads a file of JSON.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let octets =
        std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&octets).with_context(|| format!("in `{}`", path.display()))
}

/// Writes a new file of JSON that its owner alone can read.
fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    key::write_new(path, &serde_json::to_vec_pretty(value)?)
}
