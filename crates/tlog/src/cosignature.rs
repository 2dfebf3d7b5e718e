//! Cosignatures: a witness says that, at a time, a checkpoint was the largest it had seen.
//!
//! Invariant: only a checkpoint is cosigned, never another text, and never without a time.
//! Whether it is consistent with the one before is [`crate::Witness`]'s to know.
//! Refs: C2SP tlog-cosignature, "Ed25519 signed message".

use aws_lc_rs::signature::Ed25519KeyPair;
use vocab::Timestamp;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyError, NoteSignature, SignatureKind, SignedNote, VerifierKey, pair};

/// Why a note was not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// The note's text is not a checkpoint.
    #[error("only a checkpoint is cosigned")]
    NotACheckpoint(#[from] CheckpointError),
    /// The time is zero or beyond 2^63 - 1.
    #[error("a cosignature needs a time after 1970")]
    Time,
    /// The library failed.
    #[error("cosigning failed")]
    Sign,
}

/// A private Ed25519 key that cosigns checkpoints (type 0x04) under a witness's name. Each
/// cosigner has its own key: the signed message does not name the cosigner.
pub struct Cosigner {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Cosigner {
    /// Makes the cosigner of a 32-octet seed (RFC 8032 §5.1.5). The caller wipes its copy.
    ///
    /// # Errors
    /// [`KeyError::Name`] or [`KeyError::Seed`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let (key, pair) = pair(name, SignatureKind::Cosignature, seed)?;
        Ok(Self { key, pair })
    }

    /// The public half.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Cosigns a checkpoint note's text. It does not check the log's signature nor consistency.
    ///
    /// # Errors
    /// [`CosignError`].
    pub fn cosign(&self, note: &SignedNote, at: Timestamp) -> Result<NoteSignature, CosignError> {
        let note_text = note.text_unverified();
        Checkpoint::parse(note_text)?;
        if !is_time(at) {
            return Err(CosignError::Time);
        }
        let message = message(note_text, at);
        let signature = self.pair.try_sign(message.as_bytes()).map_err(|_| CosignError::Sign)?;
        let stamped = [at.0.to_be_bytes().as_slice(), signature.as_ref()].concat();
        Ok(NoteSignature::new(&self.key, stamped))
    }
}

/// tlog-witness: the timestamp MUST NOT be zero; tlog-cosignature: nor exceed 2^63 - 1.
fn is_time(at: Timestamp) -> bool {
    at.0 != 0 && i64::try_from(at.0).is_ok()
}

/// The octets that are signed: two header lines, then the whole note text.
pub(crate) fn message(note_text: &str, at: Timestamp) -> String {
    format!("cosignature/v1\ntime {}\n{note_text}", at.0)
}

/// Splits a `timestamped_signature` into its time and the 64-octet signature.
pub(crate) fn split(stamped: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (time, signature) = stamped.split_first_chunk::<8>()?;
    let time = Timestamp(u64::from_be_bytes(*time));
    (signature.len() == 64 && is_time(time)).then_some((time, signature))
}
