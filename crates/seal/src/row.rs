//! Sealed rows: small records that are rewritten, each bound to its place and change.
//!
//! AES-256-GCM-SIV, because a restored snapshot can repeat a nonce. The key of each table is
//! derived once per epoch, not per row.
//!
//! Invariant: a row opens only as the row it was sealed as: account, epoch, version, table,
//! number and modseq are authenticated, and the padding hides its length within 64 octets.
//! Refs: specs/bw1.md §8; RFC 8452.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use vocab::{AccountId, CellId, Epoch, EpochVersion, Keeper, ModSeq, RecordKind, Row};
use zeroize::Zeroizing;

use crate::derive::derive;
use crate::entropy::{Entropy, draw};
use crate::epoch::{EpochKeys, place};
use crate::error::{OpenError, SealError};
use crate::memory::scrubbed;
use crate::secret::Secret;
use crate::wire::{Reader, pad64, unpad};

/// Most octets of plaintext in one row. What is larger is a blob.
pub const PLAIN_BYTES_MAX: usize = 64 << 20;
/// Octets before the ciphertext: epoch, version, modseq, nonce.
pub const HEADER_BYTES: usize = 28;
const TAG_BYTES: usize = 16;

/// What can be read of a sealed row without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHeader {
    /// The epoch whose keys open it.
    pub epoch: Epoch,
    /// Which re-keying of it.
    pub version: EpochVersion,
    /// The change that wrote it.
    pub modseq: ModSeq,
}

/// Reads a sealed row's header, to know which keys open it.
///
/// # Errors
/// [`OpenError::Malformed`] if it is too short to be a row.
pub fn header(value: &[u8]) -> Result<RowHeader, OpenError> {
    let mut reader = Reader::new(value);
    let epoch = Epoch(reader.u32()?);
    let version = EpochVersion(reader.u32()?);
    Ok(RowHeader { epoch, version, modseq: ModSeq(reader.u64()?) })
}

/// The row keys of one epoch of an account, or of a cell: as octets, since the cipher's own form
/// of a key lies in ordinary memory, and is made in a tenth of the time that a row takes.
pub struct RowKeys {
    account: AccountId,
    epoch: Epoch,
    version: EpochVersion,
    /// `EK`.
    secret: Secret<32>,
    /// The key of each kind, derived when first asked for.
    tables: Vec<(RecordKind, OnceLock<Secret<32>>)>,
}

impl RowKeys {
    /// The keys for an account's own rows of one epoch.
    ///
    /// # Errors
    /// Only if the cipher refuses its key, which it does not.
    pub fn of_epoch(keys: &EpochKeys) -> Result<Self, SealError> {
        Self::new(keys.account(), keys.epoch(), keys.version(), keys.rows(), Keeper::Owner)
    }

    /// The keys for the rows a cell keeps for itself: the same format, with the cell as
    /// account, epoch 0, version 1 and the cell's secret in the place of `EK`.
    ///
    /// # Errors
    /// Only if the cipher refuses its key, which it does not.
    pub fn of_cell(cell: CellId, secret: &Secret<32>) -> Result<Self, SealError> {
        Self::new(AccountId(cell.0), Epoch(0), EpochVersion(1), secret, Keeper::Cell)
    }

    fn new(
        account: AccountId,
        epoch: Epoch,
        version: EpochVersion,
        secret: &Secret<32>,
        keeper: Keeper,
    ) -> Result<Self, SealError> {
        let kinds = RecordKind::ALL.iter().filter(|kind| kind.holding().keeper == keeper);
        let tables = kinds.map(|kind| (*kind, OnceLock::new())).collect();
        let secret = Secret::copied(secret.expose());
        Ok(Self { account, epoch, version, secret, tables })
    }

    /// The epoch these keys are of.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which re-keying of it.
    #[must_use]
    pub fn version(&self) -> EpochVersion {
        self.version
    }

