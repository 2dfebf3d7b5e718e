//! What leaves without being opened: ciphertext with its statement, and what the cell knows.

use crate::production::{SECRET, bag_is_valid, body, letters, rows};
use crate::world::{ACCOUNT, DAY, MONTH, NOW, Who, World, letter, scope};
use bailiwick_desk::production::package::Bag;
use bailiwick_desk::production::station::StationError;
use bailiwick_desk::production::unopened::Unopened;
use bailiwick_desk::{
    Answer, Choice, Command, DeskError, Form, Held, Outcome, Scope, ScopeDiff, SealedKind, State,
    SubscriberField,
};
use custody::ciphertext::SealedRecord;
use custody::production::CustodyRecord;
use custody::{FieldId, LeafReceipt, OrderRecord, RecipientKey, ReleaseEvidence};
use minicbor::Encode;
use seal::epoch::begins;
use seal::mac::sha256;
use std::collections::BTreeMap;
use store::Batch;
use vocab::{AccountId, CaseId, Custody, DataCategory, Epoch, ModSeq, RecordKind, Row, Timestamp};

type Files = BTreeMap<String, Vec<u8>>;

/// The demand's period, as sealed as it is.
fn ciphertext() -> Scope {
    Scope { form: Form::Sealed, categories: vec![DataCategory::Content], ..scope() }
}

fn subscriber(fields: &[SubscriberField]) -> Scope {
    Scope { categories: vec![DataCategory::Subscriber], fields: fields.to_vec(), ..scope() }
}

/// The demand asks for the category too, and the law has it.
fn case_for(world: &mut World, category: DataCategory) -> CaseId {
    let mut demand = world.demand();
    let mut item = demand.facts.items[0].clone();
    item.name = "further".into();
    item.category = law::Fact::Known(category);
    if category == DataCategory::Subscriber {
        item.item_keys = law::KeyHolder::Local.into();
        item.retrievable = law::Fact::Known(true);
    }
    demand.facts.items.push(item);
    let case = world.receive(demand);
    world.verify(case);
    world.assess(case);
    case
}

fn comply(world: &mut World, case: CaseId, scope: Scope) -> Result<Answer, DeskError> {
    let (outcome, scope) = (Outcome::Comply, Some(scope));
    let choice = Box::new(Choice { outcome, scope, reason: None, codes: vec![] });
    world.ask(Who::Counsel, Command::Decide { case, choice })
}

fn prepare(world: &mut World, case: CaseId, recipient: Vec<u8>) -> Result<Vec<u8>, DeskError> {
    let prepare = Command::Prepare { case, recipient, valid_seconds: 10 * DAY };
    let Answer::Prepared { order, .. } = world.ask(Who::Counsel, prepare)? else {
        panic!("not prepared");
    };
    Ok(order)
}

/// Approved by two, and in the log.
fn logged(world: &mut World, case: CaseId, scope: Scope) -> OrderRecord {
    comply(world, case, scope).unwrap();
    let order = prepare(world, case, vec![]).unwrap();
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
    assert_eq!(world.desk.state(case), Some(State::Logged));
    OrderRecord::decode(&order).unwrap()
}

fn released(world: &mut World, case: CaseId) -> (ReleaseEvidence, Held) {
    let Ok(Answer::Released { evidence, escrows, answers, .. }) =
        world.ask(Who::Station, Command::Release { case })
    else {
        panic!("not released");
    };
    assert!(escrows.is_empty() && answers.is_empty());
    (*evidence, held(world, case))
}

fn held(world: &mut World, case: CaseId) -> Held {
    match world.ask(Who::Station, Command::Held { case }) {
        Ok(Answer::Held { held }) => *held,
        other => panic!("{other:?}"),
    }
}

fn take_letters(world: &mut World, case: CaseId, unopened: &mut Unopened) {
    for (row, value) in rows(world, case, SealedKind::Head) {
        unopened.head(row, value).unwrap();
    }
    for (row, value) in rows(world, case, SealedKind::Message) {
        unopened.message(row, value).unwrap();
    }
    for row in unopened.wanted() {
        let sealed = body(world, case, row);
        unopened.body(row, sealed).unwrap();
    }
}

