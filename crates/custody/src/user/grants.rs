//! Grants and kept sessions: what an owner's program gives a server's session, and how a session
//! outlives a restart of the server.
//!
//! Invariant: a grant opens exactly the epochs the stored manifest lists, each compared with what
//! that says of it, for no longer than twelve hours and never to change an unlocker. A kept
//! session opens with its token alone, which the cell does not keep.
//! Refs: specs/session.md; design §3.6.

use super::{AccountKeys, Locked, Unlocked};
use crate::hex;
use seal::grant::{Grant, GrantedEpoch};
use seal::hseal::{PublicKey, SecretKey};
use seal::slot::{Scope, SlotRecord};
use seal::{Entropy, SealError, Secret};
use std::collections::BTreeMap;
use vocab::{AccountId, CellId, Row, SlotId, Timestamp};
use zeroize::Zeroizing;

/// The longest a grant serves, in seconds.
pub const GRANT_SECONDS_MAX: u64 = 12 * 3600;
/// The most octets of a kept session's record, and of a sealed grant.
pub const SESSION_BYTES_MAX: usize = 512 * 1024;
const HOUR_SECONDS: u64 = 3600;
const HEAD_BYTES: usize = 2 + 16 + 16 + 8;

/// A session's identifier: chance, never used again.
pub type SessionId = [u8; 16];

/// Why a grant opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It does not open with this key or token, or is not of this place.
    #[error("the grant does not open here")]
    Closed,
    /// Its time is over, its unlocker's is, or it is for longer than a grant may be.
    #[error("the grant's time is over, or too long")]
    Expired,
    /// Its unlocker was taken away.
    #[error("the grant's unlocker is no longer there")]
    Revoked,
    /// It is for more than its unlocker allows, or less than what is asked for.
    #[error("the grant's unlocker does not allow this")]
    Scope,
    /// The account's keys were changed since it was made.
    #[error("the account's keys are others since the grant was made")]
    Stale,
    /// It holds other keys than the manifest lists.
    #[error("the grant holds other keys than the account's")]
    Keys,
}

/// What a grant is to be.
pub struct GrantTerms<'a> {
    /// What the session may do; never [`Scope::SUDO`].
    pub scope: Scope,
    /// When it ends.
    pub expires: Timestamp,
    /// The session.
    pub session: &'a SessionId,
    /// The session's key.
    pub to: &'a PublicKey,
}

impl Unlocked {
    /// A grant for a server's session, by the owner's program: the epoch keys, and nothing else.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn grant(
        &self,
        terms: &GrantTerms<'_>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let manifest = self.locked.manifest();
        let epochs = self.locked.epochs.iter().map(|record| {
            let keys = record.unwrap(&self.inner.root).map_err(|_| SealError::WrongKeys)?;
            let public = record.public();
            Ok(GrantedEpoch { epoch: public.epoch, version: public.version, keys })
        });
        let grant = Grant {
            cell: manifest.cell,
            account: self.account,
            slot: self.slot,
            generation: manifest.generation,
            scope: terms.scope,
            expires: terms.expires,
            epochs: epochs.collect::<Result<_, SealError>>()?,
        };
        grant.seal(terms.to, terms.session, entropy)
    }
}

impl Locked {
    /// Opens a grant that was sealed to a session's key for this unlocker.
    ///
    /// # Errors
    /// [`GrantError::Closed`].
    pub fn open_grant(
        &self,
        key: &SecretKey,
        slot: SlotId,
        session: &SessionId,
        sealed: &[u8],
    ) -> Result<Grant, GrantError> {
        let place = (self.manifest().cell, self.manifest().account, slot);
        if sealed.len() > SESSION_BYTES_MAX {
            return Err(GrantError::Closed);
        }
        Grant::open(key, place, session, sealed).map_err(|_| GrantError::Closed)
    }

