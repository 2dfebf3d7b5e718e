//! What a clerk, an officer or whoever writes to the store tries beyond the acts' table.

use crate::world::{ACCOUNT, DAY, MONTH, NOW, PAPER, Who, World, checks, letter, scope};
use bailiwick_desk::{
    Answer, Choice, Command, Demand, DeskError, Fault, NonDisclosureOrder, Outcome, SealedKind,
    SecrecyStated, State,
};
use custody::{OrderRecord, RecipientKey};
use law::{EnforcingAuthority, Fact, KeyHolder, NonDisclosure};
use seal::epoch::begins;
use seal::escrow::Escrow;
use serde_json::{Map, Value, json};
use vocab::{CaseId, Custody, RecordKind, Row, Timestamp};

fn refused(world: &mut World, demand: Demand) -> DeskError {
    let (demand, account) = (Box::new(demand), Some(ACCOUNT));
    let receive = Command::Receive { demand, document: PAPER.to_vec(), account, again: false };
    world.ask(Who::Clerk, receive).unwrap_err()
}

fn facts(of: Value) -> Map<String, Value> {
    of.as_object().unwrap().clone()
}

fn verified(world: &mut World, demand: Demand) -> CaseId {
    let case = world.receive(demand);
    world.verify(case);
    case
}

fn comply(world: &mut World, case: CaseId, reason: Option<&str>) -> Result<Answer, DeskError> {
    let (outcome, scope) = (Outcome::Comply, Some(scope()));
    let reason = reason.map(str::to_owned);
    let choice = Box::new(Choice { outcome, scope, reason, codes: vec![] });
    world.ask(Who::Counsel, Command::Decide { case, choice })
}

#[test]
fn the_law_of_another_day_is_not_chosen_for_a_live_demand() {
    let mut world = World::new();
    for day in ["2013-12-04", "2026-11-19", "2026-12-31"] {
        let mut demand = world.demand();
        demand.facts.law_on = Some(day.parse().unwrap());
        assert!(matches!(refused(&mut world, demand), DeskError::Demand(_)), "{day}");
    }
    let demand = world.demand();
    let case = verified(&mut world, demand);
    let facts = facts(json!({ "law_on": "2013-12-04" }));
    let asked = world.ask(Who::Clerk, Command::Assess { case, facts: facts.clone() });
    assert!(matches!(asked.unwrap_err(), DeskError::Demand(_)));
    let verify = Command::Verify { case, checks: checks(), facts };
    assert!(world.ask(Who::Clerk, verify).is_err());
    // A later day, on which something happened, may be named.
    world.now.0 += 3 * DAY;
    let facts = self::facts(json!({ "law_on": "2026-11-23" }));
    assert!(world.ask(Who::Clerk, Command::Assess { case, facts }).is_ok());
}

#[test]
fn a_gag_that_is_a_fact_is_on_record_before_anything_is_logged() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts.gag = Fact::Known(NonDisclosure::Statutory);
    let before = world.leaves.len();
    assert!(matches!(refused(&mut world, demand.clone()), DeskError::Demand(_)));
    assert_eq!(world.leaves.len(), before);
    let order = NonDisclosureOrder {
        basis: "an act, section 1".into(),
        issuer: "a court".into(),
        until: None,
        review: Timestamp(NOW.0 + 30 * DAY),
    };
    demand.secrecy = Some(SecrecyStated::Order(order.clone()));
    world.receive(demand);
    // Nor is it slipped in later.
    let demand = world.demand();
    let case = verified(&mut world, demand);
    let facts = || facts(json!({ "gag": { "order": { "until": null } } }));
    let assess = Command::Assess { case, facts: facts() };
    assert!(matches!(world.ask(Who::Counsel, assess).unwrap_err(), DeskError::Demand(_)));
    world.ask(Who::Counsel, Command::Secrecy { case, order }).unwrap();
    assert!(world.ask(Who::Counsel, Command::Assess { case, facts: facts() }).is_ok());
}

#[test]
fn who_overrules_the_law_waits_for_the_enforcing_authority_all_the_same() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts.enforcing_authority = EnforcingAuthority::Notified.into();
    // Not by the decentralised system: the opinion is to hold.
    demand.facts.channel = law::Channel::Paper.into();
    let case = verified(&mut world, demand);
    let opinion = world.assess(case);
    assert!(!opinion.parts.iter().any(|part| part.opinion.produces()), "{opinion}");
    comply(&mut world, case, Some("called back; it is theirs")).unwrap();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    let order = OrderRecord::decode(&order).unwrap();
    assert_eq!(bailiwick_desk::utc(order.not_before), "2026-11-30T23:00:00Z");
}

#[test]
fn no_order_is_prepared_on_facts_that_are_missing() {
    let mut world = World::new();
    let mut demand = world.demand();
    // Whether anything has to wait depends on this.
    demand.facts.enforcing_authority = Fact::Unknown;
    let case = verified(&mut world, demand);
    world.assess(case);
    comply(&mut world, case, Some("never mind")).unwrap();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    let refused = world.ask(Who::Counsel, prepare).unwrap_err().to_string();
    assert_eq!(refused, "the case lacks facts that the opinion needs");
}

#[test]
fn who_holds_the_keys_is_not_the_clerks_to_say() {
    for (custody, lie) in [
        (Custody::Trustee, KeyHolder::User),
        (Custody::Trustee, KeyHolder::Provider),
        (Custody::Sealed, KeyHolder::Local),
    ] {
        let mut world = World::with(custody);
        let mut demand = world.demand();
        demand.facts.items[0].item_keys = lie.into();
        let case = verified(&mut world, demand);
        let assess = Command::Assess { case, facts: Map::new() };
        let refused = world.ask(Who::Counsel, assess).unwrap_err();
        assert!(matches!(refused, DeskError::Keys(_)), "{refused}");
    }
}

