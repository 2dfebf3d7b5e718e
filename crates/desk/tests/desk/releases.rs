//! The way to a release: two persons, true signatures, the log, and no short cut.

use crate::world::{DAY, NOW, Who, World, facts, scope};
use bailiwick_desk::production::package::Bag;
use bailiwick_desk::production::station::{Station, StationError};
use bailiwick_desk::{
    Answer, Beyond, Choice, Command, DeskError, Fault, Lack, NonDisclosureOrder, Outcome, Scope,
    ScopeDiff, SecrecyStated, State, UserNotice,
};
use custody::leaf::Act;
use custody::production::CustodyRecord;
use custody::{FieldId, Leaf, OrderRecord, RecipientKey, Refused};
use law::{EnforcingAuthority, Fact};
use seal::mac::sha256;
use vocab::{CaseId, Digest, Timestamp};

/// The desk's side of a production of nothing, for tests of states.
pub(crate) fn produce_nothing(world: &mut World, case: CaseId) {
    let Ok(Answer::File { file }) = world.ask(Who::Station, Command::Show { case }) else {
        panic!("no file");
    };
    let at = world.now;
    let record = CustodyRecord {
        version: 1,
        case,
        cell: world.cell,
        order: file.order.unwrap(),
        opened_at: at,
        closed_at: at,
        holders: vec!["01".repeat(16)],
        opened: 0,
        produced: 0,
    };
    let mut written = serde_json::to_vec_pretty(&record).unwrap();
    written.push(b'\n');
    let demand = format!("{}  demand\n", file.document);
    let manifest = format!(
        "{}  custody.json\n{}  order.sha256\n",
        sha256(&[&written]),
        sha256(&[demand.as_bytes()])
    );
    let produce = Command::Produce { case, tag_manifest: manifest.into_bytes(), record };
    world.ask(Who::Station, produce).unwrap();
}

fn prepared(world: &mut World) -> (CaseId, Vec<u8>) {
    let case = world.decided();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    (case, order)
}

#[test]
fn second_approver_must_differ() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    // One person in both offices.
    world.approve(case, Who::Both, custody::Role::Counsel, &order).unwrap();
    let refused = world.approve(case, Who::Both, custody::Role::Approver, &order).unwrap_err();
    assert!(matches!(refused, DeskError::OnePerson(_)), "{refused}");
    assert_eq!(world.desk.state(case), Some(State::Decided));
    world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
    assert_eq!(world.desk.state(case), Some(State::Logged));
}

#[test]
fn whoever_decided_is_not_the_second_approver() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    let (outcome, scope) = (Outcome::Comply, Some(scope()));
    let choice = Box::new(Choice { outcome, scope, reason: None, codes: vec![] });
    world.done(Who::Both, Command::Decide { case, choice });
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let prepare = Command::Prepare { case, recipient: key.public(), valid_seconds: DAY };
    let Ok(Answer::Prepared { order, .. }) = world.ask(Who::Both, prepare) else {
        panic!("not prepared");
    };
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    let refused = world.approve(case, Who::Both, custody::Role::Approver, &order).unwrap_err();
    assert!(matches!(refused, DeskError::OnePerson(_)), "{refused}");
}

#[test]
fn a_forged_approval_is_refused() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    let approval = world.approval(Who::Counsel, custody::Role::Counsel, &order);
    let mut wrong = approval.clone();
    wrong.signature[0] ^= 1;
    let mut other_order = order.clone();
    other_order[60] ^= 1;
    let elsewhere = world.approval(Who::Counsel, custody::Role::Counsel, &other_order);
    let mut renamed = world.approval(Who::Approver, custody::Role::Counsel, &order);
    renamed.person = Who::Counsel.person();
    for forged in [wrong, elsewhere, renamed] {
        let approve = world.approval_of(Who::Counsel, case, forged);
        let refused = world.ask(Who::Counsel, approve);
        assert!(matches!(refused.unwrap_err(), DeskError::Signature));
    }
    // In an office the person does not hold, and before its time.
    let refused = world.approve(case, Who::Approver, custody::Role::Counsel, &order).unwrap_err();
    assert!(matches!(refused, DeskError::Office), "{refused}");
    let mut early = approval.clone();
    early.at = Timestamp(world.now.0 + DAY);
    let approve = world.approval_of(Who::Counsel, case, early);
    let refused = world.ask(Who::Counsel, approve);
    assert!(matches!(refused.unwrap_err(), DeskError::Office));
    // The approver does not sign first.
    let refused = world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap_err();
    assert!(matches!(refused, DeskError::Lacks(_)), "{refused}");
    let approve = world.approval_of(Who::Counsel, case, approval);
    world.ask(Who::Counsel, approve).unwrap();
}

