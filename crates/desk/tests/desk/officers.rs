//! Commands are their signers': forged, stale, repeated and foreign ones do nothing.

use crate::world::{NOW, Who, World};
use bailiwick_desk::{Answer, Command, DeskError, Role, Signed, Staff};
use vocab::{CellId, PersonId, Timestamp};

#[test]
fn a_command_by_nobody_in_office_does_nothing() {
    let world = World::new();
    let list = Command::List { overdue: false };
    let good = world.sign(Who::Clerk, &list);
    let mut forged = good.clone();
    forged.signature[5] ^= 1;
    let mut altered = good.clone();
    altered.command = serde_json::to_string(&Command::Register).unwrap();
    let mut renamed = good.clone();
    renamed.person = Who::Counsel.person();
    let stranger = Signed { person: PersonId([99; 16]), ..good.clone() };
    let key = world.key(Who::Clerk);
    let person = Who::Clerk.person();
    let chance = world.chance.as_ref();
    let elsewhere = Signed::sign(CellId([1; 16]), person, key, &list, world.now, chance).unwrap();
    let late = Timestamp(world.now.0 - 301);
    let stale = Signed::sign(world.cell, person, key, &list, late, chance).unwrap();
    let renewed = Signed { nonce: [0; 16], ..good.clone() };
    for signed in [forged, altered, renamed, stranger, elsewhere, stale, renewed] {
        let refused = world.desk.carry_out(&signed, None, world.now).unwrap_err();
        assert!(matches!(refused, DeskError::Unsigned), "{refused}");
    }
    assert!(world.desk.carry_out(&good, None, world.now).is_ok());
}

#[test]
fn a_command_is_good_once() {
    let world = World::new();
    let signed = world.sign(Who::Clerk, &Command::List { overdue: false });
    world.desk.carry_out(&signed, None, world.now).unwrap();
    let refused = world.desk.carry_out(&signed, None, world.now).unwrap_err();
    assert!(matches!(refused, DeskError::Repeated), "{refused}");
    // Asked anew within the same second it is another.
    let again = world.sign(Who::Clerk, &Command::List { overdue: false });
    assert_eq!(again.at, signed.at);
    world.desk.carry_out(&again, None, world.now).unwrap();
}

#[test]
fn what_changed_something_is_good_once_also_after_a_restart() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let until = Some(Timestamp(NOW.0 + 86_400));
    // Of one event, of two events with a batch of others between, of a row of the register.
    let preserve = world.sign(Who::Clerk, &Command::Preserve { case, until });
    let enrol = Command::EnrolAuthority {
        name: "a court".into(),
        place: "fr".parse().unwrap(),
        recipient: world.authority.recipient().to_string(),
        number_from: "a printed directory".into(),
        called_back: world.now,
    };
    let enrol = world.sign(Who::Clerk, &enrol);
    let (document, account) = (b"another paper".to_vec(), None);
    let receive =
        Command::Receive { demand: Box::new(world.demand()), document, account, again: false };
    let receive = world.sign(Who::Clerk, &receive);
    for signed in [&preserve, &enrol, &receive] {
        world.desk.carry_out(signed, None, world.now).unwrap();
    }
    let cases = |world: &World| world.desk.tally(world.now).0;
    assert_eq!(cases(&world), 2);
    for wait in [0, 1, 300] {
        world.reopen();
        let now = Timestamp(world.now.0 + wait);
        for signed in [&preserve, &enrol, &receive] {
            let refused = world.desk.carry_out(signed, None, now).unwrap_err();
            assert!(matches!(refused, DeskError::Repeated), "{refused}");
        }
    }
    assert_eq!(cases(&world), 2);
    // Signed anew it is another command.
    let again = world.sign(Who::Clerk, &Command::Preserve { case, until });
    world.desk.carry_out(&again, None, world.now).unwrap();
}

#[test]
fn who_left_commands_nothing() {
    let mut world = World::new();
    let staff = Staff {
        person: Who::Clerk.person(),
        name: "clerk".into(),
        roles: vec![Role::Clerk],
        key: world.key(Who::Clerk).public().0,
        from: Timestamp(0),
        until: world.now,
    };
    world.desk.enrol_staff(staff, world.now).unwrap();
    let refused = world.ask(Who::Clerk, Command::List { overdue: false }).unwrap_err();
    assert!(matches!(refused, DeskError::Unsigned), "{refused}");
}

#[test]
fn what_is_no_command_is_refused() {
    let world = World::new();
    let sign = |command: &str| {
        let (person, at, nonce) = (Who::Clerk.person(), world.now, [7; 16]);
        let message = Signed::message(world.cell, person, at, &nonce, command);
        let signature = world.key(Who::Clerk).sign(&message);
        Signed { person, at, nonce, command: command.into(), signature }
    };
    for text in ["", "{}", "[]", r#"{"do":"release"}"#, r#"{"do":"list","case":"00"}"#, "\u{0}"] {
        let refused = world.desk.carry_out(&sign(text), None, NOW).unwrap_err();
        assert!(matches!(refused, DeskError::Command), "{text}");
    }
}

#[test]
fn the_register_tells_who_is_in_office_and_what_the_log_knows() {
    let mut world = World::new();
    world.publish();
    // Six members of staff, an authority enrolled and confirmed.
    assert_eq!(world.leaves.len(), 8);
    let Ok(Answer::Register { rows }) = world.ask(Who::Auditor, Command::Register) else {
        panic!("no register");
    };
    assert_eq!(rows.len(), 7);
    // Counsel, approver, and one person in both offices.
    assert_eq!(world.desk.officers().unwrap().officers().len(), 4);
    let digest = world.desk.officers().unwrap().digest();
    world.reopen();
    assert_eq!(world.desk.officers().unwrap().digest(), digest);
}
