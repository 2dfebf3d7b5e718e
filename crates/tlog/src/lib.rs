//! The transparency log: C2SP tiles, checkpoints, cosignatures, witnesses and proofs.
//!
//! [`Log`] sequences entries and returns the writes in the order that survives a crash;
//! [`Witness`] cosigns another log; [`Policy`] and [`TlogProof`] are what an outsider checks.
//! Entries are opaque octets: what a leaf says is `custody`'s business (specs/log-entry.md).
//!
//! Invariant: no I/O, no clock, no chance; it knows nothing of mail, law or cases. A signed
//! checkpoint covers only what the writes before it hold. Text is read before its signature
//! is checked only through methods that say so in their name.
//! Not here: ML-DSA-44 cosignatures (type 0x06), `sign-subtree`, pruning, mirrors.
//! Refs: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-witness,
//! tlog-proof, tlog-policy at 5ba5ee8; RFC 6962 §2.1; RFC 9162 §2.1.3, §2.1.4; RFC 8032.

mod audit;
mod checkpoint;
mod cosignature;
mod log;
mod note;
mod policy;
mod proof;
mod text;
mod tile;
mod tlog_proof;
mod tree;
mod witness;

pub use audit::{AuditError, audit};
pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_BYTES_MAX, TREE_SIZE_MAX};
pub use cosignature::{CosignError, Cosigner};
pub use log::{Log, OpenError, Sequenced};
pub use note::{
    KEY_NAME_BYTES_MAX, KeyError, NOTE_BYTES_MAX, NoteError, NoteSignature, NoteSigner,
    SIGNATURES_MAX, SignError, SignatureKind, Signed, SignedNote, VerifiedNote, VerifierKey,
    VerifyError,
};
pub use policy::{
    Accepted, FUTURE_SECONDS_MAX, Freshness, POLICY_BYTES_MAX, Policy, PolicyError, PolicyProblem,
    Unsatisfied, WitnessEntry,
};
pub use proof::{
    BuildError, PROOF_HASHES_MAX, ProofError, consistency_proof, inclusion_proof,
    verify_consistency, verify_inclusion,
};
pub use tile::{
    BundleError, ENTRY_BYTES_MAX, Resource, ResourceError, SourceError, TILE_WIDTH, TileSource,
    Write, split_bundle,
};
pub use tlog_proof::{ProofRefused, TLOG_PROOF_BYTES_MAX, TlogProof, TlogProofError};
pub use tree::{
    EMPTY_ROOT, LoadError, SEQUENCE_ENTRIES_MAX, SequenceError, Tree, leaf_hash, node_hash,
};
pub use witness::{
    AddCheckpoint, Answer, Outcome, Pending, REQUEST_BYTES_MAX, RequestError, ResponseError,
    RestoreError, Witness, WitnessAnswer, WitnessRecord, read_answer,
};
