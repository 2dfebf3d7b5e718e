//! Facts that staff typed: confirmed by two officers, corrected in the open, never by one person.

use crate::world::{DAY, NOW, Who, World, checks, scope};
use bailiwick_desk::{
    Answer, Choice, Command, DeskError, FactsConfirmed, Fault, NonDisclosureOrder, Outcome, Part,
    SecrecyStated, State,
};
use custody::leaf::Act;
use custody::{FieldId, Leaf, OrderRecord, RecipientKey};
use law::{Channel, Fact, Facts};
use seal::mac::sha256;
use serde_json::{Map, Value, json};
use vocab::{CaseId, Timestamp};

fn facts(of: Value) -> Map<String, Value> {
    of.as_object().unwrap().clone()
}

fn prepared(world: &mut World) -> (CaseId, Vec<u8>) {
    let case = world.decided();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    (case, order)
}

fn read(world: &mut World, case: CaseId) -> Facts {
    serde_json::from_str(&world.file(case).facts).unwrap()
}

#[test]
fn an_officer_signs_the_facts_as_they_are_and_no_others() {
    let mut world = World::new();
    let (case, order) = prepared(&mut world);
    let text = world.file(case).facts;
    // What hangs on one clerk's word is in what is signed.
    for member in ["channel", "served", "enforcing_authority"] {
        assert!(text.contains(&format!("\"{member}\":")), "{text}");
    }
    let digest = OrderRecord::digest(&order);
    let approval = world.approval(Who::Counsel, custody::Role::Counsel, &order);
    let other = text.replace("cleared", "notified");
    assert_ne!(other, text);
    let key = world.key(Who::Counsel);
    let unseen = FactsConfirmed::sign(case, digest, &other, key);
    let elsewhere = FactsConfirmed::sign(CaseId([9; 16]), digest, &text, key);
    let old_order = FactsConfirmed::sign(case, sha256(&[b"another order"]), &text, key);
    let anothers = FactsConfirmed::sign(case, digest, &text, world.key(Who::Approver));
    let good = FactsConfirmed::sign(case, digest, &text, key);
    // The last three are of these facts, and not this officer's over this.
    for (facts, other) in
        [(unseen, true), (elsewhere, false), (old_order, false), (anothers, false)]
    {
        let approve = Command::Approve { case, approval: approval.clone(), facts };
        let refused = world.ask(Who::Counsel, approve).unwrap_err();
        let expected = if other { DeskError::Confirmed } else { DeskError::Signature }.to_string();
        assert_eq!(refused.to_string(), expected);
    }
    world.ask(Who::Counsel, Command::Approve { case, approval, facts: good.clone() }).unwrap();
    // The log commits to them.
    let (leaf, opening) = world.leaves.last().unwrap();
    assert_eq!(Leaf::decode(leaf).unwrap().act, Some(Act::Approve));
    assert_eq!(opening.array(FieldId::SUBJECT), Some(good.facts.0));
    assert_eq!(good.facts, sha256(&[text.as_bytes()]));
}

#[test]
fn who_entered_a_fact_does_not_sign_second() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts.enforcing_authority = law::EnforcingAuthority::Notified.into();
    let case = world.receive(demand);
    world.verify(case);
    // The same person is counsel and approver; as counsel it types the fact that lets it go.
    let typed = facts(json!({ "enforcing_authority": "cleared" }));
    world.ask(Who::Both, Command::Assess { case, facts: typed }).unwrap();
    let reason = Some("it is so".to_owned());
    let choice = Choice { outcome: Outcome::Comply, scope: Some(scope()), reason, codes: vec![] };
    world.done(Who::Counsel, Command::Decide { case, choice: Box::new(choice) });
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    let refused = world.approve(case, Who::Both, custody::Role::Approver, &order).unwrap_err();
    assert!(matches!(refused, DeskError::OnePerson(Part::Facts)), "{refused}");
    assert!(world.file(case).entered_by.contains(&Who::Both.person()));
    world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
    assert_eq!(world.desk.state(case), Some(State::Logged));
}

#[test]
fn asking_the_law_again_enters_no_fact() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    world.verify(case);
    world.ask(Who::Both, Command::Assess { case, facts: Map::new() }).unwrap();
    assert_eq!(world.file(case).entered_by, [Who::Clerk.person()]);
}

