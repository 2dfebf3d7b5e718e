//! Cases: where a demand is, who may do what to it next, and what is known.
//!
//! Invariant: a case is the fold of its events, and the one table below says which act leads
//! from which state to which, and whose it is. Nothing else changes a state.
//! Refs: docs/life-of-a-demand.md; docs/adr/0006-desk.md.

use crate::decision::Outcome;
use crate::demand::Demand;
use crate::error::DeskError;
use crate::event::{Event, What};
use crate::intake::SenderChecks;
use crate::log::LoggedAt;
use crate::notice::UserNotice;
use crate::refusal::Lack;
use crate::register::Role;
use crate::scope::Scope;
use crate::secrecy::NonDisclosureOrder;
use core::fmt;
use custody::Approval;
use custody::production::CustodyRecord;
use law::{Assessment, Facts, ReasonCode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vocab::{AccountId, CaseId, Digest, HolderId, PersonId, Timestamp};

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $name:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $type { $($(#[$vdoc])* $name,)* }

        impl $type {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// Where a case is.
    State {
        /// Entered, nothing checked.
        Received = "received",
        /// The sender is who it says.
        Verified = "verified",
        /// The law has been asked.
        Assessed = "assessed",
        /// Counsel decided to comply, in whole or in part, or to preserve.
        Decided = "decided",
        /// Counsel narrowed the scope.
        Narrowed = "narrowed",
        /// Two officers signed.
        Approved = "approved",
        /// The authorisation is in the log.
        Logged = "logged",
        /// The station has what it needs.
        Released = "released",
        /// The production is closed and signed.
        Produced = "produced",
        /// It left.
        Delivered = "delivered",
        /// Refused, referred or objected to.
        Refused = "refused",
        /// The authority was asked.
        Clarification = "clarification",
        /// Execution is stayed.
        Stayed = "stayed",
        /// Before a court.
        Appealed = "appealed",
        /// The authority took it back.
        Withdrawn = "withdrawn",
        /// Done.
        Closed = "closed",
    }
}

words! {
    /// What can be done at the desk.
    Verb {
        /// Enter a demand.
        Receive = "receive",
        /// Check the sender.
        Verify = "verify",
        /// Ask the law.
        Assess = "assess",
        /// Correct a fact that everything since rests on.
        Correct = "correct",
        /// Decide to comply, narrow or preserve.
        Comply = "comply",
        /// Decide to refuse, refer or object.
        Refuse = "refuse",
        /// Ask the authority.
        Clarify = "clarify",
        /// Narrow the scope.
        Narrow = "narrow",
        /// Prepare the order.
        Prepare = "prepare",
        /// Sign the order.
        Approve = "approve",
        /// Return the order to counsel.
        Return = "return",
        /// Both signatures are there.
        Authorise = "authorise",
        /// Ask holders, and take their answers.
        Share = "share",
        /// Hand over to the station.
        Release = "release",
        /// Give the station sealed records.
        Fetch = "fetch",
        /// Close the production.
        Produce = "produce",
        /// Record what left.
        Deliver = "deliver",
        /// Stay.
        Stay = "stay",
        /// Lift a stay.
        Lift = "lift",
        /// Record an appeal.
        Appeal = "appeal",
        /// Record a withdrawal.
        Withdraw = "withdraw",
        /// Close.
        Close = "close",
        /// Preserve, or renew.
        Preserve = "preserve",
        /// End a preservation.
        EndPreservation = "end preservation",
        /// Record a non-disclosure order, or renew it.
        Secrecy = "secrecy",
        /// Record notice to the owner.
        Notice = "notice",
        /// Write a letter to the authority.
        Letter = "letter",
        /// Count sealed letters.
        Count = "count",
        /// Read the file.
        Show = "show",
        /// Read a document or a log receipt of the case.
        Document = "document",
        /// List cases.
        List = "list",
        /// Enrol an authority, or confirm it.
        Enrol = "enrol",
    }
}

/// One line of the table: whose act it is, from which states, to which (`None`: no change).
pub struct Line {
    /// The act.
    pub verb: Verb,
    /// Who may; empty for what only follows from another act.
    pub roles: &'static [Role],
    /// From which states; empty for what begins or concerns no case.
    pub from: &'static [State],
    /// To which.
    pub to: Option<State>,
}

const fn line(
    verb: Verb,
    roles: &'static [Role],
    from: &'static [State],
    to: Option<State>,
) -> Line {
    Line { verb, roles, from, to }
}

use Role::{Approver, Clerk, Counsel, Station};
use State::{
    Appealed, Approved, Assessed, Clarification, Closed, Decided, Delivered, Logged, Narrowed,
    Produced, Received, Refused, Released, Stayed, Verified, Withdrawn,
};

const OPEN: &[State] = &[
    Received,
    Verified,
    Assessed,
    Decided,
    Narrowed,
    Approved,
    Logged,
    Released,
    Produced,
    Delivered,
    Refused,
    Clarification,
    Stayed,
    Appealed,
    Withdrawn,
];
const BEFORE_RELEASE: &[State] = &[
    Received,
    Verified,
    Assessed,
    Decided,
    Narrowed,
    Approved,
    Logged,
    Refused,
    Clarification,
    Stayed,
    Appealed,
];
const UNSTAYED: &[State] =
    &[Received, Verified, Assessed, Decided, Narrowed, Approved, Logged, Released, Appealed];
const UNRELEASED: &[State] = &[Received, Verified, Assessed, Decided, Narrowed, Approved, Logged];
const ANYONE: &[Role] = Role::ALL;

/// Every act, who may do it, and where it leads.
pub const TABLE: &[Line] = &[
    line(Verb::Receive, &[Clerk], &[], Some(Received)),
    line(Verb::Verify, &[Clerk], &[Received, Clarification], Some(Verified)),
    line(Verb::Assess, &[Clerk, Counsel], &[Verified, Assessed, Appealed], Some(Assessed)),
    // What was checked, decided and signed on other facts is done anew.
    line(Verb::Correct, &[Clerk, Counsel], UNRELEASED, Some(Received)),
    line(Verb::Comply, &[Counsel], &[Assessed], Some(Decided)),
    line(Verb::Refuse, &[Counsel], &[Assessed], Some(Refused)),
    line(Verb::Clarify, &[Counsel], &[Assessed], Some(Clarification)),
    line(Verb::Narrow, &[Counsel], &[Decided, Narrowed], Some(Narrowed)),
    line(Verb::Prepare, &[Counsel], &[Decided, Narrowed], None),
    line(Verb::Approve, &[Counsel, Approver], &[Decided, Narrowed], None),
    // Also when an order ran out before it was carried out.
    line(
        Verb::Return,
        &[Approver],
        &[Decided, Narrowed, Approved, Logged, Released],
        Some(Assessed),
    ),
    line(Verb::Authorise, &[], &[Decided, Narrowed], Some(Approved)),
    line(Verb::Share, &[Clerk, Station], &[Logged, Released], None),
    // A station that lost its files before they were delivered begins again; the log shows both.
    line(Verb::Release, &[Station], &[Logged, Released, Produced], Some(Released)),
    line(Verb::Fetch, &[Station], &[Released], None),
    line(Verb::Produce, &[Station], &[Released], Some(Produced)),
    line(Verb::Deliver, &[Station], &[Produced], Some(Delivered)),
    line(Verb::Stay, &[Counsel], UNSTAYED, Some(Stayed)),
    // What was decided before a stay is decided anew after it.
    line(Verb::Lift, &[Counsel], &[Stayed], Some(Verified)),
    line(
        Verb::Appeal,
        &[Counsel],
        &[Refused, Decided, Narrowed, Approved, Logged, Stayed],
        Some(Appealed),
    ),
    line(Verb::Withdraw, &[Clerk, Counsel], BEFORE_RELEASE, Some(Withdrawn)),
    line(
        Verb::Close,
        &[Counsel],
        &[Decided, Delivered, Refused, Appealed, Withdrawn],
        Some(Closed),
    ),
    line(Verb::Preserve, &[Clerk, Counsel], OPEN, None),
    line(Verb::EndPreservation, &[Clerk, Counsel, Approver], State::ALL, None),
    line(Verb::Secrecy, &[Counsel], State::ALL, None),
    line(Verb::Notice, &[Counsel], State::ALL, None),
    line(
        Verb::Letter,
        &[Clerk, Counsel],
        &[Assessed, Decided, Narrowed, Refused, Clarification],
        None,
    ),
    line(Verb::Count, &[Clerk, Counsel, Approver], OPEN, None),
    line(Verb::Show, ANYONE, State::ALL, None),
    line(Verb::Document, ANYONE, State::ALL, None),
    line(Verb::List, ANYONE, &[], None),
    line(Verb::Enrol, &[Clerk, Counsel, Approver], &[], None),
];

impl Verb {
    /// Its line of the table.
    #[must_use]
    pub fn line(self) -> Option<&'static Line> {
        TABLE.iter().find(|line| line.verb == self)
    }

    /// The command of `bailiwick desk` that does it.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Comply => "decide … comply",
            Self::Refuse => "decide … refuse",
            Self::Clarify => "decide … clarify",
            Self::Authorise => "approve",
            // One command does all three.
            Self::Release | Self::Fetch | Self::Produce => "produce",
            Self::EndPreservation => "end-preservation",
            Self::Enrol => "enrol-authority",
            Self::Receive
            | Self::Verify
            | Self::Assess
            | Self::Correct
            | Self::Narrow
            | Self::Prepare
            | Self::Approve
            | Self::Return
            | Self::Share
            | Self::Deliver
            | Self::Stay
            | Self::Lift
            | Self::Appeal
            | Self::Withdraw
            | Self::Close
            | Self::Preserve
            | Self::Secrecy
            | Self::Notice
            | Self::Letter
            | Self::Count
            | Self::Show
            | Self::Document
            | Self::List => self.word(),
        }
    }

    /// Who may do it.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        self.line().map_or(&[], |line| line.roles)
    }
}

