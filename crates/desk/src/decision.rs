//! Decisions: counsel's, beside the law's opinion.
//!
//! Invariant: the engine advises, counsel decides, and both are kept. A decision against the
//! opinion, or where the opinion leaves it to a person, has a written reason.
//! Refs: design §6; specs/log-entry.md §8.

use crate::case::{Case, Verb};
use crate::error::DeskError;
use crate::event::What;
use crate::refusal::{Beyond, Lack};
use crate::scope::{Form, Scope};
use law::{Assessment, Decision, Part, Produce, ReasonCode};
use seal::mac::sha256;
use serde::{Deserialize, Serialize};
use vocab::DataCategory;

/// Octets of a reason.
pub const REASON_BYTES_MAX: usize = 4096;

/// How counsel decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Produce what is asked.
    Comply,
    /// Produce a part of it.
    Narrow,
    /// Preserve, disclose nothing.
    Preserve,
    /// Refuse.
    Refuse,
    /// Send the authority to the right door.
    Refer,
    /// Object before the court or authority.
    Object,
    /// Ask the authority.
    Clarify,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &[Self] = &[
        Self::Comply,
        Self::Narrow,
        Self::Preserve,
        Self::Refuse,
        Self::Refer,
        Self::Object,
        Self::Clarify,
    ];

    /// Its name, which the log shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Comply => "comply",
            Self::Narrow => "narrow",
            Self::Preserve => "preserve",
            Self::Refuse => "refuse",
            Self::Refer => "refer",
            Self::Object => "object",
            Self::Clarify => "clarify",
        }
    }

    pub(crate) const fn verb(self) -> Verb {
        match self {
            Self::Comply | Self::Narrow | Self::Preserve => Verb::Comply,
            Self::Refuse | Self::Refer | Self::Object => Verb::Refuse,
            Self::Clarify => Verb::Clarify,
        }
    }

    /// Whether nothing at all will be given.
    #[must_use]
    pub const fn refuses(self) -> bool {
        match self {
            Self::Refuse | Self::Refer | Self::Object => true,
            Self::Comply | Self::Narrow | Self::Preserve | Self::Clarify => false,
        }
    }

    pub(crate) const fn produces(self) -> bool {
        match self {
            Self::Comply | Self::Narrow => true,
            Self::Preserve | Self::Refuse | Self::Refer | Self::Object | Self::Clarify => false,
        }
    }

    /// What the opinion must have said for this not to be against it.
    const fn agrees_with(self) -> &'static [Decision] {
        match self {
            Self::Comply => &[Decision::Accept],
            Self::Narrow => &[Decision::Accept, Decision::Narrow],
            Self::Preserve => &[Decision::Preserve],
            Self::Refuse => &[Decision::Reject],
            Self::Refer => &[Decision::ReferMlat],
            Self::Object => &[Decision::Object],
            Self::Clarify => &[Decision::Hold, Decision::Undetermined, Decision::Reject],
        }
    }
}

/// Counsel's decision, as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// How.
    pub outcome: Outcome,
    /// The scope the demand asks for, within the law: for `comply` and `narrow`, which need it
    /// unless the case is a rehearsal.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// Why, where a reason is needed; at most 4096 octets.
    #[serde(default)]
    pub reason: Option<String>,
    /// Coded reasons; empty for the opinion's own.
    #[serde(default)]
    pub codes: Vec<ReasonCode>,
}

/// Whether a decision is against the opinion, or one that the opinion leaves to a person.
#[must_use]
pub fn needs_reason(choice: &Choice, opinion: &Assessment) -> bool {
    let agrees = choice.outcome.agrees_with().iter().any(|one| opinion.decision.contains(one));
    let scope = choice.scope.as_ref();
    let sealed = scope.is_some_and(|scope| scope.form == Form::Sealed);
    // Each part of the category must allow just the form it is produced in, wherever it is kept.
    let produced = |category: DataCategory| {
        let is_of = |part: &&Part| part.data_category() == Some(category);
        let of_letters = matches!(category, DataCategory::Traffic | DataCategory::Content);
        let form = if sealed && of_letters { Produce::Ciphertext } else { Produce::Plaintext };
        let mut parts = opinion.parts.iter().filter(is_of).peekable();
        parts.peek().is_some() && parts.all(|part| part.produce == form)
    };
    let beyond = scope.is_some_and(|scope| !scope.categories.iter().all(|one| produced(*one)));
    !agrees || beyond || opinion.needs_person()
}

/// The event of a decision.
pub(crate) fn decide(case: &Case, choice: &Choice) -> Result<What, DeskError> {
    let opinion = case.opinion.as_ref().ok_or(DeskError::Lacks(Lack::Opinion))?;
    let reasoned = choice.reason.as_ref().is_some_and(|why| !why.trim().is_empty());
    if needs_reason(choice, opinion) && !reasoned {
        return Err(DeskError::Reason);
    }
    // Found out only by `prepare`, the case would have to begin anew.
    let produces = choice.outcome.produces();
    if produces && choice.scope.is_none() && !case.demand.rehearsal {
        return Err(DeskError::Lacks(Lack::ScopeDecided));
    }
    if let Some(scope) = &choice.scope {
        if !choice.outcome.produces() {
            return Err(DeskError::Outside(Beyond::Nothing));
        }
        if Some(scope.account) != case.account {
            return Err(DeskError::Outside(Beyond::Account));
        }
        let within = |period: &crate::demand::Period| {
            period.from <= scope.from && scope.until <= period.until
        };
        if !case.demand.period.as_ref().is_none_or(within) {
            return Err(DeskError::Outside(Beyond::Period));
        }
    }
    let mut codes =
        if choice.codes.is_empty() { opinion.reasons.clone() } else { choice.codes.clone() };
    if choice.outcome.produces() {
        codes.clear();
    }
    codes.sort_unstable();
    codes.dedup();
    let (outcome, reason, scope) = (choice.outcome, choice.reason.clone(), choice.scope.clone());
    let written = serde_json::to_vec(&(opinion, choice)).map_err(|_| DeskError::Damaged)?;
    let digest = sha256(&[b"bailiwick.v1 decision\0", &written]);
    Ok(What::Decided { outcome, reason, scope, codes, demand: case.document, digest })
}
