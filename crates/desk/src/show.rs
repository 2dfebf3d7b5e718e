//! What the desk tells its staff: queues by deadline, and a case's file.
//!
//! Invariant: nothing of a letter is here, and nothing the desk does not already hold. A limit
//! that cannot be computed is not shown as met.
//! Refs: design §7; Regulation (EEC, Euratom) 1182/71.

use crate::approval::facts_text;
use crate::case::{Case, State};
use crate::command::Answer;
use crate::demand::Demand;
use crate::desk::{Carried, Desk, count};
use crate::error::DeskError;
use crate::notice::UserNotice;
use crate::scope::Scope;
use crate::secrecy::NonDisclosureOrder;
use crate::time;
use custody::OrderRecord;
use serde::{Deserialize, Serialize};
use vocab::{AccountId, CaseId, Digest, HolderId, PersonId, Timestamp};

/// Sealed letters of one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochCount {
    /// The month's number.
    pub epoch: u32,
    /// Letters not folded yet.
    pub unfolded: u64,
    /// Octets of their sealed bodies.
    pub unfolded_bytes: u64,
    /// Message rows; one letter may have several. Their lengths are sealed.
    pub folded: u64,
}

/// When an answer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    /// The raw arithmetic.
    #[serde(with = "custody::octets::maybe_time")]
    pub policy: Option<Timestamp>,
    /// The legal limit.
    #[serde(with = "custody::octets::maybe_time")]
    pub outer: Option<Timestamp>,
    /// The clock stands still; both move on with every second it does.
    pub stopped: bool,
}

/// A case in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseLine {
    /// Which.
    #[serde(with = "crate::octets")]
    pub case: CaseId,
    /// Where it is.
    pub state: State,
    /// Who asks.
    pub authority: String,
    /// The authority's file number.
    pub reference: String,
    /// When it was entered.
    #[serde(with = "crate::octets::time")]
    pub opened: Timestamp,
    /// When it is due.
    pub due: Due,
    /// Whether its time has run out without an answer.
    pub overdue: bool,
    /// Until when the account's records are preserved.
    #[serde(with = "custody::octets::maybe_time")]
    pub preserved_until: Option<Timestamp>,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
}

/// One entry of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The event.
    pub event: u64,
    /// When.
    #[serde(with = "crate::octets::time")]
    pub at: Timestamp,
    /// Who; all zero for the machine.
    #[serde(with = "crate::octets")]
    pub by: PersonId,
    /// What.
    pub what: String,
    /// Where in the log, if it is there.
    pub log_index: Option<u64>,
    /// Whether its leaf there was written in clear.
    pub in_clear: bool,
}

/// A case's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// As in the queue.
    pub line: CaseLine,
    /// The demand as entered.
    pub demand: Demand,
    /// SHA-256 of the paper.
    #[serde(with = "crate::octets")]
    pub document: Digest,
    /// The last case before this one with the same paper.
    #[serde(default, with = "crate::octets::maybe")]
    pub same_as: Option<CaseId>,
    /// The account, if it is held here.
    #[serde(with = "crate::octets::maybe")]
    pub account: Option<AccountId>,
    /// The facts as they are now, in the one text that officers confirm: a [`law::Facts`].
    pub facts: String,
    /// Who entered them, or checked the sender: none of these signs second.
    #[serde(with = "crate::octets::list")]
    pub entered_by: Vec<PersonId>,
    /// The opinion in plain text.
    pub opinion: Option<String>,
    /// Counsel's decision, in a word.
    pub decision: Option<String>,
    /// Counsel's reason.
    pub reason: Option<String>,
    /// The scope.
    pub scope: Option<Scope>,
    /// The order's digest, which officers sign.
    #[serde(with = "crate::octets::maybe")]
    pub order: Option<Digest>,
    /// The order itself, for officers to check before they sign: a [`custody::OrderRecord`].
    #[serde(default, with = "crate::octets::maybe")]
    pub order_record: Option<Vec<u8>>,
    /// Who signed it.
    #[serde(with = "crate::octets::list")]
    pub approved_by: Vec<PersonId>,
    /// Whose answers are here.
    #[serde(with = "crate::octets::list")]
    pub answered: Vec<HolderId>,
    /// The production's manifest digest.
    #[serde(with = "crate::octets::maybe")]
    pub production: Option<Digest>,
    /// Records produced.
    pub produced: Option<u64>,
    /// The non-disclosure order.
    pub secrecy: Option<NonDisclosureOrder>,
    /// Notice to the owner.
    pub notice: Option<UserNotice>,
    /// Rows preserved.
    pub preserved_rows: Option<u64>,
    /// Rows of documents: the paper first, then letters.
    pub documents: Vec<u64>,
    /// What can be done next.
    pub allows: Vec<String>,
    /// All that happened.
    pub file: Vec<FileEntry>,
}

