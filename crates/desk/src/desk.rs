//! The desk in the server: cases in memory, events in the store, one command at a time.
//!
//! Invariant: a command is carried out only if a member of staff in office signed it, one of
//! their roles may, and the case's state allows it; its events are on disk before it is
//! answered. The desk holds no key that opens a letter.
//! Refs: docs/adr/0006-desk.md; docs/life-of-a-demand.md.

use crate::case::{Case, Verb};
use crate::command::{Answer, CLOCK_SECONDS_MAX, Command, Signed};
use crate::error::DeskError;
use crate::event::{Event, MACHINE, What};
use crate::register::{HolderEntry, Registrant, Registrants, Staff};
use crate::texts::Texts;
use custody::LeafReceipt;
use law::{Packs, Place};
use seal::Entropy;
use seal::row::RowKeys;
use seal::sign::{SigningKey, VerifyingKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Append, Batch, Preserve, Read};
use vocab::{AccountId, CaseId, CellId, Digest, ModSeq, PersonId, RecordKind, Row, Timestamp};

/// What a desk is made with.
pub struct DeskOptions {
    /// The cell.
    pub cell: CellId,
    /// Its State.
    pub place: Place,
    /// The cell's own rows (`CellKeys::rows`).
    pub rows: RowKeys,
    /// The key that signs receipts and productions (`CellKeys::desk`).
    pub signing: SigningKey,
    /// The key that signed every arrival (`CellKeys::ingest`), public half.
    pub ingest: VerifyingKey,
    /// Writes the desk's own rows.
    pub append: Append,
    /// Reads the desk's rows, and accounts' rows as they are sealed.
    pub read: Read,
    /// Preserves.
    pub preserve: Preserve,
    /// The law.
    pub packs: Packs,
    /// Chance, for identifiers and nonces.
    pub entropy: Arc<dyn Entropy>,
}

/// See the module.
pub struct Desk {
    pub(crate) options: DeskOptions,
    inner: Mutex<Inner>,
}

/// What is folded.
#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) register: Registrants,
    pub(crate) cases: BTreeMap<CaseId, Case>,
    /// Events the log must show and does not yet.
    pub(crate) pending: BTreeMap<u64, Event>,
    next_event: u64,
    pub(crate) next_document: u64,
    next_registrant: u64,
    /// Digests of the commands that events followed from, ever.
    carried: BTreeSet<Digest>,
    /// What stations were handed of letters' texts, by case.
    pub(crate) texts: BTreeMap<CaseId, Texts>,
    /// Commands of late, those that changed nothing among them.
    seen: Vec<(Timestamp, Digest)>,
}

/// One command being carried out.
pub(crate) struct Carried<'a> {
    pub(crate) inner: MutexGuard<'a, Inner>,
    pub(crate) by: Staff,
    pub(crate) now: Timestamp,
    command: Digest,
    pub(crate) receipt: Option<LeafReceipt>,
}

impl Carried<'_> {
    /// The case as it stands.
    pub(crate) fn case(&self, case: CaseId) -> Result<&Case, DeskError> {
        self.inner.cases.get(&case).ok_or(DeskError::NoCase)
    }

    pub(crate) fn event(&self, case: Option<CaseId>, what: What) -> Event {
        let command = Some(self.command);
        Event { case, at: self.now, by: self.by.person, command, what }
    }
}

impl Desk {
    /// Folds what the store holds of the desk.
    ///
    /// # Errors
    /// [`DeskError::Read`], [`DeskError::Damaged`].
    pub fn open(options: DeskOptions) -> Result<Self, DeskError> {
        let desk = Self { options, inner: Mutex::new(Inner::default()) };
        let mut inner = Inner {
            next_event: desk.next(RecordKind::CaseEvent)?,
            next_document: desk.next(RecordKind::CaseDocument)?,
            next_registrant: desk.next(RecordKind::Registrant)?,
            ..Inner::default()
        };
        for found in desk.options.read.scan(desk.account(), RecordKind::Registrant, Row(0)) {
            let (row, value) = found?;
            let plain = desk.unseal(RecordKind::Registrant, row, &value)?;
            inner.register.enter(serde_json::from_slice(&plain).map_err(|_| DeskError::Damaged)?);
        }
        for found in desk.options.read.scan(desk.account(), RecordKind::CaseEvent, Row(0)) {
            let (row, value) = found?;
            let plain = desk.unseal(RecordKind::CaseEvent, row, &value)?;
            let event = Event::decode(&plain).ok_or(DeskError::Damaged)?;
            let folded = fold(&inner, row.0, &event).map_err(|_| DeskError::Damaged)?;
            enter(&mut inner, folded);
            inner.note(row.0, &event);
        }
        desk.inner().clone_from_fold(inner);
        Ok(desk)
    }

