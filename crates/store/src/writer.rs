//! The writer: one thread that takes what everybody wants written, writes it in groups
//! behind one another, syncs once a group, and only then tells anyone.
//!
//! Invariant: the index and the waiters learn of a record after its sync returned; after a
//! write whose end is unknown nothing more is written.
//! Refs: specs/store-journal.md §4, §5; docs/adr/0003-store.md.

use crate::batch::{Batch, Fragments, Op};
use crate::effects::{Books, Effects, Values};
use crate::format::{
    CarryOp, CommitOp, Directory, END_LEN, Head, Key, Place, RECORD_HEADER_LEN, RecordHeader,
    Value, key, len32, len64, record_len,
};
use crate::index::{IndexError, IndexView};
use crate::keeper::Wake;
use crate::preserve::{Held, HoldId};
use crate::segment::{Segment, first_offset};
use crate::{Change, CommitError, Shared};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use vocab::{AccountId, RecordKind, Row};

/// Commands that wait for the writer at most; more wait at their sender.
const QUEUE_MAX: usize = 1024;
/// Octets that wait for the writer at most, in KiB.
const QUEUE_KIB: u32 = 256 << 10;
/// A group takes no further batch past so many octets.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Pieces of a value shorter than this are copied together into one write.
const COPY_MAX: usize = 32 << 10;
/// Accounts whose counters the writer remembers.
const HEADS_MAX: usize = 65_536;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// What the writer can be asked.
pub(crate) enum Command {
    Commit {
        batch: Batch,
        reply: Reply<Change>,
    },
    Hold {
        hold: HoldId,
        keys: Vec<Key>,
        reply: Reply<Held>,
    },
    Release {
        hold: HoldId,
        reply: Reply<usize>,
    },
    /// Write these again, as far as they still count, so that segment `from` can go.
    Carry {
        from: u64,
        items: Vec<CarryItem>,
        reply: Reply<()>,
    },
    /// End the segment being written.
    End {
        reply: Reply<()>,
    },
    /// Say where everything stands between two groups.
    Stand {
        reply: Reply<Stand>,
    },
    Close,
}

impl Command {
    fn kib(&self) -> u32 {
        let bytes = match self {
            Self::Commit { batch, .. } => batch.ops.values().fold(0, |sum: usize, op| match op {
                Op::Put { value, .. } => sum.saturating_add(value.len()),
                Op::Delete => sum,
            }),
            Self::Hold { .. }
            | Self::Release { .. }
            | Self::Carry { .. }
            | Self::End { .. }
            | Self::Stand { .. }
            | Self::Close => 0,
        };
        u32::try_from(bytes / 1024 + 1).unwrap_or(QUEUE_KIB).min(QUEUE_KIB)
    }
}

/// The journal and the index at one point: what is before it is synced and stays as it is, for as
/// long as the segments are held here.
pub(crate) struct Stand {
    pub(crate) books: Books,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    pub(crate) index: IndexView,
}

/// Something of a segment that may have to be carried out of it.
pub(crate) enum CarryItem {
    Value { key: Key, place: Place, value: Bytes },
    Gone { key: Key },
    Head { account: AccountId, change: u64 },
    Pin { hold: HoldId, key: Key },
    Released { hold: HoldId },
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { sender, room: Arc::new(Semaphore::new(QUEUE_KIB as usize)) }, receiver)
    }

    /// A handle that does not keep the writer running.
    pub(crate) fn weak(&self) -> WeakQueue {
        WeakQueue { sender: self.sender.downgrade(), room: self.room.clone() }
    }

    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        let command = command(reply);
        let _room =
            self.room.acquire_many(command.kib()).await.map_err(|_| CommitError::Stopped)?;
        self.sender.send(command).await.map_err(|_| CommitError::Stopped)?;
        answer.await.unwrap_or(Err(CommitError::Stopped))
    }

    pub(crate) fn close(&self) {
        // An error means that the writer has ended already.
        let _ = crate::block::on(self.sender.send(Command::Close));
    }
}

/// See [`Queue::weak`].
pub(crate) struct WeakQueue {
    sender: mpsc::WeakSender<Command>,
    room: Arc<Semaphore>,
}

