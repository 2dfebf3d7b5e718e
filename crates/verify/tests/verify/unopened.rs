//! Packages of what nobody opened: ciphertext, and what the cell knows of a subscriber.

use crate::world::{DAY, MONTH, NOW};
use crate::{Files, Parts, Trial, assert_said};
use custody::ciphertext::{Reach, SealedRecord};
use custody::production::{CustodyRecord, ProducedRecord};
use custody::statement::{Stated, StatedSealed};
use custody::user::{CreateAccount, Locked, Record, create};
use custody::{OrderRecord, RecipientKey};
use seal::epoch::begins;
use seal::letter::{Chain, LetterSealer};
use seal::mac::sha256;
use seal::manifest::SignedManifest;
use seal::run::Run;
use seal::sign::SigningKey;
use std::collections::BTreeMap;
use vocab::{Custody, Epoch, LetterId, RecordKind, Timestamp};

const STATEMENT: &str = "data/statement.txt";
const SEALED: &str = r#"{"form":"sealed","fields":[]}"#;
const FIELDS: &str =
    r#"{"categories":["subscriber"],"form":"opened","fields":["account","created"]}"#;
pub(crate) const BOTH: &str =
    r#"{"categories":["subscriber","identifying"],"form":"opened","fields":["account","created"]}"#;
/// To be replaced by the statement that follows from the rest.
const TRUE: &[u8] = b"true";

/// An account that nobody but its owner opens.
fn account(trial: &Trial) -> Vec<Record> {
    let with = CreateAccount {
        account: trial.world.account,
        cell: trial.world.cell,
        custody: Custody::Sealed,
        escrow: None,
        password: None,
        pepper: None,
        now: begins(MONTH),
    };
    create(&with, &trial.world.chance).unwrap().records
}

/// The head and text of a letter to it, as they are stored.
fn letter(trial: &Trial, records: &[Record], arrived: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let (account, chance) = (trial.world.account, &trial.world.chance);
    let records = records.iter().map(|record| (record.kind, &record.bytes));
    let to = Locked::from_records(account, records).unwrap().arrival(arrived).unwrap();
    let mut text = Vec::new();
    let id = LetterId([7; 16]);
    let step = Run::begin(&to, chance).unwrap().step().unwrap();
    let mut sealer = LetterSealer::begin(id, arrived, step, chance, &mut text).unwrap();
    sealer.push(b"From: alice@ie.example\r\n\r\nText.\r\n", &mut text).unwrap();
    let closed = sealer.close(b"head", &mut text).unwrap();
    let ingest = SigningKey::from_seed(seal::Secret::copied(&[14; 32])).unwrap();
    let (head, _) = closed.ingest(&ingest, &Chain::start(account)).unwrap();
    (head, text)
}

/// What is clear about a message row, and nothing behind it (specs/bw1.md §8).
fn message_row(month: Epoch) -> Vec<u8> {
    [month.0.to_be_bytes().as_slice(), &1_u32.to_be_bytes(), &[0; 8], &[0; 12], &[9; 40]].concat()
}

/// What a package of ciphertext is made of.
pub(crate) struct Ciphertext {
    order: OrderRecord,
    pub(crate) scope: &'static str,
    records: Vec<(RecordKind, u64, Vec<u8>)>,
    inventory: Vec<SealedRecord>,
    index: Vec<ProducedRecord>,
    holders: Vec<String>,
    more: Files,
}

