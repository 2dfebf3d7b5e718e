//! Approvals: two officers over one order, who are two persons.
//!
//! Invariant: a [`FourEyes`] is counsel's and an approver's signature over the same order, by two
//! persons with two keys, each in that office now. Custody and every holder check it again.
//! Refs: specs/release-evidence.md §3; house §2.4.

use crate::error::DeskError;
use crate::register::{Role, Staff};
use custody::Approval;
use seal::sign::VerifyingKey;
use vocab::{Digest, Timestamp};

/// Two officers' approvals of one order, found true. Made only by [`FourEyes::new`].
pub(crate) struct FourEyes([Approval; 2]);

impl FourEyes {
    /// Counsel's approval and the approver's.
    pub(crate) fn new(counsel: Approval, approver: Approval) -> Result<Self, DeskError> {
        if counsel.person == approver.person || counsel.key == approver.key {
            return Err(DeskError::OnePerson("the second approver"));
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
