//! Trust policies: what a holder, a court or the cell believes before it sees any evidence.
//!
//! Invariant: it is its reader's own file, obtained beforehand; nothing that arrives with
//! evidence changes it.
//! Refs: specs/release-evidence.md §5.

use crate::officers::Register;
use crate::receipt::{COSIGNATURE_SECONDS_MAX, LogTrust, LogTrustError};
use seal::sign::VerifyingKey;
use serde::{Deserialize, Serialize};
use vocab::CellId;

/// Octets of a trust policy as JSON.
pub const TRUST_BYTES_MAX: usize = 256 * 1024;

/// Why a text is not a trust policy.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Longer than [`TRUST_BYTES_MAX`].
    #[error("a trust policy has at most 262144 octets")]
    TooLarge,
    /// Not the JSON of specs/release-evidence.md §5.
    #[error("the trust policy cannot be read")]
    Json(#[from] serde_json::Error),
    /// Its log policy is unusable.
    #[error("the trust policy's log policy cannot be used")]
    Log(#[from] LogTrustError),
}

/// What a reader of evidence believes beforehand.
#[derive(Clone)]
pub struct TrustPolicy {
    /// The cell.
    pub cell: CellId,
    /// The cell's log and its witnesses.
    pub log: LogTrust,
    /// The cell's officers.
    pub register: Register,
    /// The key with which the cell's desk signs productions.
    pub desk: VerifyingKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u8,
    #[serde(with = "crate::octets")]
    cell: CellId,
    log_policy: String,
    #[serde(default = "age")]
    cosignature_seconds_max: u64,
    register: Register,
    #[serde(with = "crate::octets")]
    desk: [u8; 32],
}

const fn age() -> u64 {
    COSIGNATURE_SECONDS_MAX
}

impl TrustPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn from_json(text: &str) -> Result<Self, TrustError> {
        if text.len() > TRUST_BYTES_MAX {
            return Err(TrustError::TooLarge);
        }
        let text: Text = serde_json::from_str(text)?;
        if text.version != 1 {
            return Err(TrustError::Json(serde::de::Error::custom("version is not 1")));
        }
        let log = LogTrust::new(&text.log_policy, text.cosignature_seconds_max)?;
        let desk = VerifyingKey(text.desk);
        Ok(Self { cell: text.cell, log, register: text.register, desk })
    }

    /// The policy as text, for the person who will keep it.
    ///
    /// # Errors
    /// [`TrustError::Json`], which does not happen.
    pub fn to_json(&self) -> Result<String, TrustError> {
        let text = Text {
            version: 1,
            cell: self.cell,
            log_policy: self.log.text().to_owned(),
            cosignature_seconds_max: self.log.cosignature_seconds_max(),
            register: self.register.clone(),
            desk: self.desk.0,
        };
        Ok(serde_json::to_string_pretty(&text)?)
    }
}
