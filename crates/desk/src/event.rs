//! Events: what happened to a case, appended and never changed.
//!
//! Invariant: an event holds all that its leaf in the log needs, so that the leaf can be made
//! again after a crash. Events and documents are sealed to the cell.
//! Refs: docs/life-of-a-demand.md; specs/log-entry.md §8.

use crate::approval::FactsConfirmed;
use crate::case::Verb;
use crate::decision::Outcome;
use crate::demand::Demand;
use crate::intake::SenderChecks;
use crate::notice::UserNotice;
use crate::scope::{Scope, ScopeDiff};
use crate::secrecy::NonDisclosureOrder;
use custody::production::CustodyRecord;
use custody::{Act, Approval};
use law::{Assessment, Facts, ReasonCode};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use vocab::{AccountId, CaseId, Digest, HolderId, PersonId, Timestamp};

/// Who acted when the machine did: no person.
pub(crate) const MACHINE: PersonId = PersonId([0; 16]);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// The case; `None` for what concerns the desk as a whole.
    pub(crate) case: Option<CaseId>,
    pub(crate) at: Timestamp,
    pub(crate) by: PersonId,
    /// Digest of the signed command that it follows from, which is so carried out once.
    pub(crate) command: Option<Digest>,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum What {
    StaffActed {
        #[serde(with = "crate::octets::maybe")]
        account: Option<AccountId>,
        word: String,
    },
    Received {
        demand: Box<Demand>,
        #[serde(with = "crate::octets")]
        document: Digest,
        row: u64,
        #[serde(with = "crate::octets::maybe")]
        account: Option<AccountId>,
        /// The last case before this one with the same paper.
        #[serde(with = "crate::octets::maybe")]
        same_as: Option<CaseId>,
    },
    Verified {
        checks: SenderChecks,
        facts: Box<Facts>,
    },
    Assessed {
        facts: Box<Facts>,
        opinion: Box<Assessment>,
    },
    Corrected {
        facts: Box<Facts>,
        why: String,
    },
    Decided {
        outcome: Outcome,
        reason: Option<String>,
        scope: Option<Scope>,
        codes: Vec<ReasonCode>,
        #[serde(with = "crate::octets")]
        demand: Digest,
        #[serde(with = "crate::octets")]
        digest: Digest,
    },
    Narrowed {
        scope: Scope,
        diff: ScopeDiff,
    },
    Prepared {
        #[serde(with = "crate::octets")]
        order: Vec<u8>,
        scope: String,
    },
    Approved {
        #[serde(with = "crate::octets")]
        order: Digest,
        approval: Approval,
        facts: FactsConfirmed,
    },
    Authorised {
        #[serde(with = "crate::octets")]
        order: Vec<u8>,
        approvals: Vec<Approval>,
    },
    Returned {
        #[serde(with = "crate::octets")]
        order: Digest,
        why: String,
    },
    Shared {
        #[serde(with = "crate::octets")]
        holder: HolderId,
        row: u64,
    },
    HolderRefused {
        #[serde(with = "crate::octets")]
        order: Digest,
        #[serde(with = "crate::octets")]
        holder: HolderId,
        why: String,
    },
    Released,
    Produced {
        #[serde(with = "crate::octets")]
        scope: Digest,
        #[serde(with = "crate::octets")]
        manifest: Digest,
        record: CustodyRecord,
    },
    Delivered {
        #[serde(with = "crate::octets")]
        package: Digest,
        bytes: u64,
        means: String,
    },
    Stayed {
        why: String,
    },
    Lifted {
        why: String,
    },
    Appealed {
        court: String,
    },
    Withdrawn {
        why: String,
    },
    Closed,
    Preserved {
        #[serde(with = "crate::octets::time")]
        until: Timestamp,
        rows: u64,
    },
    PreservationRenewed {
        #[serde(with = "crate::octets::time")]
        until: Timestamp,
    },
    PreservationEnds {
        done: bool,
    },
    Secrecy {
        order: NonDisclosureOrder,
    },
    Notice {
        notice: UserNotice,
        #[serde(with = "crate::octets::maybe")]
        account: Option<AccountId>,
    },
    Letter {
        row: u64,
    },
    Logged {
        event: u64,
        index: u64,
        /// Whether its leaf was sealed.
        sealed: bool,
    },
}

