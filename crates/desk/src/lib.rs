//! The desk: a demand's case from intake to closure, and the production that answers it.
//!
//! Two halves. [`Desk`] lives in the server: it keeps cases, register and documents, carries out
//! [`Command`]s that staff signed in their own programs, and says what the log must show.
//! [`production`] lives at the disclosure station, which alone ever sees a letter.
//!
//! Invariant: the desk cannot open a letter and cannot release by itself: it hands evidence to
//! holders and sealed records to the station. It has no clock, no network and no view of mail's
//! code. What a person may do, and when, is one table: [`case::TABLE`].
//! Refs: docs/life-of-a-demand.md; docs/adr/0006-desk.md; design §5–§7.

mod acts;
mod approval;
pub mod case;
mod closing;
mod command;
mod decision;
mod demand;
mod desk;
mod error;
mod event;
mod held;
mod intake;
mod letter;
mod limits;
mod log;
mod notice;
mod octets;
mod preservation;
pub mod production;
mod refusal;
mod register;
mod release;
mod scope;
mod secrecy;
mod show;
mod texts;
mod time;
mod way;

pub use approval::{FactsConfirmed, facts_text};
pub use case::{State, Verb};
pub use command::{
    Answer, CLOCK_SECONDS_MAX, COMMAND_BYTES_MAX, Command, EscrowOctets, HolderRequest,
    PAGE_BYTES_MAX, SealedKind, SealedRow, Signed,
};
pub use decision::{Choice, Outcome, REASON_BYTES_MAX, needs_reason};
pub use demand::{
    DOCUMENT_BYTES_MAX, Demand, DemandReceipt, ENTRY_SECONDS_MAX, IDENTIFIERS_MAX, Period,
    TEXT_BYTES_MAX,
};
pub use desk::{Desk, DeskOptions};
pub use error::DeskError;
pub use held::Held;
pub use intake::{CallBack, SenderChecks};
pub use log::{LoggedAt, Unlogged};
pub use notice::UserNotice;
pub use preservation::PRESERVATION_SECONDS_MAX;
pub use refusal::{Beyond, Fault, Lack, Mismatch, Part, Unfit};
pub use register::{
    EnrolledAuthority, HolderEntry, HolderOffice, NAME_BYTES_MAX, Registrant, Role, Staff,
};
pub use scope::{Form, Scope, ScopeDiff, SubscriberField, changes};
pub use secrecy::{NonDisclosureOrder, SecrecyStated};
pub use show::{CaseFile, CaseLine, Due, EpochCount, FileEntry};
pub use time::utc;
