//! `bailiwick serve`: a whole cell in one process.
//!
//! Invariant: everything is made before anything listens, so a cell that answers is whole; on a
//! stop the listeners close first and the store last.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use custody::cell::CellKeys;
use mail::account::{
    Anchors, Door, DoorOptions, Keystores, KeystoresOptions, Policies, PoliciesOptions, Registry,
    Services,
};
use mail::dns::Dns;
use mail::inbound::{self, Budget, Deliverer, DelivererOptions, Service};
use mail::network::{Accept, BoxStream, Network};
use mail::queue::{Queue, QueueOptions, Retry};
use mail::quota::{Quota, Quotas};
use mail::routes::{Peer, Routes, RoutesOptions};
use mail::runtime::Clock;
use store::{OpenError, Options, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vocab::Timestamp;

use crate::admin;
use crate::cell::{self, Cell};
use crate::clock::{self, SystemClock};
use crate::config::{Config, Listener};
use crate::entropy::OsEntropy;
use crate::identity;
use crate::listen::{self, Stop};
use crate::log::{self, Files, Keeper, KeeperOptions, WitnessKeeper, WitnessPeer};
use crate::memory;
use crate::network::{Internet, TlsServer};
use crate::tls;
use crate::upkeep::{self, Restored};

/// Letters sent out at one time.
const QUEUE_PARALLEL: usize = 20;
/// Argon2id runs at one time.
const LOGINS_PARALLEL: usize = 2;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        clock::now()
    }
}

/// Runs the cell until SIGTERM or SIGINT.
///
/// `shut` is what became of [`memory::shut`].
pub(crate) fn run(config: Config, accept_restored: bool, shut: std::io::Result<()>) -> Result<()> {
    let restored = upkeep::heed_restored(&config, accept_restored)?;
    start_logging();
    if let Err(error) = shut {
        tracing::warn!(%error, "the process could not be hardened against inspection");
    }
    memory::log();
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, restored))
}

fn start_logging() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    // One JSON object a line. Our own words from `info` on, and of what we stand on only what
    // went wrong: it does not know that a log must carry no address.
    let ours = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("bailiwick", LevelFilter::INFO)
        .with_target("bailiwick_mail", LevelFilter::INFO)
        .with_target("bailiwick_store", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(ours).init();
}

async fn serve(config: Config, restored: Option<Restored>) -> Result<()> {
    let (stop_sender, stop) = watch::channel(false);
    let whole = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || Whole::open(config, stop)
    });
    let whole = whole.await??;
    whole.cell.keeper.compare().await;
    whole.cell.keeper.log_standing(&whole.cell.config).await?;
    let departed = whole.cell.finish_departures().await;
    departed.map_err(|refusal| anyhow::anyhow!("{}", refusal.what))?;
    let closing = whole.cell.finish_deletions().await;
    let closing = closing.map_err(|refusal| anyhow::anyhow!("{}", refusal.what))?;
    if let Some(restored) = restored {
        whole.cell.log_restored(&restored).await?;
    }
    let stop_asked = stop_signal()?;
    let mut tasks = JoinSet::new();
    whole.listen(&mut tasks, &stop).await?;
    if !closing.is_empty() {
        tasks.spawn(finish_overwriting(whole.cell.clone(), closing));
    }
    tracing::info!(cell = whole.cell.config.cell.name.get_ref(), "the cell is serving");
    stop_asked.await;
    tracing::info!("the cell stops");
    stop_sender.send_replace(true);
    while tasks.join_next().await.is_some() {}
    whole.close()
}

/// Overwrites what is left of deletions that were cut short, while the cell serves.
async fn finish_overwriting(cell: Arc<Cell>, accounts: Vec<vocab::AccountId>) {
    match cell.overwrite(&accounts).await {
        Ok(_) => tracing::info!("deletions that were cut short came to their end"),
        Err(refusal) => tracing::warn!(what = refusal.what, "a deletion did not come to its end"),
    }
}

