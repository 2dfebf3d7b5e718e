//! Addresses and where they lead: an account here, another cell, or elsewhere.
//!
//! A route's row is named by a keyed hash of its address and sealed to the cell, so that the
//! disk says neither who lives here nor, to who has an address, whether it does.
//!
//! Invariant: what [`Routes::resolve`] says is on disk. Who wrote to whom is not here.
//! Refs: design §3; specs/bw1.md §8; RFC 5233 §4.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use core::net::SocketAddr;

use custody::cell::{CellKeys, Lookup};
use minicbor::{Decode, Encode};
use proto::address::{Address, Domain};
use seal::Entropy;
use seal::row::RowKeys;
use store::{Append, Batch, CommitError, Read};
use vocab::{AccountId, ModSeq, RecordKind, Row};

/// What sets a detail apart in a local part: `alice+lists` is delivered to `alice`.
pub const DETAIL_SEPARATOR: char = '+';
/// Addresses one account may have.
pub const ADDRESSES_PER_ACCOUNT_MAX: usize = 1000;

/// Another cell, and the domains whose mail belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the configuration, such as `us`.
    pub name: String,
    /// The domains that live there.
    pub domains: Vec<Domain>,
    /// Where it takes relayed letters.
    pub relay: SocketAddr,
    /// The name in its certificate, which is also what its Authentication-Results say.
    pub relay_name: String,
}

/// Where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To an account of this cell.
    Local(AccountId),
    /// To another cell; whether it exists is for that cell to say.
    OtherCell(Arc<Peer>),
    /// Nowhere: the domain is ours, and has no such address.
    Unknown,
    /// To somebody else's domain.
    Foreign,
}

/// A route could not be read, added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The address leads somewhere already.
    #[error("the address is taken")]
    Taken,
    /// The address leads nowhere.
    #[error("there is no such address")]
    Unknown,
    /// Its domain does not live in this cell.
    #[error("the domain of the address is not this cell's")]
    NotOurs,
    /// The account has as many addresses as it may.
    #[error("the account has as many addresses as it may have")]
    TooMany,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The store failed.
    #[error("the store failed")]
    Failed,
    /// A route's row does not open: it was altered, or the cell's key is another's.
    #[error("a route does not open under the cell's key")]
    Tampered,
}

impl From<CommitError> for RouteError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::Exists => Self::Taken,
            CommitError::Conflict | CommitError::TooLarge | CommitError::Stopped => Self::Failed,
        }
    }
}

/// One address of an account.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Route {
    /// The address as it was given.
    #[n(0)]
    pub address: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    account: [u8; 16],
    /// Whether it is an alias rather than the account's own address.
    #[n(2)]
    pub is_alias: bool,
}

impl Route {
    /// Where it leads.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId(self.account)
    }
}

impl core::fmt::Debug for Route {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Route").field("is_alias", &self.is_alias).finish_non_exhaustive()
    }
}

/// What a cell's routes are made with.
pub struct RoutesOptions<'a> {
    /// The cell's keys.
    pub keys: &'a CellKeys,
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The domains whose addresses live here.
    pub domains: Vec<Domain>,
    /// The other cells.
    pub peers: Vec<Peer>,
}

