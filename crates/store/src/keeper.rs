//! The keeper: one thread behind the writer that makes segments ready ahead, takes
//! checkpoints, and gives dead octets back.
//!
//! Invariant: a segment is given up only after everything alive in it was written again,
//! synced, and a checkpoint without it is on disk; then it is overwritten with zeros.
//! Refs: specs/store-journal.md §6, §8.

use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::format::{CarryOp, Directory, Place, Value, key};
use crate::index::IndexError;
use crate::preserve::HoldId;
use crate::segment::{Record, Segment, Spare, Walk, segment_size};
use crate::writer::{CarryItem, Command, WeakQueue};
use crate::{CommitError, MaintainError, ReadError, Reclaimed, Shared};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// How often the keeper looks around unasked.
const LOOK: Duration = Duration::from_secs(1);
/// A checkpoint follows a change after at most this long.
const CHECKPOINT_AGE: Duration = Duration::from_secs(5);
/// The writer wakes the keeper after so many octets.
const NUDGE_BYTES: u64 = 1 << 20;
/// What is carried in one record: so many octets or items, whichever comes first.
const CARRY_BYTES: usize = 4 << 20;
const CARRY_ITEMS: usize = 4096;
/// How long a whole compaction waits for readers to let go of a segment.
const READERS_WAIT: Duration = Duration::from_secs(10);

/// What the keeper can be asked.
pub(crate) enum Ask {
    Look,
    Compact(SyncSender<Result<Reclaimed, MaintainError>>),
    Close(SyncSender<Result<(), MaintainError>>),
}

/// The writer's way to the keeper.
pub(crate) struct Wake {
    sender: SyncSender<Ask>,
    nudge_bytes: u64,
    last: (u64, u64),
}

impl Wake {
    pub(crate) fn new(sender: SyncSender<Ask>, checkpoint_bytes: u64) -> Self {
        Self { sender, nudge_bytes: NUDGE_BYTES.min(checkpoint_bytes), last: (0, 0) }
    }

