//! Witnesses: one side cosigns a log only while it grows honestly, the other asks it to.
//!
//! Invariant: a cosignature leaves [`Witness::persisted`] only after the caller has stored the
//! record, and never for a checkpoint that does not continue the last one. The caller holds one
//! lock over `add_checkpoint`, the storing and `persisted`.
//! Refs: C2SP tlog-witness.

use std::collections::BTreeMap;

use vocab::{Digest, Timestamp};

use crate::checkpoint::Checkpoint;
use crate::cosignature::Cosigner;
use crate::note::{
    NOTE_BYTES_MAX, NoteError, NoteSignature, SignatureKind, SignedNote, VerifierKey, VerifyError,
};
use crate::proof::{PROOF_HASHES_MAX, verify_consistency};
use crate::text;
use crate::tree::{EMPTY_ROOT, hash};

/// The largest request, in octets.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 4096;

/// Why octets are not an add-checkpoint request. All of these are 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// More than [`REQUEST_BYTES_MAX`] octets.
    #[error("the request is larger than {REQUEST_BYTES_MAX} octets")]
    TooLarge,
    /// The first line is not `old` and a size.
    #[error("the old size line is malformed")]
    OldSize,
    /// A proof line is not a hash, or the blank line is missing.
    #[error("a proof line is malformed")]
    ProofLine,
    /// More than 63 proof lines.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// What follows is not a note.
    #[error("the request does not end in a signed note")]
    Note(#[from] NoteError),
    /// The note is not a checkpoint.
    #[error("the request does not end in a checkpoint")]
    Checkpoint,
    /// The old size is larger than the new.
    #[error("the old size is larger than the checkpoint's")]
    OldSizeLarger,
}

/// A request to cosign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the last checkpoint that this witness cosigned, as far as the log knows.
    pub old_size: u64,
    /// The consistency proof from there; empty from 0.
    pub proof: Vec<Digest>,
    /// The checkpoint, signed by the log.
    pub note: SignedNote,
}

impl AddCheckpoint {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        let whole = core::str::from_utf8(body).map_err(|_| RequestError::ProofLine)?;
        let (old, mut rest) = text::line(whole).ok_or(RequestError::OldSize)?;
        let old_size = old.strip_prefix("old ").and_then(text::decimal);
        let old_size = old_size.ok_or(RequestError::OldSize)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = text::line(rest).ok_or(RequestError::ProofLine)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_HASHES_MAX {
                return Err(RequestError::TooManyHashes);
            }
            proof.push(text::digest(line).ok_or(RequestError::ProofLine)?);
        }
        Ok(Self { old_size, proof, note: SignedNote::parse(rest.as_bytes())? })
    }

    /// The request body.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            out.push_str(&text::encode(&hash.0));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note.encode());
        out
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 400, 403, 404, 409, 422 or 500.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body: signature lines, a size, or a sentence.
    pub body: String,
}

impl Answer {
    fn sentence(status: u16, why: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{why}\n") }
    }

    fn conflict(size: u64) -> Self {
        Self { status: 409, content_type: "text/x.tlog.size", body: format!("{size}\n") }
    }
}

/// What a witness must keep of one log: the last checkpoint that it cosigned, with its own
/// cosignature and the log's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessRecord {
    /// The log's origin. [`WitnessRecord::key`] is fit for a file name.
    pub origin: String,
    /// The checkpoint.
    pub note: SignedNote,
}

impl WitnessRecord {
    /// SHA-256 of the origin, as in the monitoring path `<hex>/checkpoint`.
    #[must_use]
    pub fn key(&self) -> Digest {
        hash(self.origin.as_bytes())
    }
}

/// A record that must be stored before its answer may be given.
#[must_use = "store the record, then hand this to `Witness::persisted`"]
pub struct Pending {
    record: WitnessRecord,
    latest: Latest,
    /// The size this was checked against.
    old_size: u64,
    lines: String,
}

impl Pending {
    /// What to store, durably, in place of the log's earlier record.
    #[must_use]
    pub fn record(&self) -> &WitnessRecord {
        &self.record
    }
}

