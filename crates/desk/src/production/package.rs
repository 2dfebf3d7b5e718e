//! The package: a BagIt bag of what the station cut, with what proves where it comes from.
//!
//! Invariant: every file but the three written last is in both tag manifests or both payload
//! manifests; the desk's signature and the log's receipt are over the first of them.
//! Refs: specs/production.md; RFC 8493.

use super::station::Cut;
use super::{json, order_line};
use crate::time;
use custody::production::{CustodyRecord, ManifestSignature, redactions};
use custody::statement::{Stated, StatedSealed};
use custody::{LeafReceipt, OrderRecord, ReleaseEvidence, hex};
use seal::mac::{sha256, sha512};
use std::collections::BTreeMap;
use vocab::{DataCategory, Digest, Timestamp};

/// Files of a production.
pub const FILES_MAX: usize = 200_000;

/// Why there is no package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// The order in the evidence cannot be read, or a record cannot be written.
    #[error("the production's records cannot be written")]
    Records,
    /// More than [`FILES_MAX`] files.
    #[error("the production has too many files")]
    TooMany,
}

/// A package before the desk has signed it.
pub struct Bag {
    files: BTreeMap<String, Vec<u8>>,
    record: CustodyRecord,
    tag_manifest: Vec<u8>,
}

impl Bag {
    /// Packs what was cut.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn new(cut: Cut, evidence: &ReleaseEvidence) -> Result<Self, PackageError> {
        let order = OrderRecord::decode(&evidence.order).map_err(|_| PackageError::Records)?;
        let record = CustodyRecord {
            version: 1,
            case: order.case,
            cell: order.cell,
            order: OrderRecord::digest(&evidence.order),
            opened_at: cut.opened_at,
            closed_at: cut.closed_at,
            holders: cut.tally.holders.iter().map(ToString::to_string).collect(),
            opened: cut.tally.opened,
            produced: u64::try_from(cut.produced()).map_err(|_| PackageError::TooMany)?,
        };
        let written = |octets: Option<Vec<u8>>| octets.ok_or(PackageError::Records);
        let statement = stated(&order, record.order, &cut).text();
        let mut payload = cut.files;
        if let Some(text) = statement {
            payload.insert("data/statement.txt".to_owned(), text.into_bytes());
        }
        if let Some(sealed) = cut.sealed {
            payload.insert("data/inventory.json".to_owned(), written(json(&sealed.inventory))?);
        }
        payload.insert("data/index.json".to_owned(), written(json(&cut.index))?);
        payload.insert("data/redactions.json".to_owned(), written(json(&redactions(&cut.index)))?);
        payload.insert("data/scope.json".to_owned(), evidence.scope.clone().into_bytes());
        let mut tags = BTreeMap::new();
        let mut tag = |name: &str, octets: Vec<u8>| tags.insert(name.to_owned(), octets);
        tag("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_vec());
        tag("bag-info.txt", bag_info(&order, &payload, cut.closed_at));
        tag("manifest-sha256.txt", short(&payload));
        tag("manifest-sha512.txt", long(&payload));
        tag("order.sha256", order_line(order.demand));
        tag("custody.json", written(json(&record))?);
        tag("release.json", written(json(evidence))?);
        let (tag_manifest, second) = (short(&tags), long(&tags));
        let mut files = payload;
        files.append(&mut tags);
        files.insert("tagmanifest-sha256.txt".to_owned(), tag_manifest.clone());
        files.insert("tagmanifest-sha512.txt".to_owned(), second);
        if files.len() + 3 > FILES_MAX {
            return Err(PackageError::TooMany);
        }
        Ok(Self { files, record, tag_manifest })
    }

    /// What the desk signs, by its digest: `tagmanifest-sha256.txt`.
    #[must_use]
    pub fn tag_manifest(&self) -> &[u8] {
        &self.tag_manifest
    }

    /// `custody.json`.
    #[must_use]
    pub fn record(&self) -> &CustodyRecord {
        &self.record
    }

    /// The whole production, by path, once the desk has signed it and the log has it.
    ///
    /// # Errors
    /// [`PackageError::Records`].
    pub fn complete(
        self,
        signature: &ManifestSignature,
        receipt: &LeafReceipt,
    ) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
        let mut files = self.files;
        let written = |octets: Option<Vec<u8>>| octets.ok_or(PackageError::Records);
        files.insert("manifest.sig".to_owned(), written(json(signature))?);
        files.insert("receipt.json".to_owned(), written(json(receipt))?);
        files.insert("log-proof.txt".to_owned(), receipt.proof.clone().into_bytes());
        Ok(files)
    }
}

fn stated<'a>(order: &'a OrderRecord, digest: Digest, cut: &'a Cut) -> Stated<'a> {
    let asks = |category| cut.scope.categories.contains(&category);
    Stated {
        order,
        digest,
        log: &cut.place.origin,
        index: cut.place.index,
        subscriber: asks(DataCategory::Subscriber),
        identifying: asks(DataCategory::Identifying),
        sealed: cut.sealed.as_ref().map(|sealed| StatedSealed {
            manifest: sealed.manifest,
            inventory: &sealed.inventory,
            undated: sealed.undated,
        }),
    }
}

/// RFC 8493 §2.1.3.
fn short(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let line = |(name, octets): (&String, &Vec<u8>)| format!("{}  {name}\n", sha256(&[octets]));
    files.iter().map(line).collect::<String>().into_bytes()
}

fn long(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let line = |(name, octets): (&String, &Vec<u8>)| {
        format!("{}  {name}\n", hex::encode(&sha512(&[octets])))
    };
    files.iter().map(line).collect::<String>().into_bytes()
}

/// RFC 8493 §2.2.2.
fn bag_info(order: &OrderRecord, payload: &BTreeMap<String, Vec<u8>>, at: Timestamp) -> Vec<u8> {
    let octets: usize = payload.values().map(Vec::len).sum();
    format!(
        "Source-Organization: cell {}\nExternal-Identifier: {}\nBagging-Date: {}\n\
         Payload-Oxum: {octets}.{}\n",
        order.cell,
        order.case,
        time::day(at),
        payload.len()
    )
    .into_bytes()
}
