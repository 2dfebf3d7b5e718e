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
mod upkeep;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use admin::protocol::{Answer, QuotaChange, Request, Wanted};
use cli::{
    AccountCommand, AdminCommand, AliasCommand, BackupCommand, Cli, Command, LogCommand,
    QueueCommand, StoreCommand, UnlockerCommand, WantedArgs,
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
        Command::Serve(args) => {
            serve::run(Config::load(&args.config.config)?, args.accept_restored)?;
        }
        Command::Check(args) => check(&args)?,
        Command::Backup(BackupCommand::Check { dir, json }) => {
            return show(&upkeep::check_backup(&dir)?, json);
        }
        Command::Restore(args) => {
            return show(&upkeep::restore(&args.from, &args.to, args.point)?, args.json);
        }
        Command::Admin(args) => {
            let config = Config::load(&args.config.config)?;
            if let AdminCommand::Store(StoreCommand::Check { repair }) = args.command {
                return show(&upkeep::check_store(&config, repair)?, args.json);
            }
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
    let refused = matches!(answer, Answer::Refused { .. })
        || matches!(answer, Answer::Store(store) if !store.is_sound())
        || matches!(answer, Answer::Backup(backup) if !backup.is_sound())
        || matches!(answer, Answer::Checked(check) if !check.is_sound());
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
        AdminCommand::Account(AccountCommand::Check { address, accept }) => {
            Request::AccountCheck { address, secret: secret_from_stdin()?, accept }
        }
        AdminCommand::Account(AccountCommand::Quota {
            address,
            octets,
            messages,
            unlimited,
            usual,
        }) => {
            let is_own = unlimited || octets.is_some() || messages.is_some();
            let own = is_own.then_some(QuotaChange::Own { octets, messages });
            let change = if usual { Some(QuotaChange::Usual) } else { own };
            Request::AccountQuota { address, change }
        }
        AdminCommand::Account(AccountCommand::Map { address }) => Request::AccountMap { address },
        AdminCommand::Account(AccountCommand::Delete { which }) => {
            let secret = which.contains('@').then(secret_from_stdin).transpose()?;
            Request::AccountDelete { which, secret }
        }
        AdminCommand::Account(AccountCommand::Password { address, suspect }) => {
            let secret = secret_from_stdin()?;
            let password = secret_from_stdin().map_err(|_| {
                anyhow::anyhow!("no new password on standard input: it is the second line")
            })?;
            Request::AccountPassword { address, secret, password, suspect }
        }
        AdminCommand::Account(AccountCommand::Recovery { address, suspect }) => {
            Request::AccountRecovery { address, secret: secret_from_stdin()?, suspect }
        }
        AdminCommand::Unlocker(command) => unlocker_request(command, secret_from_stdin()?),
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
        AdminCommand::Store(StoreCommand::Check { .. }) => Request::StoreCheck,
        AdminCommand::Backup { dir, keep } => {
            let to = std::path::absolute(dir)?;
            let to = to.to_str().context("the folder's path is not UTF-8")?.to_owned();
            Request::Backup { to, keep }
        }
    })
}

fn unlocker_request(command: UnlockerCommand, secret: String) -> Request {
    let wanted = |args: WantedArgs, seconds: Option<u64>| {
        let WantedArgs { address, scope, name, from } = args;
        let scope = scope.into_iter().map(cli::ScopeArg::bits).fold(0, |all, bit| all | bit);
        Wanted { address, scope, name, from, seconds }
    };
    match command {
        UnlockerCommand::List { address } => Request::UnlockerList { address, secret },
        UnlockerCommand::Add { wanted: args, days } => {
            let seconds = days.map(|days| u64::from(days) * 24 * 3600);
            Request::UnlockerAdd { secret, wanted: wanted(args, seconds) }
        }
        UnlockerCommand::Token { wanted: args, minutes } => {
            let seconds = Some(u64::from(minutes) * 60);
            Request::UnlockerToken { secret, wanted: wanted(args, seconds) }
        }
        UnlockerCommand::Rename { address, slot, name } => {
            Request::UnlockerRename { address, secret, slot, name }
        }
        UnlockerCommand::Revoke { address, slot } => {
            Request::UnlockerRevoke { address, secret, slot }
        }
    }
}
