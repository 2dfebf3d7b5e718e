//! The trial: what `bailiwick-verify` says of true and of false papers, by its exit status.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod secrecy;
mod unopened;
mod vectors;
#[expect(dead_code, reason = "custody's own tests use more of this world")]
#[path = "../../../custody/tests/custody/world.rs"]
mod world;

use custody::holder::{ask_guard, ask_trustee};
use custody::production::{
    CustodyRecord, ManifestSignature, ProducedRecord, manifest_digest, redactions,
};
use custody::{Approval, OrderRecord, RecipientKey, ReleaseEvidence, Role, acts};
use seal::epoch::begins;
use seal::mac::{sha256, sha512};
use seal::sign::SigningKey;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use vocab::{CaseId, Digest, Timestamp};
use world::{DAY, MONTH, NOW, SCOPE, World};

pub(crate) const DEMAND: &[u8] = b"the demand as served";
/// When a production is closed.
pub(crate) const CLOSED: Timestamp = Timestamp(NOW.0 + 60);

/// The program's exit status and everything it said.
fn run(arguments: &[&str]) -> (i32, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bailiwick-verify")).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

type Kinds = Box<dyn Fn(&mut Vec<u16>)>;
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) struct Trial {
    world: World,
    folder: TempDir,
    /// Changes the kinds of record that orders name.
    kinds: Option<Kinds>,
}

impl Trial {
    fn new() -> Self {
        let trial = Self { world: World::new(), folder: TempDir::new().unwrap(), kinds: None };
        trial.write("trust.json", trial.world.trust.to_json().unwrap().as_bytes());
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, octets: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, octets).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn check(&self, command: &str, path: &str, more: &[&str]) -> (i32, String) {
        let trust = self.path("trust.json");
        let arguments = [&[command, path, "--trust", trust.to_str().unwrap()], more].concat();
        run(&arguments)
    }

    fn release(&mut self) -> (OrderRecord, ReleaseEvidence) {
        let recipient = RecipientKey::generate(&self.world.chance).unwrap();
        let mut order = self.world.order(&recipient, SCOPE);
        order.demand = sha256(&[DEMAND]);
        if let Some(change) = &self.kinds {
            change(&mut order.kinds);
        }
        let approvals = self.world.approvals(&order);
        let evidence = self.world.evidence_of(&order, approvals);
        (order, evidence)
    }

    /// A production's files, made as the desk makes them but for what `change` changes before
    /// the manifests are written.
    fn production(&mut self, change: &dyn Fn(&mut Parts)) -> Files {
        let (order, evidence) = self.release();
        let letter = b"From: alice@ie.example\r\n\r\nText.\r\n".to_vec();
        let record = CustodyRecord {
            version: 1,
            case: order.case,
            cell: order.cell,
            order: OrderRecord::digest(&evidence.order),
            opened_at: NOW,
            closed_at: CLOSED,
            holders: vec!["01".repeat(16)],
            opened: 2,
            produced: 1,
        };
        let index = vec![ProducedRecord {
            file: "data/eml/000001.eml".to_owned(),
            arrived: Some(Timestamp(begins(MONTH).0 + DAY)),
            category: "content".to_owned(),
            bytes: letter.len() as u64,
        }];
        let mut parts = Parts { record, evidence, index, scope: SCOPE.to_owned() };
        change(&mut parts);
        let payload = BTreeMap::from([("data/eml/000001.eml".to_owned(), letter)]);
        self.package(&order, &parts, payload)
    }

