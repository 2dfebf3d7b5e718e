//! Preservation in the log, by the law's measure, and its end.

use crate::world::{ACCOUNT, DAY, MONTH, NOW, Who, World, facts, letter};
use bailiwick_desk::{
    Answer, Command, Demand, DeskError, Fault, Lack, NonDisclosureOrder, SecrecyStated, utc,
};
use custody::leaf::Act;
use custody::{FieldId, Leaf};
use seal::epoch::begins;
use store::HoldId;
use vocab::{CaseId, PersonId, RecordKind, Timestamp};

/// What the log's newest leaf says, to who may see it.
fn newest(world: &World) -> (Option<Act>, String, Option<u64>, PersonId) {
    let (leaf, opening) = world.leaves.last().unwrap();
    let word = opening.value(FieldId::OUTCOME).unwrap_or_default().to_vec();
    let by = PersonId(opening.array(FieldId::PERSON).unwrap());
    let act = Leaf::decode(leaf).unwrap().act;
    (act, String::from_utf8(word).unwrap(), opening.number(FieldId::VALID_UNTIL), by)
}

fn held(world: &World, case: CaseId) -> usize {
    world.store.preserve().held(HoldId(case.0)).count()
}

fn preserve(world: &mut World, case: CaseId, until: Option<Timestamp>) {
    world.done(Who::Clerk, Command::Preserve { case, until });
}

#[test]
fn a_preservation_is_logged_renewed_and_ends_by_itself() {
    let mut world = World::new();
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let row = world.arrive(inside, &letter("bob@us.example", "kept", "for later"));
    let demand = world.demand();
    let case = world.receive(demand);
    let until = Timestamp(world.now.0 + 60 * DAY);
    preserve(&mut world, case, Some(until));
    let clerk = Who::Clerk.person();
    let said = (Some(Act::StaffAct), "preserved".to_owned(), Some(until.0), clerk);
    assert_eq!(newest(&world), said);
    let (_, opening) = world.leaves.last().unwrap();
    assert_eq!(opening.array(FieldId::CASE), Some(case.0));
    assert_eq!(opening.array(FieldId::ACCOUNT), Some(ACCOUNT.0));
    let later = Timestamp(until.0 + 30 * DAY);
    preserve(&mut world, case, Some(later));
    let said = (Some(Act::StaffAct), "preservation renewed".to_owned(), Some(later.0), clerk);
    assert_eq!(newest(&world), said);
    let delete = store::Batch::new(ACCOUNT)
        .delete(RecordKind::LetterHead, row)
        .delete(RecordKind::LetterBody, row);
    world.store.append().commit_blocking(delete).unwrap();
    // Not before its end, also after a restart.
    world.reopen();
    assert_eq!(world.desk.end_preservations(Timestamp(later.0 - 1)).unwrap(), 0);
    assert!(held(&world, case) > 2);
    assert_eq!(world.desk.end_preservations(later).unwrap(), 1);
    world.publish();
    let machine = PersonId([0; 16]);
    let said = (Some(Act::StaffAct), "preservation ended".to_owned(), None, machine);
    assert_eq!(newest(&world), said);
    assert_eq!(held(&world, case), 0);
    assert_eq!(world.file(case).line.preserved_until, None);
    let body = RecordKind::LetterBody;
    let kept = world.store.preserve().read(HoldId(case.0), ACCOUNT, body, row).unwrap();
    assert_eq!(kept, None, "what its owner deleted is gone");
    assert_eq!(world.desk.end_preservations(later).unwrap(), 0);
}

#[test]
fn under_secrecy_the_log_does_not_show_a_preservation() {
    let mut world = World::new();
    let mut demand = world.demand();
    let (basis, issuer) = ("an act".to_owned(), "a court".to_owned());
    let order = NonDisclosureOrder { basis, issuer, until: None, review: NOW };
    demand.secrecy = Some(SecrecyStated::Order(order));
    let case = world.receive(demand);
    let until = Timestamp(world.now.0 + DAY);
    preserve(&mut world, case, Some(until));
    assert_eq!(newest(&world).0, None);
    assert_eq!(world.desk.end_preservations(until).unwrap(), 1);
    world.publish();
    assert_eq!((newest(&world).0, newest(&world).1.as_str()), (None, "preservation ended"));
}

/// A demand of the past, as its pack's case has it.
fn rehearsed(world: &mut World, file: &str) -> CaseId {
    let mut demand = Demand { facts: facts(file), rehearsal: true, ..world.demand() };
    demand.period = None;
    let case = world.receive(demand);
    world.verify(case);
    case
}

