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
    AccountList,
    AccountMap {
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
    Queue,
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

/// An answer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done, and there is nothing to say.
    Done,
    Created {
        account: String,
        recovery_code: String,
        app_password: String,
        slot: String,
    },
    Accounts {
        accounts: Vec<AccountLine>,
    },
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
    Queue {
        waiting: u64,
        delivering: u64,
    },
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
    pub(crate) addresses: u64,
    pub(crate) arrived_unfolded: u64,
    pub(crate) records: u64,
    pub(crate) octets: u64,
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

/// Where the log stands.
#[derive(Serialize, Deserialize)]
pub(crate) struct LogAnswer {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) cosigned_by: Vec<String>,
    pub(crate) checkpoint: String,
}
