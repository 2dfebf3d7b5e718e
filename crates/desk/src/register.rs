//! The desk's register: staff, holders and enrolled authorities, with their public keys.
//!
//! Invariant: a person who left stays in the register, with the day of leaving, so that old
//! approvals can still be checked. An authority counts once two persons have enrolled it and
//! somebody has called it back at a number found independently.
//! Refs: specs/release-evidence.md §3; design §7.

use crate::error::DeskError;
use crate::refusal::Unfit;
use custody::Officer;
use seal::age::Recipient;
use seal::holder::HolderPublic;
use serde::{Deserialize, Serialize};
use vocab::{HolderId, PersonId, Timestamp};

/// Octets of a name in the register.
pub const NAME_BYTES_MAX: usize = 200;
/// Entries of each sort in the register.
pub(crate) const ENTRIES_MAX: usize = 1024;

/// What a member of staff may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes demands in, calls back, keeps the file. Neither decides nor opens.
    Clerk,
    /// Decides, narrows, signs.
    Counsel,
    /// Checks and signs second.
    Approver,
    /// Runs the disclosure station, which alone ever sees a letter.
    Station,
    /// Reads.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] =
        &[Self::Clerk, Self::Counsel, Self::Approver, Self::Station, Self::Auditor];

    /// The role's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clerk => "clerk",
            Self::Counsel => "counsel",
            Self::Approver => "approver",
            Self::Station => "station",
            Self::Auditor => "auditor",
        }
    }
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staff {
    /// Who.
    #[serde(with = "crate::octets")]
    pub person: PersonId,
    /// What colleagues call them, 1 to 200 octets.
    pub name: String,
    /// What they may do; at least one.
    pub roles: Vec<Role>,
    /// Their Ed25519 public key.
    #[serde(with = "crate::octets")]
    pub key: [u8; 32],
    /// In office from here …
    #[serde(with = "crate::octets::time")]
    pub from: Timestamp,
    /// … to before here.
    #[serde(with = "crate::octets::time")]
    pub until: Timestamp,
}

/// What a holder holds shares as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderOffice {
    /// A trustee in the cell's jurisdiction.
    Trustee,
    /// An officer of the cell's vault.
    Vault,
    /// A receipt guard.
    Guard,
}

/// A holder of escrow shares, for the desk to know whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderEntry {
    /// Which.
    #[serde(with = "crate::octets")]
    pub holder: HolderId,
    /// Its name, 1 to 200 octets.
    pub name: String,
    /// As what.
    pub office: HolderOffice,
    /// `bwholder1…`.
    pub key: String,
}

/// An authority that productions can be encrypted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledAuthority {
    /// Which.
    #[serde(with = "crate::octets")]
    pub id: [u8; 16],
    /// Its name, 1 to 200 octets.
    pub name: String,
    /// Its State, two lower-case letters.
    pub place: law::Place,
    /// `age1…` or `age1pq1…`.
    pub recipient: String,
    /// Where the number it was called back at was found, 1 to 200 octets.
    pub number_from: String,
    /// When it was called back there.
    #[serde(with = "crate::octets::time")]
    pub called_back: Timestamp,
    /// Who enrolled it.
    #[serde(with = "crate::octets")]
    pub enrolled_by: PersonId,
    /// The second person, once there is one.
    #[serde(with = "crate::octets::maybe")]
    pub confirmed_by: Option<PersonId>,
}

/// One row of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registrant {
    /// A member of staff.
    Staff(Staff),
    /// A holder.
    Holder(HolderEntry),
    /// An authority.
    Authority(EnrolledAuthority),
}

/// The register, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registrants {
    pub(crate) rows: Vec<Registrant>,
}

impl Registrants {
    /// Takes a row in; a later one about the same person, holder or authority replaces.
    pub(crate) fn enter(&mut self, new: Registrant) {
        match self.rows.iter_mut().find(|old| same(old, &new)) {
            Some(old) => *old = new,
            None => self.rows.push(new),
        }
    }

