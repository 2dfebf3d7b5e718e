//! A small world for tests: a cell with a store, a desk and its staff, holders, a log with
//! witnesses, and an account with letters.

use bailiwick_desk::{
    Answer, CallBack, CaseFile, Choice, Command, Demand, Desk, DeskError, DeskOptions,
    FactsConfirmed, LoggedAt, Outcome, Period, Role, Scope, SecrecyStated, SenderChecks, Signed,
    Staff,
};
use custody::cell::CellKeys;
use custody::holder::{HolderSide, examine_guard, examine_trustee};
use custody::user::{Attempt, Changes, CreateAccount, Locked, Record, Target, Unlocked, create};
use custody::{
    Approval, LeafOpening, LeafReceipt, LogTrust, OrderRecord, Pin, PinOf, Place, RecipientKey,
    TrustPolicy,
};
use law::{Facts, Packs};
use minicbor::Encode;
use seal::age::Identity;
use seal::blob::BlobKey;
use seal::epoch::begins;
use seal::escrow::EscrowPolicy;
use seal::holder::{Holder, HolderKey};
use seal::letter::{Chain, LetterSealer};
use seal::mac::sha256;
use seal::row::RowKeys;
use seal::run::Run;
use seal::sign::SigningKey;
use seal::slot::Scope as SlotScope;
use seal::{Entropy, Secret};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::{Batch, Options, Store};
use tlog::{Cosigner, Log, NoteSigner, TlogProof};
use vocab::{
    AccountId, CaseId, CellId, Custody, DataCategory, Digest, Epoch, HolderId, LetterId, ModSeq,
    PersonId, RecordKind, Row, Timestamp,
};

/// 2026-09-15, when the account is made.
pub(crate) const MADE: Timestamp = Timestamp(1_789_430_400);
/// 2026-11-21, when things happen.
pub(crate) const NOW: Timestamp = Timestamp(1_795_219_200);
/// October 2026.
pub(crate) const MONTH: Epoch = Epoch(322);
pub(crate) const DAY: u64 = 86_400;
pub(crate) const ACCOUNT: AccountId = AccountId([0xac; 16]);
pub(crate) const PAPER: &[u8] = b"%PDF-1.7 a European Production Order";

pub(crate) struct Chance(Mutex<u64>);

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        let mut counter = self.0.lock().unwrap();
        for chunk in out.chunks_mut(32) {
            *counter += 1;
            chunk.copy_from_slice(&sha256(&[&counter.to_be_bytes()]).0[..chunk.len()]);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Clerk,
    Counsel,
    Approver,
    Station,
    Auditor,
    /// Counsel and approver in one person.
    Both,
}