    /// Tells where the journal ends now.
    pub(crate) fn after(&mut self, segment: u64, offset: u64) {
        let (last_segment, last_offset) = self.last;
        if segment != last_segment || offset >= last_offset + self.nudge_bytes {
            self.last = (segment, offset);
            // If it is full, the keeper is about to look anyway.
            let _ = self.sender.try_send(Ask::Look);
        }
    }
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    queue: WeakQueue,
    /// The last checkpoint: its number, where it stood, and when it was taken.
    number: u64,
    at: (u64, u64),
    taken: Instant,
    /// Segments given up that somebody may still be reading.
    retired: Vec<Arc<Segment>>,
    /// Segments that could not be compacted; not tried again before the next start.
    stuck: BTreeSet<u64>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, queue: WeakQueue, number: u64) -> Self {
        Self {
            shared,
            queue,
            number,
            at: (0, 0),
            taken: Instant::now(),
            retired: Vec::new(),
            stuck: BTreeSet::new(),
        }
    }

    pub(crate) fn run(mut self, asks: &Receiver<Ask>) {
        loop {
            match asks.recv_timeout(LOOK) {
                Ok(Ask::Look) | Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(Ask::Compact(reply)) => {
                    let _ = reply.send(self.compact_all());
                }
                Ok(Ask::Close(reply)) => {
                    let _ = reply.send(self.checkpoint());
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.checkpoint() {
                        tracing::warn!(%error, "the last checkpoint failed");
                    }
                    break;
                }
            }
        }
    }

    pub(crate) fn look(&mut self) {
        if self.shared.has_stopped() {
            return;
        }
        self.erase_retired();
        self.make_spare();
        if self.is_checkpoint_due()
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "a checkpoint failed");
        }
        if let Some(id) = self.worst_segment()
            && let Err(error) = self.compact(id)
        {
            tracing::warn!(%error, segment = id, "a segment could not be compacted");
            self.stuck.insert(id);
        }
    }

    /// As if the last checkpoint had been taken so long ago.
    #[cfg(test)]
    pub(crate) fn age(&mut self, by: Duration) {
        self.taken = Instant::now().checked_sub(by).unwrap_or(self.taken);
    }

    fn is_checkpoint_due(&self) -> bool {
        let (segment, offset) = {
            let books = self.shared.books();
            (books.segment, books.offset)
        };
        let (last_segment, last_offset) = self.at;
        if segment != last_segment {
            return true;
        }
        let written = offset.saturating_sub(last_offset);
        written >= self.shared.options.checkpoint_bytes
            || written > 0 && self.taken.elapsed() >= CHECKPOINT_AGE
    }

    /// Brings the index to the disk, then says so.
    pub(crate) fn checkpoint(&mut self) -> Result<(), MaintainError> {
        let books = self.shared.books().clone();
        let (at, number) = ((books.segment, books.offset), self.number + 1);
        if at == self.at {
            return Ok(());
        }
        self.write_checkpoint(number, books)?;
        self.at = at;
        Ok(())
    }

    fn write_checkpoint(
        &mut self,
        number: u64,
        books: crate::effects::Books,
    ) -> Result<(), MaintainError> {
        // Also if it fails: the index may carry the number by then.
        self.number = number;
        self.shared.index.persist(number)?;
        Checkpoint { number, books }.write(&self.shared.disk)?;
        self.taken = Instant::now();
        Ok(())
    }

    /// Makes the next segment ready once a quarter of this one is used.
    fn make_spare(&self) {
        let shared = &self.shared;
        let is_due = {
            let books = shared.books();
            let size = books.ledgers.get(&books.segment).map_or(0, |ledger| ledger.size);
            books.offset > size / 4
        };
        if !is_due || shared.has_spare() || !shared.has_room() {
            return;
        }
        let size = segment_size(shared.options.segment_bytes, 0);
        let path = shared.spare_path();
        let made = shared.disk.create(&path, size).and_then(|file| {
            file.zero(0, size)?;
            Ok(Spare { path, file, size })
        });
        match made {
            Ok(spare) => shared.give_spare(spare),
            Err(error) => tracing::warn!(%error, "no segment could be made ready"),
        }
    }

    /// The ended segment that is more than half dead, if any; of several, the one most so.
    fn worst_segment(&self) -> Option<u64> {
        let books = self.shared.books();
        books
            .ledgers
            .range(..books.segment)
            .filter(|(id, ledger)| ledger.dead() * 2 > ledger.used && !self.stuck.contains(id))
            .max_by_key(|(_, ledger)| ledger.dead())
            .map(|(id, _)| *id)
    }

    /// Every segment that holds anything dead.
    pub(crate) fn compact_all(&mut self) -> Result<Reclaimed, MaintainError> {
        self.stuck.clear();
        let queue = self.queue.upgrade().ok_or(CommitError::Stopped)?;
        crate::block::on(queue.ask(|reply| Command::End { reply }))?;
        drop(queue);
        let mut reclaimed = Reclaimed::default();
        let todo: Vec<_> = {
            let books = self.shared.books();
            let dead = books.ledgers.range(..books.segment).filter(|(_, ledger)| ledger.dead() > 0);
            dead.map(|(id, ledger)| (*id, ledger.dead())).collect()
        };
        for (id, dead) in todo {
            self.compact(id)?;
            reclaimed.segments += 1;
            reclaimed.dead_bytes += dead;
        }
        self.shared.index.shrink()?;
        let begun = Instant::now();
        self.erase_retired();
        while !self.retired.is_empty() {
            if begun.elapsed() > READERS_WAIT {
                return Err(MaintainError::Busy);
            }
            thread::sleep(Duration::from_millis(2));
            self.erase_retired();
        }
        Ok(reclaimed)
    }

    /// Carries what is alive out of a segment, and gives the segment up.
    fn compact(&mut self, id: u64) -> Result<(), MaintainError> {
        let segment = self.shared.segment(id).ok_or(CommitError::Stopped)?;
        // While there is an older segment, it may hold values that a tombstone here buries.
        let buries = self.shared.books().ledgers.range(..id).next().is_some();
        let mut load =
            Load { shared: &self.shared, segment: &segment, buries, items: Vec::new(), bytes: 0 };
        let mut walk = Walk::new(&segment);
        loop {
            let Some(record) = walk.next()? else {
                return Err(ReadError::Damaged { segment: id, offset: walk.offset }.into());
            };
            if matches!(record.directory, Directory::End { .. }) {
                break;
            }
            load.add_record(&record, &self.queue)?;
        }
        load.send(&self.queue)?;
        let mut books = self.shared.books().clone();
        books.ledgers.remove(&id);
        let at = (books.segment, books.offset);
        self.write_checkpoint(self.number + 1, books)?;
        self.at = at;
        self.shared.delist(id);
        let path = crate::segment::path(&self.shared.disk, id);
        self.shared.disk.rename(&path, &path.with_extension("free"))?;
        self.retired.push(segment);
        self.erase_retired();
        Ok(())
    }

    /// Overwrites given-up segments that nobody reads any more, and puts one by for later.
    fn erase_retired(&mut self) {
        let (free, busy) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition::<Vec<_>, _>(|segment| Arc::strong_count(segment) == 1);
        self.retired = busy;
        for segment in free {
            let Some(segment) = Arc::into_inner(segment) else { continue };
            if let Err(error) = recycle(&self.shared, segment) {
                tracing::warn!(%error, "a segment could not be overwritten; the next start does it");
            }
        }
    }
}

