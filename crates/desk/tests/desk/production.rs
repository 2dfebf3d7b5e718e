//! From demand to package: what leaves is what was approved, and nothing else.

use crate::world::{ACCOUNT, DAY, MONTH, NOW, PAPER, Who, World, letter, scope};
use bailiwick_desk::production::archive::tar;
use bailiwick_desk::production::package::Bag;
use bailiwick_desk::production::station::{Station, StationError, Taken};
use bailiwick_desk::{
    Answer, Beyond, Choice, Command, DeskError, Outcome, Scope, ScopeDiff, SealedKind, State,
};
use custody::production::{CustodyRecord, manifest_digest};
use custody::{FieldId, LeafReceipt, RecipientKey, ReleaseEvidence, hex};
use seal::epoch::begins;
use seal::escrow::Escrow;
use seal::mac::{sha256, sha512};
use std::collections::BTreeMap;
use vocab::{CaseId, Custody, DataCategory, RecordKind, Row, Timestamp};

pub(crate) const SECRET: &str = "the sturgeon is in the bathtub";

/// Three letters in October, one of them folded; one in September, one in November.
pub(crate) fn letters(world: &mut World) {
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let first = world.arrive(inside, &letter("bob@us.example", "first letter", SECRET));
    world.arrive(
        Timestamp(inside.0 + DAY),
        &letter("carol@example.org", "second letter", &"x".repeat(70_000)),
    );
    world.arrive(Timestamp(inside.0 + 2 * DAY), &letter("bob@us.example", "third", "."));
    world.arrive(Timestamp(begins(MONTH).0 - DAY), &letter("bob@us.example", "before", SECRET));
    world.arrive(Timestamp(inside.0 + 32 * DAY), &letter("bob@us.example", "after", SECRET));
    world.fold(first);
}

pub(crate) fn rows(world: &mut World, case: CaseId, kind: SealedKind) -> Vec<(Row, Vec<u8>)> {
    let (mut out, mut from) = (Vec::new(), 0);
    loop {
        let page = world.ask(Who::Station, Command::Sealed { case, kind, from }).unwrap();
        let Answer::Sealed { rows, next } = page else { panic!("{page:?}") };
        out.extend(rows.into_iter().map(|row| (Row(row.row), row.value)));
        match next {
            Some(next) => from = next,
            None => return out,
        }
    }
}

pub(crate) fn body(world: &mut World, case: CaseId, row: Row) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let from = u64::try_from(out.len()).unwrap();
        let Ok(Answer::Body { octets, total }) =
            world.ask(Who::Station, Command::Body { case, row: row.0, from })
        else {
            panic!("no piece");
        };
        out.extend(octets);
        if u64::try_from(out.len()).unwrap() == total {
            return out;
        }
    }
}

pub(crate) fn released(
    world: &mut World,
    case: CaseId,
    key: RecipientKey,
) -> (Result<Station, StationError>, ReleaseEvidence) {
    let Ok(Answer::Released { evidence, escrows, answers, recipient }) =
        world.ask(Who::Station, Command::Release { case })
    else {
        panic!("not released");
    };
    assert_eq!(recipient, world.authority.recipient().to_string());
    let escrows: Vec<Escrow> =
        escrows.iter().map(|escrow| Escrow::decode(&escrow.0).unwrap()).collect();
    let trust = world.trust();
    (Station::open(&evidence, &trust, key, &escrows, &answers, world.now), *evidence)
}