#[test]
fn a_new_order_voids_the_signatures_under_the_old_one() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let anew = world.prepare(case, &key);
    assert_ne!(order, anew);
    let refused = world.approve(case, Who::Approver, custody::Role::Approver, &anew).unwrap_err();
    assert!(matches!(refused, DeskError::Lacks(_)), "{refused}");
}

#[test]
fn what_an_approver_returns_is_decided_anew() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    world.done(Who::Approver, Command::Return { case, why: "scope".into() });
    assert_eq!(world.desk.state(case), Some(State::Assessed));
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    world.decide(case, Outcome::Comply).unwrap();
    world.prepare(case, &key);
}

#[test]
fn a_narrowing_never_widens_and_is_counsels_own() {
    let mut world = World::new();
    let case = world.decided();
    let before = scope();
    let wider = Scope { until: Timestamp(before.until.0 + 1), ..before.clone() };
    let diff = ScopeDiff::sign(case, &before, &wider, world.key(Who::Counsel)).unwrap();
    let refused = world.ask(Who::Counsel, Command::Narrow { case, scope: wider, diff });
    assert!(matches!(refused.unwrap_err(), DeskError::Outside(Beyond::Wider)));
    let narrower = Scope { until: Timestamp(before.until.0 - DAY), ..before.clone() };
    let diff = ScopeDiff::sign(case, &before, &narrower, world.key(Who::Approver)).unwrap();
    let narrow = Command::Narrow { case, scope: narrower.clone(), diff };
    assert!(matches!(world.ask(Who::Counsel, narrow).unwrap_err(), DeskError::Signature));
    let elsewhere = CaseId([9; 16]);
    let diff = ScopeDiff::sign(elsewhere, &before, &narrower, world.key(Who::Counsel)).unwrap();
    let narrow = Command::Narrow { case, scope: narrower.clone(), diff };
    assert!(matches!(world.ask(Who::Counsel, narrow).unwrap_err(), DeskError::Signature));
    let diff = ScopeDiff::sign(case, &before, &narrower, world.key(Who::Counsel)).unwrap();
    world.ask(Who::Counsel, Command::Narrow { case, scope: narrower, diff }).unwrap();
    assert_eq!(world.desk.state(case), Some(State::Narrowed));
}

#[test]
fn a_decision_to_narrow_is_not_carried_out_without_narrowing() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    world.decide(case, Outcome::Narrow).unwrap();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    assert!(matches!(world.ask(Who::Counsel, prepare).unwrap_err(), DeskError::Lacks(_)));
}

#[test]
fn a_decision_against_the_opinion_needs_a_reason() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    world.verify(case);
    let opinion = world.assess(case);
    assert_eq!(opinion.decision, [law::Decision::Accept]);
    let refused = world.decide(case, Outcome::Refuse).unwrap_err();
    assert!(matches!(refused, DeskError::Reason), "{refused}");
    let reason = Some("a court has since quashed it".to_owned());
    let codes = vec![law::ReasonCode::D05];
    let choice = Choice { outcome: Outcome::Refuse, scope: None, reason, codes };
    world.done(Who::Counsel, Command::Decide { case, choice: Box::new(choice) });
    let Ok(Answer::Letter { text, .. }) = world.ask(Who::Counsel, Command::Letter { case }) else {
        panic!("no letter");
    };
    assert!(text.contains("We cannot comply") && text.contains("D05: "), "{text}");
}

