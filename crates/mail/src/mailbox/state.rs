//! An open account's mailboxes in memory.
//!
//! Invariant: nothing here is changed before its row is on disk. Fifty thousand messages take
//! some twenty megabytes: envelopes are kept as IMAP sends them, structures are not kept.
//! Refs: RFC 9051 §2.3; RFC 6154 §2; RFC 7162 §3.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Flags, Keywords, MessageRow, Name, Threads, Window};

/// What a mailbox is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SpecialUse {
    /// Messages being written.
    Drafts = 1,
    /// Messages sent.
    Sent = 2,
    /// Unwanted ones.
    Junk = 3,
    /// Ones to be deleted.
    Trash = 4,
    /// Ones put away.
    Archive = 5,
}

impl SpecialUse {
    /// Every use, with the name its mailbox is first given.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Drafts, "Drafts"),
        (Self::Sent, "Sent"),
        (Self::Junk, "Junk"),
        (Self::Trash, "Trash"),
        (Self::Archive, "Archive"),
    ];

    /// The attribute LIST shows.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Drafts => "\\Drafts",
            Self::Sent => "\\Sent",
            Self::Junk => "\\Junk",
            Self::Trash => "\\Trash",
            Self::Archive => "\\Archive",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(known, _)| *known).find(|known| *known as u8 == number)
    }
}

/// A message in memory.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its row.
    pub row: u64,
    /// Its UID.
    pub uid: u32,
    /// When it last changed.
    pub modseq: u64,
    /// The epoch its row is sealed in.
    pub epoch: u32,
    /// Octets.
    pub size: u32,
    /// The system flags.
    pub flags: Flags,
    /// Numbers of [`State::keywords`].
    pub keywords: Box<[u16]>,
    /// INTERNALDATE.
    pub received: u64,
    /// The Date field as its writer's clock showed it, in seconds since 1970 as if in UTC.
    pub sent: Option<i64>,
    /// The row of its body.
    pub letter_row: u64,
    /// The ENVELOPE as IMAP sends it.
    pub envelope: Arc<[u8]>,
    /// Its letter: the same for every copy.
    pub letter: [u8; 16],
    /// The row number of the message that began its thread.
    pub thread: u64,
    /// When it came into its mailbox, in seconds since 1970.
    pub saved: u64,
}

impl Message {
    /// As its row says; where that is, when it last changed, and in which epoch it is sealed.
    pub(crate) fn of_row(
        held: &MessageRow<'_>,
        (row, modseq, epoch): (u64, u64, u32),
        keywords: Box<[u16]>,
    ) -> Self {
        Self {
            row,
            uid: held.uid,
            modseq,
            epoch,
            size: held.size,
            flags: Flags(held.flags),
            keywords,
            received: held.received,
            sent: held.sent,
            letter_row: held.letter_row,
            envelope: held.envelope.into(),
            letter: held.letter,
            thread: held.thread,
            saved: held.saved,
        }
    }
}

/// A mailbox in memory.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Its row.
    pub row: u64,
    /// Its name.
    pub name: Name,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
    /// What it is for.
    pub special: Option<SpecialUse>,
    /// Whether it is subscribed to.
    pub subscribed: bool,
    /// False for a name that is only subscribed to.
    pub exists: bool,
    /// Messages from this UID on are recent to the next session.
    pub recent_from: u32,
    /// Days after which a message that came into it is expunged; 0 for never.
    pub keep_days: u16,
    /// How often messages were expunged since the account was opened.
    pub expunges: u64,
    /// Ascending by UID.
    pub messages: Vec<Message>,
}

impl Mailbox {
    /// The message with this UID.
    #[must_use]
    pub fn message(&self, uid: u32) -> Option<&Message> {
        let at = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get(at)
    }

    pub(crate) fn message_mut(&mut self, uid: u32) -> Option<&mut Message> {
        let at = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get_mut(at)
    }

    /// How many messages lack `\Seen`.
    #[must_use]
    pub fn unseen(&self) -> usize {
        self.messages.iter().filter(|message| !message.flags.has(Flags::SEEN)).count()
    }

    pub(crate) fn to_row(&self) -> super::MailboxRow {
        super::MailboxRow {
            name: self.name.as_str().to_owned(),
            uid_validity: self.uid_validity,
            uid_next: self.uid_next,
            highest_modseq: self.highest_modseq,
            special: self.special.map_or(0, |special| special as u8),
            subscribed: self.subscribed,
            exists: self.exists,
            recent_from: self.recent_from,
            keep_days: self.keep_days,
        }
    }
}

/// An account's mailboxes.
#[derive(Debug, Default)]
pub struct State {
    /// By row.
    pub mailboxes: BTreeMap<u64, Mailbox>,
    /// The account's keywords.
    pub keywords: Keywords,
    /// The last mod-sequence given.
    pub modseq: u64,
    /// The last UIDVALIDITY given.
    pub uid_validity: u32,
    /// How many messages share each body.
    pub(crate) bodies: HashMap<u64, u32>,
    /// The last arrival folded, and the chain after it.
    pub(crate) folded: u64,
    pub(crate) chain: [u8; 32],
    /// As [`Mailbox::keep_days`], for the mailboxes where that is 0.
    pub keep_days: u16,
    /// What was expunged and is not purged.
    pub(crate) window: Window,
    /// What threads are known by.
    pub(crate) threads: Threads,
}

impl State {
    /// The mailbox of this name, if it exists.
    #[must_use]
    pub fn named(&self, name: &Name) -> Option<&Mailbox> {
        self.mailboxes.values().find(|mailbox| mailbox.exists && mailbox.name == *name)
    }

    /// Any entry of this name, existing or only subscribed to.
    #[must_use]
    pub fn entry(&self, name: &Name) -> Option<&Mailbox> {
        self.mailboxes.values().find(|mailbox| mailbox.name == *name)
    }

    /// The mailbox with this row.
    #[must_use]
    pub fn mailbox(&self, row: u64) -> Option<&Mailbox> {
        self.mailboxes.get(&row)
    }

    /// The mailbox of a special use.
    #[must_use]
    pub fn special(&self, special: SpecialUse) -> Option<&Mailbox> {
        self.mailboxes.values().find(|mailbox| mailbox.special == Some(special))
    }

    pub(crate) fn to_row(&self) -> super::StateRow {
        super::StateRow {
            modseq: self.modseq,
            uid_validity: self.uid_validity,
            folded: self.folded,
            chain: self.chain,
            keep_days: self.keep_days,
        }
    }
}
