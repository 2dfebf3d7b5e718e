//! The command line. Its help is the manual.
//!
//! Invariant: parses and nothing else; no secret is ever taken as an argument, because
//! arguments are public on a host.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A mail server for providers who answer for other people's letters.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a new cell's configuration and keys.
    Init(Init),
    /// Run the cell until it is told to stop (SIGTERM or SIGINT).
    Serve(ConfigArgs),
    /// Say whether the configuration can be served from, and if not, which line and what to do;
    /// and print what peers and DNS need to know of the cell.
    Check(Check),
    /// Accounts, addresses, the cell and its log, on a running cell.
    Admin(Admin),
    /// Demands: what the desk's staff do, each with their own key.
    Desk(crate::staff::cli::Desk),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The cell's configuration.
    #[arg(long, default_value = "bailiwick.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The cell's short name, for example `ie`.
    #[arg(long)]
    pub(crate) cell: String,
    /// The State whose law governs it, in two letters. Default: the cell's name.
    #[arg(long)]
    pub(crate) jurisdiction: Option<String>,
    /// A mail domain of the cell. May be given more than once.
    #[arg(long, required = true)]
    pub(crate) domain: Vec<String>,
    /// The folder to write into; made if it is not there.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The legal entity that answers for the cell. Default: the cell's name.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) entity: String,
    /// The host's name, as other servers see it. Default: `mx.` and the first domain.
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// The address to listen on.
    #[arg(long, default_value = "::")]
    pub(crate) listen: IpAddr,
    /// Added to every port number, so that a cell can run without privileges.
    #[arg(long, default_value_t = 0)]
    pub(crate) port_offset: u16,
    /// A resolver to ask instead of the system's, as ADDRESS:PORT.
    #[arg(long)]
    pub(crate) dns: Vec<std::net::SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make, list and describe accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Add and revoke app passwords, with the owner's secret on standard input.
    #[command(subcommand)]
    AppPassword(AppPasswordCommand),
    /// Further addresses of an account.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// The cell: identity, public keys, the DNS records to publish, sizes and counts.
    Cell,
    /// The public log: size, root, who has cosigned, and whether it is stopped.
    Log {
        #[command(subcommand)]
        command: Option<LogCommand>,
    },
    /// Outbound letters: how many and since when, never from or to whom.
    #[command(subcommand)]
    Queue(QueueCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Let a stopped log go on. It is itself in the log, and what was forked stays forked.
    Resume {
        /// The fork, as `bailiwick admin log` names it.
        fork: String,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum QueueCommand {
    /// How many wait, how long the oldest has, when the next is tried.
    List,
    /// Try all of them now.
    Flush,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CustodyArg {
    /// Opens for its owner alone.
    Sealed,
    /// Opens for its owner; or k of n trustees, for one approved demand.
    Trustee,
    /// Opens for its owner; or the cell's vault, for one approved demand.
    Managed,
}

impl From<CustodyArg> for vocab::Custody {
    fn from(arg: CustodyArg) -> Self {
        match arg {
            CustodyArg::Sealed => Self::Sealed,
            CustodyArg::Trustee => Self::Trustee,
            CustodyArg::Managed => Self::Managed,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account. Prints its recovery code and a first app password once; they are kept
    /// nowhere.
    Create {
        /// The account's first address.
        address: String,
        #[arg(long, value_enum, default_value_t = CustodyArg::Sealed)]
        custody: CustodyArg,
        /// Read a password for the account from standard input. It serves to change unlockers
        /// here; IMAP and submission refuse it, since mail programs have app passwords.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Every account: identifier, custody, counts and sizes.
    List,
    /// One account: its custody, and who holds shares of its keys.
    Show {
        /// One of the account's addresses.
        address: String,
    },
    /// What is kept about an account, who can open it and for how long: the record map.
    Map {
        /// One of the account's addresses.
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppPasswordCommand {
    /// Add an app password and print it once. Standard input: the owner's password or recovery
    /// code.
    Add {
        /// One of the account's addresses.
        address: String,
        /// What it may be used for.
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["imap", "submit"])]
        scope: Vec<ScopeArg>,
    },
    /// Revoke one, by the slot that `add` or `account create` printed. Standard input: the owner's
    /// password or recovery code.
    Revoke {
        /// One of the account's addresses.
        address: String,
        /// The app password's slot: 32 hexadecimal digits.
        slot: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Reading (RFC 9051).
    Imap,
    /// Sending (RFC 6409).
    Submit,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Let a further address lead to the account that ADDRESS leads to.
    Add {
        /// The new address.
        alias: String,
        /// An address that leads to the account already.
        address: String,
    },
    /// Take an address away. The last one of an account stays.
    Remove {
        /// The address to take away.
        alias: String,
    },
}

impl ScopeArg {
    /// The scope's bit in a slot (specs/bw1.md §4).
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Imap => 2,
            Self::Submit => 16,
        }
    }
}
