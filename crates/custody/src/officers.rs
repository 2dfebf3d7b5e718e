//! Officers: who may approve an order, and an approval.
//!
//! Invariant: an order is approved by counsel and by an approver who are two persons with two
//! keys, each in office when signing. One person twice is nobody.
//! Refs: specs/release-evidence.md §3; house §2.4 "Four eyes".

use crate::{Refused, hash};
use minicbor::{Decode, Encode};
use seal::sign::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vocab::{Digest, PersonId, Timestamp};

/// Officers in one register.
pub const OFFICERS_MAX: usize = 256;

/// In what capacity an officer signs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Role {
    /// Decides what the law asks for.
    #[n(1)]
    Counsel,
    /// Checks that conditions are met and the decision is the one being carried out.
    #[n(2)]
    Approver,
}

impl Role {
    const fn number(self) -> u8 {
        match self {
            Self::Counsel => 1,
            Self::Approver => 2,
        }
    }
}

/// One line of the register: a person in one office with one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// Who.
    #[cbor(n(0), with = "crate::octets")]
    #[serde(with = "crate::octets")]
    pub person: PersonId,
    /// The office.
    #[n(1)]
    pub role: Role,
    /// The Ed25519 public key (RFC 8032).
    #[cbor(n(2), with = "crate::octets")]
    #[serde(with = "crate::octets")]
    pub key: [u8; 32],
    /// In office from here …
    #[cbor(n(3), with = "crate::octets::time")]
    #[serde(with = "crate::octets::time")]
    pub from: Timestamp,
    /// … to before here.
    #[cbor(n(4), with = "crate::octets::time")]
    #[serde(with = "crate::octets::time")]
    pub until: Timestamp,
}

/// A cell's officers as a holder or verifier knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Officer>", into = "Vec<Officer>")]
pub struct Register(Vec<Officer>);

impl TryFrom<Vec<Officer>> for Register {
    type Error = Refused;

    fn try_from(officers: Vec<Officer>) -> Result<Self, Refused> {
        Self::new(officers)
    }
}

impl From<Register> for Vec<Officer> {
    fn from(register: Register) -> Self {
        register.0
    }
}

impl Register {
    /// A register of these officers; the order they are given in does not matter.
    ///
    /// # Errors
    /// [`Refused::Register`] for more than [`OFFICERS_MAX`], or one key under two persons.
    pub fn new(mut officers: Vec<Officer>) -> Result<Self, Refused> {
        officers.sort();
        officers.dedup();
        let shared = |a: &Officer| officers.iter().any(|b| a.key == b.key && a.person != b.person);
        if officers.len() > OFFICERS_MAX || officers.iter().any(shared) {
            return Err(Refused::Register);
        }
        Ok(Self(officers))
    }

    /// The officers, sorted.
    #[must_use]
    pub fn officers(&self) -> &[Officer] {
        &self.0
    }

    /// What an order names its register by (specs/release-evidence.md §3).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let encoded = minicbor::to_vec(&self.0).unwrap_or_default();
        hash(&[b"bailiwick.v1 register\0", &encoded])
    }

    /// In office when signing, and still: whoever has left could sign with a date before that.
    fn in_office(&self, approval: &Approval, now: Timestamp) -> Result<(), Refused> {
        let mut known = self
            .0
            .iter()
            .filter(|officer| officer.person == approval.person && officer.key == approval.key)
            .peekable();
        if known.peek().is_none() {
            return Err(Refused::UnknownOfficer);
        }
        let holds = |officer: &Officer, at| officer.from <= at && at < officer.until;
        let both = |officer: &Officer| holds(officer, approval.at) && holds(officer, now);
        if known.any(|officer| officer.role == approval.role && both(officer)) {
            Ok(())
        } else {
            Err(Refused::NotInOffice)
        }
    }
}

/// One officer's signature over one order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    #[cbor(n(0), with = "crate::octets")]
    #[serde(with = "crate::octets")]
    pub person: PersonId,
    /// In what capacity.
    #[n(1)]
    pub role: Role,
    /// With what key.
    #[cbor(n(2), with = "crate::octets")]
    #[serde(with = "crate::octets")]
    pub key: [u8; 32],
    /// When.
    #[cbor(n(3), with = "crate::octets::time")]
    #[serde(with = "crate::octets::time")]
    pub at: Timestamp,
    /// Ed25519 over what [`Approval::message`] returns.
    #[cbor(n(4), with = "crate::octets")]
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

impl Approval {
    /// What an officer signs. Order by digest: it holds the scope's digest and all limits.
    #[must_use]
    pub fn message(order: Digest, person: PersonId, role: Role, at: Timestamp) -> Vec<u8> {
        let (at, role) = (at.0.to_be_bytes(), [role.number()]);
        [b"bailiwick.v1 approval\0", role.as_slice(), &person.0, &at, &order.0].concat()
    }

    /// An officer's approval of the order with this digest.
    #[must_use]
    pub fn sign(
        order: Digest,
        person: PersonId,
        role: Role,
        at: Timestamp,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::message(order, person, role, at));
        Self { person, role, key: key.public().0, at, signature }
    }

    /// The digest by which a leaf commits to the approvals of an order.
    #[must_use]
    pub fn digest(approvals: &[Self]) -> Digest {
        let encoded = minicbor::to_vec(approvals).unwrap_or_default();
        hash(&[b"bailiwick.v1 approvals\0", &encoded])
    }

    fn signed(&self, order: Digest) -> Result<(), Refused> {
        let message = Self::message(order, self.person, self.role, self.at);
        let key = VerifyingKey(self.key);
        key.verify(&message, &self.signature).map_err(|_| Refused::Signature)
    }
}

/// Counsel and approver, two persons, both in office when signing, both over this order,
/// neither in the future.
pub(crate) fn four_eyes(
    approvals: &[Approval],
    order: Digest,
    register: &Register,
    now: Timestamp,
) -> Result<(), Refused> {
    let [first, second] = approvals else { return Err(Refused::TwoOfficers) };
    if first.person == second.person || first.key == second.key {
        return Err(Refused::OnePerson);
    }
    if (first.role, second.role) != (Role::Counsel, Role::Approver) {
        return Err(Refused::Offices);
    }
    for approval in approvals {
        register.in_office(approval, now)?;
        approval.signed(order)?;
        if approval.at > now {
            return Err(Refused::Early);
        }
    }
    Ok(())
}
