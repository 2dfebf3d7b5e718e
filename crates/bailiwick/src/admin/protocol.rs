//! What is asked and answered over the administration socket: a line of JSON each way.
//!
//! Invariant: requests that carry a secret have no `Debug`; a request is at most
//! [`LINE_OCTETS_MAX`] long.

use serde::{Deserialize, Serialize};

use crate::cell::retention::RetentionAnswer;
use crate::cell::undelete::{Expunged, ExpungedAnswer};
use crate::identity::Identity;
use crate::memory::MemoryAnswer;
use crate::upkeep::{BackupAnswer, StoreAnswer};

/// The longest request or answer line.
pub(crate) const LINE_OCTETS_MAX: u64 = 64 << 20;

/// How custody is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Custody {
    Sealed,
    Trustee,
    Managed,
}

impl From<Custody> for vocab::Custody {
    fn from(custody: Custody) -> Self {
        match custody {
            Custody::Sealed => Self::Sealed,
            Custody::Trustee => Self::Trustee,
            Custody::Managed => Self::Managed,
        }
    }
}

impl From<vocab::Custody> for Custody {
    fn from(custody: vocab::Custody) -> Self {
        match custody {
            vocab::Custody::Sealed => Self::Sealed,
            vocab::Custody::Trustee => Self::Trustee,
            vocab::Custody::Managed => Self::Managed,
        }
    }
}

/// A request.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Request {
    AccountCreate {
        address: String,
        custody: Custody,
        password: Option<String>,
    },
    /// Gives an account that `AccountCreate` made its address, once its secrets were shown.
    AccountAddress {
        account: String,
        address: String,
    },
    AccountList,
    AccountMap {
        address: String,
    },
    AccountShow {
        address: String,
    },
    /// What an account holds and may hold; and another quota, if one is given.
    AccountQuota {
        address: String,
        change: Option<QuotaChange>,
    },
    /// Looks through an account; `accept` makes what is there what it goes on with.
    AccountCheck {
        address: String,
        secret: String,
        accept: bool,
    },
    /// What was expunged and can still be put back.
    AccountExpunged {
        address: String,
        secret: String,
        what: Expunged,
    },
    /// How long messages are kept; and other days for a mailbox, or for the account.
    AccountRetention {
        address: String,
        secret: String,
        mailbox: Option<String>,
        days: Option<u16>,
    },
    /// A new password in the place of the old one.
    AccountPassword {
        address: String,
        secret: String,
        password: String,
        suspect: bool,
    },
    /// A new recovery code beside the old one; or, with the slot of a new one and that code as the
    /// secret, the end of every other.
    AccountRecovery {
        address: String,
        secret: String,
        suspect: bool,
        #[serde(default)]
        confirm: Option<String>,
    },
    /// New keys for all of an account; in another custody, if one is named.
    AccountRekey {
        address: String,
        secret: String,
        custody: Option<Custody>,
    },
    /// Deletes an account: one of its addresses and its owner's secret; or the identifier of one
    /// that no address ever led to, without.
    AccountDelete {
        which: String,
        secret: Option<String>,
    },
    /// Marks an account as leaving for another cell, and writes its parcel to this path.
    AccountLeave {
        address: String,
        secret: String,
        to: String,
        parcel: String,
    },
    /// The account does not leave.
    AccountStay {
        address: String,
        secret: String,
    },
    /// Lets an account go that has arrived.
    AccountPart {
        acceptance: String,
    },
    /// Takes in the parcel at this path, of the cell with this key.
    AccountArrive {
        parcel: String,
        from: String,
        secret: String,
    },
    /// Brings an account to life that arrived and was let go.
    AccountSettle {
        discharge: String,
        address: String,
        secret: String,
    },
    UnlockerList {
        address: String,
        secret: String,
    },
    /// A new app password.
    UnlockerAdd {
        secret: String,
        #[serde(flatten)]
        wanted: Wanted,
    },
    /// A new token.
    UnlockerToken {
        secret: String,
        #[serde(flatten)]
        wanted: Wanted,
    },
    UnlockerRename {
        address: String,
        secret: String,
        slot: String,
        name: String,
    },
    UnlockerRevoke {
        address: String,
        secret: String,
        slot: String,
    },
    AliasAdd {
        alias: String,
        address: String,
    },
    AliasRemove {
        alias: String,
    },
    Cell,
    Log,
    /// Lets the log go on past the fork of this name.
    LogResume {
        fork: String,
    },
    Queue,
    /// Makes every letter of the outbound queue due now.
    QueueFlush,
    StoreCheck,
    /// Adds a point to the backup in this folder, and keeps the newest so many.
    Backup {
        to: String,
        keep: u32,
    },
    /// The account an address leads to, for a clerk who enters a demand.
    AccountOf {
        address: String,
    },
    StaffEnrol {
        staff: Box<desk::Staff>,
    },
    Trust,
    Desk {
        signed: Box<desk::Signed>,
    },
}