impl Who {
    const ALL: [(Self, &'static [Role]); 6] = [
        (Self::Clerk, &[Role::Clerk]),
        (Self::Counsel, &[Role::Counsel]),
        (Self::Approver, &[Role::Approver]),
        (Self::Station, &[Role::Station]),
        (Self::Auditor, &[Role::Auditor]),
        (Self::Both, &[Role::Counsel, Role::Approver]),
    ];

    pub(crate) fn of(role: Role) -> Self {
        Self::ALL.into_iter().find(|(_, roles)| *roles == [role]).unwrap().0
    }

    pub(crate) fn person(self) -> PersonId {
        PersonId([self as u8 + 1; 16])
    }
}

pub(crate) struct World {
    pub(crate) chance: Arc<Chance>,
    pub(crate) desk: Desk,
    pub(crate) cell: CellId,
    pub(crate) now: Timestamp,
    pub(crate) store: Store,
    pub(crate) authority: Identity,
    pub(crate) enrolled: [u8; 16],
    custody: Custody,
    keys: BTreeMap<Who, SigningKey>,
    cell_keys: CellKeys,
    trustees: Vec<(HolderId, HolderKey)>,
    guards: Vec<(HolderId, HolderKey)>,
    records: Vec<Record>,
    recovery: String,
    chain: Chain,
    log: Log,
    tiles: BTreeMap<String, Vec<u8>>,
    pub(crate) leaves: Vec<(Vec<u8>, LeafOpening)>,
    witnesses: Vec<Cosigner>,
    policy_text: String,
    pub(crate) dir: tempfile::TempDir,
}

fn holders(from: u8, count: u8, chance: &Chance) -> Vec<(HolderId, HolderKey)> {
    (from..from + count)
        .map(|n| (HolderId([n; 16]), HolderKey::generate(chance).unwrap()))
        .collect()
}

fn named(held: &[(HolderId, HolderKey)]) -> Vec<Holder> {
    held.iter().map(|(id, key)| Holder { id: *id, key: key.public() }).collect()
}

fn desk(store: &Store, keys: &CellKeys, chance: &Arc<Chance>) -> Desk {
    Desk::open(DeskOptions {
        cell: keys.cell(),
        place: "ie".parse().unwrap(),
        rows: keys.rows().unwrap(),
        signing: keys.desk().unwrap(),
        ingest: keys.ingest().unwrap().public(),
        append: store.append(),
        read: store.read(),
        preserve: store.preserve(),
        packs: Packs::builtin().unwrap(),
        entropy: chance.clone(),
    })
    .unwrap()
}

/// With the cell's pin of an account's keystore.
fn pinned(batch: Batch, records: &[Record], rows: &RowKeys, chance: &dyn Entropy) -> Batch {
    let records = records.iter().map(|record| (record.kind, &record.bytes));
    let locked = Locked::from_records(ACCOUNT, records).unwrap();
    let pin = Pin { number: locked.manifest().version, digest: locked.digest() };
    let of = PinOf::Keystore;
    let pin = pin.seal(of, ACCOUNT, rows, chance).unwrap();
    batch.put(RecordKind::AccountPin, of.row(ACCOUNT), pin)
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Custody::Trustee)
    }

    pub(crate) fn with(custody: Custody) -> Self {
        let chance = Arc::new(Chance(Mutex::new(7 << 32)));
        let dir = tempfile::tempdir().unwrap();
        let options = Options { reserve_bytes: 0, ..Options::default() };
        let store = Store::open(&dir.path().join("store"), options).unwrap();
        let cell = CellId([0xce; 16]);
        let cell_keys = CellKeys::generate(cell, chance.as_ref());
        let (trustees, guards) = (holders(1, 3, &chance), holders(101, 2, &chance));
        let (a, b) = ((2, named(&trustees)), (2, named(&guards)));
        let policy =
            (custody != Custody::Sealed).then(|| EscrowPolicy::new(cell, custody, a, b).unwrap());
        let with = CreateAccount {
            account: ACCOUNT,
            cell,
            custody,
            escrow: policy.as_ref(),
            password: None,
            pepper: None,
            now: MADE,
        };
        let created = create(&with, chance.as_ref()).unwrap();
        let batch = created.records.iter().fold(Batch::new(ACCOUNT), |batch, record| {
            batch.put(record.kind, record.row, record.bytes.clone())
        });
        let rows = cell_keys.rows().unwrap();
        let batch = pinned(batch, &created.records, &rows, chance.as_ref());
        store.append().commit_blocking(batch).unwrap();
        let signer = NoteSigner::from_seed("log.ie.example", &[1; 32]).unwrap();
        let witnesses = ["us.example", "witness.example.org"].iter().zip(2..);
        let witnesses: Vec<_> =
            witnesses.map(|(name, seed)| Cosigner::from_seed(name, &[seed; 32]).unwrap()).collect();
        let policy_text = format!(
            "log {}\nwitness us {}\nwitness org {}\ngroup both all us org\nquorum both\n",
            signer.verifier_key(),
            witnesses[0].verifier_key(),
            witnesses[1].verifier_key()
        );
        let (log, first) = Log::create(signer).unwrap();
        let keys = Who::ALL.map(|(who, _)| {
            (who, SigningKey::from_seed(Secret::copied(&[who as u8 + 50; 32])).unwrap())
        });
        let mut world = Self {
            desk: desk(&store, &cell_keys, &chance),
            authority: Identity::generate(chance.as_ref()).unwrap(),
            recovery: created.recovery_code.to_string(),
            records: created.records,
            chain: Chain::start(ACCOUNT),
            keys: keys.into(),
            now: NOW,
            enrolled: [0; 16],
            custody,
            tiles: BTreeMap::new(),
            leaves: Vec::new(),
            chance,
            cell,
            store,
            cell_keys,
            trustees,
            guards,
            log,
            witnesses,
            policy_text,
            dir,
        };
        world.write(first);
        world.staff();
        world
    }

    fn write(&mut self, sequenced: tlog::Sequenced) -> tlog::SignedNote {
        for write in sequenced.writes {
            self.tiles.insert(write.resource.to_string(), write.bytes);
        }
        sequenced.note
    }

    fn staff(&mut self) {
        for (who, roles) in Who::ALL {
            let staff = Staff {
                person: who.person(),
                name: format!("{who:?}").to_lowercase(),
                roles: roles.to_vec(),
                key: self.keys[&who].public().0,
                from: Timestamp(0),
                until: Timestamp(NOW.0 + 900 * DAY),
            };
            self.desk.enrol_staff(staff, self.now).unwrap();
        }
        let enrol = Command::EnrolAuthority {
            name: "Tribunal judiciaire, example".into(),
            place: "fr".parse().unwrap(),
            recipient: self.authority.recipient().to_string(),
            number_from: "the ministry's printed directory".into(),
            called_back: self.now,
        };
        let Ok(Answer::Authority { id, confirmed: false }) = self.ask(Who::Clerk, enrol) else {
            panic!("not enrolled");
        };
        self.enrolled = id;
        let confirm = Command::ConfirmAuthority { id };
        let confirmed = self.ask(Who::Counsel, confirm).unwrap();
        assert_eq!(confirmed, Answer::Authority { id, confirmed: true });
    }

    /// Closes the desk and folds it again from the store.
    pub(crate) fn reopen(&mut self) {
        self.desk = desk(&self.store, &self.cell_keys, &self.chance);
    }

    /// The cell's own rows, as the running cell writes them.
    pub(crate) fn cell_rows(&self) -> RowKeys {
        self.cell_keys.rows().unwrap()
    }

    pub(crate) fn key(&self, who: Who) -> &SigningKey {
        &self.keys[&who]
    }

    pub(crate) fn sign(&self, who: Who, command: &Command) -> Signed {
        let (person, key, chance) = (who.person(), self.key(who), self.chance.as_ref());
        Signed::sign(self.cell, person, key, command, self.now, chance).unwrap()
    }

    /// Asks, and gives the log what it lacks, as the binary does.
    pub(crate) fn ask(&mut self, who: Who, command: Command) -> Result<Answer, DeskError> {
        let answer = self.ask_only(who, &command)?;
        self.publish();
        Ok(answer)
    }

    pub(crate) fn ask_only(&mut self, who: Who, command: &Command) -> Result<Answer, DeskError> {
        self.now.0 += 1;
        let signed = self.sign(who, command);
        let receipt = self.desk.wants_receipt(&signed).map(|index| self.receipt(index));
        self.desk.carry_out(&signed, receipt, self.now)
    }

    pub(crate) fn publish(&mut self) {
        for unlogged in self.desk.unlogged().unwrap() {
            let seq = u64::try_from(self.leaves.len()).unwrap() + 1;
            let place = Place { month: 202_611, seq };
            let written =
                unlogged.draft.write(place, unlogged.open_by, self.chance.as_ref()).unwrap();
            let leaf = written.leaf.encode().unwrap().to_vec();
            let sequenced = self.log.sequence(&[&leaf]).unwrap();
            let index = sequenced.first;
            self.write(sequenced);
            self.leaves.push((leaf, written.opening));
            let at = LoggedAt { index, sealed: unlogged.open_by.is_some() };
            self.desk.record_logged(unlogged.event, at, self.now).unwrap();
        }
    }

    /// The receipt of a leaf, cosigned now.
    pub(crate) fn receipt(&self, index: u64) -> LeafReceipt {
        let mut note = tlog::SignedNote::parse(&self.tiles["checkpoint"]).unwrap();
        for witness in &self.witnesses {
            let line = witness.cosign(&note, self.now).unwrap();
            note.add(line).unwrap();
        }
        let path = tlog::inclusion_proof(&self.tiles, self.log.checkpoint().size, index).unwrap();
        let proof = TlogProof { extra: None, index, path, note }.encode();
        let (leaf, opening) = self.leaves[usize::try_from(index).unwrap()].clone();
        LeafReceipt { leaf, opening, proof }
    }

    pub(crate) fn trust(&self) -> TrustPolicy {
        TrustPolicy {
            cell: self.cell,
            log: LogTrust::new(&self.policy_text, 72 * 3600).unwrap(),
            register: self.desk.officers().unwrap(),
            desk: self.cell_keys.desk().unwrap().public(),
        }
    }

    /// Every holder examines for itself and answers.
    pub(crate) fn gather(&mut self, case: CaseId, trustees: usize, guards: usize) {
        let holders = self.ask(Who::Clerk, Command::Holders { case }).unwrap();
        let Answer::Holders { trustees: a, guards: b, trustees_needed, guards_needed, .. } =
            holders
        else {
            panic!("no holders");
        };
        assert_eq!((trustees_needed, guards_needed, a.len(), b.len()), (2, 2, 3, 2));
        let trust = self.trust();
        let mut answers = Vec::new();
        for asked in a.iter().take(trustees) {
            let (_, key) = self.trustees.iter().find(|(id, _)| *id == asked.holder).unwrap();
            let side = HolderSide { key, trust: &trust, served: &[], now: self.now };
            let examined = examine_trustee(&asked.request, &side).unwrap();
            answers.push(examined.answer(key, self.chance.as_ref()).unwrap());
        }
        for asked in b.iter().take(guards) {
            let (_, key) = self.guards.iter().find(|(id, _)| *id == asked.holder).unwrap();
            let side = HolderSide { key, trust: &trust, served: &[], now: self.now };
            let examined = examine_guard(&asked.request, &side).unwrap();
            answers.push(examined.answer(key, self.chance.as_ref()).unwrap());
        }
        for answer in answers {
            self.ask(Who::Clerk, Command::Share { case, answer }).unwrap();
        }
    }

    /// A letter arrives; gives its row.
    pub(crate) fn arrive(&mut self, arrived: Timestamp, message: &[u8]) -> Row {
        let (view, _) = proto::message::parse(message);
        let head = Head {
            length: u64::try_from(message.len()).unwrap(),
            sha256: sha256(&[message]).0,
            mail_from: "bounce@us.example".into(),
            rcpt_to: vec!["alice@ie.example".into()],
            received: arrived.0,
            parsed: Parsed { view: minicbor::to_vec(&view).unwrap() },
            verdicts: String::new(),
            junk: false,
        };
        let records = self.records.iter().map(|record| (record.kind, &record.bytes));
        let to = Locked::from_records(ACCOUNT, records).unwrap().arrival(arrived).unwrap();
        let mut body = Vec::new();
        let row = Row(self.chain.sequence + 1);
        let id = LetterId([u8::try_from(row.0).unwrap(); 16]);
        let chance = self.chance.as_ref();
        let step = Run::begin(&to, chance).unwrap().step().unwrap();
        let mut sealer = LetterSealer::begin(id, arrived, step, chance, &mut body).unwrap();
        sealer.push(message, &mut body).unwrap();
        let closed = sealer.close(&minicbor::to_vec(&head).unwrap(), &mut body).unwrap();
        let ingest = self.cell_keys.ingest().unwrap();
        let (record, chain) = closed.ingest(&ingest, &self.chain).unwrap();
        self.chain = chain;
        let batch = Batch::new(ACCOUNT).put(RecordKind::LetterHead, row, record).put(
            RecordKind::LetterBody,
            row,
            body,
        );
        self.store.append().commit_blocking(batch).unwrap();
        row
    }

    fn unlocked(&self) -> Unlocked {
        let records = self.records.iter().map(|record| (record.kind, &record.bytes));
        let attempt = Attempt {
            secret: &self.recovery,
            scope: SlotScope::SUDO,
            from: None,
            passwords: false,
            pepper: None,
            now: self.now,
            remembered: 0,
        };
        Locked::from_records(ACCOUNT, records).unwrap().unlock(&attempt).unwrap()
    }

    fn change_keystore(&mut self, changes: Changes) {
        let mut batch = Batch::new(ACCOUNT);
        for (kind, row) in changes.delete {
            batch = batch.delete(kind, row);
            self.records.retain(|old| (old.kind, old.row) != (kind, row));
        }
        for new in changes.put {
            batch = batch.put(new.kind, new.row, new.bytes.clone());
            self.records.retain(|old| (old.kind, old.row) != (new.kind, new.row));
            self.records.push(new);
        }
        let rows = self.cell_keys.rows().unwrap();
        let batch = pinned(batch, &self.records, &rows, self.chance.as_ref());
        self.store.append().commit_blocking(batch).unwrap();
    }

    /// The owner re-keys the account, into that custody; every letter was folded.
    pub(crate) fn rekey(&mut self, custody: Custody) {
        let (a, b) = ((2, named(&self.trustees)), (2, named(&self.guards)));
        let policy = (custody != Custody::Sealed)
            .then(|| EscrowPolicy::new(self.cell, custody, a, b).unwrap());
        let target = Target { cell: self.cell, custody, escrow: policy.as_ref() };
        let mut unlocked = self.unlocked();
        let changes = unlocked.begin_rekey(&target, self.now, self.chance.as_ref()).unwrap();
        self.change_keystore(changes);
        let keys = self.unlocked().into_keys();
        let mut batch = Batch::new(ACCOUNT);
        for found in self.store.read().scan(ACCOUNT, RecordKind::Message, Row(0)) {
            let (row, sealed) = found.unwrap();
            let old = seal::row::header(&sealed).unwrap();
            let next = vocab::EpochVersion(old.version.0 + 1);
            let of = |version| RowKeys::of_epoch(keys.epoch(old.epoch, version).unwrap()).unwrap();
            let (kind, chance) = (RecordKind::Message, self.chance.as_ref());
            let (modseq, plain) = of(old.version).open(kind, row, &sealed).unwrap();
            batch = batch.put(kind, row, of(next).seal(kind, row, modseq, &plain, chance).unwrap());
        }
        self.store.append().commit_blocking(batch).unwrap();
        let changes = self.unlocked().finish_rekey(self.now).unwrap();
        self.change_keystore(changes);
        self.custody = custody;
    }

    /// The owner logs in, and the letter becomes a message row.
    pub(crate) fn fold(&self, row: Row) {
        let records = self.records.iter().map(|record| (record.kind, &record.bytes));
        let locked = Locked::from_records(ACCOUNT, records).unwrap();
        let attempt = Attempt {
            secret: &self.recovery,
            scope: SlotScope::IMAP,
            from: None,
            passwords: false,
            pepper: None,
            now: self.now,
            remembered: 0,
        };
        let keys = locked.unlock(&attempt).unwrap().into_keys();
        let record = self.store.read().get(ACCOUNT, RecordKind::LetterHead, row).unwrap().unwrap();
        let header = seal::letter::LetterHeader::read(&record).unwrap();
        let epoch = keys.epoch(header.epoch, header.version).unwrap();
        let opened = seal::letter::open_head(&record, epoch).unwrap();
        let head: ReadHead = minicbor::decode(&opened.head).unwrap();
        let size = u32::try_from(head.length).unwrap();
        let message = message_row(
            (head.received, size, row.0),
            (header.letter, &opened.body_key),
            &head.parsed.view,
        );
        let keys = RowKeys::of_epoch(epoch).unwrap();
        let at = Row(1000 + row.0);
        let sealed =
            keys.seal(RecordKind::Message, at, ModSeq(at.0), &message, self.chance.as_ref());
        let batch = Batch::new(ACCOUNT)
            .put(RecordKind::Message, at, sealed.unwrap())
            .delete(RecordKind::LetterHead, row);
        self.store.append().commit_blocking(batch).unwrap();
    }
}

