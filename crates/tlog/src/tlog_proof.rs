//! The receipt: a text that proves, offline, that an entry is in a witnessed log.
//!
//! Invariant: what is parsed is written back octet for octet, and nothing of it is believed
//! before [`TlogProof::verify`]. `extra` is never authenticated.
//! Refs: C2SP tlog-proof.

use vocab::Digest;

use crate::checkpoint::Checkpoint;
use crate::note::{NOTE_BYTES_MAX, NoteError, SignedNote};
use crate::policy::{Accepted, Freshness, Policy, Unsatisfied};
use crate::proof::{PROOF_HASHES_MAX, ProofError, verify_inclusion};
use crate::text;

/// The largest proof text, in octets: a note of full size, 63 hashes, and 64 KiB of extra.
pub const TLOG_PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 72 * 1024;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why octets are not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// More than [`TLOG_PROOF_BYTES_MAX`] octets.
    #[error("the proof is larger than {TLOG_PROOF_BYTES_MAX} octets")]
    TooLarge,
    /// The first line is another.
    #[error("the proof does not begin with `{HEADER}`")]
    Header,
    /// The lines are not in the form that the specification gives.
    #[error("a line of the proof is malformed")]
    Line,
    /// More than [`PROOF_HASHES_MAX`] hashes.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// What follows is not a note.
    #[error("the proof does not end in a checkpoint")]
    Note(#[from] NoteError),
}

/// Why a proof was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefused {
    /// The checkpoint does not satisfy the policy.
    #[error("the checkpoint does not satisfy the policy")]
    Policy(#[from] Unsatisfied),
    /// The entry is not at that place of the checkpoint's tree.
    #[error("the entry is not in the checkpoint's tree")]
    Inclusion(#[from] ProofError),
}

/// A proof that some entry is in a log: its place, the path, and a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application's own, at most 48 KiB. Not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The entry's index in the log.
    pub index: u64,
    /// From the leaf's sibling up; at most [`PROOF_HASHES_MAX`].
    pub path: Vec<Digest>,
    /// The checkpoint with the signatures of the log and the witnesses.
    pub note: SignedNote,
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`TlogProofError`].
    pub fn parse(octets: &[u8]) -> Result<Self, TlogProofError> {
        if octets.len() > TLOG_PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLarge);
        }
        let whole = core::str::from_utf8(octets).map_err(|_| TlogProofError::Line)?;
        let (header, mut rest) = text::line(whole).ok_or(TlogProofError::Header)?;
        if header != HEADER {
            return Err(TlogProofError::Header);
        }
        let mut next = || -> Result<&str, TlogProofError> {
            let (line, after) = text::line(rest).ok_or(TlogProofError::Line)?;
            rest = after;
            Ok(line)
        };
        let mut line = next()?;
        let mut extra = None;
        if let Some(blob) = line.strip_prefix("extra ") {
            extra = Some(text::decode(blob).ok_or(TlogProofError::Line)?);
            line = next()?;
        }
        let index = line.strip_prefix("index ").and_then(text::decimal);
        let index = index.ok_or(TlogProofError::Line)?;
        let mut path = Vec::new();
        loop {
            let line = next()?;
            if line.is_empty() {
                break;
            }
            if path.len() == PROOF_HASHES_MAX {
                return Err(TlogProofError::TooManyHashes);
            }
            path.push(text::digest(line).ok_or(TlogProofError::Line)?);
        }
        let note = SignedNote::parse(rest.as_bytes())?;
        Ok(Self { extra, index, path, note })
    }

    /// The proof as text; files of it end in `.tlog-proof`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            out.push_str(&format!("extra {}\n", text::encode(extra)));
        }
        out.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            out.push_str(&text::encode(&hash.0));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note.encode());
        out
    }

    /// Checks everything: the log's signature, the witnesses' quorum, and that the entry with
    /// this leaf hash ([`crate::leaf_hash`]) is at [`Self::index`]. `freshness` bounds the age
    /// of the cosignatures that count; `None` accepts any.
    ///
    /// # Errors
    /// [`ProofRefused`].
    pub fn verify<'p>(
        &self,
        leaf: &Digest,
        policy: &'p Policy,
        freshness: Option<Freshness>,
    ) -> Result<Accepted<'p>, ProofRefused> {
        let accepted = policy.satisfied(&self.note, freshness)?;
        let Checkpoint { size, root, .. } = &accepted.checkpoint;
        verify_inclusion(leaf, self.index, *size, &self.path, root)?;
        Ok(accepted)
    }
}
