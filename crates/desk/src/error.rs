//! Why the desk does not do what it was asked.
//!
//! Invariant: no address, name, key or text of a letter is in an error. What the law or a
//! holder refuses is a result, not an error.

use crate::case::{State, Verb};
use crate::register::Role;

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The command's signature, person or time does not hold.
    #[error("the command is not signed by a member of staff in office, or not now")]
    Unsigned,
    /// The same signed command came before.
    #[error("the same command was carried out before")]
    Repeated,
    /// The command is not one, or is too long.
    #[error("the command cannot be read")]
    Command,
    /// None of the person's roles may do this.
    #[error("`{verb}` is for {}", roles(allowed))]
    Role {
        /// What was asked.
        verb: &'static str,
        /// Who may.
        allowed: &'static [Role],
    },
    /// The case is not in a state that allows it.
    #[error("a case that is {state} allows: {}", allowed.join(", "))]
    State {
        /// Where the case is.
        state: State,
        /// What it allows.
        allowed: Vec<&'static str>,
    },
    /// No such case.
    #[error("there is no such case")]
    NoCase,
    /// No such document.
    #[error("there is no such document")]
    NoDocument,
    /// The demand cannot be entered.
    #[error("the demand cannot be entered: {0}")]
    Demand(&'static str),
    /// The facts cannot be read.
    #[error("the facts cannot be read: {0}")]
    Facts(String),
    /// The scope cannot be used.
    #[error("the scope cannot be used: {0}")]
    Scope(&'static str),
    /// What the case lacks for this.
    #[error("the case lacks {0}")]
    Lacks(&'static str),
    /// A decision against the opinion, or where the opinion leaves it to a person.
    #[error("a decision against the opinion, or where a person must decide, needs a reason")]
    Reason,
    /// A rehearsal never reaches a release.
    #[error("a rehearsal never reaches a release")]
    Rehearsal,
    /// The account has no escrow for the period: nobody but its owner holds a key.
    #[error("nobody but the account's owner holds a key to this period")]
    NoEscrow,
    /// One person in two parts that must be two persons'.
    #[error("{0} must be another person")]
    OnePerson(&'static str),
    /// A signature does not hold.
    #[error("the signature is not this officer's over this")]
    Signature,
    /// The officer is not in the register, or not in that office now.
    #[error("the officer is not in that office now")]
    Office,
    /// The order record breaks a limit.
    #[error("the order cannot be made")]
    Order(#[from] custody::OrderError),
    /// The officers' register is unusable.
    #[error("the register of officers is unusable")]
    Register,
    /// A leaf's receipt was needed from the log and not handed in.
    #[error("the log has no receipt for this yet")]
    NoReceipt,
    /// The answer is to another leaf, or by somebody who holds no share.
    #[error("the answer is by nobody who holds a share of this account")]
    Share,
    /// The production is not of this case's order, or its manifest cannot be read.
    #[error("the production is not one of this order: {0}")]
    Production(&'static str),
    /// An enrolment cannot be used.
    #[error("the enrolment cannot be used: {0}")]
    Enrolment(&'static str),
    /// The store did not take it.
    #[error("the store did not take it")]
    Commit(#[from] store::CommitError),
    /// The store could not be read.
    #[error("the store could not be read")]
    Read(#[from] store::ReadError),
    /// A record of the desk's does not open, or is not one.
    #[error("a record of the desk is damaged")]
    Damaged,
}

/// What is wrong in the fold of a case.
pub(crate) fn illegal(state: State, verbs: impl Iterator<Item = Verb>) -> DeskError {
    DeskError::State { state, allowed: verbs.map(Verb::word).collect() }
}

fn roles(roles: &[Role]) -> String {
    let words: Vec<&str> = roles.iter().map(|role| role.word()).collect();
    if words.is_empty() { "nobody".to_owned() } else { words.join(", ") }
}
