//! What each command does to a case, release and production aside.
//!
//! Invariant: texts are bounded before they are stored; while a non-disclosure order binds no
//! notice is recorded as sent.
//! Refs: docs/life-of-a-demand.md.

use crate::case::{Case, State};
use crate::command::{Answer, Command};
use crate::demand::{DOCUMENT_BYTES_MAX, Demand, DemandReceipt, TEXT_BYTES_MAX};
use crate::desk::{Carried, Desk};
use crate::error::DeskError;
use crate::event::What;
use crate::notice::UserNotice;
use crate::register::{EnrolledAuthority, Registrant};
use crate::scope::{Scope, ScopeDiff, changes};
use crate::secrecy::NonDisclosureOrder;
use crate::{decision, event, intake, letter};
use custody::OrderRecord;
use seal::mac::sha256;
use seal::sign::VerifyingKey;
use serde_json::{Map, Value};
use vocab::{AccountId, CaseId, Digest, Timestamp};

/// A text within its limit.
fn text(text: String, max: usize) -> Result<String, DeskError> {
    if (1..=max).contains(&text.len()) { Ok(text) } else { Err(DeskError::Command) }
}

/// The digest of the case's order.
fn ordered(case: &Case) -> Result<Digest, DeskError> {
    let (order, _) = case.order.as_ref().ok_or(DeskError::Lacks("an order"))?;
    Ok(OrderRecord::digest(order))
}

fn close(case: &Case) -> Result<What, DeskError> {
    let produces = case.decided.as_ref().is_some_and(|decided| decided.outcome.produces());
    if case.state == State::Decided && produces {
        return Err(DeskError::Lacks("a production, or another decision"));
    }
    Ok(What::Closed)
}

fn secrecy(case: &Case, order: NonDisclosureOrder) -> Result<What, DeskError> {
    if !order.is_bounded() {
        return Err(DeskError::Command);
    }
    // A second order renews the first, and the log says which leaf stays sealed.
    let first = case.secrecy.as_ref().and(case.logged.get(&case.first)).copied();
    Ok(What::Secrecy { order, first })
}

fn told(case: &Case, notice: UserNotice, now: Timestamp) -> Result<What, DeskError> {
    let bound = case.secrecy.as_ref().is_some_and(|order| order.binds(now));
    let notice = match notice {
        UserNotice::Sent { .. } if bound => {
            return Err(DeskError::Lacks("an end of its non-disclosure order"));
        }
        UserNotice::Sent { means } => UserNotice::Sent { means: text(means, 200)? },
        UserNotice::Withheld { because } => {
            UserNotice::Withheld { because: text(because, TEXT_BYTES_MAX)? }
        }
        UserNotice::Planned { on } => UserNotice::Planned { on },
    };
    Ok(What::Notice { notice, account: case.account })
}

impl Desk {
    pub(crate) fn receive(
        &self,
        at: &mut Carried<'_>,
        mut demand: Demand,
        document: Vec<u8>,
        account: Option<AccountId>,
    ) -> Result<Answer, DeskError> {
        // Only the check of the sender establishes this.
        demand.facts.authenticated = law::Fact::Unknown;
        demand.check(self.options.place, at.now)?;
        if document.is_empty() || document.len() > DOCUMENT_BYTES_MAX {
            return Err(DeskError::Demand("the paper is empty or longer than 16 MiB"));
        }
        let (case, digest, row) =
            (CaseId(self.fresh()), sha256(&[&document]), at.inner.next_document);
        let what = What::Received { demand: Box::new(demand), document: digest, row, account };
        let event = at.event(case, what);
        self.commit(&mut at.inner, vec![event], vec![document], vec![])?;
        let message = DemandReceipt::message(case, digest, at.now);
        let signature = self.options.signing.sign(&message);
        let receipt = DemandReceipt { case, demand: digest, at: at.now, signature };
        Ok(Answer::Received { receipt })
    }

