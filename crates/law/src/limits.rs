//! Limits: a pack's clocks applied to one demand.
//!
//! Invariant: where the arithmetic cannot be done there is no limit shown, never a later one;
//! of several limits the earliest is shown.
//! Refs: Regulation (EEC, Euratom) 1182/71 art. 3; law tables §0.6.

use jiff::civil::Date;

use crate::citation::Citation;
use crate::deadline::{Calendar, When, days_after};
use crate::facts::{EnforcingAuthority, Fact, Facts};
use crate::opinion::Clocks;
use crate::pack::{ClockEntry, ClockKind, Pack, Start};
use crate::rule::Rule;

/// One clock of one part.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    kind: ClockKind,
    policy: When,
    outer: Option<When>,
    /// Nothing may leave before this.
    pub(crate) not_before: Option<When>,
    on_refusal: Option<String>,
    renewed: Option<Date>,
    citations: Vec<Citation>,
    notes: Vec<String>,
}

/// Starts a clock; `None` when its start is not known.
pub(crate) fn limit(
    pack: &Pack,
    rule: &Rule,
    clock: &ClockEntry,
    facts: &Facts,
    calendar: Option<&Calendar>,
) -> Option<Limit> {
    let mut notes = vec![];
    let (policy, outer) = match (clock.days, clock.hours) {
        (Some(days), _) => {
            let start = match clock.from {
                Start::Service => facts.served.date(),
                Start::Issue => *facts.issued.known()?,
            };
            let raw = days_after(start, days)?;
            let mut end = raw;
            if clock.rolls {
                let calendar = calendar?;
                end = calendar.roll(raw)?;
                if !calendar.lists(raw.year()) {
                    notes.push(format!(
                        "no holidays are listed for {}: only weekends were counted",
                        raw.year()
                    ));
                }
            }
            (When::Day(raw), When::Day(end))
        }
        // Periods in hours do not roll, and begin with the next full hour.
        // Regulation 1182/71 art. 3(1), (4)
        (None, Some(hours)) => (
            When::At(facts.served.plus_hours(hours)?),
            When::At(facts.served.next_full_hour()?.plus_hours(hours)?),
        ),
        (None, None) => return None,
    };
    let cleared = matches!(facts.enforcing_authority, Fact::Known(EnforcingAuthority::Cleared));
    let renewed = match (&policy, clock.renew_days) {
        (When::Day(day), Some(days)) => days_after(*day, days),
        (When::Day(_) | When::At(_) | When::Words(_), _) => None,
    };
    let mut citations = rule.citations.clone();
    let own = pack.cite(&rule.id, &clock.cite)?;
    if !citations.iter().any(|one| one.text == own.text) {
        citations.push(own);
    }
    Some(Limit {
        kind: clock.kind,
        not_before: (clock.suspensive && !cleared).then(|| outer.clone()),
        policy,
        outer: Some(outer),
        on_refusal: clock.on_refusal.clone(),
        renewed,
        citations,
        notes,
    })
}

/// The limits of the whole demand: the earliest of each sort.
pub(crate) fn merge(
    limits: impl Iterator<Item = Limit>,
    produces: bool,
    event: Option<Date>,
) -> Clocks {
    let mut clocks = Clocks::default();
    for limit in limits {
        let past = |when: &When| match (when, event) {
            (When::Day(day), Some(event)) => *day < event,
            (When::At(moment), Some(event)) => moment.date() < event,
            (When::Words(_), _) | (_, None) => false,
        };
        if past(&limit.policy) {
            let note = format!("a limit ended on {}, before this event", limit.policy);
            if !clocks.notes.contains(&note) {
                clocks.notes.push(note);
            }
            continue;
        }
        match limit.kind {
            ClockKind::Answer => {
                let policy = match limit.on_refusal {
                    Some(words) if !produces => When::Words(words),
                    Some(_) | None => limit.policy,
                };
                clocks.policy = sooner(clocks.policy.take(), Some(policy));
                clocks.outer = sooner(clocks.outer.take(), limit.outer);
            }
            ClockKind::Preservation => {
                // Data are kept until the last of several preservations ends.
                if let When::Day(day) = limit.policy {
                    clocks.preserve_until = clocks.preserve_until.max(Some(day));
                    clocks.preserve_renewed_until =
                        clocks.preserve_renewed_until.max(limit.renewed);
                }
            }
        }
        for citation in limit.citations {
            if !clocks.citations.contains(&citation) {
                clocks.citations.push(citation);
            }
        }
        for note in limit.notes {
            if !clocks.notes.contains(&note) {
                clocks.notes.push(note);
            }
        }
    }
    clocks
}

fn sooner(a: Option<When>, b: Option<When>) -> Option<When> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.sooner(&a).is_lt() { b } else { a }),
        (a, None) => a,
        (None, b) => b,
    }
}