    pub(crate) fn staff(&self) -> impl Iterator<Item = &Staff> {
        self.rows.iter().filter_map(|row| match row {
            Registrant::Staff(staff) => Some(staff),
            Registrant::Holder(_) | Registrant::Authority(_) => None,
        })
    }

    pub(crate) fn authority(&self, id: [u8; 16]) -> Option<&EnrolledAuthority> {
        self.rows.iter().find_map(|row| match row {
            Registrant::Authority(authority) if authority.id == id => Some(authority),
            Registrant::Authority(_) | Registrant::Staff(_) | Registrant::Holder(_) => None,
        })
    }

    /// The member of staff, if in office.
    pub(crate) fn in_office(&self, person: PersonId, at: Timestamp) -> Option<&Staff> {
        self.staff().find(|staff| staff.person == person && staff.from <= at && at < staff.until)
    }

    /// What holders and verifiers know of the staff: counsel and approvers.
    pub(crate) fn officers(&self) -> Result<custody::Register, DeskError> {
        let mut officers = Vec::new();
        for staff in self.staff() {
            for role in &staff.roles {
                let role = match role {
                    Role::Counsel => custody::Role::Counsel,
                    Role::Approver => custody::Role::Approver,
                    Role::Clerk | Role::Station | Role::Auditor => continue,
                };
                let Staff { person, key, from, until, .. } = *staff;
                officers.push(Officer { person, role, key, from, until });
            }
        }
        custody::Register::new(officers).map_err(|_| DeskError::Register)
    }

    /// Whether a row may be entered.
    pub(crate) fn check(&self, new: &Registrant) -> Result<(), DeskError> {
        let name = match new {
            Registrant::Staff(staff) => &staff.name,
            Registrant::Holder(holder) => &holder.name,
            Registrant::Authority(authority) => &authority.name,
        };
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return Err(DeskError::Enrolment(Unfit::Name));
        }
        if self.rows.len() >= ENTRIES_MAX && !self.rows.iter().any(|old| same(old, new)) {
            return Err(DeskError::Enrolment(Unfit::Room));
        }
        match new {
            Registrant::Staff(staff) => self.check_staff(staff),
            Registrant::Holder(holder) => match holder.key.parse::<HolderPublic>() {
                Ok(_) => Ok(()),
                Err(_) => Err(DeskError::Enrolment(Unfit::HolderKey)),
            },
            Registrant::Authority(authority) => {
                if !(1..=NAME_BYTES_MAX).contains(&authority.number_from.len()) {
                    return Err(DeskError::Enrolment(Unfit::NumberFrom));
                }
                match authority.recipient.parse::<Recipient>() {
                    Ok(_) => Ok(()),
                    Err(_) => Err(DeskError::Enrolment(Unfit::Recipient)),
                }
            }
        }
    }

    fn check_staff(&self, staff: &Staff) -> Result<(), DeskError> {
        if staff.roles.is_empty() || !staff.roles.is_sorted_by(|a, b| a < b) {
            return Err(DeskError::Enrolment(Unfit::Roles));
        }
        if staff.from >= staff.until {
            return Err(DeskError::Enrolment(Unfit::Term));
        }
        let taken = |other: &Staff| other.person != staff.person && other.key == staff.key;
        if self.staff().any(taken) {
            return Err(DeskError::Enrolment(Unfit::KeyTaken));
        }
        let changed = |other: &Staff| other.person == staff.person && other.key != staff.key;
        // A new key for the same person would unmake the approvals made with the old one.
        if self.staff().any(changed) {
            return Err(DeskError::Enrolment(Unfit::OneKey));
        }
        Ok(())
    }
}

fn same(a: &Registrant, b: &Registrant) -> bool {
    match (a, b) {
        (Registrant::Staff(a), Registrant::Staff(b)) => a.person == b.person,
        (Registrant::Holder(a), Registrant::Holder(b)) => a.holder == b.holder,
        (Registrant::Authority(a), Registrant::Authority(b)) => a.id == b.id,
        (Registrant::Staff(_), _) | (Registrant::Holder(_), _) | (Registrant::Authority(_), _) => {
            false
        }
    }
}
