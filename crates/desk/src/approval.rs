//! Approvals: two officers over one order and the facts it rests on, who are two persons.
//!
//! Invariant: a [`FourEyes`] is counsel's and an approver's signature over the same order, by two
//! persons with two keys, each in that office now; custody and every holder check it again. Each
//! of them also signed the case's facts, whole, as they were then.
//! Refs: specs/release-evidence.md §3; house §2.4.

use crate::error::DeskError;
use crate::refusal::Part;
use crate::register::{Role, Staff};
use custody::Approval;
use law::Facts;
use seal::mac::sha256;
use seal::sign::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vocab::{CaseId, Digest, Timestamp};

/// The one text of a case's facts, which `show` gives and officers sign: JSON.
///
/// # Errors
/// [`DeskError::Damaged`] if they have none.
pub fn facts_text(facts: &Facts) -> Result<String, DeskError> {
    serde_json::to_string(facts).map_err(|_| DeskError::Damaged)
}

/// An officer's word, beside the approval, that the facts of the case are true: how the demand
/// came, when it was served, what the enforcing authority said, and all the others
/// (specs/desk-command.md §6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactsConfirmed {
    /// SHA-256 of [`facts_text`].
    #[serde(with = "crate::octets")]
    pub facts: Digest,
    /// Ed25519 by the officer over [`FactsConfirmed::message`].
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

impl FactsConfirmed {
    /// What an officer signs: these facts, for this order of this case.
    #[must_use]
    pub fn message(case: CaseId, order: Digest, facts: Digest) -> Vec<u8> {
        [b"bailiwick.v1 facts\0".as_slice(), &case.0, &order.0, &facts.0].concat()
    }

    /// Signs the text of the facts, in the officer's own program.
    #[must_use]
    pub fn sign(case: CaseId, order: Digest, text: &str, key: &SigningKey) -> Self {
        let facts = sha256(&[text.as_bytes()]);
        Self { facts, signature: key.sign(&Self::message(case, order, facts)) }
    }

    /// Whether it is this officer's word on these facts.
    pub(crate) fn check(
        &self,
        case: CaseId,
        order: Digest,
        facts: &Facts,
        key: &VerifyingKey,
    ) -> Result<(), DeskError> {
        if sha256(&[facts_text(facts)?.as_bytes()]) != self.facts {
            return Err(DeskError::Confirmed);
        }
        let message = Self::message(case, order, self.facts);
        key.verify(&message, &self.signature).map_err(|_| DeskError::Signature)
    }
}

/// Two officers' approvals of one order, found true. Made only by [`FourEyes::new`].
pub(crate) struct FourEyes([Approval; 2]);

impl FourEyes {
    /// Counsel's approval and the approver's.
    pub(crate) fn new(counsel: Approval, approver: Approval) -> Result<Self, DeskError> {
        if counsel.person == approver.person || counsel.key == approver.key {
            return Err(DeskError::OnePerson(Part::Second));
        }
        match (counsel.role, approver.role) {
            (custody::Role::Counsel, custody::Role::Approver) => Ok(Self([counsel, approver])),
            (custody::Role::Counsel | custody::Role::Approver, _) => Err(DeskError::Office),
        }
    }

    /// The approvals, counsel's first.
    pub(crate) fn into_approvals(self) -> Vec<Approval> {
        self.0.into()
    }
}

/// Whether this approval is the officer's own, in that office, over this order, and not ahead.
pub(crate) fn check(
    approval: &Approval,
    order: Digest,
    staff: &Staff,
    now: Timestamp,
) -> Result<(), DeskError> {
    let role = match approval.role {
        custody::Role::Counsel => Role::Counsel,
        custody::Role::Approver => Role::Approver,
    };
    let in_office = staff.from <= approval.at && approval.at < staff.until;
    if !staff.roles.contains(&role) || !in_office || approval.at > now {
        return Err(DeskError::Office);
    }
    if approval.person != staff.person || approval.key != staff.key {
        return Err(DeskError::Signature);
    }
    let message = Approval::message(order, approval.person, approval.role, approval.at);
    VerifyingKey(staff.key).verify(&message, &approval.signature).map_err(|_| DeskError::Signature)
}