impl State {
    /// What people may do to a case in this state, reading aside.
    pub fn allows(self) -> impl Iterator<Item = Verb> {
        let lines = TABLE.iter().filter(move |line| {
            line.from.contains(&self) && !line.roles.is_empty() && line.roles != ANYONE
        });
        lines.map(|line| line.verb)
    }

    /// Whether the act is allowed in this state.
    pub(crate) fn permit(self, verb: Verb) -> Result<(), DeskError> {
        match verb.line() {
            Some(line) if line.from.contains(&self) => Ok(()),
            Some(_) | None => Err(DeskError::State { state: self, verb }),
        }
    }

    /// Whether the authority's clock stands still.
    #[must_use]
    pub const fn stops_clock(self) -> bool {
        match self {
            Self::Stayed | Self::Clarification => true,
            Self::Received
            | Self::Verified
            | Self::Assessed
            | Self::Decided
            | Self::Narrowed
            | Self::Approved
            | Self::Logged
            | Self::Released
            | Self::Produced
            | Self::Delivered
            | Self::Refused
            | Self::Appealed
            | Self::Withdrawn
            | Self::Closed => false,
        }
    }

    /// Whether the authority has had its answer.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        match self {
            Self::Delivered | Self::Refused | Self::Withdrawn | Self::Closed => true,
            Self::Received
            | Self::Verified
            | Self::Assessed
            | Self::Decided
            | Self::Narrowed
            | Self::Approved
            | Self::Logged
            | Self::Released
            | Self::Produced
            | Self::Clarification
            | Self::Stayed
            | Self::Appealed => false,
        }
    }
}

