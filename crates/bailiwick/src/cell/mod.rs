//! One running cell: what its parts share, and what its administrator can ask of it.
//!
//! Invariant: an account is made, renamed or given an unlocker only through here, and every such
//! act is a leaf of the log.

mod accounts;
mod check;
mod deletion;
mod describe;
pub(crate) mod desk;
mod holders;
mod log;
mod moving;
mod quotas;
mod rekey;
pub(crate) mod retention;
pub(crate) mod undelete;
mod unlockers;
mod upkeep;

use std::sync::Arc;

use custody::cell::CellKeys;
use mail::account::{Door, Keystores, Policies};
use mail::routes::Routes;
use proto::address::Address;
use seal::Entropy;
use store::Store;
use vocab::{AccountId, PersonId};

use crate::admin::server::Refusal;
use crate::clock;
use crate::config::Config;
use crate::log::{Item, Keeper, WitnessKeeper};

/// The administrator at the socket, in the log. The socket does not tell people apart.
const ADMINISTRATOR: PersonId = PersonId(*b"cell admin\0\0\0\0\0\0");

/// The cure where an address leads nowhere.
const NOT_KNOWN: &str = "check how it is spelled; no command lists addresses";
/// For a password that is too short.
const LONGER: &str = "take a longer one; a few words are easy to keep";

/// What the cell's parts share.
pub(crate) struct Cell {
    pub(crate) config: Arc<Config>,
    pub(crate) keys: CellKeys,
    pub(crate) store: Store,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) keystores: Arc<Keystores>,
    pub(crate) door: Arc<Door>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) witness: Arc<WitnessKeeper>,
    pub(crate) desk: ::desk::Desk,
    /// One writer of the desk's leaves at a time; true if the last one did not come to its end.
    pub(crate) logging: tokio::sync::Mutex<bool>,
    /// One step of a move at a time: what one took in whole, another must not replace unseen.
    pub(crate) moving: tokio::sync::Mutex<()>,
    pub(crate) queue: Arc<mail::queue::Queue>,
    pub(crate) quotas: Arc<mail::quota::Quotas>,
}

impl Cell {
    /// Reads an address as an administrator typed it.
    fn address(text: &str) -> Result<Address, Refusal> {
        Address::parse(text)
            .map_err(|_| Refusal::new("not an address", "write it as `alice@ie.example`"))
    }

    /// The account an address leads to.
    fn account_of(&self, text: &str) -> Result<AccountId, Refusal> {
        let address = Self::address(text)?;
        self.routes
            .account_of(&address.to_string())
            .ok_or_else(|| Refusal::new("the address leads to no account of this cell", NOT_KNOWN))
    }

    /// Puts an act of the administrator on an account into the log, and asks the witnesses.
    async fn log_staff_act(&self, account: AccountId, what: &str) -> Result<(), Refusal> {
        let draft = custody::acts::staff_act(clock::now(), ADMINISTRATOR, Some(account), what);
        let item = Item { draft, open_by: None, about: None };
        let logged = self.keeper.append(vec![item]).await;
        logged.map(|_| ()).map_err(|error| Refusal::failed("the log could not be written", &error))
    }
}
