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
    Serve(Serve),
    /// Say whether the configuration can be served from, and if not, which line and what to do;
    /// and print what peers and DNS need to know of the cell.
    Check(Check),
    /// Accounts, addresses, the cell and its log, on a running cell.
    Admin(Admin),
    /// Backups, without a running cell and without a key.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Make a cell's data directory from a backup, without a running cell and without a key.
    Restore(Restore),
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
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Serve from a restored backup, knowing that what came after it is lost and that unlockers
    /// revoked since open again. The log will say that the cell was restored.
    #[arg(long)]
    pub(crate) accept_restored: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Check every point of a backup: checksums, order, that nothing is missing. The exit status
    /// says whether all is well.
    Check {
        /// The backup's folder.
        dir: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup's folder.
    #[arg(long)]
    pub(crate) from: PathBuf,
    /// The data directory to make; empty or not there.
    #[arg(long)]
    pub(crate) to: PathBuf,
    /// Which point. Default: the newest.
    #[arg(long)]
    pub(crate) point: Option<u64>,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Whose account gets letters to `postmaster` and `abuse`. Default: `postmaster` at the first
    /// domain.
    #[arg(long)]
    pub(crate) postmaster: Option<String>,
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
    /// Accounts: make, list, describe, check and delete; passwords, recovery codes, quotas.
    #[command(subcommand)]
    Account(AccountCommand),
    /// What unlocks an account: list, add, name, revoke, with its owner's password or recovery
    /// code on standard input.
    #[command(subcommand)]
    Unlocker(UnlockerCommand),
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
    /// The store's files.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Back the running cell up, sealed as it is, into a folder: what the folder lacks since the
    /// last time. The configuration and the cell's keys are not in it.
    Backup {
        /// The folder; made if it is not there. Best on another disk.
        dir: PathBuf,
        /// How many backups the folder keeps, the newest.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read every record, compare index and journal, count; without a key, on the running cell or,
    /// if none runs, in its folder. The exit status says whether all is well.
    Check {
        /// Make the index anew if that mends what is wrong. The cell must not run.
        #[arg(long)]
        repair: bool,
    },
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
    /// Delete an account for ever: its keys first, then every record, then the space on the disk.
    /// Its addresses lead nowhere, and are nobody else's for half a year. What the law has
    /// preserved stays as it is. Standard input: the owner's password or recovery code.
    Delete {
        /// One of the account's addresses; or the identifier, as `account list` prints it, of an
        /// account that was begun and never got its address, for which no secret is asked.
        which: String,
        /// The identifier is that of an account that came from another cell and has no address
        /// yet: its owner's recovery code is asked.
        #[arg(long)]
        owner: bool,
    },
    /// Set a password, or put another in the place of the old one. Standard input, on two lines:
    /// the owner's password or recovery code, and the new password.
    Password {
        /// One of the account's addresses.
        address: String,
        /// Somebody else may know the old one: new keys, so that it opens nothing from now on, in
        /// an old copy of the store either.
        #[arg(long)]
        suspect: bool,
    },
    /// Make a new recovery code, and print it once. The old one opens too until the new one has
    /// been typed: at a terminal that is asked for at once. Standard input: the owner's password or
    /// recovery code.
    Recovery {
        /// One of the account's addresses.
        address: String,
        /// Somebody else may know the old one: new keys when it goes, as with a password.
        #[arg(long)]
        suspect: bool,
        /// End every other recovery code: the new one's slot. Standard input: the new code.
        #[arg(long, value_name = "SLOT")]
        confirm: Option<String>,
    },
    /// New keys for all of an account: everything is sealed anew under them, and the old ones go, so
    /// that what anybody had of them opens nothing here any more. Programs go on meanwhile. Standard
    /// input: the owner's password or recovery code.
    Rekey {
        /// One of the account's addresses.
        address: String,
    },
    /// Change who besides its owner can open an account, and only for one approved demand, with new
    /// keys for all of it. To `sealed`, every share of its keys is destroyed; to another, the present
    /// holders get shares of every month, past ones too. What the law has preserved stays as it is.
    /// Standard input: the owner's password or recovery code.
    Custody {
        /// One of the account's addresses.
        address: String,
        /// Who.
        #[arg(value_enum)]
        custody: CustodyArg,
    },
    /// Look through an account: open every row and the ends of every letter, and say what is
    /// missing, altered or old. Standard input: the owner's password or recovery code.
    Check {
        /// One of the account's addresses.
        address: String,
        /// Go on with the rows that are there although some were altered, removed or put back;
        /// mail programs then say so no more.
        #[arg(long)]
        accept: bool,
    },
    /// Let an account leave for another cell: it takes no mail any more and lets nobody in, and its
    /// records are written to a file, sealed as they are. Then, at the other cell, `arrive` with the
    /// file; here, `part` with the acceptance that gives; there, `settle` with the discharge that this
    /// gives. Until `part`, `stay` keeps it here. Given again, it writes the file again. Standard
    /// input: the owner's password or recovery code.
    Leave {
        /// One of the account's addresses.
        address: String,
        /// The other cell, as `bailiwick admin cell` prints it there: 32 hexadecimal digits.
        #[arg(long)]
        to: String,
        /// The file to write, which must not exist.
        #[arg(long)]
        parcel: PathBuf,
    },
    /// Keep an account that was to leave, while it has not. Standard input: the owner's password or
    /// recovery code.
    Stay {
        /// One of the account's addresses.
        address: String,
    },
    /// Let an account go that arrived in its new cell: delete it here, and print the discharge.
    Part {
        /// The file with the acceptance that `arrive` printed at the other cell.
        acceptance: PathBuf,
    },
    /// Take in an account from another cell, and print the acceptance. It gets no address and lets
    /// nobody in before `settle`. Standard input: the owner's recovery code.
    Arrive {
        /// The file that `leave` wrote at the other cell.
        parcel: PathBuf,
        /// The other cell's moving key, as `bailiwick admin cell` prints it there: 64 hexadecimal
        /// digits. From whoever runs that cell, and not from whoever brings the parcel.
        #[arg(long)]
        from: String,
    },
    /// Bring an account to life that arrived: new keys for all of it, for the holders of this cell,
    /// and an address. Its password does not come along; app passwords do. Standard input: the
    /// owner's recovery code.
    Settle {
        /// Its first address in this cell.
        address: String,
        /// The file with the discharge that `part` printed at the other cell.
        discharge: PathBuf,
    },
    /// Put back what was expunged: into the mailboxes it was in, made anew if they are gone. What is
    /// longer ago than `undelete_days` of `[retention]` is purged and comes back no more. Standard
    /// input: the owner's password or recovery code.
    Undelete {
        /// One of the account's addresses.
        address: String,
        /// Only say what could be put back: mailbox, days, numbers and sizes.
        #[arg(long, conflicts_with_all = ["now", "since", "mailbox"])]
        list: bool,
        /// Purge all of it at once: no command brings it back. The disk is overwritten as space is
        /// given back; a re-key makes what is left of it useless.
        #[arg(long, conflicts_with_all = ["since", "mailbox"])]
        now: bool,
        /// Only what was expunged on this day or later, as 2026-11-21 (UTC).
        #[arg(long, value_parser = crate::cell::undelete::day_of)]
        since: Option<u32>,
        /// Only what was in this mailbox.
        #[arg(long)]
        mailbox: Option<String>,
    },
    /// How long messages are kept, counted from when they came into their mailbox; then they are
    /// expunged. Nothing is unless its owner sets it. Standard input: the owner's password or
    /// recovery code.
    Retention {
        /// One of the account's addresses.
        address: String,
        /// For this mailbox; else for all that have no days of their own.
        #[arg(long, requires = "days")]
        mailbox: Option<String>,
        /// So many days from now on; 0 until they are deleted.
        #[arg(long)]
        days: Option<u16>,
    },
    /// What an account holds and may hold; with an option, another quota for it.
    Quota {
        /// One of the account's addresses.
        address: String,
        /// Octets it may hold on disk. With this or `--messages`, what is not given has no limit.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        octets: Option<u64>,
        /// Messages it may hold.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        messages: Option<u64>,
        /// No limit.
        #[arg(long, conflicts_with_all = ["octets", "messages", "usual"])]
        unlimited: bool,
        /// What `[limits]` in the configuration says for all accounts.
        #[arg(long, conflicts_with_all = ["octets", "messages"])]
        usual: bool,
    },
    /// What is kept about an account, who can open it and for how long: the record map.
    Map {
        /// One of the account's addresses.
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UnlockerCommand {
    /// Every unlocker: its slot, its name, since when, until when, and the day it last served.
    /// Standard input: the owner's password or recovery code.
    List {
        /// One of the account's addresses.
        address: String,
    },
    /// Make an app password for a mail program and print it once. Standard input: the owner's
    /// password or recovery code.
    Add {
        #[command(flatten)]
        wanted: WantedArgs,
        /// After how many days it stops opening. Default: never.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Make a token for a mail program that takes OAUTHBEARER or XOAUTH2, and print it once.
    /// Standard input: the owner's password or recovery code.
    Token {
        #[command(flatten)]
        wanted: WantedArgs,
        /// After how many minutes it stops opening; at most a day.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
    /// Give one another name. Standard input: the owner's password or recovery code.
    Rename {
        /// One of the account's addresses.
        address: String,
        /// Its slot, as `list` prints it: 32 hexadecimal digits.
        slot: String,
        /// The name; only the owner can read it.
        name: String,
    },
    /// Take one away, as if somebody else knew its secret: new keys for what comes, and its
    /// sessions end. Standard input: the owner's password or recovery code.
    Revoke {
        /// One of the account's addresses.
        address: String,
        /// Its slot, as `list` prints it: 32 hexadecimal digits. That of a kept session ends this
        /// session alone.
        slot: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WantedArgs {
    /// One of the account's addresses.
    pub(crate) address: String,
    /// What it may be used for.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["imap", "submit"])]
    pub(crate) scope: Vec<ScopeArg>,
    /// A name, to know it again by; only the owner can read it.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// A network it may be used from, such as 192.0.2.0/24. May be given up to eight times.
    #[arg(long)]
    pub(crate) from: Vec<String>,
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