    /// A package of this payload, index and scope, signed and logged.
    fn package(&mut self, order: &OrderRecord, parts: &Parts, payload: Files) -> Files {
        let mut files = payload;
        let mut add = |name: &str, octets: Vec<u8>| files.insert(name.to_owned(), octets);
        add("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_vec());
        add("bag-info.txt", format!("External-Identifier: {}\n", order.case).into_bytes());
        add("data/index.json", serde_json::to_vec(&parts.index).unwrap());
        add("data/scope.json", parts.scope.clone().into_bytes());
        add("data/redactions.json", serde_json::to_vec(&redactions(&parts.index)).unwrap());
        add("order.sha256", format!("{}  demand\n", order.demand).into_bytes());
        add("custody.json", serde_json::to_vec(&parts.record).unwrap());
        add("release.json", serde_json::to_vec(&parts.evidence).unwrap());
        list(&mut files);
        self.close(order, parts, files)
    }

    /// The same production with other files, listed, signed and logged again.
    fn resigned(&mut self, mut files: Files) -> Files {
        let written = |name: &str| name.contains("manifest-sha") || AFTER.contains(&name);
        files.retain(|name, _| !written(name));
        let evidence: ReleaseEvidence = serde_json::from_slice(&files["release.json"]).unwrap();
        let record = serde_json::from_slice(&files["custody.json"]).unwrap();
        let order = OrderRecord::decode(&evidence.order).unwrap();
        let parts = Parts { record, evidence, index: vec![], scope: String::new() };
        list(&mut files);
        self.close(&order, &parts, files)
    }

    fn close(&mut self, order: &OrderRecord, parts: &Parts, mut files: Files) -> Files {
        let manifest = files["tagmanifest-sha256.txt"].clone();
        let desk = SigningKey::from_seed(seal::Secret::copied(&[13; 32])).unwrap();
        let signature = ManifestSignature::sign(&manifest, &desk);
        let digest = OrderRecord::digest(&parts.evidence.order);
        let package = manifest_digest(&manifest);
        let count = parts.record.produced;
        let draft = acts::produced(CLOSED, order.case, digest, order.scope, package, count);
        let receipt = self.world.log(draft, CLOSED);
        files.insert("manifest.sig".to_owned(), serde_json::to_vec(&signature).unwrap());
        files.insert("receipt.json".to_owned(), serde_json::to_vec(&receipt).unwrap());
        files.insert("log-proof.txt".to_owned(), receipt.proof.into_bytes());
        files
    }

    fn put(&self, folder: &str, files: &Files) -> String {
        for (name, octets) in files {
            self.write(&format!("{folder}/{name}"), octets);
        }
        self.path(folder).to_str().unwrap().to_owned()
    }
}

const AFTER: [&str; 3] = ["manifest.sig", "receipt.json", "log-proof.txt"];

/// Writes the manifests and the tag manifests.
fn list(files: &mut Files) {
    for (prefix, payload) in [("", true), ("tag", false)] {
        let (mut short, mut long) = (String::new(), String::new());
        for (name, octets) in &*files {
            if name.starts_with("data/") == payload {
                short += &format!("{}  {name}\n", sha256(&[octets]));
                long += &format!("{}  {name}\n", custody::hex::encode(&sha512(&[octets])));
            }
        }
        files.insert(format!("{prefix}manifest-sha256.txt"), short.into_bytes());
        files.insert(format!("{prefix}manifest-sha512.txt"), long.into_bytes());
    }
}

pub(crate) struct Parts {
    record: CustodyRecord,
    evidence: ReleaseEvidence,
    index: Vec<ProducedRecord>,
    scope: String,
}

pub(crate) fn assert_said(outcome: &(i32, String), status: i32, words: &str) {
    assert!(
        outcome.0 == status && outcome.1.contains(words),
        "{words}: {}\n{}",
        outcome.0,
        outcome.1
    );
}

#[test]
fn a_true_production_passes_every_check() {
    let mut trial = Trial::new();
    let files = trial.production(&|_| {});
    let bag = trial.put("bag", &files);
    let demand = trial.write("demand", DEMAND);
    let outcome = trial.check("production", &bag, &["--demand", &demand]);
    assert_said(&outcome, 0, "Every check passed.");
    let other = trial.write("other", b"another demand");
    let outcome = trial.check("production", &bag, &["--demand", &other]);
    assert_said(&outcome, 1, "the order is about another demand");
}

#[test]
fn every_file_altered_added_or_taken_away_is_caught() {
    let mut trial = Trial::new();
    let files = trial.production(&|_| {});
    for (at, name) in files.keys().enumerate() {
        let mut altered = files.clone();
        let octets = altered.get_mut(name).unwrap();
        let middle = octets.len() / 2;
        octets[middle] ^= 1;
        let bag = trial.put(&format!("altered{at}"), &altered);
        assert_said(&trial.check("production", &bag, &[]), 1, "FAIL");
        let mut without = files.clone();
        without.remove(name);
        let bag = trial.put(&format!("without{at}"), &without);
        assert_said(&trial.check("production", &bag, &[]), 1, "FAIL");
    }
    for extra in ["data/eml/000002.eml", "note.txt"] {
        let mut more = files.clone();
        more.insert(extra.to_owned(), b"x".to_vec());
        let bag = trial.put(&extra.replace('/', "-"), &more);
        assert_said(&trial.check("production", &bag, &[]), 1, extra);
    }
}

#[test]
fn a_desk_that_signs_a_false_production_is_caught() {
    let mut trial = Trial::new();
    type Change = fn(&mut Parts);
    let lies: [(&str, Change); 8] = [
        ("does not commit to this pair of approvals", |parts| {
            parts.evidence.approvals[1].signature[0] ^= 1;
        }),
        // The receipt is stale, or from the future, then: that is found first.
        ("FAIL  The release holds as of", |parts| {
            let order = OrderRecord::decode(&parts.evidence.order).unwrap();
            parts.record.opened_at = order.valid_until;
            parts.record.closed_at = order.valid_until;
        }),
        ("FAIL  The release holds as of", |parts| {
            parts.record.opened_at = Timestamp(NOW.0 - 2 * DAY);
        }),
        ("after the order had ended", |parts| {
            parts.record.closed_at = Timestamp(NOW.0 + 20 * DAY);
        }),
        ("outside the order's period", |parts| {
            parts.index[0].arrived = Some(Timestamp(begins(MONTH).0 + 11 * DAY));
        }),
        ("not the scope the order names", |parts| parts.scope = "{}".to_owned()),
        ("is not in the index", |parts| parts.index.clear()),
        ("about another case", |parts| parts.record.case = CaseId([0; 16])),
    ];
    for (at, (words, lie)) in lies.iter().enumerate() {
        let files = trial.production(lie);
        let bag = trial.put(&format!("lie{at}"), &files);
        assert_said(&trial.check("production", &bag, &[]), 1, words);
    }
}

#[test]
fn a_forged_approval_and_an_expired_order_are_caught_though_logged() {
    let mut trial = Trial::new();
    let recipient = RecipientKey::generate(&trial.world.chance).unwrap();
    let mut order = trial.world.order(&recipient, SCOPE);
    let mut approvals = trial.world.approvals(&order);
    approvals[1].signature[0] ^= 1;
    let forged = trial.world.evidence_of(&order, approvals.clone());
    let one = trial.world.evidence_of(&order, vec![approvals[0].clone()]);
    order.not_before = Timestamp(NOW.0 - 2 * DAY);
    order.valid_until = NOW;
    let approvals = trial.world.approvals(&order);
    let expired = trial.world.evidence_of(&order, approvals);
    let digest = OrderRecord::digest(&order.encode().unwrap());
    let (counsel, key) = &trial.world.counsel;
    let at = Timestamp(NOW.0 - 60);
    let twice =
        [Role::Counsel, Role::Approver].map(|role| Approval::sign(digest, *counsel, role, at, key));
    let twice = trial.world.evidence_of(&order, twice.to_vec());
    let at = NOW.0.to_string();
    for (name, evidence, words) in [
        ("forged", forged, "an approval is not signed over this order"),
        ("one", one, "an order needs exactly two approvals"),
        ("expired", expired, "the order has expired"),
        ("twice", twice, "must be another person"),
    ] {
        let file = trial.write(name, &serde_json::to_vec(&evidence).unwrap());
        assert_said(&trial.check("release", &file, &["--at", &at]), 1, words);
    }
    let (_, evidence) = trial.release();
    let file = trial.write("true", &serde_json::to_vec(&evidence).unwrap());
    let outcome = trial.check("release", &file, &["--at", &at]);
    assert_said(&outcome, 0, "Approved by counsel");
    assert_said(&outcome, 0, "Months opened      2026-10");
}

#[test]
fn an_encrypted_production_opens_with_its_key_alone() {
    let mut trial = Trial::new();
    let files = trial.production(&|_| {});
    let identity = seal::age::Identity::generate(&trial.world.chance).unwrap();
    let stranger = seal::age::Identity::generate(&trial.world.chance).unwrap();
    let archive = ustar(&files);
    let sealed = seal::age::seal(&[identity.recipient()], &archive, &trial.world.chance).unwrap();
    let file = trial.write("production.age", &sealed);
    let key = trial.write("key", format!("# key\n{}\n", identity.to_text().as_str()).as_bytes());
    let other = trial.write("other", stranger.to_text().as_bytes());
    assert_said(&trial.check("production", &file, &["--identity", &key]), 0, "Every check passed.");
    assert_said(&trial.check("production", &file, &["--identity", &other]), 2, "does not open");
    assert_said(&trial.check("production", &file, &[]), 2, "give --identity");
    let cut = trial.write("cut.age", &sealed[..sealed.len() - 1]);
    assert_said(&trial.check("production", &cut, &["--identity", &key]), 2, "does not open");
    for (name, archive) in [
        ("short", archive[..archive.len() - 1024].to_vec()),
        ("text", b"not an archive".to_vec()),
        ("climbs", ustar(&BTreeMap::from([("../x".to_owned(), Vec::new())]))),
    ] {
        let file = trial.write(name, &archive);
        assert_said(&trial.check("production", &file, &[]), 2, "archive");
    }
}

fn ustar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, octets) in files {
        let mut header = [0_u8; 512];
        let mut put =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", octets.len()));
        put(136, &format!("{:011o}\0", CLOSED.0));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(octets);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn a_receipt_is_told_in_words_and_a_false_one_is_caught() {
    let mut trial = Trial::new();
    let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
    let mut receipt = trial.world.log(draft, NOW);
    let file = trial.write("receipt", &serde_json::to_vec(&receipt).unwrap());
    assert_said(&trial.check("receipt", &file, &[]), 0, "received");
    receipt.leaf[60] ^= 1;
    let file = trial.write("false", &serde_json::to_vec(&receipt).unwrap());
    assert_said(&trial.check("receipt", &file, &[]), 1, "FAIL");
    let file = trial.write("none", b"{}");
    assert_said(&trial.check("receipt", &file, &[]), 2, "not what is expected");
}

#[test]
fn a_log_is_whole_or_its_missing_leaf_is_caught() {
    let mut trial = Trial::new();
    let _ = trial.production(&|_| {});
    let at = NOW.0.to_string();
    let log = trial.put("log", &trial.world.tiles);
    let outcome = trial.check("log", &log, &["--at", &at]);
    assert_said(&outcome, 0, "All 4 entries are there");
    assert_said(&outcome, 0, "authorised");
    let name = "tile/entries/000.p/4";
    let mut dropped = trial.world.tiles.clone();
    let bundle = dropped.get_mut(name).unwrap();
    bundle.truncate(bundle.len() - 514);
    let folder = trial.put("dropped", &dropped);
    assert_said(&trial.check("log", &folder, &["--at", &at]), 1, "FAIL");
    let mut changed = trial.world.tiles.clone();
    changed.get_mut(name).unwrap()[600] ^= 1;
    let folder = trial.put("changed", &changed);
    assert_said(&trial.check("log", &folder, &["--at", &at]), 1, "FAIL");
    let mut missing = trial.world.tiles.clone();
    missing.remove(name);
    let folder = trial.put("missing", &missing);
    assert_said(&trial.check("log", &folder, &["--at", &at]), 1, "FAIL");
    assert_said(
        &trial.check("log", trial.path("nowhere").to_str().unwrap(), &[]),
        2,
        "cannot open",
    );
}

#[test]
fn a_sealed_leaf_not_opened_in_time_is_named() {
    let mut trial = Trial::new();
    let day = Timestamp(NOW.0 + DAY);
    let draft = || acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
    let sealed = trial.world.log_witnessed(draft(), Some(day), NOW, 2);
    let (before, after) = (day.0.to_string(), (day.0 + 1).to_string());
    let log = trial.put("log", &trial.world.tiles);
    assert_said(&trial.check("log", &log, &["--at", &before]), 0, "still sealed");
    assert_said(&trial.check("log", &log, &["--at", &after]), 1, "was opened in time: not 1");
    // Opened by a leaf of its own, with the opening beside the log.
    let opening = acts::opened(day, &[(1, sealed.opening.digest())]);
    trial.world.log(opening, day);
    let log = trial.put("opened", &trial.world.tiles);
    assert_said(&trial.check("log", &log, &["--at", &after]), 1, "openings/1.json");
    let text = serde_json::to_vec(&sealed.opening).unwrap();
    trial.write("opened/openings/1.json", &text);
    assert_said(&trial.check("log", &log, &["--at", &after]), 0, "All 1 published openings");
    let part = sealed.opening.part(|_, _| false);
    trial.write("opened/openings/1.json", &serde_json::to_vec(&part).unwrap());
    assert_said(&trial.check("log", &log, &["--at", &after]), 1, "shows no act");
}

#[test]
fn holders_answer_once_each_and_to_one_recipient() {
    let mut trial = Trial::new();
    let (order, evidence) = trial.release();
    let escrows = trial.world.escrows();
    let escrows: Vec<_> =
        escrows.into_iter().filter(|escrow| escrow.epoch().0 == order.epochs[0].epoch).collect();
    let at = NOW.0.to_string();
    let ask =
        |who: &str, key: &seal::holder::HolderKey, request: Vec<u8>, out: &str, more: &[&str]| {
            let key = trial.write(&format!("{who}.key"), key.to_text().as_bytes());
            let request = trial.write(&format!("{who}.request"), &request);
            let path = |name: &str| trial.path(name).to_str().unwrap().to_owned();
            let (trust, served, out) =
                (path("trust.json"), path(&format!("{who}.served")), path(out));
            let files = [
                who,
                "answer",
                "--request",
                &request,
                "--key",
                &key,
                "--trust",
                &trust,
                "--served",
                &served,
                "--out",
                &out,
                "--at",
                &at,
            ];
            run(&[&files[..], more].concat())
        };
    let answer = |who: &str, key: &seal::holder::HolderKey, request: Vec<u8>, out: &str| {
        ask(who, key, request, out, &["--yes"])
    };
    let (trustee, guard) = (&trial.world.trustees[0], &trial.world.guards[0]);
    let request = ask_trustee(&evidence, &escrows, trustee.id).unwrap();
    let request = serde_json::to_vec(&request).unwrap();
    // No is no failed check, and gives nothing.
    let outcome = ask("trustee", &trustee.key, request.clone(), "no.json", &[]);
    assert_said(&outcome, 1, "NO    You do not give your share");
    assert_said(&outcome, 1, "Every check passed, and you said no. Nothing was given.");
    assert!(!outcome.1.contains("FAIL"), "{}", outcome.1);
    assert!(!trial.path("no.json").exists());
    assert_eq!(fs::read(trial.path("trustee.served")).unwrap(), b"");
    let outcome = answer("trustee", &trustee.key, request.clone(), "a.json");
    assert_said(&outcome, 0, "District Court, example");
    assert_said(&answer("trustee", &trustee.key, request.clone(), "a.json"), 2, "must not exist");
    assert_said(&answer("trustee", &trustee.key, request, "b.json"), 0, "answer is in");
    let request = ask_guard(&evidence, &escrows, guard.id).unwrap();
    let request = serde_json::to_vec(&request).unwrap();
    let outcome = answer("guard", &guard.key, request.clone(), "c.json");
    assert_said(&outcome, 0, "logged, witnessed and in force");
    assert!(!outcome.1.contains("District Court"));
    assert_said(&answer("guard", &trustee.key, request.clone(), "d.json"), 1, "does not open");
    // The same leaf, answered to somebody else before.
    let served = fs::read_to_string(trial.path("guard.served")).unwrap();
    let line = served.lines().next().unwrap();
    let other = line.replace(&order.recipient_digest().to_string(), &"00".repeat(32));
    trial.write("guard.served", format!("{other}\n").as_bytes());
    let outcome = answer("guard", &guard.key, request, "e.json");
    assert_said(&outcome, 1, "already answered to another recipient");
    assert!(!Path::new(&trial.path("e.json")).exists());
}

#[test]
fn a_holder_makes_a_key_and_what_cannot_be_read_is_status_two() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    let key = key.to_str().unwrap();
    let (status, public) = run(&["holder", "new", "--out", key]);
    assert!(status == 0 && public.starts_with("bwholder1"));
    assert_eq!(run(&["holder", "public", "--key", key]), (0, public));
    assert_eq!(run(&["holder", "new", "--out", key]).0, 2);
    assert_eq!(run(&["release", "nowhere", "--trust", "nowhere"]).0, 2);
    assert_eq!(run(&["nonsense"]).0, 2);
}

