//! Small cells: a store, sealed accounts, a clock that stands, chance that repeats, and a
//! network that leads where the test says.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick_mail::account::{
    Account, Anchors, Door, DoorOptions, Keystores, KeystoresOptions, Registry, Services, Shown,
};
use bailiwick_mail::dkim::{Signer, SignerOptions};
use bailiwick_mail::dns::Dns;
use bailiwick_mail::inbound::{
    Budget, Context, Deliverer, DelivererOptions, Limits, Service, serve,
};
use bailiwick_mail::mailbox::Name;
use bailiwick_mail::network::{Accept, BoxStream, Connecting, Network};
use bailiwick_mail::queue::{Queue, QueueOptions, Retry};
use bailiwick_mail::quota::{Quota, Quotas};
use bailiwick_mail::routes::{Peer, Routes, RoutesOptions};
use bailiwick_mail::runtime::Clock;
use base64::Engine as _;
use custody::cell::CellKeys;
use custody::user::{CreateAccount, create};
use proto::address::{Address, Domain};
use seal::Entropy;
use seal::Secret;
use store::{Options, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use vocab::{AccountId, CellId, Custody, RecordKind, Row, Timestamp};

use super::talk::Talk;

/// 2026-11-21T12:00:00Z
pub(crate) const NOW: u64 = 1_795_262_400;
/// Where strangers come from.
pub(crate) const STRANGER: &str = "192.0.2.1:2525";

pub(crate) struct StandingClock(AtomicU64);

impl StandingClock {
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Hashes of a counter: the same in every run, and never twice.
struct CountedEntropy(AtomicU64);

impl Entropy for CountedEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            let block = seal::mac::sha256(&[b"test entropy", &count.to_be_bytes()]);
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }
}

/// Chance that repeats, from a place of its own.
pub(crate) fn chance(seed: u64) -> impl Entropy {
    CountedEntropy(AtomicU64::new(seed << 40))
}

/// What stands for TLS here: each side says a word, and then the octets pass as they are.
pub(crate) struct Handshake;

impl Accept for Handshake {
    fn accept(&self, mut stream: BoxStream) -> Connecting<'_> {
        Box::pin(async move {
            let mut word = [0; 6];
            stream.read_exact(&mut word).await?;
            if &word != b"HELLO\n" {
                return Err(io::ErrorKind::InvalidData.into());
            }
            stream.write_all(b"OK\n").await?;
            stream.flush().await?;
            Ok(stream)
        })
    }
}

/// Who answers at an address.
pub(crate) type Host = Arc<dyn Fn(DuplexStream) + Send + Sync>;

/// A network of hosts in this process.
#[derive(Clone, Default)]
pub(crate) struct Net {
    hosts: Arc<Mutex<HashMap<SocketAddr, Host>>>,
    pub(crate) tls_works: Arc<std::sync::atomic::AtomicBool>,
}

impl Net {
    pub(crate) fn host(&self, at: &str, host: impl Fn(DuplexStream) + Send + Sync + 'static) {
        self.hosts.lock().unwrap().insert(at.parse().unwrap(), Arc::new(host));
    }

    pub(crate) fn unplug(&self, at: &str) {
        self.hosts.lock().unwrap().remove(&at.parse().unwrap());
    }
}

impl Network for Net {
    fn connect(&self, to: SocketAddr) -> Connecting<'_> {
        let host = self.hosts.lock().unwrap().get(&to).cloned();
        Box::pin(async move {
            let host = host.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (here, there) = duplex(1 << 16);
            host(there);
            Ok(Box::new(here) as BoxStream)
        })
    }

    fn start_tls<'a>(&'a self, mut stream: BoxStream, _name: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            if !self.tls_works.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            stream.write_all(b"HELLO\n").await?;
            let mut word = [0; 3];
            stream.read_exact(&mut word).await?;
            Ok(stream)
        })
    }

    fn connect_cell<'a>(&'a self, to: SocketAddr, _name: &'a str) -> Connecting<'a> {
        self.connect(to)
    }
}

/// How a cell is made.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) users: &'static [&'static str],
    pub(crate) peers: Vec<Peer>,
    pub(crate) net: Net,
    pub(crate) dns: Option<Dns>,
    pub(crate) is_signing: bool,
    pub(crate) limits: Limits,
    pub(crate) budget: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) quota: Quota,
    pub(crate) postmaster: Option<&'static str>,
}

