//! A mailbox as one session has been told of it.
//!
//! Invariant: sequence numbers change only in [`Selected::sync`], which tells the client; an
//! EXPUNGE is told only where RFC 9051 §7.5.1 allows it.
//! Refs: RFC 9051 §7.4.1, §7.5.1; RFC 3501 §7.3; RFC 7162 §3.2.

use std::collections::HashMap;

use crate::account::{Account, ChangeError};
use crate::mailbox::{Keywords, Mailbox, Message};

const SYSTEM_FLAGS: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";

/// What the client wants of unsolicited data.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) rev2: bool,
    pub(super) condstore: bool,
}

pub(super) struct Selected {
    pub(super) row: u64,
    pub(super) read_only: bool,
    /// The UIDs of sequence numbers 1, 2, …
    pub(super) uids: Vec<u32>,
    /// UIDs that are recent to this session, ascending.
    pub(super) recent: Vec<u32>,
    /// The highest mod-sequence whose change has been told.
    pub(super) told: u64,
    /// How many of the account's keywords the client has been told of.
    keywords: usize,
    expunges: u64,
    /// Changes of this session's own that need not be told again: UID and mod-sequence.
    own: HashMap<u32, u64>,
}

impl Selected {
    /// Selects; the caller has looked that the mailbox exists.
    pub(super) fn new(account: &Account, row: u64, read_only: bool) -> Result<Self, ChangeError> {
        let recent_from = if read_only { None } else { account.take_recent(row) };
        let state = account.state()?;
        let mailbox = state.mailbox(row).ok_or(ChangeError::NoMailbox)?;
        let recent_from = recent_from.unwrap_or(mailbox.recent_from);
        let uids: Vec<u32> = mailbox.messages.iter().map(|message| message.uid).collect();
        let recent = uids.iter().filter(|uid| **uid >= recent_from).copied().collect();
        Ok(Self {
            row,
            read_only,
            uids,
            recent,
            told: mailbox.highest_modseq,
            keywords: 0,
            expunges: mailbox.expunges,
            own: HashMap::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn for_test(uids: Vec<u32>) -> Self {
        let (recent, own) = (Vec::new(), HashMap::new());
        Self { row: 1, read_only: false, uids, recent, told: 0, keywords: 0, expunges: 0, own }
    }

    /// A change of this session's own, which the client knows of.
    pub(super) fn knows(&mut self, uid: u32, modseq: u64) {
        self.own.insert(uid, modseq);
    }

    pub(super) fn is_recent(&self, uid: u32) -> bool {
        self.recent.binary_search(&uid).is_ok()
    }

    /// The client has been told of every keyword there is.
    pub(super) fn knows_keywords(&mut self, keywords: &Keywords) {
        self.keywords = keywords.names().len();
    }

    /// Whether messages are gone that the client still counts.
    pub(super) fn is_behind(&self, mailbox: &Mailbox) -> bool {
        mailbox.expunges != self.expunges
    }

    /// Tells of keywords the client does not know yet, before the first FETCH that names one
    /// (RFC 9051 §7.3.5).
    pub(super) fn tell_keywords(&mut self, out: &mut Vec<u8>, keywords: &Keywords) {
        if keywords.names().len() > self.keywords {
            self.knows_keywords(keywords);
            out.extend_from_slice(format!("* FLAGS ({})\r\n", all_flags(keywords)).as_bytes());
        }
    }

    /// The sequence number of the message at a place.
    pub(super) fn number(place: usize) -> usize {
        place + 1
    }

    /// Tells what has changed since the last time.
    pub(super) fn sync(
        &mut self,
        out: &mut Vec<u8>,
        account: &Account,
        manner: Manner,
        may_expunge: bool,
    ) -> Result<(), ChangeError> {
        let news = {
            let state = account.state()?;
            let mailbox = state.mailbox(self.row).filter(|mailbox| mailbox.exists);
            let (messages, highest, expunges) = match mailbox {
                Some(held) => (held.messages.as_slice(), held.highest_modseq, held.expunges),
                // The mailbox is gone: so are its messages.
                None => (&[][..], self.told, u64::MAX),
            };
            if may_expunge && expunges != self.expunges {
                self.tell_expunged(out, messages);
                self.expunges = expunges;
            }
            if highest == self.told {
                return Ok(());
            }
            self.tell_keywords(out, &state.keywords);
            let last = self.uids.last().copied().unwrap_or(0);
            let first_new = messages.partition_point(|message| message.uid <= last);
            for message in messages.get(..first_new).unwrap_or_default() {
                if message.modseq > self.told {
                    self.tell_flags(out, message, &state.keywords, manner);
                }
            }
            self.own.clear();
            self.told = highest;
            let new = messages.get(first_new..).unwrap_or_default();
            self.uids.extend(new.iter().map(|message| message.uid));
            new.first().map(|message| message.uid).zip(Some(last))
        };
        let Some((first_new, _)) = news else { return Ok(()) };
        out.extend_from_slice(format!("* {} EXISTS\r\n", self.uids.len()).as_bytes());
        let recent_from = if self.read_only { None } else { account.take_recent(self.row) };
        if let Some(recent_from) = recent_from {
            let from = recent_from.max(first_new);
            let start = self.uids.partition_point(|uid| *uid < from);
            self.recent.extend_from_slice(self.uids.get(start..).unwrap_or_default());
        }
        if !manner.rev2 {
            out.extend_from_slice(format!("* {} RECENT\r\n", self.recent.len()).as_bytes());
        }
        Ok(())
    }

    fn tell_expunged(&mut self, out: &mut Vec<u8>, messages: &[Message]) {
        let held = |uid: &u32| messages.binary_search_by_key(uid, |message| message.uid).is_ok();
        // From the end, so that no number shifts before it is told.
        for place in (0..self.uids.len()).rev() {
            if self.uids.get(place).is_some_and(|uid| !held(uid)) {
                out.extend_from_slice(format!("* {} EXPUNGE\r\n", place + 1).as_bytes());
            }
        }
        self.uids.retain(held);
        self.recent.retain(held);
    }

    fn tell_flags(
        &self,
        out: &mut Vec<u8>,
        message: &Message,
        keywords: &Keywords,
        manner: Manner,
    ) {
        if self.own.get(&message.uid).is_some_and(|known| *known == message.modseq) {
            return;
        }
        let Ok(place) = self.uids.binary_search(&message.uid) else { return };
        out.extend_from_slice(format!("* {} FETCH (UID {} ", place + 1, message.uid).as_bytes());
        flags(out, message, keywords, !manner.rev2 && self.is_recent(message.uid));
        if manner.condstore {
            out.extend_from_slice(format!(" MODSEQ ({})", message.modseq).as_bytes());
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// Every flag a message may bear, as FLAGS and PERMANENTFLAGS list them.
pub(super) fn all_flags(keywords: &Keywords) -> String {
    let mut list = SYSTEM_FLAGS.to_owned();
    for name in keywords.names() {
        list.push(' ');
        list.push_str(name);
    }
    list
}

/// `FLAGS (…)`.
pub(super) fn flags(out: &mut Vec<u8>, message: &Message, keywords: &Keywords, recent: bool) {
    out.extend_from_slice(b"FLAGS (");
    let start = out.len();
    let mut word = |text: &str| {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(text.as_bytes());
    };
    for (flag, name) in crate::mailbox::Flags::NAMES {
        if message.flags.has(flag) {
            word(name);
        }
    }
    if recent {
        word("\\Recent");
    }
    for number in &message.keywords {
        word(keywords.name(*number));
    }
    out.push(b')');
}
