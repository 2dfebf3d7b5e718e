//! Papers: receipts, letters, queues, preservation, counts.

use crate::world::{ACCOUNT, DAY, MONTH, PAPER, Who, World, letter};
use bailiwick_desk::{Answer, Command, DemandReceipt, DeskError, Outcome, State};
use custody::{Act, FieldId};
use seal::epoch::begins;
use seal::mac::sha256;
use vocab::{RecordKind, Row, Timestamp};

#[test]
fn the_authority_gets_a_signed_receipt_and_then_the_logs() {
    let mut world = World::new();
    let receive = Command::Receive {
        demand: Box::new(world.demand()),
        document: PAPER.to_vec(),
        account: Some(ACCOUNT),
        again: false,
    };
    let Ok(Answer::Received { receipt }) = world.ask(Who::Clerk, receive) else {
        panic!("not received");
    };
    assert_eq!(receipt.demand, sha256(&[PAPER]));
    let message = DemandReceipt::message(receipt.case, receipt.demand, receipt.at);
    world.trust().desk.verify(&message, &receipt.signature).unwrap();
    let case = receipt.case;
    let Ok(Answer::Receipt { receipt }) = world.ask(Who::Clerk, Command::DemandReceipt { case })
    else {
        panic!("no log receipt");
    };
    let logged = receipt.verify_past(&world.trust().log).unwrap();
    assert_eq!(logged.leaf.act, Some(Act::Received));
    assert_eq!(logged.opening.array(FieldId::DEMAND), Some(sha256(&[PAPER]).0));
    let Ok(Answer::File { file }) = world.ask(Who::Auditor, Command::Show { case }) else {
        panic!("no file");
    };
    let row = file.documents[0];
    let paper = world.ask(Who::Auditor, Command::Document { case, row }).unwrap();
    assert_eq!(paper, Answer::Document { octets: PAPER.to_vec() });
    let other = world.ask(Who::Auditor, Command::Document { case, row: row + 1 });
    assert!(matches!(other.unwrap_err(), DeskError::NoDocument));
}

#[test]
fn the_queue_is_by_deadline_and_a_clarification_stops_the_clock() {
    let mut world = World::new();
    let first = world.demand();
    let mut second = world.demand();
    second.facts.served = "2026-11-16T09:00:00+01:00".parse().unwrap();
    let (first, second) = (world.receive(first), world.receive(second));
    for case in [first, second] {
        world.verify(case);
        world.assess(case);
    }
    let list = |world: &mut World, overdue| match world.ask(Who::Clerk, Command::List { overdue }) {
        Ok(Answer::Cases { cases }) => cases,
        other => panic!("{other:?}"),
    };
    let cases = list(&mut world, false);
    assert_eq!(cases.iter().map(|line| line.case).collect::<Vec<_>>(), [second, first]);
    // The tenth day after the 16th, to its end at the place of service.
    let outer = cases[0].due.outer.unwrap();
    assert_eq!(bailiwick_desk::utc(outer), "2026-11-26T22:59:59Z");
    assert!(list(&mut world, true).is_empty());
    world.now = Timestamp(outer.0 + 10);
    assert_eq!(list(&mut world, true).len(), 1);
    assert_eq!(world.desk.tally(world.now), (2, 1));
    // The first is asked about, and gains the time that takes.
    let before = cases[1].due.outer.unwrap();
    let choice = bailiwick_desk::Choice {
        outcome: Outcome::Clarify,
        scope: None,
        reason: Some("the account is not named".into()),
        codes: vec![],
    };
    world.done(Who::Counsel, Command::Decide { case: first, choice: Box::new(choice) });
    let since = world.now;
    assert_eq!(world.desk.state(first), Some(State::Clarification));
    world.now.0 += 10 * DAY;
    assert!(list(&mut world, true).iter().all(|line| line.case == second));
    world.verify(first);
    let stood = world.now.0 - since.0;
    let after = list(&mut world, false).into_iter().find(|line| line.case == first).unwrap();
    assert_eq!(after.due.outer, Some(Timestamp(before.0 + stood)));
    assert!(!after.due.stopped);
}