/// specs/mail-rows.md §2; the station reads no more of it.
#[derive(Encode, minicbor::Decode)]
struct Parsed {
    #[cbor(n(0), with = "minicbor::bytes")]
    view: Vec<u8>,
}

/// specs/mail-rows.md §2.
#[derive(Encode)]
struct Head {
    #[n(0)]
    length: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    sha256: [u8; 32],
    #[n(2)]
    mail_from: String,
    #[n(3)]
    rcpt_to: Vec<String>,
    #[n(4)]
    received: u64,
    #[n(5)]
    parsed: Parsed,
    #[n(6)]
    verdicts: String,
    #[n(7)]
    junk: bool,
}

#[derive(minicbor::Decode)]
struct ReadHead {
    #[n(0)]
    length: u64,
    #[n(4)]
    received: u64,
    #[n(5)]
    parsed: Parsed,
}

/// specs/mail-rows.md §4.
fn message_row(
    (received, size, body): (u64, u32, u64),
    (letter, key): (LetterId, &BlobKey),
    view: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut out);
    let e = encoder.array(13).unwrap().u8(1).unwrap().u8(2).unwrap().u8(8).unwrap();
    let e = e.array(0).unwrap().u64(received).unwrap().u32(size).unwrap().u64(body).unwrap();
    let e = e.bytes(&letter.0).unwrap().bytes(key.expose()).unwrap();
    let e = e.bytes(b"()").unwrap().bytes(view).unwrap();
    e.str("").unwrap().null().unwrap();
    out
}

