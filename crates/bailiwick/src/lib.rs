//! The server and its command line. A library only so that tests and fuzzing reach its parsers;
//! nothing else may link it.
//!
//! Invariant: holds no domain rule. The clock, chance, sockets, files and certificates are here
//! and are handed down; nothing below reaches for them.
//! Refs: ARCHITECTURE.md; house §2.2.

mod admin;
mod cell;
mod cli;
mod clock;
mod config;
pub mod doors;
mod entropy;
mod identity;
mod init;
mod listen;
mod log;
mod network;
mod serve;
mod staff;
mod tls;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use admin::protocol::{Answer, Request};
use cli::{
    AccountCommand, AdminCommand, AliasCommand, AppPasswordCommand, Cli, Command, LogCommand,
    QueueCommand,
};
use config::Config;
use entropy::OsEntropy;
use identity::Identity;

/// Runs the program with the arguments of its process.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bailiwick: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Init(args) => init::run(&args, &OsEntropy)?,
        Command::Serve(args) => serve::run(Config::load(&args.config)?)?,
        Command::Check(args) => check(&args)?,
        Command::Admin(args) => {
            let config = Config::load(&args.config.config)?;
            let (socket, request) = (&config.cell.admin_socket, request(args.command)?);
            let answer = admin::client::ask(socket, &request)?;
            let code = show(&answer, args.json)?;
            admin::client::settle(socket, &request, &answer)?;
            return Ok(code);
        }
        Command::Desk(args) => {
            let json = args.json;
            return show(&staff::run(args)?, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &cli::Check) -> Result<()> {
    let config = Config::load(&args.config.config)?;
    let identity = Identity::of(&config, &identity::cell_keys(&config)?)?;
    tls::check(&config.tls)?;
    if args.json {
        return say(&serde_json::to_string(&identity)?);
    }
    say(&format!("{} can be served from", args.config.config.display()))?;
    say(&identity.lines().join("\n"))
}

/// Prints a line. A reader that has gone away is an error, and no panic.
fn say(line: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("cannot print")
}

fn show(answer: &Answer, json: bool) -> Result<ExitCode> {
    let refused = matches!(answer, Answer::Refused { .. });
    if json {
        say(&serde_json::to_string(answer)?)?;
    } else {
        match admin::render::text(answer) {
            Ok(text) => say(&text)?,
            Err(text) => eprintln!("bailiwick: {text}"),
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn request(command: AdminCommand) -> Result<Request> {
    use admin::client::secret_from_stdin;
    Ok(match command {
        AdminCommand::Account(AccountCommand::Create { address, custody, password_stdin }) => {
            let password = password_stdin.then(secret_from_stdin).transpose()?;
            let custody = vocab::Custody::from(custody).into();
            Request::AccountCreate { address, custody, password }
        }
        AdminCommand::Account(AccountCommand::List) => Request::AccountList,
        AdminCommand::Account(AccountCommand::Show { address }) => Request::AccountShow { address },
        AdminCommand::Account(AccountCommand::Map { address }) => Request::AccountMap { address },
        AdminCommand::AppPassword(AppPasswordCommand::Add { address, scope }) => {
            let scope = scope.into_iter().map(cli::ScopeArg::bits).fold(0, |all, bit| all | bit);
            Request::AppPasswordAdd { address, secret: secret_from_stdin()?, scope }
        }
        AdminCommand::AppPassword(AppPasswordCommand::Revoke { address, slot }) => {
            Request::AppPasswordRevoke { address, secret: secret_from_stdin()?, slot }
        }
        AdminCommand::Alias(AliasCommand::Add { alias, address }) => {
            Request::AliasAdd { alias, address }
        }
        AdminCommand::Alias(AliasCommand::Remove { alias }) => Request::AliasRemove { alias },
        AdminCommand::Cell => Request::Cell,
        AdminCommand::Log { command: None } => Request::Log,
        AdminCommand::Log { command: Some(LogCommand::Resume { fork }) } => {
            Request::LogResume { fork }
        }
        AdminCommand::Queue(QueueCommand::List) => Request::Queue,
        AdminCommand::Queue(QueueCommand::Flush) => Request::QueueFlush,
    })
}