/// Resolves when the process is told to stop. It hears that from the call on, not from the first
/// poll: whoever sees the cell serve may stop it at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A cell with everything it serves with.
struct Whole {
    cell: Arc<Cell>,
    inbound: Arc<inbound::Context>,
    imap: mail::imap::Context,
    tls: TlsServer,
    relay_tls: Option<TlsServer>,
}

fn peers(config: &Config) -> Result<Vec<Peer>> {
    let peer = |peer: &crate::config::Peer| {
        Ok(Peer {
            name: peer.name.clone(),
            domains: identity::domains(&peer.domains)?,
            relay: peer.relay,
            relay_name: peer.relay_name.clone(),
        })
    };
    config.peers.iter().map(peer).collect()
}

fn open_keeper(config: &Config, keys: &CellKeys, store: &Store) -> Result<Keeper> {
    let signer = identity::log_signer(config, keys)?;
    let witnesses = config.peers.iter().map(|peer| {
        let key = peer.witness_key.get_ref().parse()?;
        Ok(WitnessPeer { name: peer.name.clone(), url: peer.log_url.clone(), key })
    });
    let options = KeeperOptions {
        files: Files::at(config.cell.data.join("log")),
        account: keys.account(),
        rows: keys.rows()?,
        append: store.append(),
        read: store.read(),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        witnesses: witnesses.collect::<Result<_>>()?,
    };
    Keeper::open(signer, options).context("the log cannot be opened")
}

fn open_witness(config: &Config, keys: &CellKeys) -> Result<WitnessKeeper> {
    let logs = config.peers.iter().map(|peer| Ok(peer.log_key.get_ref().parse()?));
    let logs = logs.collect::<Result<Vec<_>>>()?;
    let witness = tlog::Witness::new(identity::cosigner(config, keys)?, logs);
    WitnessKeeper::open(witness, config.cell.data.join("witness"))
        .context("the witness's records cannot be read")
}

/// What everything else of a cell is made from.
struct Base {
    config: Arc<Config>,
    keys: CellKeys,
    store: Store,
    entropy: Arc<dyn seal::Entropy>,
    clock: Arc<dyn Clock>,
    routes: Arc<Routes>,
    keystores: Arc<Keystores>,
    anchors: Arc<Anchors>,
    policies: Arc<Policies>,
    network: Arc<dyn Network>,
    dns: Dns,
}

fn open_keystores(keys: &CellKeys, store: &Store) -> Result<Arc<Keystores>> {
    let (append, read) = (store.append(), store.read());
    let options = KeystoresOptions { keys, append, read, entropy: Arc::new(OsEntropy) };
    Ok(Keystores::new(options)?)
}

fn open_policies(config: &Config, keys: &CellKeys, store: &Store) -> Result<Arc<Policies>> {
    let modes = [vocab::Custody::Trustee, vocab::Custody::Managed];
    let configured = modes.into_iter().filter_map(|mode| config.custody.escrow(keys.cell(), mode));
    let (append, read) = (store.append(), store.read());
    let (entropy, configured) = (Arc::new(OsEntropy), configured.collect());
    let options = PoliciesOptions { keys, append, read, entropy, configured };
    let policies = Policies::load(options).context("the escrow policies cannot be kept")?;
    Ok(Arc::new(policies))
}

impl Base {
    fn open(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let keys = identity::cell_keys(&config)?;
        let store = open_store(&config)?;
        let entropy: Arc<dyn seal::Entropy> = Arc::new(OsEntropy);
        let routes = Routes::load(RoutesOptions {
            keys: &keys,
            append: store.append(),
            read: store.read(),
            entropy: Arc::clone(&entropy),
            domains: identity::domains(&config.cell.domains)?,
            peers: peers(&config)?,
            postmaster: identity::postmaster(&config)?,
        })?;
        if routes.postmaster().is_none() {
            tracing::warn!(
                "[cell] postmaster has no account yet: letters to postmaster and abuse are told to \
                 come back; make the account, or name another"
            );
        }
        let ca = config.tls.peer_ca.as_deref();
        let cells = ca.map(|ca| tls::relay_client(&config.tls, ca)).transpose()?;
        let dns = Dns::new(&config.dns.servers)?;
        Ok(Self {
            keystores: open_keystores(&keys, &store)?,
            anchors: Anchors::new(&keys, store.read(), Arc::clone(&entropy))?,
            policies: open_policies(&config, &keys, &store)?,
            keys,
            store,
            entropy,
            clock: Arc::new(SystemClock),
            routes: Arc::new(routes),
            network: Arc::new(Internet::new(cells)?),
            dns,
            config,
        })
    }

