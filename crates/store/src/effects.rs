//! What a record does to the index and to the books: the one rule that both the
//! writer and the replay follow.
//!
//! Invariant: effects depend on the record alone, never on what the index held before,
//! so that replaying a stretch of the journal twice ends where once would have.
//! Refs: specs/store-journal.md §6.

use crate::format::{CarryOp, CommitOp, Directory, Key, Place, ROW_COST, Value, key};
use crate::index::{Index, IndexError, IndexWrite};
use crate::preserve::HoldId;
use std::collections::BTreeMap;
use vocab::AccountId;

/// The books of one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The file's size.
    pub(crate) size: u64,
    /// Where its records end.
    pub(crate) used: u64,
    /// What its values cost when they were written.
    pub(crate) put: u64,
    /// What those of them cost that a row or a hold still needs.
    pub(crate) live: u64,
}

impl Ledger {
    /// What its dead values cost.
    pub(crate) fn dead(&self) -> u64 {
        self.put.saturating_sub(self.live)
    }
}

/// The journal's state at one point of its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// The segment being written.
    pub(crate) segment: u64,
    /// Where its next record starts.
    pub(crate) offset: u64,
    /// The next record's sequence.
    pub(crate) seq: u64,
    /// Every segment.
    pub(crate) ledgers: BTreeMap<u64, Ledger>,
}

impl Books {
    /// Enters what a group of records did, and where they ended.
    pub(crate) fn enter(&mut self, deltas: &[Delta], segment: u64, offset: u64, seq: u64) {
        for delta in deltas {
            // A segment that is gone keeps no books.
            let Some(ledger) = self.ledgers.get_mut(&delta.segment) else { continue };
            ledger.put = ledger.put.saturating_add(delta.put);
            ledger.live = ledger.live.saturating_add(delta.put).saturating_sub(delta.freed);
        }
        if let Some(ledger) = self.ledgers.get_mut(&segment) {
            ledger.used = offset;
        }
        (self.segment, self.offset, self.seq) = (segment, offset, seq);
    }
}

/// A change to one segment's books.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delta {
    segment: u64,
    put: u64,
    freed: u64,
}

/// Collects the effects of records.
pub(crate) struct Effects<'a> {
    index: &'a Index,
    pub(crate) write: IndexWrite,
    pub(crate) deltas: Vec<Delta>,
}

/// Where a record's values lie, and the small ones themselves.
pub(crate) struct Values<'a> {
    pub(crate) segment: u64,
    pub(crate) at: u64,
    /// The octets of the record's n-th value, if it is to stand in the index too.
    pub(crate) inline: &'a dyn Fn(usize, &Value) -> Option<Vec<u8>>,
}

impl Values<'_> {
    fn place(&self, value: &Value) -> Place {
        let offset = self.at + value.start;
        Place { segment: self.segment, offset, len: value.len, crc: value.crc }
    }
}

impl<'a> Effects<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self { index, write: IndexWrite::default(), deltas: Vec::new() }
    }

    /// Adds what `directory` does. Effects that undo pins read them from the index: apply what
    /// was collected before a record that [`Directory::reads_pins`].
    pub(crate) fn add(
        &mut self,
        directory: &Directory,
        values: &Values<'_>,
    ) -> Result<(), IndexError> {
        match directory {
            Directory::Commit { account, head, ops } => {
                self.write.put_head(*account, head);
                self.commit(*account, ops, values);
            }
            Directory::Carry { from, ops } => self.carry(*from, ops, values)?,
            Directory::Hold { hold, pins } => {
                for (key, place) in pins {
                    self.index.put_pin(&mut self.write, *hold, key, place);
                }
            }
            Directory::Release { hold, freed } => {
                self.unpin(*hold)?;
                for (segment, freed) in freed {
                    self.deltas.push(Delta { segment: *segment, put: 0, freed: *freed });
                }
            }
            Directory::End { .. } => {}
        }
        Ok(())
    }

    fn commit(&mut self, account: AccountId, ops: &[CommitOp], values: &Values<'_>) {
        let mut nth = 0;
        for op in ops {
            let key = key(account, op.table, op.row);
            let (segment, freed) = op.freed;
            if segment != 0 {
                self.deltas.push(Delta { segment, put: 0, freed });
            }
            match &op.value {
                Some(value) => {
                    self.put(&key, nth, value, values);
                    nth += 1;
                }
                None => self.write.delete_row(&key),
            }
        }
    }

    fn put(&mut self, key: &Key, nth: usize, value: &Value, values: &Values<'_>) {
        let place = values.place(value);
        let inline = (values.inline)(nth, value);
        self.write.put_row(key, &place, inline.as_deref());
        self.deltas.push(Delta { segment: values.segment, put: place.cost(), freed: 0 });
    }

    fn carry(&mut self, from: u64, ops: &[CarryOp], values: &Values<'_>) -> Result<(), IndexError> {
        let mut nth = 0;
        for op in ops {
            match op {
                CarryOp::Value { key, current, holds, value } => {
                    let place = values.place(value);
                    if *current {
                        self.put(key, nth, value, values);
                    } else {
                        let delta = Delta { segment: values.segment, put: place.cost(), freed: 0 };
                        self.deltas.push(delta);
                    }
                    nth += 1;
                    for hold in holds {
                        self.index.put_pin(&mut self.write, *hold, key, &place);
                    }
                    self.deltas.push(Delta { segment: from, put: 0, freed: place.cost() });
                }
                CarryOp::Gone { key } => self.write.delete_row(key),
                CarryOp::Head { account, head } => {
                    self.write.put_head(*account, head);
                }
                CarryOp::Pin { hold, key, place } => {
                    self.index.put_pin(&mut self.write, *hold, key, place);
                }
                CarryOp::Released { hold } => self.unpin(*hold)?,
            }
        }
        Ok(())
    }

    /// Voids a hold's pins; those that are still wanted follow, and are set anew.
    fn unpin(&mut self, hold: HoldId) -> Result<(), IndexError> {
        for key in self.index.held(hold) {
            self.write.delete_pin(hold, &key?);
        }
        Ok(())
    }
}

impl Directory {
    /// Whether the effects of this record read the index.
    pub(crate) fn reads_pins(&self) -> bool {
        match self {
            Self::Release { .. } => true,
            Self::Carry { ops, .. } => ops.iter().any(|op| matches!(op, CarryOp::Released { .. })),
            Self::Commit { .. } | Self::Hold { .. } | Self::End { .. } => false,
        }
    }
}

/// What a place costs when only its length is known.
pub(crate) fn cost(len: u32) -> u64 {
    ROW_COST + u64::from(len)
}
