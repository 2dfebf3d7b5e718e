//! A small cell: one store, one sealed account, a clock that stands, chance that repeats.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick_mail::account::{Account, Door, DoorOptions, Registry, Services, batch};
use bailiwick_mail::imap::{Context, Limits};
use bailiwick_mail::letter::Head;
use bailiwick_mail::runtime::Clock;
use custody::user::{Changes, CreateAccount, Locked, create};
use seal::Entropy;
use seal::letter::{Chain, LetterSealer};
use seal::sign::SigningKey;
use store::{Batch, Options, Store};
use tokio::sync::watch;
use vocab::{AccountId, CellId, Custody, LetterId, RecordKind, Row, Timestamp};

/// 2026-11-21T12:00:00Z
pub(crate) const NOW: u64 = 1_795_262_400;
pub(crate) const USER: &str = "alice@ie.example";

pub(crate) struct StandingClock(pub(crate) AtomicU64);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Hashes of a counter: the same in every run, and never twice.
pub(crate) struct CountedEntropy(AtomicU64);

impl Entropy for CountedEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            let block = seal::mac::sha256(&[b"test entropy", &count.to_be_bytes()]);
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) account: AccountId,
    pub(crate) secret: String,
    pub(crate) door: Arc<Door>,
    pub(crate) down: watch::Sender<bool>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<StandingClock>,
    pub(crate) ingest: SigningKey,
    chain: Mutex<Chain>,
    entropy: Arc<CountedEntropy>,
    directory: Arc<tempfile::TempDir>,
}

fn options() -> Options {
    Options { segment_bytes: 4 << 20, reserve_bytes: 0, ..Options::default() }
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(&directory.path().join("store"), options()).unwrap();
        let entropy = Arc::new(CountedEntropy(AtomicU64::new(0)));
        let account = AccountId([7; 16]);
        let created = create(
            &CreateAccount {
                account,
                cell: CellId([1; 16]),
                custody: Custody::Sealed,
                escrow: None,
                password: None,
                pepper: None,
                now: Timestamp(NOW),
            },
            entropy.as_ref(),
        )
        .unwrap();
        let changes = Changes { put: created.records, delete: Vec::new() };
        store.append().commit_blocking(batch(account, changes)).unwrap();
        let ingest = SigningKey::generate(entropy.as_ref()).unwrap();
        let secret = created.recovery_code.to_string();
        let chain = Chain::start(account);
        Self::around(store, account, secret, ingest, chain, entropy, directory)
    }

    fn around(
        store: Store,
        account: AccountId,
        secret: String,
        ingest: SigningKey,
        chain: Chain,
        entropy: Arc<CountedEntropy>,
        directory: Arc<tempfile::TempDir>,
    ) -> Self {
        let clock = Arc::new(StandingClock(AtomicU64::new(NOW)));
        let registry = Registry::new(Services {
            append: store.append(),
            read: store.read(),
            entropy: entropy.clone(),
            clock: clock.clone(),
        });
        let door = Door::new(
            registry,
            DoorOptions {
                resolve: Arc::new(move |user| (user == USER).then_some(account)),
                policy: Arc::new(|_| None),
                ingest: ingest.public(),
                pepper: None,
                passwords: true,
                parallel: 2,
            },
        );
        let limits = Limits {
            append_octets: 1 << 20,
            failed_login: std::time::Duration::from_millis(1),
            ..Limits::default()
        };
        let down = watch::Sender::new(false);
        let chain = Mutex::new(chain);
        Self {
            store,
            account,
            secret,
            door,
            down,
            limits,
            clock,
            ingest,
            chain,
            entropy,
            directory,
        }
    }

    /// The same cell after its process ended: what was in memory only is gone.
    pub(crate) async fn restarted(self) -> Self {
        let Self { store, account, secret, door, ingest, chain, entropy, directory, .. } = self;
        drop(door);
        store.close().unwrap();
        let path = directory.path().join("store");
        let store = loop {
            match Store::open(&path, options()) {
                // A folding task lets go of its handle when it is next polled.
                Err(store::OpenError::Locked) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        };
        let chain = *chain.lock().unwrap();
        Self::around(store, account, secret, ingest, chain, entropy, directory)
    }

    pub(crate) fn context(&self) -> Context {
        Context { door: self.door.clone(), limits: self.limits, shutdown: self.down.subscribe() }
    }

    pub(crate) async fn open(&self) -> Arc<Account> {
        self.door.open(USER, &self.secret).await.unwrap()
    }

    /// A letter as delivery seals it.
    pub(crate) fn sealed(&self, message: &[u8], junk: bool) -> (Batch, u64) {
        let mut chain = self.chain.lock().unwrap();
        let locked = self.locked();
        let public = locked.arrival(self.clock.now()).unwrap();
        let mut letter = [0; 16];
        self.entropy.fill(&mut letter);
        let mut body = Vec::new();
        let mut sealer = LetterSealer::begin(
            LetterId(letter),
            self.clock.now(),
            &public,
            self.entropy.as_ref(),
            &mut body,
        )
        .unwrap();
        sealer.push(message, &mut body).unwrap();
        let head = Head {
            length: message.len() as u64,
            sha256: seal::mac::sha256(&[message]).0,
            mail_from: "sender@example.org".to_owned(),
            rcpt_to: vec![USER.to_owned()],
            received: self.clock.now().0,
            view: proto::message::parse(message).0,
            verdicts: "ie.example; none".to_owned(),
            junk,
        };
        let closed = sealer.close(&head.encode(), &mut body).unwrap();
        let (record, next) = closed.ingest(&self.ingest, &chain).unwrap();
        *chain = next;
        let row = Row(next.sequence);
        let batch = Batch::new(self.account)
            .put(RecordKind::LetterHead, row, record)
            .put(RecordKind::LetterBody, row, body)
            .put(RecordKind::Arrivals, Row(0), next.encode());
        (batch, next.sequence)
    }

    pub(crate) async fn deliver(&self, message: &[u8]) -> u64 {
        let (batch, row) = self.sealed(message, false);
        self.store.append().commit(batch).await.unwrap();
        row
    }

    /// What another session does at login: the months ahead made and stored, its keys not
    /// handed to the account that is open.
    pub(crate) async fn unlocked_with_upkeep(&self) -> custody::user::AccountKeys {
        let attempt = custody::user::Attempt {
            secret: &self.secret,
            scope: seal::slot::Scope::IMAP,
            passwords: false,
            pepper: None,
            now: self.clock.now(),
            remembered: 0,
        };
        let mut unlocked = self.locked().unlock(&attempt).unwrap();
        let changes = unlocked.upkeep(None, self.clock.now(), self.entropy.as_ref()).unwrap();
        self.store.append().commit(batch(self.account, changes)).await.unwrap();
        unlocked.into_keys()
    }

    fn locked(&self) -> Locked {
        let read = self.store.read();
        let mut records = Vec::new();
        for kind in [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox] {
            for found in read.scan(self.account, kind, Row(0)) {
                records.push((kind, found.unwrap().1));
            }
        }
        Locked::from_records(self.account, records).unwrap()
    }
}
