//! The statement: what is in a package unopened, why nobody here opens it, and what is not kept.
//!
//! Invariant: says only what follows from the order, the inventory and the record map; of the
//! account it names nothing that the package does not hold.
//! Refs: specs/production.md §2.3; law tables §0.3.

use super::station::Cut;
use super::unopened::SealedPart;
use crate::time::utc;
use custody::OrderRecord;
use vocab::{DataCategory, Digest, RecordKind};

/// The text; `None` for a package in which everything was opened.
pub(super) fn write(order: &OrderRecord, digest: Digest, cut: &Cut) -> Option<String> {
    let asks = |category| cut.scope.categories.contains(&category);
    let parts = [
        cut.sealed.as_ref().map(|sealed| of_sealed(order, sealed)),
        asks(DataCategory::Subscriber).then(|| SUBSCRIBER.to_owned()),
        asks(DataCategory::Identifying).then(|| IDENTIFYING.to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return None;
    }
    let head = format!(
        "STATEMENT\n\n\
         Case {}, cell {}, order (SHA-256) {digest}.\n\
         The order's release is entry {} of the log `{}`.\n",
        order.case, order.cell, cut.place.index, cut.place.origin
    );
    Some(head + &parts.concat())
}

const SUBSCRIBER: &str = "
SUBSCRIBER

`data/records/subscriber.json` holds the fields the order's scope names, as the cell keeps them.
The cell keeps no name, postal address, telephone number, means of payment or record of sessions
of the person who holds an account. A field that is null is one the cell does not know.
";

const IDENTIFYING: &str = "
IDENTIFYING DATA

The cell keeps no record of network addresses, ports or times of use to identify a person by. There
is nothing to produce in this category.
";

fn of_sealed(order: &OrderRecord, sealed: &SealedPart) -> String {
    let count = |kind: RecordKind| {
        sealed.inventory.iter().filter(|line| line.table == kind.table()).count()
    };
    format!(
        "
SEALED LETTERS

Nothing in `data/sealed/` was opened, and the cell cannot open it. The account is in custody
`sealed`: its manifest, version {}, signed with the account's own key, lists its keys, and no escrow
of any of them. Every letter is sealed on arrival to the account's key of that month. The private
half of that key is stored only as sealed under a key that the owner's password, app password or
recovery code unlocks. The cell stores none of these. While a program of the owner's is logged in,
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
  {} texts of letters of which nothing clear says that they arrived in the period.
",
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
