//! The envelope of one message, and who may be in it.
//!
//! A message has recipients here, or one recipient in another cell, never both: the second kind
//! is handed over while its sender waits, and its one outcome must be the reply. Recipients
//! that do not fit get 452 and come in a transaction of their own (RFC 5321 §4.5.3.1.10).
//!
//! Invariant: no stranger's mail goes to another stranger; what another cell hands us stays
//! here or is refused, so that no letter circles between cells.
//! Refs: RFC 5321 §3.6.2, §4.1.1.3, §4.5.1; RFC 6409 §6.

use std::sync::Arc;

use proto::address::{Address, Path};
use proto::smtp::Reply;
use vocab::AccountId;

use super::{Context, Service, reply};
use crate::routes::{Destination, Peer};

/// From whom and for whom a message is.
pub(crate) struct Envelope {
    pub(crate) from: Path,
    /// Accounts of this cell, with the addresses that led there.
    pub(crate) local: Vec<(AccountId, Vec<Address>)>,
    /// One address of another cell.
    pub(crate) cell: Option<(Arc<Peer>, Address)>,
    /// What our own people send elsewhere.
    pub(crate) remote: Vec<Address>,
}

impl Envelope {
    pub(crate) fn new(from: Path) -> Self {
        Self { from, local: Vec::new(), cell: None, remote: Vec::new() }
    }

    /// Takes a recipient, or says why not. `octets` is the size that MAIL announced.
    pub(crate) fn add(
        &mut self,
        address: Address,
        octets: u64,
        service: Service,
        context: &Context,
    ) -> Reply {
        match (context.routes.resolve(&address), service) {
            // What our own people send waits for room in the queue.
            (
                Destination::Local(account) | Destination::Office(Some(account)),
                Service::Submission,
            ) => self.add_local(account, address),
            (Destination::Local(account) | Destination::Office(Some(account)), _) => {
                match context.deliverer.has_room(account, octets) {
                    Ok(()) => self.add_local(account, address),
                    Err(error) => reply::of_delivery(error),
                }
            }
            // RFC 5321 §4.5.1: it must not be refused for good; it waits until somebody is named.
            (Destination::Office(None), _) => Reply::recipient_busy(),
            (Destination::Unknown, _) => Reply::no_such_recipient(),
            (Destination::Moved, _) => Reply::mailbox_moved(),
            (Destination::OtherCell(peer), Service::Mx) => self.add_cell(peer, address),
            (Destination::Foreign, Service::Mx)
            | (Destination::OtherCell(_) | Destination::Foreign, Service::Relay) => {
                Reply::relay_denied()
            }
            (Destination::OtherCell(_) | Destination::Foreign, Service::Submission) => {
                // An address literal would lead our connections to any host at all.
                if address.domain.dns_name().is_none() {
                    return Reply::relay_denied();
                }
                if !self.remote.contains(&address) {
                    self.remote.push(address);
                }
                Reply::recipient_ok()
            }
        }
    }

    fn add_local(&mut self, account: AccountId, address: Address) -> Reply {
        if self.cell.is_some() {
            return Reply::too_many_recipients();
        }
        match self.local.iter_mut().find(|(known, _)| *known == account) {
            Some((_, addresses)) if addresses.contains(&address) => {}
            Some((_, addresses)) => addresses.push(address),
            None => self.local.push((account, vec![address])),
        }
        Reply::recipient_ok()
    }

    fn add_cell(&mut self, peer: Arc<Peer>, address: Address) -> Reply {
        if !self.local.is_empty() || self.cell.is_some() {
            return Reply::too_many_recipients();
        }
        self.cell = Some((peer, address));
        Reply::recipient_ok()
    }
}