impl Plan {
    pub(crate) fn new(name: &'static str, users: &'static [&'static str]) -> Self {
        Self {
            name,
            users,
            peers: Vec::new(),
            net: Net::default(),
            dns: None,
            is_signing: false,
            limits: Limits {
                message_octets: 1 << 20,
                failed_login: Duration::from_millis(1),
                ..Limits::default()
            },
            budget: 64 << 20,
            reserve_bytes: 0,
            quota: Quota::default(),
            postmaster: None,
        }
    }
}

impl Plan {
    fn hostname(&self) -> String {
        format!("mx.{}.example", self.name)
    }

    fn office(&self) -> String {
        format!("postmaster@{}.example", self.name)
    }

    fn domain(&self) -> Domain {
        Domain::parse(&format!("{}.example", self.name)).unwrap()
    }
}

/// Signs for one domain, with keys that are everybody's.
pub(crate) fn signer(domain: &Domain) -> Signer {
    Signer::new(SignerOptions {
        domains: std::slice::from_ref(domain),
        ed25519_seed: Secret::copied(&[9; 32]),
        ed25519_selector: "ed",
        rsa_key: include_str!("dkim-test-key.pem"),
        rsa_selector: "rsa",
    })
    .unwrap()
}

/// What the parts of a cell are made from.
struct Base<'a> {
    plan: &'a Plan,
    store: &'a Store,
    clock: &'a Arc<StandingClock>,
    entropy: &'a Arc<CountedEntropy>,
}

impl Base<'_> {
    fn routes(&self, keys: &CellKeys) -> Arc<Routes> {
        let options = RoutesOptions {
            keys,
            append: self.store.append(),
            read: self.store.read(),
            entropy: self.entropy.clone(),
            domains: vec![self.plan.domain()],
            peers: self.plan.peers.clone(),
            postmaster: Address::parse(self.plan.postmaster.unwrap_or(&self.plan.office()))
                .unwrap(),
        };
        Arc::new(Routes::load(options).unwrap())
    }

    fn quotas(&self, routes: &Arc<Routes>) -> Arc<Quotas> {
        let routes = routes.clone();
        let own = Arc::new(move |account| routes.quota_of(account));
        Arc::new(Quotas::new(self.plan.quota, own, self.store.read()))
    }

    fn deliverer(
        &self,
        keys: &CellKeys,
        keystores: &Arc<Keystores>,
        quotas: Arc<Quotas>,
    ) -> Arc<Deliverer> {
        Deliverer::new(DelivererOptions {
            ingest: keys.ingest().unwrap(),
            keystores: keystores.clone(),
            append: self.store.append(),
            read: self.store.read(),
            entropy: self.entropy.clone(),
            clock: self.clock.clone(),
            quotas,
        })
    }

    fn queue(
        &self,
        keys: &CellKeys,
        routes: &Arc<Routes>,
        deliverer: &Arc<Deliverer>,
    ) -> Arc<Queue> {
        // Nothing listens there: without a zone nothing is asked.
        let nowhere = || Dns::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
        Queue::load(QueueOptions {
            keys,
            append: self.store.append(),
            read: self.store.read(),
            entropy: self.entropy.clone(),
            clock: self.clock.clone(),
            hostname: self.plan.hostname(),
            routes: routes.clone(),
            deliverer: deliverer.clone(),
            dns: self.plan.dns.clone().unwrap_or_else(nowhere),
            network: Arc::new(self.plan.net.clone()),
            port: 25,
            retry: Retry::default(),
            parallel: 4,
        })
        .unwrap()
    }

    fn door(&self, keys: &CellKeys, routes: &Arc<Routes>, keystores: &Arc<Keystores>) -> Arc<Door> {
        let users = routes.clone();
        let services = Services {
            append: self.store.append(),
            read: self.store.read(),
            entropy: self.entropy.clone(),
            clock: self.clock.clone(),
            anchors: Anchors::new(keys, self.store.read(), self.entropy.clone()).unwrap(),
            undelete_days: 0,
        };
        let options = DoorOptions {
            resolve: Arc::new(move |user| users.account_of(user)),
            policy: Arc::new(|_| None),
            keystores: keystores.clone(),
            ingest: keys.ingest().unwrap().public(),
            pepper: None,
            passwords: true,
            parallel: 2,
        };
        Door::new(Registry::new(services), options)
    }
}

fn keystores(keys: &CellKeys, store: &Store, entropy: &Arc<CountedEntropy>) -> Arc<Keystores> {
    Keystores::new(KeystoresOptions {
        keys,
        append: store.append(),
        read: store.read(),
        entropy: entropy.clone(),
    })
    .unwrap()
}

pub(crate) fn peer(name: &str, relay: &str) -> Peer {
    Peer {
        name: name.to_owned(),
        domains: vec![Domain::parse(&format!("{name}.example")).unwrap()],
        relay: relay.parse().unwrap(),
        relay_name: format!("mx.{name}.example"),
    }
}