    /// The owners' way in.
    fn door(&self) -> Result<Arc<Door>> {
        let services = Services {
            append: self.store.append(),
            read: self.store.read(),
            entropy: Arc::clone(&self.entropy),
            clock: Arc::clone(&self.clock),
            anchors: Arc::clone(&self.anchors),
            undelete_days: self.config.retention.undelete_days,
        };
        let (routes, policies) = (Arc::clone(&self.routes), Arc::clone(&self.policies));
        let options = DoorOptions {
            resolve: Arc::new(move |user| routes.account_of(user)),
            policy: Arc::new(move |manifest| policies.next(manifest).cloned()),
            keystores: Arc::clone(&self.keystores),
            ingest: self.keys.ingest()?.public(),
            pepper: Some(self.keys.pepper()),
            // Mail programs get app passwords: an Argon2id for each connection would starve
            // the host.
            passwords: false,
            parallel: LOGINS_PARALLEL,
        };
        Ok(Door::new(Registry::new(services), options))
    }

    fn quotas(&self) -> Arc<Quotas> {
        let (limits, routes) = (&self.config.limits, Arc::clone(&self.routes));
        let (octets, messages) = (limits.account_octets_max, limits.account_messages_max);
        let own = Arc::new(move |account| routes.quota_of(account));
        Arc::new(Quotas::new(Quota { octets, messages }, own, self.store.read()))
    }

    fn deliverer(&self, quotas: &Arc<Quotas>) -> Result<Arc<Deliverer>> {
        Ok(Deliverer::new(DelivererOptions {
            ingest: self.keys.ingest()?,
            keystores: Arc::clone(&self.keystores),
            append: self.store.append(),
            read: self.store.read(),
            entropy: Arc::clone(&self.entropy),
            clock: Arc::clone(&self.clock),
            quotas: Arc::clone(quotas),
        }))
    }

    fn queue(&self, deliverer: &Arc<Deliverer>) -> Result<Arc<Queue>> {
        Ok(Queue::load(QueueOptions {
            keys: &self.keys,
            append: self.store.append(),
            read: self.store.read(),
            entropy: Arc::clone(&self.entropy),
            clock: Arc::clone(&self.clock),
            hostname: self.hostname(),
            routes: Arc::clone(&self.routes),
            deliverer: Arc::clone(deliverer),
            dns: self.dns.clone(),
            network: Arc::clone(&self.network),
            port: self.config.outbound.port,
            retry: retry(&self.config),
            parallel: QUEUE_PARALLEL,
        })?)
    }

    fn inbound(
        &self,
        door: &Arc<Door>,
        quotas: &Arc<Quotas>,
        tls: &TlsServer,
        stop: Stop,
    ) -> Result<inbound::Context> {
        let deliverer = self.deliverer(quotas)?;
        let message_octets = self.config.limits.message_octets_max;
        let limits = inbound::Limits { message_octets, ..inbound::Limits::default() };
        Ok(inbound::Context {
            hostname: self.hostname(),
            postmaster: identity::postmaster_office(&self.config)?,
            limits,
            budget: Budget::new(self.config.limits.arrival_octets_max, &limits),
            routes: Arc::clone(&self.routes),
            queue: self.queue(&deliverer)?,
            deliverer,
            door: Arc::clone(door),
            signer: identity::dkim_signer(&self.config, &self.keys)?.map(Arc::new),
            dns: Some(self.dns.clone()),
            network: Arc::clone(&self.network),
            starttls: Some(Arc::new(tls.clone()) as Arc<dyn Accept>),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            shutdown: stop,
        })
    }

