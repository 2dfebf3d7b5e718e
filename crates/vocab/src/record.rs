//! The record map: every kind of record a cell keeps, declared once.
//!
//! Invariant: what is stored is stored under a [`RecordKind`]; there is no other
//! way to name a record to the store. Who can open it, what the law calls it and
//! how long it is kept are read from [`RecordKind::holding`] and nowhere else.
//! Refs: design §4; Regulation (EU) 2023/1543 art. 3(9)-(12).

/// Who besides its owner can open an account's letters, and only for one approved demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Custody {
    /// Nobody.
    Sealed = 0,
    /// k of n named trustees in the cell's jurisdiction, with its receipt guards.
    Trustee = 1,
    /// The cell's vault, with its receipt guards.
    Managed = 2,
}

/// What a statute calls a datum (EU 2023/1543 art. 3(9)-(12)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataCategory {
    /// Who the customer is.
    Subscriber,
    /// Addresses and times asked for only to identify a person.
    Identifying,
    /// Who communicated with whom, when, from where.
    Traffic,
    /// What was communicated.
    Content,
}

/// Who can open a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// The account's owner; and the holders its custody mode names, for one approved demand.
    Owner,
    /// The running cell.
    Cell,
    /// Anyone who holds the disk: carries no name, address or text.
    Clear,
}

/// How long a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retention {
    /// Until its owner deletes it, or the account.
    Owner,
    /// Until its owner puts it back or deletes it for good, or the days for that are over.
    Window,
    /// As long as the account exists.
    Account,
    /// As long as the account exists, and 183 days after: an address leads to nobody else meanwhile.
    Address,
    /// Until delivered or bounced.
    Delivery,
    /// As the cell's law pack says for cases.
    Case,
    /// As long as the cell exists.
    Cell,
}

/// One line of the record map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The kind's name, as the record map prints it.
    pub name: &'static str,
    /// Its legal category; `None` for what is not about a person's communications.
    pub category: Option<DataCategory>,
    /// Who can open it.
    pub keeper: Keeper,
    /// How long it is kept.
    pub retention: Retention,
}

macro_rules! record_kinds {
    ($($(#[$doc:meta])* $kind:ident = $table:literal, $name:literal, $category:expr, $keeper:ident, $retention:ident;)*) => {
        /// Every kind of record a cell keeps. The number is the `table` of specs/bw1.md §8 and
        /// of the store's keys; it is never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum RecordKind { $($(#[$doc])* $kind = $table,)* }

        impl RecordKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind with this number, if there is one.
            #[must_use]
            pub const fn from_table(table: u16) -> Option<Self> {
                match table { $($table => Some(Self::$kind),)* _ => None }
            }

            /// This kind's line of the record map.
            #[must_use]
            pub const fn holding(self) -> Holding {
                match self { $(Self::$kind => Holding {
                    name: $name,
                    category: $category,
                    keeper: Keeper::$keeper,
                    retention: Retention::$retention,
                },)* }
            }

            /// The number this kind is stored under.
            #[must_use]
            pub const fn table(self) -> u16 {
                self as u16
            }
        }
    };
}

use DataCategory::{Content, Subscriber, Traffic};

record_kinds! {
    /// A slot record: one unlocker's public half and its box (specs/bw1.md §4).
    Slot = 1, "unlocker", None, Clear, Account;
    /// The signed manifest of an account (specs/bw1.md §5).
    Manifest = 2, "account manifest", None, Clear, Account;
    /// An epoch's public key and its wrapped private half (specs/bw1.md §3).
    EpochBox = 3, "epoch keys", None, Clear, Account;
    /// An epoch's escrow (specs/bw1.md §6). Absent in custody `sealed`.
    Escrow = 4, "epoch escrow", None, Clear, Account;
    /// Where an account's chain of arrivals stands: sequence and chain digest.
    Arrivals = 5, "arrival chain", None, Clear, Account;

    /// An arrival's header, key capsule and sealed head, until it is folded.
    LetterHead = 16, "arrived letter, head", Some(Content), Owner, Owner;
    /// A letter's sealed octets.
    LetterBody = 17, "letter", Some(Content), Owner, Owner;

    /// One message of one mailbox: UID, flags, envelope, structure, body key.
    Message = 32, "message row", Some(Content), Owner, Owner;
    /// One mailbox: name, UIDVALIDITY, UIDNEXT, subscription.
    Mailbox = 33, "mailbox", Some(Content), Owner, Owner;
    /// The account's own counters.
    AccountState = 34, "account state", Some(Content), Owner, Account;
    /// What all rows of an account come to, so that one taken or put back is missed
    /// (specs/bw1.md §8.4).
    AccountAnchor = 35, "account anchor", None, Owner, Account;
    /// The search index of one epoch: its segments and their keys (specs/search-index.md §2).
    SearchIndex = 36, "search index", Some(Content), Owner, Account;
    /// A sealed segment of a search index (specs/search-index.md §3).
    SearchSegment = 37, "search segment", Some(Content), Owner, Account;

    /// The day on which each of an account's unlockers last served.
    UnlockerUse = 38, "unlockers' last use", Some(Traffic), Owner, Account;
    /// What a session's token opens again after a restart; the cell has no such token.
    SessionGrant = 39, "session grant", None, Owner, Account;
    /// A message that was expunged and can still be put back.
    ExpungedMessage = 40, "expunged message", Some(Content), Owner, Window;

    /// An address or alias and the account it leads to.
    Route = 64, "address", Some(Subscriber), Cell, Address;
    /// What is known of the person who holds an account.
    Subscription = 65, "subscriber", Some(Subscriber), Cell, Account;
    /// An outbound letter's envelope and delivery state.
    QueueItem = 66, "outbound item", Some(Traffic), Cell, Delivery;
    /// An outbound letter's octets.
    QueueBody = 67, "outbound letter", Some(Content), Cell, Delivery;

    /// The manifest an account's keystore stands at, as the cell pinned it.
    AccountPin = 68, "account pin", None, Cell, Account;
    /// Holders that some account's escrow is or was made for, with their public keys.
    HolderPolicy = 69, "escrow policy", None, Cell, Cell;
    /// An account that leaves this cell or has left it, and where to.
    Departure = 70, "departure", Some(Subscriber), Cell, Cell;

    /// One event of a desk case.
    CaseEvent = 96, "case event", None, Cell, Case;
    /// A document of a case: the demand as served, a letter sent.
    CaseDocument = 97, "case document", None, Cell, Case;
    /// A preserved copy's list of sealed records; holds no plaintext and no key.
    Preservation = 98, "preservation", None, Cell, Case;
    /// A leaf of the log: its opening salts, and its place once sequenced.
    LogLeaf = 99, "log leaf", None, Cell, Cell;
    /// A member of the cell's staff, a trustee, a guard or an enrolled authority, with public keys.
    Registrant = 100, "desk register", None, Cell, Cell;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_again_by_its_number() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::from_table(kind.table()), Some(*kind));
        }
        assert_eq!(RecordKind::from_table(0), None);
    }

    #[test]
    fn what_a_letter_says_or_who_wrote_it_is_never_clear() {
        for kind in RecordKind::ALL {
            let holding = kind.holding();
            if holding.category.is_some() {
                assert_ne!(holding.keeper, Keeper::Clear, "{}", holding.name);
            }
        }
    }
}
