use crate::world::{Chance, NOW, World};
use custody::leaf::{LEAF_BYTES, SEALED_SECONDS_MAX};
use custody::{Act, Draft, FieldId, Leaf, LeafError, LeafOpening, Place, Refused, acts};
use vocab::{AccountId, CaseId, CellId, Digest, HolderId, PersonId, Timestamp};

const PLACE: Place = Place { month: 202_611, seq: 9 };

fn demand() -> Draft {
    acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), Some(AccountId([5; 16])))
}

fn drafts() -> Vec<Draft> {
    let (case, order, person) = (CaseId([1; 16]), Digest([2; 32]), PersonId([3; 16]));
    let account = AccountId([4; 16]);
    vec![
        demand(),
        acts::decided(NOW, case, order, true, "refuse", &["D01", "D07"], order),
        acts::decided(NOW, case, order, false, "narrow", &["D03"], order),
        acts::approved(NOW, case, order, person),
        acts::officer_refused(NOW, case, order, person, "D02"),
        acts::holder_refused(NOW, case, order, HolderId([5; 16]), "expired"),
        acts::produced(NOW, case, order, order, order, 12),
        acts::told(NOW, case, account),
        acts::staff_act(NOW, person, Some(account), "created"),
        acts::pack_changed(NOW, "ie", order),
        acts::holders_changed(NOW, order, 5),
        acts::moved(NOW, account, acts::Direction::Out, CellId([6; 16])),
        acts::program(NOW, "bailiwick", order),
        acts::day(NOW, order),
        acts::month_closed(NOW, 1234),
        acts::opened(NOW, &[(7, order), (9, order)]),
        acts::secrecy_renewed(NOW, NOW, &[7, 9]),
    ]
}

#[test]
fn every_act_makes_a_leaf_that_reads_back_and_matches_its_opening() {
    let chance = Chance::new(1);
    for open_by in [None, Some(Timestamp(NOW.0 + 86_400))] {
        for draft in drafts() {
            let written = draft.write(PLACE, open_by, &chance).unwrap();
            let octets = written.leaf.encode().unwrap();
            let leaf = Leaf::decode(&octets).unwrap();
            assert_eq!(leaf, written.leaf);
            assert_eq!(leaf.open_by(), open_by);
            assert_eq!(written.opening.check(&leaf), Ok(()));
            let act = Act::from_tag(written.opening.value(FieldId::ACT).unwrap()[0]);
            assert!(act.is_some() && (leaf.act == act) == open_by.is_none());
        }
    }
}

#[test]
fn a_sealed_leaf_shows_its_place_and_its_day_and_is_like_a_dummy() {
    let chance = Chance::new(1);
    let day = Some(Timestamp(NOW.0 + 86_400));
    let real = demand().write(PLACE, day, &chance).unwrap().leaf;
    let dummy = Draft::dummy(NOW).write(PLACE, day, &chance).unwrap().leaf;
    assert_eq!(Leaf { commit: dummy.commit, ..real.clone() }, dummy);
    let (real, dummy) = (real.encode().unwrap(), dummy.encode().unwrap());
    let differ: Vec<usize> = (0..LEAF_BYTES).filter(|at| real[*at] != dummy[*at]).collect();
    assert!(differ.iter().all(|at| (28..60).contains(at)), "{differ:?}");
}

#[test]
fn a_dummy_in_clear_or_a_day_too_far_is_not_written() {
    let chance = Chance::new(1);
    let write = |draft: Draft, day| draft.write(PLACE, day, &chance).err();
    assert_eq!(write(Draft::dummy(NOW), None), Some(LeafError::OpenBy));
    let late = Timestamp(seal::epoch::ends(PLACE.epoch()).0 + SEALED_SECONDS_MAX);
    assert_eq!(write(demand(), Some(late)), None);
    assert_eq!(write(demand(), Some(Timestamp(late.0 + 1))), Some(LeafError::OpenBy));
}