#[test]
fn the_law_says_how_long_and_how_much_longer() {
    for (file, served, first, renewed) in [
        // Sixty days and thirty, Regulation (EU) 2023/1543 art. 11.
        ("ie/cases/G06-epoc-pr.toml", "2026-08-24", "2026-10-23", "2026-11-22"),
        // Ninety days and ninety, 18 U.S.C. § 2703(f).
        ("us/cases/G12-us-preservation.toml", "2026-03-02", "2026-05-31", "2026-08-29"),
    ] {
        let mut world = World::new();
        let case = rehearsed(&mut world, file);
        assert!(facts(file).served.to_string().starts_with(served), "{file}");
        let served = facts(file).served.timestamp().unwrap();
        let ends = |world: &mut World| {
            let until = world.file(case).line.preserved_until.unwrap();
            // The last second of the day, at the place of service.
            utc(Timestamp(until.0 - 1))
        };
        // Three hours after the service, as it was then.
        world.now = Timestamp(served.0 + 3 * 3600);
        preserve(&mut world, case, None);
        assert!(ends(&mut world).starts_with(first), "{file} {}", ends(&mut world));
        preserve(&mut world, case, None);
        assert!(ends(&mut world).starts_with(renewed), "{file} {}", ends(&mut world));
    }
}

#[test]
fn where_no_pack_names_a_length_somebody_must() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let refused = world.ask(Who::Clerk, Command::Preserve { case, until: None }).unwrap_err();
    assert!(matches!(refused, DeskError::Lacks(Lack::Day)), "{refused}");
    for until in [world.now.0, world.now.0 + 367 * DAY] {
        let until = Some(Timestamp(until));
        let refused = world.ask(Who::Clerk, Command::Preserve { case, until }).unwrap_err();
        assert!(matches!(refused, DeskError::Demand(Fault::Preserving)), "{refused}");
    }
    assert_eq!(held(&world, case), 0);
}

#[test]
fn one_person_does_not_end_a_preservation_early_by_renewing_it() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let until = Timestamp(world.now.0 + 60 * DAY);
    preserve(&mut world, case, Some(until));
    let sooner = Command::Preserve { case, until: Some(Timestamp(world.now.0 + DAY)) };
    let refused = world.ask(Who::Clerk, sooner).unwrap_err();
    assert!(matches!(refused, DeskError::Demand(Fault::Sooner)), "{refused}");
    assert_eq!(world.file(case).line.preserved_until, Some(until));
    preserve(&mut world, case, Some(until));
}

#[test]
fn what_a_crash_left_held_is_freed() {
    let mut world = World::new();
    let row = world.arrive(NOW, &letter("bob@us.example", "kept", "for later"));
    let demand = world.demand();
    let case = world.receive(demand);
    // Held, and the power failed before the event.
    let rows = vec![(RecordKind::LetterHead, row)];
    world.store.preserve().hold_blocking(HoldId(case.0), ACCOUNT, rows).unwrap();
    world.reopen();
    assert_eq!(world.desk.end_preservations(world.now).unwrap(), 0);
    assert_eq!(held(&world, case), 0);
    // One that is in force is not.
    let until = Timestamp(world.now.0 + DAY);
    preserve(&mut world, case, Some(until));
    world.desk.end_preservations(world.now).unwrap();
    assert!(held(&world, case) > 0);
    let Ok(Answer::Done { .. }) = world.ask(Who::Clerk, Command::EndPreservation { case }) else {
        panic!("not asked");
    };
    world.done(Who::Approver, Command::EndPreservation { case });
    assert_eq!(held(&world, case), 0);
}

/// Whether an account may leave the cell, said the same for all that may keep it.
#[test]
fn an_open_case_a_preservation_and_a_duty_of_secrecy_each_bind_the_account() {
    let mut world = World::new();
    let other = vocab::AccountId([0xee; 16]);
    let binds = |world: &World| world.desk.binds(ACCOUNT, world.now);
    assert!(!binds(&world));
    let demand = world.demand();
    let case = world.receive(demand);
    assert!(binds(&world) && !world.desk.binds(other, world.now));
    let until = Timestamp(world.now.0 + 60 * DAY);
    preserve(&mut world, case, Some(until));
    world.done(Who::Clerk, Command::Withdraw { case, why: "a slip".into() });
    assert!(binds(&world), "preserved");
    world.reopen();
    assert!(binds(&world), "after a restart too");
    assert_eq!(world.desk.end_preservations(until).unwrap(), 1);
    assert!(!binds(&world));
    let mut demand = world.demand();
    let (basis, issuer) = ("an act".to_owned(), "a court".to_owned());
    let order = NonDisclosureOrder { basis, issuer, until: Some(until), review: NOW };
    demand.secrecy = Some(SecrecyStated::Order(order));
    let case = world.receive(demand);
    world.done(Who::Clerk, Command::Withdraw { case, why: "a slip".into() });
    assert!(binds(&world), "secret");
    assert!(!world.desk.binds(ACCOUNT, until));
}
