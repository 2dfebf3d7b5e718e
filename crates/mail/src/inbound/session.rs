//! One SMTP connection: the driver of `proto`'s session, and its answers.
//!
//! Invariant: every wait is bounded; a message that has no room is read to its end and
//! deferred, holding nothing; what was said in the clear before TLS is forgotten.
//! Refs: RFC 5321 §3.8, §4.5.3.2; RFC 3207 §4; RFC 4954 §4.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use proto::address::Path;
use proto::sasl::Credentials;
use proto::smtp::{Config, Event, MailParams, Reply, Role, Session, Severity, Tls};
use seal::slot::Scope;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use vocab::AccountId;

use super::authenticate::{self, Disposition, Origin, Verdict};
use super::budget::{Granted, Sender};
use super::envelope::Envelope;
use super::trace::{self, Received};
use super::{Context, Letter, Service, relay, reply};
use crate::account::{Pass, Shown};
use crate::network::BoxStream;

/// Octets of one read.
const READ_OCTETS: usize = 16 << 10;
/// Replies that wait to be flushed together.
const REPLIES_OCTETS: usize = 16 << 10;
/// Letters above this are sealed to one recipient after the other.
const SMALL_OCTETS: usize = 1 << 20;
/// Recipients that a small letter is sealed to at one time.
const AT_ONE_TIME: usize = 8;
const GOODBYE: Duration = Duration::from_secs(5);

/// A message being taken.
struct Transaction {
    envelope: Envelope,
    /// Octets, as MAIL said; 0 if it did not (RFC 1870).
    announced: u64,
    granted: Granted,
    message: Vec<u8>,
    /// There was no room for all of it.
    is_over: bool,
    /// Until when it must be whole.
    ends: Instant,
}

/// What a read gave.
enum Input {
    Octets(usize),
    Gone,
    Silent,
    /// Others need the room that a letter which stands still has.
    TooSlow,
    Shutdown,
}

pub(super) struct Connection {
    stream: BoxStream,
    peer: SocketAddr,
    service: Service,
    context: Arc<Context>,
    session: Session,
    shutdown: watch::Receiver<bool>,
    out: Vec<u8>,
    ends: Instant,
    account: Option<AccountId>,
    pass: Option<Pass>,
    failed_logins: u32,
    transaction: Option<Transaction>,
}

fn config(service: Service, context: &Context) -> Config {
    let (role, tls) = match service {
        Service::Mx if context.starttls.is_some() => (Role::Mx, Tls::Offered),
        Service::Mx => (Role::Mx, Tls::Unavailable),
        Service::Relay => (Role::Mx, Tls::Active),
        Service::Submission => (Role::Submission, Tls::Active),
    };
    let mut config = Config::new(role, &context.hostname, context.postmaster.clone(), tls);
    config.max_message_octets = context.limits.message_octets;
    config
}

/// Says that there are too many connections.
pub(super) async fn turn_away(mut stream: BoxStream, service: Service, context: &Context) {
    let mut session = Session::turned_away(config(service, context), &Reply::too_busy());
    let saying = async {
        while let Event::Reply(octets) = session.next_event() {
            stream.write_all(&octets).await?;
        }
        stream.flush().await?;
        stream.shutdown().await
    };
    // Whether they hear it changes nothing.
    drop(timeout(GOODBYE, saying).await);
}