/// Every address of the cell.
pub struct Routes {
    cell: AccountId,
    rows: RowKeys,
    lookup: Lookup,
    append: Append,
    entropy: Arc<dyn Entropy>,
    domains: Vec<Domain>,
    peers: Vec<Arc<Peer>>,
    routes: RwLock<HashMap<Row, Route>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Routes {
    /// Reads every route. Blocks on the disk.
    ///
    /// # Errors
    /// [`RouteError::Failed`], [`RouteError::Tampered`].
    pub fn load(options: RoutesOptions<'_>) -> Result<Self, RouteError> {
        let cell = options.keys.account();
        let rows = options.keys.rows().map_err(|_| RouteError::Failed)?;
        let mut routes = HashMap::new();
        for found in options.read.scan(cell, RecordKind::Route, Row(0)) {
            let (row, sealed) = found.map_err(|_| RouteError::Failed)?;
            let opened = rows.open(RecordKind::Route, row, &sealed);
            let (_, plain) = opened.map_err(|_| RouteError::Tampered)?;
            let route: Route = minicbor::decode(&plain).map_err(|_| RouteError::Tampered)?;
            routes.insert(row, route);
        }
        Ok(Self {
            cell,
            rows,
            lookup: options.keys.lookup(),
            append: options.append,
            entropy: options.entropy,
            domains: options.domains,
            peers: options.peers.into_iter().map(Arc::new).collect(),
            routes: RwLock::new(routes),
            changing: tokio::sync::Mutex::new(()),
        })
    }

    /// Where mail for an address goes. A detail after `+` is ignored unless the whole address
    /// is a route of its own.
    #[must_use]
    pub fn resolve(&self, address: &Address) -> Destination {
        if let Some(peer) = self.peers.iter().find(|peer| peer.domains.contains(&address.domain)) {
            return Destination::OtherCell(Arc::clone(peer));
        }
        if !self.is_ours(&address.domain) {
            return Destination::Foreign;
        }
        let found =
            self.exact(address).or_else(|| self.exact(&address.without_detail(DETAIL_SEPARATOR)?));
        found.map_or(Destination::Unknown, |route| Destination::Local(route.account()))
    }

    /// The account of a user name as typed: one of its addresses, without a detail.
    #[must_use]
    pub fn account_of(&self, user: &str) -> Option<AccountId> {
        self.exact(&Address::parse(user).ok()?).map(|route| route.account())
    }

    /// Whether an account may send as an address: it is one of its own, with or without a
    /// detail.
    #[must_use]
    pub fn owns(&self, account: AccountId, address: &Address) -> bool {
        self.resolve(address) == Destination::Local(account)
    }

    /// The addresses of an account, its own first.
    #[must_use]
    pub fn of(&self, account: AccountId) -> Vec<Route> {
        let mut found: Vec<Route> =
            self.held().values().filter(|route| route.account() == account).cloned().collect();
        found.sort_by(|a, b| (a.is_alias, &a.address).cmp(&(b.is_alias, &b.address)));
        found
    }

    /// Every route there is, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Route> {
        self.held().values().cloned().collect()
    }

    /// Whether a domain lives in this cell.
    #[must_use]
    pub fn is_ours(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }

    /// The other cells.
    #[must_use]
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    /// Leads an address to an account.
    ///
    /// # Errors
    /// [`RouteError::Taken`], [`RouteError::NotOurs`], [`RouteError::TooMany`], and what a
    /// commit can meet.
    pub async fn add(
        &self,
        address: &Address,
        account: AccountId,
        is_alias: bool,
    ) -> Result<(), RouteError> {
        if !self.is_ours(&address.domain) {
            return Err(RouteError::NotOurs);
        }
        let _changing = self.changing.lock().await;
        if self.exact(address).is_some() {
            return Err(RouteError::Taken);
        }
        if self.of(account).len() >= ADDRESSES_PER_ACCOUNT_MAX {
            return Err(RouteError::TooMany);
        }
        let row = self.lookup.row(&address.lookup_key());
        let route = Route { address: address.to_string(), account: account.0, is_alias };
        let plain = crate::mailbox::encode(&route);
        let sealed =
            self.rows.seal(RecordKind::Route, row, ModSeq(1), &plain, self.entropy.as_ref());
        let sealed = sealed.map_err(|_| RouteError::Failed)?;
        // Two addresses with one hash: one in 2⁶⁴ pairs. The second is refused.
        let batch = Batch::new(self.cell).require_absent(RecordKind::Route, row).put(
            RecordKind::Route,
            row,
            sealed,
        );
        self.append.commit(batch).await?;
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(row, route);
        Ok(())
    }

    /// Ends a route; gives the account it led to.
    ///
    /// # Errors
    /// [`RouteError::Unknown`], and what a commit can meet.
    pub async fn remove(&self, address: &Address) -> Result<AccountId, RouteError> {
        let _changing = self.changing.lock().await;
        let route = self.exact(address).ok_or(RouteError::Unknown)?;
        let row = self.lookup.row(&address.lookup_key());
        self.append.commit(Batch::new(self.cell).delete(RecordKind::Route, row)).await?;
        self.routes.write().unwrap_or_else(PoisonError::into_inner).remove(&row);
        Ok(route.account())
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Row, Route>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exact(&self, address: &Address) -> Option<Route> {
        let key = address.lookup_key();
        let route = self.held().get(&self.lookup.row(&key))?.clone();
        // The hash finds; the address decides.
        let held = Address::parse(&route.address).ok()?;
        (held.lookup_key() == key).then_some(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_written_as_specified() {
        // specs/cell-rows.md §5
        let address = "alice@ie.example".to_owned();
        let route = Route { address, account: [1; 16], is_alias: true };
        let octets = crate::mailbox::encode(&route);
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let expected =
            ["8370616c6963654069652e6578616d706c65", "50", &"01".repeat(16), "f5"].concat();
        assert_eq!(hex, expected);
    }
}
