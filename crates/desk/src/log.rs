//! What the log must show of the desk, and what it shows already.
//!
//! Invariant: an event that the log must show is unlogged until the log's own record says
//! otherwise; its leaf can be made again from the event alone, so a crash loses none. Which
//! leaf is sealed follows from the case's non-disclosure order.
//! Refs: specs/log-entry.md §7, §8.

use crate::case::Case;
use crate::desk::{Desk, Inner};
use crate::error::DeskError;
use crate::event::{Event, MACHINE, What};
use custody::{Draft, FieldId, OrderRecord, acts};
use std::collections::BTreeSet;
use vocab::{Row, Timestamp};

/// An event that is not in the log yet.
pub struct Unlogged {
    /// The event, for [`Desk::record_logged`].
    pub event: Row,
    /// Its leaf.
    pub draft: Draft,
    /// Under secrecy, until this day at the latest: such a leaf waits for the next batch, which
    /// gives all its leaves one day.
    pub open_by: Option<Timestamp>,
}

/// A leaf's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedAt {
    /// Its index.
    pub index: u64,
    /// Whether it shows nothing but the day it is opened by.
    pub sealed: bool,
}

impl Desk {
    /// What the log must be given, oldest first. Ask after every command.
    ///
    /// # Errors
    /// [`DeskError::Damaged`] when an event cannot be made into its leaf.
    pub fn unlogged(&self) -> Result<Vec<Unlogged>, DeskError> {
        let inner = self.inner();
        let one = |(row, event): (&u64, &Event)| {
            let case = event.case.and_then(|case| inner.cases.get(&case));
            let draft = draft(event, case).ok_or(DeskError::Damaged)?;
            let secrecy = case.and_then(|case| case.secrecy.as_ref());
            let open_by = secrecy.and_then(|order| order.open_by(event.at));
            Ok(Unlogged { event: Row(*row), draft, open_by })
        };
        inner.pending.iter().map(one).collect()
    }

    /// Records that an event is in the log, where, and whether its leaf is sealed there. A second
    /// record of the same event is passed over.
    ///
    /// # Errors
    /// [`DeskError::Commit`].
    pub fn record_logged(&self, event: Row, at: LoggedAt, now: Timestamp) -> Result<(), DeskError> {
        let mut inner = self.inner();
        let Some(about) = inner.pending.get(&event.0) else { return Ok(()) };
        let what = What::Logged { event: event.0, index: at.index, sealed: at.sealed };
        let logged = Event { case: about.case, at: now, by: MACHINE, command: None, what };
        self.commit(&mut inner, vec![logged], vec![], vec![])
    }

    /// Log indexes of the leaves of cases whose non-disclosure order binds now: what of them is
    /// sealed stays so, however long.
    #[must_use]
    pub fn secret(&self, now: Timestamp) -> BTreeSet<u64> {
        let inner = self.inner();
        let bound = |case: &&Case| case.secrecy.as_ref().is_some_and(|order| order.binds(now));
        let cases = inner.cases.values().filter(bound);
        cases.flat_map(|case| case.logged.values().map(|at| at.index)).collect()
    }

    /// Log indexes of leaves that were sealed under orders that no longer bind: to be opened
    /// now, if they are not yet.
    #[must_use]
    pub fn openable(&self, now: Timestamp) -> Vec<u64> {
        let inner = self.inner();
        let mut out = Vec::new();
        for case in inner.cases.values() {
            if case.secrecy.as_ref().is_some_and(|order| !order.binds(now)) {
                let sealed = case.logged.values().filter(|at| at.sealed);
                out.extend(sealed.map(|at| at.index));
            }
        }
        out.sort_unstable();
        out
    }
}

impl Inner {
    /// Keeps account of what the log lacks.
    pub(crate) fn note_unlogged(&mut self, row: u64, event: &Event) {
        if let What::Logged { event: about, .. } = &event.what {
            self.pending.remove(about);
        } else if event.what.act().is_some() {
            self.pending.insert(row, event.clone());
        }
    }
}

/// The leaf of an event; `None` if it has none.
fn draft(event: &Event, case: Option<&Case>) -> Option<Draft> {
    let draft = match event.case {
        None => cell_draft(event)?,
        Some(_) => case_draft(event, case?)?,
    };
    let rehearsal = case.is_some_and(|case| case.demand.rehearsal);
    // A report counts demands; a rehearsal must not be counted as one.
    Some(if rehearsal { draft.clear(FieldId::NAME, b"rehearsal") } else { draft })
}

fn cell_draft(event: &Event) -> Option<Draft> {
    let What::StaffActed { account, word } = &event.what else { return None };
    Some(acts::staff_act(event.at, event.by, *account, word))
}

fn case_draft(event: &Event, case: &Case) -> Option<Draft> {
    let (at, id, by) = (event.at, case.id, event.by);
    event.what.act()?;
    match &event.what {
        What::Received { document, account, .. } => {
            Some(acts::received(at, id, *document, *account))
        }
        What::Decided { outcome, codes, demand, digest, .. } => {
            let codes: Vec<&str> = codes.iter().map(|code| code.code()).collect();
            let refuses = outcome.refuses();
            Some(acts::decided(at, id, *demand, refuses, outcome.word(), &codes, *digest))
        }
        What::Approved { order, facts, .. } => {
            let draft = acts::approved(at, id, *order, by);
            Some(draft.with(FieldId::SUBJECT, &facts.facts.0))
        }
        What::Authorised { order, approvals } => {
            acts::authorised(at, &OrderRecord::decode(order).ok()?, approvals).ok()
        }
        What::Returned { order, why } => Some(acts::officer_refused(at, id, *order, by, why)),
        What::HolderRefused { order, holder, why } => {
            Some(acts::holder_refused(at, id, *order, *holder, why))
        }
        What::Produced { scope, manifest, record } => {
            Some(acts::produced(at, id, record.order, *scope, *manifest, record.produced))
        }
        What::Notice { account, .. } => account.map(|account| acts::told(at, id, account)),
        What::Secrecy { order } => Some(until(event, case, "non-disclosure order", order.until)),
        What::Preserved { until: end, .. } => Some(until(event, case, "preserved", Some(*end))),
        What::PreservationRenewed { until: end } => {
            Some(until(event, case, "preservation renewed", Some(*end)))
        }
        What::PreservationEnds { done: true } => {
            Some(until(event, case, "preservation ended", None))
        }
        What::StaffActed { .. } => cell_draft(event),
        What::Verified { .. }
        | What::Assessed { .. }
        | What::Corrected { .. }
        | What::Narrowed { .. }
        | What::Prepared { .. }
        | What::Shared { .. }
        | What::Released
        | What::Delivered { .. }
        | What::Stayed { .. }
        | What::Lifted { .. }
        | What::Appealed { .. }
        | What::Withdrawn { .. }
        | What::Closed
        | What::PreservationEnds { done: false }
        | What::Letter { .. }
        | What::Logged { .. } => None,
    }
}

/// An act of staff on an account, for a case and until a day.
fn until(event: &Event, case: &Case, word: &str, day: Option<Timestamp>) -> Draft {
    let draft = acts::staff_act(event.at, event.by, case.account, word);
    let draft = draft.with(FieldId::CASE, &case.id.0);
    day.iter().fold(draft, |draft, day| draft.number(FieldId::VALID_UNTIL, day.0))
}
