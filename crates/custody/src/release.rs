//! Releases: the one door to an account for anyone but its owner.
//!
//! Invariant: a [`VerifiedRelease`] exists only after the order is in the log, witnessed, and
//! signed by two persons in office. This crate checks that itself; it does not believe the
//! desk. Evidence is plain data; the proof type can be made in no other way, is not `Clone`,
//! and is used up by the one opening it allows.
//! Refs: specs/release-evidence.md §5; C2SP tlog-proof.

use crate::hash;
use crate::leaf::{Act, FieldId, LeafError};
use crate::officers::{Approval, four_eyes};
use crate::order::{OrderError, OrderRecord, VALID_SECONDS_MAX};
use crate::receipt::{LeafReceipt, LogTrust, Logged};
use crate::trust::TrustPolicy;
use serde::{Deserialize, Serialize};
use vocab::{Digest, Timestamp};

/// Octets of a scope as JSON.
pub const SCOPE_BYTES_MAX: usize = 256 * 1024;
/// Octets of a release's evidence as JSON.
pub const EVIDENCE_BYTES_MAX: usize = 1024 * 1024;

/// Why a release is refused. Each is one check of specs/release-evidence.md §5.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The evidence cannot be read.
    #[error("the evidence is not release evidence of version 1")]
    Form,
    /// The order record cannot be read or breaks its limits.
    #[error("the order record cannot be used")]
    Order(#[from] OrderError),
    /// The leaf cannot be read, or its opening does not match it.
    #[error("the log leaf cannot be used")]
    Leaf(#[from] LeafError),
    /// The log proof cannot be read.
    #[error("the log proof cannot be read")]
    Proof,
    /// The leaf is not in the log that signed this checkpoint.
    #[error("the leaf is not in the log at this checkpoint")]
    NotLogged,
    /// The checkpoint is not signed by the log this policy names.
    #[error("the checkpoint is not signed by the log")]
    NotSigned,
    /// Too few witnesses cosigned the checkpoint.
    #[error("the checkpoint is not cosigned by a quorum of witnesses")]
    NotWitnessed,
    /// The cosignatures are older than the policy allows, or from the future.
    #[error("the cosignatures are too old or not yet valid")]
    Stale,
    /// The leaf's month begins long after the witnesses saw it.
    #[error("the leaf is dated after the cosignatures")]
    Ahead,
    /// The leaf does not record an authorised release, or does not show so.
    #[error("the leaf does not authorise a release")]
    NotAuthorised,
    /// The leaf commits to something else than the evidence holds.
    #[error("the leaf does not commit to this {0}")]
    Differs(&'static str),
    /// The scope is not the one the order names.
    #[error("the scope is not the one the order names")]
    Scope,
    /// The order is another cell's.
    #[error("the order is for another cell")]
    Cell,
    /// The register of officers is unusable, or not the one the order names.
    #[error("the register of officers is not the one the order names")]
    Register,
    /// Not exactly two approvals.
    #[error("an order needs exactly two approvals")]
    TwoOfficers,
    /// Both approvals are one person's, or made with one key.
    #[error("the second approver must be another person with another key")]
    OnePerson,
    /// Not counsel first and approver second.
    #[error("an order is approved by counsel and by an approver, in that order")]
    Offices,
    /// The person and key are not in the register.
    #[error("an approval is by somebody who is not in the register")]
    UnknownOfficer,
    /// The person was not in that office when signing, or is no longer.
    #[error("an approval is by somebody who was not in that office then, or is not now")]
    NotInOffice,
    /// A signature is not this key's over this order.
    #[error("an approval is not signed over this order")]
    Signature,
    /// The order or an approval is dated in the future.
    #[error("the order is not in force yet")]
    Early,
    /// The order is past its validity.
    #[error("the order has expired")]
    Expired,
    /// This holder already answered this leaf for another recipient.
    #[error("this leaf was already answered to another recipient")]
    Replayed,
    /// A share is for an epoch, policy or guard tag that the order does not name.
    #[error("a share is for something the order does not name")]
    OutsideOrder,
    /// A share is sealed to another holder, or altered.
    #[error("a share does not open for this holder")]
    Share,
    /// The answer could not be sealed to the recipient.
    #[error("the share cannot be sealed to this recipient")]
    Recipient,
}

/// All that a release rests on. Plain data: what it claims is true only after
/// [`ReleaseEvidence::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEvidence {
    /// 1.
    pub version: u8,
    /// The encoded [`OrderRecord`].
    #[serde(with = "crate::octets")]
    pub order: Vec<u8>,
    /// The full scope as JSON, exactly the octets the order's digest is of.
    pub scope: String,
    /// Counsel's approval, then the approver's.
    pub approvals: Vec<Approval>,
    /// The leaf, its opening and its proof.
    pub receipt: LeafReceipt,
}

/// A release whose evidence was found true at one time. Not `Clone`; made only by
/// [`ReleaseEvidence::verify`]; used up by [`VerifiedRelease::open`].
pub struct VerifiedRelease {
    order: OrderRecord,
    scope: String,
    logged: Logged,
}

impl ReleaseEvidence {
    /// Checks everything (specs/release-evidence.md §5), at the time `now`, for use now.
    ///
    /// # Errors
    /// The first check that failed, in the order of the specification.
    pub fn verify(&self, trust: &TrustPolicy, now: Timestamp) -> Result<VerifiedRelease, Refused> {
        let logged = self.receipt.verify(&trust.log, now)?;
        self.complete(logged, trust, now)
    }

    /// The same checks as of a past time: what a court asks of a release that was used `then`.
    /// Witnesses must have cosigned before then, and not long before. Opens nothing.
    ///
    /// # Errors
    /// As [`ReleaseEvidence::verify`].
    pub fn verify_past(
        &self,
        trust: &TrustPolicy,
        then: Timestamp,
    ) -> Result<(OrderRecord, Logged), Refused> {
        self.verify(trust, then).map(VerifiedRelease::into_parts)
    }

    fn complete(
        &self,
        logged: Logged,
        trust: &TrustPolicy,
        now: Timestamp,
    ) -> Result<VerifiedRelease, Refused> {
        if self.version != 1 || self.scope.len() > SCOPE_BYTES_MAX {
            return Err(Refused::Form);
        }
        let order = OrderRecord::decode(&self.order)?;
        let digest = OrderRecord::digest(&self.order);
        self.leaf_commits(&logged, &order, digest)?;
        if hash(&[self.scope.as_bytes()]) != order.scope {
            return Err(Refused::Scope);
        }
        if order.cell != trust.cell {
            return Err(Refused::Cell);
        }
        if order.register != trust.register.digest() {
            return Err(Refused::Register);
        }
        four_eyes(&self.approvals, digest, &trust.register, now)?;
        in_force(order.not_before, order.valid_until, now)?;
        Ok(VerifiedRelease { order, scope: self.scope.clone(), logged })
    }

    /// Every field of the leaf says what the order says, and all are shown.
    fn leaf_commits(
        &self,
        logged: &Logged,
        order: &OrderRecord,
        digest: Digest,
    ) -> Result<(), Refused> {
        authorises(logged)?;
        let fields = &logged.opening;
        let tags: Vec<&[u8]> =
            order.epochs.iter().map(|epoch| epoch.guard_tag.as_slice()).collect();
        let octets = |id, value: &[u8]| fields.value(id) == Some(value);
        let number = |id, value: Timestamp| fields.number(id) == Some(value.0);
        let rules = [
            (octets(FieldId::ORDER, &digest.0), "order"),
            (octets(FieldId::SCOPE, &order.scope.0), "scope"),
            (octets(FieldId::CASE, &order.case.0), "case"),
            (octets(FieldId::ACCOUNT, &order.account.0), "account"),
            (fields.values(FieldId::GUARD_TAG).eq(tags), "set of guard tags"),
            (octets(FieldId::RECIPIENT, &order.recipient_digest().0), "recipient"),
            (number(FieldId::NOT_BEFORE, order.not_before), "beginning"),
            (number(FieldId::VALID_UNTIL, order.valid_until), "end"),
            (octets(FieldId::REGISTER, &order.register.0), "register"),
            (octets(FieldId::APPROVALS, &Approval::digest(&self.approvals).0), "pair of approvals"),
        ];
        rules
            .into_iter()
            .find(|(kept, _)| !kept)
            .map_or(Ok(()), |(_, what)| Err(Refused::Differs(what)))
    }

    /// The part that guards see: which guard tags, which recipient, until when; no account, no
    /// case, no order, no officer.
    ///
    /// # Errors
    /// [`Refused::Order`] when the order cannot be read.
    pub fn for_guards(&self, tags: &[[u8; 16]]) -> Result<GuardEvidence, Refused> {
        let order = OrderRecord::decode(&self.order)?;
        let mine = |value: &[u8]| tags.iter().any(|tag| tag == value);
        let shown = [FieldId::ACT, FieldId::RECIPIENT, FieldId::NOT_BEFORE, FieldId::VALID_UNTIL];
        let opening = self
            .receipt
            .opening
            .part(|id, value| shown.contains(&id) || (id == FieldId::GUARD_TAG && mine(value)));
        let receipt = LeafReceipt { opening, ..self.receipt.clone() };
        Ok(GuardEvidence { version: 1, recipient: order.recipient, receipt })
    }
}

impl VerifiedRelease {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &OrderRecord {
        &self.order
    }

    /// The scope as JSON, the one the order names.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Where in the log the release is.
    #[must_use]
    pub fn logged(&self) -> &Logged {
        &self.logged
    }

    pub(crate) fn into_parts(self) -> (OrderRecord, Logged) {
        (self.order, self.logged)
    }
}

/// What a guard is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardEvidence {
    /// 1.
    pub version: u8,
    /// The public key to which shares are sealed.
    #[serde(with = "crate::octets")]
    pub recipient: Vec<u8>,
    /// The leaf, the guard's part of its opening, and its proof.
    pub receipt: LeafReceipt,
}

