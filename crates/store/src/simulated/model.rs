//! What a store must hold: plain maps, and the commands that change them.
//!
//! Invariant: knows nothing of journal, index or disk.

use super::Chance;
use crate::format::{Key, key};
use crate::preserve::HoldId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vocab::{AccountId, RecordKind, Row};

pub(super) const ACCOUNTS: [AccountId; 2] = [AccountId([0xa1; 16]), AccountId([0xb0; 16])];
pub(super) const KINDS: [RecordKind; 2] = [RecordKind::LetterHead, RecordKind::LetterBody];
pub(super) const HOLDS: [HoldId; 2] = [HoldId([1; 16]), HoldId([2; 16])];
const ROWS: u64 = 7;

/// What a store can be told to do.
#[derive(Clone)]
pub(super) enum Act {
    Commit { account: AccountId, puts: BTreeMap<(RecordKind, Row), Option<Bytes>> },
    Hold { hold: HoldId, account: AccountId, rows: Vec<(RecordKind, Row)> },
    Release { hold: HoldId },
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { account, puts } => {
                write!(f, "commit {:02x}", account.0[0])?;
                puts.iter().try_for_each(|((kind, row), value)| {
                    let len = value.as_ref().map(Bytes::len);
                    write!(f, " {}/{}={len:?}", kind.table(), row.0)
                })
            }
            Self::Hold { hold, account, rows } => {
                write!(f, "hold {:x} {:02x}", hold.0[0], account.0[0])?;
                rows.iter().try_for_each(|(kind, row)| write!(f, " {}/{}", kind.table(), row.0))
            }
            Self::Release { hold } => write!(f, "release {:x}", hold.0[0]),
        }
    }
}

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) rows: BTreeMap<Key, Bytes>,
    pub(super) changes: BTreeMap<AccountId, u64>,
    pub(super) holds: BTreeMap<HoldId, BTreeMap<Key, Bytes>>,
}

fn row(chance: &mut Chance) -> (RecordKind, Row) {
    (KINDS[chance.below(2) as usize], Row(chance.below(ROWS)))
}

impl Act {
    pub(super) fn by(chance: &mut Chance, longest: u64) -> Self {
        let account = ACCOUNTS[chance.below(2) as usize];
        let hold = HOLDS[chance.below(2) as usize];
        match chance.below(24) {
            0 => Self::Release { hold },
            1 | 2 => {
                let rows: BTreeSet<_> = (0..=chance.below(5)).map(|_| row(chance)).collect();
                Self::Hold { hold, account, rows: rows.into_iter().collect() }
            }
            _ => {
                let puts = (0..chance.below(4)).map(|_| {
                    let row = row(chance);
                    let len = if chance.one_in(6) { longest } else { 400 };
                    let len = chance.below(len) as usize;
                    let value = (!chance.one_in(4)).then(|| chance.octets(len));
                    (row, value)
                });
                Self::Commit { account, puts: puts.collect() }
            }
        }
    }
}

impl Held {
    pub(super) fn apply(&mut self, act: &Act) {
        match act {
            Act::Commit { account, puts } => {
                *self.changes.entry(*account).or_default() += 1;
                for ((kind, row), value) in puts {
                    let key = key(*account, kind.table(), row.0);
                    match value {
                        Some(value) => drop(self.rows.insert(key, value.clone())),
                        None => drop(self.rows.remove(&key)),
                    }
                }
            }
            Act::Hold { hold, account, rows } => {
                for (kind, row) in rows {
                    let key = key(*account, kind.table(), row.0);
                    if let Some(value) = self.rows.get(&key) {
                        let kept = self.holds.entry(*hold).or_default();
                        // What a hold keeps already stays at the version it was first held at.
                        kept.entry(key).or_insert_with(|| value.clone());
                    }
                }
            }
            Act::Release { hold } => drop(self.holds.remove(hold)),
        }
    }
}
