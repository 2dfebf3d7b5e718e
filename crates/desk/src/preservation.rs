//! Preservation, and counting: what can be done to letters without opening one.
//!
//! Invariant: preserving copies no plaintext and needs no key; counting reads only what is
//! clear about a sealed record. A preservation ends by itself when its time has run out; earlier
//! it takes two persons. What ended is freed, also after a crash. The log shows each step.
//! Refs: design §7; Regulation (EU) 2023/1543 art. 11; 18 U.S.C. § 2703(f).

use crate::case::Case;
use crate::command::Answer;
use crate::desk::{Carried, Desk, count};
use crate::error::DeskError;
use crate::event::{Event, MACHINE, What};
use crate::refusal::{Fault, Lack, Part};
use crate::show::EpochCount;
use crate::time;
use law::When;
use seal::letter::LetterHeader;
use seal::row;
use std::collections::{BTreeMap, BTreeSet};
use store::{HOLD_ROWS_MAX, HoldId};
use vocab::{AccountId, CaseId, Epoch, RecordKind, Row, Timestamp};

/// The longest a preservation may be set to run from now: 366 days; it can be renewed.
pub const PRESERVATION_SECONDS_MAX: u64 = 366 * 86_400;

/// What is kept: the keys as sealed as they are, and the letters to which they are. Keys first: an
/// owner who re-keys meanwhile takes none away to what is kept.
const KINDS: [RecordKind; 9] = [
    RecordKind::Manifest,
    RecordKind::Escrow,
    RecordKind::EpochBox,
    RecordKind::LetterHead,
    RecordKind::LetterBody,
    RecordKind::Message,
    RecordKind::ExpungedMessage,
    RecordKind::Mailbox,
    RecordKind::AccountState,
];

/// A case preserves once at a time, so its number is its hold's: what a crash left held is found.
pub(crate) const fn hold_of(case: CaseId) -> HoldId {
    HoldId(case.0)
}

/// What a case's preservation is kept under, if it has one.
pub(crate) fn kept(id: CaseId, case: &Case) -> Option<HoldId> {
    case.preserved.as_ref().map(|_| hold_of(id))
}