#[test]
fn a_check_beforehand_says_what_writing_would() {
    let chance = Chance::new(1);
    let clear = |octets| Draft::new(Act::Notice, NOW).clear(FieldId::NAME, &vec![b'x'; octets]);
    let value = |octets| demand().with(FieldId::NOISE, &vec![b'x'; octets]);
    let fields = |count| (0..count).fold(demand(), |draft, _| draft.with(FieldId::NOISE, b""));
    let drafts: [&dyn Fn() -> Draft; 9] = [
        &demand,
        &|| Draft::dummy(NOW),
        &|| clear(460),
        &|| clear(461),
        &|| value(1024),
        &|| value(1025),
        &|| fields(251),
        &|| fields(252),
        &|| fields(256),
    ];
    for (nth, draft) in drafts.iter().enumerate() {
        for open_by in [None, Some(NOW)] {
            let checked = draft().check(open_by.is_some());
            let written = draft().write(PLACE, open_by, &chance);
            assert_eq!(checked.err(), written.err(), "{nth}");
        }
    }
    assert_eq!(clear(461).check(false), Err(LeafError::TooLarge));
    assert_eq!(clear(461).check(true), Ok(()));
}

#[test]
fn a_leaf_that_waited_or_was_dated_wrongly_is_written_and_read() {
    // Its act was years before the batch, or after it, by the clock of that time.
    for at in [0, NOW.0 - 800 * 86_400, NOW.0 + 800 * 86_400, u64::MAX] {
        let draft = acts::received(Timestamp(at), CaseId([3; 16]), Digest([4; 32]), None);
        let open_by = Timestamp(NOW.0 + 720 * 86_400);
        let written = draft.write(PLACE, Some(open_by), &Chance::new(1)).unwrap();
        let leaf = Leaf::decode(&written.leaf.encode().unwrap()).unwrap();
        assert_eq!((leaf.open_by(), written.opening.check(&leaf)), (Some(open_by), Ok(())));
    }
}

#[test]
fn a_month_that_is_none_is_not_written() {
    let chance = Chance::new(1);
    let place = Place { month: 202_613, seq: 1 };
    assert_eq!(demand().write(place, None, &chance).err(), Some(LeafError::Malformed));
}

#[test]
fn a_leaf_with_any_octet_changed_is_refused_or_is_another_leaf() {
    let chance = Chance::new(1);
    let leaf = demand().write(PLACE, None, &chance).unwrap();
    let octets = leaf.leaf.encode().unwrap();
    for at in 0..LEAF_BYTES {
        for bit in 0..8 {
            let mut changed = octets;
            changed[at] ^= 1 << bit;
            if let Ok(other) = Leaf::decode(&changed) {
                assert_ne!(other, leaf.leaf);
                assert_eq!(other.encode().unwrap(), changed);
            }
        }
    }
    assert_eq!(Leaf::decode(&octets[1..]), Err(LeafError::Malformed));
    assert_eq!(Leaf::decode(&[]), Err(LeafError::Malformed));
}

#[test]
fn a_part_of_an_opening_shows_that_part_alone() {
    let written = demand().write(PLACE, None, &Chance::new(1)).unwrap();
    let part = written.opening.part(|id, _| id == FieldId::CASE);
    assert_eq!(part.check(&written.leaf), Ok(()));
    assert_eq!(part.value(FieldId::CASE), Some([3; 16].as_slice()));
    assert_eq!(part.value(FieldId::ACCOUNT), None);
    let text = serde_json::to_string(&part).unwrap();
    assert!(!text.contains(&"05".repeat(16)) && !text.contains(&"04".repeat(32)));
    assert_eq!(serde_json::from_str::<LeafOpening>(&text).unwrap(), part);
    assert_eq!(part.part(|_, _| true), part, "what is hidden stays hidden");
}