impl What {
    /// What the table of states knows it by; `None` for what changes no case.
    pub(crate) fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::StaffActed { .. } | Self::Logged { .. } => return None,
            Self::Received { .. } => Verb::Receive,
            Self::Verified { .. } => Verb::Verify,
            Self::Assessed { .. } => Verb::Assess,
            Self::Corrected { .. } => Verb::Correct,
            Self::Decided { outcome, .. } => outcome.verb(),
            Self::Narrowed { .. } => Verb::Narrow,
            Self::Prepared { .. } => Verb::Prepare,
            Self::Approved { .. } => Verb::Approve,
            Self::Authorised { .. } => Verb::Authorise,
            Self::Returned { .. } => Verb::Return,
            Self::Shared { .. } | Self::HolderRefused { .. } => Verb::Share,
            Self::Released => Verb::Release,
            Self::Produced { .. } => Verb::Produce,
            Self::Delivered { .. } => Verb::Deliver,
            Self::Stayed { .. } => Verb::Stay,
            Self::Lifted { .. } => Verb::Lift,
            Self::Appealed { .. } => Verb::Appeal,
            Self::Withdrawn { .. } => Verb::Withdraw,
            Self::Closed => Verb::Close,
            Self::Preserved { .. } | Self::PreservationRenewed { .. } => Verb::Preserve,
            Self::PreservationEnds { .. } => Verb::EndPreservation,
            Self::Secrecy { .. } => Verb::Secrecy,
            Self::Notice { .. } => Verb::Notice,
            Self::Letter { .. } => Verb::Letter,
        })
    }

    /// The event's name, for the file.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::StaffActed { .. } => "staff acted",
            Self::Received { .. } => "received",
            Self::Verified { .. } => "verified",
            Self::Assessed { .. } => "assessed",
            Self::Corrected { .. } => "facts corrected",
            Self::Decided { .. } => "decided",
            Self::Narrowed { .. } => "narrowed",
            Self::Prepared { .. } => "order prepared",
            Self::Approved { .. } => "approved",
            Self::Authorised { .. } => "release authorised",
            Self::Returned { .. } => "returned to counsel",
            Self::Shared { .. } => "share received",
            Self::HolderRefused { .. } => "holder refused",
            Self::Released => "released to the station",
            Self::Produced { .. } => "produced",
            Self::Delivered { .. } => "delivered",
            Self::Stayed { .. } => "stayed",
            Self::Lifted { .. } => "stay lifted",
            Self::Appealed { .. } => "appealed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Closed => "closed",
            Self::Preserved { .. } => "preserved",
            Self::PreservationRenewed { .. } => "preservation renewed",
            Self::PreservationEnds { done: true } => "preservation ended",
            Self::PreservationEnds { done: false } => "end of preservation asked",
            Self::Secrecy { .. } => "non-disclosure order",
            Self::Notice { .. } => "notice to the owner",
            Self::Letter { .. } => "letter",
            Self::Logged { .. } => "logged",
        }
    }

    /// Which act the log shows of it.
    pub(crate) fn act(&self) -> Option<Act> {
        match self {
            Self::StaffActed { .. } => Some(Act::StaffAct),
            Self::Received { .. } => Some(Act::Received),
            Self::Decided { outcome, .. } if outcome.refuses() => Some(Act::Rejected),
            Self::Decided { .. } => Some(Act::Decided),
            Self::Approved { .. } => Some(Act::Approve),
            Self::Authorised { .. } => Some(Act::Authorised),
            Self::Returned { .. } | Self::HolderRefused { .. } => Some(Act::Refuse),
            Self::Produced { .. } => Some(Act::Done),
            Self::Notice { notice: UserNotice::Sent { .. }, account: Some(_) } => Some(Act::Notice),
            Self::Secrecy { .. }
            | Self::Preserved { .. }
            | Self::PreservationRenewed { .. }
            | Self::PreservationEnds { done: true } => Some(Act::StaffAct),
            Self::Verified { .. }
            | Self::Assessed { .. }
            | Self::Corrected { .. }
            | Self::Narrowed { .. }
            | Self::Prepared { .. }
            | Self::Shared { .. }
            | Self::Released
            | Self::Delivered { .. }
            | Self::Stayed { .. }
            | Self::Lifted { .. }
            | Self::Appealed { .. }
            | Self::Withdrawn { .. }
            | Self::Closed
            | Self::PreservationEnds { done: false }
            | Self::Notice { .. }
            | Self::Letter { .. }
            | Self::Logged { .. } => None,
        }
    }
}

/// An event as it is sealed: the numbers are an on-disk format, never reuse one.
#[derive(Encode, Decode)]
struct Kept {
    #[n(0)]
    version: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    case: Option<[u8; 16]>,
    #[n(2)]
    at: u64,
    #[cbor(n(3), with = "minicbor::bytes")]
    by: [u8; 16],
    /// [`What`] as JSON.
    #[cbor(n(4), with = "minicbor::bytes")]
    what: Vec<u8>,
    #[cbor(n(5), with = "minicbor::bytes")]
    command: Option<[u8; 32]>,
}

impl Event {
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let kept = Kept {
            version: 1,
            case: self.case.map(|case| case.0),
            at: self.at.0,
            by: self.by.0,
            what: serde_json::to_vec(&self.what).ok()?,
            command: self.command.map(|command| command.0),
        };
        minicbor::to_vec(&kept).ok()
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let kept: Kept = minicbor::decode(octets).ok()?;
        let what = serde_json::from_slice(&kept.what).ok().filter(|_| kept.version == 1)?;
        let (at, by) = (Timestamp(kept.at), PersonId(kept.by));
        let command = kept.command.map(Digest);
        Some(Self { case: kept.case.map(CaseId), at, by, command, what })
    }
}
