//! How much an account may hold, and how much it holds.
//!
//! What is counted is what the store keeps for the account, sealed, so that the cell can count
//! without opening anything: octets, and as messages those that wait and those that are folded.
//! What was expunged and can be put back gives way: it is not counted while there is need of its
//! room, and purged, the oldest first, once the account is over its limit with it.
//!
//! Invariant: nothing is refused that makes an account smaller; an owner without a limit has none.
//! Refs: RFC 9208 §5; RFC 5321 §4.2.3; specs/mail-rows.md §7; docs/divergences.md.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use store::{Read, ReadError};
use vocab::{AccountId, RecordKind, Row};

use crate::mailbox::letter_of;

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
    /// Octets on disk, without what was expunged and can be put back.
    pub octets: u64,
    /// Messages: those in its mailboxes, and those that wait to be folded.
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
        let octets = usage.bytes.saturating_sub(self.expunged(account)?);
        Ok(Used { octets, messages: self.messages(account)? })
    }

    /// Octets an account is over its limit, counting what was expunged and can be put back.
    ///
    /// # Errors
    /// [`ReadError`] if the store cannot say.
    pub fn excess(&self, account: AccountId) -> Result<u64, ReadError> {
        let Some(limit) = self.of(account).octets else { return Ok(0) };
        Ok(self.read.usage(account)?.bytes.saturating_sub(limit))
    }

    /// Counts keys and reads no value: half a microsecond each.
    fn messages(&self, account: AccountId) -> Result<u64, ReadError> {
        let mut messages = 0;
        for kind in [RecordKind::Message, RecordKind::LetterHead] {
            for found in self.read.rows(account, kind, Row(0)) {
                found?;
                messages += 1;
            }
        }
        Ok(messages)
    }

    /// Octets of what was expunged and can be put back; a body that a message still has is among
    /// them, since the cell cannot know that.
    fn expunged(&self, account: AccountId) -> Result<u64, ReadError> {
        let (mut octets, mut bodies) = (0_u64, std::collections::HashSet::new());
        for found in self.read.rows(account, RecordKind::ExpungedMessage, Row(0)) {
            let (row, length) = found?;
            let body = Row(letter_of(row.0));
            let body = if bodies.insert(body) {
                self.read.len(account, RecordKind::LetterBody, body)?.unwrap_or(0)
            } else {
                0
            };
            octets = octets.saturating_add(u64::from(length)).saturating_add(body);
        }
        Ok(octets)
    }

    /// [`Self::room`], if the store can say.
    fn try_room(
        &self,
        (account, quota): (AccountId, Quota),
        octets: u64,
        messages: u64,
    ) -> Result<Room, ReadError> {
        let usage = self.read.usage(account)?;
        // Every message is a record: most accounts need not be counted through.
        let most = Used { octets: usage.bytes, messages: usage.records };
        let room = quota.room(most, octets, messages);
        if room != Room::Full {
            return Ok(room);
        }
        // What gives way is purged at its owner's next session: until then there is a bound to it.
        let doubled = quota.octets.map(|limit| limit.saturating_mul(2));
        let bound = Quota { octets: doubled, messages: None };
        if bound.room(most, octets, messages) != Room::Fits {
            return Ok(Room::Full);
        }
        Ok(quota.room(self.used(account)?, octets, messages))
    }

    /// Whether so many octets more fit, in so many messages. If the store cannot say, it is for
    /// the commit to fail.
    #[must_use]
    pub fn room(&self, account: AccountId, octets: u64, messages: u64) -> Room {
        let quota = self.of(account);
        if quota == Quota::default() {
            return Room::Fits;
        }
        self.try_room((account, quota), octets, messages).unwrap_or(Room::Fits)
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
