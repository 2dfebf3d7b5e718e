//! One attempt at one item: each destination in turn, then what is to be returned.
//!
//! What a destination answered is written before the next is tried. If power fails in between,
//! that destination is tried again and may get the letter twice; nobody loses it.
//!
//! Invariant: a recipient is settled on disk by what its server said, or by time; an item is
//! removed when all are settled and its sender, if there is one to tell, was told on disk.
//! Refs: RFC 5321 §4.5.4.1, §5.1, §6.1; RFC 7505 §4.1; docs/adr/0005-queue.md.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use proto::address::{Address, Domain};
use proto::smtp::{Delivery, Job, Reply, TlsNeed};
use vocab::{AccountId, Row};

use super::client;
use super::item::{Item, State};
use super::schedule::Again;
use super::{Queue, QueueError};
use crate::dns::LookupError;
use crate::inbound::{DeliverError, Letter, reply, trace};
use crate::routes::{Destination, Peer};

/// Addresses tried for one destination in one attempt.
const TRIES_MAX: usize = 5;
/// Seconds until an item is tried again whose rows could not be read or written.
const TROUBLE_SECONDS: u64 = 300;

/// Where some of the recipients of an item are.
enum Place {
    Account(AccountId),
    Cell(Arc<Peer>),
    Elsewhere(Domain),
    Nowhere,
    Moved,
}

/// Recipients, by their place in the item, that go the same way.
struct Group {
    place: Place,
    recipients: Vec<(usize, Address)>,
}

/// A letter and what a job says of it.
struct Body<'a> {
    item: &'a Item,
    octets: Bytes,
}

impl Queue {
    /// Tries an item; says when to try again, or that it is gone.
    pub(super) async fn attempt(&self, row: Row) -> Option<Again> {
        match self.try_item(row).await {
            Ok(again) => again,
            Err(error) => {
                tracing::error!(error = %error, "an outbound item could not be tried");
                Some(self.later())
            }
        }
    }

    /// When to try again what met trouble here.
    pub(super) fn later(&self) -> Again {
        let at = vocab::Timestamp(self.clock.now().0.saturating_add(TROUBLE_SECONDS));
        Again { at, attempts: 1 }
    }

    async fn try_item(&self, row: Row) -> Result<Option<Again>, QueueError> {
        let Some((mut item, octets)) = self.read(row).await? else { return Ok(None) };
        item.attempts = item.attempts.saturating_add(1);
        // Written before anything is sent: on a full disk nobody gets the letter again and again.
        self.rows.update(row, &mut item, self.entropy.as_ref()).await?;
        for group in self.groups(&item) {
            let body = Body { item: &item, octets: octets.clone() };
            let settled = self.deliver_group(&group, &body).await;
            for ((at, _), (delivery, said_by)) in group.recipients.iter().zip(settled) {
                let (state, said) = match &delivery {
                    Delivery::Delivered(said) => (State::Delivered, said),
                    Delivery::Deferred(said) => (State::Pending, said),
                    Delivery::Refused(said) => (State::Failed, said),
                };
                item.settle(*at, state, &said.to_string(), &said_by);
            }
            if !item.is_done() {
                self.rows.update(row, &mut item, self.entropy.as_ref()).await?;
            }
        }
        let now = self.clock.now().0;
        if now >= item.created.saturating_add(self.retry.expire_seconds) {
            for at in item.in_state(State::Pending) {
                if let Some(recipient) = item.recipients.get_mut(at) {
                    recipient.state = State::Failed;
                }
            }
        }
        self.return_failed(&mut item, &octets).await;
        if item.is_done() {
            self.rows.remove(row).await?;
            tracing::info!(attempts = item.attempts, "an outbound letter is settled");
            return Ok(None);
        }
        let at = now.saturating_add(self.retry.wait(item.attempts));
        // Not past its end, so that the sender is told in time.
        let end = item.created.saturating_add(self.retry.expire_seconds);
        item.next_attempt = if now < end { at.min(end) } else { at };
        self.rows.update(row, &mut item, self.entropy.as_ref()).await?;
        tracing::info!(attempts = item.attempts, "an outbound letter is deferred");
        Ok(Some(Again { at: vocab::Timestamp(item.next_attempt), attempts: item.attempts }))
    }

    /// An item and its letter; `None` if they are gone.
    async fn read(&self, row: Row) -> Result<Option<(Item, Bytes)>, QueueError> {
        let rows = Arc::clone(&self.rows);
        let reading = move || {
            let Some(item) = rows.item(row)? else { return Ok(None) };
            let octets = rows.body(row, &item)?;
            Ok(Some((item, Bytes::from(octets))))
        };
        tokio::task::spawn_blocking(reading).await.unwrap_or(Err(QueueError::Failed))
    }

