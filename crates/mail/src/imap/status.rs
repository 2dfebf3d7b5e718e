//! STATUS.
//!
//! Refs: RFC 9051 §6.3.11; RFC 8438; RFC 7162 §3.1.7; RFC 8474 §4.3.
//! Invariant: answers from memory; a mailbox is never opened for it.

use imap_types::mailbox::Mailbox;
use imap_types::status::StatusDataItemName;
use proto::imap::write;

use super::objects;
use super::reply::Reply;
use super::session::Session;
use crate::account::ChangeError;
use crate::mailbox::{self, Flags};

impl Session<'_> {
    pub(super) fn status(&mut self, mailbox: &Mailbox<'_>, items: &[StatusDataItemName]) -> Reply {
        if items.is_empty() {
            return Reply::bad("no items");
        }
        // RFC 7162 §3.1: asking for it enables it.
        if items.contains(&StatusDataItemName::HighestModSeq) {
            self.enable_condstore();
        }
        let (name, account) = match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => (name, account),
            (Err(reply), _) => return reply,
            (_, None) => return Reply::bad("log in first"),
        };
        let state = match account.state() {
            Ok(state) => state,
            Err(error) => return error.into(),
        };
        let Some(held) = state.named(&name) else { return ChangeError::NoMailbox.into() };
        let items = Items::new(items, self.objects.mailbox);
        line(&mut self.out, held, &items, self.rev2);
        Reply::ok("that is it")
    }
}

/// What a STATUS is to say.
pub(super) struct Items {
    named: Vec<StatusDataItemName>,
    /// MAILBOXID (RFC 8474 §4.3).
    id: bool,
}

impl Items {
    fn new(named: &[StatusDataItemName], id: bool) -> Self {
        let mut once = Vec::with_capacity(named.len());
        for item in named {
            if !once.contains(item) {
                once.push(item.clone());
            }
        }
        Self { named: once, id }
    }
}

/// The items of LIST's RETURN (STATUS (…)), in upper case.
pub(super) fn items(names: &[String]) -> Result<Items, Reply> {
    let item = |name: &String| match name.as_str() {
        "MESSAGES" => Ok(StatusDataItemName::Messages),
        "RECENT" => Ok(StatusDataItemName::Recent),
        "UIDNEXT" => Ok(StatusDataItemName::UidNext),
        "UIDVALIDITY" => Ok(StatusDataItemName::UidValidity),
        "UNSEEN" => Ok(StatusDataItemName::Unseen),
        "DELETED" => Ok(StatusDataItemName::Deleted),
        "DELETED-STORAGE" => Ok(StatusDataItemName::DeletedStorage),
        "SIZE" => Ok(StatusDataItemName::Size),
        "HIGHESTMODSEQ" => Ok(StatusDataItemName::HighestModSeq),
        _ => Err(Reply::bad("no such status item")),
    };
    let is_id = |name: &&String| name.as_str() == "MAILBOXID";
    let named: Result<Vec<_>, _> = names.iter().filter(|name| !is_id(name)).map(item).collect();
    Ok(Items::new(&named?, names.iter().any(|name| is_id(&name))))
}

/// A STATUS response.
pub(super) fn line(out: &mut Vec<u8>, held: &mailbox::Mailbox, items: &Items, utf8: bool) {
    write::text(out, "* STATUS ");
    write::mailbox(out, held.name.as_str(), utf8);
    let mut values: Vec<String> = items.named.iter().map(|item| value(held, item)).collect();
    if items.id {
        values.push(format!("MAILBOXID ({})", objects::mailbox(held)));
    }
    write::text(out, &format!(" ({})\r\n", values.join(" ")));
}

fn value(held: &mailbox::Mailbox, item: &StatusDataItemName) -> String {
    let messages = &held.messages;
    match item {
        StatusDataItemName::Messages => format!("MESSAGES {}", messages.len()),
        StatusDataItemName::Recent => {
            let recent = messages.iter().filter(|message| message.uid >= held.recent_from);
            format!("RECENT {}", recent.count())
        }
        StatusDataItemName::UidNext => format!("UIDNEXT {}", held.uid_next),
        StatusDataItemName::UidValidity => format!("UIDVALIDITY {}", held.uid_validity),
        StatusDataItemName::Unseen => format!("UNSEEN {}", held.unseen()),
        StatusDataItemName::Deleted => {
            let deleted = messages.iter().filter(|message| message.flags.has(Flags::DELETED));
            format!("DELETED {}", deleted.count())
        }
        // RFC 9208 §4.1.4: in octets.
        StatusDataItemName::DeletedStorage => {
            let deleted = messages.iter().filter(|message| message.flags.has(Flags::DELETED));
            let octets: u64 = deleted.map(|message| u64::from(message.size)).sum();
            format!("DELETED-STORAGE {octets}")
        }
        StatusDataItemName::Size => {
            let octets: u64 = messages.iter().map(|message| u64::from(message.size)).sum();
            format!("SIZE {octets}")
        }
        StatusDataItemName::HighestModSeq => format!("HIGHESTMODSEQ {}", held.highest_modseq),
    }
}
