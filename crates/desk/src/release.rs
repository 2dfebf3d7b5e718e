//! Releases, as far as the desk goes: the order, two signatures, whom to ask, what to hand over.
//!
//! Invariant: the desk assembles evidence and believes none of it; custody and every holder
//! check it. What it hands to the station is as sealed as it lies in the store, and only what
//! the order's epochs and kinds name.
//! Refs: specs/release-evidence.md; design §5.

use crate::approval::{self, FactsConfirmed, FourEyes};
use crate::case::{Case, State};
use crate::command::{Answer, EscrowOctets, HolderRequest, PAGE_BYTES_MAX, SealedKind, SealedRow};
use crate::decision::Outcome;
use crate::desk::{Carried, Desk, count};
use crate::error::DeskError;
use crate::event::{Event, What};
use crate::preservation;
use crate::production;
use crate::refusal::{Beyond, Lack, Part};
use crate::scope::Scope;
use crate::time;
use custody::ciphertext::Reach;
use custody::holder::{Answer as ShareAnswer, REQUEST_BYTES_MAX, ask_guard, ask_trustee};
use custody::user::MANIFEST_ROW;
use custody::{Approval, OrderEpoch, OrderRecord, Pin, PinOf, ReleaseEvidence};
use law::Fact;
use seal::epoch::{begins, ends};
use seal::escrow::{Escrow, Party};
use seal::letter::{LetterHeader, Stated};
use seal::manifest::SignedManifest;
use seal::row;
use seal::sign::VerifyingKey;
use std::collections::BTreeSet;
use store::HoldId;
use vocab::{AccountId, CaseId, HolderId, RecordKind, Row, Timestamp};

/// How often a manifest is read that changes while it is read.
const READS_MAX: usize = 5;

impl Desk {
    pub(crate) fn prepare(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        recipient: Vec<u8>,
        valid_seconds: u64,
    ) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let scope = self.releasable(at, case)?;
        let authority = case.demand.enrolled.and_then(|id| at.inner.register.authority(id));
        let authority = authority
            .filter(|authority| authority.confirmed_by.is_some())
            .ok_or(DeskError::Lacks(Lack::Authority))?;
        let not_before = not_before(case, at.now)?;
        let text = scope.to_text()?;
        let order = OrderRecord {
            version: OrderRecord::VERSION,
            case: id,
            cell: self.options.cell,
            account: scope.account,
            demand: case.document,
            scope: scope.digest()?,
            // As two persons enrolled it, not as the clerk typed it, and with its key.
            authority: format!(
                "{} ({}){}",
                authority.name,
                authority.place,
                production::age_key(&authority.recipient)
            ),
            basis: case.demand.basis.clone(),
            epochs: self.months_opened(&scope, preservation::kept(id, case))?,
            kinds: scope.kinds(),
            from: scope.from,
            until: scope.until,
            not_before,
            valid_until: Timestamp(not_before.0.saturating_add(valid_seconds)),
            secret_until: case.secrecy.as_ref().and_then(|order| order.until).map(|at| at.0),
            recipient,
            register: at.inner.register.officers()?.digest(),
        };
        let order = order.encode()?;
        let what = What::Prepared { order: order.clone(), scope: text.clone() };
        let event = at.event(Some(id), what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        let digest = OrderRecord::digest(&order);
        Ok(Answer::Prepared { order, digest, scope: text })
    }

    /// The scope, if everything that must precede an order has.
    fn releasable(&self, at: &Carried<'_>, case: &Case) -> Result<Scope, DeskError> {
        if case.demand.rehearsal {
            return Err(DeskError::Rehearsal);
        }
        let decided = case.decided.as_ref().ok_or(DeskError::Lacks(Lack::Decision))?;
        if !decided.outcome.produces() {
            return Err(DeskError::Lacks(Lack::Outcome));
        }
        if decided.outcome == Outcome::Narrow && case.state != State::Narrowed {
            return Err(DeskError::Lacks(Lack::Narrowing));
        }
        if case.facts.authenticated != Fact::Known(true) {
            return Err(DeskError::Lacks(Lack::Sender));
        }
        if decided.by != at.by.person {
            return Err(DeskError::Lacks(Lack::Preparer));
        }
        case.scope.clone().ok_or(DeskError::Lacks(Lack::Scope))
    }

