//! The vectors of specs/bw1.md: this code writes them, and opens them from the file alone.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR};
use seal::anchor::{Anchor, AnchorKey};
use seal::blob::{self, BlobKey};
use seal::code;
use seal::epoch::{EpochKeys, EpochRecord};
use seal::escrow::{Escrow, EscrowPolicy, ShareBox};
use seal::grant::{Grant, GrantedEpoch};
use seal::holder::{Holder, HolderKey};
use seal::hseal::{self, SecretKey};
use seal::letter::{Chain, LetterSealer, open_head};
use seal::manifest::{EpochEntry, Manifest, SignedManifest, SlotEntry};
use seal::note::Note;
use seal::root::MasterKey;
use seal::row::RowKeys;
use seal::run::Run;
use seal::sign::{SigningKey, VerifyingKey};
use seal::slot::{Enrolment, PasswordCost, Scope, SlotRecord, Unlocker};
use seal::unlock::unlock;
use seal::{Entropy, Secret, cwrap, derive};
use serde_json::{Value, json};
use vocab::{
    AccountId, CellId, Custody, Digest, Epoch, EpochVersion, HolderId, LetterId, ModSeq,
    RecordKind, Row, SlotId, Timestamp,
};

use crate::{fixed, hex, pattern, unhex, vectors, verify_ingest};

const ACCOUNT: AccountId = AccountId(*b"account 16 octet");
const CELL: CellId = CellId(*b"cell id 16 octet");
const NOW: Timestamp = Timestamp(1_795_000_000);
const MONTH: Epoch = Epoch(323);
const FIRST: EpochVersion = EpochVersion(1);

/// Gives the octets it was made of, in order: for keys whose octets a file states.
struct Replay(std::sync::Mutex<std::collections::VecDeque<u8>>);

fn replay(octets: &[Vec<u8>]) -> Replay {
    Replay(std::sync::Mutex::new(octets.concat().into()))
}

impl Entropy for Replay {
    fn fill(&self, out: &mut [u8]) {
        let mut octets = self.0.lock().unwrap();
        out.iter_mut().for_each(|octet| *octet = octets.pop_front().unwrap());
    }
}

fn draws(label: &'static str, count: usize) -> Vec<Vec<u8>> {
    let entropy = fixed(label);
    let draw = |_| {
        let mut out = vec![0; 32];
        entropy.fill(&mut out);
        out
    };
    (0..count).map(draw).collect()
}

fn octets(value: &Value, field: &str) -> Vec<u8> {
    unhex(value[field].as_str().unwrap_or_else(|| panic!("no {field}")))
}

fn secret(value: &Value, field: &str) -> Secret<32> {
    Secret::copied(&octets(value, field).try_into().unwrap())
}

fn epoch_keys(value: &Value) -> EpochKeys {
    let source = replay(&[octets(value, "sk"), octets(value, "ek")]);
    EpochKeys::generate(ACCOUNT, MONTH, FIRST, &source).unwrap()
}

fn epoch_json() -> Value {
    let draws = draws("vector epoch", 2);
    json!({ "sk": hex(&draws[0]), "ek": hex(&draws[1]) })
}

fn names() -> Value {
    json!({ "account": hex(&ACCOUNT.0), "cell": hex(&CELL.0), "epoch": MONTH.0, "version": 1 })
}

