//! Opening: from what a crash left to a store that stands where the last sync did.
//!
//! Invariant: every record whose sync returned is found or its loss is reported; what
//! was never synced goes whole or stays whole.
//! Refs: specs/store-journal.md §7.

use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, ReadAt as _};
use crate::effects::{Books, Delta, Effects, Ledger, Values, cost};
use crate::format::{Directory, KEY_LEN, Place, RECORD_HEADER_LEN, RecordHeader, Value, len64};
use crate::index::{Index, IndexError};
use crate::segment::{STOPGAP_BYTES, Segment, Spare, Walk, first_offset, segment_size};
use crate::{OpenError, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Effects that are brought into the index at a time.
const APPLY_MAX: usize = 4096;
const STEP: usize = 1 << 20;

/// A store, ready to be written to.
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    pub(crate) active: Arc<Segment>,
    pub(crate) books: Books,
    /// The number of the last checkpoint.
    pub(crate) checkpoint: u64,
}

pub(crate) fn recover(disk: &Disk, options: &Options) -> Result<Recovered, OpenError> {
    disk.sync_names()?;
    let mut ids = tidy(disk)?;
    let checkpoint = Checkpoint::read(disk)?;
    if let Some(checkpoint) = &checkpoint {
        drop_retired(disk, &mut ids, &checkpoint.books)?;
    }
    let mut segments = BTreeMap::new();
    for id in ids {
        let segment = Segment::open(disk, id)?;
        let segment = segment.ok_or(OpenError::Damaged { segment: id, offset: 0 })?;
        segments.insert(id, Arc::new(segment));
    }
    let (index, rebuilds) = open_index(disk, options, checkpoint.as_ref())?;
    // A number is good once: by it an index from before the checkpoint is told.
    let number = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number).max(index.token()?);
    let mut recovery = Recovery { disk, options, index, books: Books::default(), segments };
    let start = match checkpoint {
        Some(checkpoint) if !rebuilds => Some(checkpoint.books),
        Some(_) | None => None,
    };
    let active = recovery.replay(start)?;
    let Recovery { index, books, segments, .. } = recovery;
    let mut recovered = Recovered { index, segments, active, books, checkpoint: number };
    if rebuilds {
        recovered.checkpoint += 1;
        recovered.index.persist(recovered.checkpoint)?;
        let books = recovered.books.clone();
        Checkpoint { number: recovered.checkpoint, books }.write(disk)?;
    }
    Ok(recovered)
}

/// Removes what was on its way to another use, overwritten first; returns the segments' ids.
fn tidy(disk: &Disk) -> io::Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for path in disk.list(&disk.journal())? {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => {
                if let Ok(id) = u64::from_str_radix(stem, 16) {
                    ids.insert(id);
                }
            }
            Some("free") => erase(disk, &path)?,
            Some("spare") => disk.remove(&path)?,
            Some(_) | None => {}
        }
    }
    Ok(ids)
}

fn erase(disk: &Disk, path: &Path) -> io::Result<()> {
    let file = disk.open(path)?;
    file.zero(0, file.len()?)?;
    disk.remove(path)
}

/// Finishes the compactions that a crash cut short between checkpoint and renaming, and sees
/// that every segment the checkpoint counts on is there.
fn drop_retired(disk: &Disk, ids: &mut BTreeSet<u64>, books: &Books) -> Result<(), OpenError> {
    let retired: Vec<_> =
        ids.range(..books.segment).filter(|id| !books.ledgers.contains_key(id)).copied().collect();
    for id in retired {
        let free = crate::segment::path(disk, id).with_extension("free");
        disk.rename(&crate::segment::path(disk, id), &free)?;
        erase(disk, &free)?;
        ids.remove(&id);
    }
    match books.ledgers.keys().find(|id| !ids.contains(id)) {
        Some(missing) => Err(OpenError::MissingSegment { segment: *missing }),
        None => Ok(()),
    }
}

/// Opens the index, or an empty one if there is none that belongs to the checkpoint.
fn open_index(
    disk: &Disk,
    options: &Options,
    checkpoint: Option<&Checkpoint>,
) -> Result<(Index, bool), OpenError> {
    let dir = disk.root.join("index");
    if let Some(checkpoint) = checkpoint.filter(|_| !options.rebuild_index && dir.exists()) {
        let opened = Index::open(&dir, options.cache_bytes);
        match opened.and_then(|index| Ok((index.token()?, index))) {
            // The index may be ahead: it was synced, and the crash came before the checkpoint.
            Ok((token, index)) if token >= checkpoint.number => return Ok((index, false)),
            Ok(_) => tracing::warn!("the index is older than the checkpoint and is made anew"),
            Err(error) => tracing::warn!(?error, "the index cannot be used and is made anew"),
        }
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    Ok((Index::open(&dir, options.cache_bytes)?, true))
}

struct Recovery<'a> {
    disk: &'a Disk,
    options: &'a Options,
    index: Index,
    books: Books,
    segments: BTreeMap<u64, Arc<Segment>>,
}

