//! What our own troubles are called in SMTP: the one place where errors become replies.
//!
//! Invariant: exhaustive; no text of an error crosses it.
//! Refs: RFC 5321 §4.2.3; RFC 3463; house §2.5.

use proto::smtp::Reply;

use super::DeliverError;
use crate::account::LoginError;
use crate::queue::QueueError;

/// A letter was not delivered.
pub(crate) fn of_delivery(error: DeliverError) -> Reply {
    match error {
        DeliverError::Full => Reply::storage_full(),
        DeliverError::TooLarge => Reply::message_too_large(),
        // It may be emptied tomorrow, and the sender's server tries for days.
        DeliverError::OverQuota => Reply::mailbox_full(),
        DeliverError::OverAllQuota => Reply::mailbox_too_small(),
        DeliverError::Moving => Reply::mailbox_moving(),
        DeliverError::NoKeys | DeliverError::Failed => Reply::try_later(),
    }
}

/// A letter was not queued.
pub(crate) fn of_queueing(error: QueueError) -> Reply {
    match error {
        QueueError::Full => Reply::storage_full(),
        QueueError::TooLarge => Reply::message_too_large(),
        QueueError::Tampered | QueueError::Failed => Reply::try_later(),
    }
}

/// Somebody was not let in. An unlocker that expired or is for something else is not told
/// apart from a wrong one.
pub(crate) fn of_login(error: LoginError) -> Reply {
    match error {
        LoginError::Wrong | LoginError::Expired | LoginError::Scope => Reply::auth_failed(),
        LoginError::Busy | LoginError::Moving | LoginError::Tampered | LoginError::Failed => {
            Reply::auth_unavailable()
        }
    }
}