fn primitives() -> Value {
    let entropy = fixed("vector primitives");
    let seed = draws("vector hseal", 1).remove(0);
    let key = SecretKey::generate(&replay(std::slice::from_ref(&seed))).unwrap();
    let k = Secret::copied(&[0x0b; 32]);
    let long = pattern(40_000, 253);
    let ik = BlobKey::from_secret(Secret::copied(&[0x0c; 32]));
    let long_sealed = blob::seal(&ik, b"context", &long, &entropy).unwrap();
    json!({
        "k": hex(k.expose()), "label": "test", "ctx": hex(b"context"), "plain": hex(b"plaintext"),
        "x": hex(derive::derive::<76>(&k, "test", &[b"con", b"text"]).expose()),
        "extract": hex(derive::extract(&[b"plain", b"text"]).expose()),
        "cwrap": hex(&cwrap::wrap(&k, "test", &[b"context"], b"plaintext", &entropy).unwrap()),
        "seed": hex(&seed), "pk": hex(key.public().as_bytes()),
        "hseal": hex(&hseal::seal(&key.public(), "test", &[b"context"], b"plaintext", &entropy).unwrap()),
        "ik": hex(ik.expose()),
        "blob": hex(&blob::seal(&ik, b"context", b"plaintext", &entropy).unwrap()),
        "long_plain": "octet i is i mod 253, for i below 40000", "long_blob": hex(&long_sealed),
    })
}

/// A grant of the account's one epoch, and how a session of it is kept (specs/session.md §1, §4).
fn granted(
    record: &EpochRecord,
    master: &MasterKey,
    (session, secret): (&[u8; 16], &Secret<32>),
    entropy: &dyn Entropy,
) -> (String, String) {
    let keys = record.unwrap(&master.root()).unwrap();
    let slot = SlotId([4; 16]);
    let grant = Grant {
        cell: CELL,
        account: ACCOUNT,
        slot,
        generation: 1,
        scope: Scope::IMAP.and(Scope::JMAP),
        expires: NOW,
        epochs: vec![GrantedEpoch { epoch: MONTH, version: FIRST, keys }],
    };
    let head = [&[0, 1], session.as_slice(), &slot.0, &NOW.0.to_be_bytes()].concat();
    let wrapped = grant.wrap(secret, &head, entropy).unwrap();
    (hex(&grant.encode().unwrap()), hex(&[head, wrapped].concat()))
}

fn account() -> Value {
    let entropy = fixed("vector account");
    let mrk = draws("vector mrk", 1);
    let master = MasterKey::generate(ACCOUNT, &replay(&mrk));
    let id = draws("vector identity", 1);
    let identity = SigningKey::generate(&replay(&id)).unwrap();
    let pepper = Secret::copied(&[0x0d; 32]);
    let (app, recovery) = (code::app_password(&entropy), code::recovery_code(&entropy));
    let password = "Ångström\u{2003}horse";
    let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap());
    let note = Note::new("Büro", &networks).unwrap();
    let (key, export) = (Secret::copied(&[0x0e; 32]), Secret::copied(&[0x0f; 64]));
    let (salt, registration) = ([0x10; 32], [0x11; 192]);
    let token = code::token(&entropy);
    let enrol = |with: &Unlocker<'_>, slot: u8| {
        let enrolment = Enrolment {
            slot: SlotId([slot; 16]),
            scope: Scope::ALL,
            created: NOW,
            expires: Some(Timestamp(NOW.0 * 2)),
            note: &note,
            cost: PasswordCost::FLOOR,
            identity: identity.public(),
            master: &master,
        };
        SlotRecord::enrol(with, &enrolment, &entropy).unwrap()
    };
    let slots = [
        enrol(&Unlocker::Password { text: password, pepper: Some(&pepper) }, 1),
        enrol(&Unlocker::AppPassword(&app), 2),
        enrol(&Unlocker::Recovery(&recovery), 3),
        enrol(&Unlocker::Opaque { export: &export, record: &registration }, 4),
        enrol(&Unlocker::Passkey { output: &key, salt: &salt }, 5),
        enrol(&Unlocker::Device(&key), 6),
        enrol(&Unlocker::Token(&token), 7),
    ];
    let epoch = epoch_json();
    let record = EpochRecord::seal(&master.root(), &epoch_keys(&epoch), NOW, &entropy).unwrap();
    let manifest = Manifest {
        account: ACCOUNT,
        cell: CELL,
        custody: Custody::Sealed,
        policy: None,
        version: 1,
        generation: 1,
        previous: None,
        master: master.commitment(),
        identity: identity.public(),
        identity_box: master.root().wrap_identity(&identity, &entropy).unwrap(),
        slots: slots.iter().map(|s| SlotEntry { slot: s.slot(), digest: s.digest() }).collect(),
        epochs: vec![EpochEntry::of(&record, None)],
        created: NOW,
    };
    let manifest = manifest.sign(&identity).unwrap();
    let (session, secret) = ([0x12; 16], Secret::copied(&[0x13; 32]));
    let (grant, kept) = granted(&record, &master, (&session, &secret), &entropy);
    json!({
        "session": hex(&session), "session_secret": hex(secret.expose()),
        "grant": grant, "kept_grant": kept,
        "names": names(), "mrk": hex(&mrk[0]), "generation": 1, "identity": hex(&id[0]),
        "password": password, "pepper": hex(pepper.expose()), "app_password": app.as_str(),
        "export_key": hex(export.expose()), "prf_output": hex(key.expose()),
        "device_key": hex(key.expose()), "token": token.as_str(), "note": note.name(),
        "recovery_code": recovery.as_str(),
        "slots": slots.iter().map(|slot| hex(&slot.encode())).collect::<Vec<_>>(),
        "epoch": epoch, "epoch_record": hex(&record.encode()), "manifest": hex(manifest.as_bytes()),
    })
}

