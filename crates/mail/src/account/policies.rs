//! The escrow policies of the cell: those of its configuration, and every one there ever was.
//!
//! An account stays under the policy its manifest names until its owner's next login takes it to
//! the configured one. If none is configured any more, months go on being made under the old
//! one; so the cell keeps the public keys of every policy it was ever started with.
//!
//! Invariant: a policy is on record before an account can be under it.
//! Refs: specs/cell-rows.md §7; specs/bw1.md §6.1, §6.6.

use std::collections::HashMap;
use std::sync::Arc;

use custody::cell::CellKeys;
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use seal::Entropy;
use seal::escrow::{EscrowPolicy, Party};
use seal::holder::{Holder, HolderPublic};
use seal::manifest::Manifest;
use seal::row::RowKeys;
use store::{Append, Batch, CommitError, Read, ReadError};
use vocab::{CellId, Custody, Digest, HolderId, ModSeq, RecordKind, Row};

/// Why the policies could not be read or recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoliciesError {
    /// A row does not open, or does not say what its number says.
    #[error("a recorded escrow policy does not open under the cell's key")]
    Tampered,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The store or the cipher failed.
    #[error("the store failed")]
    Failed,
}

impl From<ReadError> for PoliciesError {
    fn from(_: ReadError) -> Self {
        Self::Failed
    }
}

impl From<CommitError> for PoliciesError {
    fn from(error: CommitError) -> Self {
        if error == CommitError::Full { Self::Full } else { Self::Failed }
    }
}

#[derive(Encode, Decode)]
struct PolicyRow {
    /// As in a manifest: 1 trustee, 2 managed.
    #[n(0)]
    custody: u8,
    #[n(1)]
    trustees: SideRow,
    #[n(2)]
    guards: SideRow,
}

#[derive(Encode, Decode)]
struct SideRow {
    #[n(0)]
    needed: u8,
    #[n(1)]
    holders: Vec<HolderRow>,
}

#[derive(Encode, Decode)]
struct HolderRow {
    #[n(0)]
    id: ByteArray<16>,
    #[n(1)]
    key: ByteVec,
}

impl PolicyRow {
    fn of(policy: &EscrowPolicy) -> Self {
        let side = |party| {
            let (needed, holders) = policy.side(party);
            let holder = |holder: &Holder| HolderRow {
                id: ByteArray::from(holder.id.0),
                key: ByteVec::from(holder.key.as_bytes().to_vec()),
            };
            SideRow { needed, holders: holders.iter().map(holder).collect() }
        };
        let custody = match policy.custody() {
            Custody::Sealed => 0,
            Custody::Trustee => 1,
            Custody::Managed => 2,
        };
        Self { custody, trustees: side(Party::Trustee), guards: side(Party::Guard) }
    }

    fn policy(&self, cell: CellId) -> Option<EscrowPolicy> {
        let custody = match self.custody {
            1 => Custody::Trustee,
            2 => Custody::Managed,
            _ => return None,
        };
        let side = |row: &SideRow| {
            let holder = |row: &HolderRow| {
                let key = HolderPublic::decode(&row.key).ok()?;
                Some(Holder { id: HolderId(*row.id), key })
            };
            let holders = row.holders.iter().map(holder).collect::<Option<Vec<_>>>()?;
            Some((row.needed, holders))
        };
        EscrowPolicy::new(cell, custody, side(&self.trustees)?, side(&self.guards)?).ok()
    }
}

/// What policies are kept with.
pub struct PoliciesOptions<'a> {
    /// The cell's keys.
    pub keys: &'a CellKeys,
    /// Writes.
    pub append: Append,
    /// Reads.
    pub read: Read,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The policies of the configuration, at most one for each custody.
    pub configured: Vec<EscrowPolicy>,
}

/// Every escrow policy an account of the cell can be under.
pub struct Policies {
    configured: Vec<EscrowPolicy>,
    known: HashMap<Digest, EscrowPolicy>,
}

impl Policies {
    /// Reads what is on record, and records what is new in the configuration. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`PoliciesError`].
    pub fn load(options: PoliciesOptions<'_>) -> Result<Self, PoliciesError> {
        let PoliciesOptions { keys, append, read, entropy, configured } = options;
        let rows = keys.rows().map_err(|_| PoliciesError::Failed)?;
        let mut known = HashMap::new();
        for found in read.scan(keys.account(), RecordKind::HolderPolicy, Row(0)) {
            let (row, sealed) = found?;
            let policy = opened(&rows, keys.cell(), row, &sealed);
            let policy = policy.ok_or(PoliciesError::Tampered)?;
            known.insert(policy.digest(), policy);
        }
        for policy in &configured {
            let digest = policy.digest();
            if known.insert(digest, policy.clone()).is_some() {
                continue;
            }
            let (row, plain) = (row(digest), crate::mailbox::encode(&PolicyRow::of(policy)));
            let kind = RecordKind::HolderPolicy;
            let sealed = rows.seal(kind, row, ModSeq(1), &plain, entropy.as_ref());
            let sealed = sealed.map_err(|_| PoliciesError::Failed)?;
            append.commit_blocking(Batch::new(keys.account()).put(kind, row, sealed))?;
        }
        Ok(Self { configured, known })
    }

    /// The holders of new accounts in a custody; `None` in `sealed`, and where the cell does not
    /// offer it.
    #[must_use]
    pub fn configured(&self, custody: Custody) -> Option<&EscrowPolicy> {
        self.configured.iter().find(|policy| policy.custody() == custody)
    }

    /// The policy with this digest, if the cell ever had it.
    #[must_use]
    pub fn known(&self, digest: Digest) -> Option<&EscrowPolicy> {
        self.known.get(&digest)
    }

    /// The policy for what is made of an account next: the configured one for its custody, or
    /// else the one its manifest names.
    #[must_use]
    pub fn next(&self, manifest: &Manifest) -> Option<&EscrowPolicy> {
        let named = || self.known(manifest.policy?);
        self.configured(manifest.custody).or_else(named)
    }
}

fn row(digest: Digest) -> Row {
    Row(digest.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
}

fn opened(rows: &RowKeys, cell: CellId, at: Row, sealed: &[u8]) -> Option<EscrowPolicy> {
    let (_, plain) = rows.open(RecordKind::HolderPolicy, at, sealed).ok()?;
    let policy = minicbor::decode::<PolicyRow>(&plain).ok()?.policy(cell)?;
    (row(policy.digest()) == at).then_some(policy)
}