#[test]
fn an_unauthenticated_sender_gets_nothing() {
    let mut world = World::new();
    let mut demand = world.demand();
    // Typed in, it is not believed.
    demand.facts.authenticated = Fact::Known(true);
    demand.facts.channel = Fact::Known(law::Channel::Email);
    let case = world.receive(demand);
    let mut checks = crate::world::checks();
    checks.called_back = None;
    let facts = serde_json::Map::new();
    world.done(Who::Clerk, Command::Verify { case, checks, facts });
    let mut typed = serde_json::Map::new();
    typed.insert("authenticated".into(), true.into());
    let refused = world.ask(Who::Clerk, Command::Assess { case, facts: typed }).unwrap_err();
    assert!(matches!(refused, DeskError::Demand(Fault::Authenticated)), "{refused}");
    let opinion = world.assess(case);
    assert!(!opinion.parts.iter().any(|part| part.opinion.produces()), "{opinion}");
    let (outcome, scope) = (Outcome::Comply, Some(scope()));
    let reason = Some("I know them".to_owned());
    let choice = Box::new(Choice { outcome, scope, reason, codes: vec![] });
    world.done(Who::Counsel, Command::Decide { case, choice });
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    let refused = world.ask(Who::Counsel, prepare).unwrap_err().to_string();
    assert_eq!(refused, "the case lacks an authenticated sender");
}

#[test]
fn an_authority_that_one_person_enrolled_gets_nothing() {
    let mut world = World::new();
    let enrol = Command::EnrolAuthority {
        name: "a quick court".into(),
        place: "fr".parse().unwrap(),
        recipient: world.authority.recipient().to_string(),
        number_from: "its own letterhead".into(),
        called_back: world.now,
    };
    let Ok(Answer::Authority { id, .. }) = world.ask(Who::Counsel, enrol) else {
        panic!("not enrolled");
    };
    let confirm = Command::ConfirmAuthority { id };
    let refused = world.ask(Who::Counsel, confirm).unwrap_err();
    assert!(matches!(refused, DeskError::OnePerson(_)));
    let mut demand = world.demand();
    demand.enrolled = Some(id);
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    assert!(matches!(world.ask(Who::Counsel, prepare).unwrap_err(), DeskError::Lacks(_)));
}

#[test]
fn an_order_waits_for_the_enforcing_authority() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts.enforcing_authority = EnforcingAuthority::Notified.into();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    let order = OrderRecord::decode(&order).unwrap();
    // Served on 20 November; the tenth day is the 30th, to its end in Dublin's winter or Paris'.
    assert_eq!(bailiwick_desk::utc(order.not_before), "2026-11-30T23:00:00Z");
}

#[test]
fn a_rehearsal_never_reaches_a_release_and_the_log_says_it_is_one() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.rehearsal = true;
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    assert!(matches!(world.ask(Who::Counsel, prepare).unwrap_err(), DeskError::Rehearsal));
    let marked = world.leaves.iter().filter(|(leaf, _)| {
        Leaf::decode(leaf).unwrap().public(FieldId::NAME) == Some(b"rehearsal")
    });
    assert_eq!(marked.count(), 2, "its receipt and its decision");
}

#[test]
fn only_a_rehearsal_may_be_served_in_the_past() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts = facts("ie/cases/F03-dublin-served.toml");
    let receive = Command::Receive {
        demand: Box::new(demand),
        document: b"paper".to_vec(),
        account: None,
        again: false,
    };
    assert!(matches!(world.ask(Who::Clerk, receive).unwrap_err(), DeskError::Demand(_)));
}