    /// The keys that a grant opens now, for `scope`: exactly those of a login with that scope.
    /// Costs an ML-KEM key generation for each epoch.
    ///
    /// # Errors
    /// Every [`GrantError`] but [`GrantError::Closed`].
    pub fn granted(
        &self,
        grant: &Grant,
        scope: Scope,
        now: Timestamp,
    ) -> Result<AccountKeys, GrantError> {
        let (manifest, slot) = (self.manifest(), self.slot(grant.slot)?);
        let latest = Timestamp(now.0.saturating_add(GRANT_SECONDS_MAX));
        let is_over = slot.expires().is_some_and(|end| end <= now || end < grant.expires);
        if grant.expires <= now || grant.expires > latest || is_over {
            return Err(GrantError::Expired);
        }
        let allowed = slot.scope().contains(grant.scope) && grant.scope.contains(scope);
        if !allowed || grant.scope.contains(Scope::SUDO) {
            return Err(GrantError::Scope);
        }
        if grant.generation != manifest.generation {
            return Err(GrantError::Stale);
        }
        let place = |one: &GrantedEpoch| (one.epoch, one.version);
        if !self.epochs().eq(grant.epochs.iter().map(place)) {
            return Err(GrantError::Stale);
        }
        let held: BTreeMap<_, _> = grant.epochs.iter().map(|one| (place(one), &one.keys)).collect();
        let keys = AccountKeys::of(self.clone(), |record| {
            let public = record.public();
            held.get(&(public.epoch, public.version)).map(|keys| Secret::copied(keys.expose()))
        });
        for (epoch, version) in self.epochs() {
            keys.epoch(epoch, version).map_err(|_| GrantError::Keys)?;
        }
        Ok(keys)
    }

    fn slot(&self, slot: SlotId) -> Result<&SlotRecord, GrantError> {
        self.slots.iter().find(|known| known.slot() == slot).ok_or(GrantError::Revoked)
    }
}

/// What is clear of a kept session: whose it is comes from where it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSession {
    /// Which.
    pub session: SessionId,
    /// The unlocker it hangs from.
    pub slot: SlotId,
    /// When its record can go: the hour in which the grant ends, at its end.
    pub until: Timestamp,
}

/// The row of a kept session: the first eight octets of its identifier.
#[must_use]
pub fn session_row(session: &SessionId) -> Row {
    Row(session.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
}

/// What a kept session's program shows: where it is kept, and what opens it.
pub struct SessionToken {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub session: SessionId,
    /// Uniformly random, and nowhere else.
    pub secret: Secret<32>,
}

impl SessionToken {
    /// As a program keeps it: 128 hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let parts = [self.account.0.as_slice(), &self.session, self.secret.expose()];
        Zeroizing::new(hex::encode(&Zeroizing::new(parts.concat())))
    }

    /// Reads [`text`](Self::text)'s text; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let octets = Zeroizing::new(hex::decode_array::<64>(text)?);
        let (account, rest) = octets.split_first_chunk::<16>()?;
        let (session, secret) = rest.split_first_chunk::<16>()?;
        let secret = Secret::copied(secret.first_chunk()?);
        Some(Self { account: AccountId(*account), session: *session, secret })
    }
}

impl KeptSession {
    /// Keeps a grant under a token's secret: what the cell stores.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn keep(
        grant: &Grant,
        session: &SessionId,
        secret: &Secret<32>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        // To the hour, as when an owner logged in is nobody's to read.
        let until = grant.expires.0.div_ceil(HOUR_SECONDS).saturating_mul(HOUR_SECONDS);
        let kept = Self { session: *session, slot: grant.slot, until: Timestamp(until) };
        let head = kept.head();
        Ok([head.as_slice(), &grant.wrap(secret, &head, entropy)?].concat())
    }

    /// What is clear of a stored record; `None` if it is none.
    #[must_use]
    pub fn of(record: &[u8]) -> Option<Self> {
        let (head, _) = record.split_first_chunk::<HEAD_BYTES>()?;
        let rest = head.strip_prefix(&1u16.to_be_bytes())?;
        let (session, rest) = rest.split_first_chunk::<16>()?;
        let (slot, until) = rest.split_first_chunk::<16>()?;
        let until = Timestamp(u64::from_be_bytes(*until.first_chunk()?));
        Some(Self { session: *session, slot: SlotId(*slot), until })
    }

    /// Opens a stored record with its token's secret.
    ///
    /// # Errors
    /// [`GrantError::Closed`].
    pub fn open(
        record: &[u8],
        secret: &Secret<32>,
        place: (CellId, AccountId),
    ) -> Result<Grant, GrantError> {
        let (head, wrapped) = record.split_at_checked(HEAD_BYTES).ok_or(GrantError::Closed)?;
        let grant = Grant::unwrap(secret, place, head, wrapped).map_err(|_| GrantError::Closed)?;
        let is_its = Self::of(record).is_some_and(|kept| kept.slot == grant.slot);
        if is_its { Ok(grant) } else { Err(GrantError::Closed) }
    }

    fn head(&self) -> Vec<u8> {
        let version = 1u16.to_be_bytes();
        [version.as_slice(), &self.session, &self.slot.0, &self.until.0.to_be_bytes()].concat()
    }
}