impl WeakQueue {
    pub(crate) fn upgrade(&self) -> Option<Queue> {
        Some(Queue { sender: self.sender.upgrade()?, room: self.room.clone() })
    }
}

/// Why a group could not be written.
#[derive(Debug)]
enum Trouble {
    /// Nothing of it is on disk.
    Full,
    /// Nobody knows what of it is.
    Stopped,
}

impl From<Trouble> for CommitError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::Stopped => Self::Stopped,
        }
    }
}

fn engine_failed(error: &IndexError) -> Trouble {
    tracing::error!(?error, "the store stops: its index failed");
    Trouble::Stopped
}

type Done = Box<dyn FnOnce(Result<(), CommitError>)>;

/// Records staged behind one another, to be synced together.
struct Group<'a> {
    pieces: Vec<Bytes>,
    small: Vec<u8>,
    len: u64,
    records: u64,
    effects: Effects<'a>,
    /// Rows as they will be: `None` for deleted.
    overlay: HashMap<Key, Option<Place>>,
    heads: HashMap<AccountId, Head>,
    done: Vec<Done>,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            pieces: Vec::new(),
            small: Vec::new(),
            len: 0,
            records: 0,
            effects: Effects::new(&shared.index),
            overlay: HashMap::new(),
            heads: HashMap::new(),
            done: Vec::new(),
        }
    }

    fn push(&mut self, piece: Bytes) {
        self.len += len64(piece.len());
        if piece.len() < COPY_MAX {
            self.small.extend_from_slice(&piece);
        } else {
            self.seal_small();
            self.pieces.push(piece);
        }
    }

    fn seal_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.small)));
        }
    }
}

