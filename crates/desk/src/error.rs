//! Why the desk does not do what it was asked, and what would cure it.
//!
//! Invariant: no address, name, key or text of a letter is in an error. What the law or a
//! holder refuses is a result, not an error. Every refusal has a cure of its own.

use crate::case::{State, Verb};
use crate::refusal::{Beyond, Fault, Lack, Mismatch, Part, Unfit};
use crate::register::Role;
use crate::way::{run, way};
use vocab::CaseId;

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
    /// A text that goes with an act is empty or too long.
    #[error("the text has 1 to {0} octets")]
    Text(usize),
    /// None of the person's roles may do this.
    #[error("{} is for {}", run(*verb), roles(verb.roles()))]
    Role {
        /// What was asked.
        verb: Verb,
    },
    /// The case is not in a state that allows it.
    #[error("a case that is {state} allows: {}", commands(*state))]
    State {
        /// Where the case is.
        state: State,
        /// What was asked.
        verb: Verb,
    },
    /// No such case.
    #[error("there is no such case")]
    NoCase,
    /// The paper was entered before, as this case.
    #[error("the same paper was entered before: it is case {0}")]
    Entered(CaseId),
    /// No such document.
    #[error("there is no such document")]
    NoDocument,
    /// What was typed of the demand cannot stand.
    #[error("this cannot be entered: {0}")]
    Demand(Fault),
    /// The facts cannot be read.
    #[error("the facts cannot be read: {0}")]
    Facts(String),
    /// A fact that this command does not change: its name.
    #[error("`{0}` is not changed by this")]
    Fixed(&'static str),
    /// The facts contradict who holds the account's keys: the word for it.
    #[error("the keys to this account's letters are `{0}`")]
    Keys(&'static str),
    /// What an officer confirmed is not what the case's facts are now.
    #[error("the facts confirmed are not the case's")]
    Confirmed,
    /// The scope cannot be used.
    #[error("the scope cannot be used: {0}")]
    Scope(&'static str),
    /// A scope that is not for this case or its order.
    #[error("the scope cannot be used: {0}")]
    Outside(Beyond),
    /// What the case lacks for this.
    #[error("the case lacks {0}")]
    Lacks(Lack),
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
    OnePerson(Part),
    /// A signature does not hold.
    #[error("the signature is not this officer's over this")]
    Signature,
    /// The officer is not in the register, or not in that office now.
    #[error("the officer is not in that office now")]
    Office,
    /// The order record breaks a limit.
    #[error("the order cannot be made: {0}")]
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
    Production(Mismatch),
    /// An enrolment cannot be used.
    #[error("the enrolment cannot be used: {0}")]
    Enrolment(Unfit),
    /// The store did not take it.
    #[error("the store did not take it")]
    Commit(#[from] store::CommitError),
    /// The store could not be read.
    #[error("the store could not be read")]
    Read(#[from] store::ReadError),
    /// The account's manifest is not the one the cell pinned: somebody else wrote it.
    #[error("the account's manifest is not the one the cell pinned")]
    Exchanged,
    /// The account has no manifest: it was deleted.
    #[error("the account was deleted, and its keys with it")]
    Gone,
    /// A record of the desk's does not open, or is not one.
    #[error("a record of the desk is damaged")]
    Damaged,
}

impl DeskError {
    /// What the person who asked can do about it.
    #[must_use]
    pub fn cure(&self) -> String {
        let cure = match self {
            Self::Text(max) => return format!("write 1 to {max} octets"),
            Self::Role { verb } => {
                return format!("have a colleague run {}: {}", run(*verb), roles(verb.roles()));
            }
            Self::State { state, verb } => return reach(*state, *verb),
            Self::Fixed(name) => return fixed(name),
            Self::Keys(word) => return format!("write `{word}` as `item_keys`, or leave it out"),
            Self::Demand(fault) => fault.cure(),
            Self::Outside(beyond) => beyond.cure(),
            Self::Lacks(lack) => lack.cure(),
            Self::OnePerson(part) => part.cure(),
            Self::Production(mismatch) => mismatch.cure(),
            Self::Enrolment(unfit) => unfit.cure(),
            Self::Unsigned => "use the key the operator enrolled, on a machine with the right time",
            Self::Repeated => "look at the case before asking again; `bailiwick desk` signs anew",
            Self::Command => "use the `bailiwick` program of the same version",
            Self::NoCase => "`list` shows the cases",
            Self::Entered(_) => {
                "go on with that case; if the demand was served once more, `receive … --again`"
            }
            Self::NoDocument => "`show --json` lists the rows of a case's documents",
            Self::Facts(_) => "name and write the facts as packs/README.md, \"Facts\", has them",
            Self::Confirmed => "look at the case again: its facts were changed or are others",
            Self::Scope(_) => "write the scope as specs/desk-command.md §4 has it",
            Self::Reason => "say why: `--reason`",
            Self::Rehearsal => "enter a demand that was really served, without `rehearsal`",
            Self::NoEscrow => {
                "`narrow` the scope to the form `sealed`: it leaves as it is, with a statement"
            }
            Self::Signature => "sign what `show` gives of this case, with your own key",
            Self::Office => "sign for an office the register gives you, with your clock right",
            Self::Order(_) => {
                "`prepare` again: `--recipient` as `order-key` printed it, if letters are opened, \
                 and the limits of specs/release-evidence.md §2"
            }
            Self::Register => "the operator corrects it: `enrol`",
            Self::NoReceipt => "ask again once the log has it: at once, or with its next batch",
            Self::Share => {
                "hand in the answer of a trustee, vault officer or guard of this account"
            }
            Self::Commit(_) => "the operator makes room on the disk, or reads the server's log",
            Self::Read(_) => "the operator checks the disk; then ask again",
            Self::Gone => {
                "tell counsel: this version produces nothing of it, what is preserved included; \
                 restore no backup for it, which would undo the deletion"
            }
            Self::Damaged | Self::Exchanged => {
                "the operator restores the cell's files from a backup"
            }
        };
        cure.to_owned()
    }
}

/// How a case comes to allow an act.
fn reach(state: State, verb: Verb) -> String {
    match way(state, verb) {
        Some(acts) if acts.is_empty() => format!("begin anew with {}", run(verb)),
        Some(acts) => format!("first {}; then {}", acts.join(", then "), run(verb)),
        None if state.is_answered() => {
            let again = "the demand must come again";
            format!("a case that is {state} is over: for {} {again}", run(verb))
        }
        None => {
            let from = verb.line().map_or(&[][..], |line| line.from);
            format!("{} is only for a case that is {}", run(verb), words(from))
        }
    }
}

fn fixed(name: &str) -> String {
    match name {
        "served" => "`correct` the case: a new time of service begins it anew".to_owned(),
        _ => format!("leave `{name}` out; it belongs to the case as it was entered"),
    }
}

fn words<T: core::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What people may do to a case in this state, each command once.
fn commands(state: State) -> String {
    let mut all: Vec<String> = state.allows().map(run).collect();
    all.dedup();
    words(&all)
}

fn roles(roles: &[Role]) -> String {
    let words: Vec<&str> = roles.iter().map(|role| role.word()).collect();
    if words.is_empty() { "nobody".to_owned() } else { words.join(", ") }
}