/// What came of a request.
pub enum Outcome {
    /// Nothing changed; answer.
    Answer(Answer),
    /// Store [`Pending::record`], then call [`Witness::persisted`]. If storing fails, answer 500.
    Persist(Box<Pending>),
}

/// Why a stored record was not taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It is not a note.
    #[error("the stored record is not a note")]
    Note(#[from] NoteError),
    /// It does not bear this witness's cosignature.
    #[error("the stored record is not cosigned by this witness")]
    Signature(#[from] VerifyError),
    /// It is not a checkpoint.
    #[error("the stored record is not a checkpoint")]
    Checkpoint,
    /// There are two records of one log.
    #[error("there are two stored records of one log")]
    Duplicate,
}

struct Latest {
    size: u64,
    root: Digest,
    note: SignedNote,
}

/// A witness: its cosigning key, the logs it knows, and the last checkpoint of each.
pub struct Witness {
    cosigner: Cosigner,
    logs: BTreeMap<String, Vec<VerifierKey>>,
    latest: BTreeMap<String, Latest>,
}

impl Witness {
    /// A witness of these logs; a key's name is its log's origin. [`Self::restore`] every
    /// stored record before the first request: a witness that forgets can be lied to.
    pub fn new(cosigner: Cosigner, logs: impl IntoIterator<Item = VerifierKey>) -> Self {
        let mut known: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for key in logs {
            known.entry(key.name().to_owned()).or_default().push(key);
        }
        Self { cosigner, logs: known, latest: BTreeMap::new() }
    }

    /// Takes up one stored record: the octets of [`WitnessRecord::note`].
    ///
    /// # Errors
    /// [`RestoreError`]: the record is damaged. Do not start without it.
    pub fn restore(&mut self, record: &[u8]) -> Result<(), RestoreError> {
        let note = SignedNote::parse(record)?;
        let verified = note.verify([self.cosigner.verifier_key()])?;
        let checkpoint =
            Checkpoint::parse(verified.text()).map_err(|_| RestoreError::Checkpoint)?;
        if self.latest.contains_key(&checkpoint.origin) {
            return Err(RestoreError::Duplicate);
        }
        let Checkpoint { origin, size, root, .. } = checkpoint;
        self.latest.insert(origin, Latest { size, root, note });
        Ok(())
    }

    /// The witness's public key.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        self.cosigner.verifier_key()
    }

    /// Answers `GET <monitoring prefix>/<origin hash>/checkpoint`: the last cosigned checkpoint
    /// of the log whose origin hashes to this, or `None` for 404.
    #[must_use]
    pub fn checkpoint(&self, origin_hash: &Digest) -> Option<String> {
        self.latest
            .iter()
            .find(|(origin, _)| hash(origin.as_bytes()) == *origin_hash)
            .map(|(_, latest)| latest.note.encode())
    }

    /// Judges `POST <submission prefix>/add-checkpoint`, in the order of the specification.
    #[must_use]
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Outcome {
        match self.judge(body, now) {
            Ok(pending) => Outcome::Persist(Box::new(pending)),
            Err(answer) => Outcome::Answer(answer),
        }
    }

    fn judge(&self, body: &[u8], now: Timestamp) -> Result<Pending, Answer> {
        let bad = |why: RequestError| Answer::sentence(400, &why.to_string());
        let request = AddCheckpoint::parse(body).map_err(bad)?;
        let checkpoint = Checkpoint::parse(request.note.text_unverified())
            .map_err(|_| bad(RequestError::Checkpoint))?;
        let Some(keys) = self.logs.get(&checkpoint.origin) else {
            return Err(Answer::sentence(404, "this witness does not know the log"));
        };
        if request.note.verify(keys).is_err() {
            return Err(Answer::sentence(403, "the log did not sign the checkpoint"));
        }
        if request.old_size > checkpoint.size {
            return Err(bad(RequestError::OldSizeLarger));
        }
        // tlog-witness: zero if it never cosigned a checkpoint for that origin.
        let latest = self.latest.get(&checkpoint.origin);
        let (size, root) = latest.map_or((0, EMPTY_ROOT), |latest| (latest.size, latest.root));
        if request.old_size != size {
            return Err(Answer::conflict(size));
        }
        verify_consistency(size, &root, checkpoint.size, &checkpoint.root, &request.proof)
            .map_err(|why| Answer::sentence(422, &why.to_string()))?;
        self.cosign(&request.note, keys, checkpoint, now)
            .ok_or_else(|| Answer::sentence(500, "the witness cannot cosign"))
    }

    fn cosign(
        &self,
        note: &SignedNote,
        keys: &[VerifierKey],
        checkpoint: Checkpoint,
        now: Timestamp,
    ) -> Option<Pending> {
        let line = self.cosigner.cosign(note, now).ok()?;
        // Kept and served: what this witness verified, and its own; not what else came along.
        let mut kept = note.only_by(keys)?;
        kept.add(line.clone()).ok()?;
        let Checkpoint { origin, size, root, .. } = checkpoint;
        let old_size = self.latest.get(&origin).map_or(0, |latest| latest.size);
        let latest = Latest { size, root, note: kept.clone() };
        let record = WitnessRecord { origin, note: kept };
        Some(Pending { record, latest, old_size, lines: line.to_string() })
    }

    /// Gives the answer of a record that has been stored. If another was stored in between
    /// (the caller did not hold the lock), the cosignature is dropped and the answer is 409.
    #[must_use]
    pub fn persisted(&mut self, pending: Pending) -> Answer {
        let Pending { record, latest, old_size, lines } = pending;
        let size = self.latest.get(&record.origin).map_or(0, |latest| latest.size);
        if size != old_size {
            return Answer::conflict(size);
        }
        self.latest.insert(record.origin, latest);
        Answer { status: 200, content_type: "text/plain; charset=utf-8", body: lines }
    }
}

