//! From what happened to what the client is told: every error has its one answer here.
//!
//! Invariant: no internal text crosses this file; the match over our errors is exhaustive.
//! Refs: RFC 9051 §7.1; RFC 5530; RFC 4315; RFC 7889.

use crate::account::{ChangeError, LoginError, ReadBodyError};

/// How a command ends.
pub(super) enum Reply {
    Ok(String),
    No(String),
    Bad(String),
}

impl Reply {
    pub(super) fn ok(text: &str) -> Self {
        Self::Ok(text.to_owned())
    }

    pub(super) fn no(text: &str) -> Self {
        Self::No(text.to_owned())
    }

    pub(super) fn bad(text: &str) -> Self {
        Self::Bad(text.to_owned())
    }

    /// The tagged line.
    pub(super) fn line(&self, tag: &str) -> String {
        match self {
            Self::Ok(text) => format!("{tag} OK {text}\r\n"),
            Self::No(text) => format!("{tag} NO {text}\r\n"),
            Self::Bad(text) => format!("{tag} BAD {text}\r\n"),
        }
    }
}

impl From<ChangeError> for Reply {
    fn from(error: ChangeError) -> Self {
        Self::no(match error {
            ChangeError::NoMailbox => "[NONEXISTENT] no such mailbox",
            ChangeError::Exists => "[ALREADYEXISTS] a mailbox of that name exists",
            ChangeError::HasChildren => "[HASCHILDREN] delete the mailboxes below it first",
            ChangeError::Inbox => "[CANNOT] INBOX stays",
            ChangeError::Limit => "[LIMIT] too many",
            ChangeError::TooLarge => "[TOOBIG] the message is too large",
            ChangeError::Full => "[UNAVAILABLE] the disk is full; nothing was changed",
            ChangeError::Failed => "[SERVERBUG] the store failed; nothing was changed",
        })
    }
}

impl From<LoginError> for Reply {
    fn from(error: LoginError) -> Self {
        Self::no(match error {
            LoginError::Wrong => "[AUTHENTICATIONFAILED] wrong user name or password",
            LoginError::Expired => "[EXPIRED] this password has expired",
            LoginError::Scope => "[AUTHORIZATIONFAILED] this password is not for reading mail",
            LoginError::Busy => "[UNAVAILABLE] too many logins; try again in a minute",
            LoginError::Moving => "[UNAVAILABLE] the account is moving to another cell",
            LoginError::Tampered => "[CONTACTADMIN] the account's keys do not check",
            LoginError::Failed => "[UNAVAILABLE] the account could not be opened",
        })
    }
}

impl From<ReadBodyError> for Reply {
    fn from(error: ReadBodyError) -> Self {
        Self::no(match error {
            ReadBodyError::Gone => "[EXPUNGEISSUED] some of these messages no longer exist",
            ReadBodyError::Failed => "[SERVERBUG] some of these messages cannot be read",
        })
    }
}
