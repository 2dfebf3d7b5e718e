//! The manifest: one signed statement of everything that unlocks an account.
//!
//! It lists the slots, the epochs with their escrow, the custody mode and the cell, under the
//! account's identity and in a chain of versions. Whatever is not listed does not count.
//!
//! Invariant: a manifest is never believed because it was found in the store. The cell checks
//! its signature; a session also checks that its own slot pinned the signer, and that its
//! master key is the one committed to.
//! Refs: specs/bw1.md §5.

use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, SlotId, Timestamp};

use crate::epoch::{EpochPublic, EpochRecord};
use crate::error::OpenError;
use crate::mac::sha256;
use crate::root::IDENTITY_BOX_BYTES;
use crate::sign::{SigningKey, VerifyingKey};
use crate::wire::Reader;

/// Most slots of an account.
pub const SLOTS_MAX: usize = 256;
/// Most epochs of an account, all versions counted: 400 years of months.
pub const EPOCHS_MAX: usize = 4800;
const MARK: &[u8; 8] = b"BWMANIF1";
const LABEL: &[u8] = b"bailiwick.v1 manifest\0";
const ED25519: u8 = 1;

/// A slot, as the manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotEntry {
    /// Which.
    pub slot: SlotId,
    /// [`SlotRecord::digest`](crate::slot::SlotRecord::digest).
    pub digest: Digest,
}

/// An epoch, as the manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// Which month.
    pub epoch: Epoch,
    /// Which re-keying of it.
    pub version: EpochVersion,
    /// When it may first be used for arrivals.
    pub not_before: Timestamp,
    /// [`EpochRecord::public_digest`](crate::epoch::EpochRecord::public_digest).
    pub public: Digest,
    /// [`EpochRecord::box_digest`](crate::epoch::EpochRecord::box_digest).
    pub wrapped: Digest,
    /// [`Escrow::digest`](crate::escrow::Escrow::digest); `None` if there is no escrow.
    pub escrow: Option<Digest>,
}

impl EpochEntry {
    /// What a manifest is to say of `record` and its escrow.
    #[must_use]
    pub fn of(record: &EpochRecord, escrow: Option<Digest>) -> Self {
        let EpochPublic { epoch, version, not_before, .. } = *record.public();
        let (public, wrapped) = (record.public_digest(), record.box_digest());
        Self { epoch, version, not_before, public, wrapped, escrow }
    }

    /// Whether `record` is the one listed here (specs/bw1.md §5.4).
    #[must_use]
    pub fn describes(&self, record: &EpochRecord) -> bool {
        *self == Self::of(record, self.escrow)
    }
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose.
    pub account: AccountId,
    /// Where the account is kept.
    pub cell: CellId,
    /// Who besides its owner can open it.
    pub custody: Custody,
    /// [`EscrowPolicy::digest`](crate::escrow::EscrowPolicy::digest); `None` in custody `sealed`.
    pub policy: Option<Digest>,
    /// Counts from 1.
    pub version: u64,
    /// The master key's generation.
    pub generation: u32,
    /// Digest of the manifest before; `None` for version 1.
    pub previous: Option<Digest>,
    /// [`MasterKey::commitment`](crate::root::MasterKey::commitment).
    pub master: [u8; 32],
    /// The account's identity.
    pub identity: VerifyingKey,
    /// The identity's private half, under the root key.
    pub identity_box: [u8; IDENTITY_BOX_BYTES],
    /// Every slot, in the order of their ids.
    pub slots: Vec<SlotEntry>,
    /// Every epoch, in the order of month and version.
    pub epochs: Vec<EpochEntry>,
    /// When it was signed.
    pub created: Timestamp,
}

/// Why a manifest is not to be believed, or cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not of this format.
    #[error("not a manifest of this format")]
    Malformed,
    /// It contradicts itself: order, duplicates, limits, custody against escrow.
    #[error("the manifest contradicts itself")]
    Inconsistent,
    /// The signature is not its identity's.
    #[error("the signature is not the identity's")]
    Signature,
    /// It does not follow the manifest it should follow.
    #[error("the manifest does not follow the one before")]
    Chain,
}

impl Manifest {
    /// Signs it. Slots and epochs are put in order first.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] if it contradicts itself; [`ManifestError::Signature`]
    /// if `identity` is not the one it names.
    pub fn sign(mut self, identity: &SigningKey) -> Result<SignedManifest, ManifestError> {
        self.slots.sort_by_key(|entry| entry.slot);
        self.epochs.sort_by_key(|entry| (entry.epoch, entry.version));
        self.consistent()?;
        if identity.public() != self.identity {
            return Err(ManifestError::Signature);
        }
        let mut bytes = self.encode();
        let signature = identity.sign(&[LABEL, &bytes].concat());
        bytes.extend_from_slice(&signature);
        Ok(SignedManifest { manifest: self, bytes })
    }

    /// What this manifest lists for a slot.
    #[must_use]
    pub fn slot(&self, slot: SlotId) -> Option<&SlotEntry> {
        self.slots.iter().find(|entry| entry.slot == slot)
    }