/// A replay case's facts, stated and assumed.
pub(crate) fn facts(file: &str) -> Facts {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    let file: toml::Table = toml::from_str(&text).unwrap();
    let mut facts = file["facts"].as_table().unwrap().clone();
    facts.extend(file["assumed"].as_table().unwrap().clone());
    facts.try_into().unwrap()
}

pub(crate) fn checks() -> SenderChecks {
    SenderChecks {
        form_is_usual: true,
        issuer_found: true,
        called_back: Some(CallBack {
            number_from: "the ministry's printed directory".into(),
            at: NOW,
            confirmed: true,
        }),
        forgery_suspected: false,
    }
}

pub(crate) fn scope() -> Scope {
    Scope {
        version: 1,
        account: ACCOUNT,
        from: begins(MONTH),
        until: begins(Epoch(MONTH.0 + 1)),
        categories: vec![DataCategory::Traffic, DataCategory::Content],
        form: bailiwick_desk::Form::Opened,
        fields: vec![],
        correspondents: vec![],
        message_ids: vec![],
    }
}

pub(crate) fn letter(from: &str, subject: &str, text: &str) -> Vec<u8> {
    format!(
        "From: <{from}>\r\nTo: alice@ie.example\r\nSubject: {subject}\r\n\
         Date: Sun, 4 Oct 2026 10:00:00 +0200\r\n\
         Message-ID: <{}@example.org>\r\n\r\n{text}\r\n",
        subject.replace(' ', ".")
    )
    .into_bytes()
}

