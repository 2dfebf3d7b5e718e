//! Trust policies: which logs, which witnesses, and how many of them are enough.
//!
//! Invariant: a checkpoint is accepted only if a listed log signed it under its own origin and
//! the quorum holds; one false line by any listed key refuses it. Without a listed log
//! nothing is accepted.
//! Refs: C2SP tlog-policy.

use std::collections::{BTreeMap, BTreeSet};

use vocab::Timestamp;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyError, SignatureKind, SignedNote, VerifierKey, VerifyError};

/// The largest policy, in octets.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// The most logs, witnesses and groups, each (the specification asks for at least 32).
const DEFINITIONS_MAX: usize = 64;
/// How far in the future a cosignature may be when its age is asked for, in seconds.
pub const FUTURE_SECONDS_MAX: u64 = 300;

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// More than [`POLICY_BYTES_MAX`] octets.
    #[error("a policy has at most {POLICY_BYTES_MAX} octets")]
    TooLarge,
    /// An octet that is not allowed.
    #[error("control characters other than tab and newline are not allowed")]
    Control,
    /// The last line does not end.
    #[error("every line ends in a newline")]
    Unterminated,
    /// The line's first word is unknown, or it has too few or too many words.
    #[error("a line is `log`, `witness`, `group` or `quorum` with its words")]
    Line,
    /// The key is not a vkey.
    #[error("the key is refused")]
    Key(#[source] KeyError),
    /// A witness's key is not a cosigner's.
    #[error("a witness's key is of type 0x04")]
    KeyKind,
    /// The same public key twice among logs, or among witnesses.
    #[error("the same public key is listed before")]
    DuplicateKey,
    /// The name is taken, or is `none`.
    #[error("the name is taken")]
    DuplicateName,
    /// The name is not defined on a line before this one.
    #[error("the name is not defined before")]
    UnknownName,
    /// The name is already a member of a group.
    #[error("a name is a member at most once")]
    DuplicateMember,
    /// The threshold is not `any`, `all` or 1 to the number of members.
    #[error("the threshold is `any`, `all` or a number from 1 to the number of members")]
    Threshold,
    /// Too many definitions.
    #[error("at most {DEFINITIONS_MAX} logs, witnesses and groups each")]
    TooMany,
    /// No quorum line, or a second.
    #[error("a policy has exactly one quorum line")]
    Quorum,
}

/// Why a policy was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trust policy is refused")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub problem: PolicyProblem,
}

/// Why a checkpoint was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfied {
    /// A listed key's line is false, or no listed key signed.
    #[error("the signatures are not accepted")]
    Signature(#[from] VerifyError),
    /// The signed text is not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    NotACheckpoint(#[from] CheckpointError),
    /// No listed log signed a checkpoint of its own origin.
    #[error("no listed log signed the checkpoint")]
    Log,
    /// Too few listed witnesses, or too old.
    #[error("the quorum of witnesses is not met")]
    Quorum,
}

/// How old a cosignature may be to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The moment of judgement.
    pub now: Timestamp,
    /// The greatest age, in seconds.
    pub age_seconds_max: u64,
}

impl Freshness {
    fn counts(self, time: Timestamp) -> bool {
        time.0 <= self.now.0.saturating_add(FUTURE_SECONDS_MAX)
            && self.now.0.saturating_sub(time.0) <= self.age_seconds_max
    }
}

/// A checkpoint that satisfied a policy; only [`Policy::satisfied`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted<'p> {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The listed log that signed it.
    pub log: &'p VerifierKey,
    /// The listed witnesses that cosigned it and counted, and when.
    pub witnesses: Vec<(&'p VerifierKey, Timestamp)>,
}

/// A listed witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessEntry {
    /// Its name inside the policy: opaque octets.
    pub name: Vec<u8>,
    /// Its cosigning key.
    pub key: VerifierKey,
    /// Its submission prefix, if given: opaque octets.
    pub url: Option<Vec<u8>>,
}

