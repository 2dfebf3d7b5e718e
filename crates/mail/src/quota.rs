//! How much an account may hold, and how much it holds.
//!
//! What is counted is what the store keeps for the account, sealed, so that the cell can count
//! without opening anything: octets, and as messages half its records, for a letter is two (its
//! row and its body). Copies share a body and count half until then.
//!
//! Invariant: nothing is refused that makes an account smaller; an owner without a limit has none.
//! Refs: RFC 9208 §5; RFC 5321 §4.2.3; docs/divergences.md.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use store::{Read, ReadError};
use vocab::AccountId;

/// What an account may hold; `None` sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Quota {
    /// Octets on disk.
    #[n(0)]
    pub octets: Option<u64>,
    /// Messages.
    #[n(1)]
    pub messages: Option<u64>,
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Octets on disk.
    pub octets: u64,
    /// Messages, as the store counts them.
    pub messages: u64,
}

/// Whether something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Fits,
    /// Not before its owner deletes something, or is given more.
    Full,
    /// It is larger than all the owner may have.
    Never,
}

impl Quota {
    /// Whether so many octets more fit, in so many messages.
    #[must_use]
    pub fn room(&self, used: Used, octets: u64, messages: u64) -> Room {
        if self.octets.is_some_and(|limit| octets > limit) {
            return Room::Never;
        }
        let over = |limit: Option<u64>, used: u64, more: u64| {
            limit.is_some_and(|limit| used.saturating_add(more) > limit)
        };
        let is_full =
            over(self.octets, used.octets, octets) || over(self.messages, used.messages, messages);
        if is_full { Room::Full } else { Room::Fits }
    }
}

/// What was said of one account alone ([`crate::routes::Routes::quota_of`]).
pub type OwnQuota = Arc<dyn Fn(AccountId) -> Option<Quota> + Send + Sync>;

/// The quotas of a cell's accounts.
pub struct Quotas {
    usual: Quota,
    own: OwnQuota,
    read: Read,
}

impl Quotas {
    /// `usual` is for accounts without one of their own.
    #[must_use]
    pub fn new(usual: Quota, own: OwnQuota, read: Read) -> Self {
        Self { usual, own, read }
    }

    /// What an account may hold.
    #[must_use]
    pub fn of(&self, account: AccountId) -> Quota {
        (self.own)(account).unwrap_or(self.usual)
    }

    /// What an account holds.
    ///
    /// # Errors
    /// [`ReadError`] if the store cannot say.
    pub fn used(&self, account: AccountId) -> Result<Used, ReadError> {
        let usage = self.read.usage(account)?;
        Ok(Used { octets: usage.bytes, messages: usage.records / 2 })
    }

    /// Whether so many octets more fit, in so many messages. If the store cannot say, it is for
    /// the commit to fail.
    #[must_use]
    pub fn room(&self, account: AccountId, octets: u64, messages: u64) -> Room {
        let quota = self.of(account);
        if quota == Quota::default() {
            return Room::Fits;
        }
        self.used(account).map_or(Room::Fits, |used| quota.room(used, octets, messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_limit_is_never_waited_for() {
        let quota = Quota { octets: Some(1000), messages: Some(3) };
        let used = |octets, messages| Used { octets, messages };
        for (used, octets, messages, wanted) in [
            (used(0, 0), 1000, 1, Room::Fits),
            (used(900, 2), 100, 1, Room::Fits),
            (used(900, 2), 101, 1, Room::Full),
            (used(0, 3), 1, 1, Room::Full),
            (used(0, 0), 1001, 1, Room::Never),
            (used(5000, 9), 0, 0, Room::Full),
        ] {
            assert_eq!(quota.room(used, octets, messages), wanted, "{used:?} {octets}");
        }
        assert_eq!(Quota::default().room(used(u64::MAX, u64::MAX), 1, 1), Room::Fits);
    }
}
