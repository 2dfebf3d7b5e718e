//! Ciphertext: which sealed records of an account an order reaches that nobody but the owner can
//! open.
//!
//! Invariant: decided from what is clear about a record and from the account's own manifest, by
//! one function, for the station that packs and for the court that checks. An account with any
//! escrow is refused: its letters are its holders' to open, and are not handed out sealed.
//! Refs: specs/production.md §2.1; specs/bw1.md §5, §7, §8.

use crate::hash;
use crate::order::OrderRecord;
use seal::epoch::{EpochRecord, STANDING, begins, ends};
use seal::letter::LetterHeader;
use seal::manifest::SignedManifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vocab::{Custody, Digest, Epoch, EpochVersion, RecordKind, Timestamp};

/// Why a record is not one that the order reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReached {
    /// The order opens an account, or reaches no letters.
    #[error("the order does not hand out what is sealed")]
    Order,
    /// The manifest is not of this account and cell, or its signature does not hold.
    #[error("the manifest is not the account's")]
    Manifest,
    /// Somebody besides the owner holds a key.
    #[error("the account's manifest names holders: it is not its owner's alone to open")]
    Custody,
    /// The order does not name records of this kind.
    #[error("the order does not name records of this kind")]
    Kind,
    /// The record cannot be read, or is another's.
    #[error("a sealed record is not one of this account")]
    Record,
    /// The period does not touch its month, or it did not arrive in the period.
    #[error("a sealed record is outside the order's period")]
    Period,
}

/// One line of `data/inventory.json`: a sealed record as it is stored (specs/production.md §2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRecord {
    /// Path from the bag's root: `data/sealed/<table>/<row>`.
    pub file: String,
    /// The kind's name in the record map.
    pub kind: String,
    /// Its table (specs/bw1.md §8).
    pub table: u16,
    /// Its row.
    pub row: u64,
    /// Its month's number, where that is clear.
    pub epoch: Option<u32>,
    /// When it arrived, where that is clear.
    #[serde(with = "crate::octets::maybe_time")]
    pub arrived: Option<Timestamp>,
    /// Octets.
    pub bytes: u64,
    /// SHA-256.
    #[serde(with = "crate::octets")]
    pub sha256: Digest,
}

/// What an order reaches of one account.
pub struct Reach {
    order: OrderRecord,
    manifest: SignedManifest,
    months: BTreeSet<(Epoch, EpochVersion)>,
}

impl Reach {
    /// The reach of an order that hands out what is sealed.
    ///
    /// # Errors
    /// [`NotReached::Order`], [`NotReached::Manifest`], [`NotReached::Custody`].
    pub fn new(order: OrderRecord, manifest: SignedManifest) -> Result<Self, NotReached> {
        if !order.hands_out_sealed() {
            return Err(NotReached::Order);
        }
        let said = manifest.manifest();
        if (said.account, said.cell) != (order.account, order.cell) {
            return Err(NotReached::Manifest);
        }
        if said.custody != Custody::Sealed || said.epochs.iter().any(|one| one.escrow.is_some()) {
            return Err(NotReached::Custody);
        }
        let last = said.epochs.iter().map(|entry| entry.epoch).max();
        let touches = |epoch: Epoch| {
            // The last month has no end (specs/bw1.md §3).
            let ended = ends(epoch) <= order.from && Some(epoch) != last;
            epoch != STANDING && begins(epoch) < order.until && !ended
        };
        let entries = said.epochs.iter().filter(|entry| touches(entry.epoch));
        let months = entries.map(|entry| (entry.epoch, entry.version)).collect();
        Ok(Self { order, manifest, months })
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> &OrderRecord {
        &self.order
    }

    /// The account's manifest.
    #[must_use]
    pub fn manifest(&self) -> &SignedManifest {
        &self.manifest
    }

    /// Whether records sealed to this month are reached.
    #[must_use]
    pub fn covers(&self, epoch: Epoch, version: EpochVersion) -> bool {
        self.months.contains(&(epoch, version))
    }

    /// The record's line of the inventory, if the order reaches it. Nothing about a letter's text
    /// is clear; that its row is one of the period's is for the cell to say.
    ///
    /// # Errors
    /// [`NotReached`].
    pub fn line(
        &self,
        kind: RecordKind,
        row: u64,
        octets: &[u8],
    ) -> Result<SealedRecord, NotReached> {
        if !self.order.opens(kind) {
            return Err(NotReached::Kind);
        }
        let (epoch, arrived) = self.clear_part(kind, octets)?;
        let table = kind.table();
        Ok(SealedRecord {
            file: format!("data/sealed/{table}/{row}"),
            kind: kind.holding().name.to_owned(),
            table,
            row,
            epoch,
            arrived,
            bytes: u64::try_from(octets.len()).unwrap_or(u64::MAX),
            sha256: hash(&[octets]),
        })
    }

    /// The month and the arrival, where they are clear, of a record that the order reaches.
    fn clear_part(
        &self,
        kind: RecordKind,
        octets: &[u8],
    ) -> Result<(Option<u32>, Option<Timestamp>), NotReached> {
        if kind == RecordKind::LetterHead {
            let header = LetterHeader::read(octets).map_err(|_| NotReached::Record)?;
            if header.account != self.order.account {
                return Err(NotReached::Record);
            }
            let inside = self.order.covers(header.arrived);
            let clear = (Some(header.epoch.0), Some(header.arrived));
            return if inside { Ok(clear) } else { Err(NotReached::Period) };
        }
        if kind == RecordKind::Message {
            let header = seal::row::header(octets).map_err(|_| NotReached::Record)?;
            return self.month(header.epoch, header.version);
        }
        if kind == RecordKind::EpochBox {
            let record = EpochRecord::decode(octets).map_err(|_| NotReached::Record)?;
            let public = record.public();
            let entry = self.manifest.manifest().epoch(public.epoch, public.version);
            if !entry.is_some_and(|entry| entry.describes(&record)) {
                return Err(NotReached::Record);
            }
            return self.month(public.epoch, public.version);
        }
        let whole = kind == RecordKind::Manifest && octets == self.manifest.as_bytes();
        if whole || kind == RecordKind::LetterBody {
            Ok((None, None))
        } else {
            Err(NotReached::Record)
        }
    }

    fn month(
        &self,
        epoch: Epoch,
        version: EpochVersion,
    ) -> Result<(Option<u32>, Option<Timestamp>), NotReached> {
        let inside = self.covers(epoch, version);
        if inside { Ok((Some(epoch.0), None)) } else { Err(NotReached::Period) }
    }
}
