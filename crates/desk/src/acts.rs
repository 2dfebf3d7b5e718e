//! What each command does to a case, release and production aside.
//!
//! Invariant: while a non-disclosure order binds no notice is recorded as sent, and nothing that
//! the log does not have yet goes there in clear.
//! Refs: docs/life-of-a-demand.md.

use crate::case::{Case, State};
use crate::command::{Answer, Command};
use crate::demand::{Demand, DemandReceipt};
use crate::desk::{Carried, Desk};
use crate::error::DeskError;
use crate::event::What;
use crate::notice::UserNotice;
use crate::refusal::{Fault, Lack, Part, Unfit};
use crate::register::{EnrolledAuthority, Registrant};
use crate::scope::{Scope, ScopeDiff, changes};
use crate::secrecy::NonDisclosureOrder;
use crate::{decision, intake, letter};
use custody::OrderRecord;
use seal::mac::sha256;
use seal::sign::VerifyingKey;
use serde_json::{Map, Value};
use vocab::{AccountId, CaseId, Digest, Timestamp};

/// The digest of the case's order.
fn ordered(case: &Case) -> Result<Digest, DeskError> {
    let (order, _) = case.order.as_ref().ok_or(DeskError::Lacks(Lack::Order))?;
    Ok(OrderRecord::digest(order))
}

fn close(case: &Case) -> Result<What, DeskError> {
    let produces = case.decided.as_ref().is_some_and(|decided| decided.outcome.produces());
    if case.state == State::Decided && produces {
        return Err(DeskError::Lacks(Lack::Answer));
    }
    Ok(What::Closed)
}

fn renewal(case: &Case, order: NonDisclosureOrder, now: Timestamp) -> Result<What, DeskError> {
    // A slip in its end would have the next batch open every sealed leaf, for ever.
    if !case.demand.rehearsal && !order.binds(now) {
        return Err(DeskError::Demand(Fault::LapsedSince));
    }
    Ok(What::Secrecy { order })
}

fn told(case: &Case, notice: UserNotice, now: Timestamp) -> Result<What, DeskError> {
    let bound = case.secrecy.as_ref().is_some_and(|order| order.binds(now));
    if bound && matches!(notice, UserNotice::Sent { .. }) {
        return Err(DeskError::Lacks(Lack::Notice));
    }
    Ok(What::Notice { notice, account: case.account })
}

impl Desk {
    pub(crate) fn receive(
        &self,
        at: &mut Carried<'_>,
        mut demand: Demand,
        document: Vec<u8>,
        (account, again): (Option<AccountId>, bool),
    ) -> Result<Answer, DeskError> {
        // Only the check of the sender establishes this.
        demand.facts.authenticated = law::Fact::Unknown;
        let (case, digest, row) =
            (CaseId(self.fresh()), sha256(&[&document]), at.inner.next_document);
        let cases = at.inner.cases.values().filter(|case| case.document == digest);
        let same_as = cases.max_by_key(|case| (case.opened, case.first)).map(|case| case.id);
        if let Some(case) = same_as.filter(|_| !again) {
            return Err(DeskError::Entered(case));
        }
        let demand = Box::new(demand);
        let what = What::Received { demand, document: digest, row, account, same_as };
        let event = at.event(Some(case), what);
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
        let event = at.event(Some(case), what);
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
        let before = at.case(case)?.scope.clone().ok_or(DeskError::Lacks(Lack::Scope))?;
        diff.check(case, &before, &scope, &VerifyingKey(at.by.key))?;
        let changes = changes(&before, &scope);
        let event = at.event(Some(case), What::Narrowed { scope, diff });
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
        let event = at.event(Some(id), what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    fn what(&self, at: &Carried<'_>, id: CaseId, command: Command) -> Result<What, DeskError> {
        let case = at.case(id)?;
        match command {
            Command::Verify { checks, facts, .. } => intake::verify(case, &checks, &facts, at.now),
            Command::Correct { facts, why, .. } => intake::correct(case, &facts, why, at.now),
            Command::Decide { choice, .. } => decision::decide(case, &choice),
            Command::Return { why, .. } => Ok(What::Returned { order: ordered(case)?, why }),
            Command::HolderRefused { holder, why, .. } => {
                Ok(What::HolderRefused { order: ordered(case)?, holder, why })
            }
            Command::Deliver { package, bytes, means, .. } => {
                Ok(What::Delivered { package, bytes, means })
            }
            Command::Stay { why, .. } => Ok(What::Stayed { why }),
            Command::Lift { why, .. } => Ok(What::Lifted { why }),
            Command::Appeal { court, .. } => Ok(What::Appealed { court }),
            Command::Withdraw { why, .. } => Ok(What::Withdrawn { why }),
            Command::Close { .. } => close(case),
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
            | Command::Held { .. }
            | Command::Sealed { .. }
            | Command::Body { .. }
            | Command::Produce { .. }
            | Command::ProductionReceipt { .. }
            | Command::Preserve { .. }
            | Command::Secrecy { .. }
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

    /// Records a non-disclosure order. What is not in the log yet goes there sealed; what is there
    /// in clear cannot be taken out, and the answer says which leaves those are.
    pub(crate) fn secrecy(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        order: NonDisclosureOrder,
    ) -> Result<Answer, DeskError> {
        let what = renewal(at.case(id)?, order, at.now)?;
        let event = at.event(Some(id), what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Secret { in_clear: at.case(id)?.in_clear() })
    }

    pub(crate) fn letter(&self, at: &mut Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let text = letter::write(at.case(id)?, at.now)?;
        let row = at.inner.next_document;
        let event = at.event(Some(id), What::Letter { row });
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
            return Err(DeskError::Enrolment(Unfit::CalledAhead));
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
        let mut authority = found.ok_or(DeskError::Enrolment(Unfit::NoAuthority))?.clone();
        if authority.enrolled_by == at.by.person {
            return Err(DeskError::OnePerson(Part::Confirmer));
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
        let event = at.event(None, what);
        self.commit(&mut at.inner, vec![event], vec![], vec![row])?;
        Ok(Answer::Authority { id, confirmed })
    }
}
