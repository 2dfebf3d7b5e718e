//! Who may do what, and when: the tables as a person reviews them, and every illegal use tried.

use crate::world::{ACCOUNT, DAY, PAPER, Who, World, checks, scope};
use bailiwick_desk::case::TABLE;
use bailiwick_desk::{
    Answer, Choice, Command, DeskError, FactsConfirmed, NonDisclosureOrder, Outcome, Role,
    ScopeDiff, SealedKind, State, UserNotice, Verb,
};
use custody::RecipientKey;
use custody::production::CustodyRecord;
use serde_json::Map;
use std::fmt::Write as _;
use vocab::{CaseId, Digest, HolderId, Timestamp};

#[test]
fn roles_and_acts() {
    let mut table = format!("{:17}", "");
    for role in Role::ALL {
        write!(table, "{:9}", role.word()).unwrap();
    }
    for verb in Verb::ALL {
        write!(table, "\n{:17}", verb.word()).unwrap();
        for role in Role::ALL {
            let mark = if verb.roles().contains(role) { "x" } else { "." };
            write!(table, "{mark:9}").unwrap();
        }
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("roles_and_acts", table.join("\n"));
}

#[test]
fn states_and_acts() {
    let mut table = String::new();
    for state in State::ALL {
        writeln!(table, "{state}").unwrap();
        for line in TABLE.iter().filter(|line| line.from.contains(state)) {
            let to = line.to.unwrap_or(*state);
            let who: Vec<&str> = line.roles.iter().map(|role| role.word()).collect();
            let who = if who.is_empty() { "the desk".to_owned() } else { who.join(", ") };
            writeln!(table, "    {:17}-> {:14}{who}", line.verb.word(), to.word()).unwrap();
        }
    }
    insta::assert_snapshot!("states_and_acts", table);
}

#[test]
fn every_act_has_one_line() {
    for verb in Verb::ALL {
        assert_eq!(TABLE.iter().filter(|line| line.verb == *verb).count(), 1, "{verb}");
    }
}

/// One command of each act, well formed, of no particular case.
fn samples(world: &World, case: CaseId) -> Vec<Command> {
    let mut all = to_release(world, case);
    all.extend(beside(world, case));
    all
}

fn why() -> String {
    "because".to_owned()
}

fn to_release(world: &World, case: CaseId) -> Vec<Command> {
    let choice = |outcome| {
        let scope = None;
        Box::new(Choice { outcome, scope, reason: Some(why()), codes: vec![] })
    };
    let diff = ScopeDiff::sign(case, &scope(), &scope(), world.key(Who::Counsel)).unwrap();
    let record = CustodyRecord {
        version: 1,
        case,
        cell: world.cell,
        order: Digest([0; 32]),
        opened_at: world.now,
        closed_at: world.now,
        holders: vec![],
        opened: 0,
        produced: 0,
    };
    let (holder, leaf) = (HolderId([1; 16]), Digest([0; 32]));
    let answer = custody::holder::Answer { version: 1, holder, leaf, given: vec![] };
    let (demand, document) = (Box::new(world.demand()), PAPER.to_vec());
    vec![
        Command::Receive { demand, document, account: Some(ACCOUNT), again: false },
        Command::Verify { case, checks: checks(), facts: Map::new() },
        Command::Assess { case, facts: Map::new() },
        Command::Correct { case, facts: Map::new(), why: why() },
        Command::Decide { case, choice: choice(Outcome::Comply) },
        Command::Decide { case, choice: choice(Outcome::Refuse) },
        Command::Decide { case, choice: choice(Outcome::Clarify) },
        Command::Narrow { case, scope: scope(), diff },
        Command::Prepare { case, recipient: vec![], valid_seconds: 1 },
        Command::Approve {
            case,
            approval: world.approval(Who::Counsel, custody::Role::Counsel, b""),
            facts: FactsConfirmed { facts: Digest([0; 32]), signature: [0; 64] },
        },
        Command::Return { case, why: why() },
        Command::Holders { case },
        Command::Share { case, answer },
        Command::HolderRefused { case, holder, why: why() },
        Command::Release { case },
        Command::Held { case },
        Command::Sealed { case, kind: SealedKind::Head, from: 0 },
        Command::Body { case, row: 1, from: 0 },
        Command::Produce { case, tag_manifest: vec![], record },
        Command::ProductionReceipt { case },
        Command::Deliver { case, package: Digest([0; 32]), bytes: 1, means: why() },
    ]
}

fn beside(world: &World, case: CaseId) -> Vec<Command> {
    let (basis, issuer) = ("an act".to_owned(), "a court".to_owned());
    let order = NonDisclosureOrder { basis, issuer, until: None, review: world.now };
    let until = Timestamp(world.now.0 + DAY);
    vec![
        Command::Stay { case, why: why() },
        Command::Lift { case, why: why() },
        Command::Appeal { case, court: why() },
        Command::Withdraw { case, why: why() },
        Command::Close { case },
        Command::Preserve { case, until: Some(until) },
        Command::EndPreservation { case },
        Command::Secrecy { case, order },
        Command::Notice { case, notice: UserNotice::Planned { on: until } },
        Command::Letter { case },
        Command::Count { case },
        Command::Show { case },
        Command::Document { case, row: 1 },
        Command::DemandReceipt { case },
        Command::List { overdue: false },
        Command::EnrolAuthority {
            name: why(),
            place: "fr".parse().unwrap(),
            recipient: why(),
            number_from: why(),
            called_back: world.now,
        },
        Command::ConfirmAuthority { id: [0; 16] },
        Command::Register,
    ]
}

#[test]
fn every_command_is_an_act_of_the_table() {
    let world = World::new();
    let samples = samples(&world, CaseId([0; 16]));
    let machine = [Verb::Authorise];
    for verb in Verb::ALL.iter().filter(|verb| !machine.contains(verb)) {
        assert!(samples.iter().any(|command| command.verb() == *verb), "{verb} has no sample");
    }
    for command in samples {
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }
}

#[test]
fn no_role_does_what_is_anothers() {
    let mut world = World::new();
    let case = world.decided();
    let samples = samples(&world, case);
    for role in Role::ALL {
        for command in samples.iter().filter(|one| !one.verb().roles().contains(role)) {
            let refused = world.ask_only(Who::of(*role), command).unwrap_err();
            assert!(matches!(refused, DeskError::Role { .. }), "{role:?} {}", command.verb());
        }
    }
}

/// Somebody who may.
fn whose(command: &Command) -> Who {
    Who::of(*command.verb().roles().first().unwrap())
}

/// A case in each state, one after another, each with its own world.
fn reach(state: State) -> (World, CaseId) {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let order = [State::Received, State::Verified, State::Assessed];
    for (step, at) in order.into_iter().enumerate() {
        match step {
            0 => {}
            1 => world.verify(case),
            _ => drop(world.assess(case)),
        }
        if state == at {
            return (world, case);
        }
    }
    let choose = |world: &mut World, outcome| {
        let (scope, reason) = (None, Some(why()));
        let choice = Box::new(Choice { outcome, scope, reason, codes: vec![] });
        world.done(Who::Counsel, Command::Decide { case, choice });
    };
    match state {
        State::Refused => choose(&mut world, Outcome::Refuse),
        State::Clarification => choose(&mut world, Outcome::Clarify),
        State::Stayed => world.done(Who::Counsel, Command::Stay { case, why: why() }),
        State::Withdrawn => world.done(Who::Clerk, Command::Withdraw { case, why: why() }),
        State::Appealed => {
            choose(&mut world, Outcome::Refuse);
            world.done(Who::Counsel, Command::Appeal { case, court: why() });
        }
        State::Closed => {
            choose(&mut world, Outcome::Refuse);
            world.done(Who::Counsel, Command::Close { case });
        }
        State::Decided | State::Narrowed | State::Approved | State::Logged => {
            release(&mut world, case, state);
        }
        State::Released | State::Produced | State::Delivered => {
            release(&mut world, case, state);
            world.ask(Who::Station, Command::Release { case }).unwrap();
            if state != State::Released {
                crate::releases::produce_nothing(&mut world, case);
            }
            if state == State::Delivered {
                let package = Digest([0; 32]);
                let deliver = Command::Deliver { case, package, bytes: 1, means: why() };
                world.done(Who::Station, deliver);
            }
        }
        State::Received | State::Verified | State::Assessed => {}
    }
    (world, case)
}

fn release(world: &mut World, case: CaseId, state: State) {
    world.decide(case, Outcome::Comply).unwrap();
    if state == State::Narrowed {
        let diff = ScopeDiff::sign(case, &scope(), &scope(), world.key(Who::Counsel)).unwrap();
        world.ask(Who::Counsel, Command::Narrow { case, scope: scope(), diff }).unwrap();
    }
    if matches!(state, State::Decided | State::Narrowed) {
        return;
    }
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let order = world.prepare(case, &key);
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    let approval = world.approval(Who::Approver, custody::Role::Approver, &order);
    let approve = world.approval_of(Who::Approver, case, approval);
    world.ask_only(Who::Approver, &approve).unwrap();
    if state != State::Approved {
        world.publish();
    }
}

#[test]
fn every_state_refuses_what_it_does_not_allow_and_says_what_it_does() {
    for state in State::ALL {
        let (mut world, case) = reach(*state);
        assert_eq!(world.desk.state(case), Some(*state));
        let samples = samples(&world, case);
        for command in samples.iter().filter(|command| command.case().is_some()) {
            let verb = command.verb();
            let allowed = verb.line().unwrap().from.contains(state);
            // What is allowed may still lack something; it must not be refused for the state.
            if allowed {
                continue;
            }
            let refused = world.ask_only(whose(command), command).unwrap_err();
            let DeskError::State { state: at, verb: asked } = refused else {
                panic!("{state} {verb}: {refused}");
            };
            assert_eq!((at, asked), (*state, verb));
            assert!(!state.allows().any(|allowed| allowed == verb));
            // By their commands, of which one may do several.
            let mut said: Vec<String> =
                state.allows().map(|verb| format!("`{}`", verb.command())).collect();
            said.dedup();
            assert!(refused.to_string().ends_with(&format!(": {}", said.join(", "))), "{refused}");
        }
        assert_eq!(world.desk.state(case), Some(*state), "nothing changed");
    }
}

#[test]
fn a_desk_folded_again_is_the_same_desk() {
    for state in [State::Closed, State::Delivered, State::Appealed, State::Approved] {
        let (mut world, case) = reach(state);
        let show = |world: &mut World| match world.ask_only(Who::Auditor, &Command::Show { case }) {
            Ok(Answer::File { file }) => file,
            other => panic!("{other:?}"),
        };
        let before = show(&mut world);
        world.reopen();
        assert_eq!(show(&mut world), before);
        assert_eq!(world.desk.unlogged().unwrap().len(), usize::from(state == State::Approved) * 2);
    }
}