#[test]
fn opening_what_one_part_of_the_opinion_withholds_needs_a_reason() {
    let mut world = World::new();
    let mut demand = world.demand();
    // The same category, kept elsewhere under its owner's key alone: sealed octets, no text.
    let mut other = demand.facts.items[0].clone();
    other.name = "content kept by its owner".into();
    other.item_place = Fact::Known("de".parse().unwrap());
    other.item_keys = KeyHolder::User.into();
    demand.facts.items.push(other);
    let case = verified(&mut world, demand);
    world.assess(case);
    assert!(matches!(comply(&mut world, case, None).unwrap_err(), DeskError::Reason));
    comply(&mut world, case, Some("only what lies here is opened")).unwrap();
}

#[test]
fn a_call_before_the_demand_confirms_nothing() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let mut checks = checks();
    if let Some(call) = &mut checks.called_back {
        call.at = Timestamp(NOW.0 - 30 * DAY);
    }
    let verify = Command::Verify { case, checks, facts: Map::new() };
    assert!(matches!(
        world.ask(Who::Clerk, verify).unwrap_err(),
        DeskError::Demand(Fault::CallBack)
    ));
    assert_eq!(world.desk.state(case), Some(State::Received));
}

#[test]
fn a_manifest_the_cell_did_not_pin_is_in_no_order() {
    // Right in itself, of an identity of somebody else's, and its owner's own alone to open.
    let strangers = World::with(Custody::Sealed);
    let manifest = |world: &World| {
        world.store.read().get(ACCOUNT, RecordKind::Manifest, Row(1)).unwrap().unwrap()
    };
    let theirs = manifest(&strangers);
    let mut world = World::new();
    let own = manifest(&world);
    let put = |world: &World, kind, row, octets: &[u8]| {
        let batch = store::Batch::new(ACCOUNT).put(kind, row, octets);
        world.store.append().commit_blocking(batch).unwrap();
    };
    let case = world.decided();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    put(&world, RecordKind::Manifest, Row(1), &theirs);
    let refused = world.ask(Who::Counsel, prepare.clone()).unwrap_err();
    assert!(matches!(refused, DeskError::Exchanged));
    // Nor beside the right one, in a row of its own.
    put(&world, RecordKind::Manifest, Row(1), &own);
    put(&world, RecordKind::Manifest, Row(2), &theirs);
    let pinned = world.store.read().scan(ACCOUNT, RecordKind::AccountPin, Row(0));
    let (row, pin) = pinned.map(|found| found.unwrap()).next().unwrap();
    let mut altered = pin.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    put(&world, RecordKind::AccountPin, row, &altered);
    let refused = world.ask(Who::Counsel, prepare).unwrap_err();
    assert!(matches!(refused, DeskError::Exchanged));
}

#[test]
fn an_escrow_its_owner_did_not_sign_is_in_no_order() {
    let mut world = World::new();
    let rows: Vec<_> = world
        .store
        .read()
        .scan(ACCOUNT, RecordKind::Escrow, Row(0))
        .map(|found| found.unwrap())
        .collect();
    let mut batch = store::Batch::new(ACCOUNT);
    for (row, value) in rows {
        let mut octets = value.to_vec();
        let tag = Escrow::decode(&octets).unwrap().guard_tag();
        let at = octets.windows(16).position(|window| window == tag).unwrap();
        // Another account's guard tag, say.
        octets[at] ^= 1;
        batch = batch.put(RecordKind::Escrow, row, octets);
    }
    world.store.append().commit_blocking(batch).unwrap();
    let case = world.decided();
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: DAY };
    assert!(matches!(world.ask(Who::Counsel, prepare).unwrap_err(), DeskError::NoEscrow));
}

#[test]
fn a_letter_this_cell_did_not_take_in_is_not_produced() {
    let mut world = World::new();
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let real = world.arrive(inside, &letter("bob@us.example", "real", "."));
    // Sealed to the account, as anyone can, and put into the store.
    let forged = world.arrive(inside, &letter("bob@us.example", "forged", "."));
    let mut head =
        world.store.read().get(ACCOUNT, RecordKind::LetterHead, forged).unwrap().unwrap().to_vec();
    *head.last_mut().unwrap() ^= 1;
    let batch = store::Batch::new(ACCOUNT).put(RecordKind::LetterHead, forged, head);
    world.store.append().commit_blocking(batch).unwrap();
    let case = world.decided();
    world.logged(case);
    world.gather(case, 2, 2);
    world.ask(Who::Station, Command::Release { case }).unwrap();
    let page = Command::Sealed { case, kind: SealedKind::Head, from: 0 };
    let Ok(Answer::Sealed { rows, .. }) = world.ask(Who::Station, page) else {
        panic!("no page");
    };
    assert_eq!(rows.iter().map(|one| Row(one.row)).collect::<Vec<_>>(), [real]);
}

#[test]
fn the_order_names_the_key_that_the_production_is_encrypted_to() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.authority = "somebody else's name".into();
    let case = verified(&mut world, demand);
    world.assess(case);
    world.decide(case, Outcome::Comply).unwrap();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = OrderRecord::decode(&world.prepare(case, &key)).unwrap();
    let recipient = world.authority.recipient().to_string();
    let digest = seal::mac::sha256(&[recipient.as_bytes()]);
    assert_eq!(
        order.authority,
        format!("Tribunal judiciaire, example (fr), age key sha256:{digest}")
    );
}
