//! Addresses and where they lead: an account here, another cell, or elsewhere.
//!
//! A route's row is named by a keyed hash of its address and sealed to the cell, so that the
//! disk says neither who lives here nor, to who has an address, whether it does.
//!
//! Invariant: what [`Routes::resolve`] says is on disk. Who wrote to whom is not here.
//! Refs: design §3; specs/bw1.md §8; RFC 5233 §4; RFC 5321 §4.5.1; RFC 2142.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use core::net::SocketAddr;

use custody::cell::{CellKeys, Lookup};
use minicbor::{Decode, Encode};
use proto::address::{Address, Domain};
use seal::Entropy;
use seal::row::RowKeys;
use store::{Append, Batch, CommitError, Read};
use vocab::{AccountId, ModSeq, RecordKind, Row, Timestamp};

use crate::quota::Quota;

/// What sets a detail apart in a local part: `alice+lists` is delivered to `alice`.
pub const DETAIL_SEPARATOR: char = '+';
/// Local parts that every domain has, for those who run it (RFC 5321 §4.5.1, RFC 2142 §2, §5).
pub const OFFICES: [&str; 2] = ["postmaster", "abuse"];
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
    /// To whoever minds the cell: one of [`OFFICES`], which is nobody's address. `None` until
    /// the configured postmaster has an account.
    Office(Option<AccountId>),
    /// To another cell; whether it exists is for that cell to say.
    OtherCell(Arc<Peer>),
    /// Nowhere: the domain is ours, and has no such address.
    Unknown,
    /// Nowhere: the account it led to went to another cell.
    Moved,
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
    /// What its account may hold, where that is not what is usual; at the account's own address.
    #[n(3)]
    pub quota: Option<Quota>,
    /// Its account was deleted; until then nobody else may take the address.
    #[n(4)]
    closed_until: Option<u64>,
    /// Its account was deleted because it went to another cell.
    #[n(5)]
    has_moved: Option<bool>,
    /// Everything its account had is deleted, and overwritten in the journal.
    #[n(6)]
    is_overwritten: Option<bool>,
}