#[test]
fn a_changed_salt_value_or_number_does_not_match() {
    let written = demand().write(PLACE, None, &Chance::new(1)).unwrap();
    let text = serde_json::to_string(&written.opening).unwrap();
    for (from, to) in [("\"id\":3", "\"id\":5"), (&"03".repeat(16), &"13".repeat(16))] {
        let other: LeafOpening = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        assert_ne!(other, written.opening);
        assert_eq!(other.check(&written.leaf), Err(LeafError::Commitment), "{from}");
    }
    let mut short = written.opening.clone();
    short.fields.pop();
    assert_eq!(short.check(&written.leaf), Err(LeafError::Commitment));
    short.fields.swap(0, 1);
    assert_eq!(short.check(&written.leaf), Err(LeafError::Commitment));
}

#[test]
fn a_field_committed_to_twice_is_not_read_whichever_is_shown() {
    let twice = demand().with(FieldId::CASE, &[8; 16]);
    let written = twice.write(PLACE, None, &Chance::new(1)).unwrap();
    let first = written.opening.part(|id, value| id == FieldId::CASE && value == [3; 16]);
    assert_eq!(first.check(&written.leaf), Ok(()));
    assert_eq!(first.value(FieldId::CASE), None);
}

#[test]
fn a_leaf_that_shows_what_it_does_not_commit_to_is_refused() {
    let draft =
        acts::decided(NOW, CaseId([1; 16]), Digest([2; 32]), true, "refuse", &[], Digest([2; 32]));
    let written = draft.write(PLACE, None, &Chance::new(1)).unwrap();
    let mut lie = written.leaf.clone();
    lie.act = Some(Act::Decided);
    assert_eq!(written.opening.check(&lie), Err(LeafError::Clear));
    let mut lie = written.leaf;
    lie.public[0].value = b"comply".to_vec();
    assert_eq!(written.opening.check(&lie), Err(LeafError::Clear));
}

#[test]
fn a_receipt_of_a_sealed_leaf_verifies_in_part_and_long_after() {
    let mut world = World::new();
    let day = Some(Timestamp(NOW.0 + 86_400));
    let mut receipt = world.log_witnessed(demand(), day, NOW, 2);
    receipt.opening = receipt.opening.part(|id, _| id == FieldId::DEMAND);
    let logged = receipt.verify(&world.trust.log, NOW).unwrap();
    assert_eq!(logged.opening.array(FieldId::DEMAND), Some([4; 32]));
    assert_eq!(logged.origin, "log.ie.example");
    let years = Timestamp(NOW.0 + 3 * 365 * 86_400);
    assert_eq!(receipt.verify(&world.trust.log, years), Err(Refused::Stale));
    assert!(receipt.verify_past(&world.trust.log).is_ok());
}

#[test]
fn an_opening_leaf_names_openings_by_digest() {
    let written = demand().write(PLACE, None, &Chance::new(1)).unwrap();
    let digest = written.opening.digest();
    assert_ne!(digest, written.opening.part(|_, _| false).digest());
    let opened = acts::opened(NOW, &[(7, digest)]).write(PLACE, None, &Chance::new(2)).unwrap();
    assert_eq!(opened.leaf.public(FieldId::INDEX), Some(7_u64.to_be_bytes().as_slice()));
}

#[test]
fn acts_have_the_words_of_the_specification() {
    let text = include_str!("../../../../specs/log-entry.md");
    let (_, table) = text.split_once("## 3 ").unwrap();
    let (table, _) = table.split_once("## 4 ").unwrap();
    let cells: Vec<&str> = table.lines().flat_map(|line| line.split('|')).collect();
    let word = |tag: &str| cells.iter().position(|cell| *cell == tag).map(|at| cells[at + 1]);
    let acts: Vec<Act> = (0..=u8::MAX).filter_map(Act::from_tag).collect();
    assert_eq!(acts.len(), 17);
    for act in acts {
        assert_eq!(word(&act.tag().to_string()), Some(act.name()), "{act:?}");
    }
}