/// What a guard found true.
pub(crate) struct VerifiedNotice {
    pub(crate) logged: Logged,
    pub(crate) recipient: Vec<u8>,
}

impl GuardEvidence {
    /// The guards' check: logged, witnessed, an authorised release to this recipient, in force.
    pub(crate) fn verify(&self, log: &LogTrust, now: Timestamp) -> Result<VerifiedNotice, Refused> {
        let logged = self.receipt.verify(log, now)?;
        if self.version != 1 {
            return Err(Refused::Form);
        }
        authorises(&logged)?;
        let fields = &logged.opening;
        if fields.value(FieldId::RECIPIENT) != Some(&hash(&[&self.recipient]).0) {
            return Err(Refused::Differs("recipient"));
        }
        let not_before = fields.number(FieldId::NOT_BEFORE).ok_or(Refused::Differs("beginning"))?;
        let until = fields.number(FieldId::VALID_UNTIL).ok_or(Refused::Differs("end"))?;
        // The order's own limit, which a guard cannot read in the order.
        if until.saturating_sub(not_before) > VALID_SECONDS_MAX {
            return Err(Refused::Order(OrderError::Validity));
        }
        in_force(Timestamp(not_before), Timestamp(until), now)?;
        Ok(VerifiedNotice { logged, recipient: self.recipient.clone() })
    }
}

/// The leaf's act, which is its first field, is an authorised release.
fn authorises(logged: &Logged) -> Result<(), Refused> {
    let act = logged.opening.value(FieldId::ACT);
    if act == Some(&[Act::Authorised.tag()]) { Ok(()) } else { Err(Refused::NotAuthorised) }
}

fn in_force(not_before: Timestamp, until: Timestamp, now: Timestamp) -> Result<(), Refused> {
    if now < not_before {
        return Err(Refused::Early);
    }
    if now < until { Ok(()) } else { Err(Refused::Expired) }
}
