//! APPEND.
//!
//! Invariant: OK is said when the message is sealed and on disk.
//! Refs: RFC 9051 §6.3.12; RFC 4315 §3; RFC 7889; RFC 9208 §4.3.1; RFC 3516 §4.4.

use imap_types::datetime::DateTime;
use imap_types::extensions::binary::LiteralOrLiteral8;
use imap_types::flag::Flag;
use imap_types::mailbox::Mailbox;

use super::reply::Reply;
use super::session::Session;
use super::store::flag_set;
use crate::account::ChangeError;

impl Session<'_> {
    pub(super) async fn append(
        &mut self,
        mailbox: &Mailbox<'_>,
        flags: &[Flag<'_>],
        date: Option<&DateTime>,
        message: LiteralOrLiteral8<'_>,
    ) -> Reply {
        let (name, account) = match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => (name, account),
            (Err(reply), _) => return reply,
            (_, None) => return Reply::bad("log in first"),
        };
        let message = match message {
            LiteralOrLiteral8::Literal(literal) => literal.into_inner().into_owned(),
            LiteralOrLiteral8::Literal8(literal) => literal.data.into_owned(),
        };
        if message.is_empty() {
            return Reply::bad("an empty message");
        }
        if message.len() > self.context.limits.append_octets {
            return ChangeError::TooLarge.into();
        }
        if let Err(reply) = self.refuse_over_quota(&account, message.len(), 1) {
            return reply;
        }
        let received = date.and_then(|date| u64::try_from(date.as_ref().timestamp()).ok());
        match account.append(name, message, flag_set(flags), received).await {
            Ok(appended) => Reply::Ok(format!(
                "[APPENDUID {} {}] appended",
                appended.uid_validity, appended.uid
            )),
            // RFC 9051 §6.3.12: the client may create it and try again.
            Err(ChangeError::NoMailbox) => Reply::no("[TRYCREATE] no such mailbox"),
            Err(error) => error.into(),
        }
    }
}