    /// The months of the account that the scope touches, with their escrows; also with those of
    /// the preservation, if the account was re-keyed since.
    pub(crate) fn epochs(
        &self,
        scope: &Scope,
        kept: Option<HoldId>,
    ) -> Result<Vec<OrderEpoch>, DeskError> {
        let mut escrows = self.escrows(scope.account)?;
        let of_live: BTreeSet<_> =
            escrows.iter().map(|escrow| (escrow.epoch(), escrow.version())).collect();
        let mut preserved = self.preserved_escrows(scope.account, kept)?;
        preserved.retain(|escrow| !of_live.contains(&(escrow.epoch(), escrow.version())));
        escrows.extend(preserved);
        let last = escrows.iter().map(Escrow::epoch).max();
        let mut lines: Vec<OrderEpoch> = escrows
            .iter()
            .filter(|escrow| {
                let month = escrow.epoch();
                let ended = ends(month) <= scope.from && Some(month) != last;
                month != seal::epoch::STANDING && begins(month) < scope.until && !ended
            })
            .map(|escrow| OrderEpoch {
                epoch: escrow.epoch().0,
                version: escrow.version().0,
                guard_tag: escrow.guard_tag(),
                policy: escrow.policy(),
                last: Some(escrow.epoch()) == last,
            })
            .collect();
        lines.sort_by_key(|line| (line.epoch, line.version));
        if lines.is_empty() { Err(DeskError::NoEscrow) } else { Ok(lines) }
    }

    /// The account's escrows that its owner signed (specs/bw1.md §10). One put in their place
    /// could carry another account's guard tag, and lead guards to give what no leaf names.
    fn escrows(&self, account: AccountId) -> Result<Vec<Escrow>, DeskError> {
        let Some(signed) = self.manifest(account)? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for found in self.options.read.scan(account, RecordKind::Escrow, Row(0)) {
            let (_, value) = found?;
            let escrow = Escrow::decode(&value).map_err(|_| DeskError::Damaged)?;
            let entry = signed.manifest().epoch(escrow.epoch(), escrow.version());
            let listed = entry.is_some_and(|entry| entry.escrow == Some(escrow.digest()));
            if listed && escrow.account() == account {
                out.push(escrow);
            }
        }
        Ok(out)
    }

    /// The account's manifest, signed by its owner, and as the cell pinned it.
    pub(crate) fn manifest(&self, account: AccountId) -> Result<Option<SignedManifest>, DeskError> {
        // Manifest and pin are read one after the other: its owner may come between.
        for _ in 1..READS_MAX {
            let manifest = self.manifest_once(account);
            if !matches!(manifest, Err(DeskError::Exchanged)) {
                return manifest;
            }
        }
        self.manifest_once(account)
    }

    fn manifest_once(&self, account: AccountId) -> Result<Option<SignedManifest>, DeskError> {
        let read = &self.options.read;
        let Some(stored) = read.get(account, RecordKind::Manifest, MANIFEST_ROW)? else {
            return Ok(None);
        };
        let row = PinOf::Keystore.row(account);
        let pin = read.get(account, RecordKind::AccountPin, row)?;
        let rows = &self.options.rows;
        let pin = pin.and_then(|pin| Pin::open(PinOf::Keystore, account, rows, &pin));
        let pin = pin.ok_or(DeskError::Exchanged)?;
        let signed = SignedManifest::decode(&stored).map_err(|_| DeskError::Exchanged)?;
        let is_pinned = signed.digest() == pin.digest && signed.manifest().account == account;
        if is_pinned { Ok(Some(signed)) } else { Err(DeskError::Exchanged) }
    }