/// From the log to the signed package.
fn produce(world: &mut World, case: CaseId) -> Files {
    let (evidence, held) = released(world, case);
    let mut unopened = Unopened::begin(&evidence, &world.trust(), held, world.now).unwrap();
    if unopened.has_letters() {
        take_letters(world, case, &mut unopened);
    }
    let bag = Bag::new(unopened.close(world.now).unwrap(), &evidence).unwrap();
    let (tag_manifest, record) = (bag.tag_manifest().to_vec(), bag.record().clone());
    let produce = Command::Produce { case, tag_manifest, record };
    let Ok(Answer::Produced { signature }) = world.ask(Who::Station, produce) else {
        panic!("not signed");
    };
    let Ok(Answer::Receipt { receipt }) =
        world.ask(Who::Station, Command::ProductionReceipt { case })
    else {
        panic!("no receipt");
    };
    let files = bag.complete(&signature, &receipt).unwrap();
    bag_is_valid(&files);
    files
}

fn inventory(files: &Files) -> Vec<SealedRecord> {
    serde_json::from_slice(&files["data/inventory.json"]).unwrap()
}

fn sealed_rows(files: &Files, kind: RecordKind) -> Vec<u64> {
    let lines = inventory(files);
    lines.iter().filter(|line| line.table == kind.table()).map(|line| line.row).collect()
}

#[test]
fn a_sealed_account_is_produced_as_sealed_as_it_is_with_a_statement() {
    let mut world = World::with(Custody::Sealed);
    letters(&mut world);
    let case = case_for(&mut world, DataCategory::Content);
    let order = logged(&mut world, case, ciphertext());
    assert!(order.epochs.is_empty() && order.recipient.is_empty());
    let files = produce(&mut world, case);
    // The letters of October that were not fetched: head and text. The fetched one: its row.
    assert_eq!(sealed_rows(&files, RecordKind::LetterHead), [2, 3]);
    assert_eq!(sealed_rows(&files, RecordKind::LetterBody), [2, 3]);
    assert_eq!(sealed_rows(&files, RecordKind::Message), [1001]);
    assert_eq!(sealed_rows(&files, RecordKind::Manifest), [1]);
    assert_eq!(sealed_rows(&files, RecordKind::EpochBox), [u64::from(MONTH.0) << 32 | 1]);
    for line in inventory(&files) {
        let stored = world.store.read();
        let kind = RecordKind::from_table(line.table).unwrap();
        let stored = stored.get(ACCOUNT, kind, Row(line.row)).unwrap().unwrap();
        assert_eq!(files[&line.file], stored.to_vec(), "as stored");
        assert_eq!(sha256(&[&stored]), line.sha256);
    }
    // Nothing of a letter is readable, and nothing that helps to guess a password is there.
    for octets in files.values() {
        let text = String::from_utf8_lossy(octets);
        for plain in [SECRET, "bob@us.example", "first letter", "xxxxxxxx"] {
            assert!(!text.contains(plain), "{plain}");
        }
    }
    assert!(sealed_rows(&files, RecordKind::Slot).is_empty());
    assert!(!files.keys().any(|name| name.contains("/eml/") || name.contains("/records/")));
    let statement = String::from_utf8(files["data/statement.txt"].clone()).unwrap();
    let evidence: ReleaseEvidence = serde_json::from_slice(&files["release.json"]).unwrap();
    let (_, place) = evidence.verify_past(&world.trust(), world.now).unwrap();
    for part in [
        &format!("entry {} of the log `log.ie.example`", place.index),
        "signed with the account's own key, lists its keys, and no escrow",
        "1 manifest, 1 epoch keys (sealed), 2 heads of letters, 2 texts of letters",
        "1 message rows",
        "by receipt guards               none",
        // The text of the fetched letter: no letter before it is there to date it.
        "1 texts of letters of which nothing clear says",
    ] {
        assert!(statement.contains(part), "{part}\n{statement}");
    }
    let record: CustodyRecord = serde_json::from_slice(&files["custody.json"]).unwrap();
    assert_eq!((record.opened, record.produced), (0, 7));
    assert!(record.holders.is_empty());
    let receipt: LeafReceipt = serde_json::from_slice(&files["receipt.json"]).unwrap();
    let receipt = receipt.verify_past(&world.trust().log).unwrap();
    assert_eq!(receipt.opening.number(FieldId::COUNT), Some(7));
    assert_eq!(world.desk.state(case), Some(State::Produced));
}