/// One name's rule: the witness, or so many of those members.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: Vec<u8>,
    threshold: usize,
    members: Vec<Vec<u8>>,
}

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<(VerifierKey, Option<Vec<u8>>)>,
    witnesses: Vec<WitnessEntry>,
    /// In order: a group's members are defined before it.
    groups: Vec<Group>,
    /// The name that must have witnessed; `None` is `quorum none`.
    quorum: Option<Vec<u8>>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`]: the first line that is wrong.
    pub fn parse(octets: &[u8]) -> Result<Self, PolicyError> {
        let fail = |line, problem| Err(PolicyError { line, problem });
        if octets.len() > POLICY_BYTES_MAX {
            return fail(1, PolicyProblem::TooLarge);
        }
        let mut reader = Reader::default();
        let lines: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
        let Some((unterminated, lines)) = lines.split_last() else {
            return fail(1, PolicyProblem::Quorum);
        };
        for (line, number) in lines.iter().zip(1..) {
            reader.line(line).map_err(|problem| PolicyError { line: number, problem })?;
        }
        if !unterminated.is_empty() {
            return fail(lines.len() + 1, PolicyProblem::Unterminated);
        }
        let Some(quorum) = reader.quorum else {
            return fail(lines.len().max(1), PolicyProblem::Quorum);
        };
        let Reader { logs, witnesses, groups, .. } = reader;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// The listed logs' keys; a key's name is the log's origin.
    pub fn logs(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|(key, _)| key)
    }

    /// The listed witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessEntry] {
        &self.witnesses
    }

    /// Judges a signed checkpoint. With `freshness`, only cosignatures of at most that age
    /// (and at most [`FUTURE_SECONDS_MAX`] in the future) count towards the quorum.
    ///
    /// # Errors
    /// [`Unsatisfied`]: what is missing.
    pub fn satisfied(
        &self,
        note: &SignedNote,
        freshness: Option<Freshness>,
    ) -> Result<Accepted<'_>, Unsatisfied> {
        let keys = self.logs().chain(self.witnesses.iter().map(|witness| &witness.key));
        let verified = note.verify(keys)?;
        let checkpoint = Checkpoint::parse(verified.text())?;
        // tlog-policy: the log's key name MUST correspond to the log's origin line.
        let is_signed_by = |log: &VerifierKey| {
            log.name() == checkpoint.origin && verified.signed_by().iter().any(|by| by.key == log)
        };
        let log = self.logs().find(|log| is_signed_by(log)).ok_or(Unsatisfied::Log)?;

        let mut witnessed: BTreeSet<&[u8]> = BTreeSet::new();
        let mut counted = Vec::new();
        for witness in &self.witnesses {
            let by = verified.signed_by().iter().find(|by| *by.key == witness.key);
            let Some(time) = by.and_then(|by| by.time) else { continue };
            if freshness.is_none_or(|freshness| freshness.counts(time)) {
                witnessed.insert(&witness.name);
                counted.push((&witness.key, time));
            }
        }
        for group in &self.groups {
            let present = group.members.iter().filter(|name| witnessed.contains(name.as_slice()));
            if present.count() >= group.threshold {
                witnessed.insert(&group.name);
            }
        }
        match &self.quorum {
            Some(name) if !witnessed.contains(name.as_slice()) => Err(Unsatisfied::Quorum),
            Some(_) | None => Ok(Accepted { checkpoint, log, witnesses: counted }),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<(VerifierKey, Option<Vec<u8>>)>,
    witnesses: Vec<WitnessEntry>,
    groups: Vec<Group>,
    quorum: Option<Option<Vec<u8>>>,
    /// Each name, and whether it is a member of a group already.
    names: BTreeMap<Vec<u8>, bool>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyProblem> {
        if line.iter().any(|octet| (*octet < b' ' && *octet != b'\t') || *octet == 0x7f) {
            return Err(PolicyProblem::Control);
        }
        let words: Vec<&[u8]> = line
            .split(|octet| matches!(octet, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .collect();
        if words.first().is_none_or(|word| word.starts_with(b"#")) {
            return Ok(());
        }
        match words.as_slice() {
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            _ => Err(PolicyProblem::Line),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&&[u8]>) -> Result<(), PolicyProblem> {
        let key = vkey(key)?;
        if self.logs.iter().any(|(log, _)| log.public_key() == key.public_key()) {
            return Err(PolicyProblem::DuplicateKey);
        }
        bound(self.logs.len())?;
        self.logs.push((key, url.map(|url| url.to_vec())));
        Ok(())
    }

    fn witness(
        &mut self,
        name: &[u8],
        key: &[u8],
        url: Option<&&[u8]>,
    ) -> Result<(), PolicyProblem> {
        let key = vkey(key)?;
        if key.kind() != SignatureKind::Cosignature {
            return Err(PolicyProblem::KeyKind);
        }
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(PolicyProblem::DuplicateKey);
        }
        bound(self.witnesses.len())?;
        self.define(name)?;
        self.witnesses.push(WitnessEntry {
            name: name.to_vec(),
            key,
            url: url.map(|url| url.to_vec()),
        });
        Ok(())
    }

    fn group(
        &mut self,
        name: &[u8],
        threshold: &[u8],
        members: &[&[u8]],
    ) -> Result<(), PolicyProblem> {
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => core::str::from_utf8(number)
                .ok()
                .and_then(crate::text::decimal)
                .and_then(|number| usize::try_from(number).ok())
                .ok_or(PolicyProblem::Threshold)?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err(PolicyProblem::Threshold);
        }
        bound(self.groups.len())?;
        for member in members {
            let taken = self.names.get_mut(*member).ok_or(PolicyProblem::UnknownName)?;
            if core::mem::replace(taken, true) {
                return Err(PolicyProblem::DuplicateMember);
            }
        }
        self.define(name)?;
        let members = members.iter().map(|member| member.to_vec()).collect();
        self.groups.push(Group { name: name.to_vec(), threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), PolicyProblem> {
        if self.quorum.is_some() {
            return Err(PolicyProblem::Quorum);
        }
        if name != b"none" && !self.names.contains_key(name) {
            return Err(PolicyProblem::UnknownName);
        }
        self.quorum = Some((name != b"none").then(|| name.to_vec()));
        Ok(())
    }

    fn define(&mut self, name: &[u8]) -> Result<(), PolicyProblem> {
        if name == b"none" || self.names.contains_key(name) {
            return Err(PolicyProblem::DuplicateName);
        }
        self.names.insert(name.to_vec(), false);
        Ok(())
    }
}

fn vkey(text: &[u8]) -> Result<VerifierKey, PolicyProblem> {
    let text = core::str::from_utf8(text).map_err(|_| PolicyProblem::Key(KeyError::Shape))?;
    text.parse().map_err(PolicyProblem::Key)
}

fn bound(count: usize) -> Result<(), PolicyProblem> {
    if count < DEFINITIONS_MAX { Ok(()) } else { Err(PolicyProblem::TooMany) }
}
