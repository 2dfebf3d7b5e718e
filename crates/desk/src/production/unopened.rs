//! What leaves without being opened: an account's records as sealed as they are stored, and what
//! the cell itself knows of a subscriber.
//!
//! Invariant: the same evidence as for an opening, and no key of any kind. A sealed record is
//! taken only if [`Reach`] finds it in the order, which a court finds again by the same function.
//! Refs: specs/production.md §2.1, §2.2.

use super::package::FILES_MAX;
use super::station::{Cut, LogPlace, PRODUCTION_BYTES_MAX, StationError};
use crate::held::Held;
use crate::scope::Scope;
use custody::ciphertext::{Reach, SealedRecord};
use custody::opening::Tally;
use custody::user::MANIFEST_ROW;
use custody::{OrderRecord, ReleaseEvidence, TrustPolicy};
use seal::age::Recipient;
use seal::manifest::SignedManifest;
use std::collections::{BTreeMap, BTreeSet};
use vocab::{Digest, RecordKind, Row, Timestamp};

/// The sealed part of a production.
pub(crate) struct SealedPart {
    /// `data/inventory.json`.
    pub(crate) inventory: Vec<SealedRecord>,
    /// The version of the account's manifest.
    pub(crate) manifest: u64,
    /// Texts left out, because nothing clear says that they arrived in the period.
    pub(crate) undated: u64,
}

/// See the module.
pub struct Unopened {
    order: OrderRecord,
    scope: Scope,
    place: LogPlace,
    leaf_hash: Digest,
    reach: Option<Reach>,
    held: Held,
    wanted: BTreeSet<u64>,
    files: BTreeMap<String, Vec<u8>>,
    inventory: Vec<SealedRecord>,
    bytes: u64,
    began_at: Timestamp,
}

impl Unopened {
    /// Checks the evidence, and takes what the server says is held.
    ///
    /// # Errors
    /// [`StationError::Refused`], [`StationError::Scope`], [`StationError::Held`],
    /// [`StationError::NotReached`].
    pub fn begin(
        evidence: &ReleaseEvidence,
        trust: &TrustPolicy,
        held: Held,
        now: Timestamp,
    ) -> Result<Self, StationError> {
        let scope = Scope::from_text(&evidence.scope).map_err(|_| StationError::Scope)?;
        let release = evidence.verify(trust, now)?;
        let order = release.order().clone();
        if !super::agree(&scope, &order) || order.opens_account() {
            return Err(StationError::Scope);
        }
        let reach = if order.hands_out_sealed() {
            let manifest =
                SignedManifest::decode(&held.manifest).map_err(|_| StationError::Held)?;
            Some(Reach::new(order.clone(), manifest)?)
        } else {
            None
        };
        let mut this = Self {
            place: LogPlace::of(release.logged()),
            leaf_hash: release.logged().leaf_hash,
            wanted: held.bodies.iter().copied().collect(),
            files: BTreeMap::new(),
            inventory: Vec::new(),
            bytes: 0,
            began_at: now,
            order,
            scope,
            reach,
            held,
        };
        if this.reach.is_some() {
            let manifest = core::mem::take(&mut this.held.manifest);
            this.take(RecordKind::Manifest, MANIFEST_ROW, manifest)?;
            for epoch in core::mem::take(&mut this.held.epochs) {
                this.take(RecordKind::EpochBox, Row(epoch.row), epoch.value)?;
            }
        }
        Ok(this)
    }

    /// The authority's age key as the server gave it, if it is the one the officers signed for.
    ///
    /// # Errors
    /// [`StationError::Recipient`].
    pub fn recipient(&self, text: &str) -> Result<Recipient, StationError> {
        super::recipient(text, &self.order)
    }

    /// Whether letters are handed out, so that their heads and rows must be taken.
    #[must_use]
    pub fn has_letters(&self) -> bool {
        self.reach.is_some()
    }

    /// Takes the head of a letter that is not folded.
    ///
    /// # Errors
    /// [`StationError::NotReached`], [`StationError::TooLarge`].
    pub fn head(&mut self, row: Row, record: Vec<u8>) -> Result<(), StationError> {
        self.take(RecordKind::LetterHead, row, record)
    }

    /// Takes a message row.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn message(&mut self, row: Row, value: Vec<u8>) -> Result<(), StationError> {
        self.take(RecordKind::Message, row, value)
    }

    /// The rows of the texts still wanted, ascending.
    #[must_use]
    pub fn wanted(&self) -> Vec<Row> {
        self.wanted.iter().copied().map(Row).collect()
    }

    /// Takes a letter's text.
    ///
    /// # Errors
    /// [`StationError::Unwanted`], and as [`Self::head`].
    pub fn body(&mut self, row: Row, sealed: Vec<u8>) -> Result<(), StationError> {
        if !self.wanted.remove(&row.0) {
            return Err(StationError::Unwanted);
        }
        self.take(RecordKind::LetterBody, row, sealed)
    }

    fn take(&mut self, kind: RecordKind, row: Row, octets: Vec<u8>) -> Result<(), StationError> {
        let reach = self.reach.as_ref().ok_or(StationError::Held)?;
        let line = reach.line(kind, row.0, &octets)?;
        self.bytes = self.bytes.saturating_add(line.bytes);
        if self.bytes > PRODUCTION_BYTES_MAX || self.files.len() + 16 > FILES_MAX {
            return Err(StationError::TooLarge);
        }
        if self.files.insert(line.file.clone(), octets).is_some() {
            return Err(StationError::Held);
        }
        self.inventory.push(line);
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`StationError::Missing`] when a text was not handed in; [`StationError::Held`].
    pub fn close(self, now: Timestamp) -> Result<Cut, StationError> {
        if !self.wanted.is_empty() {
            return Err(StationError::Missing(self.wanted.len()));
        }
        let (mut inventory, undated) = (self.inventory, self.held.undated);
        inventory.sort_by_key(|line| (line.table, line.row));
        let sealed = self.reach.map(|reach| {
            let manifest = reach.manifest().manifest().version;
            SealedPart { inventory, manifest, undated }
        });
        let cut = Cut {
            files: self.files,
            index: Vec::new(),
            tally: Tally { leaf_hash: self.leaf_hash, holders: Vec::new(), opened: 0 },
            scope: self.scope,
            place: self.place,
            sealed,
            opened_at: self.began_at,
            closed_at: now,
        };
        cut.with_subscriber(&self.held.subscriber)
    }
}
