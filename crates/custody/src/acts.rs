//! Acts: the leaf each of the cell's acts leaves in the log, with the fields it holds.
//!
//! Invariant: no address, name, subject or text of anybody is a field; people, accounts and
//! cases are there by identifier and under salt, papers by digest.
//! Refs: specs/log-entry.md §8; design §5.

use crate::leaf::{Act, Draft, FieldId};
use crate::officers::Approval;
use crate::order::{OrderError, OrderRecord};
use vocab::{AccountId, CaseId, CellId, Digest, HolderId, PersonId, Timestamp};

/// A demand was received.
#[must_use]
pub fn received(at: Timestamp, case: CaseId, demand: Digest, account: Option<AccountId>) -> Draft {
    let draft = Draft::new(Act::Received, at).with(FieldId::CASE, &case.0);
    on_account(draft.with(FieldId::DEMAND, &demand.0), account)
}

/// A demand was decided: `outcome` in the desk's coded word, the reason codes, and the digest of
/// the opinion and of counsel's decision. `refused` when nothing at all will be given.
#[must_use]
pub fn decided(
    at: Timestamp,
    case: CaseId,
    demand: Digest,
    refused: bool,
    outcome: &str,
    reasons: &[&str],
    opinion: Digest,
) -> Draft {
    let act = if refused { Act::Rejected } else { Act::Decided };
    let draft = Draft::new(act, at)
        .with(FieldId::CASE, &case.0)
        .with(FieldId::DEMAND, &demand.0)
        .clear(FieldId::OUTCOME, outcome.as_bytes());
    let reasoned =
        reasons.iter().fold(draft, |draft, code| draft.clear(FieldId::REASON, code.as_bytes()));
    reasoned.with(FieldId::SUBJECT, &opinion.0)
}

/// An officer approved an order.
#[must_use]
pub fn approved(at: Timestamp, case: CaseId, order: Digest, person: PersonId) -> Draft {
    Draft::new(Act::Approve, at)
        .with(FieldId::CASE, &case.0)
        .with(FieldId::ORDER, &order.0)
        .with(FieldId::PERSON, &person.0)
}

/// An officer would not approve an order; `why` in the desk's coded word.
#[must_use]
pub fn officer_refused(
    at: Timestamp,
    case: CaseId,
    order: Digest,
    person: PersonId,
    why: &str,
) -> Draft {
    Draft::new(Act::Refuse, at)
        .with(FieldId::CASE, &case.0)
        .with(FieldId::ORDER, &order.0)
        .with(FieldId::PERSON, &person.0)
        .with(FieldId::OUTCOME, why.as_bytes())
}

/// A holder would not give a share; `why` as [`crate::Refused`] prints it or in the holder's code.
#[must_use]
pub fn holder_refused(
    at: Timestamp,
    case: CaseId,
    order: Digest,
    holder: HolderId,
    why: &str,
) -> Draft {
    Draft::new(Act::Refuse, at)
        .with(FieldId::CASE, &case.0)
        .with(FieldId::ORDER, &order.0)
        .with(FieldId::HOLDER, &holder.0)
        .with(FieldId::OUTCOME, why.as_bytes())
}

/// A production left: the digest of its manifest and how many records it holds.
#[must_use]
pub fn produced(
    at: Timestamp,
    case: CaseId,
    order: Digest,
    scope: Digest,
    manifest: Digest,
    records: u64,
) -> Draft {
    Draft::new(Act::Done, at)
        .with(FieldId::CASE, &case.0)
        .with(FieldId::ORDER, &order.0)
        .with(FieldId::SCOPE, &scope.0)
        .with(FieldId::SUBJECT, &manifest.0)
        .number(FieldId::COUNT, records)
}

/// The account's owner was told of a demand.
#[must_use]
pub fn told(at: Timestamp, case: CaseId, account: AccountId) -> Draft {
    Draft::new(Act::Notice, at).with(FieldId::CASE, &case.0).with(FieldId::ACCOUNT, &account.0)
}

/// A member of staff did something; `what` in the desk's coded word.
#[must_use]
pub fn staff_act(at: Timestamp, person: PersonId, account: Option<AccountId>, what: &str) -> Draft {
    let draft = Draft::new(Act::StaffAct, at).with(FieldId::PERSON, &person.0);
    on_account(draft, account).with(FieldId::OUTCOME, what.as_bytes())
}

/// What the cell's accounts had come to that day (specs/cell-rows.md §9).
#[must_use]
pub fn day(at: Timestamp, pins: Digest) -> Draft {
    Draft::new(Act::DailyRoot, at).clear(FieldId::SUBJECT, &pins.0)
}