impl Connection {
    pub(super) fn new(
        stream: BoxStream,
        peer: SocketAddr,
        service: Service,
        context: Arc<Context>,
    ) -> Self {
        Self {
            stream,
            peer,
            service,
            session: Session::new(config(service, &context)),
            shutdown: context.shutdown.clone(),
            out: Vec::new(),
            ends: Instant::now() + context.limits.connection,
            account: None,
            pass: None,
            failed_logins: 0,
            transaction: None,
            context,
        }
    }

    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; READ_OCTETS];
        loop {
            match self.session.next_event() {
                Event::NeedInput => {
                    if !self.fill(&mut buffer).await {
                        return;
                    }
                }
                Event::Reply(octets) => {
                    self.out.extend_from_slice(&octets);
                    if self.out.len() > REPLIES_OCTETS && !self.flush().await {
                        return;
                    }
                }
                Event::StartTls => {
                    if !self.start_tls().await {
                        return;
                    }
                }
                Event::Authenticate(credentials) => {
                    let reply = self.authenticate(&credentials).await;
                    self.answer(&reply);
                }
                Event::MailFrom { from, params } => {
                    let reply = self.mail_from(from, params).await;
                    self.answer(&reply);
                }
                Event::Rcpt(address) => {
                    let (service, context) = (self.service, &self.context);
                    let reply = match &mut self.transaction {
                        Some(Transaction { envelope, announced, .. }) => {
                            envelope.add(address, *announced, service, context)
                        }
                        None => Reply::bad_sequence(),
                    };
                    self.answer(&reply);
                }
                Event::Data(piece) => self.take(&piece).await,
                Event::DataEnd => {
                    let reply = self.finish().await;
                    self.answer(&reply);
                }
                Event::Abandoned => self.transaction = None,
                Event::Close => return self.close().await,
                Event::NeedAnswer => {
                    // Every question above is answered where it is asked.
                    tracing::error!("an SMTP session waits for an answer nobody gives");
                    return;
                }
            }
        }
    }

    fn answer(&mut self, reply: &Reply) {
        if self.session.answer(reply).is_err() {
            tracing::error!("an SMTP session was answered what it did not ask");
        }
    }

    /// Reads once. `false` if the connection is gone.
    async fn fill(&mut self, buffer: &mut [u8]) -> bool {
        if !self.flush().await {
            return false;
        }
        let ends = (Instant::now() + self.context.limits.silence).min(self.ends);
        let ends = self.transaction.as_ref().map_or(ends, |transaction| ends.min(transaction.ends));
        let told = self.transaction.as_ref().map(|transaction| transaction.granted.told_to_leave());
        let input = tokio::select! {
            biased;
            // An error means the sender is gone, which is a shutdown too.
            _ = self.shutdown.wait_for(|down| *down) => Input::Shutdown,
            () = async { match told { Some(told) => told.await, None => core::future::pending().await } } => Input::TooSlow,
            read = tokio::time::timeout_at(ends, self.stream.read(buffer)) => match read {
                Ok(Ok(count)) if count > 0 => Input::Octets(count),
                Ok(_) => Input::Gone,
                Err(_) => Input::Silent,
            },
        };
        match input {
            Input::Octets(count) => {
                let octets = buffer.get_mut(..count).unwrap_or_default();
                self.session.feed(octets);
                // The last login's password would stay until as much is said again.
                octets.fill(0);
            }
            Input::Gone => return false,
            Input::Silent => self.session.close_with(&Reply::timed_out()),
            Input::TooSlow => {
                self.transaction = None;
                tracing::info!("a letter that stood still made room for others");
                self.session.close_with(&Reply::too_slow());
            }
            Input::Shutdown => self.session.close_with(&Reply::shutting_down()),
        }
        true
    }

    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let octets = core::mem::take(&mut self.out);
        let write = async {
            self.stream.write_all(&octets).await?;
            self.stream.flush().await
        };
        matches!(timeout(self.context.limits.write, write).await, Ok(Ok(())))
    }

    async fn close(mut self) {
        if self.flush().await {
            drop(timeout(GOODBYE, self.stream.shutdown()).await);
        }
    }

    // RFC 3207 §4
    async fn start_tls(&mut self) -> bool {
        if !self.flush().await {
            return false;
        }
        let Some(tls) = self.context.starttls.clone() else { return false };
        let plain = core::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let Ok(Ok(stream)) = timeout(self.context.limits.handshake, tls.accept(plain)).await else {
            return false;
        };
        self.stream = stream;
        self.session.tls_started();
        true
    }

    async fn authenticate(&mut self, credentials: &Credentials) -> Reply {
        let began = Instant::now();
        let door = &self.context.door;
        let shown = Shown {
            user: credentials.name(),
            secret: credentials.secret(),
            is_token: credentials.is_token(),
            from: Some(self.peer.ip()),
        };
        match door.verify(shown, Scope::SUBMIT).await {
            Ok((account, pass)) => {
                self.account = Some(account);
                self.pass = Some(pass);
                Reply::authenticated()
            }
            Err(error) => {
                self.failed_logins = self.failed_logins.saturating_add(1);
                tracing::info!(error = %error, "a submission login failed");
                // Counted from the beginning: a user who does not exist takes as long.
                let wait = self.context.limits.failed_login * self.failed_logins;
                tokio::time::sleep_until(began + wait).await;
                reply::of_login(error)
            }
        }
    }

    async fn mail_from(&mut self, from: Path, params: MailParams) -> Reply {
        if self.service == Service::Submission {
            let Some(account) = self.account else { return Reply::auth_required() };
            if self.pass.as_ref().is_none_or(Pass::is_over) {
                return Reply::unlocker_gone();
            }
            // `<>` is for receipts and the like; the From field must be theirs all the same.
            let owned = from.address().is_none_or(|from| self.context.routes.owns(account, from));
            if !owned {
                return Reply::sender_not_owned();
            }
        }
        let sender = match self.service {
            Service::Mx => Sender::Stranger(self.peer.ip()),
            Service::Submission => Sender::Own(self.peer.ip()),
            Service::Relay => Sender::Cell,
        };
        let granted = self.context.budget.begin(sender);
        let ends = Instant::now() + self.context.limits.room;
        let announced = params.size.unwrap_or(0);
        if !granted.fits(announced, ends).await {
            return Reply::storage_full();
        }
        self.transaction = Some(Transaction {
            envelope: Envelope::new(from),
            announced,
            granted,
            message: Vec::new(),
            is_over: false,
            ends: Instant::now() + self.context.limits.letter,
        });
        Reply::sender_ok()
    }

    async fn take(&mut self, piece: &[u8]) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.is_over {
            return;
        }
        let ends = Instant::now() + self.context.limits.room;
        if transaction.granted.grow(piece.len(), ends).await {
            transaction.message.extend_from_slice(piece);
        } else {
            transaction.is_over = true;
            transaction.message = Vec::new();
            transaction.granted.give_back();
        }
    }

    /// The message is whole: delivers it.
    async fn finish(&mut self) -> Reply {
        let Some(transaction) = self.transaction.take() else { return Reply::try_later() };
        let Transaction { envelope, granted, message, is_over, .. } = transaction;
        if is_over {
            return Reply::storage_full();
        }
        granted.is_whole();
        if trace::loops(&message) {
            return Reply::mail_loop();
        }
        // It would continue the last field we put on top.
        if matches!(message.first(), Some(b' ' | b'\t')) {
            return Reply::malformed_header();
        }
        let octets = message.len();
        let recipients =
            envelope.local.len() + envelope.remote.len() + usize::from(envelope.cell.is_some());
        let reply = match (self.service, self.account) {
            (Service::Submission, Some(account)) => {
                let with = self.session.protocol();
                crate::submission::accept(&self.context, account, envelope, message, with).await
            }
            (Service::Submission, None) => Reply::auth_required(),
            (Service::Mx | Service::Relay, _) => self.receive(envelope, message).await,
        };
        drop(granted);
        let service = self.service;
        tracing::info!(?service, code = reply.code, octets, recipients, "a letter came");
        reply
    }

    async fn receive(&self, envelope: Envelope, message: Vec<u8>) -> Reply {
        let context = &self.context;
        let verdict = self.check(&envelope.from, &message).await;
        match verdict.disposition {
            Disposition::Reject => return Reply::dmarc_rejected(),
            Disposition::Defer => return Reply::dns_failed(),
            Disposition::Accept | Disposition::Junk => {}
        }
        let message = self.with_trace(&verdict, message);
        if let Some((peer, to)) = envelope.cell {
            return relay::hand_over(context, &peer, &envelope.from, to, &message).await;
        }
        let mail_from = envelope.from.address().map(ToString::to_string).unwrap_or_default();
        let letter = Letter {
            octets: trace::with_return_path(&mail_from, &message).into(),
            mail_from,
            received: context.clock.now(),
            verdicts: verdict.results,
            junk: verdict.disposition == Disposition::Junk,
        };
        drop(message);
        deliver_all(context, letter, envelope.local).await
    }

    async fn check(&self, from: &Path, message: &[u8]) -> Verdict {
        let context = &self.context;
        match (self.service, &context.dns) {
            (Service::Mx, Some(dns)) => {
                let hello = self.session.hello().unwrap_or_default();
                let origin = Origin { ip: self.peer.ip(), hello, from };
                let patience = context.limits.checks;
                authenticate::check(dns, &context.hostname, &origin, message, patience).await
            }
            (Service::Mx | Service::Submission, _) => Verdict {
                results: format!("{}; none", context.hostname),
                disposition: Disposition::Accept,
            },
            (Service::Relay, _) => authenticate::believed(message, context.routes.peers()),
        }
    }

    /// The message with our trace fields on top, and without those that pretend to be ours.
    fn with_trace(&self, verdict: &Verdict, message: Vec<u8>) -> Vec<u8> {
        let context = &self.context;
        let received = Received {
            from: Some((self.session.hello().unwrap_or("unknown"), self.peer.ip())),
            by: &context.hostname,
            with: self.session.protocol(),
            id: &crate::dsn::unique(context.entropy.as_ref()),
            at: context.clock.now(),
        };
        let mut out = Vec::with_capacity(message.len() + 1024);
        if self.service == Service::Mx {
            let results = &verdict.results;
            out.extend_from_slice(format!("Authentication-Results: {results}\r\n").as_bytes());
        }
        out.extend_from_slice(received.encode().as_bytes());
        let rest = trace::without(&message, &context.hostname, &[b"return-path"]);
        out.extend_from_slice(&rest);
        out
    }
}