/// Counsel's decision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    pub(crate) codes: Vec<ReasonCode>,
    pub(crate) by: PersonId,
}

/// A preservation in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preserved {
    pub(crate) until: Timestamp,
    pub(crate) rows: u64,
    /// Who asked that it end.
    pub(crate) ending: Option<PersonId>,
}

/// What left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) row: u64,
    pub(crate) manifest: Digest,
    pub(crate) record: CustodyRecord,
}

/// A case, folded from its events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) id: CaseId,
    pub(crate) state: State,
    pub(crate) opened: Timestamp,
    pub(crate) first: u64,
    pub(crate) demand: Demand,
    pub(crate) document: Digest,
    pub(crate) document_row: u64,
    pub(crate) account: Option<AccountId>,
    /// The last case before this one with the same paper.
    pub(crate) same_as: Option<CaseId>,
    pub(crate) facts: Facts,
    /// Who entered a fact of the case, or checked its sender.
    pub(crate) entered_by: BTreeSet<PersonId>,
    pub(crate) checks: Option<SenderChecks>,
    pub(crate) opinion: Option<Assessment>,
    pub(crate) decided: Option<Judged>,
    pub(crate) scope: Option<Scope>,
    pub(crate) order: Option<(Vec<u8>, String)>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) authorised: Option<u64>,
    pub(crate) answers: BTreeMap<HolderId, u64>,
    pub(crate) production: Option<Closing>,
    pub(crate) preserved: Option<Preserved>,
    pub(crate) secrecy: Option<NonDisclosureOrder>,
    pub(crate) notice: Option<UserNotice>,
    pub(crate) letters: Vec<u64>,
    /// Each event that is in the log.
    pub(crate) logged: BTreeMap<u64, LoggedAt>,
    /// When the clock stopped, if it stands; and the seconds it stood before.
    pub(crate) stopped: Option<Timestamp>,
    pub(crate) stopped_seconds: u64,
    pub(crate) file: Vec<(u64, Timestamp, PersonId, &'static str)>,
}