    /// The escrows that a preservation keeps, if the account's owner signed them: then they are
    /// listed in the manifest it keeps, which the same identity signed as the one that is pinned.
    fn preserved_escrows(
        &self,
        account: AccountId,
        kept: Option<HoldId>,
    ) -> Result<Vec<Escrow>, DeskError> {
        let (Some(kept), Some(pinned)) = (kept, self.manifest(account)?) else {
            return Ok(Vec::new());
        };
        let preserve = &self.options.preserve;
        let stored = preserve.read(kept, account, RecordKind::Manifest, MANIFEST_ROW)?;
        let Some(stored) = stored else { return Ok(Vec::new()) };
        let signed = SignedManifest::decode(&stored).map_err(|_| DeskError::Damaged)?;
        let (old, now) = (signed.manifest(), pinned.manifest());
        let precedes = (old.account, old.identity, old.cell) == (account, now.identity, now.cell)
            && old.version <= now.version;
        if !precedes {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for held in preserve.held(kept) {
            let held = held?;
            if (held.account, held.kind) != (account, RecordKind::Escrow) {
                continue;
            }
            let value = preserve.read(kept, account, RecordKind::Escrow, held.row)?;
            let Some(value) = value else { continue };
            let escrow = Escrow::decode(&value).map_err(|_| DeskError::Damaged)?;
            let entry = old.epoch(escrow.epoch(), escrow.version());
            if entry.is_some_and(|entry| entry.escrow == Some(escrow.digest())) {
                out.push(escrow);
            }
        }
        Ok(out)
    }

    /// The escrows an order names: as they are, or as the case's preservation keeps them.
    fn named_escrows(
        &self,
        order: &OrderRecord,
        kept: Option<HoldId>,
    ) -> Result<Vec<Escrow>, DeskError> {
        let mut escrows = self.escrows(order.account)?;
        let of_live: BTreeSet<_> = escrows.iter().map(Escrow::guard_tag).collect();
        let mut preserved = self.preserved_escrows(order.account, kept)?;
        preserved.retain(|escrow| !of_live.contains(&escrow.guard_tag()));
        escrows.extend(preserved);
        escrows.retain(|escrow| {
            let line = order.epoch(escrow.epoch(), escrow.version());
            line.is_some_and(|line| line.guard_tag == escrow.guard_tag())
        });
        Ok(escrows)
    }

    pub(crate) fn approve(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        approval: Approval,
        facts: FactsConfirmed,
    ) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let (order, _) = case.order.clone().ok_or(DeskError::Lacks(Lack::Order))?;
        let digest = OrderRecord::digest(&order);
        approval::check(&approval, digest, &at.by, at.now)?;
        facts.check(id, digest, &case.facts, &VerifyingKey(at.by.key))?;
        let approved = What::Approved { order: digest, approval: approval.clone(), facts };
        let mut events = vec![at.event(Some(id), approved)];
        match case.approvals.as_slice() {
            [] if approval.role == custody::Role::Counsel => {}
            [] => return Err(DeskError::Lacks(Lack::SignedFirst)),
            [counsel] => {
                let decided = case.decided.as_ref().map(|decided| decided.by);
                if decided == Some(at.by.person) {
                    return Err(DeskError::OnePerson(Part::Second));
                }
                if case.entered_by.contains(&at.by.person) {
                    return Err(DeskError::OnePerson(Part::Facts));
                }
                let both = FourEyes::new(counsel.clone(), approval)?.into_approvals();
                events.push(at.event(Some(id), What::Authorised { order, approvals: both }));
            }
            [..] => return Err(DeskError::Lacks(Lack::Signatures)),
        }
        self.commit(&mut at.inner, events, vec![], vec![])?;
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    /// The order in force, and the evidence for it.
    fn evidence(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
    ) -> Result<(OrderRecord, ReleaseEvidence), DeskError> {
        let receipt = at.receipt.take().ok_or(DeskError::NoReceipt)?;
        let case = at.case(id)?;
        let (order, scope) = case.order.clone().ok_or(DeskError::Lacks(Lack::Order))?;
        let record = OrderRecord::decode(&order)?;
        if at.now >= record.valid_until {
            return Err(DeskError::Lacks(Lack::OrderRan));
        }
        let approvals = case.approvals.clone();
        Ok((record, ReleaseEvidence { version: 1, order, scope, approvals, receipt }))
    }

    pub(crate) fn ask_holders(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
    ) -> Result<Answer, DeskError> {
        let (order, evidence) = self.evidence(at, id)?;
        if !order.opens_account() {
            return Err(DeskError::Outside(Beyond::Unasked));
        }
        let escrows = self.named_escrows(&order, preservation::kept(id, at.case(id)?))?;
        let (trustees, trustees_needed) = side(&escrows, Party::Trustee);
        let (guards, guards_needed) = side(&escrows, Party::Guard);
        let trustees = trustees.into_iter().filter_map(|holder| {
            let request = ask_trustee(&evidence, &escrows, holder)?;
            Some(HolderRequest { holder, request })
        });
        let guards = guards.into_iter().filter_map(|holder| {
            let request = ask_guard(&evidence, &escrows, holder)?;
            Some(HolderRequest { holder, request })
        });
        let (trustees, guards) = (trustees.collect(), guards.collect());
        let evidence = Box::new(evidence);
        Ok(Answer::Holders { evidence, trustees_needed, guards_needed, trustees, guards })
    }

    pub(crate) fn share(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        answer: &ShareAnswer,
    ) -> Result<Answer, DeskError> {
        let case = at.case(id)?;
        let (order, _) = case.order.as_ref().ok_or(DeskError::Lacks(Lack::Order))?;
        let kept = preservation::kept(id, case);
        let escrows = self.named_escrows(&OrderRecord::decode(order)?, kept)?;
        let holds = |escrow: &Escrow| {
            escrow.share_boxes().iter().any(|share| share.holder == answer.holder)
        };
        let document = serde_json::to_vec(answer).map_err(|_| DeskError::Command)?;
        if !escrows.iter().any(holds) || document.len() > REQUEST_BYTES_MAX {
            return Err(DeskError::Share);
        }
        let row = at.inner.next_document;
        let event = at.event(Some(id), What::Shared { holder: answer.holder, row });
        self.commit(&mut at.inner, vec![event], vec![document], vec![])?;
        Ok(Answer::Done { state: at.case(id)?.state })
    }

    pub(crate) fn release(&self, at: &mut Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let (order, evidence) = self.evidence(at, id)?;
        let case = at.case(id)?;
        no_approver(case, at)?;
        let authority = case.demand.enrolled.and_then(|id| at.inner.register.authority(id));
        let recipient = authority.ok_or(DeskError::Lacks(Lack::Recipient))?.recipient.clone();
        let rows: Vec<u64> = case.answers.values().copied().collect();
        let state = case.state;
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            let octets = self.document(row)?;
            answers.push(serde_json::from_slice(&octets).map_err(|_| DeskError::Damaged)?);
        }
        let escrows = self.named_escrows(&order, preservation::kept(id, at.case(id)?))?;
        let escrows = escrows.iter().map(|escrow| EscrowOctets(escrow.encode())).collect();
        if state != State::Released {
            let event: Event = at.event(Some(id), What::Released);
            self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        }
        Ok(Answer::Released { evidence: Box::new(evidence), escrows, answers, recipient })
    }

