//! A small world for tests: a cell with officers, holders, a log and witnesses.

use custody::acts;
use custody::holder::{
    Answer, HolderSide, Served, ask_guard, ask_trustee, examine_guard, examine_trustee,
};
use custody::user::{Changes, CreateAccount, Locked, Record, create};
use custody::{
    Approval, Draft, LeafReceipt, LogTrust, Officer, OrderEpoch, OrderRecord, Place, RecipientKey,
    Refused, Register, ReleaseEvidence, Role, TrustPolicy,
};
use seal::epoch::begins;
use seal::escrow::{Escrow, EscrowPolicy};
use seal::holder::{Holder, HolderKey};
use seal::mac::sha256;
use seal::sign::SigningKey;
use seal::{Entropy, Secret};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tlog::{Cosigner, Log, NoteSigner, TlogProof};
use vocab::{
    AccountId, CaseId, CellId, Custody, Digest, Epoch, HolderId, PersonId, RecordKind, Timestamp,
};

/// 2026-09-15, when the account is made.
pub(crate) const MADE: Timestamp = Timestamp(1_789_430_400);
/// 2026-11-21, when the order is carried out.
pub(crate) const NOW: Timestamp = Timestamp(1_795_219_200);
/// October 2026.
pub(crate) const MONTH: Epoch = Epoch(322);
pub(crate) const DAY: u64 = 86_400;

pub(crate) struct Chance(Mutex<u64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed << 32))
    }
}

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        let mut counter = self.0.lock().unwrap();
        for chunk in out.chunks_mut(32) {
            *counter += 1;
            chunk.copy_from_slice(&sha256(&[&counter.to_be_bytes()]).0[..chunk.len()]);
        }
    }
}

pub(crate) struct HeldKey {
    pub(crate) id: HolderId,
    pub(crate) key: HolderKey,
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) cell: CellId,
    pub(crate) account: AccountId,
    pub(crate) counsel: (PersonId, SigningKey),
    pub(crate) approver: (PersonId, SigningKey),
    pub(crate) trustees: Vec<HeldKey>,
    pub(crate) guards: Vec<HeldKey>,
    pub(crate) policy: EscrowPolicy,
    pub(crate) trust: TrustPolicy,
    pub(crate) records: Vec<Record>,
    pub(crate) recovery: String,
    log: Log,
    pub(crate) tiles: BTreeMap<String, Vec<u8>>,
    witnesses: Vec<Cosigner>,
    seq: u64,
    /// Where the last leaf is.
    place: Place,
    /// The month new leaves are dated.
    pub(crate) month: u32,
}

fn holders(from: u8, count: u8, chance: &Chance) -> Vec<HeldKey> {
    let one = |n| HeldKey { id: HolderId([n; 16]), key: HolderKey::generate(chance).unwrap() };
    (from..from + count).map(one).collect()
}

fn named(held: &[HeldKey]) -> Vec<Holder> {
    held.iter().map(|held| Holder { id: held.id, key: held.key.public() }).collect()
}

/// Counsel may also stand in as approver, but not for the same order.
fn trust(
    cell: CellId,
    log: &str,
    counsel: &(PersonId, SigningKey),
    approver: &(PersonId, SigningKey),
) -> TrustPolicy {
    let officer = |(person, key): &(PersonId, SigningKey), role| Officer {
        person: *person,
        role,
        key: key.public().0,
        from: Timestamp(0),
        until: Timestamp(NOW.0 + 365 * DAY),
    };
    let officers = vec![
        officer(counsel, Role::Counsel),
        officer(counsel, Role::Approver),
        officer(approver, Role::Approver),
    ];
    let desk = SigningKey::from_seed(Secret::copied(&[13; 32])).unwrap().public();
    let log = LogTrust::new(log, 72 * 3600).unwrap();
    TrustPolicy { cell, log, register: Register::new(officers).unwrap(), desk }
}

impl World {
    /// Two of three trustees and two of two guards.
    pub(crate) fn new() -> Self {
        Self::with(Custody::Trustee, (2, 3), (2, 2))
    }