/// All the way: gives the files of the production and its evidence.
fn produce(world: &mut World, case: CaseId, key: RecipientKey) -> BTreeMap<String, Vec<u8>> {
    world.gather(case, 2, 2);
    let (station, evidence) = released(world, case, key);
    let mut station = station.unwrap();
    for (row, value) in rows(world, case, SealedKind::Head) {
        station.head(row, &value, world.now).unwrap();
    }
    for (row, value) in rows(world, case, SealedKind::Message) {
        station.message(row, &value, world.now).unwrap();
    }
    for row in station.wanted() {
        let sealed = body(world, case, row);
        station.body(row, &sealed).unwrap();
    }
    let bag = Bag::new(station.close(world.now).unwrap(), &evidence).unwrap();
    let produce = Command::Produce {
        case,
        tag_manifest: bag.tag_manifest().to_vec(),
        record: bag.record().clone(),
    };
    let Ok(Answer::Produced { signature }) = world.ask(Who::Station, produce) else {
        panic!("not signed");
    };
    let Ok(Answer::Receipt { receipt }) =
        world.ask(Who::Station, Command::ProductionReceipt { case })
    else {
        panic!("no receipt");
    };
    bag.complete(&signature, &receipt).unwrap()
}

fn listed(files: &BTreeMap<String, Vec<u8>>, manifest: &str) -> BTreeMap<String, String> {
    let text = String::from_utf8(files[manifest].clone()).unwrap();
    text.lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(h, p)| (p.into(), h.into()))
        .collect()
}

/// RFC 8493 §3: complete and valid.
pub(crate) fn bag_is_valid(files: &BTreeMap<String, Vec<u8>>) {
    for (prefix, is_payload) in [("manifest", true), ("tagmanifest", false)] {
        let (short, long) = (
            listed(files, &format!("{prefix}-sha256.txt")),
            listed(files, &format!("{prefix}-sha512.txt")),
        );
        let later = ["manifest.sig", "receipt.json", "log-proof.txt"];
        let expected = files.iter().filter(|(name, _)| {
            name.starts_with("data/") == is_payload
                && !name.starts_with("tagmanifest")
                && !later.contains(&name.as_str())
        });
        let mut count = 0;
        for (name, octets) in expected {
            assert_eq!(short[name], sha256(&[octets]).to_string(), "{name}");
            assert_eq!(long[name], hex::encode(&sha512(&[octets])), "{name}");
            count += 1;
        }
        assert_eq!((short.len(), long.len()), (count, count));
    }
    assert!(files["bagit.txt"].starts_with(b"BagIt-Version: 1.0\n"));
}

#[test]
fn a_production_holds_exactly_the_letters_of_the_order() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let key = world.logged(case);
    let files = produce(&mut world, case, key);
    bag_is_valid(&files);
    let eml: Vec<&String> = files.keys().filter(|name| name.ends_with(".eml")).collect();
    assert_eq!(eml, ["data/eml/000001.eml", "data/eml/000002.eml", "data/eml/000003.eml"]);
    // Byte for byte, folded or not.
    assert_eq!(files[eml[0]], letter("bob@us.example", "first letter", SECRET));
    assert_eq!(files[eml[1]], letter("carol@example.org", "second letter", &"x".repeat(70_000)));
    assert_eq!(files["data/redactions.json"], b"[]\n");
    assert_eq!(files["order.sha256"], format!("{}  demand\n", sha256(&[PAPER])).into_bytes());

    let manifest = &files["tagmanifest-sha256.txt"];
    let trust = world.trust();
    let signature: custody::production::ManifestSignature =
        serde_json::from_slice(&files["manifest.sig"]).unwrap();
    signature.verify(manifest, &trust.desk).unwrap();
    let record: CustodyRecord = serde_json::from_slice(&files["custody.json"]).unwrap();
    assert_eq!((record.produced, record.opened, record.holders.len()), (3, 3, 4));
    let evidence: ReleaseEvidence = serde_json::from_slice(&files["release.json"]).unwrap();
    let (order, _) = evidence.verify_past(&trust, record.opened_at).unwrap();
    assert_eq!(sha256(&[&files["data/scope.json"]]), order.scope);
    let receipt: LeafReceipt = serde_json::from_slice(&files["receipt.json"]).unwrap();
    let logged = receipt.verify_past(&trust.log).unwrap();
    assert_eq!(logged.opening.array(FieldId::SUBJECT), Some(manifest_digest(manifest).0));
    assert_eq!(logged.opening.number(FieldId::COUNT), Some(3));

    let archive = tar(&files, record.closed_at).unwrap();
    assert_eq!(archive.len() % 512, 0);
    let recipient = world.authority.recipient();
    let package = seal::age::seal(&[recipient], &archive, world.chance.as_ref()).unwrap();
    let identities = std::slice::from_ref(&world.authority);
    assert_eq!(seal::age::open(&package, identities).unwrap(), archive);
    let deliver = Command::Deliver {
        case,
        package: sha256(&[&package]),
        bytes: u64::try_from(package.len()).unwrap(),
        means: "the decentralised system".into(),
    };
    world.done(Who::Station, deliver);
    world.done(Who::Counsel, Command::Close { case });
    assert_eq!(world.desk.state(case), Some(State::Closed));
}