    /// What this manifest lists for an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch, version: EpochVersion) -> Option<&EpochEntry> {
        self.epochs.iter().find(|entry| (entry.epoch, entry.version) == (epoch, version))
    }

    /// specs/bw1.md §5.2.
    fn consistent(&self) -> Result<(), ManifestError> {
        let slots = self.slots.len() <= SLOTS_MAX
            && self.slots.is_sorted_by(|before, after| before.slot < after.slot);
        let epochs = self.epochs.len() <= EPOCHS_MAX
            && self.epochs.is_sorted_by_key(|entry| (entry.epoch, entry.version))
            && self.epochs.is_sorted_by(|before, after| {
                (before.epoch, before.version) != (after.epoch, after.version)
            });
        let custody = match self.custody {
            Custody::Sealed => {
                self.policy.is_none() && self.epochs.iter().all(|entry| entry.escrow.is_none())
            }
            Custody::Trustee | Custody::Managed => self.policy.is_some(),
        };
        let chain = self.generation >= 1 && (self.version == 1) == self.previous.is_none();
        if slots && epochs && custody && chain && self.version >= 1 {
            Ok(())
        } else {
            Err(ManifestError::Inconsistent)
        }
    }

    fn encode(&self) -> Vec<u8> {
        let or_zero = |digest: Option<Digest>| digest.map_or([0; 32], |digest| digest.0);
        let mut out = Vec::with_capacity(512 + self.slots.len() * 48 + self.epochs.len() * 112);
        out.extend_from_slice(MARK);
        out.extend_from_slice(&self.account.0);
        out.extend_from_slice(&self.cell.0);
        out.push(self.custody as u8);
        out.extend_from_slice(&or_zero(self.policy));
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&or_zero(self.previous));
        out.extend_from_slice(&self.master);
        out.push(ED25519);
        out.extend_from_slice(&self.identity.0);
        out.extend_from_slice(&self.identity_box);
        // INVARIANT: `consistent` limits both counts.
        out.extend_from_slice(&u16::try_from(self.slots.len()).unwrap_or_default().to_be_bytes());
        for entry in &self.slots {
            out.extend_from_slice(&entry.slot.0);
            out.extend_from_slice(&entry.digest.0);
        }
        out.extend_from_slice(&u16::try_from(self.epochs.len()).unwrap_or_default().to_be_bytes());
        for entry in &self.epochs {
            out.extend_from_slice(&entry.epoch.0.to_be_bytes());
            out.extend_from_slice(&entry.version.0.to_be_bytes());
            out.extend_from_slice(&entry.not_before.0.to_be_bytes());
            out.extend_from_slice(&entry.public.0);
            out.extend_from_slice(&entry.wrapped.0);
            out.extend_from_slice(&or_zero(entry.escrow));
        }
        out.extend_from_slice(&self.created.0.to_be_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, OpenError> {
        let some = |bytes: [u8; 32]| (bytes != [0; 32]).then_some(Digest(bytes));
        reader.mark(MARK)?;
        let account = AccountId(reader.array()?);
        let cell = CellId(reader.array()?);
        let custody = match reader.u8()? {
            0 => Custody::Sealed,
            1 => Custody::Trustee,
            2 => Custody::Managed,
            _ => return Err(OpenError::Malformed),
        };
        let policy = some(reader.array()?);
        let version = reader.u64()?;
        let generation = reader.u32()?;
        let previous = some(reader.array()?);
        let master = reader.array()?;
        reader.mark(&[ED25519])?;
        let identity = VerifyingKey(reader.array()?);
        let identity_box = reader.array()?;
        let mut slots = Vec::new();
        for _ in 0..reader.u16()? {
            let slot = SlotId(reader.array()?);
            slots.push(SlotEntry { slot, digest: Digest(reader.array()?) });
        }
        let mut epochs = Vec::new();
        for _ in 0..reader.u16()? {
            epochs.push(EpochEntry {
                epoch: Epoch(reader.u32()?),
                version: EpochVersion(reader.u32()?),
                not_before: Timestamp(reader.u64()?),
                public: Digest(reader.array()?),
                wrapped: Digest(reader.array()?),
                escrow: some(reader.array()?),
            });
        }
        let created = Timestamp(reader.u64()?);
        Ok(Self {
            account,
            cell,
            custody,
            policy,
            version,
            generation,
            previous,
            master,
            identity,
            identity_box,
            slots,
            epochs,
            created,
        })
    }
}

/// A manifest whose signature is its identity's. That it is the *right* identity, only a slot
/// or a remembered key can tell ([`unlock`](crate::unlock)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl SignedManifest {
    /// Reads a manifest and checks its signature and that it does not contradict itself.
    ///
    /// # Errors
    /// As [`ManifestError`] says.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (body, signature) = bytes.split_last_chunk::<64>().ok_or(ManifestError::Malformed)?;
        let mut reader = Reader::new(body);
        let manifest = Manifest::read(&mut reader).map_err(|_| ManifestError::Malformed)?;
        reader.end().map_err(|_| ManifestError::Malformed)?;
        manifest
            .identity
            .verify(&[LABEL, body].concat(), signature)
            .map_err(|_| ManifestError::Signature)?;
        manifest.consistent()?;
        Ok(Self { manifest, bytes: bytes.to_vec() })
    }

    /// What it says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The stored octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest the next version names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[&self.bytes])
    }

    /// Whether this is the direct successor of `before`: same account and identity, next
    /// version, naming its digest, and no older master key.
    ///
    /// # Errors
    /// [`ManifestError::Chain`] if not.
    pub fn follows(&self, before: &Self) -> Result<(), ManifestError> {
        let (this, that) = (&self.manifest, &before.manifest);
        let follows = this.account == that.account
            && this.identity == that.identity
            && Some(this.version) == that.version.checked_add(1)
            && this.previous == Some(before.digest())
            && this.generation >= that.generation;
        if follows { Ok(()) } else { Err(ManifestError::Chain) }
    }
}