#[test]
fn preserving_opens_nothing_and_ends_by_two_persons() {
    let mut world = World::new();
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let row = world.arrive(inside, &letter("bob@us.example", "kept", "for later"));
    let demand = world.demand();
    let case = world.receive(demand);
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    let delete = store::Batch::new(ACCOUNT)
        .delete(RecordKind::LetterHead, row)
        .delete(RecordKind::LetterBody, row);
    world.store.append().commit_blocking(delete).unwrap();
    let file = |world: &mut World| match world.ask(Who::Clerk, Command::Show { case }) {
        Ok(Answer::File { file }) => *file,
        other => panic!("{other:?}"),
    };
    let before = file(&mut world);
    assert_eq!(before.line.preserved_until, Some(until));
    assert!(before.preserved_rows.unwrap() > 2);
    // Renewed, it keeps what it kept.
    let later = Timestamp(until.0 + 30 * DAY);
    world.done(Who::Counsel, Command::Preserve { case, until: Some(later) });
    assert_eq!(file(&mut world).line.preserved_until, Some(later));
    let too_long = Timestamp(world.now.0 + 367 * DAY);
    assert!(world.ask(Who::Clerk, Command::Preserve { case, until: Some(too_long) }).is_err());
    world.done(Who::Clerk, Command::EndPreservation { case });
    let again = world.ask(Who::Clerk, Command::EndPreservation { case });
    assert!(matches!(again.unwrap_err(), DeskError::OnePerson(_)));
    world.done(Who::Approver, Command::EndPreservation { case });
    assert_eq!(file(&mut world).line.preserved_until, None);
}

#[test]
fn a_preservation_that_ran_out_ends_by_one() {
    let mut world = World::new();
    let demand = world.demand();
    let case = world.receive(demand);
    let until = Timestamp(world.now.0 + DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    world.now = until;
    world.done(Who::Clerk, Command::EndPreservation { case });
    let none = world.ask(Who::Clerk, Command::EndPreservation { case });
    assert!(matches!(none.unwrap_err(), DeskError::Lacks(_)));
}

#[test]
fn letters_are_counted_without_opening_one() {
    let mut world = World::new();
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let first = world.arrive(inside, &letter("bob@us.example", "one", "."));
    world.arrive(Timestamp(inside.0 + DAY), &letter("bob@us.example", "two", "."));
    world.arrive(Timestamp(inside.0 + 33 * DAY), &letter("bob@us.example", "later", "."));
    world.fold(first);
    let case = world.decided();
    let Ok(Answer::Counts { epochs, folded_body_bytes }) =
        world.ask(Who::Counsel, Command::Count { case })
    else {
        panic!("no counts");
    };
    let lines: Vec<_> = epochs.iter().map(|one| (one.epoch, one.unfolded, one.folded)).collect();
    assert_eq!(lines, [(MONTH.0, 1, 1)], "the period's month alone");
    let length = world.store.read().len(ACCOUNT, RecordKind::LetterBody, Row(1)).unwrap().unwrap();
    assert_eq!(folded_body_bytes, length);
}

#[test]
fn the_desks_own_rows_are_sealed() {
    let mut world = World::new();
    let case = world.decided();
    world.ask(Who::Counsel, Command::Letter { case }).unwrap();
    let mut disk = Vec::new();
    let mut folders = vec![world.dir.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => disk.extend(std::fs::read(path).unwrap()),
            }
        }
    }
    assert!(disk.len() > 10_000);
    let paper = std::str::from_utf8(PAPER).unwrap();
    for plain in ["Tribunal", "24/1789", "alice@ie.example", paper, "We will answer"] {
        assert!(!disk.windows(plain.len()).any(|window| window == plain.as_bytes()), "{plain}");
    }
}

#[test]
fn the_same_paper_is_entered_twice_only_by_saying_so() {
    let mut world = World::new();
    let receive = |world: &World, paper: &[u8], again| Command::Receive {
        demand: Box::new(world.demand()),
        document: paper.to_vec(),
        account: Some(ACCOUNT),
        again,
    };
    let enter = |world: &mut World, paper: &[u8], again| {
        let command = receive(world, paper, again);
        let answer = world.ask(Who::Clerk, command)?;
        let Answer::Received { receipt } = answer else { panic!("{answer:?}") };
        Ok(receipt.case)
    };
    let first = enter(&mut world, PAPER, false).unwrap();
    let leaves = world.leaves.len();
    let refused: DeskError = enter(&mut world, PAPER, false).unwrap_err();
    assert!(matches!(refused, DeskError::Entered(case) if case == first), "{refused}");
    assert!(refused.to_string().contains(&first.to_string()), "it names the case");
    assert!(refused.cure().contains("--again"), "{}", refused.cure());
    assert_eq!(world.leaves.len(), leaves, "nothing was entered");
    // On the word of whoever enters it, and on record; the last one is named.
    let second = enter(&mut world, PAPER, true).unwrap();
    let third = enter(&mut world, PAPER, true).unwrap();
    let other = enter(&mut world, b"another paper", true).unwrap();
    let same = [first, second, third, other].map(|case| world.file(case).same_as);
    assert_eq!(same, [None, Some(first), Some(second), None]);
    // Also after a restart, and when the first is closed.
    world.reopen();
    assert_eq!(world.file(second).same_as, Some(first));
    world.done(Who::Clerk, Command::Withdraw { case: third, why: "a slip".into() });
    world.done(Who::Counsel, Command::Close { case: third });
    assert!(
        matches!(enter(&mut world, PAPER, false), Err(DeskError::Entered(case)) if case == third)
    );
}