fn recycle(shared: &Shared, segment: Segment) -> std::io::Result<()> {
    let disk: &Disk = &shared.disk;
    let free = crate::segment::path(disk, segment.id).with_extension("free");
    segment.file.zero(0, segment.size)?;
    if segment.size != segment_size(shared.options.segment_bytes, 0) || shared.has_spare() {
        return disk.remove(&free);
    }
    let path = shared.spare_path();
    disk.rename(&free, &path)?;
    shared.give_spare(Spare { path, file: segment.file, size: segment.size });
    Ok(())
}

/// What is being carried out of a segment.
struct Load<'a> {
    shared: &'a Shared,
    segment: &'a Segment,
    buries: bool,
    items: Vec<CarryItem>,
    bytes: usize,
}

impl Load<'_> {
    fn add_record(&mut self, record: &Record, queue: &WeakQueue) -> Result<(), MaintainError> {
        match &record.directory {
            Directory::Commit { account, head, ops } => {
                self.add_head(*account, head.change)?;
                for op in ops {
                    let key = key(*account, op.table, op.row);
                    match &op.value {
                        Some(value) => self.add_value(key, value, record, queue)?,
                        None => self.add_gone(key)?,
                    }
                }
            }
            Directory::Carry { ops, .. } => {
                for op in ops {
                    self.add_carried(op, record, queue)?;
                }
            }
            Directory::Hold { hold, pins } => {
                for (key, _) in pins {
                    self.add_pin(*hold, *key)?;
                }
            }
            Directory::Release { hold, .. } => self.add_released(*hold),
            Directory::End { .. } => {}
        }
        self.send_if_full(queue)
    }

    fn add_carried(
        &mut self,
        op: &CarryOp,
        record: &Record,
        queue: &WeakQueue,
    ) -> Result<(), MaintainError> {
        match op {
            CarryOp::Value { key, value, .. } => self.add_value(*key, value, record, queue)?,
            CarryOp::Gone { key } => self.add_gone(*key)?,
            CarryOp::Head { account, head } => self.add_head(*account, head.change)?,
            CarryOp::Pin { hold, key, .. } => self.add_pin(*hold, *key)?,
            CarryOp::Released { hold } => self.add_released(*hold),
        }
        Ok(())
    }

    fn add_value(
        &mut self,
        key: crate::format::Key,
        value: &Value,
        record: &Record,
        queue: &WeakQueue,
    ) -> Result<(), MaintainError> {
        let place = Place {
            segment: self.segment.id,
            offset: record.values_at + value.start,
            len: value.len,
            crc: value.crc,
        };
        let index = &self.shared.index;
        let is_current = index.row(&key)?.is_some_and(|entry| entry.place == place);
        if is_current || index.pins(&key)?.iter().any(|(_, pinned)| *pinned == place) {
            let value = Bytes::from(self.segment.read(&place)?);
            self.bytes += value.len();
            self.items.push(CarryItem::Value { key, place, value });
        }
        self.send_if_full(queue)
    }

    fn add_gone(&mut self, key: crate::format::Key) -> Result<(), IndexError> {
        if self.buries && self.shared.index.row(&key)?.is_none() {
            self.items.push(CarryItem::Gone { key });
        }
        Ok(())
    }

    fn add_head(&mut self, account: vocab::AccountId, change: u64) -> Result<(), IndexError> {
        if self.shared.index.head(account)?.change == change {
            self.items.push(CarryItem::Head { account, change });
        }
        Ok(())
    }

    fn add_pin(&mut self, hold: HoldId, key: crate::format::Key) -> Result<(), IndexError> {
        if self.shared.index.pin(hold, &key)?.is_some() {
            self.items.push(CarryItem::Pin { hold, key });
        }
        Ok(())
    }

    fn add_released(&mut self, hold: HoldId) {
        if self.buries {
            self.items.push(CarryItem::Released { hold });
        }
    }

    fn send_if_full(&mut self, queue: &WeakQueue) -> Result<(), MaintainError> {
        if self.bytes >= CARRY_BYTES || self.items.len() >= CARRY_ITEMS {
            self.send(queue)?;
        }
        Ok(())
    }

    fn send(&mut self, queue: &WeakQueue) -> Result<(), MaintainError> {
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        if items.is_empty() {
            return Ok(());
        }
        let queue = queue.upgrade().ok_or(CommitError::Stopped)?;
        let from = self.segment.id;
        Ok(crate::block::on(queue.ask(|reply| Command::Carry { from, items, reply }))?)
    }
}