    pub(crate) fn with(custody: Custody, trustees: (u8, u8), guards: (u8, u8)) -> Self {
        let chance = Chance::new(7);
        let (cell, account) = (CellId([0xce; 16]), AccountId([0xac; 16]));
        let needed = (trustees.0, guards.0);
        let (trustees, guards) = (holders(1, trustees.1, &chance), holders(101, guards.1, &chance));
        let (a, b) = ((needed.0, named(&trustees)), (needed.1, named(&guards)));
        let policy = EscrowPolicy::new(cell, custody, a, b).unwrap();
        let signer = NoteSigner::from_seed("log.ie.example", &[1; 32]).unwrap();
        let witnesses = ["us.example", "witness.example.org"].iter().zip(2..);
        let witnesses: Vec<_> =
            witnesses.map(|(name, seed)| Cosigner::from_seed(name, &[seed; 32]).unwrap()).collect();
        let text = format!(
            "log {}\nwitness us {}\nwitness org {}\ngroup both all us org\nquorum both\n",
            signer.verifier_key(),
            witnesses[0].verifier_key(),
            witnesses[1].verifier_key()
        );
        let counsel =
            (PersonId([1; 16]), SigningKey::from_seed(Secret::copied(&[11; 32])).unwrap());
        let approver =
            (PersonId([2; 16]), SigningKey::from_seed(Secret::copied(&[12; 32])).unwrap());
        let trust = trust(cell, &text, &counsel, &approver);
        let (log, first) = Log::create(signer).unwrap();
        let escrow = Some(&policy);
        let with = CreateAccount {
            account,
            cell,
            custody,
            escrow,
            password: None,
            pepper: None,
            now: MADE,
        };
        let created = create(&with, &chance).unwrap();
        let recovery = created.recovery_code.to_string();
        let records = created.records;
        let tiles = BTreeMap::new();
        let mut world = Self {
            chance,
            cell,
            account,
            counsel,
            approver,
            trustees,
            guards,
            policy,
            trust,
            records,
            recovery,
            log,
            tiles,
            witnesses,
            seq: 0,
            place: Place { month: 0, seq: 0 },
            month: 202_611,
        };
        world.write(first);
        world
    }

    /// Other holders from now on, as many as before; the account does not know of it yet.
    pub(crate) fn replace_holders(&mut self, custody: Custody) {
        let (trustees, guards) = (self.trustees.len(), self.guards.len());
        let count = |number| u8::try_from(number).unwrap();
        self.trustees = holders(51, count(trustees), &self.chance);
        self.guards = holders(151, count(guards), &self.chance);
        let (a, b) = ((2, named(&self.trustees)), (2, named(&self.guards)));
        self.policy = EscrowPolicy::new(self.cell, custody, a, b).unwrap();
    }

    /// Writes a change of the keystore.
    pub(crate) fn commit(&mut self, changes: Changes) {
        for (kind, row) in changes.delete {
            self.records.retain(|old| (old.kind, old.row) != (kind, row));
        }
        for new in changes.put {
            self.records.retain(|old| (old.kind, old.row) != (new.kind, new.row));
            self.records.push(new);
        }
    }

    fn write(&mut self, sequenced: tlog::Sequenced) {
        for write in sequenced.writes {
            self.tiles.insert(write.resource.to_string(), write.bytes);
        }
    }

    pub(crate) fn locked(&self) -> Locked {
        let records = self.records.iter().map(|record| (record.kind, &record.bytes));
        Locked::from_records(self.account, records).unwrap()
    }

    pub(crate) fn escrows(&self) -> Vec<Escrow> {
        let of_kind = |record: &&Record| record.kind == RecordKind::Escrow;
        let records = self.records.iter().filter(of_kind);
        records.map(|record| Escrow::decode(&record.bytes).unwrap()).collect()
    }

    pub(crate) fn escrow(&self, epoch: Epoch) -> Escrow {
        self.escrows().into_iter().find(|escrow| escrow.epoch() == epoch).unwrap()
    }

    /// An order for the letters of October, open for ten days from yesterday.
    pub(crate) fn order(&self, recipient: &RecipientKey, scope: &str) -> OrderRecord {
        let escrow = self.escrow(MONTH);
        OrderRecord {
            version: OrderRecord::VERSION,
            case: CaseId([0xca; 16]),
            cell: self.cell,
            account: self.account,
            demand: Digest([0xde; 32]),
            scope: sha256(&[scope.as_bytes()]),
            authority: "District Court, example".to_owned(),
            basis: "production order under an example act, section 1".to_owned(),
            epochs: vec![OrderEpoch {
                epoch: MONTH.0,
                version: 1,
                guard_tag: escrow.guard_tag(),
                policy: escrow.policy(),
                last: false,
            }],
            kinds: vec![
                RecordKind::LetterHead.table(),
                RecordKind::LetterBody.table(),
                RecordKind::Message.table(),
            ],
            from: begins(MONTH),
            until: Timestamp(begins(MONTH).0 + 10 * DAY),
            not_before: Timestamp(NOW.0 - DAY),
            valid_until: Timestamp(NOW.0 + 9 * DAY),
            secret_until: None,
            recipient: recipient.public(),
            register: self.trust.register.digest(),
        }
    }

