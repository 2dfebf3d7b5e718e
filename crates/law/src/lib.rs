//! The law engine: facts in, opinion with citations out.
//!
//! Invariant: no I/O, no clock, no keys, no mail. A fact nobody has established, and any
//! error while a rule is evaluated, gives [`Opinion::Undetermined`] and never a permit;
//! every other opinion but [`Opinion::NoBasis`] names the law it rests on. The engine
//! advises; counsel decides.
//! Refs: docs/adr/0004-law-engine.md; packs/README.md.

mod builtin;
mod citation;
mod deadline;
mod engine;
mod facts;
mod letter;
mod limits;
mod opinion;
mod pack;
mod place;
mod reason;
mod rule;

pub use citation::{Citation, Mark};
pub use deadline::{Calendar, Moment, ParseMomentError, When};
pub use engine::{Under, Unfit, assess};
pub use facts::{
    Channel, Emergency, EnforcingAuthority, Fact, Facts, Instrument, Item, KeyHolder,
    NonDisclosure, Role, Venue,
};
pub use jiff::civil::Date;
pub use opinion::{
    Assessment, Clocks, Decision, Grounds, Note, Notice, NoticeDuty, Opinion, PackVersion, Part,
    Produce, Route, Secrecy,
};
pub use pack::{Asks, LoadError, Pack, Packs};
pub use place::{ParsePlaceError, Place};
pub use reason::ReasonCode;