    fn table(&self, kind: RecordKind) -> Option<LessSafeKey> {
        let (_, key) = self.tables.iter().find(|(known, _)| *known == kind)?;
        let key = key.get_or_init(|| {
            let place = place(self.account, self.epoch, self.version);
            derive(&self.secret, "row", &[&place, &kind.table().to_be_bytes()])
        });
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key.expose()).ok()?))
    }

    /// What a row is bound to (specs/bw1.md §8.2), in words of eight octets: it is made twice for
    /// each row of a mailbox that is opened.
    pub(crate) fn binding(&self, kind: RecordKind, row: Row, modseq: ModSeq) -> [[u8; 8]; 7] {
        let mut words = [[0; 8]; 7];
        let account = self.account.0.as_chunks().0.iter().copied();
        let place = (u64::from(self.epoch.0) << 32) | u64::from(self.version.0);
        let kind = u64::from(kind.table()) << 48;
        let numbers = [place, row.0, modseq.0, kind].map(u64::to_be_bytes);
        let source = [*b"BWROW1\0\0"].into_iter().chain(account).chain(numbers);
        words.iter_mut().zip(source).for_each(|(to, from)| *to = from);
        words
    }

    /// Seals a row: the value to store under (account, kind, row).
    ///
    /// # Errors
    /// [`SealError::WrongKeys`] if these keys do not seal that kind; [`SealError::TooLong`]
    /// above [`PLAIN_BYTES_MAX`].
    pub fn seal(
        &self,
        kind: RecordKind,
        row: Row,
        modseq: ModSeq,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        if plain.len() > PLAIN_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let nonce: [u8; 12] = draw(entropy);
        let mut out = Vec::with_capacity(HEADER_BYTES + plain.len() + 64 + TAG_BYTES);
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.extend_from_slice(&self.version.0.to_be_bytes());
        out.extend_from_slice(&modseq.0.to_be_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        pad64(&mut out, HEADER_BYTES);
        let text = out.get_mut(HEADER_BYTES..).ok_or(SealError::Cipher)?;
        let binding = self.binding(kind, row, modseq);
        let binding = Aad::from(binding.as_flattened());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = scrubbed::<16384, _>(|| {
            let key = self.table(kind).ok_or(SealError::WrongKeys)?;
            key.seal_in_place_separate_tag(nonce, binding, text).map_err(|_| SealError::Cipher)
        })?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens the value stored under (account, kind, row).
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if it was sealed under another epoch or version, or these keys
    /// do not open that kind; [`OpenError::Tampered`] if it does not authenticate as that row.
    pub fn open(
        &self,
        kind: RecordKind,
        row: Row,
        value: &[u8],
    ) -> Result<(ModSeq, Vec<u8>), OpenError> {
        let mut plain = Vec::new();
        let modseq = scrubbed::<16384, _>(|| {
            let key = self.table(kind).ok_or(OpenError::Mismatch)?;
            self.open_with(&key, kind, row, value, &mut plain)
        })?;
        Ok((modseq, plain))
    }

    /// What opens rows of one kind one after another.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if these keys do not open that kind.
    pub fn opener(&self, kind: RecordKind) -> Result<RowOpener<'_>, OpenError> {
        let cipher = scrubbed::<16384, _>(|| self.table(kind)).ok_or(OpenError::Mismatch)?;
        Ok(RowOpener { keys: self, kind, cipher, plain: Zeroizing::default() })
    }

    /// Opens a row over what is in `plain`.
    fn open_with(
        &self,
        cipher: &LessSafeKey,
        kind: RecordKind,
        row: Row,
        value: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<ModSeq, OpenError> {
        let RowHeader { epoch, version, modseq } = header(value)?;
        if (epoch, version) != (self.epoch, self.version) {
            return Err(OpenError::Mismatch);
        }
        let mut reader = Reader::new(value);
        reader.bytes(HEADER_BYTES - 12)?;
        let nonce = Nonce::assume_unique_for_key(reader.array()?);
        let sealed = reader.all_but(TAG_BYTES)?;
        let tag: [u8; TAG_BYTES] = reader.array()?;
        plain.resize(sealed.len(), 0);
        let binding = self.binding(kind, row, modseq);
        let binding = Aad::from(binding.as_flattened());
        cipher
            .open_separate_gather(nonce, binding, sealed, &tag, plain)
            .map_err(|_| OpenError::Tampered)?;
        unpad(plain)?;
        Ok(modseq)
    }
}

/// Opens rows of one kind and epoch, into the same octets. It holds the cipher's own form of the
/// key, in ordinary memory: kept for one batch of rows.
pub struct RowOpener<'a> {
    keys: &'a RowKeys,
    kind: RecordKind,
    cipher: LessSafeKey,
    plain: Zeroizing<Vec<u8>>,
}

impl RowOpener<'_> {
    /// Whether it opens with these very keys.
    #[must_use]
    pub fn opens_with(&self, keys: &RowKeys) -> bool {
        core::ptr::eq(self.keys, keys)
    }

    /// Opens the value stored under (account, kind, row). What it gives is there until the next.
    ///
    /// # Errors
    /// As [`RowKeys::open`].
    pub fn open(&mut self, row: Row, value: &[u8]) -> Result<(ModSeq, &[u8]), OpenError> {
        let Self { keys, kind, cipher, plain } = self;
        let modseq = keys.open_with(cipher, *kind, row, value, plain)?;
        Ok((modseq, plain))
    }
}