#[test]
fn a_text_is_handed_out_only_if_it_is_clearly_of_the_period() {
    let mut world = World::with(Custody::Sealed);
    letters(&mut world);
    // Between two letters of October that nobody has fetched.
    let inside = Timestamp(begins(MONTH).0 + 20 * DAY);
    let fetched = world.arrive(inside, &letter("bob@us.example", "fetched", "."));
    world.arrive(Timestamp(inside.0 + DAY), &letter("bob@us.example", "later", "."));
    world.fold(fetched);
    let case = case_for(&mut world, DataCategory::Content);
    logged(&mut world, case, ciphertext());
    let (_, held) = released(&mut world, case);
    // Rows 4 and 5 are of September and of November; 1 has nothing before it, and 6 lies between
    // November's and one of October, as if a clock had been set back.
    assert_eq!(held.bodies, [2, 3, 7]);
    assert_eq!(held.undated, 2);
}

#[test]
fn preserved_heads_date_texts_that_were_fetched_since() {
    let mut world = World::with(Custody::Sealed);
    let inside = Timestamp(begins(MONTH).0 + DAY);
    let row = world.arrive(inside, &letter("bob@us.example", "one", "."));
    let case = case_for(&mut world, DataCategory::Content);
    let until = Timestamp(world.now.0 + 60 * DAY);
    world.ask(Who::Clerk, Command::Preserve { case, until: Some(until) }).unwrap();
    world.fold(row);
    logged(&mut world, case, ciphertext());
    let (_, held) = released(&mut world, case);
    assert_eq!((held.bodies, held.undated), (vec![1], 0));
}

#[test]
fn the_form_must_be_the_accounts() {
    // Its holders open it: it is not handed out for somebody else to open one day.
    let mut world = World::new();
    let case = case_for(&mut world, DataCategory::Content);
    let (outcome, scope) = (Outcome::Comply, Some(ciphertext()));
    let reason = Some("against the opinion".to_owned());
    let choice = Box::new(Choice { outcome, scope, reason, codes: vec![] });
    world.done(Who::Counsel, Command::Decide { case, choice });
    let refused = prepare(&mut world, case, vec![]).unwrap_err().to_string();
    assert!(refused.contains("holders open this account"), "{refused}");
    // And nothing is opened without the station's key.
    let mut world = World::new();
    let case = world.decided();
    assert!(matches!(prepare(&mut world, case, vec![]).unwrap_err(), DeskError::Order(_)));
    let mut world = World::with(Custody::Sealed);
    let case = case_for(&mut world, DataCategory::Content);
    comply(&mut world, case, ciphertext()).unwrap();
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    assert!(matches!(prepare(&mut world, case, key.public()).unwrap_err(), DeskError::Order(_)));
}

#[test]
fn what_cannot_be_opened_is_narrowed_to_what_is_sealed_and_never_back() {
    let mut world = World::with(Custody::Sealed);
    let case = case_for(&mut world, DataCategory::Content);
    let (outcome, opened) = (Outcome::Comply, scope());
    let reason = Some("the owner might have left a key".to_owned());
    let choice = Choice { outcome, scope: Some(opened.clone()), reason, codes: vec![] };
    world.done(Who::Counsel, Command::Decide { case, choice: Box::new(choice) });
    let key = RecipientKey::generate(world.chance.as_ref()).unwrap();
    let refused = prepare(&mut world, case, key.public()).unwrap_err();
    assert!(matches!(refused, DeskError::NoEscrow) && refused.cure().contains("narrow"));
    let after = Scope { form: Form::Sealed, ..opened.clone() };
    let key = world.key(Who::Counsel);
    let diff = ScopeDiff::sign(case, &opened, &after, key).unwrap();
    let back = ScopeDiff::sign(case, &after, &opened, key).unwrap();
    let narrow = |scope: &Scope, diff| Command::Narrow { case, scope: scope.clone(), diff };
    let narrowed = world.ask(Who::Counsel, narrow(&after, diff)).unwrap();
    let Answer::Narrowed { changes } = narrowed else { panic!("{narrowed:?}") };
    assert_eq!(changes, ["form: opened -> sealed"]);
    assert!(world.ask(Who::Counsel, narrow(&opened, back)).is_err());
    prepare(&mut world, case, vec![]).unwrap();
}