/// A law pack took this text.
#[must_use]
pub fn pack_changed(at: Timestamp, pack: &str, text: Digest) -> Draft {
    Draft::new(Act::PackChanged, at)
        .clear(FieldId::NAME, pack.as_bytes())
        .clear(FieldId::SUBJECT, &text.0)
}

/// The cell's trustees, vault officers or guards changed: digest of the escrow policy, and how
/// many holders it names.
#[must_use]
pub fn holders_changed(at: Timestamp, policy: Digest, holders: u64) -> Draft {
    Draft::new(Act::HoldersChanged, at)
        .clear(FieldId::SUBJECT, &policy.0)
        .clear(FieldId::COUNT, &holders.to_be_bytes())
}

/// Which way an account moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into this cell.
    In,
    /// Out of this cell.
    Out,
}

/// An account moved from or to the cell `other`.
#[must_use]
pub fn moved(at: Timestamp, account: AccountId, direction: Direction, other: CellId) -> Draft {
    let word: &[u8] = match direction {
        Direction::In => b"in",
        Direction::Out => b"out",
    };
    Draft::new(Act::Move, at)
        .with(FieldId::ACCOUNT, &account.0)
        .clear(FieldId::OUTCOME, word)
        .clear(FieldId::CELL, &other.0)
}

/// A program the cell runs, by name and digest.
#[must_use]
pub fn program(at: Timestamp, name: &str, digest: Digest) -> Draft {
    Draft::new(Act::Software, at)
        .clear(FieldId::NAME, name.as_bytes())
        .clear(FieldId::SUBJECT, &digest.0)
}

/// A month ended; `leaves` is how many it had. Logged in a later month, of which it is the
/// first leaf.
#[must_use]
pub fn month_closed(at: Timestamp, leaves: u64) -> Draft {
    Draft::new(Act::MonthClose, at).clear(FieldId::COUNT, &leaves.to_be_bytes())
}

/// Sealed leaves were opened: their indices, ascending, each with its
/// [`crate::LeafOpening::digest`]. About thirty fit one leaf.
#[must_use]
pub fn opened(at: Timestamp, openings: &[(u64, Digest)]) -> Draft {
    let draft = Draft::new(Act::Opening, at);
    let draft = openings
        .iter()
        .fold(draft, |draft, (index, _)| draft.clear(FieldId::INDEX, &index.to_be_bytes()));
    let digests: Vec<[u8; 32]> = openings.iter().map(|(_, digest)| digest.0).collect();
    let subject = crate::hash(&[b"bailiwick.v1 openings\0", digests.as_flattened()]);
    draft.clear(FieldId::SUBJECT, &subject.0)
}

/// Sealed leaves stay sealed until another day, because an order of secrecy still binds one of
/// them: their indexes, ascending. About thirty fit one leaf.
#[must_use]
pub fn secrecy_renewed(at: Timestamp, until: Timestamp, leaves: &[u64]) -> Draft {
    let draft = Draft::new(Act::SecrecyRenewed, at);
    let draft = draft.clear(FieldId::VALID_UNTIL, &until.0.to_be_bytes());
    leaves.iter().fold(draft, |draft, index| draft.clear(FieldId::INDEX, &index.to_be_bytes()))
}

fn on_account(draft: Draft, account: Option<AccountId>) -> Draft {
    match account {
        Some(account) => draft.with(FieldId::ACCOUNT, &account.0),
        None => draft,
    }
}

/// A release was authorised: everything holders check, each under its own salt
/// (specs/release-evidence.md §4). `order` must encode.
///
/// # Errors
/// [`crate::OrderError`] when the order does not keep to its limits.
pub fn authorised(
    at: Timestamp,
    order: &OrderRecord,
    approvals: &[Approval],
) -> Result<Draft, OrderError> {
    let digest = OrderRecord::digest(&order.encode()?);
    let draft = Draft::new(Act::Authorised, at)
        .with(FieldId::CASE, &order.case.0)
        .with(FieldId::ORDER, &digest.0)
        .with(FieldId::SCOPE, &order.scope.0);
    let tagged = order
        .epochs
        .iter()
        .fold(draft, |draft, epoch| draft.with(FieldId::GUARD_TAG, &epoch.guard_tag));
    Ok(tagged
        .with(FieldId::RECIPIENT, &order.recipient_digest().0)
        .number(FieldId::NOT_BEFORE, order.not_before.0)
        .number(FieldId::VALID_UNTIL, order.valid_until.0)
        .with(FieldId::APPROVALS, &Approval::digest(approvals).0)
        .with(FieldId::REGISTER, &order.register.0)
        .with(FieldId::ACCOUNT, &order.account.0))
}
