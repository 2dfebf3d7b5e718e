//! The index: where each row's value lies in the journal, kept in an LSM tree.
//!
//! Invariant: it holds nothing the journal does not; it may be lost, fall behind or run
//! ahead of the last checkpoint, and replaying the journal makes it right again.
//! Refs: specs/store-journal.md §6; docs/adr/0003-store.md.

use crate::format::{Fields, Head, KEY_LEN, Key, Place};
use crate::preserve::HoldId;
use bytes::Bytes;
use fjall::config::BlockSizePolicy;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
    UserValue,
};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use vocab::AccountId;

const PLACE_LEN: usize = 24;
/// Octets of a block of rows: some ten rows of messages, which a mailbox reads from end to end.
const BLOCK_BYTES: u32 = 16 << 10;
const HEAD: u8 = b'a';
const PIN: u8 = b'p';
const HELD: u8 = b'h';
const TOKEN: &[u8] = b"t";
/// The token among the rows: behind every key, so that no scan meets it.
const ROWS_TOKEN: [u8; KEY_LEN + 1] = [0xff; KEY_LEN + 1];

/// The engine failed, or returned an entry nobody wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("the index engine failed")]
    Engine(#[from] fjall::Error),
    #[error("an index entry is malformed")]
    Entry,
    #[error("the index's folders could not be synced")]
    Io(#[from] io::Error),
}

/// A row's entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// The value itself, when it is small.
    pub(crate) inline: Option<Bytes>,
}

impl Entry {
    /// Where the value lies in an entry's octets, if it is there, and its place.
    pub(crate) fn parts(octets: &[u8]) -> Result<(Place, Option<usize>), IndexError> {
        let mut fields = Fields(octets);
        let place = Place::decode(&mut fields).ok_or(IndexError::Entry)?;
        match (fields.0.len(), place.len) {
            (0, 1..) => Ok((place, None)),
            (len, want) if u32::try_from(len) == Ok(want) => Ok((place, Some(octets.len() - len))),
            _ => Err(IndexError::Entry),
        }
    }

    /// The value is not copied: it lies in the engine's block, which lives as long.
    fn decode(octets: UserValue) -> Result<Self, IndexError> {
        let (place, at) = Self::parts(&octets)?;
        Ok(Self { place, inline: at.map(|at| Bytes::from_owner(octets).slice(at..)) })
    }
}

pub(crate) struct Index {
    /// key → place ‖ small value.
    rows: Keyspace,
    /// Accounts' counters, pins, holds, the checkpoint token.
    side: Keyspace,
    database: Database,
    /// Whether anything may be held; false spares every commit a look.
    any_pins: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tree {
    Rows,
    Side,
}

/// Changes to the index, applied together. The last change to a key counts: the engine gives a
/// batch one sequence number and would not know which of two came later.
#[derive(Default)]
pub(crate) struct IndexWrite(HashMap<(Tree, Vec<u8>), Option<Vec<u8>>>);

impl IndexWrite {
    fn set(&mut self, tree: Tree, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>) {
        self.0.insert((tree, key.into()), value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn side_key(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

impl Index {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let database = Database::builder(dir)
            .cache_size(cache_bytes)
            .manual_journal_persist(true)
            .worker_threads(2)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(32 << 20)
        };
        let in_blocks = || options().data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES));
        let rows = database.keyspace("rows", in_blocks)?;
        let side = database.keyspace("side", options)?;
        // The engine syncs what it puts into a tree's folder, and not the folder's own name.
        for folder in [dir.join("keyspaces"), dir.to_owned()] {
            File::open(folder)?.sync_all()?;
        }
        let any_pins = AtomicBool::new(side.prefix([PIN]).next().is_some());
        Ok(Self { rows, side, database, any_pins })
    }

    /// What it holds now, and will while this lives.
    pub(crate) fn view(&self) -> IndexView {
        let (snapshot, rows, side) =
            (self.database.snapshot(), self.rows.clone(), self.side.clone());
        IndexView { snapshot, rows, side }
    }

    /// The number of the last checkpoint this index was part of; 0 when new. Each tree carries it:
    /// where one was lost, the engine makes an empty one in its place and says nothing.
    pub(crate) fn token(&self) -> Result<u64, IndexError> {
        let read = |bytes: Option<UserValue>| match bytes {
            None => Ok(0),
            Some(bytes) => Fields(&bytes).u64().ok_or(IndexError::Entry),
        };
        Ok(read(self.side.get(TOKEN)?)?.min(read(self.rows.get(ROWS_TOKEN)?)?))
    }