    /// The recipients to be tried, by destination.
    fn groups(&self, item: &Item) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for at in item.in_state(State::Pending) {
            let Some(recipient) = item.recipients.get(at) else { continue };
            let Ok(address) = Address::parse(&recipient.address) else { continue };
            let place = match self.routes.resolve(&address) {
                Destination::Local(account) | Destination::Office(Some(account)) => {
                    Place::Account(account)
                }
                Destination::OtherCell(peer) => Place::Cell(peer),
                Destination::Unknown | Destination::Office(None) => Place::Nowhere,
                Destination::Moved => Place::Moved,
                Destination::Foreign => Place::Elsewhere(address.domain.clone()),
            };
            match groups.iter_mut().find(|group| group.place.is(&place)) {
                Some(group) => group.recipients.push((at, address)),
                None => groups.push(Group { place, recipients: vec![(at, address)] }),
            }
        }
        groups
    }

    /// What became of each recipient of a group, and who said so.
    async fn deliver_group(&self, group: &Group, body: &Body<'_>) -> Vec<(Delivery, String)> {
        let all = |delivery: Delivery, said_by: &str| {
            vec![(delivery, said_by.to_owned()); group.recipients.len()]
        };
        match &group.place {
            Place::Nowhere => all(Delivery::Refused(Reply::no_such_recipient()), &self.hostname),
            Place::Moved => all(Delivery::Refused(Reply::mailbox_moved()), &self.hostname),
            Place::Account(account) => {
                all(self.deliver_here(*account, group, body).await, &self.hostname)
            }
            Place::Cell(peer) => self.deliver_cell(peer, group, body).await,
            Place::Elsewhere(domain) => match self.hosts(domain).await {
                Ok(hosts) => self.deliver_elsewhere(&hosts, group, body).await,
                Err(delivery) => all(delivery, ""),
            },
        }
    }

    async fn deliver_here(&self, account: AccountId, group: &Group, body: &Body<'_>) -> Delivery {
        let octets = trace::with_return_path(&body.item.mail_from, &body.octets);
        let letter = Letter {
            octets: octets.into(),
            mail_from: body.item.mail_from.clone(),
            received: self.clock.now(),
            verdicts: String::new(),
            junk: false,
        };
        let to = group.recipients.iter().map(|(_, address)| address.to_string()).collect();
        match self.deliverer.deliver(account, Arc::new(letter), to).await {
            Ok(()) => Delivery::Delivered(Reply::message_accepted()),
            Err(error @ (DeliverError::TooLarge | DeliverError::OverAllQuota)) => {
                Delivery::Refused(reply::of_delivery(error))
            }
            Err(error) => Delivery::Deferred(reply::of_delivery(error)),
        }
    }

    async fn deliver_cell(
        &self,
        peer: &Peer,
        group: &Group,
        body: &Body<'_>,
    ) -> Vec<(Delivery, String)> {
        let stream = self.network.connect_cell(peer.relay, &peer.relay_name).await;
        let addresses: Vec<_> = group.recipients.iter().map(|(_, to)| to.clone()).collect();
        let count = addresses.len();
        let (Ok(stream), Some(job)) = (stream, self.job(addresses, body, TlsNeed::Never)) else {
            let lost = (Delivery::Deferred(Reply::connection_lost()), peer.relay_name.clone());
            return vec![lost; count];
        };
        let network = self.network.as_ref();
        let done = client::send(stream, network, &peer.relay_name, job, &body.octets).await;
        let deliveries = done.outcome.deliveries.into_iter();
        deliveries.map(|delivery| (delivery, peer.relay_name.clone())).collect()
    }

    /// The hosts and addresses to try for a domain.
    async fn hosts(&self, domain: &Domain) -> Result<Vec<(String, IpAddr)>, Delivery> {
        let why = |error: LookupError| match error {
            LookupError::NoSuchDomain => Delivery::Refused(Reply::no_such_domain()),
            LookupError::NullMx => Delivery::Refused(Reply::recipient_null_mx()),
            LookupError::Failed => Delivery::Deferred(Reply::dns_failed()),
        };
        let mut hosts = Vec::new();
        let exchanges = self.dns.exchanges(domain).await.map_err(why)?;
        let mut missing = Delivery::Refused(Reply::no_such_domain());
        for host in exchanges {
            // RFC 5321 §5.1: what is no better than ourselves leads back to ourselves.
            if host.eq_ignore_ascii_case(&self.hostname) {
                missing = Delivery::Refused(Reply::mail_loop());
                break;
            }
            match self.dns.addresses(&host).await {
                Ok(found) => hosts.extend(found.into_iter().map(|ip| (host.clone(), ip))),
                Err(LookupError::Failed) => missing = Delivery::Deferred(Reply::dns_failed()),
                Err(LookupError::NoSuchDomain | LookupError::NullMx) => {}
            }
        }
        hosts.truncate(TRIES_MAX);
        if hosts.is_empty() { Err(missing) } else { Ok(hosts) }
    }

    /// Tries host after host, each with those recipients that are still open.
    async fn deliver_elsewhere(
        &self,
        hosts: &[(String, IpAddr)],
        group: &Group,
        body: &Body<'_>,
    ) -> Vec<(Delivery, String)> {
        let lost = (Delivery::Deferred(Reply::connection_lost()), String::new());
        let mut settled = vec![lost; group.recipients.len()];
        for (host, ip) in hosts {
            let open: Vec<usize> = settled
                .iter()
                .enumerate()
                .filter(|(_, (delivery, _))| matches!(delivery, Delivery::Deferred(_)))
                .map(|(at, _)| at)
                .collect();
            let addresses: Vec<Address> = open
                .iter()
                .filter_map(|at| group.recipients.get(*at))
                .map(|(_, address)| address.clone())
                .collect();
            if addresses.is_empty() {
                break;
            }
            let to = SocketAddr::new(*ip, self.port);
            let deliveries = self.deliver_to(to, host, addresses, body).await;
            for (at, delivery) in open.into_iter().zip(deliveries) {
                if let Some(place) = settled.get_mut(at) {
                    *place = (delivery, host.clone());
                }
            }
        }
        settled
    }

    async fn deliver_to(
        &self,
        to: SocketAddr,
        host: &str,
        addresses: Vec<Address>,
        body: &Body<'_>,
    ) -> Vec<Delivery> {
        let lost = vec![Delivery::Deferred(Reply::connection_lost()); addresses.len()];
        let mut tls = TlsNeed::IfOffered;
        loop {
            let Ok(stream) = self.network.connect(to).await else { return lost };
            let Some(job) = self.job(addresses.clone(), body, tls) else { return lost };
            let done = client::send(stream, self.network.as_ref(), host, job, &body.octets).await;
            if done.tls_failed && tls == TlsNeed::IfOffered {
                // RFC 7435 §3: TLS that does not work is no reason to keep the letter here.
                tls = TlsNeed::Never;
                continue;
            }
            return done.outcome.deliveries;
        }
    }

    fn job(&self, recipients: Vec<Address>, body: &Body<'_>, tls: TlsNeed) -> Option<Job> {
        Some(Job {
            hello: self.hostname.clone(),
            from: body.item.from()?,
            recipients,
            octets: body.item.octets,
            utf8_headers: body.item.utf8_headers,
            eight_bit: body.item.eight_bit,
            tls,
        })
    }

    /// Tells the sender of every recipient that was given up, in one notice. If that fails, it
    /// is tried again with the item.
    async fn return_failed(&self, item: &mut Item, octets: &[u8]) {
        let failed = item.in_state(State::Failed);
        if failed.is_empty() {
            return;
        }
        // RFC 5321 §6.1: no notice about a notice.
        let told = item.mail_from.is_empty() || self.tell(item, &failed, octets).await;
        for at in failed.into_iter().filter(|_| told) {
            if let Some(recipient) = item.recipients.get_mut(at) {
                recipient.state = State::Returned;
            }
        }
    }

    async fn tell(&self, item: &Item, failed: &[usize], octets: &[u8]) -> bool {
        let now = self.clock.now();
        let failures = failed.iter().filter_map(|at| item.recipients.get(*at));
        let failures: Vec<_> = failures
            .map(|recipient| crate::dsn::Failure {
                address: &recipient.address,
                reply: &recipient.reply,
                said_by: &recipient.said_by,
            })
            .collect();
        let notice = crate::dsn::Notice {
            hostname: &self.hostname,
            to: &item.mail_from,
            accepted: vocab::Timestamp(item.created),
            now,
            failures: &failures,
            original: octets,
        };
        let letter = Letter {
            octets: notice.encode(self.entropy.as_ref()).into(),
            mail_from: String::new(),
            received: now,
            verdicts: String::new(),
            junk: false,
        };
        let to = vec![item.mail_from.clone()];
        let account = AccountId(item.sender);
        match self.deliverer.deliver_always(account, Arc::new(letter), to).await {
            Ok(()) => true,
            // The account is gone: there is nobody left to tell.
            Err(DeliverError::NoKeys) => {
                tracing::warn!("a notice had no account to go to");
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, "a notice could not be delivered");
                false
            }
        }
    }
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Account(one), Self::Account(other)) => one == other,
            (Self::Cell(one), Self::Cell(other)) => one == other,
            (Self::Elsewhere(one), Self::Elsewhere(other)) => one == other,
            (Self::Nowhere, Self::Nowhere) | (Self::Moved, Self::Moved) => true,
            _ => false,
        }
    }
}