#[test]
fn under_a_non_disclosure_order_every_leaf_is_sealed_until_its_end() {
    let mut world = World::new();
    let until = Timestamp(NOW.0 + 90 * DAY);
    let order = NonDisclosureOrder {
        basis: "an act, section 1".into(),
        issuer: "a court".into(),
        until: Some(until),
        review: Timestamp(NOW.0 + 30 * DAY),
    };
    let mut demand = world.demand();
    demand.secrecy = Some(SecrecyStated::Order(order.clone()));
    let before = world.leaves.len();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    world.logged(case);
    for (leaf, opening) in &world.leaves[before..] {
        let leaf = Leaf::decode(leaf).unwrap();
        assert_eq!((leaf.act, leaf.open_by()), (None, Some(until)));
        assert!(opening.value(FieldId::CASE).is_some());
    }
    assert_eq!(world.leaves.len() - before, 5);
    let sent = || UserNotice::Sent { means: "by post".into() };
    let tell = Command::Notice { case, notice: sent() };
    assert!(matches!(world.ask(Who::Counsel, tell).unwrap_err(), DeskError::Lacks(_)));
    assert!(world.desk.openable(world.now).is_empty());
    assert_eq!(world.desk.openable(until).len(), 5);
    // A renewal is an act of staff, sealed like the others, and keeps them all.
    let later = Some(Timestamp(until.0 + 30 * DAY));
    let renewed = NonDisclosureOrder { until: later, ..order };
    let answer = world.ask(Who::Counsel, Command::Secrecy { case, order: renewed }).unwrap();
    assert_eq!(answer, Answer::Secret { in_clear: vec![] });
    let (_, opening) = world.leaves.last().unwrap();
    assert_eq!(opening.value(FieldId::ACT), Some(&[Act::StaffAct.tag()][..]));
    assert_eq!(opening.value(FieldId::OUTCOME), Some(&b"non-disclosure order"[..]));
    assert_eq!(opening.number(FieldId::VALID_UNTIL), later.map(|later| later.0));
    assert!(world.desk.openable(until).is_empty());
    assert_eq!(world.desk.secret(until).len(), 6);
    world.now = Timestamp(until.0 + 31 * DAY);
    world.done(Who::Counsel, Command::Notice { case, notice: sent() });
    let (leaf, _) = world.leaves.last().unwrap();
    assert_eq!(Leaf::decode(leaf).unwrap().act, Some(Act::Notice));
}

#[test]
fn a_stay_takes_back_what_was_approved() {
    let mut world = World::new();
    let case = world.decided();
    world.logged(case);
    world.done(Who::Counsel, Command::Stay { case, why: "order of the court".into() });
    assert!(world.ask(Who::Clerk, Command::Holders { case }).is_err());
    assert!(world.ask(Who::Station, Command::Release { case }).is_err());
    world.done(Who::Counsel, Command::Lift { case, why: "order of the court".into() });
    assert_eq!(world.desk.state(case), Some(State::Verified));
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    let release = world.ask(Who::Station, Command::Release { case });
    assert!(matches!(release.unwrap_err(), DeskError::State { .. }));
}

#[test]
fn an_order_that_ran_out_opens_nothing() {
    let mut world = World::new();
    let case = world.decided();
    let key = world.logged(case);
    world.gather(case, 2, 2);
    let Ok(Answer::Released { evidence, escrows, answers, .. }) =
        world.ask(Who::Station, Command::Release { case })
    else {
        panic!("not released");
    };
    let escrows: Vec<_> =
        escrows.iter().map(|one| seal::escrow::Escrow::decode(&one.0).unwrap()).collect();
    world.now = Timestamp(world.now.0 + 11 * DAY);
    let trust = world.trust();
    let opened = Station::open(&evidence, &trust, key, &escrows, &answers, world.now);
    // By then the witnesses' word is old, too.
    assert!(matches!(opened.err(), Some(StationError::Refused(Refused::Stale | Refused::Expired))));
    assert!(matches!(
        world.ask(Who::Station, Command::Release { case }).unwrap_err(),
        DeskError::Lacks(_)
    ));
    // A new order needs a new decision, and new signatures.
    world.done(Who::Approver, Command::Return { case, why: "ran out".into() });
    world.decide(case, Outcome::Comply).unwrap();
    world.logged(case);
    assert_eq!(world.desk.state(case), Some(State::Logged));
}

#[test]
fn whoever_approved_does_not_run_the_station() {
    let mut world = World::new();
    let mut staff = bailiwick_desk::Staff {
        person: Who::Approver.person(),
        name: "approver".into(),
        roles: vec![bailiwick_desk::Role::Approver, bailiwick_desk::Role::Station],
        key: world.key(Who::Approver).public().0,
        from: Timestamp(0),
        until: Timestamp(NOW.0 + 900 * DAY),
    };
    world.desk.enrol_staff(staff.clone(), world.now).unwrap();
    let case = world.decided();
    world.logged(case);
    let refused = world.ask(Who::Approver, Command::Release { case }).unwrap_err();
    assert!(matches!(refused, DeskError::OnePerson(_)), "{refused}");
    // Nor does one key serve two persons, or one person two keys.
    staff.key = world.key(Who::Counsel).public().0;
    assert!(matches!(
        world.desk.enrol_staff(staff, world.now).unwrap_err(),
        DeskError::Enrolment(_)
    ));
}

