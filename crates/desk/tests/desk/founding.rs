//! The cases the house was founded on, each as a whole case at the desk.

use crate::world::{Who, World, checks, facts};
use bailiwick_desk::{Answer, Choice, Command, Demand, DeskError, Outcome, SecrecyStated, State};
use custody::{FieldId, Leaf};
use law::{Assessment, Decision, Fact};
use serde_json::{Map, Value};
use vocab::CaseId;

/// A founding case enters as a rehearsal, with the facts its file states.
fn enter(world: &mut World, file: &str) -> CaseId {
    let facts = facts(file);
    let demand = Demand {
        authority: "the authority of the case".into(),
        enrolled: None,
        reference: file.into(),
        basis: "as the paper cites it".into(),
        identifiers: vec![],
        period: None,
        facts,
        secrecy: Some(SecrecyStated::None),
        rehearsal: true,
    };
    let paper = format!("the paper of {file}").into_bytes();
    let receive =
        Command::Receive { demand: Box::new(demand), document: paper, account: None, again: false };
    let Ok(Answer::Received { receipt }) = world.ask(Who::Clerk, receive) else {
        panic!("{file}");
    };
    receipt.case
}

fn verify(world: &mut World, case: CaseId) {
    let verify = Command::Verify { case, checks: checks(), facts: Map::new() };
    world.done(Who::Clerk, verify);
}

fn assess(world: &mut World, case: CaseId, facts: Map<String, Value>) -> Assessment {
    match world.ask(Who::Counsel, Command::Assess { case, facts }) {
        Ok(Answer::Opinion { opinion, .. }) => *opinion,
        other => panic!("{other:?}"),
    }
}

fn decide(world: &mut World, case: CaseId, outcome: Outcome, opinion: &Assessment) {
    let choice = |reason| Box::new(Choice { outcome, scope: None, reason, codes: vec![] });
    let first = world.ask(Who::Counsel, Command::Decide { case, choice: choice(None) });
    if bailiwick_desk::needs_reason(&choice(None), opinion) {
        assert!(matches!(first.unwrap_err(), DeskError::Reason));
        let choice = choice(Some("considered".into()));
        world.done(Who::Counsel, Command::Decide { case, choice });
    } else {
        first.unwrap();
    }
}

