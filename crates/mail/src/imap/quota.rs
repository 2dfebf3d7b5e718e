//! GETQUOTA and GETQUOTAROOT; and whether there is room for what a command adds.
//!
//! Invariant: one quota root, named with the empty string, for all mailboxes of the account.
//! Refs: RFC 9208 §4, §5.

use std::sync::Arc;

use imap_types::core::AString;
use imap_types::mailbox::Mailbox;
use proto::imap::write;

use super::reply::Reply;
use super::session::{Session, octets};
use crate::account::Account;
use crate::quota::{Quotas, Room};

/// RFC 9208 §4.3.1: of APPEND, COPY and MOVE.
const OVER: &str = "[OVERQUOTA] the account is full; delete something first";

impl Session<'_> {
    pub(super) fn quota(&mut self, root: &AString<'_>) -> Reply {
        if !octets(root).is_empty() {
            return Reply::no("[NONEXISTENT] no such quota root");
        }
        self.say_quota()
    }

    pub(super) fn quota_root(&mut self, mailbox: &Mailbox<'_>) -> Reply {
        // RFC 9208 §4.1.3: the mailbox need not exist.
        let name = match self.name(mailbox) {
            Ok(name) => name,
            Err(reply) => return reply,
        };
        write::text(&mut self.out, "* QUOTAROOT ");
        write::mailbox(&mut self.out, name.as_str(), self.rev2);
        write::text(&mut self.out, " \"\"\r\n");
        self.say_quota()
    }

    fn say_quota(&mut self) -> Reply {
        let Some(account) = self.account.as_ref().map(|account| account.id()) else {
            return Reply::bad("log in first");
        };
        let quotas = &self.context.quotas;
        let (limit, Ok(used)) = (quotas.of(account), quotas.used(account)) else {
            return Reply::no("[SERVERBUG] the store failed");
        };
        // §5.1: in units of 1024 octets. What is used is rounded up, and what may be, down.
        let storage = limit.octets.map(|octets| (used.octets.div_ceil(1024), octets / 1024));
        let messages = limit.messages.map(|messages| (used.messages, messages));
        let resources = [("STORAGE", storage), ("MESSAGE", messages)];
        let listed = resources.iter().filter_map(|(name, known)| {
            known.map(|(used, limit)| format!("{name} {used} {limit}"))
        });
        let listed: Vec<String> = listed.collect();
        self.say(&format!("* QUOTA \"\" ({})\r\n", listed.join(" ")));
        Reply::ok("that is it")
    }

    /// Says no if the account may not hold so much more.
    pub(super) fn refuse_over_quota(
        &self,
        account: &Account,
        octets: usize,
        messages: usize,
    ) -> Result<(), Reply> {
        let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
        match self.context.quotas.room(account.id(), number(octets), number(messages)) {
            Room::Fits => Ok(()),
            Room::Full | Room::Never => Err(Reply::no(OVER)),
        }
    }
}

/// Makes an account smaller that is over its limit with what was expunged: that is purged, the
/// oldest first. What cannot be purged now is tried at the next occasion.
pub(super) async fn relieve(quotas: &Quotas, account: &Arc<Account>) {
    let Ok(excess @ 1..) = quotas.excess(account.id()) else { return };
    if let Err(error) = account.purge_oldest(excess).await {
        tracing::warn!(%error, "expunged messages could not be purged for their room");
    }
}