/// `s_0` of specs/bw1.md §7.1, by the `hpke` crate alone.
fn run_secret(epoch: &Value, capsule: &[u8]) -> [u8; 32] {
    let key = <XWing as Kem>::PrivateKey::from_bytes(&octets(epoch, "sk")).unwrap();
    let capsule = <XWing as Kem>::EncappedKey::from_bytes(capsule).unwrap();
    let place = [MONTH.0.to_be_bytes(), FIRST.0.to_be_bytes()].concat();
    let info = [b"bailiwick.v1 run\0", ACCOUNT.0.as_slice(), &place].concat();
    let context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &key,
        &capsule,
        &info,
    )
    .unwrap();
    let mut out = [0; 32];
    context.export(b"bailiwick.v1 run", &mut out).unwrap();
    out
}

fn mail() -> Value {
    let entropy = fixed("vector mail");
    let epoch = epoch_json();
    let keys = epoch_keys(&epoch);
    let cell = draws("vector ingest", 1);
    let ingest = SigningKey::generate(&replay(&cell)).unwrap();
    let mut body = Vec::new();
    let letter = LetterId([0x1e; 16]);
    let to = keys.public(Timestamp(0));
    let mut run = Run::begin(&to, &entropy).unwrap();
    // The third of its run, so that a reader must go two steps.
    drop((run.step(), run.step()));
    let step = run.step().unwrap();
    let mut sealer = LetterSealer::begin(letter, NOW, step, &entropy, &mut body).unwrap();
    let message = b"From: alice@ie.example\r\n\r\nHello.\r\n".repeat(20);
    sealer.push(&message, &mut body).unwrap();
    let start = Chain::start(ACCOUNT);
    let (head, chain) = sealer.close(b"head", &mut body).unwrap().ingest(&ingest, &start).unwrap();
    let rows = RowKeys::of_epoch(&keys).unwrap();
    let row = rows.seal(RecordKind::Message, Row(7), ModSeq(9), b"row", &entropy).unwrap();
    let anchor_key = AnchorKey::of_epoch(&keys);
    let mut anchor = Anchor::start(ACCOUNT, MONTH);
    anchor.insert(&anchor_key, &rows, RecordKind::Message, Row(7), &row).unwrap();
    anchor.close();
    json!({
        "names": names(), "epoch": epoch, "letter": hex(&letter.0), "arrived": NOW.0,
        "message": hex(&message), "head": hex(b"head"), "head_record": hex(&head),
        "run_secret": hex(&run_secret(&epoch, &head[60..1180])),
        "body_record": hex(&body), "ik": hex(open_head(&head, &keys).unwrap().body_key.expose()),
        "ingest_public": hex(&ingest.public().0), "chain_before": hex(&start.encode()),
        "chain": hex(&chain.encode()),
        "table": RecordKind::Message.table(), "row": 7, "modseq": 9, "row_plain": hex(b"row"),
        "row_value": hex(&row), "anchor": hex(&anchor.encode()), "anchor_digest": anchor.digest().to_string(),
    })
}