#[test]
fn a_corrected_fact_voids_every_signature_and_the_case_begins_anew() {
    for approvals in 1..=2 {
        let mut world = World::new();
        let (case, order) = prepared(&mut world);
        world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
        if approvals == 2 {
            world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
        }
        let due = world.file(case).line.due.outer.unwrap();
        let why = "the postmark says the 17th".to_owned();
        let served = facts(json!({ "served": "2026-11-17T09:12:00+01:00" }));
        world.done(Who::Clerk, Command::Correct { case, facts: served, why });
        let file = world.file(case);
        assert_eq!(file.line.state, State::Received);
        assert!(file.approved_by.is_empty() && file.order.is_none() && file.scope.is_none());
        assert_eq!(read(&mut world, case).authenticated, Fact::Unknown);
        let held = world.approve(case, Who::Approver, custody::Role::Approver, &order);
        assert!(matches!(held.unwrap_err(), DeskError::State { .. }));
        let gather = world.ask(Who::Clerk, Command::Holders { case });
        assert!(matches!(gather.unwrap_err(), DeskError::State { .. }));
        // A new assessment, with the right clock.
        world.verify(case);
        world.assess(case);
        assert_eq!(world.file(case).line.due.outer, Some(Timestamp(due.0 - 3 * DAY)));
        world.reopen();
        assert_eq!(world.file(case).line.due.outer, Some(Timestamp(due.0 - 3 * DAY)));
    }
}

#[test]
fn a_correction_keeps_the_rules_of_intake() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let correct = |facts: Value| {
        let why = "a slip".to_owned();
        Command::Correct { case, facts: self::facts(facts), why }
    };
    for (facts, fault) in [
        (json!({ "served": "2026-11-01T09:00:00+01:00" }), Fault::Late),
        (json!({ "served": "2026-11-25T09:00:00+01:00" }), Fault::Ahead),
        (json!({ "authenticated": true }), Fault::Authenticated),
        (json!({ "law_on": "2013-12-04" }), Fault::LawOn),
        (json!({ "gag": "statutory" }), Fault::SecretFact),
    ] {
        let refused = world.ask(Who::Clerk, correct(facts)).unwrap_err();
        assert!(matches!(refused, DeskError::Demand(one) if one == fault), "{refused}");
    }
    let refused = world.ask(Who::Clerk, correct(json!({ "cell": "us" }))).unwrap_err();
    assert!(matches!(refused, DeskError::Fixed("cell")), "{refused}");
    world.verify(case);
    let assess = Command::Assess { case, facts: facts(json!({ "served": "2026-11-19" })) };
    let refused = world.ask(Who::Clerk, assess).unwrap_err();
    assert!(matches!(refused, DeskError::Fixed("served")), "{refused}");
    assert!(refused.cure().contains("correct"), "{}", refused.cure());
}

#[test]
fn a_channel_changed_after_the_check_unmakes_what_the_check_found() {
    let mut world = World::new();
    let demand = world.demand();
    assert_eq!(demand.facts.channel, Fact::Known(Channel::Decentralised));
    let case = world.receive(demand);
    let mut unasked = checks();
    unasked.called_back = None;
    let verify = Command::Verify { case, checks: unasked, facts: Map::new() };
    world.done(Who::Clerk, verify);
    assert_eq!(read(&mut world, case).authenticated, Fact::Known(true));
    let assess = Command::Assess { case, facts: facts(json!({ "channel": "email" })) };
    world.ask(Who::Counsel, assess).unwrap();
    assert_eq!(read(&mut world, case).authenticated, Fact::Known(false));
}

fn order() -> NonDisclosureOrder {
    NonDisclosureOrder {
        basis: "an act, section 1".into(),
        issuer: "a court".into(),
        until: Some(Timestamp(NOW.0 + 90 * DAY)),
        review: Timestamp(NOW.0 + 30 * DAY),
    }
}

