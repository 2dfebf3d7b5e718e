//! The owner's half of a login: what a program does that keeps its secret to itself.
//!
//! With OPAQUE: [`seal::opaque::LoggingIn`] makes the first message, ends with the proof, and gives
//! the export key. With a passkey or a device's key: [`seal::slot::Unlocker::answer`] says what was
//! asked. Then the server makes an [`Offer`], and [`grant`] answers that.
//!
//! Invariant: nothing here is the server's; the master key is opened, used and dropped here, and
//! what leaves is sealed to the session. What the server offers is believed as far as the secret
//! pins it.
//! Refs: specs/session.md; specs/bw1.md §4.5, §5.4.

use super::grants::{GrantTerms, SessionId};
use super::{Locked, LockedError, UnlockError};
use seal::hseal::PublicKey;
use seal::slot::{Scope, Unlocker};
use seal::{Entropy, SealError};
use vocab::{AccountId, CellId, RecordKind, SlotId, Timestamp};

/// What a server shows whoever has shown that they have an unlocker's secret.
pub struct Offer {
    /// The cell that offers.
    pub cell: CellId,
    /// Whose account it is.
    pub account: AccountId,
    /// The unlocker.
    pub slot: SlotId,
    /// The session a grant is asked for.
    pub session: SessionId,
    /// The session's key, made for it alone.
    pub to: PublicKey,
    /// The account's keystore: slots, epochs, manifest.
    pub records: Vec<(RecordKind, Vec<u8>)>,
}

/// On what terms the owner's program lets a session in.
#[derive(Clone, Copy)]
pub struct Leave {
    /// What it may do.
    pub scope: Scope,
    /// When it ends.
    pub expires: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The highest manifest version this program has seen, 0 if none.
    pub remembered: u64,
}

/// Why no grant was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// What was offered is no account of that cell.
    #[error("what the server offers is not the account's keystore")]
    Offer(#[source] Option<LockedError>),
    /// It does not open with this unlocker, or was tampered with.
    #[error("the account does not open with this unlocker")]
    Unlock(#[from] UnlockError),
    /// The grant could not be sealed.
    #[error("the grant could not be sealed")]
    Seal(#[from] SealError),
}

/// Opens what is offered, and seals a grant for the session. Also says the manifest's version, to
/// be remembered.
///
/// # Errors
/// [`ClientError`]; [`UnlockError::Scope`] for more than the unlocker allows, and for
/// [`Scope::SUDO`], which no grant has.
pub fn grant(
    offer: &Offer,
    with: &Unlocker<'_>,
    leave: &Leave,
    entropy: &dyn Entropy,
) -> Result<(Vec<u8>, u64), ClientError> {
    let records = offer.records.iter().map(|(kind, octets)| (*kind, octets));
    let locked = Locked::from_records(offer.account, records);
    let locked = locked.map_err(|error| ClientError::Offer(Some(error)))?;
    if locked.manifest().cell != offer.cell {
        return Err(ClientError::Offer(None));
    }
    let unlocked = locked.unlock_with(offer.slot, with, leave.now, leave.remembered)?;
    if !unlocked.scope().contains(leave.scope) || leave.scope.contains(Scope::SUDO) {
        return Err(UnlockError::Scope.into());
    }
    let Leave { scope, expires, .. } = *leave;
    let terms = GrantTerms { scope, expires, session: &offer.session, to: &offer.to };
    Ok((unlocked.grant(&terms, entropy)?, unlocked.version()))
}