impl Ciphertext {
    pub(crate) fn new(trial: &Trial) -> Self {
        let key = RecipientKey::generate(&trial.world.chance).unwrap();
        let mut order = trial.world.order(&key, SEALED);
        order.epochs.clear();
        order.recipient.clear();
        let kinds = [
            RecordKind::Manifest,
            RecordKind::EpochBox,
            RecordKind::LetterHead,
            RecordKind::LetterBody,
            RecordKind::Message,
        ];
        order.kinds = kinds.map(RecordKind::table).to_vec();
        let stored = account(trial);
        let (head, text) = letter(trial, &stored, Timestamp(begins(MONTH).0 + DAY));
        let is_month = |record: &&Record| record.row.0 >> 32 == u64::from(MONTH.0);
        let of_kind = |kind| stored.iter().filter(move |record: &&Record| record.kind == kind);
        let manifest = of_kind(RecordKind::Manifest).next().unwrap();
        let month = of_kind(RecordKind::EpochBox).find(is_month).unwrap();
        let records = vec![
            (RecordKind::Manifest, manifest.row.0, manifest.bytes.clone()),
            (RecordKind::EpochBox, month.row.0, month.bytes.clone()),
            (RecordKind::LetterHead, 1, head),
            (RecordKind::LetterBody, 1, text),
            (RecordKind::Message, 1001, message_row(MONTH)),
        ];
        let manifest = SignedManifest::decode(&records[0].2).unwrap();
        let reach = Reach::new(order.clone(), manifest).unwrap();
        let line = |(kind, row, octets): &(RecordKind, u64, Vec<u8>)| {
            reach.line(*kind, *row, octets).unwrap()
        };
        let inventory = records.iter().map(line).collect();
        let more = BTreeMap::from([(STATEMENT.to_owned(), TRUE.to_vec())]);
        let (index, holders) = (vec![], vec![]);
        Self { order, scope: SEALED, records, inventory, index, holders, more }
    }

    /// The files, signed and logged, whatever is false in them.
    pub(crate) fn files(self, trial: &mut Trial) -> Files {
        let mut order = self.order;
        order.scope = sha256(&[self.scope.as_bytes()]);
        order.demand = sha256(&[crate::DEMAND]);
        let approvals = trial.world.approvals(&order);
        let mut evidence = trial.world.evidence_of(&order, approvals);
        evidence.scope = self.scope.to_owned();
        let count = self.inventory.len() + self.index.len();
        let record = CustodyRecord {
            version: 1,
            case: order.case,
            cell: order.cell,
            order: OrderRecord::digest(&evidence.order),
            opened_at: NOW,
            closed_at: crate::CLOSED,
            holders: self.holders,
            opened: 0,
            produced: u64::try_from(count).unwrap(),
        };
        let mut payload = self.more;
        if let Some(text) = payload.get_mut(STATEMENT).filter(|text| *text == TRUE) {
            let place = evidence.verify_past(&trial.world.trust, NOW).unwrap().1;
            let manifest = self.records.iter().find(|one| one.0 == RecordKind::Manifest);
            let manifest = manifest.map(|one| SignedManifest::decode(&one.2));
            let sealed = manifest.map(|manifest| StatedSealed {
                manifest: manifest.map_or(0, |manifest| manifest.manifest().version),
                inventory: &self.inventory,
                undated: 3,
            });
            let stated = Stated {
                order: &order,
                digest: record.order,
                log: &place.origin,
                index: place.index,
                subscriber: self.scope.contains("subscriber"),
                identifying: self.scope.contains("identifying"),
                sealed,
            };
            *text = stated.text().unwrap_or_default().into_bytes();
        }
        if order.hands_out_sealed() {
            let inventory = serde_json::to_vec(&self.inventory).unwrap();
            payload.insert("data/inventory.json".to_owned(), inventory);
        }
        for (kind, row, octets) in self.records {
            payload.insert(format!("data/sealed/{}/{row}", kind.table()), octets);
        }
        let scope = self.scope.to_owned();
        let parts = Parts { record, evidence, index: self.index, scope };
        trial.package(&order, &parts, payload)
    }
}

/// The line of a record again, after it was changed.
fn retell(parts: &mut Ciphertext, at: usize) {
    let (_, _, octets) = &parts.records[at];
    parts.inventory[at].bytes = u64::try_from(octets.len()).unwrap();
    parts.inventory[at].sha256 = sha256(&[octets]);
}