impl World {
    /// A European Production Order for content, as G01, served yesterday and cleared.
    pub(crate) fn demand(&self) -> Demand {
        let mut facts = facts("ie/cases/G01-epoc-content-notified.toml");
        facts.served = "2026-11-20T09:12:00+01:00".parse().unwrap();
        facts.enforcing_authority = law::EnforcingAuthority::Cleared.into();
        facts.items[0].item_keys = law::KeyHolder::from(self.custody).into();
        // Traffic is asked for as well.
        let mut traffic = facts.items[0].clone();
        traffic.name = "traffic".into();
        traffic.category = law::Fact::Known(DataCategory::Traffic);
        facts.items.push(traffic);
        Demand {
            authority: "Tribunal judiciaire, example".into(),
            enrolled: Some(self.enrolled),
            reference: "24/1789".into(),
            basis: "European Production Order, Regulation (EU) 2023/1543 art. 5".into(),
            identifiers: vec!["alice@ie.example".into()],
            period: Some(Period { from: begins(MONTH), until: begins(Epoch(MONTH.0 + 1)) }),
            facts,
            secrecy: Some(SecrecyStated::None),
            rehearsal: false,
        }
    }

    pub(crate) fn receive(&mut self, demand: Demand) -> CaseId {
        let receive = Command::Receive {
            demand: Box::new(demand),
            document: PAPER.to_vec(),
            account: Some(ACCOUNT),
            // Every demand of this world comes with one paper.
            again: true,
        };
        match self.ask(Who::Clerk, receive) {
            Ok(Answer::Received { receipt }) => receipt.case,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn verify(&mut self, case: CaseId) {
        let facts = serde_json::Map::new();
        self.ask(Who::Clerk, Command::Verify { case, checks: checks(), facts }).unwrap();
    }

    pub(crate) fn assess(&mut self, case: CaseId) -> law::Assessment {
        let facts = serde_json::Map::new();
        match self.ask(Who::Counsel, Command::Assess { case, facts }) {
            Ok(Answer::Opinion { opinion, .. }) => *opinion,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn decide(&mut self, case: CaseId, outcome: Outcome) -> Result<Answer, DeskError> {
        let scope = matches!(outcome, Outcome::Comply | Outcome::Narrow).then(scope);
        let choice = Box::new(Choice { outcome, scope, reason: None, codes: vec![] });
        self.ask(Who::Counsel, Command::Decide { case, choice })
    }

    /// A case decided, for the whole of the demand.
    pub(crate) fn decided(&mut self) -> CaseId {
        let demand = self.demand();
        let case = self.receive(demand);
        self.verify(case);
        self.assess(case);
        self.decide(case, Outcome::Comply).unwrap();
        case
    }

    pub(crate) fn prepare(&mut self, case: CaseId, key: &RecipientKey) -> Vec<u8> {
        let recipient = key.public();
        let prepare = Command::Prepare { case, recipient, valid_seconds: 10 * DAY };
        match self.ask(Who::Counsel, prepare) {
            Ok(Answer::Prepared { order, .. }) => order,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn approval(&self, who: Who, role: custody::Role, order: &[u8]) -> Approval {
        let digest = OrderRecord::digest(order);
        Approval::sign(digest, who.person(), role, self.now, self.key(who))
    }

    pub(crate) fn approve(
        &mut self,
        case: CaseId,
        who: Who,
        role: custody::Role,
        order: &[u8],
    ) -> Result<Answer, DeskError> {
        let approval = self.approval(who, role, order);
        let approve = self.approval_of(who, case, approval);
        self.ask(who, approve)
    }

    /// The command to approve, with the officer's word on the facts as `show` gives them.
    pub(crate) fn approval_of(&mut self, who: Who, case: CaseId, approval: Approval) -> Command {
        let (file, key) = (self.file(case), self.key(who));
        let order = file.order.unwrap_or(Digest([0; 32]));
        let facts = FactsConfirmed::sign(case, order, &file.facts, key);
        Command::Approve { case, approval, facts }
    }

    pub(crate) fn file(&mut self, case: CaseId) -> CaseFile {
        match self.ask_only(Who::Auditor, &Command::Show { case }) {
            Ok(Answer::File { file }) => *file,
            other => panic!("{other:?}"),
        }
    }

    /// A case approved and in the log, and the station's key.
    pub(crate) fn logged(&mut self, case: CaseId) -> RecipientKey {
        let key = RecipientKey::generate(self.chance.as_ref()).unwrap();
        let order = self.prepare(case, &key);
        self.approve(case, Who::Counsel, custody::Role::Counsel, &order).unwrap();
        self.approve(case, Who::Approver, custody::Role::Approver, &order).unwrap();
        key
    }

    pub(crate) fn done(&mut self, who: Who, command: Command) {
        let answer = self.ask(who, command).unwrap();
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }
}