fn escrow() -> Value {
    let entropy = fixed("vector escrow");
    let seeds = draws("vector holders", 5);
    let keys: Vec<HolderKey> = seeds
        .iter()
        .map(|seed| HolderKey::generate(&replay(std::slice::from_ref(seed))).unwrap())
        .collect();
    let id = |place: usize| HolderId([u8::try_from(place + 1).unwrap(); 16]);
    let holder = |place: usize| Holder { id: id(place), key: keys[place].public() };
    let policy = EscrowPolicy::new(
        CELL,
        Custody::Trustee,
        (2, vec![holder(0), holder(1), holder(2)]),
        (1, vec![holder(3), holder(4)]),
    )
    .unwrap();
    let epoch = epoch_json();
    let escrow = Escrow::seal(&epoch_keys(&epoch), &policy, &entropy).unwrap();
    let opening = draws("vector opening", 1);
    let opening_key = SecretKey::generate(&replay(&opening)).unwrap();
    let leaf = Digest([0x1f; 32]);
    let released: Vec<String> = escrow
        .share_boxes()
        .iter()
        .zip(&keys)
        .map(|(share, key)| {
            hex(&share.release(key, &opening_key.public(), &leaf, &entropy).unwrap())
        })
        .collect();
    // What a reader without HPKE needs, to check all the rest.
    let shares: Vec<String> = escrow
        .share_boxes()
        .iter()
        .zip(&seeds)
        .map(|(share, seed)| {
            let key =
                SecretKey::from_seed(Secret::copied(seed.as_slice().try_into().unwrap())).unwrap();
            let bytes = share.encode();
            // §6.4: mark 8, numbers 4, target … holder, commitment 32, box 1169.
            let (named, sealed) = bytes.split_at(bytes.len() - 1169);
            let context = [&named[12..named.len() - 32], &named[8..12]].concat();
            hex(&hseal::open(&key, "share", &[&context], sealed).unwrap())
        })
        .collect();
    json!({
        "names": names(), "epoch": epoch, "holder_seeds": seeds.iter().map(|s| hex(s)).collect::<Vec<_>>(),
        "policy": policy.digest().to_string(), "escrow": hex(&escrow.encode()),
        "share_boxes": escrow.share_boxes().iter().map(|each| hex(&each.encode())).collect::<Vec<_>>(),
        "shares": shares, "opening_seed": hex(&opening[0]), "leaf": leaf.to_string(),
        "released": released,
    })
}