impl Recovery<'_> {
    /// Replays from a checkpoint's books, or everything; returns the segment to go on in.
    fn replay(&mut self, start: Option<Books>) -> Result<Arc<Segment>, OpenError> {
        let rebuilds = start.is_none();
        self.books = start.unwrap_or_default();
        for (id, segment) in &self.segments {
            let ledger = Ledger { size: segment.size, ..Ledger::default() };
            self.books.ledgers.entry(*id).or_insert(ledger);
        }
        let todo: Vec<_> =
            self.segments.range(self.books.segment..).map(|(_, segment)| segment.clone()).collect();
        let mut before: Option<u64> = None;
        let mut open_end = None;
        for (nth, segment) in todo.iter().enumerate() {
            let joins = before.is_some_and(|id| segment.id == id + 1);
            if joins && segment.first_seq != self.books.seq
                || !joins && before.is_some() && !rebuilds
            {
                return Err(OpenError::Damaged { segment: segment.id, offset: 0 });
            }
            let is_last = nth + 1 == todo.len();
            let from = if segment.id == self.books.segment { self.books.offset } else { 0 };
            let ended = self.replay_segment(segment, from, is_last)?;
            open_end = (!ended).then(|| segment.clone());
            before = Some(segment.id);
        }
        if rebuilds {
            self.count_live()?;
        }
        match open_end {
            Some(segment) => Ok(segment),
            None => self.begin_segment(before.unwrap_or(0) + 1),
        }
    }

    /// Replays one segment from `from` (0: its first record); returns whether it is ended.
    fn replay_segment(
        &mut self,
        segment: &Arc<Segment>,
        from: u64,
        is_last: bool,
    ) -> Result<bool, OpenError> {
        if from > segment.size {
            return Err(OpenError::Damaged { segment: segment.id, offset: from });
        }
        let mut walk = self.walk(segment, from);
        // In the index nothing may stand that the journal could still lose.
        let is_ended = if is_last { self.make_last(segment, from)? } else { true };
        let (books, inline_max) = (&mut self.books, self.options.inline_bytes);
        let ended = replay(&mut walk, &self.index, inline_max, |deltas, offset, seq| {
            books.enter(deltas, segment.id, offset, seq);
        })?;
        if ended == is_ended {
            Ok(ended)
        } else {
            Err(OpenError::Damaged { segment: segment.id, offset: walk.offset })
        }
    }

    fn walk<'a>(&self, segment: &'a Segment, from: u64) -> Walk<'a> {
        match from {
            0 => Walk::new(segment),
            offset => Walk::from(segment, offset, self.books.seq),
        }
    }

    /// Sees to it that the last segment's records from `from` on are on disk, and nothing behind
    /// them; returns whether it is ended.
    fn make_last(&self, segment: &Segment, from: u64) -> Result<bool, OpenError> {
        let mut walk = self.walk(segment, from);
        let start = walk.offset;
        let mut ended = false;
        while !ended && let Some(record) = walk.next()? {
            ended = matches!(record.directory, Directory::End { .. });
        }
        if !ended {
            mend(segment, walk.offset, walk.seq)?;
        }
        write_again(segment, start, walk.offset)?;
        Ok(ended)
    }

    /// After everything was replayed: what of each segment's values is still needed.
    fn count_live(&mut self) -> Result<(), IndexError> {
        self.books.ledgers.values_mut().for_each(|ledger| ledger.live = 0);
        let ledgers = &mut self.books.ledgers;
        let mut count = |place: &Place| {
            if let Some(ledger) = ledgers.get_mut(&place.segment) {
                ledger.live += cost(place.len);
            }
        };
        for row in self.index.rows([0; KEY_LEN], [0xff; KEY_LEN]) {
            count(&row?.1.place);
        }
        let mut row_pins = ([0; KEY_LEN], BTreeSet::new());
        for pin in self.index.all_pins() {
            let (key, place) = pin?;
            if row_pins.0 != key {
                row_pins = (key, BTreeSet::new());
            }
            let is_current = self.index.row(&key)?.is_some_and(|entry| entry.place == place);
            if !is_current && row_pins.1.insert((place.segment, place.offset)) {
                count(&place);
            }
        }
        Ok(())
    }

    fn begin_segment(&mut self, id: u64) -> Result<Arc<Segment>, OpenError> {
        let size = segment_size(self.options.segment_bytes.min(STOPGAP_BYTES), 0);
        let first_seq = self.books.seq.max(1);
        let path = self.disk.journal().join("first.spare");
        let file = self.disk.create(&path, size)?;
        file.zero(0, size)?;
        let spare = Spare { path, file, size };
        spare.prepare(id, first_seq)?;
        let segment = Arc::new(spare.activate(self.disk, id, first_seq)?);
        self.segments.insert(id, segment.clone());
        self.books.ledgers.insert(id, Ledger { size, ..Ledger::default() });
        self.books.enter(&[], id, first_offset(), first_seq);
        Ok(segment)
    }
}