#[test]
fn content_where_the_order_names_none_is_caught() {
    let mut trial = Trial::new();
    let bodies = vocab::RecordKind::LetterBody.table();
    trial.kinds = Some(Box::new(move |kinds| kinds.retain(|kind| *kind != bodies)));
    let files = trial.production(&|_| {});
    let bag = trial.put("beyond", &files);
    assert_said(&trial.check("production", &bag, &[]), 1, "is content, and the order names none");
    // Calling it traffic does not help, and a category of nobody's is none.
    for category in ["traffic", "letters"] {
        let files = trial.production(&|parts| parts.index[0].category = category.to_owned());
        let bag = trial.put(category, &files);
        assert_said(&trial.check("production", &bag, &[]), 1, "is not what the index says it is");
    }
}

#[test]
fn the_package_describes_itself_truly_and_briefly() {
    let mut trial = Trial::new();
    let whole = trial.production(&|_| {});
    let payload = whole.iter().filter(|(name, _)| name.starts_with("data/"));
    let (count, octets) = payload.fold((0, 0), |(n, sum), (_, one)| (n + 1, sum + one.len()));
    let case = String::from_utf8(whole["bag-info.txt"].clone()).unwrap();
    let cell = trial.world.cell;
    let full = format!(
        "Source-Organization: cell {cell}\n{case}Bagging-Date: 2026-11-21\n\
         Payload-Oxum: {octets}.{count}\n"
    );
    let words = "`bag-info.txt` says something else";
    for (at, (text, status, words)) in [
        (full.clone(), 0, "Every check passed."),
        (full.replace("2026", "2027"), 1, words),
        (full.replace("Oxum: ", "Oxum: 1"), 1, words),
        (format!("{case}A letter's text\n"), 1, words),
        (String::new(), 1, words),
    ]
    .into_iter()
    .enumerate()
    {
        let mut files = whole.clone();
        files.insert("bag-info.txt".to_owned(), text.into_bytes());
        let files = trial.resigned(files);
        let bag = trial.put(&format!("info{at}"), &files);
        assert_said(&trial.check("production", &bag, &[]), status, words);
    }
}

