//! What lies behind the door, and how far.

use crate::world::{DAY, MONTH, NOW, SCOPE, World};
use custody::holder::Answer;
use custody::opening::{NotCombined, NotOpened};
use custody::{OrderRecord, RecipientKey, ReleaseEvidence};
use seal::epoch::begins;
use seal::letter::{Chain, LetterSealer};
use seal::row::RowKeys;
use seal::run::Run;
use seal::sign::SigningKey;
use seal::slot::Scope;
use vocab::{Custody, Epoch, EpochVersion, LetterId, ModSeq, RecordKind, Row, Timestamp};

fn answers(
    world: &World,
    evidence: &ReleaseEvidence,
    trustees: usize,
    guards: usize,
) -> Vec<Answer> {
    let a = (0..trustees).map(|one| world.trustee_answer(evidence, one, &[], NOW).unwrap());
    let b = (0..guards).map(|one| world.guard_answer(evidence, one, &[], NOW).unwrap());
    a.chain(b).collect()
}

fn letter(world: &World, arrived: Timestamp, head: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let to = world.locked().arrival(arrived).unwrap();
    let step = Run::begin(&to, &world.chance).unwrap().step().unwrap();
    let mut body = Vec::new();
    let mut sealer =
        LetterSealer::begin(LetterId([1; 16]), arrived, step, &world.chance, &mut body).unwrap();
    sealer.push(b"the letter itself", &mut body).unwrap();
    let closed = sealer.close(head, &mut body).unwrap();
    let key = SigningKey::generate(&world.chance).unwrap();
    let (record, _) = closed.ingest(&key, &Chain::start(world.account)).unwrap();
    (record, body)
}

fn row(world: &World, kind: RecordKind, epoch: Epoch, plain: &[u8]) -> Vec<u8> {
    let attempt = crate::user::attempt(&world.recovery, Scope::IMAP, NOW);
    let keys = world.locked().unlock(&attempt).unwrap().into_keys();
    let keys = RowKeys::of_epoch(keys.epoch(epoch, EpochVersion(1)).unwrap()).unwrap();
    keys.seal(kind, Row(5), ModSeq(1), plain, &world.chance).unwrap()
}

fn open(world: &mut World, change: impl Fn(&mut OrderRecord)) -> custody::Opening {
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let mut order = world.order(&recipient, SCOPE);
    change(&mut order);
    let approvals = world.approvals(&order);
    let evidence = world.evidence_of(&order, approvals);
    let answers = answers(world, &evidence, 2, 2);
    let release = evidence.verify(&world.trust, NOW).unwrap();
    release.open(recipient, &world.escrows(), &answers, NOW).ok().unwrap()
}

#[test]
fn enough_shares_open_what_the_order_names() {
    let mut world = World::new();
    let arrived = Timestamp(begins(MONTH).0 + DAY);
    let (head, body) = letter(&world, arrived, b"the head");
    let message = row(&world, RecordKind::Message, MONTH, b"a message");
    let mut opening = open(&mut world, |_| {});
    let arrival = opening.letter(&head, NOW).unwrap();
    assert_eq!(arrival.head, b"the head");
    assert_eq!(arrival.header.arrived, arrived);
    let key = arrival.body_key.unwrap();
    let context = seal::blob::body_context(world.account, LetterId([1; 16]));
    let text = seal::blob::open(&key, &context, &body).unwrap();
    assert!(text.starts_with(b"the letter itself"));
    let plain = opening.row(RecordKind::Message, Row(5), &message, NOW).unwrap();
    assert_eq!(plain.as_slice(), b"a message");
    let tally = opening.finish();
    assert_eq!((tally.opened, tally.holders.len()), (2, 4));
}

#[test]
fn nothing_outside_the_order_opens() {
    let mut world = World::new();
    let late = Timestamp(begins(MONTH).0 + 20 * DAY);
    let (outside, _) = letter(&world, late, b"");
    let (next_month, _) = letter(&world, Timestamp(begins(MONTH).0 + 40 * DAY), b"");
    let (inside, _) = letter(&world, Timestamp(begins(MONTH).0 + DAY), b"");
    let message = row(&world, RecordKind::Message, MONTH, b"");
    let other = row(&world, RecordKind::Message, Epoch(MONTH.0 - 1), b"");
    let mailbox = row(&world, RecordKind::Mailbox, Epoch(0), b"");
    let mut opening = open(&mut world, |_| {});
    let refused = |outcome: Result<custody::opening::Arrival, NotOpened>| outcome.err();
    assert_eq!(refused(opening.letter(&outside, NOW)), Some(NotOpened::Period));
    assert_eq!(refused(opening.letter(&next_month, NOW)), Some(NotOpened::Period));
    let mut read = |kind, value: &[u8], now| opening.row(kind, Row(5), value, now).err();
    assert_eq!(read(RecordKind::Message, &other, NOW), Some(NotOpened::Epoch));
    assert_eq!(read(RecordKind::Mailbox, &mailbox, NOW), Some(NotOpened::Kind));
    let end = Timestamp(NOW.0 + 9 * DAY);
    assert_eq!(read(RecordKind::Message, &message, end), Some(NotOpened::Expired));
    assert!(matches!(
        read(RecordKind::Message, &message[1..], NOW),
        Some(NotOpened::Sealed(_) | NotOpened::Epoch)
    ));
    assert_eq!(refused(opening.letter(&inside, end)), Some(NotOpened::Expired));
    let mut elsewhere = inside.clone();
    elsewhere[12] ^= 1;
    assert_eq!(refused(opening.letter(&elsewhere, NOW)), Some(NotOpened::Account));
    assert_eq!(opening.finish().opened, 0);
}

