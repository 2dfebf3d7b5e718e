//! A small cell: one store, one sealed account, a clock that stands, chance that repeats.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick_mail::account::{
    Account, Anchors, Door, DoorOptions, Keystores, KeystoresOptions, LoginError, Registry,
    Services, Shown,
};
use bailiwick_mail::imap::{Context, Limits};
use bailiwick_mail::letter::{Head, Parsed};
use bailiwick_mail::quota::{Quota, Quotas};
use bailiwick_mail::runtime::Clock;
use custody::cell::CellKeys;
use custody::user::{CreateAccount, Locked, create};
use seal::Entropy;
use seal::letter::{Chain, LetterSealer};
use seal::run::{Run, Step};
use seal::sign::SigningKey;
use store::{Batch, Options, Store};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::watch;
use vocab::{AccountId, CellId, Custody, LetterId, RecordKind, Row, Timestamp};

/// 2026-11-21T12:00:00Z
pub(crate) const NOW: u64 = 1_795_262_400;
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// For how many days what is expunged can be put back.
pub(crate) const UNDELETE_DAYS: u16 = 14;
/// The cell that accounts are made in.
const CELL: CellId = CellId([1; 16]);
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
    cell: CellId,
    pub(crate) store: Store,
    pub(crate) account: AccountId,
    pub(crate) secret: String,
    pub(crate) door: Arc<Door>,
    pub(crate) down: watch::Sender<bool>,
    pub(crate) limits: Limits,
    pub(crate) quota: Quota,
    pub(crate) clock: Arc<StandingClock>,
    pub(crate) ingest: SigningKey,
    pub(crate) keystores: Arc<Keystores>,
    chain: Mutex<Chain>,
    run: Mutex<Option<(Timestamp, Run)>>,
    pub(crate) entropy: Arc<CountedEntropy>,
    directory: Arc<tempfile::TempDir>,
}

/// The cell's keys, in every run.
pub(crate) fn cell_keys() -> CellKeys {
    keys_of(CELL)
}

/// Those of another cell.
pub(crate) fn keys_of(cell: CellId) -> CellKeys {
    CellKeys::generate(cell, &CountedEntropy(AtomicU64::new(1 << 40)))
}

pub(crate) fn keystores(store: &Store, entropy: &Arc<CountedEntropy>) -> Arc<Keystores> {
    keystores_of(CELL, store, entropy)
}

fn keystores_of(cell: CellId, store: &Store, entropy: &Arc<CountedEntropy>) -> Arc<Keystores> {
    let (append, read) = (store.append(), store.read());
    let keys = keys_of(cell);
    let options = KeystoresOptions { keys: &keys, append, read, entropy: entropy.clone() };
    Keystores::new(options).unwrap()
}