    /// The order of a released case, while it is in force, and the case's preservation.
    pub(crate) fn fetchable(
        &self,
        at: &Carried<'_>,
        id: CaseId,
    ) -> Result<(OrderRecord, Option<HoldId>), DeskError> {
        let case = at.case(id)?;
        no_approver(case, at)?;
        let (order, _) = case.order.as_ref().ok_or(DeskError::Lacks(Lack::Order))?;
        let order = OrderRecord::decode(order)?;
        if !order.in_force(at.now) {
            return Err(DeskError::Lacks(Lack::InForce));
        }
        Ok((order, preservation::kept(id, case)))
    }

    pub(crate) fn sealed_page(
        &self,
        at: &Carried<'_>,
        id: CaseId,
        kind: SealedKind,
        from: u64,
    ) -> Result<Answer, DeskError> {
        let (order, kept) = self.fetchable(at, id)?;
        let table = match kind {
            SealedKind::Head => RecordKind::LetterHead,
            SealedKind::Message => RecordKind::Message,
        };
        if !order.opens(table) {
            return Err(DeskError::Scope("it names no letters"));
        }
        let sealed = self.reach(&order)?;
        let places = self.places(order.account, table, from, kept)?;
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        for row in places {
            if bytes >= PAGE_BYTES_MAX {
                return Ok(Answer::Sealed { rows, next: Some(row) });
            }
            let is_named = |value: &[u8]| self.named(&order, sealed.as_ref(), kind, value);
            let value = self.named_value(order.account, (table, row), kept, is_named)?;
            let Some(value) = value else { continue };
            bytes = bytes.saturating_add(value.len());
            rows.push(SealedRow { row, value });
        }
        Ok(Answer::Sealed { rows, next: None })
    }

    /// Whether what can be read of a sealed record without a key is in the order; of a letter,
    /// also that this cell took it in. Anyone can seal a letter to an account.
    pub(crate) fn named(
        &self,
        order: &OrderRecord,
        sealed: Option<&Reach>,
        kind: SealedKind,
        value: &[u8],
    ) -> bool {
        match kind {
            SealedKind::Head => LetterHeader::read(value).is_ok_and(|header| {
                // A letter may be of a version that was re-keyed since: the month counts.
                let month = sealed.is_some()
                    || order.epochs.iter().any(|line| line.epoch == header.epoch.0);
                // Where it stands in the chain its owner checks; here the signature counts.
                let signed = Stated::read(value)
                    .and_then(|stated| stated.verify(&self.options.ingest))
                    .is_ok();
                let taken_in = signed && header.account == order.account;
                month && order.covers(header.arrived) && taken_in
            }),
            SealedKind::Message => row::header(value).is_ok_and(|header| match sealed {
                Some(reach) => reach.covers(header.epoch, header.version),
                None => order.epoch(header.epoch, header.version).is_some(),
            }),
        }
    }