    /// The rows of the desk are the cell's.
    pub(crate) fn account(&self) -> AccountId {
        AccountId(self.options.cell.0)
    }

    fn next(&self, kind: RecordKind) -> Result<u64, DeskError> {
        let last = self.options.read.last_row(self.account(), kind)?;
        Ok(last.map_or(1, |row| row.0.saturating_add(1)))
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        // A fold is replaced whole after its commit, so a panic elsewhere leaves it true.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unseal(
        &self,
        kind: RecordKind,
        row: Row,
        value: &[u8],
    ) -> Result<Vec<u8>, DeskError> {
        let opened = self.options.rows.open(kind, row, value);
        opened.map(|(_, plain)| plain).map_err(|_| DeskError::Damaged)
    }

    pub(crate) fn sealed(
        &self,
        kind: RecordKind,
        row: u64,
        plain: &[u8],
    ) -> Result<Vec<u8>, DeskError> {
        let entropy = self.options.entropy.as_ref();
        self.options
            .rows
            .seal(kind, Row(row), ModSeq(0), plain, entropy)
            .map_err(|_| DeskError::Damaged)
    }

    /// Reads a document.
    pub(crate) fn document(&self, row: u64) -> Result<Vec<u8>, DeskError> {
        let (kind, row) = (RecordKind::CaseDocument, Row(row));
        let value = self.options.read.get(self.account(), kind, row)?;
        self.unseal(kind, row, &value.ok_or(DeskError::NoDocument)?)
    }

    /// Stores events, documents (from `Inner::next_document` on) and rows of the register in one
    /// batch, and folds them; nothing of it if anything is not allowed.
    pub(crate) fn commit(
        &self,
        inner: &mut Inner,
        events: Vec<Event>,
        documents: Vec<Vec<u8>>,
        registrants: Vec<Registrant>,
    ) -> Result<(), DeskError> {
        let mut batch = Batch::new(self.account());
        let mut draft: BTreeMap<CaseId, Case> = BTreeMap::new();
        for (event, row) in events.iter().zip(inner.next_event..) {
            let before = event.case.and_then(|case| draft.get(&case));
            let folded = match before {
                Some(case) => apply(Some(case), row, event)?,
                None => fold(inner, row, event)?,
            };
            draft.extend(folded.map(|case| (case.id, case)));
            let plain = event.encode().ok_or(DeskError::Damaged)?;
            batch = self.put(batch, RecordKind::CaseEvent, row, &plain)?;
        }
        for (document, row) in documents.iter().zip(inner.next_document..) {
            batch = self.put(batch, RecordKind::CaseDocument, row, document)?;
        }
        for (registrant, row) in registrants.iter().zip(inner.next_registrant..) {
            let plain = serde_json::to_vec(registrant).map_err(|_| DeskError::Damaged)?;
            batch = self.put(batch, RecordKind::Registrant, row, &plain)?;
        }
        self.options.append.commit_blocking(batch)?;
        inner.cases.extend(draft);
        for event in &events {
            let row = inner.next_event;
            inner.note(row, event);
            inner.next_event = row.saturating_add(1);
        }
        inner.next_document = inner.next_document.saturating_add(count(documents.len()));
        for registrant in registrants {
            inner.register.enter(registrant);
            inner.next_registrant = inner.next_registrant.saturating_add(1);
        }
        Ok(())
    }

    fn put(&self, to: Batch, kind: RecordKind, row: u64, plain: &[u8]) -> Result<Batch, DeskError> {
        let sealed = self.sealed(kind, row, plain)?;
        // Events are only ever added.
        Ok(to.require_absent(kind, Row(row)).put(kind, Row(row), sealed))
    }

