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
mod memory;
mod network;
mod serve;
mod staff;
mod tls;
mod upkeep;

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use admin::protocol::{Answer, QuotaChange, Request, Wanted};
use cell::undelete::Expunged;
use cli::{
    AccountCommand, AdminCommand, AliasCommand, BackupCommand, Cli, Command, LogCommand,
    QueueCommand, StoreCommand, UnlockerCommand, WantedArgs,
};
use config::Config;
use entropy::OsEntropy;
use identity::Identity;

/// Octets of a text that another cell gave.
const PAPER_OCTETS_MAX: u64 = 4096;

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
    let shut = memory::shut();
    match cli.command {
        Command::Init(args) => init::run(&args, &OsEntropy)?,
        Command::Serve(args) => {
            serve::run(Config::load(&args.config.config)?, args.accept_restored, shut)?;
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
        AdminCommand::Account(command) => account_request(command)?,
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
        AdminCommand::Backup { dir, keep } => Request::Backup { to: absolute(&dir)?, keep },
    })
}

/// What is wanted of what was expunged.
fn expunged(list: bool, now: bool, since: Option<u32>, mailbox: Option<String>) -> Expunged {
    match (list, now) {
        (true, _) => Expunged::List,
        (_, true) => Expunged::Purge,
        _ => Expunged::Undelete { since, mailbox },
    }
}

fn account_request(command: AccountCommand) -> Result<Request> {
    use admin::client::secret_from_stdin;
    Ok(match command {
        AccountCommand::Create { address, custody, password_stdin } => {
            let password = password_stdin.then(secret_from_stdin).transpose()?;
            let custody = vocab::Custody::from(custody).into();
            Request::AccountCreate { address, custody, password }
        }
        AccountCommand::List => Request::AccountList,
        AccountCommand::Show { address } => Request::AccountShow { address },
        AccountCommand::Check { address, accept } => {
            Request::AccountCheck { address, secret: secret_from_stdin()?, accept }
        }
        AccountCommand::Undelete { address, list, now, since, mailbox } => {
            let what = expunged(list, now, since, mailbox);
            Request::AccountExpunged { address, secret: secret_from_stdin()?, what }
        }
        AccountCommand::Retention { address, mailbox, days } => {
            Request::AccountRetention { address, secret: secret_from_stdin()?, mailbox, days }
        }
        AccountCommand::Quota { address, octets, messages, unlimited, usual } => {
            let own = QuotaChange::Own { octets, messages };
            let is_own = unlimited || octets.is_some() || messages.is_some();
            let change = if usual { Some(QuotaChange::Usual) } else { is_own.then_some(own) };
            Request::AccountQuota { address, change }
        }
        AccountCommand::Map { address } => Request::AccountMap { address },
        AccountCommand::Delete { which, owner } => {
            let secret = (owner || which.contains('@')).then(secret_from_stdin).transpose()?;
            Request::AccountDelete { which, secret }
        }
        AccountCommand::Leave { address, to, parcel } => {
            let (parcel, secret) = (absolute(&parcel)?, secret_from_stdin()?);
            Request::AccountLeave { address, secret, to, parcel }
        }
        AccountCommand::Stay { address } => {
            Request::AccountStay { address, secret: secret_from_stdin()? }
        }
        AccountCommand::Part { acceptance } => {
            Request::AccountPart { acceptance: paper(&acceptance)? }
        }
        AccountCommand::Arrive { parcel, from } => {
            let (parcel, secret) = (absolute(&parcel)?, secret_from_stdin()?);
            Request::AccountArrive { parcel, from, secret }
        }
        AccountCommand::Settle { address, discharge } => {
            let discharge = paper(&discharge)?;
            Request::AccountSettle { discharge, address, secret: secret_from_stdin()? }
        }
        AccountCommand::Rekey { address } => {
            Request::AccountRekey { address, secret: secret_from_stdin()?, custody: None }
        }
        AccountCommand::Custody { address, custody } => {
            let custody = Some(vocab::Custody::from(custody).into());
            Request::AccountRekey { address, secret: secret_from_stdin()?, custody }
        }
        AccountCommand::Password { address, suspect } => {
            let secret = secret_from_stdin()?;
            let password = secret_from_stdin().map_err(|_| {
                anyhow::anyhow!("no new password on standard input: it is the second line")
            })?;
            Request::AccountPassword { address, secret, password, suspect }
        }
        AccountCommand::Recovery { address, suspect, confirm } => {
            Request::AccountRecovery { address, secret: secret_from_stdin()?, suspect, confirm }
        }
    })
}

/// A path as the server, which runs elsewhere, finds it.
fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
}

/// A text that another cell gave.
fn paper(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path);
    let mut text = String::new();
    let unread = || format!("cannot read `{}`", path.display());
    file.with_context(unread)?
        .take(PAPER_OCTETS_MAX)
        .read_to_string(&mut text)
        .with_context(unread)?;
    Ok(text)
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