/// The writer's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Arc<Segment>,
    /// Whether the active segment has its end record.
    ended: bool,
    /// Where the next record starts.
    offset: u64,
    /// The next record's sequence; all before it are on disk.
    seq: u64,
    heads: HashMap<AccountId, Head>,
    wake: Wake,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, active: Arc<Segment>, wake: Wake) -> Self {
        let (offset, seq) = {
            let books = shared.books();
            (books.offset, books.seq)
        };
        Self { shared, active, ended: false, offset, seq, heads: HashMap::new(), wake }
    }

    /// Carries out commands until it is told to close, or nobody is left who could ask.
    pub(crate) fn run(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut kept = None;
        while let Some(command) = kept.take().or_else(|| commands.blocking_recv()) {
            match command {
                Command::Commit { batch, reply } => {
                    kept = self.commit_group(batch, reply, commands);
                }
                Command::Hold { hold, keys, reply } => answer(reply, self.hold(hold, &keys)),
                Command::Release { hold, reply } => answer(reply, self.release(hold)),
                Command::Carry { from, items, reply } => answer(reply, self.carry(from, items)),
                Command::End { reply } => answer(reply, self.end_segment()),
                Command::Stand { reply } => answer(reply, self.stand()),
                Command::Close => break,
            }
            self.wake.after(self.active.id, self.offset);
        }
    }

    fn stand(&self) -> Result<Stand, CommitError> {
        if self.shared.has_stopped() {
            return Err(CommitError::Stopped);
        }
        let (books, segments) = (self.shared.books().clone(), self.shared.segments());
        Ok(Stand { books, segments, index: self.shared.index.view() })
    }

    /// Takes batches off the queue as long as there are some, and writes them as one group.
    /// Returns the command that ended the group, if one did.
    fn commit_group(
        &mut self,
        batch: Batch,
        reply: Reply<Change>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Option<Command> {
        let shared = self.shared.clone();
        let room = shared.has_room();
        let mut group = Group::new(&shared);
        let mut next = Some((batch, reply));
        let mut other = None;
        while let Some((batch, reply)) = next.take() {
            if let Err((error, reply)) = self.add(&mut group, &shared, room, batch, reply) {
                answer(reply, Err(error));
            }
            if group.len >= GROUP_BYTES_MAX {
                break;
            }
            match commands.try_recv() {
                Ok(Command::Commit { batch, reply }) => next = Some((batch, reply)),
                Ok(command) => other = Some(command),
                Err(_) => {}
            }
        }
        // Every waiter is answered inside.
        let _ = self.flush(group);
        other
    }

    fn add<'a>(
        &mut self,
        group: &mut Group<'a>,
        shared: &'a Shared,
        room: bool,
        batch: Batch,
        reply: Reply<Change>,
    ) -> Result<(), (CommitError, Reply<Change>)> {
        // Without room, what only deletes still gets through, and what leads to it: it is how room
        // is made.
        let puts = || batch.ops.values().any(|op| matches!(op, Op::Put { .. }));
        if !room && puts() && !(batch.makes_room() && shared.has_room_to_delete()) {
            return Err((CommitError::Full, reply));
        }
        let account = batch.account;
        let planned = match self.plan(group, batch) {
            Ok(planned) => planned,
            Err(error) => return Err((error, reply)),
        };
        let seq = planned.head.change;
        let (directory, values) = planned.into_directory(account);
        if let Err(error) = self.stage(group, shared, &directory, values) {
            return Err((error.into(), reply));
        }
        if let Directory::Commit { head, .. } = directory {
            group.heads.insert(account, head);
        }
        group.done.push(Box::new(move |result| {
            answer(reply, result.map(|()| Change { account, seq }));
        }));
        Ok(())
    }

    /// What a batch comes to, given everything before it.
    fn plan(&mut self, group: &Group<'_>, batch: Batch) -> Result<Planned, CommitError> {
        if self.shared.has_stopped() {
            return Err(CommitError::Stopped);
        }
        let account = batch.account;
        self.try_plan(group, batch, account).map_err(|failed| match failed {
            Refused::No(error) => error,
            Refused::Index(error) => {
                let trouble = engine_failed(&error);
                self.shared.stop();
                trouble.into()
            }
        })
    }

    fn try_plan(
        &mut self,
        group: &Group<'_>,
        batch: Batch,
        account: AccountId,
    ) -> Result<Planned, Refused> {
        let mut head = self.head(group, account)?;
        if batch.change.is_some_and(|change| change != head.change) {
            return Err(Refused::No(CommitError::Conflict));
        }
        for (kind, row) in &batch.absent {
            if self.place(group, &key(account, kind.table(), row.0))?.is_some() {
                return Err(Refused::No(CommitError::Exists));
            }
        }
        head.change += 1;
        let mut planned = Planned { head, ops: Vec::new(), values: Vec::new(), start: 0 };
        for ((kind, row), op) in batch.ops {
            self.plan_op(group, account, kind, row, op, &mut planned)?;
        }
        Ok(planned)
    }

    fn plan_op(
        &self,
        group: &Group<'_>,
        account: AccountId,
        kind: RecordKind,
        row: Row,
        op: Op,
        planned: &mut Planned,
    ) -> Result<(), Refused> {
        let key = key(account, kind.table(), row.0);
        let before = self.place(group, &key)?;
        let freed = match before {
            None => (0, 0),
            Some(place) if self.is_pinned(&key, &place)? => (0, 0),
            Some(place) => (place.segment, place.cost()),
        };
        let head = &mut planned.head;
        if let Some(place) = before {
            head.records = head.records.saturating_sub(1);
            head.bytes = head.bytes.saturating_sub(u64::from(place.len));
        }
        let value = match op {
            Op::Put { value, len, crc } => {
                head.records += 1;
                head.bytes += u64::from(len);
                planned.values.push(value);
                let start = planned.start;
                planned.start += u64::from(len);
                Some(Value { start, len, crc })
            }
            Op::Delete if before.is_none() => return Ok(()),
            Op::Delete => None,
        };
        planned.ops.push(CommitOp { table: kind.table(), row: row.0, freed, value });
        Ok(())
    }

    fn head(&mut self, group: &Group<'_>, account: AccountId) -> Result<Head, IndexError> {
        if let Some(head) = group.heads.get(&account).or_else(|| self.heads.get(&account)) {
            return Ok(*head);
        }
        let head = self.shared.index.head(account)?;
        if self.heads.len() >= HEADS_MAX {
            self.heads.clear();
        }
        self.heads.insert(account, head);
        Ok(head)
    }

    fn place(&self, group: &Group<'_>, key: &Key) -> Result<Option<Place>, IndexError> {
        match group.overlay.get(key) {
            Some(place) => Ok(*place),
            None => Ok(self.shared.index.row(key)?.map(|entry| entry.place)),
        }
    }

    fn is_pinned(&self, key: &Key, place: &Place) -> Result<bool, IndexError> {
        Ok(self.shared.index.pins(key)?.iter().any(|(_, pinned)| pinned == place))
    }

    /// Puts a record behind those already in the group, beginning a new segment if it must.
    fn stage<'a>(
        &mut self,
        group: &mut Group<'a>,
        shared: &'a Shared,
        directory: &Directory,
        values: Vec<Fragments>,
    ) -> Result<(), Trouble> {
        let encoded = directory.encode();
        let values_len = directory.values_len();
        let len = record_len(len64(encoded.len()), values_len);
        if self.ended || self.offset + group.len + len + END_LEN > self.active.size {
            self.flush(std::mem::replace(group, Group::new(shared)))?;
            self.roll(len)?;
        }
        let at = self.offset + group.len;
        let header = RecordHeader {
            kind: directory.kind(),
            seq: self.seq + group.records,
            durable: self.seq - 1,
            directory_len: len32(encoded.len()),
            directory_crc: crc32c::crc32c(&encoded),
            values_len: u32::try_from(values_len).map_err(|_| Trouble::Full)?,
        };
        let values_at = at + len64(RECORD_HEADER_LEN) + len64(encoded.len());
        self.note(group, directory, &values, values_at)?;
        group.push(header.encode(self.active.id, at).to_vec().into());
        group.push(encoded.into());
        values.into_iter().flat_map(|value| value.0).for_each(|piece| group.push(piece));
        let padding = at + len - (self.offset + group.len);
        group.push(vec![0; usize::try_from(padding).unwrap_or(0)].into());
        group.records += 1;
        Ok(())
    }

    /// Notes what a staged record will do.
    fn note(
        &self,
        group: &mut Group<'_>,
        directory: &Directory,
        values: &[Fragments],
        at: u64,
    ) -> Result<(), Trouble> {
        let segment = self.active.id;
        let inline_max = self.shared.options.inline_bytes;
        let inline = |nth: usize, _: &Value| {
            let value = values.get(nth).filter(|value| value.len() <= inline_max)?;
            Some(value.join())
        };
        let places = Values { segment, at, inline: &inline };
        group.effects.add(directory, &places).map_err(|error| {
            self.shared.stop();
            engine_failed(&error)
        })?;
        if let Directory::Commit { account, ops, .. } = directory {
            for op in ops {
                let place = op.value.map(|Value { start, len, crc }| Place {
                    segment,
                    offset: at + start,
                    len,
                    crc,
                });
                group.overlay.insert(key(*account, op.table, op.row), place);
            }
        }
        Ok(())
    }

    /// Writes a group, syncs it, brings it into the index, and answers everybody in it.
    fn flush(&mut self, mut group: Group<'_>) -> Result<(), Trouble> {
        if group.records == 0 {
            return Ok(());
        }
        group.seal_small();
        let result = self.write(&group.pieces, group.len).and_then(|()| self.learn(&mut group));
        if matches!(result, Err(Trouble::Stopped)) {
            self.shared.stop();
        }
        let answer = match &result {
            Ok(()) => Ok(()),
            Err(Trouble::Full) => Err(CommitError::Full),
            Err(Trouble::Stopped) => Err(CommitError::Stopped),
        };
        group.done.into_iter().for_each(|done| done(answer));
        result
    }

    fn write(&self, pieces: &[Bytes], len: u64) -> Result<(), Trouble> {
        if self.shared.has_stopped() {
            return Err(Trouble::Stopped);
        }
        let mut at = self.offset;
        for piece in pieces {
            if let Err(error) = self.active.file.write_all_at(piece, at) {
                return Err(self.take_back(&error, len));
            }
            at += len64(piece.len());
        }
        // A failed sync may have dropped pages that look clean ever after: no second try.
        self.active.file.sync_data().map_err(|error| {
            tracing::error!(%error, segment = self.active.id, "the store stops: a sync failed");
            Trouble::Stopped
        })
    }

    /// After a failed write, zeros over what did arrive, so that no later replay meets it.
    fn take_back(&self, error: &io::Error, len: u64) -> Trouble {
        tracing::warn!(%error, segment = self.active.id, "a journal write failed");
        let is_full = error.kind() == io::ErrorKind::StorageFull;
        match self.active.file.zero(self.offset, self.offset + len) {
            Ok(()) if is_full => Trouble::Full,
            Ok(()) | Err(_) => Trouble::Stopped,
        }
    }

    /// After the sync: the index, the books, the watchers.
    fn learn(&mut self, group: &mut Group<'_>) -> Result<(), Trouble> {
        let write = std::mem::take(&mut group.effects.write);
        self.shared.index.apply(write).map_err(|error| engine_failed(&error))?;
        self.offset += group.len;
        self.seq += group.records;
        let deltas = std::mem::take(&mut group.effects.deltas);
        self.shared.books().enter(&deltas, self.active.id, self.offset, self.seq);
        for (account, head) in group.heads.drain() {
            self.heads.insert(account, head);
            self.shared.notify(account, head.change);
        }
        Ok(())
    }

    /// Ends the active segment and begins one with room for a record of `need` octets.
    fn roll(&mut self, need: u64) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        let id = self.active.id + 1;
        let first_seq = self.seq + u64::from(!self.ended);
        let begun =
            shared.take_spare(need).and_then(|spare| spare.prepare(id, first_seq).map(|()| spare));
        let spare = begun.map_err(|error| {
            tracing::warn!(%error, "no room for another journal segment");
            Trouble::Full
        })?;
        if !self.ended {
            self.write_end(id)?;
        }
        let segment = spare.activate(&shared.disk, id, first_seq).map_err(|error| {
            tracing::error!(%error, "the store stops: a segment could not be begun");
            shared.stop();
            Trouble::Stopped
        })?;
        self.active = shared.enlist(segment);
        self.ended = false;
        self.offset = first_offset();
        shared.books().enter(&[], id, self.offset, self.seq);
        Ok(())
    }

    fn write_end(&mut self, next: u64) -> Result<(), Trouble> {
        let encoded = Directory::End { next }.encode();
        let header = RecordHeader {
            kind: Directory::End { next }.kind(),
            seq: self.seq,
            durable: self.seq - 1,
            directory_len: len32(encoded.len()),
            directory_crc: crc32c::crc32c(&encoded),
            values_len: 0,
        };
        let mut record = header.encode(self.active.id, self.offset).to_vec();
        record.extend_from_slice(&encoded);
        let len = len64(record.len());
        let result = self.write(&[record.into()], len);
        if matches!(result, Err(Trouble::Stopped)) {
            self.shared.stop();
        }
        result?;
        // The books stay before the end record until the next segment is begun, so that a
        // checkpoint in between is replayed through it.
        self.offset += len;
        self.seq += 1;
        self.ended = true;
        Ok(())
    }

    fn end_segment(&mut self) -> Result<(), CommitError> {
        if self.shared.has_stopped() {
            return Err(CommitError::Stopped);
        }
        if self.offset > first_offset() {
            self.roll(0)?;
        }
        Ok(())
    }

    /// Writes one record that is not a commit, in a group of its own.
    fn write_alone(
        &mut self,
        directory: &Directory,
        values: Vec<Fragments>,
    ) -> Result<(), Trouble> {
        if self.shared.has_stopped() {
            return Err(Trouble::Stopped);
        }
        let shared = self.shared.clone();
        let mut group = Group::new(&shared);
        self.stage(&mut group, &shared, directory, values)?;
        self.flush(group)
    }

    fn stop_if<T>(&self, result: Result<T, IndexError>) -> Result<T, CommitError> {
        result.map_err(|error| {
            let trouble = engine_failed(&error);
            self.shared.stop();
            trouble.into()
        })
    }

    fn hold(&mut self, hold: HoldId, keys: &[Key]) -> Result<Held, CommitError> {
        if !self.shared.has_room() {
            return Err(CommitError::Full);
        }
        let (mut pins, mut found) = (BTreeMap::new(), HashSet::new());
        for key in keys {
            if self.stop_if(self.shared.index.pin(hold, key))?.is_some() {
                found.insert(*key);
            } else if let Some(entry) = self.stop_if(self.shared.index.row(key))? {
                found.insert(*key);
                pins.insert(*key, entry.place);
            }
        }
        if !pins.is_empty() {
            let pins = pins.into_iter().collect();
            self.write_alone(&Directory::Hold { hold, pins }, Vec::new())?;
        }
        let missing = keys.iter().filter(|key| !found.contains(*key)).count();
        Ok(Held { held: found.len(), missing })
    }

    fn release(&mut self, hold: HoldId) -> Result<usize, CommitError> {
        let (mut freed, mut count) = (BTreeMap::<u64, u64>::new(), 0);
        for key in self.shared.index.held(hold) {
            let key = self.stop_if(key)?;
            count += 1;
            let Some(place) = self.stop_if(self.shared.index.pin(hold, &key))? else { continue };
            let pins = self.stop_if(self.shared.index.pins(&key))?;
            let others = pins.iter().any(|(other, pinned)| *other != hold && *pinned == place);
            let row = self.stop_if(self.shared.index.row(&key))?;
            if !others && row.is_none_or(|entry| entry.place != place) {
                *freed.entry(place.segment).or_default() += place.cost();
            }
        }
        if count > 0 {
            let freed = freed.into_iter().collect();
            self.write_alone(&Directory::Release { hold, freed }, Vec::new())?;
        }
        Ok(count)
    }

    fn carry(&mut self, from: u64, items: Vec<CarryItem>) -> Result<(), CommitError> {
        // Values last. Places are read as they stand before this record, so the line of a pin whose
        // value goes in the same record names the place left behind; and a release voids every pin
        // said before it. The value's line, being the later, sets both right.
        let (moved, mut items): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| matches!(item, CarryItem::Value { .. }));
        items.extend(moved);
        let (mut ops, mut values, mut start) = (Vec::new(), Vec::new(), 0);
        for item in items {
            let carried = self.carry_item(item, &mut start, &mut ops);
            values.extend(self.stop_if(carried)?.map(Fragments::from));
        }
        if !ops.is_empty() {
            self.write_alone(&Directory::Carry { from, ops }, values)?;
        }
        Ok(())
    }

    /// Adds an item if it still counts, now that nothing can come between; returns its value.
    fn carry_item(
        &self,
        item: CarryItem,
        start: &mut u64,
        ops: &mut Vec<CarryOp>,
    ) -> Result<Option<Bytes>, IndexError> {
        let index = &self.shared.index;
        match item {
            CarryItem::Value { key, place, value } => {
                let current = index.row(&key)?.is_some_and(|entry| entry.place == place);
                let holds: Vec<_> = index
                    .pins(&key)?
                    .into_iter()
                    .filter_map(|(hold, pinned)| (pinned == place).then_some(hold))
                    .collect();
                if current || !holds.is_empty() {
                    let at = Value { start: *start, len: place.len, crc: place.crc };
                    *start += u64::from(place.len);
                    ops.push(CarryOp::Value { key, current, holds, value: at });
                    return Ok(Some(value));
                }
            }
            CarryItem::Gone { key } => {
                if index.row(&key)?.is_none() {
                    ops.push(CarryOp::Gone { key });
                }
            }
            CarryItem::Head { account, change } => {
                let head = index.head(account)?;
                if head.change == change {
                    ops.push(CarryOp::Head { account, head });
                }
            }
            CarryItem::Pin { hold, key } => {
                if let Some(place) = index.pin(hold, &key)? {
                    ops.push(CarryOp::Pin { hold, key, place });
                }
            }
            CarryItem::Released { hold } => {
                ops.push(CarryOp::Released { hold });
                for key in index.held(hold) {
                    let key = key?;
                    if let Some(place) = index.pin(hold, &key)? {
                        ops.push(CarryOp::Pin { hold, key, place });
                    }
                }
            }
        }
        Ok(None)
    }
}

enum Refused {
    No(CommitError),
    Index(IndexError),
}

impl From<IndexError> for Refused {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// A batch, worked out.
struct Planned {
    head: Head,
    ops: Vec<CommitOp>,
    values: Vec<Fragments>,
    start: u64,
}

impl Planned {
    fn into_directory(self, account: AccountId) -> (Directory, Vec<Fragments>) {
        (Directory::Commit { account, head: self.head, ops: self.ops }, self.values)
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, CommitError>) {
    // Whoever asked may have stopped waiting.
    let _ = reply.send(result);
}
