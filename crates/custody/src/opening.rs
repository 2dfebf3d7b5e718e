//! Openings: what lies behind a verified release, for as long as its order is in force.
//!
//! Invariant: an [`Opening`] comes only from a [`VerifiedRelease`] and enough shares, and uses
//! up both and the one private key they were sealed to. It opens only kinds, epochs and
//! arrivals its order names, before its end. It never gives out an epoch's key.
//! Refs: specs/release-evidence.md §8.

use crate::holder::{Answer, box_digest};
use crate::order::OrderRecord;
use crate::release::VerifiedRelease;
use seal::blob::BlobKey;
use seal::epoch::EpochKeys;
use seal::escrow::{CombineError, Escrow};
use seal::hseal::SecretKey;
use seal::letter::{self, LetterHeader};
use seal::row::{self, RowKeys};
use seal::{Entropy, OpenError, SealError, Secret};
use vocab::{Digest, HolderId, RecordKind, Row, Timestamp};
use zeroize::Zeroizing;

/// The private key made for one order, to which holders seal their shares again. Used up by the
/// one opening it serves. Not `Clone`.
pub struct RecipientKey(SecretKey);

impl RecipientKey {
    /// A new key, for a new order.
    ///
    /// # Errors
    /// As [`SecretKey::generate`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        SecretKey::generate(entropy).map(Self)
    }

    /// The public half, for [`OrderRecord::recipient`].
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.0.public().as_bytes().to_vec()
    }

    /// The seed, to be kept in a sealed record of the case while holders answer, and deleted
    /// with the answer to the case.
    #[must_use]
    pub fn seed(&self) -> &Secret<32> {
        self.0.seed()
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// As [`SecretKey::from_seed`].
    pub fn from_seed(seed: Secret<32>) -> Result<Self, OpenError> {
        SecretKey::from_seed(seed).map(Self)
    }
}

/// Why an account did not open although the release was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCombined {
    /// The private key is not the one the order names.
    #[error("this is not the recipient key the order names")]
    Recipient,
    /// The order is no longer in force.
    #[error("the order is not in force")]
    Expired,
    /// An escrow record is missing or for something else than the order names.
    #[error("epoch {0} has no escrow under the policy the order names")]
    Escrow(u32),
    /// Too few trustees, or officers of the vault, gave a usable share.
    #[error("epoch {0} has too few usable shares of trustees or vault officers")]
    Trustees(u32),
    /// Too few guards gave a usable share.
    #[error("epoch {0} has too few usable shares of guards")]
    Guards(u32),
    /// The shares do not combine to this epoch's keys.
    #[error("the shares of epoch {0} do not combine to its keys")]
    Combine(u32),
}

/// Why an opening does not open a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The order is no longer in force.
    #[error("the order is not in force")]
    Expired,
    /// The order does not name records of this kind.
    #[error("the order does not name records of this kind")]
    Kind,
    /// The order does not name this epoch.
    #[error("the order does not name this epoch")]
    Epoch,
    /// The letter did not arrive in the order's period.
    #[error("the letter did not arrive in the order's period")]
    Period,
    /// The record is another account's.
    #[error("the record is another account's")]
    Account,
    /// The record does not open.
    #[error("the record does not open")]
    Sealed(#[from] OpenError),
}

/// An account, open within one order.
pub struct Opening {
    order: OrderRecord,
    leaf_hash: Digest,
    holders: Vec<HolderId>,
    epochs: Vec<OpenEpoch>,
    opened: u64,
}

struct OpenEpoch {
    keys: EpochKeys,
    rows: RowKeys,
}

/// A letter not yet folded, as far as the order goes.
pub struct Arrival {
    /// What its head says in clear.
    pub header: LetterHeader,
    /// Its sealed head.
    pub head: Vec<u8>,
    /// The key of its body, if the order names bodies.
    pub body_key: Option<BlobKey>,
}

/// What an opening did, for the record of the production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The leaf it rests on.
    pub leaf_hash: Digest,
    /// The holders whose shares were used.
    pub holders: Vec<HolderId>,
    /// Records opened.
    pub opened: u64,
}