/// Events a case may have.
pub const EVENTS_MAX: usize = 10_000;

impl Case {
    /// A case begins with its receipt.
    pub(crate) fn begin(row: u64, event: &Event) -> Option<Self> {
        let What::Received { demand, document, row: paper, account, same_as } = &event.what else {
            return None;
        };
        Some(Self {
            id: event.case?,
            state: Received,
            opened: event.at,
            first: row,
            document: *document,
            document_row: *paper,
            account: *account,
            same_as: *same_as,
            facts: demand.facts.clone(),
            secrecy: demand.secrecy.as_ref().and_then(|stated| stated.order().cloned()),
            demand: (**demand).clone(),
            entered_by: BTreeSet::from([event.by]),
            checks: None,
            opinion: None,
            decided: None,
            scope: None,
            order: None,
            approvals: Vec::new(),
            authorised: None,
            answers: BTreeMap::new(),
            production: None,
            preserved: None,
            notice: None,
            letters: Vec::new(),
            logged: BTreeMap::new(),
            stopped: None,
            stopped_seconds: 0,
            file: vec![(row, event.at, event.by, event.what.word())],
        })
    }

    /// Takes the next event in.
    pub(crate) fn apply(&mut self, row: u64, event: &Event) -> Result<(), DeskError> {
        // That the log has an event must always be taken in, or it would be logged again; and what
        // has run out must end.
        let always =
            matches!(event.what, What::Logged { .. } | What::PreservationEnds { done: true });
        if self.file.len() >= EVENTS_MAX && !always {
            return Err(DeskError::Lacks(Lack::Room));
        }
        if let Some(verb) = event.what.verb() {
            self.state.permit(verb)?;
            if let Some(to) = verb.line().and_then(|line| line.to) {
                self.enter(to, event.at);
            }
        }
        self.file.push((row, event.at, event.by, event.what.word()));
        self.take(row, event);
        Ok(())
    }

    /// Log indexes of the case's leaves that were written in clear, ascending.
    pub(crate) fn in_clear(&self) -> Vec<u64> {
        let clear = self.logged.values().filter(|at| !at.sealed);
        let mut indexes: Vec<u64> = clear.map(|at| at.index).collect();
        indexes.sort_unstable();
        indexes
    }

    fn enter(&mut self, to: State, at: Timestamp) {
        match self.stopped {
            Some(since) if !to.stops_clock() => {
                let stood = at.0.saturating_sub(since.0);
                self.stopped_seconds = self.stopped_seconds.saturating_add(stood);
                self.stopped = None;
            }
            None if to.stops_clock() => self.stopped = Some(at),
            Some(_) | None => {}
        }
        self.state = to;
    }

    /// What was decided no longer holds.
    fn undecide(&mut self) {
        self.decided = None;
        self.scope = None;
        self.unprepare();
    }

    fn unprepare(&mut self) {
        self.order = None;
        self.approvals.clear();
        self.authorised = None;
        self.answers.clear();
    }

    /// Takes in facts that somebody entered.
    fn know(&mut self, facts: &Facts, by: PersonId) {
        self.facts = facts.clone();
        self.entered_by.insert(by);
    }