/// Delivers to every account; the worst outcome is the answer. Whoever got the letter has it,
/// and gets it again if the sender tries again: at least once, never not at all.
async fn deliver_all(
    context: &Context,
    letter: Letter,
    local: Vec<(AccountId, Vec<proto::address::Address>)>,
) -> Reply {
    let at_one_time = if letter.octets.len() > SMALL_OCTETS { 1 } else { AT_ONE_TIME };
    let letter = Arc::new(letter);
    let (mut delivering, mut worst) = (JoinSet::new(), Reply::message_accepted());
    let mut note = |outcome: Option<Result<Result<(), super::DeliverError>, _>>| {
        let outcome: Result<_, tokio::task::JoinError> = match outcome {
            Some(outcome) => outcome,
            None => return,
        };
        let reply = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => reply::of_delivery(error),
            Err(_) => Reply::try_later(),
        };
        // A refusal for good, heard for one, must not stop another try for the others.
        if worst.is_positive() || reply.severity() == Severity::Transient {
            worst = reply;
        }
    };
    for (account, addresses) in local {
        if delivering.len() >= at_one_time {
            note(delivering.join_next().await);
        }
        let rcpt_to = addresses.iter().map(ToString::to_string).collect();
        let (deliverer, letter) = (Arc::clone(&context.deliverer), Arc::clone(&letter));
        delivering.spawn(async move { deliverer.deliver(account, letter, rcpt_to).await });
    }
    while !delivering.is_empty() {
        note(delivering.join_next().await);
    }
    worst
}