#[test]
fn a_holder_who_refuses_is_in_the_log() {
    let mut world = World::new();
    let case = world.decided();
    world.logged(case);
    let holder = vocab::HolderId([2; 16]);
    let why = "the order has expired".to_owned();
    world.done(Who::Clerk, Command::HolderRefused { case, holder, why });
    let (leaf, opening) = world.leaves.last().unwrap();
    assert_eq!(Leaf::decode(leaf).unwrap().act, Some(Act::Refuse));
    assert_eq!(opening.array(FieldId::HOLDER), Some(holder.0));
    let stranger = custody::holder::Answer {
        version: 1,
        holder: vocab::HolderId([77; 16]),
        leaf: Digest([0; 32]),
        given: vec![],
    };
    let share = Command::Share { case, answer: stranger };
    assert!(matches!(world.ask(Who::Clerk, share).unwrap_err(), DeskError::Share));
}

#[test]
fn a_crash_before_the_log_loses_no_leaf() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    for (who, role) in
        [(Who::Counsel, custody::Role::Counsel), (Who::Approver, custody::Role::Approver)]
    {
        let approval = world.approval(who, role, &order);
        let approve = world.approval_of(who, case, approval);
        world.ask_only(who, &approve).unwrap();
    }
    assert_eq!(world.desk.state(case), Some(State::Approved));
    world.reopen();
    let acts = world.desk.unlogged().unwrap().len();
    assert_eq!(acts, 3, "two approvals and the authorisation");
    world.publish();
    assert_eq!(world.desk.state(case), Some(State::Logged));
    assert!(world.desk.unlogged().unwrap().is_empty());
    world.reopen();
    assert_eq!(world.desk.state(case), Some(State::Logged));
}

#[test]
fn a_bag_is_the_same_octets_each_time() {
    let mut world = World::new();
    let case = world.decided();
    let key = world.logged(case);
    let seed = *key.seed().expose();
    world.gather(case, 2, 2);
    let Ok(Answer::Released { evidence, escrows, answers, .. }) =
        world.ask(Who::Station, Command::Release { case })
    else {
        panic!("not released");
    };
    let escrows: Vec<_> =
        escrows.iter().map(|one| seal::escrow::Escrow::decode(&one.0).unwrap()).collect();
    let bag = || {
        let key = RecipientKey::from_seed(seal::Secret::copied(&seed)).unwrap();
        let trust = world.trust();
        let station = Station::open(&evidence, &trust, key, &escrows, &answers, world.now);
        Bag::new(station.unwrap().close(world.now).unwrap(), &evidence).unwrap()
    };
    assert_eq!(bag().tag_manifest(), bag().tag_manifest());
}

#[test]
fn who_complies_says_at_once_with_what() {
    let mut world = World::new();
    for rehearsal in [false, true] {
        let mut demand = world.demand();
        demand.rehearsal = rehearsal;
        let case = world.receive(demand);
        world.verify(case);
        world.assess(case);
        let (outcome, reason) = (Outcome::Comply, Some("considered".to_owned()));
        let choice = Box::new(Choice { outcome, scope: None, reason, codes: vec![] });
        let answer = world.ask(Who::Counsel, Command::Decide { case, choice });
        if rehearsal {
            assert!(answer.is_ok(), "{answer:?}");
            continue;
        }
        let refused = answer.unwrap_err();
        assert!(matches!(refused, DeskError::Lacks(Lack::ScopeDecided)), "{refused}");
        assert!(refused.cure().contains("--scope"));
        // Nothing is lost: the same case is decided with one.
        assert_eq!(world.desk.state(case), Some(State::Assessed));
        world.decide(case, Outcome::Comply).unwrap();
    }
}