    /// A record as it is stored, or as it was preserved if it is gone.
    pub(crate) fn sealed_value(
        &self,
        account: AccountId,
        kind: RecordKind,
        row: u64,
        kept: Option<HoldId>,
    ) -> Result<Option<Vec<u8>>, DeskError> {
        if let Some(value) = self.options.read.get(account, kind, Row(row))? {
            return Ok(Some(value.to_vec()));
        }
        let Some(kept) = kept else { return Ok(None) };
        let value = self.options.preserve.read(kept, account, kind, Row(row))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// A record as it is stored, if the order names that; or else as it was preserved, if it names
    /// that: the account may have been re-keyed since.
    pub(crate) fn named_value(
        &self,
        account: AccountId,
        (kind, row): (RecordKind, u64),
        kept: Option<HoldId>,
        is_named: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>, DeskError> {
        let live = self.sealed_value(account, kind, row, None)?;
        if let Some(value) = live.filter(|value| is_named(value)) {
            return Ok(Some(value));
        }
        let Some(kept) = kept else { return Ok(None) };
        let value = self.options.preserve.read(kept, account, kind, Row(row))?;
        Ok(value.map(|value| value.to_vec()).filter(|value| is_named(value)))
    }

    pub(crate) fn body_piece(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        row: u64,
        from: u64,
    ) -> Result<Answer, DeskError> {
        let (order, kept) = self.fetchable(at, id)?;
        let kind = RecordKind::LetterBody;
        if !order.opens(kind) {
            return Err(DeskError::Scope("it names no letter's text"));
        }
        self.needed(at, id, (&order, kept), row)?;
        let piece = from..from.saturating_add(count(PAGE_BYTES_MAX));
        if let Some(part) = self.options.read.range(order.account, kind, Row(row), piece)? {
            return Ok(Answer::Body { octets: part.octets.to_vec(), total: part.total });
        }
        let value = self.sealed_value(order.account, kind, row, kept)?;
        let value = value.ok_or(DeskError::NoDocument)?;
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(value.len());
        let end = start.saturating_add(PAGE_BYTES_MAX).min(value.len());
        let octets = value.get(start..end).unwrap_or_default().to_vec();
        Ok(Answer::Body { octets, total: count(value.len()) })
    }
}

/// Who approved a release does not carry it out.
fn no_approver(case: &Case, at: &Carried<'_>) -> Result<(), DeskError> {
    let mut approvals = case.approvals.iter();
    if approvals.any(|approval| approval.person == at.by.person) {
        return Err(DeskError::OnePerson(Part::Station));
    }
    Ok(())
}

/// The holders of one side, and how many are needed.
fn side(escrows: &[Escrow], party: Party) -> (BTreeSet<HolderId>, u8) {
    let boxes = escrows.iter().flat_map(Escrow::share_boxes);
    let of_side = boxes.filter(|share| share.target.party() == party);
    let mut needed = 0;
    let holders = of_side.map(|share| {
        needed = needed.max(share.needed);
        share.holder
    });
    (holders.collect(), needed)
}

/// Nothing may leave before the latest moment the opinion names, nor before now.
fn not_before(case: &Case, now: Timestamp) -> Result<Timestamp, DeskError> {
    let opinion = case.opinion.as_ref().ok_or(DeskError::Lacks(Lack::Opinion))?;
    // What the law lacks may be what would have had this wait.
    let open = |part: &law::Part| matches!(part.opinion, law::Opinion::Undetermined { .. });
    if opinion.parts.iter().any(open) {
        return Err(DeskError::Lacks(Lack::Facts));
    }
    let mut from = now;
    // Also of what the law would not produce: counsel who decides otherwise waits too.
    for when in opinion.parts.iter().filter_map(|part| part.not_before.as_ref()) {
        let ends = time::ends(when, opinion.served);
        let ends = ends.ok_or(DeskError::Lacks(Lack::NotBefore))?;
        from = from.max(Timestamp(ends.0.saturating_add(1)));
    }
    Ok(from)
}