pub(crate) struct Cell {
    pub(crate) plan: Plan,
    pub(crate) context: Arc<Context>,
    pub(crate) store: Store,
    pub(crate) keystores: Arc<Keystores>,
    pub(crate) directory: Arc<tempfile::TempDir>,
    pub(crate) clock: Arc<StandingClock>,
    pub(crate) down: watch::Sender<bool>,
    quotas: Arc<Quotas>,
    secrets: Vec<(AccountId, String)>,
    keys: String,
    entropy: Arc<CountedEntropy>,
}

impl Cell {
    pub(crate) async fn new(plan: Plan) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let seed = u64::from(plan.name.as_bytes()[0]) << 32;
        let entropy = Arc::new(CountedEntropy(AtomicU64::new(seed)));
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let keys = CellKeys::generate(CellId(id), entropy.as_ref());
        let mut secrets = Vec::new();
        let store = open(directory.path(), 0);
        for _ in plan.users {
            let mut account = [0; 16];
            entropy.fill(&mut account);
            let created = create(
                &CreateAccount {
                    account: AccountId(account),
                    cell: CellId(id),
                    custody: Custody::Sealed,
                    escrow: None,
                    password: None,
                    pepper: None,
                    now: Timestamp(NOW),
                },
                entropy.as_ref(),
            )
            .unwrap();
            let keystores = keystores(&keys, &store, &entropy);
            keystores.create(AccountId(account), created.records).await.unwrap();
            secrets.push((AccountId(account), created.recovery_code.to_string()));
        }
        let clock = Arc::new(StandingClock(AtomicU64::new(NOW)));
        let keys = keys.encode().to_string();
        let users = plan.users;
        let cell = Self::around(plan, store, directory, clock, secrets, keys, entropy);
        for (user, (account, _)) in users.iter().zip(&cell.secrets) {
            let address = Address::parse(user).unwrap();
            cell.context.routes.add(&address, *account, false).await.unwrap();
        }
        cell
    }

    fn around(
        plan: Plan,
        store: Store,
        directory: Arc<tempfile::TempDir>,
        clock: Arc<StandingClock>,
        secrets: Vec<(AccountId, String)>,
        keys_text: String,
        entropy: Arc<CountedEntropy>,
    ) -> Self {
        let base = Base { plan: &plan, store: &store, clock: &clock, entropy: &entropy };
        let keys = CellKeys::decode(&keys_text).unwrap();
        let routes = base.routes(&keys);
        let keystores = keystores(&keys, &store, &entropy);
        let quotas = base.quotas(&routes);
        let deliverer = base.deliverer(&keys, &keystores, quotas.clone());
        let queue = base.queue(&keys, &routes, &deliverer);
        let door = base.door(&keys, &routes, &keystores);
        let down = watch::Sender::new(false);
        let context = Arc::new(Context {
            hostname: plan.hostname(),
            postmaster: Address::parse(&plan.office()).unwrap(),
            limits: plan.limits,
            budget: Budget::new(plan.budget, &plan.limits),
            routes,
            deliverer,
            queue,
            door,
            signer: plan.is_signing.then(|| Arc::new(signer(&plan.domain()))),
            dns: plan.dns.clone(),
            network: Arc::new(plan.net.clone()),
            starttls: Some(Arc::new(Handshake)),
            clock: clock.clone(),
            entropy: entropy.clone(),
            shutdown: down.subscribe(),
        });
        let keys = keys_text;
        Self {
            plan,
            context,
            store,
            keystores,
            directory,
            clock,
            down,
            quotas,
            secrets,
            keys,
            entropy,
        }
    }

    /// The same cell after its process died: what was in memory only is gone.
    pub(crate) async fn restarted(self, change: impl FnOnce(&mut Plan)) -> Self {
        let Self { mut plan, context, store, keystores, directory, quotas, .. } = self;
        let Self { clock, secrets, keys, entropy, .. } = self;
        change(&mut plan);
        drop((context, keystores, quotas));
        drop(store);
        let store = open(directory.path(), plan.reserve_bytes);
        Self::around(plan, store, directory, clock, secrets, keys, entropy)
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    /// A connection to a service, greeted.
    pub(crate) async fn connect(&self, service: Service) -> Talk {
        self.connect_from(STRANGER, service).await
    }

    async fn connect_from(&self, from: &str, service: Service) -> Talk {
        let from = from.parse().unwrap();
        let (here, there) = duplex(1 << 16);
        let context = self.context.clone();
        tokio::spawn(async move {
            serve(there, from, service, &context).await;
        });
        let mut talk = Talk::new(here);
        talk.expect("220 ").await;
        talk
    }

    /// A connection of a stranger that has said EHLO.
    pub(crate) async fn mx(&self) -> Talk {
        self.mx_from(STRANGER).await
    }

    pub(crate) async fn mx_from(&self, from: &str) -> Talk {
        let mut talk = self.connect_from(from, Service::Mx).await;
        talk.say("EHLO client.example.org", "250").await;
        talk
    }

    /// A connection of one of our people that has logged in.
    pub(crate) async fn submission(&self, user: &str) -> Talk {
        let mut talk = self.connect(Service::Submission).await;
        talk.say("EHLO laptop", "250").await;
        talk.say(&format!("AUTH PLAIN {}", self.credentials(user)), "235").await;
        talk
    }

    pub(crate) fn credentials(&self, user: &str) -> String {
        let plain = format!("\0{user}\0{}", self.secret(user));
        base64::engine::general_purpose::STANDARD.encode(plain)
    }

    pub(crate) fn account(&self, user: &str) -> AccountId {
        self.place(user).0
    }

    pub(crate) fn secret(&self, user: &str) -> &str {
        &self.place(user).1
    }

    pub(crate) fn shown<'a>(&'a self, user: &'a str) -> Shown<'a> {
        Shown { user, secret: self.secret(user), is_token: false, from: None }
    }

    fn place(&self, user: &str) -> &(AccountId, String) {
        let at = self.plan.users.iter().position(|known| *known == user).unwrap();
        &self.secrets[at]
    }

    pub(crate) async fn open(&self, user: &str) -> Arc<Account> {
        self.context.door.open(self.shown(user)).await.unwrap().0
    }

    /// The messages of a mailbox, as their owner reads them.
    pub(crate) async fn mailbox(&self, user: &str, name: &str) -> Vec<String> {
        let account = self.open(user).await;
        let rows: Vec<u64> = {
            let state = account.state().unwrap();
            let mailbox = state.named(&Name::parse(name).unwrap()).unwrap();
            mailbox.messages.iter().map(|message| message.row).collect()
        };
        let text = |row| account.content(row).unwrap().whole().unwrap();
        rows.into_iter().map(|row| String::from_utf8(text(row)).unwrap()).collect()
    }

    pub(crate) async fn inbox(&self, user: &str) -> Vec<String> {
        self.mailbox(user, "INBOX").await
    }

    /// What their mail program hears over IMAP: it logs in, reads, and flags a message.
    pub(crate) async fn imap_login(&self, user: &str) -> String {
        let (mut here, there) = duplex(1 << 16);
        let context = bailiwick_mail::imap::Context {
            door: self.context.door.clone(),
            quotas: self.quotas.clone(),
            limits: bailiwick_mail::imap::Limits::default(),
            shutdown: self.down.subscribe(),
        };
        tokio::spawn(async move { bailiwick_mail::imap::serve(there, None, &context).await });
        let said = format!(
            "a LOGIN {user} \"{}\"\r\nb SELECT INBOX\r\nc FETCH 1 BODY[]\r\n\
             d STORE 1 +FLAGS (\\Flagged)\r\ne LOGOUT\r\n",
            self.secret(user)
        );
        here.write_all(said.as_bytes()).await.unwrap();
        let mut heard = String::new();
        here.read_to_string(&mut heard).await.unwrap();
        heard
    }

    /// How many rows of a kind there are, of everybody.
    pub(crate) fn rows(&self, kind: RecordKind) -> usize {
        let read = self.store.read();
        let accounts: Vec<_> = read.accounts().map(|found| found.unwrap().0).collect();
        accounts.into_iter().map(|account| read.scan(account, kind, Row(0)).count()).sum()
    }

    /// Whether octets occur anywhere in the data directory.
    pub(crate) fn disk_says(&self, text: &str) -> bool {
        fn search(path: &Path, text: &str) -> bool {
            if path.is_dir() {
                return std::fs::read_dir(path)
                    .unwrap()
                    .any(|entry| search(&entry.unwrap().path(), text));
            }
            let octets = std::fs::read(path).unwrap().to_ascii_lowercase();
            String::from_utf8_lossy(&octets).contains(text)
        }
        search(self.directory.path(), &text.to_ascii_lowercase())
    }
}

fn open(directory: &Path, reserve_bytes: u64) -> Store {
    let options = Options { segment_bytes: 4 << 20, reserve_bytes, ..Options::default() };
    for _ in 0..2000 {
        match Store::open(&directory.join("store"), options.clone()) {
            Ok(store) => return store,
            // A task lets go of its handle when it is next polled.
            Err(store::OpenError::Locked) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("somebody keeps a handle of the store");
}