/// What new unlocker is asked for.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) address: String,
    pub(crate) scope: u8,
    #[serde(default)]
    pub(crate) name: String,
    /// Networks it may be used from; none if from anywhere.
    #[serde(default)]
    pub(crate) from: Vec<String>,
    /// How long it serves.
    #[serde(default)]
    pub(crate) seconds: Option<u64>,
}

impl Request {
    /// Whether it waits for a log that is stopped. The desk's files may be read meanwhile, and what
    /// would be lost is kept: demands, letters, and that they are secret. Nothing else of a case
    /// goes on.
    pub(crate) fn waits_for_log(&self) -> bool {
        use desk::Command::{Count, Document, List, Preserve, Receive, Register, Secrecy, Show};
        match self {
            Self::AccountCreate { .. }
            | Self::AccountAddress { .. }
            | Self::AccountCheck { accept: true, .. }
            | Self::AccountPassword { .. }
            | Self::AccountRecovery { .. }
            | Self::AccountRekey { .. }
            | Self::AccountDelete { .. }
            | Self::AccountLeave { .. }
            | Self::AccountStay { .. }
            | Self::AccountPart { .. }
            | Self::AccountArrive { .. }
            | Self::AccountSettle { .. }
            | Self::UnlockerAdd { .. }
            | Self::UnlockerToken { .. }
            | Self::UnlockerRevoke { .. }
            | Self::AliasAdd { .. }
            | Self::AliasRemove { .. }
            | Self::StaffEnrol { .. } => true,
            Self::Desk { signed } => !matches!(
                signed.command(),
                Ok(Show { .. }
                    | Document { .. }
                    | Count { .. }
                    | List { .. }
                    | Register
                    | Receive { .. }
                    | Preserve { .. }
                    | Secrecy { .. })
            ),
            Self::AccountList
            | Self::AccountMap { .. }
            | Self::AccountShow { .. }
            | Self::AccountQuota { .. }
            | Self::AccountCheck { accept: false, .. }
            | Self::AccountExpunged { .. }
            | Self::AccountRetention { .. }
            | Self::UnlockerList { .. }
            | Self::UnlockerRename { .. }
            | Self::Cell
            | Self::Log
            | Self::LogResume { .. }
            | Self::Queue
            | Self::QueueFlush
            | Self::StoreCheck
            | Self::Backup { .. }
            | Self::AccountOf { .. }
            | Self::Trust => false,
        }
    }
}

