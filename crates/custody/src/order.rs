//! The order record: what two officers approve, the log commits to and holders answer to.
//!
//! Invariant: a record has one encoding, so one digest. It names every epoch, kind of record,
//! period, recipient key and limit of time by itself; nothing an opening may do comes from
//! anywhere else.
//! Refs: specs/release-evidence.md §2.

use crate::hash;
use crate::leaf::FIELDS_MAX;
use minicbor::{Decode, Encode};
use vocab::{
    AccountId, CaseId, CellId, DataCategory, Digest, Epoch, EpochVersion, Keeper, RecordKind,
    Timestamp,
};

/// The longest an order can be in force: 30 days.
pub const VALID_SECONDS_MAX: u64 = 30 * 86_400;
/// Epochs in one order, each version counted: fifteen years of months and the standing one.
pub const EPOCHS_MAX: usize = 181;
/// Octets of an encoded order record.
pub const ORDER_BYTES_MAX: usize = 64 * 1024;
/// Octets of the names of the authority and the legal basis.
pub const TEXT_BYTES_MAX: usize = 512;

const VERSION: u8 = 1;
// Every guard tag is a field of the leaf, beside a dozen others.
const _: () = assert!(EPOCHS_MAX + 16 <= FIELDS_MAX);

/// Why a record is not one that can be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Not the one encoding of an order record of this version.
    #[error("not an order record of version 1")]
    Malformed,
    /// A text is empty or longer than 512 octets.
    #[error("the authority and the legal basis are texts of 1 to 512 octets")]
    Text,
    /// Too many epochs, not ascending, or one that the period does not touch.
    #[error("the epochs must ascend, number at most 181 and touch the period")]
    Epochs,
    /// The period ends before it begins.
    #[error("the period ends before it begins")]
    Period,
    /// No kind of record, not ascending, or one that no order reaches.
    #[error("the kinds must ascend and be ones that an order can reach")]
    Kinds,
    /// In force for longer than 30 days, or not at all.
    #[error("an order is in force for at most 30 days")]
    Validity,
    /// The recipient's public key has the wrong length, or nothing is opened and there is one.
    #[error("an order that opens an account has a recipient key of 1216 octets, any other none")]
    Recipient,
}

/// One epoch of the account that an order opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct OrderEpoch {
    /// The epoch's number.
    #[n(0)]
    pub epoch: u32,
    /// Its version.
    #[n(1)]
    pub version: u32,
    /// What guards know it by.
    #[cbor(n(2), with = "crate::octets")]
    pub guard_tag: [u8; 16],
    /// The escrow policy it is under.
    #[cbor(n(3), with = "crate::octets")]
    pub policy: Digest,
    /// It was the account's last epoch, so letters of later months are in it too.
    #[n(4)]
    pub last: bool,
}

/// What two officers approve.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OrderRecord {
    /// 1. Set by [`OrderRecord::encode`]'s writers through [`OrderRecord::VERSION`].
    #[n(0)]
    pub version: u8,
    /// The case.
    #[cbor(n(1), with = "crate::octets")]
    pub case: CaseId,
    /// The cell that opens.
    #[cbor(n(2), with = "crate::octets")]
    pub cell: CellId,
    /// The account that is opened.
    #[cbor(n(3), with = "crate::octets")]
    pub account: AccountId,
    /// SHA-256 of the demand as served.
    #[cbor(n(4), with = "crate::octets")]
    pub demand: Digest,
    /// SHA-256 of the full scope as JSON, which the desk writes.
    #[cbor(n(5), with = "crate::octets")]
    pub scope: Digest,
    /// Who asks, for people to read.
    #[n(6)]
    pub authority: String,
    /// By what instrument and on what legal basis, for people to read.
    #[n(7)]
    pub basis: String,
    /// What is opened, ascending by epoch and version. Empty if nothing is: then what is produced
    /// is as sealed as it is stored, or the cell's own to read, and no holder is asked.
    #[n(8)]
    pub epochs: Vec<OrderEpoch>,
    /// Tables of the kinds of record that the order reaches, ascending.
    #[n(9)]
    pub kinds: Vec<u16>,
    /// Letters that arrived from here …
    #[cbor(n(10), with = "crate::octets::time")]
    pub from: Timestamp,
    /// … to before here.
    #[cbor(n(11), with = "crate::octets::time")]
    pub until: Timestamp,
    /// In force from here …
    #[cbor(n(12), with = "crate::octets::time")]
    pub not_before: Timestamp,
    /// … to before here.
    #[cbor(n(13), with = "crate::octets::time")]
    pub valid_until: Timestamp,
    /// The end of the non-disclosure order, if there is one.
    #[n(14)]
    pub secret_until: Option<u64>,
    /// The public key, made for this order alone, to which shares are sealed; empty if nothing is
    /// opened.
    #[cbor(n(15), with = "crate::octets")]
    pub recipient: Vec<u8>,
    /// Digest of the officers' register ([`crate::Register::digest`]).
    #[cbor(n(16), with = "crate::octets")]
    pub register: Digest,
}

impl OrderRecord {
    /// The version this crate writes and reads.
    pub const VERSION: u8 = VERSION;