#[test]
fn a_demand_that_does_not_say_whether_it_is_secret_is_not_entered() {
    let mut world = World::new();
    let whole = serde_json::to_value(world.demand()).unwrap();
    assert_eq!(whole["secrecy"], "none");
    let mut silent = whole.clone();
    silent.as_object_mut().unwrap().remove("secrecy");
    let mut null = whole;
    null["secrecy"] = Value::Null;
    for demand in [silent, null] {
        let demand = Box::new(serde_json::from_value(demand).unwrap());
        let document = b"paper".to_vec();
        let before = world.leaves.len();
        let receive = Command::Receive { demand, document, account: None, again: false };
        let refused = world.ask(Who::Clerk, receive).unwrap_err();
        assert!(matches!(refused, DeskError::Demand(Fault::Silent)), "{refused}");
        for part in ["\"secrecy\": \"none\"", "\"order\"", "\"basis\"", "\"until\""] {
            assert!(refused.cure().contains(part), "{}", refused.cure());
        }
        assert_eq!(world.leaves.len(), before);
    }
    let text = serde_json::to_string(&SecrecyStated::Order(order())).unwrap();
    assert!(text.starts_with(r#"{"order":{"basis":"#), "{text}");
}

#[test]
fn a_demand_is_not_entered_as_secret_until_a_day_that_is_past() {
    let mut world = World::new();
    let mut demand = world.demand();
    let ended = NonDisclosureOrder { until: Some(Timestamp(NOW.0 - DAY)), ..order() };
    demand.secrecy = Some(SecrecyStated::Order(ended));
    let before = world.leaves.len();
    let (demand, document) = (Box::new(demand), b"paper".to_vec());
    let receive =
        Command::Receive { demand: demand.clone(), document, account: None, again: false };
    let refused = world.ask(Who::Clerk, receive).unwrap_err();
    assert!(matches!(refused, DeskError::Demand(Fault::Lapsed)), "{refused}");
    assert_eq!(world.leaves.len(), before, "nothing is in the log in clear");
    let rehearsed = bailiwick_desk::Demand { rehearsal: true, ..*demand };
    world.receive(rehearsed);
}

#[test]
fn a_late_secrecy_hides_what_is_not_logged_yet_and_names_what_is() {
    let mut world = World::new();
    let demand = world.demand();
    let first = u64::try_from(world.leaves.len()).unwrap();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    let choice =
        Choice { outcome: Outcome::Comply, scope: Some(scope()), reason: None, codes: vec![] };
    // Decided, and the log has not taken it yet.
    let decide = Command::Decide { case, choice: Box::new(choice) };
    world.ask_only(Who::Counsel, &decide).unwrap();
    let secrecy = Command::Secrecy { case, order: order() };
    let answer = world.ask(Who::Counsel, secrecy).unwrap();
    assert_eq!(answer, Answer::Secret { in_clear: vec![first] });
    let acts: Vec<_> = world.leaves[usize::try_from(first).unwrap()..]
        .iter()
        .map(|(leaf, _)| Leaf::decode(leaf).unwrap().act)
        .collect();
    assert_eq!(acts, [Some(Act::Received), None, None]);
    let shown: Vec<_> = world.file(case).file.into_iter().filter(|one| one.in_clear).collect();
    assert_eq!(shown.iter().map(|one| one.log_index).collect::<Vec<_>>(), [Some(first)]);
    // What ends is opened without the one in clear.
    let later = Timestamp(NOW.0 + 100 * DAY);
    let renewed = NonDisclosureOrder { until: Some(later), ..order() };
    world.ask(Who::Counsel, Command::Secrecy { case, order: renewed }).unwrap();
    assert_eq!(world.desk.openable(later), [first + 1, first + 2, first + 3]);
}

#[test]
fn an_order_that_has_ended_opens_no_sealed_leaf() {
    let mut world = World::new();
    let mut demand = world.demand();
    let until = Some(Timestamp(NOW.0 + 50 * DAY));
    let bound = NonDisclosureOrder { until, ..order() };
    demand.secrecy = Some(SecrecyStated::Order(bound.clone()));
    let case = world.receive(demand.clone());
    // Each command takes a second, so the other one ends at the very moment it is carried out.
    for slip in [0, world.now.0 + 2] {
        let ended = NonDisclosureOrder { until: Some(Timestamp(slip)), ..bound.clone() };
        let refused = world.ask(Who::Counsel, Command::Secrecy { case, order: ended }).unwrap_err();
        assert!(matches!(refused, DeskError::Demand(Fault::LapsedSince)), "{slip}: {refused}");
        assert!(refused.cure().contains("a time ahead"));
        assert!(world.desk.openable(world.now).is_empty());
    }
    assert_eq!(world.file(case).secrecy, Some(bound.clone()));
    let soon = NonDisclosureOrder { until: Some(Timestamp(world.now.0 + 60)), ..bound };
    world.ask(Who::Counsel, Command::Secrecy { case, order: soon.clone() }).unwrap();
    // A rehearsal is of the past.
    demand.rehearsal = true;
    let case = world.receive(demand);
    let ended = NonDisclosureOrder { until: Some(Timestamp(0)), ..soon };
    assert!(world.ask(Who::Counsel, Command::Secrecy { case, order: ended }).is_ok());
}