/// What a witness answered, as the log understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// It cosigned: lines by the witnesses asked for, each verified. Add them to the note.
    Cosigned(Vec<NoteSignature>),
    /// It last saw another size. If smaller than ours, build the proof from there and ask again.
    /// If larger, entries of ours are lost: stop the log.
    Conflict {
        /// The size that it cosigned last.
        size: u64,
    },
    /// It refused, with this HTTP status.
    Refused {
        /// The status.
        status: u16,
    },
}

/// Why an answer is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The body is malformed or too large.
    #[error("the witness's answer is malformed")]
    Malformed,
    /// A line is not a note's.
    #[error("the witness's signature lines are malformed")]
    Lines(#[from] NoteError),
    /// A known witness's line is false, or none is known.
    #[error("the witness's cosignature is not accepted")]
    Signature(#[from] VerifyError),
}

/// Reads a witness's answer to a request for `note`, keeping only verified lines by `witnesses`.
///
/// # Errors
/// [`ResponseError`].
pub fn read_answer(
    status: u16,
    body: &[u8],
    note: &SignedNote,
    witnesses: &[VerifierKey],
) -> Result<WitnessAnswer, ResponseError> {
    if body.len() > NOTE_BYTES_MAX {
        return Err(ResponseError::Malformed);
    }
    let read = || core::str::from_utf8(body).map_err(|_| ResponseError::Malformed);
    match status {
        200 => {
            let is_cosigner = |key: &&VerifierKey| key.kind() == SignatureKind::Cosignature;
            let cosigners = || witnesses.iter().filter(is_cosigner);
            let lines = NoteSignature::parse_lines(read()?)?;
            let known: Vec<_> = lines
                .into_iter()
                .filter(|line| cosigners().any(|witness| witness.claims(line)))
                .collect();
            let Some((first, others)) = known.split_first() else {
                return Err(VerifyError::NoKnownKey.into());
            };
            // Only these lines are judged, not those that the note already bears.
            let mut alone = SignedNote::new(note.text_unverified(), first.clone())?;
            for line in others {
                alone.add(line.clone())?;
            }
            alone.verify(cosigners())?;
            Ok(WitnessAnswer::Cosigned(alone.signatures().to_vec()))
        }
        409 => {
            let size = read()?.strip_suffix('\n').and_then(text::decimal);
            Ok(WitnessAnswer::Conflict { size: size.ok_or(ResponseError::Malformed)? })
        }
        status => Ok(WitnessAnswer::Refused { status }),
    }
}