    /// Brings everything applied so far to the disk, as part of checkpoint `token`.
    pub(crate) fn persist(&self, token: u64) -> Result<(), IndexError> {
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), 2);
        batch.insert(&self.side, TOKEN, token.to_be_bytes());
        batch.insert(&self.rows, ROWS_TOKEN, token.to_be_bytes());
        batch.commit()?;
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    /// Rewrites the trees without what was overwritten or deleted, as far as the engine can.
    pub(crate) fn shrink(&self) -> Result<(), IndexError> {
        for tree in [&self.rows, &self.side] {
            tree.rotate_memtable_and_wait()?;
            tree.major_compact()?;
        }
        Ok(())
    }

    pub(crate) fn row(&self, key: &Key) -> Result<Option<Entry>, IndexError> {
        self.rows.get(key)?.map(Entry::decode).transpose()
    }

    pub(crate) fn head(&self, account: AccountId) -> Result<Head, IndexError> {
        match self.side.get(side_key(HEAD, &[&account.0]))? {
            None => Ok(Head::default()),
            Some(bytes) => Head::decode(&mut Fields(&bytes)).ok_or(IndexError::Entry),
        }
    }

    /// Every account that was ever written to, with its counters.
    pub(crate) fn heads(
        &self,
    ) -> impl Iterator<Item = Result<(AccountId, Head), IndexError>> + use<> {
        self.database.snapshot().prefix(&self.side, [HEAD]).map(|guard| {
            let (key, value) = guard.into_inner()?;
            let mut fields = Fields(key.get(1..).unwrap_or_default());
            let account = fields.array().ok_or(IndexError::Entry)?;
            let head = Head::decode(&mut Fields(&value)).ok_or(IndexError::Entry)?;
            Ok((AccountId(account), head))
        })
    }

    /// The rows from `from` to `to`, both included, as they stand now.
    pub(crate) fn rows(&self, from: Key, to: Key) -> RowIter {
        RowIter(self.database.snapshot().range(&self.rows, from..=to))
    }

    /// The last key from `from` to `to`.
    pub(crate) fn last(&self, from: Key, to: Key) -> Result<Option<Key>, IndexError> {
        let Some(guard) = self.rows.range(from..=to).next_back() else { return Ok(None) };
        let key = guard.key()?;
        Ok(Some(key.as_ref().try_into().map_err(|_| IndexError::Entry)?))
    }

    /// The holds that keep some version of a row, with the place of the version each keeps.
    pub(crate) fn pins(&self, key: &Key) -> Result<Vec<(HoldId, Place)>, IndexError> {
        if !self.any_pins.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let pins = self.side.prefix(side_key(PIN, &[key]));
        pins.map(|guard| {
            let (key, value) = guard.into_inner()?;
            let hold = key.last_chunk::<16>().ok_or(IndexError::Entry)?;
            let place = Place::decode(&mut Fields(&value)).ok_or(IndexError::Entry)?;
            Ok((HoldId(*hold), place))
        })
        .collect()
    }

    /// What one hold keeps of one row.
    pub(crate) fn pin(&self, hold: HoldId, key: &Key) -> Result<Option<Place>, IndexError> {
        match self.side.get(side_key(PIN, &[key, &hold.0]))? {
            None => Ok(None),
            Some(bytes) => Ok(Some(Place::decode(&mut Fields(&bytes)).ok_or(IndexError::Entry)?)),
        }
    }

    /// The rows a hold keeps, in the order of their keys.
    pub(crate) fn held(
        &self,
        hold: HoldId,
    ) -> impl Iterator<Item = Result<Key, IndexError>> + use<> {
        self.database
            .snapshot()
            .prefix(&self.side, side_key(HELD, &[&hold.0]))
            .map(|guard| Ok(*guard.key()?.last_chunk::<KEY_LEN>().ok_or(IndexError::Entry)?))
    }

