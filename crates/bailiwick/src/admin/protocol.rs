//! What is asked and answered over the administration socket: a line of JSON each way.
//!
//! Invariant: requests that carry a secret have no `Debug`; a request is at most
//! [`LINE_OCTETS_MAX`] long.

use serde::{Deserialize, Serialize};

use crate::identity::Identity;

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
    AppPasswordAdd {
        address: String,
        secret: String,
        scope: u8,
    },
    AppPasswordRevoke {
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

impl Request {
    /// Whether what it asks for is to be in the log. The desk's files may be read while the log
    /// is stopped; nothing else of a case goes on.
    pub(crate) fn is_logged(&self) -> bool {
        use desk::Command::{Count, Document, List, Register, Show};
        match self {
            Self::AccountCreate { .. }
            | Self::AccountAddress { .. }
            | Self::AppPasswordAdd { .. }
            | Self::AppPasswordRevoke { .. }
            | Self::AliasAdd { .. }
            | Self::AliasRemove { .. }
            | Self::StaffEnrol { .. } => true,
            Self::Desk { signed } => !matches!(
                signed.command(),
                Ok(Show { .. } | Document { .. } | Count { .. } | List { .. } | Register)
            ),
            Self::AccountList
            | Self::AccountMap { .. }
            | Self::AccountShow { .. }
            | Self::Cell
            | Self::Log
            | Self::LogResume { .. }
            | Self::Queue
            | Self::QueueFlush
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
    Map {
        custody: Custody,
        lines: Vec<MapLine>,
    },
    AppPassword {
        slot: String,
        app_password: String,
    },
    Cell {
        identity: Identity,
    },
    Log(LogAnswer),
    Queue(QueueAnswer),
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

/// One account, without its addresses.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountLine {
    pub(crate) account: String,
    pub(crate) custody: Custody,
    /// `none`, `present` or `earlier`, as in [`AccountAnswer`].
    pub(crate) holders: String,
    pub(crate) addresses: u64,
    pub(crate) arrived_unfolded: u64,
    pub(crate) records: u64,
    pub(crate) octets: u64,
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

/// One side of an escrow.
#[derive(Serialize, Deserialize)]
pub(crate) struct SideLine {
    pub(crate) side: String,
    pub(crate) needed: u8,
    pub(crate) holders: Vec<String>,
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
    fn while_the_log_is_stopped_cases_are_read_and_no_more() {
        let key = seal::sign::SigningKey::generate(&OsEntropy).unwrap();
        let is_logged = |command: &Command| {
            let (cell, person) = (CellId([1; 16]), PersonId([2; 16]));
            let signed =
                desk::Signed::sign(cell, person, &key, command, Timestamp(1), &OsEntropy).unwrap();
            Request::Desk { signed: Box::new(signed) }.is_logged()
        };
        let case = CaseId([3; 16]);
        let reads = [Command::Show { case }, Command::List { overdue: false }, Command::Register];
        assert!(!reads.iter().any(is_logged));
        let acts = [
            Command::Close { case },
            Command::Holders { case },
            Command::Release { case },
            Command::Body { case, row: 1, from: 0 },
            Command::ProductionReceipt { case },
        ];
        assert!(acts.iter().all(is_logged));
    }
}