    /// The record's one encoding.
    ///
    /// # Errors
    /// Whatever [`OrderRecord::check`] finds.
    pub fn encode(&self) -> Result<Vec<u8>, OrderError> {
        self.check()?;
        let bytes = minicbor::to_vec(self).map_err(|_| OrderError::Malformed)?;
        if bytes.len() <= ORDER_BYTES_MAX { Ok(bytes) } else { Err(OrderError::Malformed) }
    }

    /// Reads a record; exactly what [`OrderRecord::encode`] writes, or an error.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OrderError> {
        if bytes.len() > ORDER_BYTES_MAX {
            return Err(OrderError::Malformed);
        }
        let order: Self = minicbor::decode(bytes).map_err(|_| OrderError::Malformed)?;
        if order.encode()? == bytes { Ok(order) } else { Err(OrderError::Malformed) }
    }

    /// SHA-256 of an encoded record: what officers sign and the leaf commits to.
    #[must_use]
    pub fn digest(encoded: &[u8]) -> Digest {
        hash(&[encoded])
    }

    /// SHA-256 of the recipient's public key.
    #[must_use]
    pub fn recipient_digest(&self) -> Digest {
        hash(&[&self.recipient])
    }

    /// Whether the record keeps to its limits.
    ///
    /// # Errors
    /// The first [`OrderError`] found.
    pub fn check(&self) -> Result<(), OrderError> {
        let text = |text: &str| (1..=TEXT_BYTES_MAX).contains(&text.len());
        let kind = |table: &u16| RecordKind::from_table(*table).is_some_and(reachable);
        let recipient_bytes = if self.opens_account() { seal::hseal::PUBLIC_BYTES } else { 0 };
        let rules = [
            (self.version == VERSION, OrderError::Malformed),
            (text(&self.authority) && text(&self.basis), OrderError::Text),
            (self.from < self.until, OrderError::Period),
            (ascends(&self.kinds) && self.kinds.iter().all(kind), OrderError::Kinds),
            (self.epochs_fit(), OrderError::Epochs),
            (self.validity_fits(), OrderError::Validity),
            (self.recipient.len() == recipient_bytes, OrderError::Recipient),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, broken)| Err(broken))
    }

    fn validity_fits(&self) -> bool {
        let seconds = self.valid_until.0.checked_sub(self.not_before.0);
        seconds.is_some_and(|seconds| (1..=VALID_SECONDS_MAX).contains(&seconds))
    }

    /// A month is in an order only if the period touches it: an order for March opens March.
    fn epochs_fit(&self) -> bool {
        let numbers: Vec<_> =
            self.epochs.iter().map(|epoch| (epoch.epoch, epoch.version)).collect();
        let highest = self.epochs.last().map(|epoch| epoch.epoch);
        // Only one month can have been the account's last: the highest the order names.
        let is_last = |epoch: &OrderEpoch| !epoch.last || Some(epoch.epoch) == highest;
        let touches = |epoch: &OrderEpoch| {
            epoch.epoch == 0
                || seal::epoch::begins(Epoch(epoch.epoch)) < self.until
                    && (epoch.last || seal::epoch::ends(Epoch(epoch.epoch)) > self.from)
        };
        (numbers.is_empty() || ascends(&numbers))
            && numbers.len() <= EPOCHS_MAX
            && self.epochs.iter().all(|epoch| touches(epoch) && is_last(epoch))
    }

    /// The order's line about this epoch, if it opens it.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch, version: EpochVersion) -> Option<&OrderEpoch> {
        self.epochs.iter().find(|line| line.epoch == epoch.0 && line.version == version.0)
    }

    /// Whether holders are asked and the account is opened.
    #[must_use]
    pub fn opens_account(&self) -> bool {
        !self.epochs.is_empty()
    }

    /// Whether the order reaches letters, but only as sealed as they are stored.
    #[must_use]
    pub fn hands_out_sealed(&self) -> bool {
        !self.opens_account() && self.opens(RecordKind::LetterHead)
    }

    /// Whether the order reaches records of this kind.
    #[must_use]
    pub fn opens(&self, kind: RecordKind) -> bool {
        self.kinds.contains(&kind.table())
    }

    /// Whether a letter that arrived then is in the order's period.
    #[must_use]
    pub fn covers(&self, arrived: Timestamp) -> bool {
        self.from <= arrived && arrived < self.until
    }

    /// Whether the order is in force at this time.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.valid_until
    }
}

/// What an order can reach: what its owner alone opens of what was written; what the cell can read
/// of who the owner is; and, to go with what is sealed, what says how. An unlocker would serve to
/// guess a password, and an escrow is the holders': neither ever leaves. Nor does what only says
/// how and when the owner comes in: last uses, kept sessions, the anchor.
fn reachable(kind: RecordKind) -> bool {
    let holding = kind.holding();
    match holding.keeper {
        Keeper::Owner => holding.category == Some(DataCategory::Content),
        Keeper::Cell => {
            matches!(holding.category, Some(DataCategory::Subscriber | DataCategory::Identifying))
        }
        Keeper::Clear => matches!(kind, RecordKind::Manifest | RecordKind::EpochBox),
    }
}

/// At least one, each greater than the one before it.
fn ascends<T: Ord>(numbers: &[T]) -> bool {
    !numbers.is_empty() && numbers.is_sorted_by(|a, b| a < b)
}