#[test]
fn traffic_alone_opens_no_text_and_names_no_subject() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let before = scope();
    let after = Scope {
        categories: vec![DataCategory::Traffic],
        correspondents: vec!["bob@us.example".into()],
        ..before.clone()
    };
    let diff = ScopeDiff::sign(case, &before, &after, world.key(Who::Counsel)).unwrap();
    let narrowed = world.ask(Who::Counsel, Command::Narrow { case, scope: after, diff }).unwrap();
    let Answer::Narrowed { changes } = narrowed else { panic!("{narrowed:?}") };
    assert_eq!(
        changes,
        ["categories: traffic, content -> traffic", "correspondents: all -> bob@us.example"]
    );
    let key = world.logged(case);
    let files = produce(&mut world, case, key);
    bag_is_valid(&files);
    let records: Vec<&String> =
        files.keys().filter(|name| name.starts_with("data/records/")).collect();
    assert_eq!(records.len(), 2, "carol's letter is not named");
    assert!(!files.keys().any(|name| name.ends_with(".eml")));
    for octets in files.values() {
        let text = String::from_utf8_lossy(octets);
        assert!(
            !text.contains("first letter") && !text.contains(SECRET) && !text.contains("carol")
        );
    }
    assert!(String::from_utf8_lossy(&files[records[0]]).contains("bob@us.example"));
    let refused = world.ask(Who::Station, Command::Body { case, row: 1, from: 0 });
    assert!(refused.is_err(), "a body of a produced case is not given out");
}

#[test]
fn what_the_station_is_given_holds_no_plaintext() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let key = world.logged(case);
    world.gather(case, 2, 2);
    let answer = world.ask(Who::Station, Command::Release { case }).unwrap();
    let mut given = serde_json::to_vec(&answer).unwrap();
    for kind in [SealedKind::Head, SealedKind::Message] {
        for (_, value) in rows(&mut world, case, kind) {
            given.extend(value);
        }
    }
    for row in 1..=3 {
        given.extend(body(&mut world, case, Row(row)));
    }
    for plain in [SECRET, "bob@us.example", "first letter", "xxxxxxxx"] {
        assert!(!given.windows(plain.len()).any(|window| window == plain.as_bytes()), "{plain}");
    }
    drop(key);
}

#[test]
fn only_records_of_the_orders_months_are_given_to_the_station() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    world.logged(case);
    world.gather(case, 2, 2);
    world.ask(Who::Station, Command::Release { case }).unwrap();
    let heads: Vec<u64> =
        rows(&mut world, case, SealedKind::Head).iter().map(|(row, _)| row.0).collect();
    assert_eq!(heads, [2, 3]);
    let messages = rows(&mut world, case, SealedKind::Message);
    assert_eq!(messages.len(), 1);
}

#[test]
fn too_few_holders_open_nothing() {
    for (trustees, guards) in [(2, 0), (2, 1), (1, 2), (0, 2)] {
        let mut world = World::new();
        let case = world.decided();
        let key = world.logged(case);
        world.gather(case, trustees, guards);
        let (station, _) = released(&mut world, case, key);
        assert!(matches!(station.err(), Some(StationError::NotCombined(_))));
    }
}