/// Awaits on a thread of its own: a world is made from tests that run async code and from others.
fn apart<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let alone = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
    std::thread::scope(|scope| scope.spawn(alone).join().unwrap())
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
                cell: CELL,
                custody: Custody::Sealed,
                escrow: None,
                password: None,
                pepper: None,
                now: Timestamp(NOW),
            },
            entropy.as_ref(),
        )
        .unwrap();
        let keystores = keystores(&store, &entropy);
        apart(keystores.create(account, created.records)).unwrap();
        let ingest = SigningKey::generate(entropy.as_ref()).unwrap();
        let secret = created.recovery_code.to_string();
        let chain = Chain::start(account);
        Self::around(CELL, store, account, secret, ingest, chain, entropy, directory)
    }

    /// Another cell, where the account never was; the secret is its owner's.
    pub(crate) fn empty(cell: CellId, secret: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(&directory.path().join("store"), options()).unwrap();
        let entropy = Arc::new(CountedEntropy(AtomicU64::new(1 << 32)));
        let (account, secret) = (AccountId([7; 16]), secret.to_owned());
        let ingest = SigningKey::generate(entropy.as_ref()).unwrap();
        let chain = Chain::start(account);
        Self::around(cell, store, account, secret, ingest, chain, entropy, directory)
    }

    #[expect(clippy::too_many_arguments, reason = "all that a world is made of")]
    fn around(
        cell: CellId,
        store: Store,
        account: AccountId,
        secret: String,
        ingest: SigningKey,
        chain: Chain,
        entropy: Arc<CountedEntropy>,
        directory: Arc<tempfile::TempDir>,
    ) -> Self {
        let clock = Arc::new(StandingClock(AtomicU64::new(NOW)));
        let anchors = Anchors::new(&keys_of(cell), store.read(), entropy.clone()).unwrap();
        let registry = Registry::new(Services {
            append: store.append(),
            read: store.read(),
            entropy: entropy.clone(),
            clock: clock.clone(),
            anchors,
            undelete_days: UNDELETE_DAYS,
        });
        let keystores = keystores_of(cell, &store, &entropy);
        let door = Door::new(
            registry,
            DoorOptions {
                resolve: Arc::new(move |user| (user == USER).then_some(account)),
                policy: Arc::new(|_| None),
                keystores: keystores.clone(),
                ingest: ingest.public(),
                pepper: None,
                passwords: true,
                parallel: 2,
            },
        );
        let limits = Limits {
            append_octets: 1 << 20,
            failed_login: Duration::from_millis(1),
            ..Limits::default()
        };
        let down = watch::Sender::new(false);
        let chain = Mutex::new(chain);
        Self {
            cell,
            store,
            account,
            secret,
            door,
            down,
            limits,
            quota: Quota::default(),
            clock,
            ingest,
            keystores,
            chain,
            run: Mutex::default(),
            entropy,
            directory,
        }
    }

    /// The same cell after its process ended: what was in memory only is gone.
    pub(crate) async fn restarted(self) -> Self {
        let Self { cell, store, account, secret, door, ingest, keystores, .. } = self;
        let Self { chain, entropy, directory, .. } = self;
        drop((door, keystores));
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
        Self::around(cell, store, account, secret, ingest, chain, entropy, directory)
    }

    pub(crate) fn context(&self) -> Context {
        let quotas = Quotas::new(self.quota, Arc::new(|_| None), self.store.read());
        Context {
            door: self.door.clone(),
            quotas: Arc::new(quotas),
            limits: self.limits,
            shutdown: self.down.subscribe(),
        }
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The owner's own secret, from nowhere in particular.
    pub(crate) fn shown(&self) -> Shown<'_> {
        Shown { user: USER, secret: &self.secret, is_token: false, from: None }
    }

    pub(crate) async fn open(&self) -> Arc<Account> {
        self.door.open(self.shown()).await.unwrap().0
    }

    pub(crate) async fn try_open(&self) -> Result<Arc<Account>, LoginError> {
        self.door.open(self.shown()).await.map(|(account, _)| account)
    }

    /// The next letter's place, in runs as long as they may be.
    fn step(&self) -> Step {
        let (mut run, now) = (self.run.lock().unwrap(), self.clock.now());
        let under_way = run.as_mut().filter(|(begun, _)| *begun == now);
        if let Some(step) = under_way.and_then(|(_, run)| run.step()) {
            return step;
        }
        let to = self.locked().arrival(now).unwrap();
        let (_, run) = run.insert((now, Run::begin(&to, self.entropy.as_ref()).unwrap()));
        run.step().unwrap()
    }

    /// A letter as delivery seals it.
    pub(crate) fn sealed(&self, message: &[u8], junk: bool) -> (Batch, u64) {
        self.sealed_by(&self.ingest, message, junk)
    }

    /// A letter as delivery seals it, but that another signs its arrival.
    pub(crate) fn sealed_by(
        &self,
        ingest: &SigningKey,
        message: &[u8],
        junk: bool,
    ) -> (Batch, u64) {
        let mut chain = self.chain.lock().unwrap();
        let mut letter = [0; 16];
        self.entropy.fill(&mut letter);
        let mut body = Vec::new();
        let step = self.step();
        let mut sealer = LetterSealer::begin(
            LetterId(letter),
            self.clock.now(),
            step,
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
            parsed: Parsed::of(message),
            verdicts: "ie.example; none".to_owned(),
            junk,
        };
        let closed = sealer.close(&head.encode(), &mut body).unwrap();
        let (record, next) = closed.ingest(ingest, &chain).unwrap();
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
            from: None,
            passwords: false,
            pepper: None,
            now: self.clock.now(),
            remembered: 0,
        };
        let mut unlocked = self.locked().unlock(&attempt).unwrap();
        let changes = unlocked.upkeep(None, self.clock.now(), self.entropy.as_ref()).unwrap();
        self.keystores.commit(self.account, changes).await.unwrap();
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

/// Reads until a line that begins with `mark` is whole, or to the end of the connection.
pub(crate) async fn until(client: &mut DuplexStream, mark: &str) -> String {
    let mut got = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&got);
        if text.ends_with("\r\n") && text.lines().any(|line| line.starts_with(mark)) {
            return text.into_owned();
        }
        let read = tokio::time::timeout(PATIENCE, client.read(&mut buffer));
        match read.await.unwrap().unwrap_or(0) {
            0 => return String::from_utf8(got).unwrap(),
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
}