#[test]
fn nobody_is_asked_for_a_share_and_no_approver_runs_the_station() {
    let mut world = World::with(Custody::Sealed);
    let case = case_for(&mut world, DataCategory::Content);
    logged(&mut world, case, ciphertext());
    let refused = world.ask(Who::Clerk, Command::Holders { case }).unwrap_err().to_string();
    assert!(refused.contains("no holder is asked"), "{refused}");
    assert!(world.ask(Who::Approver, Command::Release { case }).is_err());
    // Nothing is handed out before the release, nor to anyone but the station.
    assert!(world.ask(Who::Station, Command::Held { case }).is_err());
    world.ask(Who::Station, Command::Release { case }).unwrap();
    assert!(world.ask(Who::Clerk, Command::Held { case }).is_err());
    assert!(world.ask(Who::Station, Command::Held { case }).is_ok());
}

#[test]
fn the_station_takes_no_record_that_the_order_does_not_reach() {
    let mut world = World::with(Custody::Sealed);
    letters(&mut world);
    let case = case_for(&mut world, DataCategory::Content);
    logged(&mut world, case, ciphertext());
    let (evidence, held) = released(&mut world, case);
    let trust = world.trust();
    let begin = |held: Held| Unopened::begin(&evidence, &trust, held, world.now);
    let stored = |kind, row| {
        let value = world.store.read().get(ACCOUNT, kind, Row(row)).unwrap().unwrap();
        value.to_vec()
    };
    let mut unopened = begin(held.clone()).unwrap();
    let september = stored(RecordKind::LetterHead, 4);
    let not_reached =
        |outcome| matches!(outcome, Err(StationError::NotReached(_) | StationError::Unwanted));
    assert!(not_reached(unopened.head(Row(4), september.clone())));
    assert!(not_reached(unopened.message(Row(4), september)));
    assert!(not_reached(unopened.body(Row(1), stored(RecordKind::LetterBody, 1))));
    assert!(matches!(unopened.close(world.now).err(), Some(StationError::Missing(2))));
    // A manifest of somebody else's, or with holders in it.
    let other = World::new();
    let theirs = other.store.read().get(ACCOUNT, RecordKind::Manifest, Row(1)).unwrap().unwrap();
    let refused = begin(Held { manifest: theirs.to_vec(), ..held.clone() });
    assert!(not_reached(refused.map(|_| ())));
    let refused = begin(Held { manifest: vec![], ..held.clone() });
    assert!(matches!(refused.err(), Some(StationError::Held)));
    // More of the subscriber than the scope names.
    let more = BTreeMap::from([(SubscriberField::Account, serde_json::json!("x"))]);
    let bodies = vec![];
    let unopened = begin(Held { subscriber: more, bodies, ..held }).unwrap();
    assert!(matches!(unopened.close(world.now).err(), Some(StationError::Held)));
}

/// specs/cell-rows.md §2.
#[derive(Encode)]
struct Route {
    #[n(0)]
    address: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    account: [u8; 16],
    #[n(2)]
    is_alias: bool,
}

fn addresses(world: &World) {
    let cell = AccountId(world.cell.0);
    let strangers = AccountId([9; 16]);
    let mut batch = Batch::new(cell);
    let lines = [
        ("alias@ie.example", ACCOUNT, true),
        ("alice@ie.example", ACCOUNT, false),
        ("bob@ie.example", strangers, false),
    ];
    for ((address, account, is_alias), row) in lines.into_iter().zip(1..) {
        let route = Route { address: address.into(), account: account.0, is_alias };
        let plain = minicbor::to_vec(&route).unwrap();
        let sealed = world.cell_rows().seal(
            RecordKind::Route,
            Row(row),
            ModSeq(1),
            &plain,
            world.chance.as_ref(),
        );
        batch = batch.put(RecordKind::Route, Row(row), sealed.unwrap());
    }
    world.store.append().commit_blocking(batch).unwrap();
    world.desk.note_account(ACCOUNT, Timestamp(NOW.0 - 40 * DAY)).unwrap();
    // Asked again, the first time stands.
    world.desk.note_account(ACCOUNT, NOW).unwrap();
}