#[test]
fn a_preserved_letter_is_produced_though_its_owner_deleted_it() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    let mut batch = store::Batch::new(ACCOUNT);
    for row in [2, 3] {
        batch = batch.delete(RecordKind::LetterHead, Row(row));
        batch = batch.delete(RecordKind::LetterBody, Row(row));
    }
    world.store.append().commit_blocking(batch).unwrap();
    // The owner's copies go from the disk; the held ones are moved.
    assert!(world.store.compact_blocking().unwrap().segments > 0);
    for row in [2, 3] {
        let deleted = world.store.read().get(ACCOUNT, RecordKind::LetterBody, Row(row));
        assert_eq!(deleted.unwrap(), None);
    }
    let key = world.logged(case);
    let files = produce(&mut world, case, key);
    assert!(files.contains_key("data/eml/000003.eml"));
}

/// The letters of October preserved; then their owner folds all, deletes one, and re-keys.
fn preserved_then_rekeyed(custody: Custody) -> (World, CaseId) {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    for row in 2..=5 {
        world.fold(Row(row));
    }
    let batch = store::Batch::new(ACCOUNT)
        .delete(RecordKind::Message, Row(1003))
        .delete(RecordKind::LetterBody, Row(3));
    world.store.append().commit_blocking(batch).unwrap();
    world.rekey(custody);
    (world, case)
}

#[test]
fn what_was_preserved_is_produced_though_its_owner_rekeyed_the_account_since() {
    for custody in [Custody::Trustee, Custody::Sealed] {
        let (mut world, case) = preserved_then_rekeyed(custody);
        let key = world.logged(case);
        let files = produce(&mut world, case, key);
        let letters = files.keys().filter(|name| name.starts_with("data/eml/")).count();
        assert_eq!(letters, 3, "{custody:?} {:?}", files.keys());
    }
}

#[test]
fn an_order_signed_before_a_rekey_is_carried_out_on_what_was_preserved() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    let key = world.logged(case);
    for row in 2..=5 {
        world.fold(Row(row));
    }
    world.rekey(Custody::Sealed);
    let files = produce(&mut world, case, key);
    assert!(files.contains_key("data/eml/000003.eml"));
}

#[test]
fn of_an_account_gone_to_sealed_nothing_is_produced_but_what_was_preserved() {
    let (mut world, case) = preserved_then_rekeyed(Custody::Sealed);
    let inside = Timestamp(begins(MONTH).0 + 5 * DAY);
    let late = world.arrive(inside, &letter("bob@us.example", "late", SECRET));
    world.fold(late);
    let key = world.logged(case);
    let files = produce(&mut world, case, key);
    let letters = files.keys().filter(|name| name.starts_with("data/eml/")).count();
    assert_eq!(letters, 3);
}

#[test]
fn without_a_preservation_an_account_gone_to_sealed_is_opened_by_no_order() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    for row in 2..=5 {
        world.fold(Row(row));
    }
    world.rekey(Custody::Sealed);
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let prepare = Command::Prepare { case, recipient: key.public(), valid_seconds: DAY };
    let refused = world.ask(Who::Counsel, prepare).unwrap_err();
    assert!(matches!(refused, DeskError::NoEscrow), "{refused}");
}

