//! Commands and answers: what staff ask of the desk, signed, as JSON.
//!
//! Invariant: who acts is whoever's key signed the command, never a name in it. A signed
//! command is good once, for five minutes, at one cell.
//! Refs: specs/desk-command.md; house §2.4 "Four eyes".

use crate::approval::FactsConfirmed;
use crate::case::Verb;
use crate::decision::{Choice, Outcome};
use crate::demand::{Demand, DemandReceipt};
use crate::error::DeskError;
use crate::held::Held;
use crate::intake::SenderChecks;
use crate::notice::UserNotice;
use crate::register::Registrant;
use crate::scope::{Scope, ScopeDiff};
use crate::secrecy::NonDisclosureOrder;
use crate::show::{CaseFile, CaseLine, EpochCount};
use custody::holder::{Answer as ShareAnswer, GuardRequest, TrusteeRequest};
use custody::production::{CustodyRecord, ManifestSignature};
use custody::{Approval, LeafReceipt, ReleaseEvidence};
use law::Assessment;
use seal::Entropy;
use seal::mac::sha256;
use seal::sign::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vocab::{AccountId, CaseId, CellId, Digest, HolderId, PersonId, Timestamp};

/// Octets of a signed command as JSON.
pub const COMMAND_BYTES_MAX: usize = 48 << 20;
/// How far from the desk's clock a command's time may be, in seconds.
pub const CLOCK_SECONDS_MAX: u64 = 300;
/// Octets of sealed records in one page, and of a body in one piece.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// What is asked. Cases are 32 hex digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Enters a demand; the account is the one its identifiers lead to, if any.
    Receive {
        /// As the clerk read it.
        demand: Box<Demand>,
        /// The paper itself, hex, at most 16 MiB.
        #[serde(with = "crate::octets")]
        document: Vec<u8>,
        /// The account the demand names, if it is held here.
        #[serde(with = "crate::octets::maybe")]
        account: Option<AccountId>,
        /// Whether the same paper may have been entered before: it was served again.
        #[serde(default)]
        again: bool,
    },
    /// Checks the sender, and adds facts (members of [`law::Facts`], laid over what is known).
    Verify {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// What was checked.
        checks: SenderChecks,
        /// Facts found meanwhile.
        #[serde(default)]
        facts: serde_json::Map<String, serde_json::Value>,
    },
    /// Asks the law, with further facts if any.
    Assess {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Facts found meanwhile.
        #[serde(default)]
        facts: serde_json::Map<String, serde_json::Value>,
    },
    /// Corrects facts, also when the demand was served; the case begins anew.
    Correct {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// The facts as they are.
        facts: serde_json::Map<String, serde_json::Value>,
        /// What was wrong, at most 512 octets.
        why: String,
    },
    /// Decides.
    Decide {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// How.
        choice: Box<Choice>,
    },
    /// Narrows the scope.
    Narrow {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// To this.
        scope: Scope,
        /// Counsel's signature under the difference.
        diff: ScopeDiff,
    },
    /// Prepares the order: what the officers will sign.
    Prepare {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// The public key the station made for this order alone, hex.
        #[serde(with = "crate::octets")]
        recipient: Vec<u8>,
        /// How long the order is in force, in seconds; at most 30 days.
        valid_seconds: u64,
    },
    /// Signs the order.
    Approve {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Over the order's digest, by the person who signs the command.
        approval: Approval,
        /// The same person's word on the facts.
        facts: FactsConfirmed,
    },
    /// Returns the order to counsel.
    Return {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Why, in a coded word or two; it is in the log under salt.
        why: String,
    },
    /// The evidence and what to ask each holder. Wants the receipt of the authorisation.
    Holders {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// A holder's answer.
    Share {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// The answer.
        answer: ShareAnswer,
    },
    /// A holder's refusal.
    HolderRefused {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Who.
        #[serde(with = "crate::octets")]
        holder: HolderId,
        /// Why, at most 200 octets.
        why: String,
    },
    /// What the station opens with. Wants the receipt of the authorisation.
    Release {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// What the order names that needs no holder.
    Held {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// A page of sealed records of the order's epochs.
    Sealed {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Heads of arrived letters, or message rows.
        kind: SealedKind,
        /// From this row on.
        from: u64,
    },
    /// A piece of a sealed letter.
    Body {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Its row.
        row: u64,
        /// From this octet on.
        from: u64,
    },
    /// Closes the production: the desk signs its manifest, and the log takes it.
    Produce {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// `tagmanifest-sha256.txt`, hex.
        #[serde(with = "crate::octets")]
        tag_manifest: Vec<u8>,
        /// `custody.json`, which that manifest lists.
        record: CustodyRecord,
    },
    /// The receipt of the production, to be put into it. Wants that receipt from the log.
    ProductionReceipt {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Records what left.
    Deliver {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// SHA-256 of the encrypted package.
        #[serde(with = "crate::octets")]
        package: Digest,
        /// Its octets.
        bytes: u64,
        /// By what means, at most 200 octets.
        means: String,
    },
    /// Stays execution.
    Stay {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// By whose order, at most 512 octets.
        why: String,
    },
    /// Lifts a stay; the case is assessed and decided anew.
    Lift {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// By whose order, at most 512 octets.
        why: String,
    },
    /// Records an appeal, ours or theirs.
    Appeal {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Before which court, at most 512 octets.
        court: String,
    },
    /// Records that the authority took the demand back.
    Withdraw {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// In its words, at most 512 octets.
        why: String,
    },
    /// Closes the case.
    Close {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Keeps the account's sealed records from disappearing, or keeps them longer.
    Preserve {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Until when; `null` for as long as the law says.
        #[serde(with = "custody::octets::maybe_time")]
        until: Option<Timestamp>,
    },
    /// Ends a preservation: once it has run out, or when a second person says so.
    EndPreservation {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Records a non-disclosure order, or its renewal.
    Secrecy {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// The order.
        order: NonDisclosureOrder,
    },
    /// Records notice to the owner.
    Notice {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Where it stands.
        notice: UserNotice,
    },
    /// Writes the letter that goes with the decision, and files it.
    Letter {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Counts sealed letters by month, without opening any.
    Count {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Reads the file.
    Show {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Reads a document of the case by its row.
    Document {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
        /// Which document, as [`CaseFile`] lists them.
        row: u64,
    },
    /// The log's receipt of the case's first entry, for the authority. Wants that receipt.
    DemandReceipt {
        /// Which case.
        #[serde(with = "crate::octets")]
        case: CaseId,
    },
    /// Lists cases by deadline.
    List {
        /// Only those whose time has run out.
        #[serde(default)]
        overdue: bool,
    },
    /// Enrols an authority; it counts once another person confirms it.
    EnrolAuthority {
        /// Its name.
        name: String,
        /// Its State.
        place: law::Place,
        /// `age1…` or `age1pq1…`.
        recipient: String,
        /// Where the call-back number was found.
        number_from: String,
        /// When it was called back.
        #[serde(with = "crate::octets::time")]
        called_back: Timestamp,
    },
    /// Confirms an authority that another person enrolled.
    ConfirmAuthority {
        /// Which.
        #[serde(with = "crate::octets")]
        id: [u8; 16],
    },
    /// Reads the register.
    Register,
}

/// Which sealed records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealedKind {
    /// Heads of letters that arrived and are not folded.
    Head,
    /// Message rows.
    Message,
}

impl Command {
    /// What the table of acts knows it by.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Receive { .. } => Verb::Receive,
            Self::Verify { .. } => Verb::Verify,
            Self::Assess { .. } => Verb::Assess,
            Self::Correct { .. } => Verb::Correct,
            Self::Decide { choice, .. } => choice.outcome.verb(),
            Self::Narrow { .. } => Verb::Narrow,
            Self::Prepare { .. } => Verb::Prepare,
            Self::Approve { .. } => Verb::Approve,
            Self::Return { .. } => Verb::Return,
            Self::Holders { .. } | Self::Share { .. } | Self::HolderRefused { .. } => Verb::Share,
            Self::Release { .. } => Verb::Release,
            Self::Held { .. } | Self::Sealed { .. } | Self::Body { .. } => Verb::Fetch,
            Self::Produce { .. } => Verb::Produce,
            Self::Deliver { .. } => Verb::Deliver,
            Self::Stay { .. } => Verb::Stay,
            Self::Lift { .. } => Verb::Lift,
            Self::Appeal { .. } => Verb::Appeal,
            Self::Withdraw { .. } => Verb::Withdraw,
            Self::Close { .. } => Verb::Close,
            Self::Preserve { .. } => Verb::Preserve,
            Self::EndPreservation { .. } => Verb::EndPreservation,
            Self::Secrecy { .. } => Verb::Secrecy,
            Self::Notice { .. } => Verb::Notice,
            Self::Letter { .. } => Verb::Letter,
            Self::Count { .. } => Verb::Count,
            Self::Show { .. } => Verb::Show,
            Self::Document { .. } | Self::DemandReceipt { .. } | Self::ProductionReceipt { .. } => {
                Verb::Document
            }
            Self::List { .. } | Self::Register => Verb::List,
            Self::EnrolAuthority { .. } | Self::ConfirmAuthority { .. } => Verb::Enrol,
        }
    }

    /// The case it is about.
    #[must_use]
    pub fn case(&self) -> Option<CaseId> {
        match self {
            Self::Verify { case, .. }
            | Self::Assess { case, .. }
            | Self::Correct { case, .. }
            | Self::Decide { case, .. }
            | Self::Narrow { case, .. }
            | Self::Prepare { case, .. }
            | Self::Approve { case, .. }
            | Self::Return { case, .. }
            | Self::Holders { case }
            | Self::Share { case, .. }
            | Self::HolderRefused { case, .. }
            | Self::Release { case }
            | Self::Held { case }
            | Self::Sealed { case, .. }
            | Self::Body { case, .. }
            | Self::Produce { case, .. }
            | Self::ProductionReceipt { case }
            | Self::Deliver { case, .. }
            | Self::Stay { case, .. }
            | Self::Lift { case, .. }
            | Self::Appeal { case, .. }
            | Self::Withdraw { case, .. }
            | Self::Close { case }
            | Self::Preserve { case, .. }
            | Self::EndPreservation { case }
            | Self::Secrecy { case, .. }
            | Self::Notice { case, .. }
            | Self::Letter { case }
            | Self::Count { case }
            | Self::Show { case }
            | Self::Document { case, .. }
            | Self::DemandReceipt { case } => Some(*case),
            Self::Receive { .. }
            | Self::List { .. }
            | Self::EnrolAuthority { .. }
            | Self::ConfirmAuthority { .. }
            | Self::Register => None,
        }
    }
}

/// A command, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Who.
    #[serde(with = "crate::octets")]
    pub person: PersonId,
    /// When.
    #[serde(with = "crate::octets::time")]
    pub at: Timestamp,
    /// Chance, so that the same may be asked twice within one second.
    #[serde(with = "crate::octets")]
    pub nonce: [u8; 16],
    /// The [`Command`] as JSON text.
    pub command: String,
    /// Ed25519 over [`Signed::message`].
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

impl Signed {
    /// What is signed.
    #[must_use]
    pub fn message(
        cell: CellId,
        person: PersonId,
        at: Timestamp,
        nonce: &[u8; 16],
        command: &str,
    ) -> Vec<u8> {
        let digest = sha256(&[command.as_bytes()]);
        let at = at.0.to_be_bytes();
        [b"bailiwick.v1 command\0".as_slice(), &cell.0, &person.0, &at, nonce, &digest.0].concat()
    }

    /// Signs a command in its person's own program.
    ///
    /// # Errors
    /// [`DeskError::Command`] if it cannot be written, or is too long.
    pub fn sign(
        cell: CellId,
        person: PersonId,
        key: &SigningKey,
        command: &Command,
        at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, DeskError> {
        let command = serde_json::to_string(command).map_err(|_| DeskError::Command)?;
        if command.len() > COMMAND_BYTES_MAX {
            return Err(DeskError::Command);
        }
        let mut nonce = [0; 16];
        entropy.fill(&mut nonce);
        let signature = key.sign(&Self::message(cell, person, at, &nonce, &command));
        Ok(Self { person, at, nonce, command, signature })
    }

    /// The command, whoever signed it. Reading it is no reason to carry it out.
    ///
    /// # Errors
    /// [`DeskError::Command`].
    pub fn command(&self) -> Result<Command, DeskError> {
        if self.command.len() > COMMAND_BYTES_MAX {
            return Err(DeskError::Command);
        }
        serde_json::from_str(&self.command).map_err(|_| DeskError::Command)
    }

    /// Whether this person signed it for this cell and now; gives the digest it is known by.
    pub(crate) fn check(
        &self,
        cell: CellId,
        key: &VerifyingKey,
        now: Timestamp,
    ) -> Result<Digest, DeskError> {
        let message = Self::message(cell, self.person, self.at, &self.nonce, &self.command);
        let timely = self.at.0.abs_diff(now.0) <= CLOCK_SECONDS_MAX;
        match key.verify(&message, &self.signature) {
            Ok(()) if timely => Ok(sha256(&[&message])),
            Ok(()) | Err(_) => Err(DeskError::Unsigned),
        }
    }
}

/// What a holder is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderRequest<R> {
    /// Whom.
    #[serde(with = "crate::octets")]
    pub holder: HolderId,
    /// What.
    pub request: R,
}

/// One sealed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRow {
    /// Its row.
    pub row: u64,
    /// Its octets, as sealed.
    #[serde(with = "crate::octets")]
    pub value: Vec<u8>,
}

/// An encoded [`seal::escrow::Escrow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EscrowOctets(#[serde(with = "crate::octets")] pub Vec<u8>);

/// What the desk answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It was done; the case is now so.
    Done {
        /// The state's word.
        state: crate::case::State,
    },
    /// A demand was entered.
    Received {
        /// For the authority.
        receipt: DemandReceipt,
    },
    /// The law's opinion.
    Opinion {
        /// In plain text, for counsel.
        text: String,
        /// Whole.
        opinion: Box<Assessment>,
    },
    /// A scope was narrowed.
    Narrowed {
        /// What changed, a line each.
        changes: Vec<String>,
    },
    /// An order was prepared.
    Prepared {
        /// The encoded [`custody::OrderRecord`].
        #[serde(with = "crate::octets")]
        order: Vec<u8>,
        /// Its digest, which officers sign.
        #[serde(with = "crate::octets")]
        digest: Digest,
        /// The scope's text.
        scope: String,
    },
    /// Whom to ask.
    Holders {
        /// The whole evidence.
        evidence: Box<ReleaseEvidence>,
        /// How many trustees or vault officers are needed.
        trustees_needed: u8,
        /// How many guards are needed.
        guards_needed: u8,
        /// What to ask each trustee or vault officer.
        trustees: Vec<HolderRequest<TrusteeRequest>>,
        /// What to ask each guard.
        guards: Vec<HolderRequest<GuardRequest>>,
    },
    /// What the station opens with.
    Released {
        /// The whole evidence.
        evidence: Box<ReleaseEvidence>,
        /// The escrows of the order's epochs.
        escrows: Vec<EscrowOctets>,
        /// The holders' answers so far.
        answers: Vec<ShareAnswer>,
        /// The age recipient of the authority.
        recipient: String,
    },
    /// What needs no holder.
    Held {
        /// All of it.
        held: Box<Held>,
    },
    /// A page of sealed records.
    Sealed {
        /// The records.
        rows: Vec<SealedRow>,
        /// Where the next page begins; `None` at the end.
        next: Option<u64>,
    },
    /// A piece of a sealed letter.
    Body {
        /// Its octets.
        #[serde(with = "crate::octets")]
        octets: Vec<u8>,
        /// The letter's sealed length.
        total: u64,
    },
    /// A non-disclosure order is on record.
    Secret {
        /// Log indexes of the case's leaves that are in the log in clear, and stay so.
        in_clear: Vec<u64>,
    },
    /// The desk's signature under a production.
    Produced {
        /// `manifest.sig`.
        signature: ManifestSignature,
    },
    /// A leaf of the case, with its proof.
    Receipt {
        /// `receipt.json`.
        receipt: Box<LeafReceipt>,
    },
    /// A letter to the authority.
    Letter {
        /// Its text.
        text: String,
        /// The document's row.
        row: u64,
    },
    /// Letters by month.
    Counts {
        /// A line for each month.
        epochs: Vec<EpochCount>,
        /// Octets of all letter bodies of the account that are folded already.
        folded_body_bytes: u64,
    },
    /// A case's file.
    File {
        /// The file.
        file: Box<CaseFile>,
    },
    /// A document.
    Document {
        /// Its octets.
        #[serde(with = "crate::octets")]
        octets: Vec<u8>,
    },
    /// Cases.
    Cases {
        /// A line for each.
        cases: Vec<CaseLine>,
    },
    /// An authority's identifier.
    Authority {
        /// 32 hex digits.
        #[serde(with = "crate::octets")]
        id: [u8; 16],
        /// Whether it counts.
        confirmed: bool,
    },
    /// The register.
    Register {
        /// Its rows.
        rows: Vec<Registrant>,
    },
}

/// An outcome's word, for tables.
impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.word())
    }
}