    /// Begins anew on other facts. The opinion stays, so that the case keeps a deadline until
    /// there is another.
    fn correct(&mut self, facts: &Facts, by: PersonId) {
        self.undecide();
        self.know(facts, by);
        self.checks = None;
    }

    /// Changes the preservation in force, if there is one.
    fn preserving(&mut self, change: impl FnOnce(&mut Preserved)) {
        if let Some(kept) = &mut self.preserved {
            change(kept);
        }
    }

    fn take(&mut self, row: u64, event: &Event) {
        match &event.what {
            What::Verified { facts, checks } => {
                self.know(facts, event.by);
                self.checks = Some(checks.clone());
            }
            What::Corrected { facts, .. } => self.correct(facts, event.by),
            What::Assessed { facts, opinion } => {
                self.undecide();
                if self.facts != **facts {
                    self.know(facts, event.by);
                }
                self.opinion = Some((**opinion).clone());
            }
            What::Decided { outcome, reason, scope, codes, .. } => {
                let (outcome, reason, codes) = (*outcome, reason.clone(), codes.clone());
                self.decided = Some(Judged { outcome, reason, codes, by: event.by });
                self.scope.clone_from(scope);
            }
            What::Narrowed { scope, .. } => {
                self.unprepare();
                self.scope = Some(scope.clone());
            }
            What::Prepared { order, scope } => {
                self.unprepare();
                self.order = Some((order.clone(), scope.clone()));
            }
            What::Approved { approval, .. } => self.approvals.push(approval.clone()),
            What::Authorised { .. } => self.authorised = Some(row),
            What::Returned { .. } | What::Lifted { .. } => self.undecide(),
            What::Shared { holder, row } => {
                self.answers.insert(*holder, *row);
            }
            What::Produced { manifest, record, .. } => {
                let (manifest, record) = (*manifest, record.clone());
                self.production = Some(Closing { row, manifest, record });
            }
            What::Preserved { until, rows } => {
                self.preserved = Some(Preserved { until: *until, rows: *rows, ending: None });
            }
            What::PreservationRenewed { until } => {
                self.preserving(|kept| (kept.until, kept.ending) = (*until, None));
            }
            What::PreservationEnds { done: true } => self.preserved = None,
            What::PreservationEnds { done: false } => {
                self.preserving(|kept| kept.ending = Some(event.by));
            }
            What::Secrecy { order, .. } => self.secrecy = Some(order.clone()),
            What::Notice { notice, .. } => self.notice = Some(notice.clone()),
            What::Letter { row } => self.letters.push(*row),
            What::Logged { event: about, index, sealed } => {
                self.logged.insert(*about, LoggedAt { index: *index, sealed: *sealed });
                if self.authorised == Some(*about) && self.state == Approved {
                    self.state = Logged;
                }
            }
            What::StaffActed { .. }
            | What::Received { .. }
            | What::HolderRefused { .. }
            | What::Released
            | What::Delivered { .. }
            | What::Stayed { .. }
            | What::Appealed { .. }
            | What::Withdrawn { .. }
            | What::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MACHINE;

    #[test]
    fn a_full_file_still_takes_in_what_the_log_has() {
        let at = Timestamp(1_795_219_200);
        let facts = Facts::new("ie".parse().unwrap(), "2026-11-20T09:12:00Z".parse().unwrap());
        let demand = Demand {
            authority: "a court".into(),
            enrolled: None,
            reference: "1".into(),
            basis: "an act".into(),
            identifiers: vec![],
            period: None,
            facts,
            secrecy: Some(crate::SecrecyStated::None),
            rehearsal: false,
        };
        let (demand, id) = (Box::new(demand), Some(CaseId([1; 16])));
        let event = |what| Event { case: id, at, by: MACHINE, command: None, what };
        let document = Digest([2; 32]);
        let received = What::Received { demand, document, row: 1, account: None, same_as: None };
        let mut case = Case::begin(1, &event(received)).unwrap();
        case.file.resize(EVENTS_MAX, case.file[0]);
        assert!(case.apply(2, &event(What::Closed)).is_err());
        // Otherwise it would stay unlogged, and be logged again with every command.
        case.apply(2, &event(What::Logged { event: 1, index: 7, sealed: false })).unwrap();
        assert_eq!(case.logged.get(&1), Some(&LoggedAt { index: 7, sealed: false }));
    }
}
