//! The desk's command line.
//!
//! Invariant: parses and nothing else; a key is named by its file.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use vocab::CaseId;

use crate::cli::ConfigArgs;

#[derive(Debug, Args)]
pub(crate) struct Desk {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Your key file: who you are. `keygen`, `enrol`, `trust` and `order-key` need none.
    #[arg(long = "as", global = true, value_name = "KEY")]
    pub(crate) key: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: DeskCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeskCommand {
    /// Make your key file. Prints your identifier and public key, for the operator to enrol.
    Keygen {
        /// The key file to make.
        #[arg(long)]
        out: PathBuf,
    },
    /// Enrol a member of staff; the operator's act, and in the log.
    Enrol(Enrol),
    /// Print the trust policy, which holders and courts keep beforehand.
    Trust,
    /// At the station: make the key that one order's shares are encrypted to. Prints its public
    /// half, for `prepare`.
    OrderKey {
        /// The key file to make; `produce` deletes it.
        #[arg(long)]
        out: PathBuf,
    },
    /// At the station: open what the order names, or pack it as sealed as it is, and encrypt it to
    /// the authority.
    #[command(name = "produce")]
    Station(Produce),
    #[command(flatten)]
    Intake(Intake),
    #[command(flatten)]
    Decision(Decision),
    #[command(flatten)]
    Paper(Paper),
}

#[derive(Debug, Args)]
pub(crate) struct Enrol {
    /// The person's identifier, as `keygen` printed it.
    pub(crate) person: String,
    /// The person's public key, as `keygen` printed it.
    pub(crate) public_key: String,
    /// What colleagues call them.
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, value_enum, required = true, value_delimiter = ',')]
    pub(crate) role: Vec<RoleArg>,
    /// How long they are in office.
    #[arg(long, default_value_t = 365)]
    pub(crate) days: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    Clerk,
    Counsel,
    Approver,
    Station,
    Auditor,
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    pub(crate) case: CaseId,
    /// The key that `order-key` made for this order, unless nothing is opened for it. It is deleted
    /// when the production is done.
    #[arg(long)]
    pub(crate) order_key: Option<PathBuf>,
    /// The station's own copy of the trust policy.
    #[arg(long)]
    pub(crate) trust: PathBuf,
    /// Where the encrypted package goes.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// How it is handed over.
    #[arg(long, default_value = "decentralised system")]
    pub(crate) means: String,
}

/// What the clerk does, and everybody's reading.
#[derive(Debug, Subcommand)]
pub(crate) enum Intake {
    /// Clerk: enter a demand. DEMAND is its description as JSON, as specs/desk-command.md §3 has it;
    /// PAPER the document as served.
    Receive {
        demand: PathBuf,
        paper: PathBuf,
        /// The address whose account is meant, if it is one of this cell's.
        #[arg(long)]
        address: Option<String>,
        /// The same paper was entered before and served once more: a case of its own. Its file
        /// names the other.
        #[arg(long)]
        again: bool,
    },
    /// Clerk: check the sender. CHECKS is JSON; see specs/desk-command.md §3.
    Verify { case: CaseId, checks: PathBuf },
    /// Ask the law. FACTS is JSON that is laid over what is known; see packs/README.md.
    Assess { case: CaseId, facts: Option<PathBuf> },
    /// Correct facts, also when the demand was served. FACTS is JSON that is laid over what is
    /// known. The case begins anew: what was checked, decided and signed on the old facts is void.
    Correct { case: CaseId, facts: PathBuf, why: String },
    /// Preserve the account's sealed records, or renew. Ends by itself.
    Preserve {
        case: CaseId,
        /// From now on; as long as the law says if left out.
        #[arg(long)]
        days: Option<u64>,
    },
    /// Count sealed letters by month; opens none.
    Count { case: CaseId },
    /// The letter to the authority that goes with the decision.
    Letter { case: CaseId },
    /// Read a case's file.
    Show { case: CaseId },
    /// Cases by deadline.
    List {
        #[arg(long)]
        overdue: bool,
    },
    /// Record that the authority took the demand back.
    Withdraw { case: CaseId, why: String },
    /// Clerk: enrol an authority. Counts once another person confirms it.
    EnrolAuthority {
        name: String,
        /// Its State, two letters.
        #[arg(long)]
        place: String,
        /// The age key productions are encrypted to.
        #[arg(long)]
        recipient: String,
        /// Where the number was found that it was called back at.
        #[arg(long)]
        number_from: String,
    },
    /// Confirm an authority that another person enrolled.
    ConfirmAuthority { id: String },
    /// The register: staff, holders, authorities.
    Register,
}