    pub(crate) fn approvals(&self, order: &OrderRecord) -> Vec<Approval> {
        let digest = OrderRecord::digest(&order.encode().unwrap());
        let at = Timestamp(NOW.0 - 3600);
        vec![
            Approval::sign(digest, self.counsel.0, Role::Counsel, at, &self.counsel.1),
            Approval::sign(digest, self.approver.0, Role::Approver, at, &self.approver.1),
        ]
    }

    /// Logs a leaf and has every witness cosign it at `at`.
    pub(crate) fn log(&mut self, draft: Draft, at: Timestamp) -> LeafReceipt {
        self.log_witnessed(draft, None, at, 2)
    }

    pub(crate) fn log_witnessed(
        &mut self,
        draft: Draft,
        open_by: Option<Timestamp>,
        at: Timestamp,
        witnesses: usize,
    ) -> LeafReceipt {
        let other = if self.seq == 0 || self.place.month == self.month {
            acts::day(at, Digest([0; 32]))
        } else {
            let leaves = std::mem::take(&mut self.seq);
            acts::month_closed(at, leaves)
        };
        let mut next = || {
            self.seq += 1;
            Place { month: self.month, seq: self.seq }
        };
        let (before, place) = (next(), next());
        self.place = place;
        let other = other.write(before, None, &self.chance).unwrap();
        let written = draft.write(place, open_by, &self.chance).unwrap();
        let (other, leaf) = (other.leaf.encode().unwrap(), written.leaf.encode().unwrap());
        let sequenced = self.log.sequence(&[&other, &leaf]).unwrap();
        let (index, mut note) = (sequenced.first + 1, sequenced.note.clone());
        self.write(sequenced);
        for witness in self.witnesses.iter().take(witnesses) {
            let line = witness.cosign(&note, at).unwrap();
            note.add(line).unwrap();
        }
        self.tiles.insert("checkpoint".to_owned(), note.encode().into_bytes());
        let size = self.log.checkpoint().size;
        let path = tlog::inclusion_proof(&self.tiles, size, index).unwrap();
        let proof = TlogProof { extra: None, index, path, note }.encode();
        LeafReceipt { leaf: leaf.to_vec(), opening: written.opening, proof }
    }

    /// A release in order: approved, then logged, then witnessed a minute ago.
    pub(crate) fn evidence(&mut self, recipient: &RecipientKey) -> ReleaseEvidence {
        let order = self.order(recipient, SCOPE);
        let approvals = self.approvals(&order);
        self.evidence_of(&order, approvals)
    }

    pub(crate) fn evidence_of(
        &mut self,
        order: &OrderRecord,
        approvals: Vec<Approval>,
    ) -> ReleaseEvidence {
        let at = Timestamp(NOW.0 - 120);
        let draft = acts::authorised(at, order, &approvals).unwrap();
        let receipt = self.log(draft, Timestamp(NOW.0 - 60));
        let order = order.encode().unwrap();
        ReleaseEvidence { version: 1, order, scope: SCOPE.to_owned(), approvals, receipt }
    }

    pub(crate) fn trustee_answer(
        &self,
        evidence: &ReleaseEvidence,
        trustee: usize,
        served: &[Served],
        now: Timestamp,
    ) -> Result<Answer, Refused> {
        let held = &self.trustees[trustee];
        let request = ask_trustee(evidence, &[self.escrow(MONTH)], held.id).unwrap();
        let side = HolderSide { key: &held.key, trust: &self.trust, served, now };
        examine_trustee(&request, &side)?.answer(&held.key, &self.chance)
    }

    pub(crate) fn guard_answer(
        &self,
        evidence: &ReleaseEvidence,
        guard: usize,
        served: &[Served],
        now: Timestamp,
    ) -> Result<Answer, Refused> {
        let held = &self.guards[guard];
        let request = ask_guard(evidence, &[self.escrow(MONTH)], held.id).unwrap();
        let side = HolderSide { key: &held.key, trust: &self.trust, served, now };
        examine_guard(&request, &side)?.answer(&held.key, &self.chance)
    }
}

pub(crate) const SCOPE: &str = r#"{"account":"…","from":"2026-10-01","until":"2026-10-11"}"#;