fn check(trial: &mut Trial, name: &str, parts: Ciphertext) -> (i32, String) {
    let files = parts.files(trial);
    let bag = trial.put(name, &files);
    trial.check("production", &bag, &[])
}

#[test]
fn a_true_package_of_ciphertext_passes_and_says_that_it_is_none_but_that() {
    let mut trial = Trial::new();
    let parts = Ciphertext::new(&trial);
    let outcome = check(&mut trial, "true", parts);
    assert_said(&outcome, 0, "Every check passed.");
    assert_said(&outcome, 0, "PASS  Ciphertext only; nothing in it opens without the owner");
    assert_said(&outcome, 0, "PASS  Nothing was opened");
}

#[test]
fn a_desk_that_signs_a_false_package_of_ciphertext_is_caught() {
    let mut trial = Trial::new();
    type Change = fn(&Trial, &mut Ciphertext);
    let lies: [(&str, Change); 12] = [
        ("not one of this account", |_, parts| {
            // Another month's epoch record under this month's name.
            parts.records[1].2[30] ^= 1;
            retell(parts, 1);
        }),
        ("outside the order's period", |trial, parts| {
            let late = Timestamp(begins(MONTH).0 + 11 * DAY);
            parts.records[2].2 = letter(trial, &account(trial), late).0;
            retell(parts, 2);
        }),
        ("outside the order's period", |_, parts| {
            parts.records[4].2 = message_row(Epoch(MONTH.0 + 1));
            retell(parts, 4);
        }),
        ("is not what the inventory says it is", |_, parts| parts.inventory[2].row = 2),
        ("is not what the inventory says it is", |_, parts| parts.inventory[4].arrived = Some(NOW)),
        ("is not what the inventory says it is", |_, parts| {
            parts.inventory[3].sha256 = sha256(&[b"x"]);
        }),
        ("has no place in a production", |_, parts| {
            parts.inventory.pop();
        }),
        ("the signature is not the identity's", |_, parts| {
            let last = parts.records[0].2.len() - 1;
            parts.records[0].2[last] ^= 1;
            retell(parts, 0);
        }),
        ("does not name records of this kind", |trial, parts| {
            let slot = account(trial).into_iter().find(|one| one.kind == RecordKind::Slot);
            let slot = slot.unwrap();
            let line = SealedRecord {
                file: format!("data/sealed/1/{}", slot.row.0),
                kind: "unlocker".to_owned(),
                table: 1,
                row: slot.row.0,
                epoch: None,
                arrived: None,
                bytes: u64::try_from(slot.bytes.len()).unwrap(),
                sha256: sha256(&[&slot.bytes]),
            };
            parts.inventory.push(line);
            parts.records.push((RecordKind::Slot, slot.row.0, slot.bytes));
        }),
        ("`data/statement.txt` is missing", |_, parts| parts.more.clear()),
        ("it tells of an opening", |_, parts| parts.holders.push("01".repeat(16))),
        ("is readable, and the order opens nothing", |_, parts| {
            let file = "data/eml/000001.eml".to_owned();
            parts.more.insert(file.clone(), b"Text.".to_vec());
            let (arrived, category) = (Some(begins(MONTH)), "content".to_owned());
            parts.index.push(ProducedRecord { file, arrived, category, bytes: 5 });
        }),
    ];
    for (at, (words, lie)) in lies.iter().enumerate() {
        let mut parts = Ciphertext::new(&trial);
        lie(&trial, &mut parts);
        assert_said(&check(&mut trial, &format!("lie{at}"), parts), 1, words);
    }
}

#[test]
fn letters_of_an_account_with_holders_are_no_package_of_ciphertext() {
    let mut trial = Trial::new();
    let mut parts = Ciphertext::new(&trial);
    let manifest = trial.world.records.iter().find(|one| one.kind == RecordKind::Manifest);
    parts.records[0].2 = manifest.unwrap().bytes.clone();
    retell(&mut parts, 0);
    let outcome = check(&mut trial, "holders", parts);
    assert_said(&outcome, 1, "manifest names holders");
}