#[test]
fn escrows_of_another_identity_are_in_no_preservations_order() {
    let (mut world, case) = preserved_then_rekeyed(Custody::Sealed);
    let (kind, row) = (RecordKind::Manifest, custody::user::MANIFEST_ROW);
    let (hold, preserve) = (store::HoldId(case.0), world.store.preserve());
    let kept = preserve.read(hold, ACCOUNT, kind, row).unwrap().unwrap();
    // The manifest kept is none that the owner signed, or one that lists no escrow.
    preserve.release_blocking(hold).unwrap();
    let live = world.store.read().get(ACCOUNT, kind, row).unwrap().unwrap();
    let mut altered = kept.to_vec();
    altered[60] ^= 1;
    for octets in [altered, live.to_vec()] {
        let put = |octets: Vec<u8>| store::Batch::new(ACCOUNT).put(kind, row, octets);
        world.store.append().commit_blocking(put(octets)).unwrap();
        preserve.hold_blocking(hold, ACCOUNT, vec![(kind, row)]).unwrap();
        world.store.append().commit_blocking(put(live.to_vec())).unwrap();
        let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
        let prepare = Command::Prepare { case, recipient: key.public(), valid_seconds: DAY };
        assert!(world.ask(Who::Counsel, prepare).is_err());
        preserve.release_blocking(hold).unwrap();
    }
}

#[test]
fn a_letter_in_two_forms_is_produced_once() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.done(Who::Clerk, Command::Preserve { case, until: Some(until) });
    world.fold(Row(2));
    let key = world.logged(case);
    world.gather(case, 3, 2);
    let (station, _) = released(&mut world, case, key);
    let mut station = station.unwrap();
    let mut taken = Vec::new();
    for (row, value) in rows(&mut world, case, SealedKind::Head) {
        taken.push(station.head(row, &value, world.now).unwrap());
    }
    for (row, value) in rows(&mut world, case, SealedKind::Message) {
        taken.push(station.message(row, &value, world.now).unwrap());
    }
    assert_eq!(taken, [Taken::Kept, Taken::Kept, Taken::Kept, Taken::Twice]);
    let missing = station.close(world.now).err();
    assert!(matches!(missing, Some(StationError::Missing(3))));
}

#[test]
fn an_account_in_custody_sealed_is_never_opened() {
    let mut world = World::with(Custody::Sealed);
    let demand = world.demand();
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    // The opinion is to produce what is held as it is held; to open it is against the opinion.
    let refused = world.decide(case, Outcome::Comply).unwrap_err();
    assert!(matches!(refused, DeskError::Reason), "{refused}");
    let (outcome, scope) = (Outcome::Comply, Some(scope()));
    let reason = Some("the owner might have left a key".to_owned());
    let choice = Box::new(Choice { outcome, scope, reason, codes: vec![] });
    world.done(Who::Counsel, Command::Decide { case, choice });
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let recipient = key.public();
    let prepare = Command::Prepare { case, recipient, valid_seconds: DAY };
    let refused = world.ask(Who::Counsel, prepare).unwrap_err().to_string();
    assert_eq!(refused, "nobody but the account's owner holds a key to this period");
}

#[test]
fn the_station_encrypts_to_the_key_that_officers_signed_for_alone() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let key = world.logged(case);
    world.gather(case, 2, 2);
    let (station, _) = released(&mut world, case, key);
    let station = station.unwrap();
    let theirs = world.authority.recipient().to_string();
    assert_eq!(station.recipient(&theirs).unwrap().to_string(), theirs);
    let thief = seal::age::Identity::generate(world.chance.as_ref()).unwrap();
    let refused = station.recipient(&thief.recipient().to_string());
    assert!(matches!(refused, Err(StationError::Recipient)));
}

#[test]
fn the_desk_signs_no_production_of_another_order() {
    let mut world = World::new();
    letters(&mut world);
    let case = world.decided();
    let key = world.logged(case);
    world.gather(case, 2, 2);
    let (station, evidence) = released(&mut world, case, key);
    let bag = Bag::new(
        {
            let station = station.unwrap();
            station.close(world.now).unwrap()
        },
        &evidence,
    )
    .unwrap();
    let manifest = bag.tag_manifest().to_vec();
    let record = bag.record().clone();
    let changes: [fn(&mut CustodyRecord); 5] = [
        |record| record.produced += 1,
        |record| record.order.0[0] ^= 1,
        |record| record.case.0[0] ^= 1,
        |record| record.closed_at = Timestamp(NOW.0 + 60 * DAY),
        |record| record.holders.clear(),
    ];
    for change in changes {
        let mut record = record.clone();
        change(&mut record);
        let tag_manifest = manifest.clone();
        let produce = Command::Produce { case, tag_manifest, record };
        let refused = world.ask(Who::Station, produce).unwrap_err().to_string();
        assert!(refused.starts_with("the production is not one of this order"), "{refused}");
    }
    let produce = Command::Produce { case, tag_manifest: manifest, record };
    assert!(world.ask(Who::Station, produce).is_ok());
}