#[test]
fn what_is_known_of_a_subscriber_is_produced_field_by_field() {
    for custody in [Custody::Trustee, Custody::Sealed] {
        let mut world = World::with(custody);
        letters(&mut world);
        addresses(&world);
        let case = case_for(&mut world, DataCategory::Subscriber);
        let order = logged(&mut world, case, subscriber(SubscriberField::ALL));
        let kinds = [RecordKind::Manifest, RecordKind::Route, RecordKind::Subscription];
        assert_eq!(order.kinds, kinds.map(RecordKind::table));
        let files = produce(&mut world, case);
        let told: serde_json::Value =
            serde_json::from_slice(&files["data/records/subscriber.json"]).unwrap();
        let word = if custody == Custody::Sealed { "sealed" } else { "trustee" };
        let expected = serde_json::json!({
            "account": ACCOUNT.to_string(),
            "addresses": [
                { "address": "alice@ie.example", "alias": false },
                { "address": "alias@ie.example", "alias": true },
            ],
            "created": NOW.0 - 40 * DAY,
            "service": { "kind": "electronic mail", "custody": word },
        });
        assert_eq!(told, expected);
        for octets in files.values() {
            let text = String::from_utf8_lossy(octets);
            assert!(!text.contains("bob@") && !text.contains(SECRET));
        }
        assert!(!files.keys().any(|name| name.starts_with("data/sealed/")));
        assert!(files.contains_key("data/statement.txt"));
    }
}