    pub(crate) fn assess(
        &self,
        at: &mut Carried<'_>,
        case: CaseId,
        facts: &Map<String, Value>,
    ) -> Result<Answer, DeskError> {
        let what = intake::assess(at.case(case)?, &self.options.packs, facts, at.now)?;
        self.keys_are_as_said(at.case(case)?, &what)?;
        let event = at.event(case, what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        let opinion = at.case(case)?.opinion.clone().ok_or(DeskError::Damaged)?;
        Ok(Answer::Opinion { text: opinion.explain(), opinion: Box::new(opinion) })
    }

    fn keys_are_as_said(&self, case: &Case, what: &What) -> Result<(), DeskError> {
        let What::Assessed { facts, .. } = what else { return Ok(()) };
        let Some(account) = case.account.filter(|_| !case.demand.rehearsal) else { return Ok(()) };
        match self.manifest(account)? {
            Some(manifest) => {
                intake::keys_are(facts, self.options.place, manifest.manifest().custody)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn narrow(
        &self,
        at: &mut Carried<'_>,
        case: CaseId,
        scope: Scope,
        diff: ScopeDiff,
    ) -> Result<Answer, DeskError> {
        let before = at.case(case)?.scope.clone().ok_or(DeskError::Lacks("a scope"))?;
        scope.to_text()?;
        diff.check(case, &before, &scope, &VerifyingKey(at.by.key))?;
        let changes = changes(&before, &scope);
        let event = at.event(case, What::Narrowed { scope, diff });
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Narrowed { changes })
    }

    /// The commands that add one event and answer with the state.
    pub(crate) fn record(
        &self,
        at: &mut Carried<'_>,
        command: Command,
    ) -> Result<Answer, DeskError> {
        let id = command.case().ok_or(DeskError::NoCase)?;
        let what = self.what(at, id, command)?;
        let event = at.event(id, what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    fn what(&self, at: &Carried<'_>, id: CaseId, command: Command) -> Result<What, DeskError> {
        let case = at.case(id)?;
        match command {
            Command::Verify { checks, facts, .. } => intake::verify(case, &checks, &facts, at.now),
            Command::Decide { choice, .. } => decision::decide(case, &choice),
            Command::Return { why, .. } => {
                Ok(What::Returned { order: ordered(case)?, why: text(why, 200)? })
            }
            Command::HolderRefused { holder, why, .. } => {
                Ok(What::HolderRefused { order: ordered(case)?, holder, why: text(why, 200)? })
            }
            Command::Deliver { package, bytes, means, .. } => {
                Ok(What::Delivered { package, bytes, means: text(means, 200)? })
            }
            Command::Stay { why, .. } => Ok(What::Stayed { why: text(why, TEXT_BYTES_MAX)? }),
            Command::Lift { why, .. } => Ok(What::Lifted { why: text(why, TEXT_BYTES_MAX)? }),
            Command::Appeal { court, .. } => {
                Ok(What::Appealed { court: text(court, TEXT_BYTES_MAX)? })
            }
            Command::Withdraw { why, .. } => {
                Ok(What::Withdrawn { why: text(why, TEXT_BYTES_MAX)? })
            }
            Command::Close { .. } => close(case),
            Command::Secrecy { order, .. } => secrecy(case, order),
            Command::Notice { notice, .. } => told(case, notice, at.now),
            // These have a function of their own.
            Command::Receive { .. }
            | Command::Assess { .. }
            | Command::Narrow { .. }
            | Command::Prepare { .. }
            | Command::Approve { .. }
            | Command::Holders { .. }
            | Command::Share { .. }
            | Command::Release { .. }
            | Command::Sealed { .. }
            | Command::Body { .. }
            | Command::Produce { .. }
            | Command::ProductionReceipt { .. }
            | Command::Preserve { .. }
            | Command::EndPreservation { .. }
            | Command::Letter { .. }
            | Command::Count { .. }
            | Command::Show { .. }
            | Command::Document { .. }
            | Command::DemandReceipt { .. }
            | Command::List { .. }
            | Command::EnrolAuthority { .. }
            | Command::ConfirmAuthority { .. }
            | Command::Register => Err(DeskError::Command),
        }
    }

    pub(crate) fn letter(&self, at: &mut Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let text = letter::write(at.case(id)?, at.now)?;
        let row = at.inner.next_document;
        let event = at.event(id, What::Letter { row });
        self.commit(&mut at.inner, vec![event], vec![text.clone().into_bytes()], vec![])?;
        Ok(Answer::Letter { text, row })
    }

    pub(crate) fn enrol_authority(
        &self,
        at: &mut Carried<'_>,
        (name, place, recipient, number_from): (String, law::Place, String, String),
        called_back: Timestamp,
    ) -> Result<Answer, DeskError> {
        if called_back > at.now {
            return Err(DeskError::Enrolment("the call-back lies ahead"));
        }
        let (id, enrolled_by) = (self.fresh(), at.by.person);
        let authority = EnrolledAuthority {
            id,
            name,
            place,
            recipient,
            number_from,
            called_back,
            enrolled_by,
            confirmed_by: None,
        };
        self.enter_authority(at, authority, "authority enrolled")
    }

    pub(crate) fn confirm_authority(
        &self,
        at: &mut Carried<'_>,
        id: [u8; 16],
    ) -> Result<Answer, DeskError> {
        let found = at.inner.register.authority(id);
        let mut authority =
            found.ok_or(DeskError::Enrolment("there is no such authority"))?.clone();
        if authority.enrolled_by == at.by.person {
            return Err(DeskError::OnePerson("who confirms an authority"));
        }
        authority.confirmed_by = Some(at.by.person);
        self.enter_authority(at, authority, "authority confirmed")
    }

    fn enter_authority(
        &self,
        at: &mut Carried<'_>,
        authority: EnrolledAuthority,
        word: &str,
    ) -> Result<Answer, DeskError> {
        let (id, confirmed) = (authority.id, authority.confirmed_by.is_some());
        let row = Registrant::Authority(authority);
        at.inner.register.check(&row)?;
        let what = What::StaffActed { account: None, word: word.to_owned() };
        let event = event::Event { case: None, at: at.now, by: at.by.person, what };
        self.commit(&mut at.inner, vec![event], vec![], vec![row])?;
        Ok(Answer::Authority { id, confirmed })
    }
}