/// An answer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done, and there is nothing to say.
    Done,
    Created {
        account: String,
        has_password: bool,
        recovery_code: String,
        app_password: String,
        slot: String,
    },
    Accounts {
        accounts: Vec<AccountLine>,
    },
    Shown(AccountAnswer),
    Checked(CheckAnswer),
    Rekeyed(RekeyAnswer),
    Map {
        custody: Custody,
        lines: Vec<MapLine>,
    },
    AppPassword {
        slot: String,
        app_password: String,
    },
    Token {
        slot: String,
        token: String,
    },
    Recovery {
        slot: String,
        recovery_code: String,
    },
    /// An account was deleted. How much is overwritten is not said: of what is preserved nothing is,
    /// and a preservation must be told to nobody.
    Deleted {
        /// Until when nobody may take its addresses, in seconds since 1970.
        closed_until: u64,
    },
    /// A parcel was written, or taken in.
    Parcel(ParcelAnswer),
    /// A text to be handed on.
    Paper {
        text: String,
    },
    Unlockers {
        unlockers: Vec<UnlockerLine>,
    },
    Cell {
        identity: Identity,
        memory: MemoryAnswer,
    },
    Log(LogAnswer),
    Queue(QueueAnswer),
    Store(StoreAnswer),
    Backup(BackupAnswer),
    Quota(QuotaAnswer),
    Expunged(ExpungedAnswer),
    Retention(RetentionAnswer),
    Account {
        account: String,
    },
    Trust {
        policy: String,
    },
    /// A key was made on this machine; this is its public half.
    Made {
        public: String,
    },
    Desk {
        said: Box<desk::Answer>,
    },
    /// It was not done.
    Refused {
        what: String,
        cure: String,
    },
}

impl Answer {
    /// The answer, or the refusal as an error.
    pub(crate) fn or_refusal(self) -> anyhow::Result<Self> {
        if let Self::Refused { what, cure } = &self {
            anyhow::bail!("{what}\n  cure: {cure}");
        }
        Ok(self)
    }
}

/// A parcel that was written, or taken in.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParcelAnswer {
    pub(crate) account: String,
    /// The parcel's digest.
    pub(crate) parcel: String,
    pub(crate) records: u64,
    pub(crate) octets: u64,
    /// The owner's acceptance of what was taken in.
    pub(crate) paper: Option<String>,
}

/// One account, without its addresses.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountLine {
    pub(crate) account: String,
    /// None of one that is moving.
    pub(crate) custody: Option<Custody>,
    /// `none`, `present` or `earlier`, as in [`AccountAnswer`]; or `moving`.
    pub(crate) holders: String,
    pub(crate) addresses: u64,
    pub(crate) arrived_unfolded: u64,
    pub(crate) records: u64,
    pub(crate) octets: u64,
}

/// One unlocker, as its owner sees it. Times in seconds since 1970.
#[derive(Serialize, Deserialize)]
pub(crate) struct UnlockerLine {
    pub(crate) slot: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) scope: Vec<String>,
    /// Networks it may be used from; none if from anywhere.
    pub(crate) from: Vec<String>,
    pub(crate) created: u64,
    pub(crate) expires: Option<u64>,
    /// The beginning of the day on which it last opened mail or sent some.
    pub(crate) last_used: Option<u64>,
    /// The sessions it let in that outlive a restart, and when each has ended for certain.
    #[serde(default)]
    pub(crate) sessions: Vec<(String, u64)>,
}

/// An account that was re-keyed.
#[derive(Serialize, Deserialize)]
pub(crate) struct RekeyAnswer {
    pub(crate) before: Custody,
    pub(crate) custody: Custody,
    /// Whether the old keys are gone already; else they go after the owner's next logins.
    pub(crate) is_finished: bool,
}

/// One account: who holds what of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountAnswer {
    pub(crate) account: String,
    pub(crate) custody: Custody,
    /// How often its keystore was changed, from 1.
    pub(crate) version: u64,
    /// `none` in custody `sealed`; `present` if the holders are those of the configuration;
    /// `earlier` until its owner's next login.
    pub(crate) holders: String,
    /// The escrow policy its manifest names.
    pub(crate) policy: Option<String>,
    /// `trustees` (or `vault`) and `guards`: how many are needed, and who they are.
    pub(crate) sides: Vec<SideLine>,
}

/// What was found of an account.
#[derive(Serialize, Deserialize)]
pub(crate) struct CheckAnswer {
    pub(crate) messages: u64,
    pub(crate) mailboxes: u64,
    /// Letters that came while it was looked through.
    pub(crate) waiting: u64,
    pub(crate) findings: Vec<FindingLine>,
    /// Whether what is there was accepted for what is to be there.
    pub(crate) is_accepted: bool,
}

impl CheckAnswer {
    /// Whether nothing is wrong, or its owner goes on with what is.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.is_empty() || self.is_accepted
    }
}

