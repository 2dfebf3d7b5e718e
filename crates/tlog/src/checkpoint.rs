//! Checkpoints: the origin, the size and the root hash of a log, as the text of a note.
//!
//! Invariant: one checkpoint has one spelling; what [`Checkpoint::parse`] accepts,
//! `Display` writes back octet for octet.
//! Refs: C2SP tlog-checkpoint.

use core::fmt;

use vocab::Digest;

use crate::note::{NoteError, NoteSigner, SignedNote, VerifierKey, VerifyError};
use crate::text;

/// The longest origin line, in octets (tlog-cosignature: `log_origin<1..2^8-1>`).
pub const ORIGIN_BYTES_MAX: usize = 255;
/// The largest tree, in leaves: a consistency proof then has at most 63 hashes and one.
pub const TREE_SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// Why a text is not a checkpoint, or a checkpoint is not the log's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The origin is empty, too long, or holds a control character.
    #[error("an origin is 1 to 255 octets without control characters")]
    Origin,
    /// The size is not a decimal of at most 2^63 - 1, without leading zeroes.
    #[error("the tree size is malformed")]
    Size,
    /// The root is not 32 octets in base64.
    #[error("the root hash is malformed")]
    Root,
    /// An extension line is empty or holds a control character.
    #[error("an extension line is malformed")]
    Extension,
    /// Fewer than three lines, or no final newline.
    #[error("a checkpoint has three lines, each ending in a newline")]
    Shape,
    /// The checkpoint is of another log than the key.
    #[error("the checkpoint's origin is not the name of the log's key")]
    WrongOrigin,
    /// The signature does not hold.
    #[error("the checkpoint is not signed by the log")]
    Signature(#[from] VerifyError),
    /// The note cannot be made.
    #[error("the checkpoint does not fit a note")]
    Note(#[from] NoteError),
    /// The signing failed.
    #[error("the checkpoint cannot be signed")]
    Sign(#[from] crate::note::SignError),
}

/// A log's state at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The number of leaves, at most [`TREE_SIZE_MAX`].
    pub size: u64,
    /// The RFC 6962 §2.1 tree hash at that size.
    pub root: Digest,
    /// Lines that other logs may add. Ours has none; a cosignature says nothing of them.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    #[must_use]
    pub fn new(origin: &str, size: u64, root: Digest) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a note: three lines or more, each ending in a newline.
    ///
    /// # Errors
    /// [`CheckpointError`]: the first thing that is wrong.
    pub fn parse(note_text: &str) -> Result<Self, CheckpointError> {
        let (origin, rest) = text::line(note_text).ok_or(CheckpointError::Shape)?;
        let (size, rest) = text::line(rest).ok_or(CheckpointError::Shape)?;
        let (root, rest) = text::line(rest).ok_or(CheckpointError::Shape)?;
        if origin.len() > ORIGIN_BYTES_MAX || !is_line(origin) {
            return Err(CheckpointError::Origin);
        }
        let size = text::decimal(size).ok_or(CheckpointError::Size)?;
        let root = text::digest(root).ok_or(CheckpointError::Root)?;
        let mut extensions = Vec::new();
        if !rest.is_empty() {
            let rest = rest.strip_suffix('\n').ok_or(CheckpointError::Shape)?;
            // tlog-checkpoint: extension lines, if any, MUST be non-empty.
            if !rest.split('\n').all(is_line) {
                return Err(CheckpointError::Extension);
            }
            extensions.extend(rest.split('\n').map(str::to_owned));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs the checkpoint as the log named by the key. A log must never sign two checkpoints
    /// of which neither continues the other; [`crate::Log`] sees to that, this method does not.
    ///
    /// # Errors
    /// [`CheckpointError::WrongOrigin`] when the signer has another name than the origin;
    /// otherwise what keeps the text from being a checkpoint or a note.
    pub fn sign(&self, signer: &NoteSigner) -> Result<SignedNote, CheckpointError> {
        if signer.verifier_key().name() != self.origin {
            return Err(CheckpointError::WrongOrigin);
        }
        let note_text = self.to_string();
        // What this crate would refuse to read, it does not sign.
        Self::parse(&note_text)?;
        Ok(SignedNote::new(&note_text, signer.sign(&note_text)?)?)
    }

    /// Reads the checkpoint of a note that the log signed; the key's name must be the origin.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &SignedNote, log: &VerifierKey) -> Result<Self, CheckpointError> {
        let verified = note.verify([log])?;
        let checkpoint = Self::parse(verified.text())?;
        if checkpoint.origin != log.name() {
            return Err(CheckpointError::WrongOrigin);
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    /// The note text, with its final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, text::encode(&self.root.0))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|octet| octet < b' ')
}
