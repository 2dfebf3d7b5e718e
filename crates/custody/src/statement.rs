//! The statement of a production: what is in it unopened, why nobody here opens it, and what is not
//! kept.
//!
//! Invariant: one text follows from the order, the log's place, the inventory and one number, for
//! the station that writes it and for the court that checks it. Of the account it names nothing
//! that the package does not hold.
//! Refs: specs/production.md §2.3; law tables §0.3.

use crate::ciphertext::SealedRecord;
use crate::order::OrderRecord;
use crate::time::utc;
use vocab::{Digest, RecordKind};

/// What a statement follows from.
pub struct Stated<'a> {
    /// The order.
    pub order: &'a OrderRecord,
    /// Its digest.
    pub digest: Digest,
    /// The origin of the log that the release is in.
    pub log: &'a str,
    /// The release's index there.
    pub index: u64,
    /// Whether the scope names the category `subscriber`.
    pub subscriber: bool,
    /// Whether it names the category `identifying`.
    pub identifying: bool,
    /// What is handed out sealed, if anything is.
    pub sealed: Option<StatedSealed<'a>>,
}

/// The sealed part.
pub struct StatedSealed<'a> {
    /// The version of the account's manifest.
    pub manifest: u64,
    /// `data/inventory.json`.
    pub inventory: &'a [SealedRecord],
    /// Texts left out because nothing clear says that they arrived in the period: the one thing
    /// said on the cell's word alone.
    pub undated: u64,
}

/// The words after the number of texts left out, which end the part on sealed letters.
const UNDATED: &str =
    " texts of letters of which nothing clear says that they arrived in the period.\n";

impl Stated<'_> {
    /// The text; `None` for a package in which everything was opened.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let parts = [
            self.sealed.as_ref().map(|sealed| of_sealed(self.order, sealed)),
            self.subscriber.then(|| SUBSCRIBER.to_owned()),
            self.identifying.then(|| IDENTIFYING.to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return None;
        }
        let (order, digest) = (self.order, self.digest);
        let head = format!(
            "STATEMENT\n\n\
             Case {}, cell {}, order (SHA-256) {digest}.\n\
             The order's release is entry {} of the log `{}`.\n",
            order.case, order.cell, self.index, self.log
        );
        Some(head + &parts.concat())
    }
}

/// The number of texts left out, as a statement tells it.
#[must_use]
pub fn undated(statement: &str) -> Option<u64> {
    let (before, _) = statement.split_once(UNDATED)?;
    before.rsplit(' ').next()?.parse().ok()
}

const SUBSCRIBER: &str = "
SUBSCRIBER

`data/records/subscriber.json` holds the fields the order's scope names, as the cell keeps them.
The cell keeps no name, postal address, telephone number or means of payment of the person who holds
an account, and no record of sessions that it can read by itself: the day on which each unlocker of
the account last served is sealed under the account's own keys, and is not in this package. A field
that is null is one the cell does not know.
";

const IDENTIFYING: &str = "
IDENTIFYING DATA

The cell keeps no record of the network addresses or ports that an account was used from. Of times of
its use it keeps none that it can read by itself but these, which do not say from where: when the
account, its addresses and its unlockers were made or changed, when its manifest was last signed,
whether its records have changed since the last daily leaf of the log, and when a letter still on its
way out was handed in. The day on which each unlocker last served is sealed under the account's own
keys, and is not in this package. There is nothing to produce in this category.
";

fn of_sealed(order: &OrderRecord, sealed: &StatedSealed<'_>) -> String {
    let count = |kind: RecordKind| {
        sealed.inventory.iter().filter(|line| line.table == kind.table()).count()
    };
    format!(
        "
SEALED LETTERS

Nothing in `data/sealed/` was opened, and the cell cannot open it. The account is in custody
`sealed`: its manifest, version {}, signed with the account's own key, lists its keys, and no escrow
of any of them. Every letter is sealed on arrival to the account's key of that month. The private
half of that key is stored only as sealed under a key that the owner's own secrets unlock: passwords,
codes, tokens or devices. The cell stores none of these. While a program of the owner's is logged in,
the running server has in memory what that program unlocked, for that program alone; no command of
the desk or of the administrator reads it.

Keys held for this account:
  stored by the cell              none that opens a letter
  by trustees or vault officers   none
  by receipt guards               none

In this package, as stored, each with its SHA-256 in `data/inventory.json`:
  {} manifest, {} epoch keys (sealed), {} heads of letters, {} texts of letters,
  {} message rows (letters that the owner has fetched).
The period is from {}
to before {}.
Of a letter not yet fetched its time of arrival is clear. Of a message row only the month is: rows
of every month that the period touches are here whole.

Not in this package:
  the account's unlockers, which would serve to guess its passwords;
  {}{UNDATED}",
        sealed.manifest,
        count(RecordKind::Manifest),
        count(RecordKind::EpochBox),
        count(RecordKind::LetterHead),
        count(RecordKind::LetterBody),
        count(RecordKind::Message),
        utc(order.from),
        utc(order.until),
        sealed.undated,
    )
}
