//! Mailboxes and the messages in them, as an open account holds them in memory.
//!
//! Plain data and plain functions; [`crate::account`] loads them from sealed rows and writes
//! every change before it shows here.
//!
//! Invariant: UIDs ascend in a mailbox and are never given twice; a mod-sequence never falls.
//! Refs: RFC 9051 §2.3.1; RFC 7162 §3.1.

mod flags;
mod name;
mod row;
mod state;
mod threads;
mod window;

pub use flags::{FlagChange, FlagSet, Flags, Keywords, TooManyKeywords};
pub use name::{BadName, Name, Pattern};
pub(crate) use row::{ExpungedMessage, ExpungedRow, MailboxRow, MessageRow, StateRow, encode};
pub use state::{Mailbox, Message, SpecialUse, State};
pub(crate) use threads::{Threads, links};
pub(crate) use window::{Expunged, Window, day_of, letter_of, row_of};

/// How many mailboxes an account may have.
pub const MAILBOXES_MAX: usize = 5000;
