//! Receipts: a leaf, what of it is shown, and the proof that a witnessed log holds it.
//!
//! Invariant: nothing of a receipt is believed before its leaf, opening, log signature,
//! witnesses and inclusion were all checked against a policy the reader brought along. A
//! policy without witnesses accepts nothing.
//! Refs: specs/release-evidence.md §5; C2SP tlog-proof, tlog-policy.

use crate::leaf::{Leaf, LeafOpening};
use crate::release::Refused;
use serde::{Deserialize, Serialize};
use tlog::{Freshness, Policy, PolicyError, ProofRefused, TlogProof, Unsatisfied};
use vocab::{Digest, Timestamp};

/// The greatest age of a cosignature unless a policy says otherwise: 72 hours.
pub const COSIGNATURE_SECONDS_MAX: u64 = 72 * 3600;

/// How long after its newest cosignature a leaf's month may begin: a month, for a log that a
/// clock running ahead once turned over too soon.
pub const AHEAD_SECONDS_MAX: u64 = 31 * 86_400;

/// Why a text is not a policy that release evidence can be checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogTrustError {
    /// Not a C2SP tlog-policy.
    #[error("the log policy cannot be read")]
    Policy(#[from] PolicyError),
    /// Not exactly one log.
    #[error("the log policy must name exactly one log")]
    OneLog,
    /// No witnesses.
    #[error("the log policy must name witnesses")]
    Witnesses,
    /// A witness has the log's own key.
    #[error("the log cannot be its own witness")]
    OwnWitness,
}

/// Which log, which witnesses and how fresh.
#[derive(Clone)]
pub struct LogTrust {
    text: String,
    policy: Policy,
    cosignature_seconds_max: u64,
}

impl LogTrust {
    /// Reads a C2SP tlog-policy that names one log and at least one witness.
    ///
    /// # Errors
    /// [`LogTrustError`].
    pub fn new(policy: &str, cosignature_seconds_max: u64) -> Result<Self, LogTrustError> {
        let text = policy.to_owned();
        let policy = Policy::parse(policy.as_bytes())?;
        if policy.logs().count() != 1 {
            return Err(LogTrustError::OneLog);
        }
        if policy.witnesses().is_empty() {
            return Err(LogTrustError::Witnesses);
        }
        let own = |log: &tlog::VerifierKey| {
            policy.witnesses().iter().any(|witness| witness.key.public_key() == log.public_key())
        };
        // Who runs the log would cosign any tree of it.
        if policy.logs().any(own) {
            return Err(LogTrustError::OwnWitness);
        }
        Ok(Self { text, policy, cosignature_seconds_max })
    }

    /// The policy as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How old a cosignature may be.
    #[must_use]
    pub fn cosignature_seconds_max(&self) -> u64 {
        self.cosignature_seconds_max
    }
}

/// A leaf, its opening in whole or in part, and its proof. Plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafReceipt {
    /// The leaf's octets.
    #[serde(with = "crate::octets")]
    pub leaf: Vec<u8>,
    /// What is shown of it.
    pub opening: LeafOpening,
    /// C2SP tlog-proof@v1.
    pub proof: String,
}

/// A leaf found in a witnessed log. Made only by [`LeafReceipt::verify`] and
/// [`LeafReceipt::verify_past`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// The leaf.
    pub leaf: Leaf,
    /// What is shown of it, which matches it.
    pub opening: LeafOpening,
    /// Its Merkle leaf hash (RFC 6962 §2.1), by which everything else names it.
    pub leaf_hash: Digest,
    /// Its index in the log.
    pub index: u64,
    /// The log's origin.
    pub origin: String,
    /// The witnesses that counted and when they cosigned.
    pub witnesses: Vec<(String, Timestamp)>,
}

impl LeafReceipt {
    /// Checks the receipt for use now: cosignatures must be fresh.
    ///
    /// # Errors
    /// [`Refused`]: the first check that failed.
    pub fn verify(&self, trust: &LogTrust, now: Timestamp) -> Result<Logged, Refused> {
        let age_seconds_max = trust.cosignature_seconds_max;
        self.logged(trust, Some(Freshness { now, age_seconds_max }))
    }

    /// Checks the receipt as a record of the past: cosignatures of any age count.
    ///
    /// # Errors
    /// [`Refused`]: the first check that failed.
    pub fn verify_past(&self, trust: &LogTrust) -> Result<Logged, Refused> {
        self.logged(trust, None)
    }

    fn logged(&self, trust: &LogTrust, freshness: Option<Freshness>) -> Result<Logged, Refused> {
        let leaf = Leaf::decode(&self.leaf)?;
        self.opening.check(&leaf)?;
        let proof = TlogProof::parse(self.proof.as_bytes()).map_err(|_| Refused::Proof)?;
        let leaf_hash = tlog::leaf_hash(&self.leaf);
        let accepted = match proof.verify(&leaf_hash, &trust.policy, freshness) {
            Ok(accepted) => accepted,
            Err(why) => return Err(self.why(&why, &proof, trust)),
        };
        // `quorum none` is a policy too, but not one that anything is released on.
        if accepted.witnesses.is_empty() {
            return Err(Refused::NotWitnessed);
        }
        // A leaf dated ahead would promise its opening for ahead too.
        let newest = accepted.witnesses.iter().map(|(_, at)| at.0).max().unwrap_or(0);
        if seal::epoch::begins(leaf.place.epoch()).0 > newest.saturating_add(AHEAD_SECONDS_MAX) {
            return Err(Refused::Ahead);
        }
        let witness = |(key, at): &(&tlog::VerifierKey, Timestamp)| (key.name().to_owned(), *at);
        Ok(Logged {
            leaf,
            opening: self.opening.clone(),
            leaf_hash,
            index: proof.index,
            origin: accepted.log.name().to_owned(),
            witnesses: accepted.witnesses.iter().map(witness).collect(),
        })
    }

    fn why(&self, refused: &ProofRefused, proof: &TlogProof, trust: &LogTrust) -> Refused {
        match refused {
            ProofRefused::Inclusion(_) => Refused::NotLogged,
            // Enough witnesses but for their age is another thing than too few.
            ProofRefused::Policy(Unsatisfied::Quorum) => {
                match trust.policy.satisfied(&proof.note, None) {
                    Ok(_) => Refused::Stale,
                    Err(_) => Refused::NotWitnessed,
                }
            }
            ProofRefused::Policy(
                Unsatisfied::Signature(_) | Unsatisfied::NotACheckpoint(_) | Unsatisfied::Log,
            ) => Refused::NotSigned,
        }
    }
}