#[test]
fn of_an_account_deleted_meanwhile_what_is_left_is_produced() {
    let mut world = World::with(Custody::Sealed);
    addresses(&world);
    let case = case_for(&mut world, DataCategory::Subscriber);
    logged(&mut world, case, subscriber(SubscriberField::ALL));
    let manifest = world.store.read().scan(ACCOUNT, RecordKind::Manifest, Row(0)).next();
    let (row, _) = manifest.unwrap().unwrap();
    let gone = Batch::new(ACCOUNT).delete(RecordKind::Manifest, row);
    world.store.append().commit_blocking(gone).unwrap();
    world.desk.forget_account(ACCOUNT).unwrap();
    let files = produce(&mut world, case);
    let told: serde_json::Value =
        serde_json::from_slice(&files["data/records/subscriber.json"]).unwrap();
    assert_eq!(told["account"], ACCOUNT.to_string());
    assert_eq!(
        (&told["service"], &told["created"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(told["addresses"].as_array().unwrap().len(), 2);
}

#[test]
fn letters_and_subscriber_of_one_order_leave_in_one_package() {
    // Whichever field it is: one is read from what is clear of the account.
    for field in SubscriberField::ALL {
        letters_leave_with(*field);
    }
}

fn letters_leave_with(field: SubscriberField) {
    let mut world = World::new();
    letters(&mut world);
    addresses(&world);
    let case = case_for(&mut world, DataCategory::Subscriber);
    let both = Scope {
        categories: vec![DataCategory::Subscriber, DataCategory::Content],
        fields: vec![field],
        ..scope()
    };
    comply(&mut world, case, both).unwrap();
    let key = world.logged(case);
    world.gather(case, 2, 2);
    let (station, evidence) = crate::production::released(&mut world, case, key);
    let mut station = station.unwrap();
    for (row, value) in rows(&mut world, case, SealedKind::Head) {
        station.head(row, &value, world.now).unwrap();
    }
    for row in station.wanted() {
        let sealed = body(&mut world, case, row);
        station.body(row, &sealed).unwrap();
    }
    let held = held(&mut world, case);
    assert!(held.manifest.is_empty() && held.bodies.is_empty(), "nothing leaves sealed");
    let cut = station.close(world.now).unwrap();
    let bag = Bag::new(cut.with_subscriber(&held.subscriber).unwrap(), &evidence).unwrap();
    assert_eq!((bag.record().opened, bag.record().produced), (2, 3));
    let (tag_manifest, record) = (bag.tag_manifest().to_vec(), bag.record().clone());
    let produce = Command::Produce { case, tag_manifest, record };
    assert!(matches!(world.ask(Who::Station, produce), Ok(Answer::Produced { .. })));
}

#[test]
fn a_field_the_scope_does_not_name_is_not_told() {
    let mut world = World::new();
    addresses(&world);
    let case = case_for(&mut world, DataCategory::Subscriber);
    comply(&mut world, case, subscriber(SubscriberField::ALL)).unwrap();
    let after = subscriber(&[SubscriberField::Created]);
    let before = subscriber(SubscriberField::ALL);
    let diff = ScopeDiff::sign(case, &before, &after, world.key(Who::Counsel)).unwrap();
    let narrowed = world.ask(Who::Counsel, Command::Narrow { case, scope: after, diff }).unwrap();
    let Answer::Narrowed { changes } = narrowed else { panic!("{narrowed:?}") };
    assert_eq!(changes, ["fields: account, addresses, created, service -> created"]);
    let order = prepare(&mut world, case, vec![]).unwrap();
    world.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
    world.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
    let files = produce(&mut world, case);
    let told = String::from_utf8(files["data/records/subscriber.json"].clone()).unwrap();
    assert!(told.contains("created") && !told.contains("address") && !told.contains("custody"));
    // Letters are none of it.
    let refused = world.ask(Who::Station, Command::Release { case });
    assert!(refused.is_ok());
    let page = Command::Sealed { case, kind: SealedKind::Head, from: 0 };
    let refused = world.ask(Who::Station, page).unwrap_err().to_string();
    assert!(refused.contains("it names no letters"), "{refused}");
    assert!(world.ask(Who::Station, Command::Body { case, row: 1, from: 0 }).is_err());
}

#[test]
fn scopes_that_promise_what_nobody_can_cut_are_refused() {
    let period = || Scope { from: begins(MONTH), until: begins(Epoch(MONTH.0 + 1)), ..scope() };
    let refused = |scope: Scope| scope.to_text().unwrap_err().to_string();
    let one = || vec!["bob@us.example".to_owned()];
    let scopes = [
        (Scope { correspondents: one(), ..ciphertext() }, "nobody can choose correspondents"),
        (
            Scope { categories: vec![DataCategory::Traffic], ..ciphertext() },
            "traffic is sealed together with content",
        ),
        (Scope { categories: vec![DataCategory::Identifying], ..period() }, "answer by letter"),
        (Scope { fields: vec![SubscriberField::Created], ..period() }, "its fields must ascend"),
        (subscriber(&[]), "its fields must ascend"),
        (
            subscriber(&[SubscriberField::Service, SubscriberField::Account]),
            "its fields must ascend",
        ),
        (
            Scope { correspondents: one(), ..subscriber(SubscriberField::ALL) },
            "nobody can choose correspondents",
        ),
        (Scope { form: Form::Sealed, ..subscriber(SubscriberField::ALL) }, "traffic is sealed"),
    ];
    for (scope, why) in scopes {
        let said = refused(scope);
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_production_that_was_not_delivered_is_delivered_after_a_restart() {
    let mut world = World::with(Custody::Sealed);
    letters(&mut world);
    let case = case_for(&mut world, DataCategory::Content);
    logged(&mut world, case, ciphertext());
    let files = produce(&mut world, case);
    world.reopen();
    assert_eq!(world.desk.state(case), Some(State::Produced));
    let package = sha256(&[&files["tagmanifest-sha256.txt"]]);
    let deliver = |means: &str| Command::Deliver { case, package, bytes: 1, means: means.into() };
    // Whoever approved does not hand it over either; a text too long changes nothing.
    assert!(world.ask(Who::Approver, deliver("by hand")).is_err());
    let refused = world.ask(Who::Station, deliver(&"x".repeat(201))).unwrap_err();
    assert!(refused.cure().contains("200"), "{}", refused.cure());
    assert_eq!(world.desk.state(case), Some(State::Produced));
    world.done(Who::Station, deliver("by hand"));
    assert_eq!(world.desk.state(case), Some(State::Delivered));
    let again = world.ask(Who::Station, deliver("by hand")).unwrap_err();
    assert!(matches!(again, DeskError::State { state: State::Delivered, .. }), "{again}");
}