/// One thing that is wrong, and what can be done.
#[derive(Serialize, Deserialize)]
pub(crate) struct FindingLine {
    pub(crate) what: String,
    pub(crate) cure: String,
}

/// One side of an escrow.
#[derive(Serialize, Deserialize)]
pub(crate) struct SideLine {
    pub(crate) side: String,
    pub(crate) needed: u8,
    pub(crate) holders: Vec<String>,
    /// What the configuration or the desk's register calls each of them, if either knows it.
    pub(crate) names: Vec<Option<String>>,
}

/// One line of an account's record map.
#[derive(Serialize, Deserialize)]
pub(crate) struct MapLine {
    pub(crate) kind: String,
    pub(crate) category: String,
    pub(crate) opens_for: String,
    pub(crate) kept: String,
    pub(crate) records: u64,
    pub(crate) octets: u64,
}

/// Another quota for an account.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QuotaChange {
    /// What is usual in the cell.
    Usual,
    /// Its own; what is left out has no limit.
    Own { octets: Option<u64>, messages: Option<u64> },
}

/// What an account may hold and what it holds; what is left out has no limit.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuotaAnswer {
    /// Whether it is the cell's for all accounts.
    pub(crate) is_usual: bool,
    pub(crate) octets: Option<u64>,
    pub(crate) messages: Option<u64>,
    pub(crate) used_octets: u64,
    pub(crate) used_messages: u64,
}

/// What the outbound queue holds: counts and times, no names.
#[derive(Serialize, Deserialize)]
pub(crate) struct QueueAnswer {
    /// Letters.
    pub(crate) waiting: u64,
    /// Of these, being tried now.
    pub(crate) delivering: u64,
    /// Of these, tried before without success for somebody.
    pub(crate) deferred: u64,
    /// How long ago the oldest was accepted.
    pub(crate) oldest_seconds: Option<u64>,
    /// In how long the next is tried; 0 if it is due.
    pub(crate) next_seconds: Option<u64>,
}

/// Where the log stands.
#[derive(Serialize, Deserialize)]
pub(crate) struct LogAnswer {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) cosigned_by: Vec<String>,
    /// Witnesses that did not cosign when they were last asked, and why.
    pub(crate) refusals: Vec<(String, String)>,
    pub(crate) checkpoint: String,
    /// Events under secrecy that wait for a batch, and how many a batch takes.
    pub(crate) waiting: u64,
    pub(crate) batch: u64,
    /// Events that cannot be made into a leaf.
    pub(crate) set_aside: u64,
    pub(crate) stopped: Option<StoppedLog>,
}

/// Why the log is stopped.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoppedLog {
    /// The name of the fork, for `log resume`.
    pub(crate) fork: String,
    pub(crate) witness: String,
    /// When it was found, in seconds since 1970.
    pub(crate) found: u64,
    /// Leaves in the checkpoint that the witness holds, and in this log.
    pub(crate) theirs: u64,
    pub(crate) ours: u64,
    pub(crate) cure: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use desk::Command;
    use vocab::{CaseId, CellId, PersonId, Timestamp};

    #[test]
    fn while_the_log_is_stopped_cases_are_read_and_letters_preserved_and_no_more() {
        let key = seal::sign::SigningKey::generate(&OsEntropy).unwrap();
        let waits = |command: &Command| {
            let (cell, person) = (CellId([1; 16]), PersonId([2; 16]));
            let signed =
                desk::Signed::sign(cell, person, &key, command, Timestamp(1), &OsEntropy).unwrap();
            Request::Desk { signed: Box::new(signed) }.waits_for_log()
        };
        let case = CaseId([3; 16]);
        let goes_on = [
            Command::Show { case },
            Command::List { overdue: false },
            Command::Register,
            Command::Preserve { case, until: None },
        ];
        assert!(!goes_on.iter().any(waits));
        let acts = [
            Command::Close { case },
            Command::EndPreservation { case },
            Command::Holders { case },
            Command::Release { case },
            Command::Body { case, row: 1, from: 0 },
            Command::ProductionReceipt { case },
        ];
        assert!(acts.iter().all(waits));
    }
}