/// An order for two fields of what the cell knows.
pub(crate) fn of_subscriber(trial: &Trial, told: &str) -> Ciphertext {
    let mut parts = Ciphertext::new(trial);
    parts.order.kinds = vec![RecordKind::Route.table(), RecordKind::Subscription.table()];
    (parts.scope, parts.records, parts.inventory) = (FIELDS, vec![], vec![]);
    let file = "data/records/subscriber.json".to_owned();
    let bytes = u64::try_from(told.len()).unwrap();
    parts.more.insert(file.clone(), told.as_bytes().to_vec());
    let category = "subscriber".to_owned();
    parts.index.push(ProducedRecord { file, arrived: None, category, bytes });
    parts
}

#[test]
fn of_a_subscriber_just_what_the_scope_names_is_told() {
    let mut trial = Trial::new();
    let account = trial.world.account;
    for (at, (told, status, words)) in [
        (r#"{"account":"ID","created":5}"#, 0, "PASS  What is told of the subscriber"),
        (r#"{"account":"ID","created":null}"#, 0, "PASS  What is told of the subscriber"),
        (r#"{"account":"ID","addresses":[],"created":5}"#, 1, "`addresses` is told"),
        (r#"{"account":"ID"}"#, 1, "the scope names `created`"),
        ("[]", 1, "cannot be read"),
        // Something else under the name of what the scope names.
        (r#"{"account":"01","created":5}"#, 1, "`account` is not told as such a thing is"),
        (r#"{"account":"ID","created":"Subject: hello"}"#, 1, "`created` is not told"),
    ]
    .into_iter()
    .enumerate()
    {
        let parts = of_subscriber(&trial, &told.replace("ID", &account.to_string()));
        assert_said(&check(&mut trial, &format!("told{at}"), parts), status, words);
    }
    // Nothing is told, or it is called something else.
    let mut parts = of_subscriber(&trial, "{}");
    parts.more.remove("data/records/subscriber.json");
    parts.index.clear();
    assert_said(
        &check(&mut trial, "untold", parts),
        1,
        "`data/records/subscriber.json` is missing",
    );
    for category in ["traffic", "identifying", "content"] {
        let mut parts = of_subscriber(&trial, "{}");
        parts.index[0].category = category.to_owned();
        let outcome = check(&mut trial, category, parts);
        assert_said(&outcome, 1, "is not what the index says it is");
    }
}

#[test]
fn every_member_told_of_a_subscriber_is_what_it_is_called() {
    let mut trial = Trial::new();
    for (at, (field, value, status)) in [
        ("addresses", r#"[{"address":"alice@ie.example","alias":false}]"#, 0),
        ("addresses", r#"[{"address":"a letter's text","alias":false}]"#, 1),
        ("addresses", r#"[{"address":"alice@ie.example","alias":false,"name":"Alice"}]"#, 1),
        ("addresses", r#"{"alice@ie.example":false}"#, 1),
        ("service", r#"{"kind":"electronic mail","custody":"sealed"}"#, 0),
        ("service", r#"{"kind":"electronic mail","custody":"sealed","note":"x"}"#, 1),
        ("service", r#""a letter's text""#, 1),
        ("name", r#""Alice""#, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut parts = of_subscriber(&trial, &format!("{{\"{field}\":{value}}}"));
        let scope =
            format!(r#"{{"categories":["subscriber"],"form":"opened","fields":["{field}"]}}"#);
        parts.scope = scope.leak();
        let words = if status == 0 { "Every check passed." } else { "is not told as such a thing" };
        assert_said(&check(&mut trial, &format!("member{at}"), parts), status, words);
    }
}

#[test]
fn the_form_and_the_statement_are_as_the_scope_has_them() {
    let mut trial = Trial::new();
    // Sealed letters leave, and the officers signed that they be opened.
    let mut parts = Ciphertext::new(&trial);
    parts.scope = r#"{"form":"opened","fields":[]}"#;
    assert_said(&check(&mut trial, "form", parts), 1, "opens what the scope leaves sealed");
    // A statement where nothing is to be stated could be anything.
    let files = trial.production(&|_| {});
    let mut parts = files.clone();
    parts.insert("data/statement.txt".to_owned(), b"a letter's text".to_vec());
    let files = trial.resigned(parts);
    let bag = trial.put("statement", &files);
    let outcome = trial.check("production", &bag, &[]);
    assert_said(&outcome, 1, "`data/statement.txt` has no place in this production");
}

#[test]
fn a_statement_has_no_free_words() {
    let mut trial = Trial::new();
    let parts = Ciphertext::new(&trial);
    let files = parts.files(&mut trial);
    let text = String::from_utf8(files[STATEMENT].clone()).unwrap();
    assert!(text.contains("\n  3 texts of letters of which nothing clear says"), "{text}");
    let lies = [
        (text.clone() + "Nothing else was asked of us.\n", 1),
        (text.replace("trustees or vault officers   none", "trustees or vault officers   two"), 1),
        (text.replace("1 manifest", "2 manifest"), 1),
        (text.replace("entry 1 of", "entry 2 of"), 1),
        (text.replace("SEALED LETTERS", "sealed letters"), 1),
        (text.replace("\n  3 texts", "\n  many texts"), 1),
        (text.replace("\n  3 texts", "\n  03 texts"), 1),
        // How many were left out nobody can check.
        (text.replace("\n  3 texts", "\n  4 texts"), 0),
        (text.clone(), 0),
    ];
    for (at, (lie, status)) in lies.into_iter().enumerate() {
        assert_eq!(lie == text, at == 8);
        let mut files = files.clone();
        files.insert(STATEMENT.to_owned(), lie.into_bytes());
        let files = trial.resigned(files);
        let bag = trial.put(&format!("said{at}"), &files);
        let words = if status == 0 { "Every check passed." } else { "says something else" };
        assert_said(&trial.check("production", &bag, &[]), status, words);
    }
    // Of a subscriber too, and of what is not kept.
    let told = format!(r#"{{"account":"{}","created":5}}"#, trial.world.account);
    let mut parts = of_subscriber(&trial, &told);
    parts.more.insert(STATEMENT.to_owned(), b"STATEMENT\n".to_vec());
    assert_said(&check(&mut trial, "short", parts), 1, "says something else");
}

#[test]
fn a_list_of_cuts_has_no_free_words() {
    let mut trial = Trial::new();
    let files = trial.production(&|_| {});
    let line = r#"[{"file":"data/eml/000001.eml","field":"text","reason":"as asked"}]"#;
    for (at, told) in [line, "{}", r#"["text"]"#].into_iter().enumerate() {
        let mut files = files.clone();
        files.insert("data/redactions.json".to_owned(), told.as_bytes().to_vec());
        let files = trial.resigned(files);
        let bag = trial.put(&format!("cut{at}"), &files);
        assert_said(&trial.check("production", &bag, &[]), 1, "FAIL  What was cut");
    }
}

#[test]
fn what_a_desk_lists_beside_the_files_of_a_production_is_refused() {
    let mut trial = Trial::new();
    for extra in ["fetch.txt", "letters.txt", "tags/custody.json"] {
        let mut files = trial.production(&|_| {});
        files.insert(extra.to_owned(), b"https://ie.example/ 1 data/eml/000002.eml\n".to_vec());
        let files = trial.resigned(files);
        let bag = trial.put(&extra.replace('/', "-"), &files);
        let words = format!("`{extra}` has no place in a production");
        assert_said(&trial.check("production", &bag, &[]), 1, &words);
    }
}