#[test]
fn an_order_for_heads_gives_no_key_to_bodies() {
    let mut world = World::new();
    let (head, _) = letter(&world, Timestamp(begins(MONTH).0 + DAY), b"head");
    let heads = vec![RecordKind::LetterHead.table()];
    let mut opening = open(&mut world, |order| order.kinds.clone_from(&heads));
    assert!(opening.letter(&head, NOW).unwrap().body_key.is_none());
}

#[test]
fn without_guards_or_with_one_trustee_nothing_opens() {
    let mut world = World::new();
    for (trustees, guards, outcome) in [
        (3, 0, NotCombined::Guards(MONTH.0)),
        (3, 1, NotCombined::Guards(MONTH.0)),
        (1, 2, NotCombined::Trustees(MONTH.0)),
        (0, 2, NotCombined::Trustees(MONTH.0)),
    ] {
        let recipient = RecipientKey::generate(&world.chance).unwrap();
        let evidence = world.evidence(&recipient);
        let answers = answers(&world, &evidence, trustees, guards);
        let release = evidence.verify(&world.trust, NOW).unwrap();
        let opened = release.open(recipient, &world.escrows(), &answers, NOW);
        assert_eq!(opened.err(), Some(outcome));
    }
}

#[test]
fn answers_to_another_release_or_recipient_open_nothing() {
    let mut world = World::new();
    let first = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&first);
    let old = answers(&world, &evidence, 3, 2);
    let second = RecipientKey::generate(&world.chance).unwrap();
    let again = world.evidence(&second);
    let release = again.verify(&world.trust, NOW).unwrap();
    let opened = release.open(second, &world.escrows(), &old, NOW);
    assert_eq!(opened.err(), Some(NotCombined::Trustees(MONTH.0)));
    let release = evidence.verify(&world.trust, NOW).unwrap();
    let thief = RecipientKey::generate(&world.chance).unwrap();
    let opened = release.open(thief, &world.escrows(), &old, NOW);
    assert_eq!(opened.err(), Some(NotCombined::Recipient));
    let release = evidence.verify(&world.trust, NOW).unwrap();
    let end = Timestamp(NOW.0 + 9 * DAY);
    let opened = release.open(first, &world.escrows(), &old, end);
    assert_eq!(opened.err(), Some(NotCombined::Expired));
}

#[test]
fn a_false_share_does_not_stop_the_true_ones() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&recipient);
    let mut answers = answers(&world, &evidence, 3, 2);
    answers[1].given[0].released[1130] ^= 1;
    let release = evidence.verify(&world.trust, NOW).unwrap();
    let opening = release.open(recipient, &world.escrows(), &answers, NOW).ok().unwrap();
    let tally = opening.finish();
    assert!(!tally.holders.contains(&world.trustees[1].id) && tally.holders.len() == 4);
}

#[test]
fn an_epoch_without_its_escrow_does_not_open() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&recipient);
    let answers = answers(&world, &evidence, 2, 2);
    let release = evidence.verify(&world.trust, NOW).unwrap();
    let opened = release.open(recipient, &[], &answers, NOW);
    assert_eq!(opened.err(), Some(NotCombined::Escrow(MONTH.0)));
}

#[test]
fn a_vault_of_one_officer_still_needs_its_guards() {
    let mut world = World::with(Custody::Managed, (1, 1), (1, 2));
    for (guards, opens) in [(0, false), (1, true)] {
        let recipient = RecipientKey::generate(&world.chance).unwrap();
        let evidence = world.evidence(&recipient);
        let answers = answers(&world, &evidence, 1, guards);
        let release = evidence.verify(&world.trust, NOW).unwrap();
        let opened = release.open(recipient, &world.escrows(), &answers, NOW);
        assert_eq!(opened.is_ok(), opens);
    }
}