impl Desk {
    pub(crate) fn preserve(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        until: Option<Timestamp>,
    ) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let until = until.map_or_else(|| self.lawful_end(case), Ok)?;
        if until <= at.now || until.0 - at.now.0 > PRESERVATION_SECONDS_MAX {
            return Err(DeskError::Demand(Fault::Preserving));
        }
        // Sooner it ends by the word of two.
        if case.preserved.as_ref().is_some_and(|kept| until < kept.until) {
            return Err(DeskError::Demand(Fault::Sooner));
        }
        let account = case.account.ok_or(DeskError::Lacks(Lack::Account))?;
        let what = if case.preserved.is_some() {
            What::PreservationRenewed { until }
        } else {
            self.free(id)?;
            // Held first: a hold that no event names is freed, a lost letter not found.
            let rows = self.hold(hold_of(id), account)?;
            What::Preserved { until, rows }
        };
        let event = at.event(Some(id), what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    /// Until when the law preserves by itself: 60 days and 30 more by Regulation (EU) 2023/1543
    /// art. 11, 90 and 90 more by 18 U.S.C. § 2703(f), as the packs have them.
    fn lawful_end(&self, case: &Case) -> Result<Timestamp, DeskError> {
        let clocks = law::assess(&self.options.packs, &case.facts).clocks;
        let first = case.preserved.is_none();
        let day = if first { clocks.preserve_until } else { clocks.preserve_renewed_until };
        let ends = day.and_then(|day| time::ends(&When::Day(day), case.facts.served));
        let last = ends.ok_or(DeskError::Lacks(Lack::Day))?;
        Ok(Timestamp(last.0.saturating_add(1)))
    }

    /// Ends the preservations that have run out, and frees what no preservation keeps any more.
    /// Returns how many ended. Ask often; afterwards see [`Desk::unlogged`].
    ///
    /// # Errors
    /// [`DeskError::Commit`], [`DeskError::Read`]; what ended before has ended.
    pub fn end_preservations(&self, now: Timestamp) -> Result<usize, DeskError> {
        let mut inner = self.inner();
        let over = |case: &&Case| case.preserved.as_ref().is_some_and(|kept| kept.until <= now);
        let over: Vec<CaseId> = inner.cases.values().filter(over).map(|case| case.id).collect();
        for case in &over {
            let what = What::PreservationEnds { done: true };
            let event = Event { case: Some(*case), at: now, by: MACHINE, command: None, what };
            self.commit(&mut inner, vec![event], vec![], vec![])?;
        }
        for case in inner.cases.values().filter(|case| case.preserved.is_none()) {
            self.free(case.id)?;
        }
        Ok(over.len())
    }

    /// Whether anything binds the cell to keep an account where it is: an open case of it, a
    /// preservation in force, or a non-disclosure order that binds. Which of them is not for
    /// whoever asks: it must be told to nobody.
    #[must_use]
    pub fn binds(&self, account: AccountId, now: Timestamp) -> bool {
        let binds = |case: &Case| {
            case.account == Some(account)
                && (!case.state.is_answered()
                    || case.preserved.is_some()
                    || case.secrecy.as_ref().is_some_and(|order| order.binds(now)))
        };
        self.inner().cases.values().any(binds)
    }

    fn free(&self, case: CaseId) -> Result<(), DeskError> {
        let preserve = &self.options.preserve;
        if preserve.held(hold_of(case)).next().transpose()?.is_some() {
            preserve.release_blocking(hold_of(case))?;
        }
        Ok(())
    }

    fn hold(&self, hold: HoldId, account: AccountId) -> Result<u64, DeskError> {
        let preserve = &self.options.preserve;
        let mut held = 0_u64;
        for kind in KINDS {
            let mut rows = Vec::new();
            for found in preserve.rows(account, kind, Row(0)) {
                rows.push((kind, found?.0));
            }
            for page in rows.chunks(HOLD_ROWS_MAX) {
                let done = preserve.hold_blocking(hold, account, page.to_vec())?;
                held = held.saturating_add(count(done.held));
            }
        }
        Ok(held)
    }

    pub(crate) fn end_preservation(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
    ) -> Result<Answer, DeskError> {
        let kept = at.case(id)?.preserved.clone().ok_or(DeskError::Lacks(Lack::Preservation))?;
        let second = kept.ending.is_some_and(|first| first != at.by.person);
        let done = second || kept.until <= at.now;
        if !done && kept.ending.is_some() {
            return Err(DeskError::OnePerson(Part::Ender));
        }
        let event = at.event(Some(id), What::PreservationEnds { done });
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        if done {
            self.free(id)?;
        }
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    /// Letters by month, of the scope's period if there is one.
    pub(crate) fn counts(&self, at: &Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let account = case.account.ok_or(DeskError::Lacks(Lack::Account))?;
        let period = case.scope.as_ref().map(|scope| (scope.from, scope.until));
        let read = &self.options.read;
        let mut epochs: BTreeMap<u32, EpochCount> = BTreeMap::new();
        let mut unfolded = BTreeSet::new();
        for found in read.scan(account, RecordKind::LetterHead, Row(0)) {
            let (row, value) = found?;
            unfolded.insert(row);
            let Ok(header) = LetterHeader::read(&value) else { continue };
            let inside = |(from, until)| from <= header.arrived && header.arrived < until;
            if period.is_none_or(inside) {
                let line = line(&mut epochs, header.epoch);
                let bytes = read.len(account, RecordKind::LetterBody, row)?.unwrap_or(0);
                line.unfolded = line.unfolded.saturating_add(1);
                line.unfolded_bytes = line.unfolded_bytes.saturating_add(bytes);
            }
        }
        for found in read.scan(account, RecordKind::Message, Row(0)) {
            let (_, value) = found?;
            let Ok(header) = row::header(&value) else { continue };
            let touches = |(from, until)| {
                seal::epoch::begins(header.epoch) < until && seal::epoch::ends(header.epoch) > from
            };
            if period.is_none_or(touches) {
                let line = line(&mut epochs, header.epoch);
                line.folded = line.folded.saturating_add(1);
            }
        }
        let mut folded_body_bytes = 0_u64;
        for found in self.options.preserve.rows(account, RecordKind::LetterBody, Row(0)) {
            let (row, length) = found?;
            if !unfolded.contains(&row) {
                folded_body_bytes = folded_body_bytes.saturating_add(u64::from(length));
            }
        }
        Ok(Answer::Counts { epochs: epochs.into_values().collect(), folded_body_bytes })
    }
}

fn line(epochs: &mut BTreeMap<u32, EpochCount>, epoch: Epoch) -> &mut EpochCount {
    epochs.entry(epoch.0).or_insert(EpochCount {
        epoch: epoch.0,
        unfolded: 0,
        unfolded_bytes: 0,
        folded: 0,
    })
}