/// What counsel and approver do.
#[derive(Debug, Subcommand)]
pub(crate) enum Decision {
    /// Counsel: decide.
    Decide {
        case: CaseId,
        #[arg(value_enum)]
        outcome: OutcomeArg,
        /// The scope as JSON, for `comply` and `narrow`, which need it: specs/desk-command.md §4.
        #[arg(long)]
        scope: Option<PathBuf>,
        /// Why; needed when the decision is not the opinion's, or the opinion wants a person.
        #[arg(long)]
        reason: Option<String>,
        /// A coded reason for the letter, such as D04, instead of the opinion's own.
        #[arg(long, value_delimiter = ',')]
        code: Vec<String>,
    },
    /// Counsel: narrow the scope. BEFORE is the one in force, SCOPE the new one, both as JSON.
    Narrow { case: CaseId, before: PathBuf, scope: PathBuf },
    /// Counsel: prepare the order that two officers will sign.
    Prepare {
        case: CaseId,
        /// The public key that the station's `order-key` printed; none if nothing is opened.
        #[arg(long, default_value = "")]
        recipient: String,
        /// How long the order is in force: at most 30.
        #[arg(long, default_value_t = 7)]
        days: u64,
    },
    /// Counsel, then an approver: confirm the case's facts, and sign the order that `prepare` made.
    Approve {
        case: CaseId,
        /// The order's digest, as `prepare` printed it.
        digest: String,
        #[arg(long = "office", value_enum)]
        office: OfficeArg,
        /// Sign without asking, once what is signed was shown.
        #[arg(long)]
        yes: bool,
    },
    /// Approver: return the order to counsel.
    Return { case: CaseId, why: String },
    /// Counsel: stay execution.
    Stay { case: CaseId, why: String },
    /// Counsel: lift a stay.
    Lift { case: CaseId, why: String },
    /// Counsel: record an appeal.
    Appeal { case: CaseId, court: String },
    /// Counsel: close.
    Close { case: CaseId },
    /// End a preservation that has run out, or as the second person.
    EndPreservation { case: CaseId },
    /// Counsel: record a non-disclosure order. ORDER is JSON; see specs/desk-command.md §3.
    Secrecy { case: CaseId, order: PathBuf },
    /// Counsel: record notice to the owner. NOTICE is JSON; see specs/desk-command.md §3.
    Notice { case: CaseId, notice: PathBuf },
}

/// What comes from files and goes into files.
#[derive(Debug, Subcommand)]
pub(crate) enum Paper {
    /// Write what to ask each holder into a folder: one file each, and the evidence.
    Holders {
        case: CaseId,
        /// A new folder.
        folder: PathBuf,
    },
    /// Enter a holder's answer.
    Share { case: CaseId, answer: PathBuf },
    /// Enter a holder's refusal.
    HolderRefused { case: CaseId, holder: String, why: String },
    /// At the station: record that a package left, when `produce` was cut short after writing it.
    Deliver {
        case: CaseId,
        package: PathBuf,
        /// The order's key, to be deleted: the shares given for it open nothing any more.
        #[arg(long)]
        order_key: Option<PathBuf>,
        #[arg(long, default_value = "decentralised system")]
        means: String,
    },
    /// Read a document of a case.
    Document {
        case: CaseId,
        /// Its row, as `show --json` has it.
        row: u64,
        /// The file to make.
        out: PathBuf,
    },
    /// The log's receipt of a demand, for the authority.
    Receipt {
        case: CaseId,
        /// The file to make.
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OutcomeArg {
    Comply,
    Narrow,
    Preserve,
    Refuse,
    Refer,
    Object,
    Clarify,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OfficeArg {
    Counsel,
    Approver,
}