impl VerifiedRelease {
    /// Opens the account within the order: with the private key made for it, the escrow of
    /// every epoch it names, and the holders' answers. Shares that do not fit are passed over;
    /// there must be enough without them.
    ///
    /// # Errors
    /// [`NotCombined`].
    pub fn open(
        self,
        key: RecipientKey,
        escrows: &[Escrow],
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<Opening, NotCombined> {
        let (order, logged) = self.into_parts();
        if key.public() != order.recipient {
            return Err(NotCombined::Recipient);
        }
        if !order.in_force(now) {
            return Err(NotCombined::Expired);
        }
        let leaf_hash = logged.leaf_hash;
        let (mut holders, mut epochs) = (Vec::new(), Vec::new());
        for line in &order.epochs {
            let named = |escrow: &&Escrow| {
                escrow.account() == order.account
                    && escrow.cell() == order.cell
                    && (escrow.epoch().0, escrow.version().0) == (line.epoch, line.version)
                    && (escrow.policy(), escrow.guard_tag()) == (line.policy, line.guard_tag)
            };
            let escrow = escrows.iter().find(named).ok_or(NotCombined::Escrow(line.epoch))?;
            epochs.push(combine(escrow, &key, &leaf_hash, answers, &mut holders)?);
        }
        holders.sort_unstable();
        holders.dedup();
        Ok(Opening { order, leaf_hash, holders, epochs, opened: 0 })
    }
}

fn combine(
    escrow: &Escrow,
    key: &RecipientKey,
    leaf: &Digest,
    answers: &[Answer],
    holders: &mut Vec<HolderId>,
) -> Result<OpenEpoch, NotCombined> {
    let number = escrow.epoch().0;
    let mut shares = Vec::new();
    for share in escrow.share_boxes() {
        let digest = box_digest(share);
        let of_holder = answers.iter().filter(|answer| answer.holder == share.holder);
        let mut given = of_holder.flat_map(|answer| &answer.given);
        let fits = given.find_map(|given| {
            let released = Some(&given.released).filter(|_| given.share_box == digest)?;
            share.receive(released, &key.0, leaf).ok()
        });
        if let Some(fitting) = fits {
            holders.push(share.holder);
            shares.push(fitting);
        }
    }
    let keys = escrow.open(&shares).map_err(|why| match why {
        CombineError::Trustees => NotCombined::Trustees(number),
        CombineError::Guards => NotCombined::Guards(number),
        CombineError::Share | CombineError::Commitment | CombineError::Box => {
            NotCombined::Combine(number)
        }
    })?;
    let rows = RowKeys::of_epoch(&keys).map_err(|_| NotCombined::Combine(number))?;
    Ok(OpenEpoch { keys, rows })
}

impl Opening {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &OrderRecord {
        &self.order
    }

    /// Opens a row of a kind and epoch that the order names. A message carries its time inside:
    /// the caller drops it at once if [`OrderRecord::covers`] says no.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn row(
        &mut self,
        kind: RecordKind,
        row: Row,
        value: &[u8],
        now: Timestamp,
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        self.permits(kind, now)?;
        let header = row::header(value)?;
        let named = |epoch: &&OpenEpoch| {
            (epoch.keys.epoch(), epoch.keys.version()) == (header.epoch, header.version)
        };
        let epoch = self.epochs.iter().find(named).ok_or(NotOpened::Epoch)?;
        let (_, plain) = epoch.rows.open(kind, row, value)?;
        self.opened = self.opened.saturating_add(1);
        Ok(Zeroizing::new(plain))
    }

    /// Opens the head of a letter that arrived in the order's period and is not yet folded.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn letter(&mut self, record: &[u8], now: Timestamp) -> Result<Arrival, NotOpened> {
        self.permits(RecordKind::LetterHead, now)?;
        let header = LetterHeader::read(record)?;
        if header.account != self.order.account {
            return Err(NotOpened::Account);
        }
        if !self.order.covers(header.arrived) {
            return Err(NotOpened::Period);
        }
        // An epoch that was re-keyed keeps its arrival key, so another version may open it.
        let mut outcome = Err(NotOpened::Epoch);
        for epoch in self.epochs.iter().filter(|open| open.keys.epoch() == header.epoch) {
            outcome = letter::open_head(record, &epoch.keys).map_err(NotOpened::Sealed);
            if outcome.is_ok() {
                break;
            }
        }
        let opened = outcome?;
        self.opened = self.opened.saturating_add(1);
        let body_key = Some(opened.body_key).filter(|_| self.order.opens(RecordKind::LetterBody));
        Ok(Arrival { header, head: opened.head, body_key })
    }

    fn permits(&self, kind: RecordKind, now: Timestamp) -> Result<(), NotOpened> {
        if !self.order.in_force(now) {
            return Err(NotOpened::Expired);
        }
        if self.order.opens(kind) { Ok(()) } else { Err(NotOpened::Kind) }
    }

    /// Ends the opening: its keys are zeroed, and what it did is told.
    #[must_use]
    pub fn finish(self) -> Tally {
        Tally { leaf_hash: self.leaf_hash, holders: self.holders, opened: self.opened }
    }
}