#[test]
fn a_record_of_traffic_holds_traffic_alone() {
    let mut trial = Trial::new();
    let bodies = vocab::RecordKind::LetterBody.table();
    trial.kinds = Some(Box::new(move |kinds| kinds.retain(|kind| *kind != bodies)));
    let arrived = begins(MONTH).0 + DAY;
    let record = serde_json::json!({
        "arrived": arrived, "sent": null, "message_id": null, "envelope_from": null,
        "envelope_to": [], "from": ["alice@ie.example"], "sender": [], "reply_to": [], "to": [],
        "cc": [], "bcc": [], "bytes": 33,
    });
    let (mut subject, mut another) = (record.clone(), record.clone());
    subject["subject"] = "hello".into();
    another["arrived"] = (arrived + 1).into();
    for (at, (record, status, words)) in [
        (record, 0, "Every check passed."),
        (subject, 1, "holds `subject`, which is no traffic"),
        (another, 1, "is not the record the index says it is"),
        (serde_json::json!({ "arrived": arrived }), 1, "is not the record the index says it is"),
        (serde_json::json!("a letter's text"), 1, "cannot be read"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut files = trial.production(&|_| {});
        let octets = serde_json::to_vec(&record).unwrap();
        let index = vec![ProducedRecord {
            file: "data/records/000001.json".to_owned(),
            arrived: Some(Timestamp(arrived)),
            category: "traffic".to_owned(),
            bytes: octets.len() as u64,
        }];
        files.remove("data/eml/000001.eml");
        files.insert("data/records/000001.json".to_owned(), octets);
        files.insert("data/index.json".to_owned(), serde_json::to_vec(&index).unwrap());
        let cut = serde_json::to_vec(&redactions(&index)).unwrap();
        files.insert("data/redactions.json".to_owned(), cut);
        let files = trial.resigned(files);
        let bag = trial.put(&format!("traffic{at}"), &files);
        assert_said(&trial.check("production", &bag, &[]), status, words);
    }
}

#[test]
fn a_production_closed_after_its_witnesses_saw_it_is_caught() {
    let mut trial = Trial::new();
    let files = trial.production(&|parts| parts.record.closed_at = Timestamp(NOW.0 + DAY));
    let bag = trial.put("ahead", &files);
    assert_said(&trial.check("production", &bag, &[]), 1, "another time than the witnesses");
}

#[test]
fn an_archive_that_other_programs_read_otherwise_is_refused() {
    let mut trial = Trial::new();
    let files = trial.production(&|_| {});
    let whole = ustar(&files);
    let file = trial.write("whole.tar", &whole);
    assert_said(&trial.check("production", &file, &[]), 0, "Every check passed.");
    // `tar --ignore-zeros` unpacks what follows the end.
    let more = ustar(&BTreeMap::from([("data/eml/000002.eml".to_owned(), b"x".to_vec())]));
    let after = [whole.clone(), more].concat();
    // A letter in the padding of another.
    let mut padded = whole.clone();
    let first = files.values().next().unwrap().len();
    padded[512 + first] = b'x';
    // GNU's older mark, under which GNU tar joins no prefix.
    let mut gnu = whole.clone();
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[148..156].copy_from_slice(b"        ");
    let sum: u32 = gnu[..512].iter().map(|octet| u32::from(*octet)).sum();
    gnu[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let one_block = whole[..whole.len() - 512].to_vec();
    // A length with a sign, which GNU tar reads in base 64.
    let mut signed = whole.clone();
    signed[124] = b'+';
    signed[148..156].copy_from_slice(b"        ");
    let sum: u32 = signed[..512].iter().map(|octet| u32::from(*octet)).sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (name, archive) in
        [("after", after), ("padded", padded), ("gnu", gnu), ("one", one_block), ("signed", signed)]
    {
        let file = trial.write(name, &archive);
        assert_said(&trial.check("production", &file, &[]), 2, "archive");
    }
}

#[test]
fn an_old_copy_of_a_log_does_not_pass_for_the_log() {
    let mut trial = Trial::new();
    let _ = trial.production(&|_| {});
    let log = trial.put("log", &trial.world.tiles);
    let later = (NOW.0 + 30 * DAY).to_string();
    assert_said(&trial.check("log", &log, &["--at", &later]), 1, "for an older copy give --at");
    let at = (NOW.0 + DAY).to_string();
    assert_said(&trial.check("log", &log, &["--at", &at]), 0, "Every check passed.");
}

#[test]
fn a_leaf_opened_in_a_later_month_was_opened_too_late() {
    let mut trial = Trial::new();
    let day = Timestamp(NOW.0 + DAY);
    let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
    let sealed = trial.world.log_witnessed(draft, Some(day), NOW, 2);
    trial.world.month = 202_703;
    let late = Timestamp(NOW.0 + 120 * DAY);
    trial.world.log(acts::opened(late, &[(1, sealed.opening.digest())]), late);
    let log = trial.put("late", &trial.world.tiles);
    trial.write("late/openings/1.json", &serde_json::to_vec(&sealed.opening).unwrap());
    let outcome = trial.check("log", &log, &["--at", &late.0.to_string()]);
    assert_said(&outcome, 1, "was opened in time: not 1");
}

#[test]
fn a_log_dated_ahead_is_caught() {
    let mut trial = Trial::new();
    trial.world.month = 999_901;
    let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
    trial.world.log_witnessed(draft, Some(Timestamp(NOW.0 + DAY)), NOW, 2);
    let log = trial.put("ahead", &trial.world.tiles);
    let outcome = trial.check("log", &log, &["--at", &NOW.0.to_string()]);
    assert_said(&outcome, 1, "No leaf is dated ahead: not in 999901");
}
