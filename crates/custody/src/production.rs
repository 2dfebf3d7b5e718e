//! What a production says of itself: its custody record, its index and its signature.
//!
//! Invariant: plain data and one signature; whether it is true is for [`crate::release`] and
//! the log to say. The desk writes these, a program outside the server checks them.
//! Refs: specs/production.md.

use crate::hash;
use crate::order::OrderRecord;
use seal::sign::{BadSignature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vocab::{CaseId, CellId, Digest, Keeper, RecordKind, Timestamp};

/// `custody.json`: who opened what, when, under which order (specs/production.md §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodyRecord {
    /// 1.
    pub version: u8,
    /// The case.
    #[serde(with = "crate::octets")]
    pub case: CaseId,
    /// The cell.
    #[serde(with = "crate::octets")]
    pub cell: CellId,
    /// SHA-256 of the order record.
    #[serde(with = "crate::octets")]
    pub order: Digest,
    /// When the account was opened, or the station began to pack what nobody opened.
    #[serde(with = "crate::octets::time")]
    pub opened_at: Timestamp,
    /// When the production was closed.
    #[serde(with = "crate::octets::time")]
    pub closed_at: Timestamp,
    /// The holders whose shares were used: trustees, officers of the vault, guards; 32 hex each.
    pub holders: Vec<String>,
    /// Sealed records opened.
    pub opened: u64,
    /// Records produced.
    pub produced: u64,
}

/// Why what a custody record counts cannot be true of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTallied {
    /// An account was opened, by nobody.
    #[error("it names no holder")]
    Holder,
    /// The order opens nothing.
    #[error("it tells of an opening, and the order has none")]
    Opening,
    /// More than was opened.
    #[error("more was produced than was opened")]
    More,
}

impl CustodyRecord {
    /// Whether who opened and how much was produced can be true of this order.
    ///
    /// # Errors
    /// [`NotTallied`].
    pub fn tally_fits(&self, order: &OrderRecord) -> Result<(), NotTallied> {
        // What the cell reads itself is one record more than those opened.
        let by_cell = |table: &u16| {
            RecordKind::from_table(*table)
                .is_some_and(|kind| kind.holding().keeper != Keeper::Owner)
        };
        let unopened = u64::from(order.kinds.iter().any(by_cell));
        let (opens, nobody) = (order.opens_account(), self.holders.is_empty());
        let rules = [
            (!opens || !nobody, NotTallied::Holder),
            (opens || nobody && self.opened == 0, NotTallied::Opening),
            (!opens || self.produced <= self.opened.saturating_add(unopened), NotTallied::More),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, why)| Err(why))
    }
}

/// One line of `data/index.json`: one record produced (specs/production.md §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducedRecord {
    /// Path from the bag's root, for instance `data/eml/000001.eml`.
    pub file: String,
    /// When the letter arrived; `None` of what did not arrive.
    #[serde(with = "crate::octets::maybe_time")]
    pub arrived: Option<Timestamp>,
    /// The legal category: `content`, `traffic`, `identifying` or `subscriber`.
    pub category: String,
    /// Octets.
    pub bytes: u64,
}

/// One line of `data/redactions.json` (specs/production.md §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// The file.
    pub file: String,
    /// What is missing in it.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// What was cut from the files of an index: of a letter of which the scope names traffic alone,
/// whatever is content. Nothing else is cut.
#[must_use]
pub fn redactions(index: &[ProducedRecord]) -> Vec<Redaction> {
    let traffic = index.iter().filter(|line| line.category == "traffic");
    let cut = traffic.flat_map(|line| {
        ["subject", "display names", "text"].map(|field| Redaction {
            file: line.file.clone(),
            field: field.to_owned(),
            reason: "the scope names traffic, not content".to_owned(),
        })
    });
    cut.collect()
}

/// `manifest.sig`: the desk's signature over the tag manifest, and so over all else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSignature {
    /// The desk's Ed25519 public key.
    #[serde(with = "crate::octets")]
    pub key: [u8; 32],
    /// Over what specs/production.md §4 says.
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

/// What the log knows a production by: the digest of its `tagmanifest-sha256.txt`.
#[must_use]
pub fn manifest_digest(tag_manifest: &[u8]) -> Digest {
    hash(&[tag_manifest])
}

impl ManifestSignature {
    fn message(tag_manifest: &[u8]) -> Vec<u8> {
        [b"bailiwick.v1 production\0".as_slice(), &manifest_digest(tag_manifest).0].concat()
    }

    /// Signs a production by the octets of its `tagmanifest-sha256.txt`.
    #[must_use]
    pub fn sign(tag_manifest: &[u8], desk: &SigningKey) -> Self {
        let signature = desk.sign(&Self::message(tag_manifest));
        Self { key: desk.public().0, signature }
    }

    /// Whether `desk` signed this tag manifest.
    ///
    /// # Errors
    /// [`BadSignature`], for another key as for another text.
    pub fn verify(&self, tag_manifest: &[u8], desk: &VerifyingKey) -> Result<(), BadSignature> {
        if self.key != desk.0 {
            return Err(BadSignature);
        }
        desk.verify(&Self::message(tag_manifest), &self.signature)
    }
}