fn all() -> [(&'static str, Value); 4] {
    [("primitives", primitives()), ("account", account()), ("mail", mail()), ("escrow", escrow())]
}

fn read(name: &str) -> Value {
    let path = vectors(&format!("bw1/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// When the specification changes, this fails and leaves what the code writes now in the folder
/// it names, to be published.
#[test]
fn this_code_still_writes_the_published_vectors() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let mut changed = Vec::new();
    for (name, value) in all().into_iter().filter(|(name, value)| read(name) != *value) {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        std::fs::write(format!("{folder}/{name}.json"), text).unwrap();
        changed.push(name);
    }
    assert!(changed.is_empty(), "not what this code writes: {changed:?}; see {folder}");
}

#[test]
fn the_published_primitives_open() {
    let v = read("primitives");
    let k = secret(&v, "k");
    let plain = octets(&v, "plain");
    let ctx = octets(&v, "ctx");
    assert_eq!(cwrap::unwrap(&k, "test", &[&ctx], &octets(&v, "cwrap")).unwrap().as_slice(), plain);
    let key = SecretKey::from_seed(secret(&v, "seed")).unwrap();
    assert_eq!(hseal::open(&key, "test", &[&ctx], &octets(&v, "hseal")).unwrap().as_slice(), plain);
    let ik = BlobKey::from_secret(secret(&v, "ik"));
    assert_eq!(blob::open(&ik, &ctx, &octets(&v, "blob")).unwrap(), plain);
    let long = blob::open(&ik, &ctx, &octets(&v, "long_blob")).unwrap();
    assert_eq!(long, pattern(40_000, 253));
}

#[test]
fn the_published_account_unlocks_with_each_of_its_secrets() {
    let v = read("account");
    let manifest = SignedManifest::decode(&octets(&v, "manifest")).unwrap();
    let pepper = secret(&v, "pepper");
    let text = |field: &str| v[field].as_str().unwrap();
    let (output, device) = (secret(&v, "prf_output"), secret(&v, "device_key"));
    let export = Secret::copied(&octets(&v, "export_key").try_into().unwrap());
    let secrets = [
        // A composed Å and a plain space: the same password once prepared.
        Unlocker::Password { text: "A\u{30a}ngstro\u{308}m horse", pepper: Some(&pepper) },
        Unlocker::AppPassword(text("app_password")),
        Unlocker::Recovery(text("recovery_code")),
        Unlocker::Opaque { export: &export, record: &[0x11; 192] },
        Unlocker::Passkey { output: &output, salt: &[0x10; 32] },
        Unlocker::Device(&device),
        Unlocker::Token(text("token")),
    ];
    for (with, slot) in secrets.iter().zip(v["slots"].as_array().unwrap()) {
        let slot = SlotRecord::decode(&unhex(slot.as_str().unwrap())).unwrap();
        let unlocked = unlock(ACCOUNT, &slot, &manifest, with, NOW, 1).unwrap();
        assert_eq!(unlocked.note.name(), text("note"));
        let record = EpochRecord::decode(&octets(&v, "epoch_record")).unwrap();
        assert!(manifest.manifest().epochs[0].describes(&record));
        let keys = record.open(&unlocked.root).unwrap();
        assert!(keys.public(NOW) == epoch_keys(&v["epoch"]).public(NOW));
    }
}

#[test]
fn the_published_letter_and_row_open() {
    let v = read("mail");
    let keys = epoch_keys(&v["epoch"]);
    let head = octets(&v, "head_record");
    let ingest = VerifyingKey(octets(&v, "ingest_public").try_into().unwrap());
    let before = Chain::decode(&octets(&v, "chain_before")).unwrap();
    let chain = verify_ingest(&head, &ingest, &before).unwrap();
    assert_eq!(chain.encode(), octets(&v, "chain"));
    let opened = open_head(&head, &keys).unwrap();
    assert_eq!(opened.head, octets(&v, "head"));
    let context = blob::body_context(ACCOUNT, opened.header.letter);
    let body = blob::open(&opened.body_key, &context, &octets(&v, "body_record")).unwrap();
    assert!(body.starts_with(&octets(&v, "message")));
    let rows = RowKeys::of_epoch(&keys).unwrap();
    let (modseq, plain) = rows.open(RecordKind::Message, Row(7), &octets(&v, "row_value")).unwrap();
    assert_eq!((modseq, plain), (ModSeq(9), octets(&v, "row_plain")));
}

#[test]
fn the_published_escrow_opens_through_a_release() {
    let v = read("escrow");
    let escrow = Escrow::decode(&octets(&v, "escrow")).unwrap();
    assert_eq!(escrow.policy().to_string(), v["policy"].as_str().unwrap());
    let opening = SecretKey::from_seed(secret(&v, "opening_seed")).unwrap();
    let leaf = Digest(octets(&v, "leaf").try_into().unwrap());
    let list = |field: &str, place: usize| unhex(v[field][place].as_str().unwrap());
    let shares: Vec<_> = [0, 2, 4]
        .map(|place| {
            let share = ShareBox::decode(&list("share_boxes", place)).unwrap();
            share.receive(&list("released", place), &opening, &leaf).unwrap()
        })
        .into();
    let keys = escrow.open(&shares).unwrap();
    assert!(keys.public(NOW) == epoch_keys(&v["epoch"]).public(NOW));
}