/// Why a walk could not be brought into an index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("the journal could not be read")]
    Io(#[from] io::Error),
    #[error("the index failed")]
    Index(#[from] IndexError),
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Io(error) => error.into(),
            ReplayError::Index(error) => error.into(),
        }
    }
}

/// Brings a segment's records from where `walk` stands into an index, values of up to `inline_max`
/// octets with them, and tells `enter` of every stretch: its deltas, and the offset and sequence
/// behind it. Returns whether the segment's end record was met.
pub(crate) fn replay(
    walk: &mut Walk<'_>,
    index: &Index,
    inline_max: usize,
    mut enter: impl FnMut(&[Delta], u64, u64),
) -> Result<bool, ReplayError> {
    let segment = walk.segment();
    let (mut effects, mut ended) = (Effects::new(index), false);
    while !ended && let Some(record) = walk.next()? {
        if record.directory.reads_pins() || effects.write.len() >= APPLY_MAX {
            let full = std::mem::replace(&mut effects, Effects::new(index));
            index.apply(full.write)?;
            enter(&full.deltas, walk.offset, walk.seq);
        }
        let inline = |_: usize, value: &Value| {
            let (offset, len, crc) = (record.values_at + value.start, value.len, value.crc);
            let small = usize::try_from(len).is_ok_and(|len| len <= inline_max);
            let place = Place { segment: segment.id, offset, len, crc };
            // Without it the row is read from the journal: slower, not wrong.
            small.then(|| segment.read(&place).ok()).flatten()
        };
        let values = Values { segment: segment.id, at: record.values_at, inline: &inline };
        effects.add(&record.directory, &values)?;
        ended = matches!(record.directory, Directory::End { .. });
    }
    index.apply(effects.write)?;
    enter(&effects.deltas, walk.offset, walk.seq);
    Ok(ended)
}

/// Makes the journal's open end safe to write on: proves that nothing synced lies past `end`, and
/// clears what else does.
fn mend(segment: &Segment, end: u64, seq: u64) -> Result<(), OpenError> {
    let mut buf = vec![0; STEP + RECORD_HEADER_LEN];
    let zeros = vec![0; STEP];
    let mut at = end;
    while at < segment.size {
        let step = usize::try_from(segment.size - at).map_or(STEP, |left| left.min(STEP));
        let seen = usize::try_from(segment.size - at).map_or(buf.len(), |left| left.min(buf.len()));
        let part = buf.get_mut(..seen).unwrap_or_default();
        segment.file.read_exact_at(part, at)?;
        let here = part.get(..step).unwrap_or_default();
        if here != zeros.get(..step).unwrap_or_default() {
            if let Some(offset) = synced_record(segment.id, at, part, seq) {
                tracing::error!(segment = segment.id, end, offset, "a synced record is damaged");
                return Err(OpenError::Damaged { segment: segment.id, offset: end });
            }
            tracing::info!(segment = segment.id, at, "clearing an unfinished write");
            segment.file.zero(at, at + len64(step))?;
        }
        at += len64(step);
    }
    Ok(())
}

/// Writes these octets as they are, and syncs: the process before may have died of a failed sync,
/// and they be in memory only.
fn write_again(segment: &Segment, mut at: u64, end: u64) -> Result<(), OpenError> {
    let mut buf = vec![0; STEP];
    while at < end {
        let step = usize::try_from(end - at).map_or(STEP, |left| left.min(STEP));
        let part = buf.get_mut(..step).unwrap_or_default();
        segment.file.read_exact_at(part, at)?;
        segment.file.write_all_at(part, at)?;
        at += len64(step);
    }
    Ok(segment.file.sync_data()?)
}

/// Looks for a record that was written when record `seq` was already on disk: proof that what
/// stands in `seq`'s place was damaged later, and was not merely never finished.
pub(crate) fn synced_record(segment: u64, at: u64, part: &[u8], seq: u64) -> Option<u64> {
    let misaligned = usize::try_from(at.next_multiple_of(8) - at).unwrap_or(0);
    let headers = part.get(misaligned..)?.windows(RECORD_HEADER_LEN).step_by(8);
    headers.zip((at.next_multiple_of(8)..).step_by(8)).find_map(|(bytes, offset)| {
        let header = RecordHeader::decode(segment, offset, bytes)?;
        (header.durable >= seq).then_some(offset)
    })
}