    /// Every pin, in the order of the rows' keys.
    pub(crate) fn all_pins(
        &self,
    ) -> impl Iterator<Item = Result<(Key, Place), IndexError>> + use<> {
        self.database.snapshot().prefix(&self.side, [PIN]).map(|guard| {
            let (key, value) = guard.into_inner()?;
            let key = key.get(1..).and_then(|key| key.first_chunk::<KEY_LEN>());
            let place = Place::decode(&mut Fields(&value)).ok_or(IndexError::Entry)?;
            Ok((*key.ok_or(IndexError::Entry)?, place))
        })
    }

    pub(crate) fn apply(&self, write: IndexWrite) -> Result<(), IndexError> {
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), write.len());
        for ((tree, key), value) in write.0 {
            let tree = match tree {
                Tree::Rows => &self.rows,
                Tree::Side => &self.side,
            };
            match value {
                Some(value) => batch.insert(tree, key, value),
                None => batch.remove(tree, key),
            }
        }
        Ok(batch.commit()?)
    }

    /// Pins may exist from now on.
    fn expect_pins(&self) {
        self.any_pins.store(true, Ordering::Release);
    }

    pub(crate) fn put_pin(&self, write: &mut IndexWrite, hold: HoldId, key: &Key, place: &Place) {
        self.expect_pins();
        let mut value = Vec::new();
        place.encode(&mut value);
        write.set(Tree::Side, side_key(PIN, &[key, &hold.0]), Some(value));
        write.set(Tree::Side, side_key(HELD, &[&hold.0, key]), Some(Vec::new()));
    }
}

impl IndexWrite {
    pub(crate) fn put_row(&mut self, key: &Key, place: &Place, inline: Option<&[u8]>) {
        let mut value = Vec::with_capacity(PLACE_LEN + inline.map_or(0, <[u8]>::len));
        place.encode(&mut value);
        value.extend_from_slice(inline.unwrap_or_default());
        self.set(Tree::Rows, *key, Some(value));
    }

    pub(crate) fn delete_row(&mut self, key: &Key) {
        self.set(Tree::Rows, *key, None);
    }

    pub(crate) fn put_head(&mut self, account: AccountId, head: &Head) {
        let mut value = Vec::new();
        head.encode(&mut value);
        self.set(Tree::Side, side_key(HEAD, &[&account.0]), Some(value));
    }

    pub(crate) fn delete_pin(&mut self, hold: HoldId, key: &Key) {
        self.set(Tree::Side, side_key(PIN, &[key, &hold.0]), None);
        self.set(Tree::Side, side_key(HELD, &[&hold.0, key]), None);
    }
}

/// An index as it stood; see [`Index::view`].
pub(crate) struct IndexView {
    snapshot: Snapshot,
    rows: Keyspace,
    side: Keyspace,
}

/// An entry beside the rows. Their order is that of the engine's keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Head(AccountId),
    Held(HoldId, Key),
    Pin(Key, HoldId),
}

impl IndexView {
    /// Every row.
    pub(crate) fn rows(&self) -> RowIter {
        RowIter(self.snapshot.range(&self.rows, [0; KEY_LEN]..=[0xff; KEY_LEN]))
    }

    /// Every entry beside the rows but the checkpoint's token, with its octets, in the order of
    /// the keys.
    pub(crate) fn side(&self) -> impl Iterator<Item = Result<(Side, Vec<u8>), IndexError>> + use<> {
        let all = self.snapshot.range::<&[u8], _>(&self.side, ..);
        all.map(|guard| {
            let (key, value) = guard.into_inner()?;
            if key == TOKEN {
                return Ok(None);
            }
            let mut fields = Fields(&key);
            let side = (|| {
                Some(match fields.u8()? {
                    HEAD => Side::Head(AccountId(fields.array()?)),
                    PIN => Side::Pin(fields.array()?, HoldId(fields.array()?)),
                    HELD => Side::Held(HoldId(fields.array()?), fields.array()?),
                    _ => return None,
                })
            })();
            Ok(Some((side.ok_or(IndexError::Entry)?, value.to_vec())))
        })
        .filter_map(Result::transpose)
    }
}

/// Rows in the order of their keys.
pub(crate) struct RowIter(fjall::Iter);

impl Iterator for RowIter {
    type Item = Result<(Key, Entry), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.0.next()?;
        Some(guard.into_inner().map_err(IndexError::from).and_then(|(key, value)| {
            let key = key.as_ref().try_into().map_err(|_| IndexError::Entry)?;
            Ok((key, Entry::decode(value)?))
        }))
    }
}