fn text(world: &mut World, case: CaseId) -> String {
    match world.ask(Who::Counsel, Command::Letter { case }) {
        Ok(Answer::Letter { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

/// The last decision in the log: its outcome and reason codes in clear.
fn decision_in_log(world: &World) -> (String, Vec<String>) {
    let leaves = world.leaves.iter().rev().map(|(leaf, _)| Leaf::decode(leaf).unwrap());
    let leaf = leaves.into_iter().find(|leaf| leaf.public(FieldId::OUTCOME).is_some()).unwrap();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let codes = leaf.public.iter().filter(|field| field.id == FieldId::REASON);
    let codes = codes.map(|field| text(&field.value)).collect();
    (text(leaf.public(FieldId::OUTCOME).unwrap()), codes)
}

/// From receipt to the letter: the opinion's word decides.
fn whole(file: &str, outcome: Outcome) -> (World, CaseId, Assessment) {
    let mut world = World::new();
    let case = enter(&mut world, file);
    verify(&mut world, case);
    let opinion = assess(&mut world, case, Map::new());
    decide(&mut world, case, outcome, &opinion);
    (world, case, opinion)
}

#[test]
fn f01_a_regulator_without_a_court_is_refused_and_the_contest_is_tracked() {
    let (mut world, case, opinion) = whole("ru/cases/F01-mailru-fsfm.toml", Outcome::Refuse);
    assert_eq!(opinion.decision, [Decision::Reject]);
    assert_eq!(world.desk.state(case), Some(State::Refused));
    let letter = text(&mut world, case);
    for part in ["D04", "to cure it", "art. 23(2)", "[", "obtain a court decision", "rehearsal"] {
        assert!(letter.contains(part), "{part}\n{letter}");
    }
    assert_eq!(decision_in_log(&world), ("refuse".into(), vec!["D04".into()]));
    let court = "the commercial court".into();
    world.done(Who::Counsel, Command::Appeal { case, court });
    assert_eq!(world.desk.state(case), Some(State::Appealed));
    world.done(Who::Counsel, Command::Close { case });
}

#[test]
fn f03_to_f05_the_dublin_warrant_is_one_case_through_stay_and_appeal() {
    let mut world = World::new();
    let case = enter(&mut world, "ie/cases/F03-dublin-served.toml");
    verify(&mut world, case);
    let served = assess(&mut world, case, Map::new());
    // The content in Dublin is objected to; what was kept in the United States is not.
    let word = |opinion: &Assessment, item: &str| {
        opinion.parts.iter().find(|part| part.item == item).unwrap().opinion.word()
    };
    assert_eq!((word(&served, "content"), word(&served, "address book")), ("object", "comply"));
    decide(&mut world, case, Outcome::Object, &served);
    world.done(Who::Counsel, Command::Appeal { case, court: "the district court".into() });
    // F04: affirmed on 31 July 2014, and stayed.
    let mut stayed = Map::new();
    stayed.insert("law_on".into(), "2014-08-05".into());
    stayed.insert("stayed".into(), true.into());
    let opinion = assess(&mut world, case, stayed);
    assert_eq!(word(&opinion, "content"), "hold");
    world.done(Who::Counsel, Command::Stay { case, why: "the court's order".into() });
    assert_eq!(world.desk.state(case), Some(State::Stayed));
    // F05: the stay is lifted; the law is asked again.
    world.done(Who::Counsel, Command::Lift { case, why: "the court's order".into() });
    let mut lifted = Map::new();
    lifted.insert("law_on".into(), "2014-09-01".into());
    lifted.insert("stayed".into(), false.into());
    let opinion = assess(&mut world, case, lifted);
    assert_eq!(word(&opinion, "content"), "object");
    decide(&mut world, case, Outcome::Object, &opinion);
    assert_eq!(world.desk.state(case), Some(State::Refused));
    world.done(Who::Counsel, Command::Appeal { case, court: "the court of appeals".into() });
    world.done(Who::Counsel, Command::Close { case });
}

#[test]
fn f06_after_the_second_circuit_the_right_door_is_the_treaty() {
    let (mut world, case, opinion) = whole("ie/cases/F06-dublin-2dcir.toml", Outcome::Refer);
    assert!(opinion.decision.contains(&Decision::ReferMlat), "{opinion}");
    let letter = text(&mut world, case);
    assert!(letter.contains("mutual legal assistance"), "{letter}");
}

#[test]
fn f07_after_the_cloud_act_the_answer_is_another_and_a_rehearsal_opens_nothing() {
    let (mut world, case, opinion) = whole("ie/cases/F07-dublin-cloudact.toml", Outcome::Comply);
    assert_eq!(opinion.decision, [Decision::Accept]);
    assert!(opinion.needs_person());
    assert_eq!(world.desk.state(case), Some(State::Decided));
    let prepare = Command::Prepare { case, recipient: vec![0; 1216], valid_seconds: 1 };
    assert!(matches!(world.ask(Who::Counsel, prepare).unwrap_err(), DeskError::Rehearsal));
}

#[test]
fn f10_f16_f17_and_the_g_cases_run_to_their_decision() {
    for (file, outcome, state) in [
        ("ie/cases/F10-dripa-2014.toml", None, None),
        ("us/cases/F16", None, None),
        ("ru/cases/F17-too-vague.toml", Some(Outcome::Refuse), Some(State::Refused)),
        ("ie/cases/G01-epoc-content-notified.toml", Some(Outcome::Comply), Some(State::Decided)),
        ("de/cases/G02-epoc-subscriber.toml", Some(Outcome::Comply), Some(State::Decided)),
        ("ie/cases/G03-epoc-emergency.toml", None, None),
        ("de/cases/G04-epoc-wrong-issuer.toml", Some(Outcome::Refuse), Some(State::Refused)),
    ] {
        let file = found(file);
        let mut world = World::new();
        let case = enter(&mut world, &file);
        verify(&mut world, case);
        let opinion = assess(&mut world, case, Map::new());
        let outcome = outcome.unwrap_or_else(|| natural(&opinion));
        decide(&mut world, case, outcome, &opinion);
        let reached = world.desk.state(case).unwrap();
        assert!(state.is_none_or(|state| state == reached), "{file}: {reached}");
        let (logged, codes) = decision_in_log(&world);
        assert_eq!(logged, outcome.word(), "{file}");
        if outcome.refuses() {
            let expected: Vec<_> =
                opinion.reasons.iter().map(|code| code.code().to_owned()).collect();
            assert_eq!(codes, expected, "{file}");
        }
        assert!(text(&mut world, case).contains(&file));
    }
}

fn natural(opinion: &Assessment) -> Outcome {
    match opinion.decision.first() {
        Some(Decision::Accept) => Outcome::Comply,
        Some(Decision::Narrow) => Outcome::Narrow,
        Some(Decision::Reject) => Outcome::Refuse,
        Some(Decision::Object) => Outcome::Object,
        Some(Decision::ReferMlat) => Outcome::Refer,
        Some(Decision::Preserve) => Outcome::Preserve,
        Some(Decision::Hold | Decision::NoBasis | Decision::Undetermined) | None => {
            Outcome::Clarify
        }
    }
}

/// A case's file by its beginning.
fn found(start: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let (folder, name) = start.rsplit_once('/').unwrap();
    let mut files = std::fs::read_dir(dir.join(folder)).unwrap().map(|entry| entry.unwrap());
    let file = files.find(|file| file.file_name().to_str().unwrap().starts_with(name));
    format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap())
}

#[test]
fn f17_too_vague_a_letter_gets_all_its_reasons() {
    let (mut world, case, _) = whole("ru/cases/F17-too-vague.toml", Outcome::Refuse);
    let (_, codes) = decision_in_log(&world);
    assert_eq!(codes, ["D01", "D02", "D03", "D07", "D08"]);
    let letter = text(&mut world, case);
    for code in codes {
        assert!(letter.contains(&code), "{letter}");
    }
}

#[test]
fn a_missing_fact_is_undetermined_and_a_person_decides() {
    let mut world = World::new();
    let mut demand = world.demand();
    demand.facts.issuer = Fact::Unknown;
    let case = world.receive(demand);
    world.verify(case);
    let opinion = world.assess(case);
    assert!(opinion.decision.contains(&Decision::Undetermined));
    let refused = world.decide(case, Outcome::Comply).unwrap_err();
    assert!(matches!(refused, DeskError::Reason));
    // The letter says what is missing, what it turns on, and what can be done.
    decide(&mut world, case, Outcome::Clarify, &opinion);
    let letter = text(&mut world, case);
    for part in [
        "it cannot be decided",
        "please state who issued it",
        "it turns on ",
        "The law named above",
        "complete the demand, naming our case",
    ] {
        assert!(letter.contains(part), "{part}\n{letter}");
    }
}