    /// Enrols a member of staff, or changes their roles and the end of their office. Only the
    /// cell's operator, at its own socket, can; the log shows it. Holders and verifiers learn of
    /// it by [`Desk::officers`], in a trust policy of their own.
    ///
    /// # Errors
    /// [`DeskError::Enrolment`], [`DeskError::Commit`].
    pub fn enrol_staff(&self, staff: Staff, now: Timestamp) -> Result<(), DeskError> {
        self.enrol(Registrant::Staff(staff), "staff enrolled", MACHINE, now)
    }

    /// Enrols a holder of shares, for the desk to know whom to ask.
    ///
    /// # Errors
    /// As [`Desk::enrol_staff`].
    pub fn enrol_holder(&self, holder: HolderEntry, now: Timestamp) -> Result<(), DeskError> {
        self.enrol(Registrant::Holder(holder), "holder enrolled", MACHINE, now)
    }

    fn enrol(
        &self,
        new: Registrant,
        word: &str,
        by: PersonId,
        now: Timestamp,
    ) -> Result<(), DeskError> {
        let mut inner = self.inner();
        inner.register.check(&new)?;
        let what = What::StaffActed { account: None, word: word.to_owned() };
        let event = Event { case: None, at: now, by, command: None, what };
        self.commit(&mut inner, vec![event], vec![], vec![new])
    }

    /// The officers, as trust policies name them.
    ///
    /// # Errors
    /// [`DeskError::Register`].
    pub fn officers(&self) -> Result<custody::Register, DeskError> {
        self.inner().register.officers()
    }

    /// The holders of shares that the desk knows of.
    #[must_use]
    pub fn enrolled_holders(&self) -> Vec<HolderEntry> {
        let holder = |row: &Registrant| match row {
            Registrant::Holder(holder) => Some(holder.clone()),
            Registrant::Staff(_) | Registrant::Authority(_) => None,
        };
        self.inner().register.rows.iter().filter_map(holder).collect()
    }

    /// The log index whose receipt [`Desk::carry_out`] wants with this command, if any.
    #[must_use]
    pub fn wants_receipt(&self, signed: &Signed) -> Option<u64> {
        let command = signed.command().ok()?;
        let inner = self.inner();
        let case = inner.cases.get(&command.case()?)?;
        let about_release = matches!(command, Command::Holders { .. } | Command::Release { .. });
        let event = if about_release {
            case.authorised?
        } else if matches!(command, Command::ProductionReceipt { .. }) {
            case.production.as_ref()?.row
        } else if matches!(command, Command::DemandReceipt { .. }) {
            case.first
        } else {
            return None;
        };
        case.logged.get(&event).map(|at| at.index)
    }

    /// Carries out a signed command. Blocks on the disk. `receipt` is the log's receipt of
    /// [`Desk::wants_receipt`], with its whole opening. Afterwards see [`Desk::unlogged`].
    ///
    /// # Errors
    /// [`DeskError`]; nothing was changed.
    pub fn carry_out(
        &self,
        signed: &Signed,
        receipt: Option<LeafReceipt>,
        now: Timestamp,
    ) -> Result<Answer, DeskError> {
        let command = signed.command()?;
        let verb = command.verb();
        let mut inner = self.inner();
        let by = inner.register.in_office(signed.person, now).ok_or(DeskError::Unsigned)?.clone();
        let digest = signed.check(self.options.cell, &VerifyingKey(by.key), now)?;
        let recent = |at: &Timestamp| at.0.abs_diff(now.0) <= 2 * CLOCK_SECONDS_MAX;
        inner.seen.retain(|(at, _)| recent(at));
        // What changed something is known from its events, also after a restart.
        if inner.carried.contains(&digest) || inner.seen.iter().any(|(_, seen)| *seen == digest) {
            return Err(DeskError::Repeated);
        }
        if !verb.roles().iter().any(|role| by.roles.contains(role)) {
            return Err(DeskError::Role { verb });
        }
        if let Some(case) = command.case() {
            inner.cases.get(&case).ok_or(DeskError::NoCase)?.state.permit(verb)?;
        }
        command.check(self.options.place, now)?;
        inner.seen.push((signed.at, digest));
        let mut carried = Carried { inner, by, now, command: digest, receipt };
        let answer = self.dispatch(&mut carried, command);
        if answer.is_err() {
            carried.inner.seen.pop();
        }
        answer
    }

