//! The cell's own keys: what the running cell must read or sign without anybody's consent.
//!
//! Invariant: everything comes from one secret in one file outside the data directory and its
//! backups, so that a stolen disk or backup reads nothing. It opens no letter: the kinds it
//! seals are those the record map gives to the cell, and no other.
//! Refs: specs/cell-key.md; specs/bw1.md §8.3; design §4.

use crate::hex;
use seal::derive::derive;
use seal::mac::{HmacKey, sha256};
use seal::row::RowKeys;
use seal::sign::SigningKey;
use seal::{Entropy, SealError, Secret};
use vocab::{AccountId, CellId, Row};
use zeroize::Zeroizing;

const FIRST_LINE: &str = "bailiwick-cell-key 1";
/// Octets of a key file.
pub const KEY_FILE_BYTES_MAX: usize = 4096;

/// A text that is not a cell's key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The first line that is not a comment is not the mark of a key file of version 1.
    #[error("the first line after comments must be `bailiwick-cell-key 1`")]
    FirstLine,
    /// A line is missing, repeated, unknown or not hexadecimal of its length.
    #[error("a key file has the lines cell, secret and check, each once, in lower-case hex")]
    Lines,
    /// The check does not match: a digit was changed or lost.
    #[error("the key file's check does not match: restore it from your copy")]
    Check,
}

/// All of a cell's keys.
pub struct CellKeys {
    cell: CellId,
    secret: Secret<32>,
}

impl CellKeys {
    /// New keys for a new cell.
    #[must_use]
    pub fn generate(cell: CellId, entropy: &dyn Entropy) -> Self {
        Self { cell, secret: Secret::random(entropy) }
    }

    /// The key file's text. Write it readable by the cell's own user alone.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex::encode(self.secret.expose()));
        Zeroizing::new(format!(
            "# The cell's key. Whoever has this file can read what the cell itself must read:\n\
             # addresses, its outbound queue, its desk. Keep it out of backups of the data; keep\n\
             # one copy of it in a safe. Without it the cell cannot run.\n\
             {FIRST_LINE}\ncell {}\nsecret {}\ncheck {}\n",
            self.cell,
            secret.as_str(),
            self.check()
        ))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn decode(text: &str) -> Result<Self, KeyFileError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut lines = lines.filter(|line| !line.starts_with('#'));
        if text.len() > KEY_FILE_BYTES_MAX || lines.next() != Some(FIRST_LINE) {
            return Err(KeyFileError::FirstLine);
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let cell = value("cell").and_then(|id| id.parse().ok()).ok_or(KeyFileError::Lines)?;
        let secret = value("secret").and_then(hex::decode_array).ok_or(KeyFileError::Lines)?;
        let check = value("check").ok_or(KeyFileError::Lines)?.to_owned();
        if lines.next().is_some() {
            return Err(KeyFileError::Lines);
        }
        let keys = Self { cell, secret: Secret::take(&mut Zeroizing::new(secret)) };
        if keys.check() == check { Ok(keys) } else { Err(KeyFileError::Check) }
    }

    fn check(&self) -> String {
        let digest =
            sha256(&[b"bailiwick.v1 cell key check\0", &self.cell.0, self.secret.expose()]);
        digest.to_string().chars().take(8).collect()
    }

    /// The cell.
    #[must_use]
    pub fn cell(&self) -> CellId {
        self.cell
    }

    /// The pseudo-account under which the cell's own records are stored.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId(self.cell.0)
    }

    fn key(&self, use_: &str) -> Secret<32> {
        derive(&self.secret, use_, &[&self.cell.0])
    }

    /// The keys of the rows the cell keeps for itself.
    ///
    /// # Errors
    /// As [`RowKeys::of_cell`].
    pub fn rows(&self) -> Result<RowKeys, SealError> {
        RowKeys::of_cell(self.cell, &self.key("cell rows"))
    }

    /// What finds an address's row without keeping the address.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        Lookup(HmacKey::new(self.key("cell lookup").expose()))
    }

    /// Signs every arrival, so that what is injected while an account is locked shows.
    ///
    /// # Errors
    /// As [`SigningKey::from_seed`].
    pub fn ingest(&self) -> Result<SigningKey, SealError> {
        SigningKey::from_seed(self.key("cell ingest"))
    }

    /// Signs receipts, productions and scope diffs.
    ///
    /// # Errors
    /// As [`SigningKey::from_seed`].
    pub fn desk(&self) -> Result<SigningKey, SealError> {
        SigningKey::from_seed(self.key("cell desk"))
    }

    /// Signs what leaves with an account, and that it has left (specs/move.md).
    ///
    /// # Errors
    /// As [`SigningKey::from_seed`].
    pub fn moving(&self) -> Result<SigningKey, SealError> {
        SigningKey::from_seed(self.key("cell moving"))
    }

    /// The seed of the log's key (`tlog::NoteSigner`).
    #[must_use]
    pub fn log_seed(&self) -> Secret<32> {
        self.key("cell log")
    }

    /// The seed of the key with which this cell cosigns other cells' logs (`tlog::Cosigner`).
    #[must_use]
    pub fn witness_seed(&self) -> Secret<32> {
        self.key("cell witness")
    }

    /// The seed of the Ed25519 key the cell's letters are signed with (RFC 8463).
    #[must_use]
    pub fn dkim_seed(&self) -> Secret<32> {
        self.key("cell dkim")
    }

    /// What passwords registered with OPAQUE are evaluated with (specs/bw1.md §4.5).
    ///
    /// # Errors
    /// As [`seal::opaque::Server::new`].
    pub fn opaque(&self) -> Result<seal::opaque::Server, seal::opaque::OpaqueError> {
        seal::opaque::Server::new(self.cell, &self.key("cell opaque"))
    }

    /// What a stolen disk lacks to guess passwords (specs/bw1.md §4).
    #[must_use]
    pub fn pepper(&self) -> Secret<32> {
        self.key("cell pepper")
    }
}

/// Finds the row of an address. See [`CellKeys::lookup`].
pub struct Lookup(HmacKey);

impl Lookup {
    /// The row of an address, which the caller has brought to its one spelling (lower case).
    #[must_use]
    pub fn row(&self, address: &str) -> Row {
        let mac = self.0.mac(&[address.as_bytes()]);
        Row(mac.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
    }
}