/// When the answer to a case is due, as of `now`.
fn due(case: &Case, now: Timestamp) -> Due {
    let running = case.stopped.map_or(0, |since| now.0.saturating_sub(since.0));
    let stood = case.stopped_seconds.saturating_add(running);
    let end = |when: Option<&law::When>| {
        let opinion = case.opinion.as_ref()?;
        let ends = time::ends(when?, opinion.served)?;
        Some(Timestamp(ends.0.saturating_add(stood)))
    };
    let clocks = case.opinion.as_ref().map(|opinion| &opinion.clocks);
    Due {
        policy: end(clocks.and_then(|clocks| clocks.policy.as_ref())),
        outer: end(clocks.and_then(|clocks| clocks.outer.as_ref())),
        stopped: case.stopped.is_some(),
    }
}

fn line(case: &Case, now: Timestamp) -> CaseLine {
    let due = due(case, now);
    let limit = due.outer.or(due.policy);
    let waits = !case.state.is_answered() && !due.stopped && !case.demand.rehearsal;
    CaseLine {
        case: case.id,
        state: case.state,
        authority: case.demand.authority.clone(),
        reference: case.demand.reference.clone(),
        opened: case.opened,
        due,
        overdue: waits && limit.is_some_and(|limit| limit < now),
        preserved_until: case.preserved.as_ref().map(|preserved| preserved.until),
        rehearsal: case.demand.rehearsal,
    }
}

impl Desk {
    pub(crate) fn list(&self, at: &Carried<'_>, overdue: bool) -> Answer {
        let lines = at.inner.cases.values().map(|case| line(case, at.now));
        let mut cases: Vec<CaseLine> = lines.filter(|line| line.overdue || !overdue).collect();
        let key = |line: &CaseLine| {
            let limit = line.due.outer.or(line.due.policy);
            (line.state.is_answered(), limit.is_none(), limit, line.opened, line.case)
        };
        cases.sort_by_key(key);
        Answer::Cases { cases }
    }

    pub(crate) fn case_document(
        &self,
        at: &Carried<'_>,
        id: CaseId,
        row: u64,
    ) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        if row != case.document_row && !case.letters.contains(&row) {
            return Err(DeskError::NoDocument);
        }
        Ok(Answer::Document { octets: self.document(row)? })
    }

    pub(crate) fn show(&self, at: &Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let decided = case.decided.as_ref();
        let entry = |(event, at, by, what): &(u64, Timestamp, PersonId, &'static str)| FileEntry {
            event: *event,
            at: *at,
            by: *by,
            what: (*what).to_owned(),
            log_index: case.logged.get(event).map(|at| at.index),
            in_clear: case.logged.get(event).is_some_and(|at| !at.sealed),
        };
        let production = case.production.as_ref();
        let letters = case.letters.iter().copied();
        let file = CaseFile {
            line: line(case, at.now),
            demand: case.demand.clone(),
            document: case.document,
            same_as: case.same_as,
            account: case.account,
            facts: facts_text(&case.facts)?,
            entered_by: case.entered_by.iter().copied().collect(),
            opinion: case.opinion.as_ref().map(law::Assessment::explain),
            decision: decided.map(|decided| decided.outcome.word().to_owned()),
            reason: decided.and_then(|decided| decided.reason.clone()),
            scope: case.scope.clone(),
            order: case.order.as_ref().map(|(order, _)| OrderRecord::digest(order)),
            order_record: case.order.as_ref().map(|(order, _)| order.clone()),
            approved_by: case.approvals.iter().map(|approval| approval.person).collect(),
            answered: case.answers.keys().copied().collect(),
            production: production.map(|production| production.manifest),
            produced: production.map(|production| production.record.produced),
            secrecy: case.secrecy.clone(),
            notice: case.notice.clone(),
            preserved_rows: case.preserved.as_ref().map(|preserved| preserved.rows),
            documents: core::iter::once(case.document_row).chain(letters).collect(),
            allows: case.state.allows().map(|verb| verb.word().to_owned()).collect(),
            file: case.file.iter().map(entry).collect(),
        };
        Ok(Answer::File { file: Box::new(file) })
    }

    /// How many cases there are, and how many are overdue: for the operator, who reads none.
    #[must_use]
    pub fn tally(&self, now: Timestamp) -> (u64, u64) {
        let inner = self.inner();
        let overdue = inner.cases.values().filter(|case| line(case, now).overdue);
        (count(inner.cases.len()), count(overdue.count()))
    }
}