    fn hostname(&self) -> String {
        self.config.cell.hostname.get_ref().clone()
    }
}

impl Whole {
    fn open(config: Config, stop: Stop) -> Result<Self> {
        let base = Base::open(config)?;
        let config = &base.config;
        let tls = TlsServer::new(tls::server(&config.tls)?);
        let ca = config.tls.peer_ca.as_deref();
        let cells = || config.peers.iter().map(|peer| peer.relay_name.as_str());
        let relay_tls = ca.map(|ca| tls::relay_server(&config.tls, ca, cells())).transpose()?;
        let door = base.door()?;
        let quotas = base.quotas();
        let inbound = Arc::new(base.inbound(&door, &quotas, &tls, stop.clone())?);
        let append_octets = config.limits.message_octets_max;
        let imap = mail::imap::Context {
            door: Arc::clone(&door),
            quotas: Arc::clone(&quotas),
            limits: mail::imap::Limits {
                append_octets: usize::try_from(append_octets).unwrap_or(usize::MAX),
                ..mail::imap::Limits::default()
            },
            shutdown: stop,
        };
        let keeper = Arc::new(open_keeper(config, &base.keys, &base.store)?);
        for line in keeper.day_pins()? {
            base.keystores.recall(line.account, line.keystore.number);
            base.anchors.see(line.account, line.rows.number);
        }
        let witness = Arc::new(open_witness(config, &base.keys)?);
        let queue = Arc::clone(&inbound.queue);
        let place = config.cell.jurisdiction.get_ref().parse()?;
        let desk = cell::desk::open(&base.keys, &base.store, place, Arc::clone(&base.entropy))?;
        let (logging, moving) = (tokio::sync::Mutex::new(false), tokio::sync::Mutex::new(()));
        let Base { config, keys, store, entropy, routes, keystores, policies, .. } = base;
        let cell = Cell {
            config,
            keys,
            store,
            entropy,
            routes,
            keystores,
            door,
            policies,
            keeper,
            witness,
            desk,
            logging,
            moving,
            queue,
            quotas,
        };
        cell.catch_up()?;
        cell.enrol_holders()?;
        Ok(Self {
            cell: Arc::new(cell),
            inbound,
            imap,
            tls,
            relay_tls: relay_tls.map(TlsServer::new),
        })
    }

    async fn listen(&self, tasks: &mut JoinSet<()>, stop: &Stop) -> Result<()> {
        let config = &self.cell.config;
        self.listen_smtp(tasks, "mx", config.mx.as_ref(), Service::Mx, None, stop).await?;
        let tls = Some(self.tls.clone());
        let submission = config.submission.as_ref();
        self.listen_smtp(tasks, "submission", submission, Service::Submission, tls, stop).await?;
        if let Some(relay) = &config.relay
            && let Some(tls) = self.relay_tls.clone()
        {
            self.listen_smtp(tasks, "relay", Some(relay), Service::Relay, Some(tls), stop).await?;
        }
        self.listen_imap(tasks, stop).await?;
        self.listen_http(tasks, stop).await?;
        let socket = admin::server::bind(&config.cell.admin_socket)?;
        tasks.spawn(admin::server::serve(socket, Arc::clone(&self.cell), stop.clone()));
        tasks.spawn(Arc::clone(&self.cell.queue).run(stop.clone()));
        tasks.spawn(Arc::clone(&self.cell).keep_log(stop.clone()));
        tasks.spawn(Arc::clone(&self.cell).keep_purging(stop.clone()));
        let (keeper, stop) = (Arc::clone(&self.cell.keeper), stop.clone());
        tasks.spawn(async move { keeper.run(stop).await });
        Ok(())
    }

