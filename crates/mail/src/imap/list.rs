//! LIST and LSUB.
//!
//! Invariant: every mailbox that exists is found by `*`; a name that is only subscribed to is
//! shown as one that does not exist.
//! Refs: RFC 9051 §6.3.9; RFC 3501 §6.3.9; RFC 5258; RFC 5819; RFC 6154.

use imap_types::mailbox::{ListMailbox, Mailbox};
use proto::imap::{List, write};

use super::reply::Reply;
use super::session::Session;
use super::status;
use crate::mailbox::{self, Name, Pattern, State};

impl Session<'_> {
    pub(super) fn list(&mut self, list: &List) -> Reply {
        let Some(account) = self.account.clone() else { return Reply::bad("log in first") };
        // RFC 9051 §6.3.9: an empty pattern asks for the separator only.
        if list.patterns.iter().all(Vec::is_empty) && !list.extended {
            self.say("* LIST (\\Noselect) \"/\" \"\"\r\n");
            return Reply::ok("listed");
        }
        let Some(reference) = self.pattern(&list.reference) else {
            return Reply::ok("nothing can match");
        };
        let patterns: Vec<Pattern> = list
            .patterns
            .iter()
            .filter_map(|pattern| Some(Pattern::new(&reference, &self.pattern(pattern)?)))
            .collect();
        let items = match list.returned.status.as_deref().map(status::items).transpose() {
            Ok(items) => items,
            Err(reply) => return reply,
        };
        let state = match account.state() {
            Ok(state) => state,
            Err(error) => return error.into(),
        };
        let utf8 = self.rev2;
        for mailbox in sorted(&state) {
            let matches = patterns.iter().any(|pattern| pattern.matches(mailbox.name.as_str()));
            if !matches || !wanted(list, mailbox, &state, &patterns) {
                continue;
            }
            line(&mut self.out, "LIST", &attributes(list, mailbox, &state), &mailbox.name, utf8);
            // RFC 5258 §4: CHILDINFO, when a child is the reason.
            if list.select.recursive_match && !self_matches(list, mailbox) {
                self.out.truncate(self.out.len() - 2);
                self.out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
            }
            if let Some(items) = items.as_ref().filter(|_| mailbox.exists) {
                status::line(&mut self.out, mailbox, items, utf8);
            }
        }
        Reply::ok("listed")
    }

    pub(super) fn lsub(&mut self, reference: &Mailbox<'_>, wildcard: &ListMailbox<'_>) -> Reply {
        let Some(account) = self.account.clone() else { return Reply::bad("log in first") };
        let reference = match reference {
            Mailbox::Inbox => Some("INBOX".to_owned()),
            Mailbox::Other(other) => self.pattern(other.as_ref()),
        };
        let wildcard = match wildcard {
            ListMailbox::Token(token) => self.pattern(token.as_ref()),
            ListMailbox::String(string) => self.pattern(string.as_ref()),
        };
        let Some((reference, wildcard)) = reference.zip(wildcard) else {
            return Reply::ok("nothing can match");
        };
        let pattern = Pattern::new(&reference, &wildcard);
        let state = match account.state() {
            Ok(state) => state,
            Err(error) => return error.into(),
        };
        let utf8 = self.rev2;
        let mut parents: Vec<Name> = Vec::new();
        for mailbox in sorted(&state).into_iter().filter(|mailbox| mailbox.subscribed) {
            if pattern.matches(mailbox.name.as_str()) {
                let attributes = if mailbox.exists { "" } else { "\\Noselect" };
                line(&mut self.out, "LSUB", attributes, &mailbox.name, utf8);
                continue;
            }
            // RFC 3501 §6.3.9: `%` shows the parent of a subscribed name as \Noselect.
            let parent = mailbox.name.parents().find(|name| pattern.matches(name.as_str()));
            let shown = |name: &Name| state.entry(name).is_some_and(|entry| entry.subscribed);
            if let Some(parent) = parent.filter(|name| !parents.contains(name) && !shown(name)) {
                line(&mut self.out, "LSUB", "\\Noselect", &parent, utf8);
                parents.push(parent);
            }
        }
        Reply::ok("listed")
    }

    /// A pattern in UTF-8; wildcards pass through modified UTF-7 unchanged.
    fn pattern(&self, sent: &[u8]) -> Option<String> {
        self.utf8(sent)
    }
}

fn sorted(state: &State) -> Vec<&mailbox::Mailbox> {
    let mut all: Vec<_> = state.mailboxes.values().collect();
    all.sort_by(|one, other| {
        (!one.name.is_inbox(), &one.name).cmp(&(!other.name.is_inbox(), &other.name))
    });
    all
}

fn self_matches(list: &List, mailbox: &mailbox::Mailbox) -> bool {
    let subscribed = !list.select.subscribed || mailbox.subscribed;
    let special = !list.select.special_use || mailbox.special.is_some();
    subscribed && special && (mailbox.exists || list.select.subscribed)
}

fn wanted(list: &List, mailbox: &mailbox::Mailbox, state: &State, patterns: &[Pattern]) -> bool {
    if self_matches(list, mailbox) {
        return true;
    }
    // RFC 5258 §3.1: a parent, though it does not match itself, if a child does that is not
    // found by the patterns on its own.
    list.select.recursive_match
        && mailbox.exists
        && state.mailboxes.values().any(|child| {
            child.name.is_below(&mailbox.name)
                && self_matches(list, child)
                && !patterns.iter().any(|pattern| pattern.matches(child.name.as_str()))
        })
}

fn attributes(list: &List, mailbox: &mailbox::Mailbox, state: &State) -> String {
    let mut words: Vec<&str> = Vec::new();
    if !mailbox.exists {
        words.push("\\NonExistent");
    }
    let children =
        state.mailboxes.values().any(|other| other.exists && other.name.is_below(&mailbox.name));
    words.push(if children { "\\HasChildren" } else { "\\HasNoChildren" });
    if list.returned.subscribed || list.select.subscribed {
        words.extend(mailbox.subscribed.then_some("\\Subscribed"));
    }
    words.extend(mailbox.special.map(mailbox::SpecialUse::attribute));
    words.join(" ")
}

fn line(out: &mut Vec<u8>, kind: &str, attributes: &str, name: &Name, utf8: bool) {
    write::text(out, &format!("* {kind} ({attributes}) \"/\" "));
    write::mailbox(out, name.as_str(), utf8);
    write::text(out, "\r\n");
}