impl Route {
    /// Where it leads.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId(self.account)
    }

    fn is_open(&self) -> bool {
        self.closed_until.is_none()
    }

    fn has_moved(&self) -> bool {
        self.has_moved == Some(true)
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
    /// Who gets what is for an office that is nobody's address; should be a route.
    pub postmaster: Address,
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
    postmaster: Address,
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
            postmaster: options.postmaster,
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
        let plain = address.without_detail(DETAIL_SEPARATOR);
        let found = self.exact(address).or_else(|| self.exact(plain.as_ref()?));
        if let Some(route) = found {
            return Destination::Local(route.account());
        }
        let has_moved = |address| self.any(address).is_some_and(|route| route.has_moved());
        if has_moved(address) || plain.as_ref().is_some_and(has_moved) {
            return Destination::Moved;
        }
        // RFC 5321 §2.3.11, §4.5.1: this local part alone is read in any case.
        let local = plain.as_ref().unwrap_or(address).local.as_str();
        if OFFICES.iter().any(|office| local.eq_ignore_ascii_case(office)) {
            return Destination::Office(self.postmaster());
        }
        Destination::Unknown
    }

    /// The account of whoever minds the cell, once there is one.
    #[must_use]
    pub fn postmaster(&self) -> Option<AccountId> {
        self.exact(&self.postmaster).map(|route| route.account())
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
        match self.resolve(address) {
            Destination::Local(owner) | Destination::Office(Some(owner)) => owner == account,
            Destination::Office(None)
            | Destination::OtherCell(_)
            | Destination::Unknown
            | Destination::Moved
            | Destination::Foreign => false,
        }
    }

    /// The addresses of an account, its own first.
    #[must_use]
    pub fn of(&self, account: AccountId) -> Vec<Route> {
        let is_its = |route: &&Route| route.is_open() && route.account() == account;
        let mut found: Vec<Route> = self.held().values().filter(is_its).cloned().collect();
        found.sort_by(|a, b| (a.is_alias, &a.address).cmp(&(b.is_alias, &b.address)));
        found
    }

    /// Every route there is, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Route> {
        self.held().values().filter(|route| route.is_open()).cloned().collect()
    }

    /// Ends every route to an account that is being deleted, in one step. Nobody else may take
    /// its addresses until `until`: what is still sent to them is not for others. Whoever writes
    /// to one is told if the account `has_moved`, and not where to.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn close(
        &self,
        account: AccountId,
        until: Timestamp,
        has_moved: bool,
    ) -> Result<(), RouteError> {
        let _changing = self.changing.lock().await;
        let is_its = |(_, route): &(&Row, &Route)| route.is_open() && route.account() == account;
        let closed = |(row, route): (&Row, &Route)| {
            let has_moved = has_moved.then_some(true);
            (*row, Route { closed_until: Some(until.0), has_moved, quota: None, ..route.clone() })
        };
        let routes = self.held().iter().filter(is_its).map(closed).collect();
        self.commit(routes).await
    }

    /// The accounts that were deleted, as long as one of their addresses is still kept from
    /// others.
    #[must_use]
    pub fn closed_accounts(&self) -> Vec<AccountId> {
        let held = self.held();
        let mut closed: Vec<_> =
            held.values().filter(|route| !route.is_open()).map(Route::account).collect();
        closed.sort_unstable();
        closed.dedup();
        closed
    }

    /// The accounts whose deletion has begun, and is not known to have come to its end.
    #[must_use]
    pub fn closing_accounts(&self) -> Vec<AccountId> {
        let held = self.held();
        let is_closing = |route: &&Route| !route.is_open() && route.is_overwritten != Some(true);
        let mut closing: Vec<_> = held.values().filter(is_closing).map(Route::account).collect();
        closing.sort_unstable();
        closing.dedup();
        closing
    }

    /// Says that a deletion has come to its end: nothing of the account is in the journal any more.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn note_overwritten(&self, account: AccountId) -> Result<(), RouteError> {
        let _changing = self.changing.lock().await;
        let is_its = |(_, route): &(&Row, &Route)| !route.is_open() && route.account() == account;
        let noted = |(row, route): (&Row, &Route)| {
            (*row, Route { is_overwritten: Some(true), ..route.clone() })
        };
        let routes = self.held().iter().filter(is_its).map(noted).collect();
        self.commit(routes).await
    }

    async fn commit(&self, routes: Vec<(Row, Route)>) -> Result<(), RouteError> {
        let mut batch = Batch::new(self.cell).to_make_room();
        for (row, route) in &routes {
            batch = batch.put(RecordKind::Route, *row, self.sealed(*row, route)?);
        }
        self.append.commit(batch).await?;
        self.routes.write().unwrap_or_else(PoisonError::into_inner).extend(routes);
        Ok(())
    }

    /// Until when nobody may take an address, whose account was deleted.
    #[must_use]
    pub fn closed_until(&self, address: &Address) -> Option<Timestamp> {
        self.any(address)?.closed_until.map(Timestamp)
    }

    /// Forgets the addresses of deleted accounts whose time is over.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn forget_closed(&self, now: Timestamp) -> Result<(), RouteError> {
        let is_over =
            |route: &Route| route.closed_until.is_some_and(|until| Timestamp(until) <= now);
        self.forget(is_over).await
    }

    /// Forgets the addresses that an account had here, because it comes back.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn forget_closed_of(&self, account: AccountId) -> Result<(), RouteError> {
        self.forget(|route| !route.is_open() && route.account() == account).await
    }

    async fn forget(&self, is_over: impl Fn(&Route) -> bool) -> Result<(), RouteError> {
        let _changing = self.changing.lock().await;
        let is_over = |(_, route): &(&Row, &Route)| is_over(route);
        let over: Vec<Row> = self.held().iter().filter(is_over).map(|(row, _)| *row).collect();
        if over.is_empty() {
            return Ok(());
        }
        let delete = |batch: Batch, row: &Row| batch.delete(RecordKind::Route, *row);
        self.append.commit(over.iter().fold(Batch::new(self.cell), delete)).await?;
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|row, _| !over.contains(row));
        drop(routes);
        Ok(())
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
        if self.any(address).is_some() {
            return Err(RouteError::Taken);
        }
        if self.of(account).len() >= ADDRESSES_PER_ACCOUNT_MAX {
            return Err(RouteError::TooMany);
        }
        let row = self.lookup.row(&address.lookup_key());
        let address = address.to_string();
        let (account, quota) = (account.0, None);
        let (closed_until, has_moved, is_overwritten) = (None, None, None);
        let route =
            Route { address, account, is_alias, quota, closed_until, has_moved, is_overwritten };
        let sealed = self.sealed(row, &route)?;
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

    /// What an account may hold, if that was said for it alone.
    #[must_use]
    pub fn quota_of(&self, account: AccountId) -> Option<Quota> {
        let held = self.held();
        let mut own = held.values().filter(|route| route.account() == account && !route.is_alias);
        own.find_map(|route| route.quota)
    }

    /// Says what an account may hold; `None`: what is usual. It is kept with the account's own
    /// address.
    ///
    /// # Errors
    /// [`RouteError::Unknown`] if the account has no address of its own, and what a commit can
    /// meet.
    pub async fn set_quota(
        &self,
        account: AccountId,
        quota: Option<Quota>,
    ) -> Result<(), RouteError> {
        let _changing = self.changing.lock().await;
        let own = |(row, route): (&Row, &Route)| (*row, route.clone());
        let is_own = |route: &Route| route.account() == account && !route.is_alias;
        let found = self.held().iter().map(own).find(|(_, route)| is_own(route));
        let (row, mut route) = found.ok_or(RouteError::Unknown)?;
        route.quota = quota;
        let sealed = self.sealed(row, &route)?;
        let kind = RecordKind::Route;
        self.append.commit(Batch::new(self.cell).put(kind, row, sealed)).await?;
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(row, route);
        Ok(())
    }

    fn sealed(&self, row: Row, route: &Route) -> Result<Vec<u8>, RouteError> {
        let plain = crate::mailbox::encode(route);
        let sealed =
            self.rows.seal(RecordKind::Route, row, ModSeq(1), &plain, self.entropy.as_ref());
        sealed.map_err(|_| RouteError::Failed)
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
        self.any(address).filter(Route::is_open)
    }

    /// Also one that is closed.
    fn any(&self, address: &Address) -> Option<Route> {
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
        let (account, quota, is_alias) = ([1; 16], None, true);
        let (closed_until, has_moved, is_overwritten) = (None, None, None);
        let mut route =
            Route { address, account, is_alias, quota, closed_until, has_moved, is_overwritten };
        let hex = |route: &Route| {
            let octets = crate::mailbox::encode(route);
            octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>()
        };
        let common = ["70616c6963654069652e6578616d706c65", "50", &"01".repeat(16)].concat();
        assert_eq!(hex(&route), format!("83{common}f5"));
        route.is_alias = false;
        route.quota = Some(Quota { octets: Some(1 << 30), messages: None });
        assert_eq!(hex(&route), format!("84{common}f4811a40000000"));
        (route.quota, route.closed_until) = (None, Some(1_795_262_400));
        assert_eq!(hex(&route), format!("85{common}f4f61a6b0187c0"));
        route.has_moved = Some(true);
        assert_eq!(hex(&route), format!("86{common}f4f61a6b0187c0f5"));
        (route.has_moved, route.is_overwritten) = (None, Some(true));
        assert_eq!(hex(&route), format!("87{common}f4f61a6b0187c0f6f5"));
    }
}
