//! A log that grows: it sequences entries, signs the new checkpoint, and says what to write.
//!
//! Invariant: it signs only a tree that continues the one it was opened with. The caller
//! keeps the other half: every write is durable before the next; nobody sees the new
//! checkpoint before all of them are; when a write fails, the `Log` is dropped and opened
//! again from what is stored; and the stored log is never put back to an older state.
//! Refs: C2SP tlog-checkpoint "Signatures", tlog-tiles.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{NoteError, NoteSigner, SignedNote, VerifierKey};
use crate::tile::{TileSource, Write};
use crate::tree::{LoadError, SequenceError, Tree};

/// Why a stored log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The stored checkpoint is not a note.
    #[error("the stored checkpoint is not a note")]
    Note(#[from] NoteError),
    /// The stored checkpoint is not this log's.
    #[error("the stored checkpoint is not this log's")]
    Checkpoint(#[from] CheckpointError),
    /// The stored tiles do not bear it out.
    #[error("the stored tiles do not bear out the checkpoint")]
    Tree(#[from] LoadError),
}

/// One growth of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    /// The index of the first entry; the others follow.
    pub first: u64,
    /// The files to write, in order; the checkpoint is the last.
    pub writes: Vec<Write>,
    /// The new checkpoint, signed by the log alone. After the writes it goes to the witnesses;
    /// with their lines added it is published by [`Write::checkpoint`].
    pub note: SignedNote,
}

/// A log: its tree and the key named as its origin.
pub struct Log {
    tree: Tree,
    signer: NoteSigner,
}

impl Log {
    /// Begins an empty log. Its `writes` hold the checkpoint of size 0. Never use it where a
    /// log of that name has been before: witnesses will see a fork.
    ///
    /// # Errors
    /// [`CheckpointError`] when the key's name is not an origin.
    pub fn create(signer: NoteSigner) -> Result<(Self, Sequenced), CheckpointError> {
        let log = Self { tree: Tree::new(), signer };
        let note = log.checkpoint().sign(&log.signer)?;
        let writes = vec![Write::checkpoint(&note)];
        Ok((log, Sequenced { first: 0, writes, note }))
    }

    /// Opens a stored log at its stored checkpoint.
    ///
    /// # Errors
    /// [`OpenError`]: something stored is missing or false. Stop; a person must look.
    pub fn open(
        signer: NoteSigner,
        checkpoint: &[u8],
        source: &impl TileSource,
    ) -> Result<Self, OpenError> {
        let note = SignedNote::parse(checkpoint)?;
        let checkpoint = Checkpoint::open(&note, signer.verifier_key())?;
        Ok(Self { tree: Tree::load(&checkpoint, source)?, signer })
    }

    /// Appends entries and signs the tree they make.
    ///
    /// # Errors
    /// [`SequenceError`]; the log is then unchanged.
    pub fn sequence(&mut self, entries: &[&[u8]]) -> Result<Sequenced, SequenceError> {
        let mut tree = self.tree.clone();
        let first = tree.size();
        let mut writes = tree.sequence(entries)?;
        let checkpoint = self.checkpoint_of(&tree);
        let note = checkpoint.sign(&self.signer).map_err(|_| SequenceError::Sign)?;
        writes.push(Write::checkpoint(&note));
        self.tree = tree;
        Ok(Sequenced { first, writes, note })
    }

    /// The log's state in memory, unsigned.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_of(&self.tree)
    }

    /// The log's public key; its name is the origin.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    fn checkpoint_of(&self, tree: &Tree) -> Checkpoint {
        Checkpoint::new(self.signer.verifier_key().name(), tree.size(), tree.root())
    }
}