fn piece(world: &mut World, case: CaseId, row: u64) -> Result<Answer, DeskError> {
    world.ask(Who::Station, Command::Body { case, row, from: 0 })
}

fn is_refused(answer: &Result<Answer, DeskError>) -> bool {
    matches!(answer, Err(DeskError::Outside(Beyond::Text)))
}

/// Approved, logged, and handed to the station.
fn handed_over(world: &mut World) -> CaseId {
    let case = world.decided();
    let _ = world.logged(case);
    world.ask(Who::Station, Command::Release { case }).unwrap();
    case
}

#[test]
fn a_station_is_handed_no_text_of_another_time() {
    let mut world = World::new();
    letters(&mut world);
    // Fetched, between letters of November that are not.
    let november = Timestamp(begins(MONTH).0 + 40 * DAY);
    let fetched = world.arrive(november, &letter("bob@us.example", "fetched", "."));
    world.arrive(Timestamp(november.0 + DAY), &letter("bob@us.example", "later", "."));
    world.fold(fetched);
    // What its owner put there: a text names the row of its message, and that its month.
    let own = |row: u64| 1 << 63 | row;
    for (row, month) in [(3000, MONTH), (3001, vocab::Epoch(MONTH.0 + 1))] {
        let head = [month.0.to_be_bytes(), 1_u32.to_be_bytes()].concat();
        let message = [head, vec![0; 60]].concat();
        let batch = store::Batch::new(ACCOUNT).put(RecordKind::Message, Row(row), message).put(
            RecordKind::LetterBody,
            Row(own(row)),
            vec![7; 64],
        );
        world.store.append().commit_blocking(batch).unwrap();
    }
    let case = handed_over(&mut world);
    for row in [1, 2, 3, own(3000)] {
        assert!(piece(&mut world, case, row).is_ok(), "{row}");
    }
    // September and November by their own heads, by those around, and by the message's month.
    for row in [4, 5, fetched.0, fetched.0 + 1, own(3001)] {
        assert!(is_refused(&piece(&mut world, case, row)), "{row}");
    }
}

#[test]
fn a_station_is_handed_no_more_texts_than_the_order_has_letters() {
    let mut world = World::new();
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let rows: Vec<u64> = (0..4)
        .map(|day| {
            let at = Timestamp(inside.0 + day * 3600);
            let row = world.arrive(at, &letter("bob@us.example", "fetched", "."));
            world.fold(row);
            row.0
        })
        .collect();
    // Two were deleted by their owner; their texts lie there still, and nothing dates them.
    let gone = rows.iter().take(2).fold(store::Batch::new(ACCOUNT), |batch, row| {
        batch.delete(RecordKind::Message, Row(1000 + row))
    });
    world.store.append().commit_blocking(gone).unwrap();
    let case = handed_over(&mut world);
    for row in &rows[2..] {
        assert!(piece(&mut world, case, *row).is_ok());
    }
    for row in &rows[..2] {
        assert!(is_refused(&piece(&mut world, case, *row)), "two letters have two texts");
    }
    // Each of them again, piece by piece, and for a station that begins anew.
    assert!(piece(&mut world, case, rows[3]).is_ok());
    world.ask(Who::Station, Command::Release { case }).unwrap();
    assert!(piece(&mut world, case, rows[2]).is_ok());
    assert!(is_refused(&piece(&mut world, case, rows[0])));
}