    fn dispatch(&self, at: &mut Carried<'_>, command: Command) -> Result<Answer, DeskError> {
        match command {
            Command::Receive { demand, document, account, again } => {
                self.receive(at, *demand, document, (account, again))
            }
            Command::Assess { case, facts } => self.assess(at, case, &facts),
            Command::Narrow { case, scope, diff } => self.narrow(at, case, scope, diff),
            Command::Prepare { case, recipient, valid_seconds } => {
                self.prepare(at, case, recipient, valid_seconds)
            }
            Command::Approve { case, approval, facts } => self.approve(at, case, approval, facts),
            Command::Holders { case } => self.ask_holders(at, case),
            Command::Share { case, answer } => self.share(at, case, &answer),
            Command::Release { case } => self.release(at, case),
            Command::Held { case } => self.held(at, case),
            Command::Sealed { case, kind, from } => self.sealed_page(at, case, kind, from),
            Command::Body { case, row, from } => self.body_piece(at, case, row, from),
            Command::Produce { case, tag_manifest, record } => {
                self.produce(at, case, &tag_manifest, record)
            }
            Command::ProductionReceipt { .. } | Command::DemandReceipt { .. } => {
                let receipt = at.receipt.take().ok_or(DeskError::NoReceipt)?;
                Ok(Answer::Receipt { receipt: Box::new(receipt) })
            }
            Command::Preserve { case, until } => self.preserve(at, case, until),
            Command::Secrecy { case, order } => self.secrecy(at, case, order),
            Command::EndPreservation { case } => self.end_preservation(at, case),
            Command::Letter { case } => self.letter(at, case),
            Command::Count { case } => self.counts(at, case),
            Command::Show { case } => self.show(at, case),
            Command::Document { case, row } => self.case_document(at, case, row),
            Command::List { overdue } => Ok(self.list(at, overdue)),
            Command::EnrolAuthority { name, place, recipient, number_from, called_back } => {
                self.enrol_authority(at, (name, place, recipient, number_from), called_back)
            }
            Command::ConfirmAuthority { id } => self.confirm_authority(at, id),
            Command::Register => Ok(Answer::Register { rows: at.inner.register.rows.clone() }),
            Command::Verify { .. }
            | Command::Correct { .. }
            | Command::Decide { .. }
            | Command::Return { .. }
            | Command::HolderRefused { .. }
            | Command::Deliver { .. }
            | Command::Stay { .. }
            | Command::Lift { .. }
            | Command::Appeal { .. }
            | Command::Withdraw { .. }
            | Command::Close { .. }
            | Command::Notice { .. } => self.record(at, command),
        }
    }

    /// A case's state, for whoever may not read more.
    #[must_use]
    pub fn state(&self, case: CaseId) -> Option<crate::case::State> {
        self.inner().cases.get(&case).map(|case| case.state)
    }

    /// An identifier never used before.
    pub(crate) fn fresh(&self) -> [u8; 16] {
        let mut id = [0; 16];
        self.options.entropy.fill(&mut id);
        id
    }
}

impl Inner {
    fn clone_from_fold(&mut self, fold: Self) {
        *self = fold;
    }

    /// Keeps account of an event that is stored: what the log lacks, and what was asked.
    fn note(&mut self, row: u64, event: &Event) {
        self.carried.extend(event.command);
        self.note_unlogged(row, event);
    }
}

/// The case after the event; `None` for an event about none.
fn fold(inner: &Inner, row: u64, event: &Event) -> Result<Option<Case>, DeskError> {
    match event.case {
        None => Ok(None),
        Some(case) => apply(inner.cases.get(&case), row, event),
    }
}

fn apply(before: Option<&Case>, row: u64, event: &Event) -> Result<Option<Case>, DeskError> {
    let begins = event.what.verb() == Some(Verb::Receive);
    match before {
        None if begins => Case::begin(row, event).map(Some).ok_or(DeskError::Damaged),
        None => Err(DeskError::NoCase),
        Some(_) if begins => Err(DeskError::Damaged),
        Some(before) => {
            let mut case = before.clone();
            case.apply(row, event)?;
            Ok(Some(case))
        }
    }
}

fn enter(inner: &mut Inner, folded: Option<Case>) {
    inner.cases.extend(folded.map(|case| (case.id, case)));
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