    async fn listen_smtp(
        &self,
        tasks: &mut JoinSet<()>,
        name: &'static str,
        listener: Option<&Listener>,
        service: Service,
        tls: Option<TlsServer>,
        stop: &Stop,
    ) -> Result<()> {
        let Some(listener) = listener else { return Ok(()) };
        let socket = bind(name, listener.listen).await?;
        let context = Arc::clone(&self.inbound);
        let handle = move |stream: TcpStream, peer: SocketAddr| {
            let (context, tls) = (Arc::clone(&context), tls.clone());
            async move {
                let Some(stream) = shake_hands(name, tls, stream).await else { return };
                inbound::serve(stream, peer, service, &context).await;
            }
        };
        // RFC 5321 §4.2.1: 421. Behind TLS it would cost a handshake, which those too many would
        // take from the others.
        let context = Arc::clone(&self.inbound);
        let refuse: listen::Refuse = Arc::new(move |stream| {
            let context = Arc::clone(&context);
            Box::pin(async move { inbound::turn_away(stream, service, &context).await })
        });
        let refuse = (service == Service::Mx).then_some(refuse);
        let limits = listener.limits();
        tasks.spawn(listen::accept(name, socket, limits, stop.clone(), handle, refuse));
        Ok(())
    }

    async fn listen_imap(&self, tasks: &mut JoinSet<()>, stop: &Stop) -> Result<()> {
        let Some(listener) = &self.cell.config.imap else { return Ok(()) };
        let socket = bind("imap", listener.listen).await?;
        let (context, tls) = (self.imap.clone(), self.tls.clone());
        let handle = move |stream: TcpStream, peer: SocketAddr| {
            let (context, tls) = (context.clone(), tls.clone());
            async move {
                let Some(stream) = shake_hands("imap", Some(tls), stream).await else { return };
                mail::imap::serve(stream, Some(peer.ip()), &context).await;
            }
        };
        tasks.spawn(listen::accept("imap", socket, listener.limits(), stop.clone(), handle, None));
        Ok(())
    }

    async fn listen_http(&self, tasks: &mut JoinSet<()>, stop: &Stop) -> Result<()> {
        let Some(listener) = &self.cell.config.http else { return Ok(()) };
        let socket = bind("http", listener.listen).await?;
        let router = log::http::router(log::http::Public {
            files: Files::at(self.cell.config.cell.data.join("log")),
            witness: Arc::clone(&self.cell.witness),
        });
        let stopping = stop.clone();
        let handle = move |stream: TcpStream, _peer: SocketAddr| {
            log::http::serve(stream, router.clone(), stopping.clone())
        };
        tasks.spawn(listen::accept("http", socket, listener.limits(), stop.clone(), handle, None));
        Ok(())
    }

    /// Ends everything that holds the store, then the store.
    fn close(self) -> Result<()> {
        let Self { cell, inbound, imap, .. } = self;
        drop((inbound, imap));
        let store = cell.store.clone();
        drop(cell);
        store.close().context("the store did not close cleanly; the next start recovers it")
    }
}

/// TLS from the first octet, where that is the protocol.
async fn shake_hands(
    protocol: &'static str,
    tls: Option<TlsServer>,
    stream: TcpStream,
) -> Option<BoxStream> {
    let Some(tls) = tls else { return Some(Box::new(stream)) };
    match tls.accept(Box::new(stream)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::info!(protocol, %error, "no TLS handshake");
            None
        }
    }
}

async fn bind(name: &str, listen: SocketAddr) -> Result<TcpListener> {
    let socket = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen for {name} at {listen}; change `listen` in [{name}]")
    })?;
    tracing::info!(protocol = name, at = %socket.local_addr()?, "listening");
    Ok(socket)
}

fn open_store(config: &Config) -> Result<Store> {
    let reserve_bytes = config.limits.disk_reserve_octets;
    let options = Options { reserve_bytes, ..Options::default() };
    let opened = Store::open(&config.cell.data.join("store"), options);
    let cure = match &opened {
        Err(OpenError::Locked) => "; stop the other server, or change `data` in [cell]",
        Ok(_) | Err(_) => "",
    };
    opened.with_context(|| format!("the store cannot be opened{cure}"))
}

fn retry(config: &Config) -> Retry {
    let outbound = &config.outbound;
    Retry {
        after_seconds: outbound.retry_minutes.iter().map(|m| u64::from(*m) * 60).collect(),
        expire_seconds: u64::from(outbound.expire_hours) * 3600,
    }
}
