//! The store: sealed rows in an append-only journal, behind three narrow handles.
//!
//! The journal is the database. Every change is a record in it, one sync acknowledges a
//! whole group of them, and the index that finds rows again is derived from it.
//!
//! Invariant: nothing is acknowledged before it is on disk; rows are opaque here, and no
//! key that could open one is within reach. [`Append`] cannot read, [`Read`] cannot write,
//! [`Preserve`] keeps what it does not open.
//! Refs: specs/store-journal.md; docs/adr/0003-store.md.

mod append;
pub mod backup;
mod batch;
mod block;
pub mod check;
mod checkpoint;
mod disk;
mod effects;
pub mod examine;
mod format;
mod index;
mod keeper;
mod preserve;
mod read;
mod recover;
mod segment;
mod shared;
#[cfg(test)]
mod simulated;
mod writer;

#[cfg(test)]
mod tests;

pub use append::{Append, Change, CommitError};
pub use batch::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, Fragments, ROOM_BYTES_MAX, VALUE_BYTES_MAX,
};
pub use preserve::{HOLD_ROWS_MAX, Held, HeldRow, HoldId, Preserve};
pub use read::{Part, Read, ReadError, Scan, Usage};

pub(crate) use shared::Shared;

use crate::disk::Disk;
use crate::format::VERSION;
use crate::index::IndexError;
use crate::keeper::{Ask, Keeper, Wake};
use crate::writer::{Command, Queue, Stand, Writer};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc;

/// The file that names the format of a store's directory.
const FORMAT: &str = "FORMAT";

/// How a store is run. The defaults suit a cell.
#[derive(Debug, Clone)]
pub struct Options {
    /// The size of a journal segment in octets, from 16 KiB to 1 GiB. Default: 64 MiB.
    pub segment_bytes: u64,
    /// Values up to this many octets are kept in the index too, so that a scan of small rows
    /// reads them in one go. At most 64 KiB. Default: 2048.
    pub inline_bytes: usize,
    /// Commits that put anything are refused while less than this is free on the disk, in
    /// octets. It is what deleting, what leads to it ([`Batch::to_make_room`]) and compaction then
    /// work in: with less than a few segments' worth, a disk that is full to the last octet cannot
    /// be emptied. Default: 256 MiB.
    pub reserve_bytes: u64,
    /// The index is synced after this many octets of journal, or a few seconds. Default: 32 MiB.
    pub checkpoint_bytes: u64,
    /// Memory for the index's cache in octets. Default: 64 MiB.
    pub cache_bytes: u64,
    /// Throw the index away at opening, and make it anew from the journal.
    pub rebuild_index: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            inline_bytes: 2048,
            reserve_bytes: 256 << 20,
            checkpoint_bytes: 32 << 20,
            cache_bytes: 64 << 20,
            rebuild_index: false,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option is outside its bounds.
    #[error("the option `{0}` is out of bounds")]
    Options(&'static str),
    /// Another process has the store open, or this one still has.
    #[error("the store is open elsewhere")]
    Locked,
    /// The directory holds something else.
    #[error("the directory is not empty and holds no store")]
    NotAStore,
    /// A newer build wrote the store.
    #[error("the store has format {found}, and this build reads up to {known}; use a newer build")]
    NewerFormat {
        /// The format on disk.
        found: u32,
        /// The newest format this build knows.
        known: u32,
    },
    /// A record that had been synced cannot be read back. Restore the segment from a backup.
    #[error("segment {segment} is damaged at octet {offset}")]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// Where the damage starts.
        offset: u64,
    },
    /// A segment is gone.
    #[error("segment {segment} is missing")]
    MissingSegment {
        /// The segment's number.
        segment: u64,
    },
    /// The disk answered with an error.
    #[error("the store's files could not be read or written")]
    Io(#[from] io::Error),
    /// The index could not be made.
    #[error("the index failed: {0}")]
    Index(String),
}

impl From<IndexError> for OpenError {
    fn from(error: IndexError) -> Self {
        Self::Index(format!("{error:?}"))
    }
}

/// Why upkeep failed. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The store has stopped, is closing, or is full.
    #[error("the writer refused")]
    Commit(#[from] CommitError),
    /// A segment could not be read.
    #[error("the journal could not be read")]
    Read(#[from] ReadError),
    /// The disk answered with an error.
    #[error("the store's files could not be read or written")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("the index failed: {0}")]
    Index(String),
    /// Somebody kept reading a segment that was to be overwritten; it will be, later.
    #[error("a segment is still being read")]
    Busy,
}

impl From<IndexError> for MaintainError {
    fn from(error: IndexError) -> Self {
        Self::Index(format!("{error:?}"))
    }
}

/// What a compaction gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reclaimed {
    /// Segments emptied and overwritten.
    pub segments: u64,
    /// Octets of dead values in them, by the store's reckoning.
    pub dead_bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Journal segments.
    pub segments: u64,
    /// Octets of records in them.
    pub journal_bytes: u64,
    /// Octets in them that a row or a hold needs, by the store's reckoning.
    pub live_bytes: u64,
    /// Records ever written.
    pub records_written: u64,
    /// What is free on the disk, in octets.
    pub free_bytes: u64,
    /// Whether the store has stopped taking commits.
    pub has_stopped: bool,
}

/// An open store. Clones are the same store; when the last is dropped the store closes as by
/// [`Store::close`], and handles that are left take no more commits. The directory stays locked
/// until every handle and iterator is gone too.
#[derive(Clone)]
pub struct Store {
    // First, so that its threads have ended before the rest is let go.
    running: Arc<Running>,
    shared: Arc<Shared>,
}

/// A store that stands where its journal ends, before anything runs.
struct Parts {
    shared: Arc<Shared>,
    queue: Queue,
    commands: mpsc::Receiver<Command>,
    writer: Writer,
    keeper: Keeper,
    asks: SyncSender<Ask>,
    asked: Receiver<Ask>,
}

impl Parts {
    fn open(disk: Disk, options: Options) -> Result<Self, OpenError> {
        check(&options)?;
        let lock = claim(&disk)?;
        let recovered = recover::recover(&disk, &options)?;
        let (number, active) = (recovered.checkpoint, recovered.active.clone());
        let checkpoint_bytes = options.checkpoint_bytes;
        let shared = Arc::new(Shared::new(disk, options, recovered, lock));
        let (queue, commands) = Queue::new();
        let (asks, asked) = sync_channel(16);
        let keeper = Keeper::new(shared.clone(), queue.weak(), number);
        let writer = Writer::new(shared.clone(), active, Wake::new(asks.clone(), checkpoint_bytes));
        Ok(Self { shared, queue, commands, writer, keeper, asks, asked })
    }
}

/// The store's threads and the ways to them.
struct Running {
    queue: Queue,
    asks: SyncSender<Ask>,
    threads: Mutex<Option<(JoinHandle<()>, JoinHandle<()>)>>,
}

impl Running {
    fn shut(&self) -> Result<(), MaintainError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((writer, keeper)) = threads else { return Ok(()) };
        self.queue.close();
        if writer.join().is_err() {
            tracing::error!("the store's writer had panicked");
        }
        let (reply, answer) = sync_channel(1);
        self.asks.send(Ask::Close(reply)).map_err(|_| CommitError::Stopped)?;
        let result = answer.recv().map_err(|_| CommitError::Stopped)?;
        if keeper.join().is_err() {
            tracing::error!("the store's keeper had panicked");
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            tracing::warn!(%error, "the store's last checkpoint failed");
        }
    }
}

impl Store {
    /// Opens the store in `dir`, making it if the directory is empty or not there. After a crash
    /// this replays what the index had not taken in yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Disk::new(dir), options)
    }

    fn open_on(disk: Disk, options: Options) -> Result<Self, OpenError> {
        let parts = Parts::open(disk, options)?;
        let Parts { shared, queue, mut commands, mut writer, keeper, asks, asked } = parts;
        let writer = spawn("store-writer", move || writer.run(&mut commands))?;
        let keeper = spawn("store-keeper", move || keeper.run(&asked))?;
        let threads = Mutex::new(Some((writer, keeper)));
        Ok(Self { running: Arc::new(Running { queue, asks, threads }), shared })
    }

    /// The handle that writes.
    #[must_use]
    pub fn append(&self) -> Append {
        Append { queue: self.running.queue.clone() }
    }

    /// The handle that reads.
    #[must_use]
    pub fn read(&self) -> Read {
        Read { shared: self.shared.clone() }
    }

    /// The handle that preserves.
    #[must_use]
    pub fn preserve(&self) -> Preserve {
        Preserve { shared: self.shared.clone(), queue: self.running.queue.clone() }
    }

    /// What the store holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let books = self.shared.books();
        let sum = |part: fn(&effects::Ledger) -> u64| books.ledgers.values().map(part).sum();
        Stats {
            segments: format::len64(books.ledgers.len()),
            journal_bytes: sum(|ledger| ledger.used),
            live_bytes: sum(|ledger| ledger.live),
            records_written: books.seq.saturating_sub(1),
            free_bytes: self.shared.disk.free_bytes().unwrap_or(0),
            has_stopped: self.shared.has_stopped(),
        }
    }

    /// Where journal and index stand between two groups.
    fn stand_blocking(&self) -> Result<Stand, CommitError> {
        block::on(self.running.queue.ask(|reply| Command::Stand { reply }))
    }

    /// Empties every segment that holds anything deleted or overwritten, and overwrites it with
    /// zeros; what is held stays. Then has the index drop the same, as far as its engine can;
    /// small values may linger in the engine's own log until it turns over, or until the store
    /// is opened with [`Options::rebuild_index`]. Blocks; commits and reads go on meanwhile.
    ///
    /// # Errors
    /// See [`MaintainError`].
    pub fn compact_blocking(&self) -> Result<Reclaimed, MaintainError> {
        let (reply, answer) = sync_channel(1);
        self.running.asks.send(Ask::Compact(reply)).map_err(|_| CommitError::Stopped)?;
        answer.recv().map_err(|_| CommitError::Stopped)?
    }

    /// Finishes what was asked before, takes a checkpoint and ends the store's threads. Commits
    /// after it answer [`CommitError::Stopped`].
    ///
    /// # Errors
    /// See [`MaintainError`]; whatever it is, nothing acknowledged is lost.
    pub fn close(self) -> Result<(), MaintainError> {
        self.running.shut()
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(body)
}

fn check(options: &Options) -> Result<(), OpenError> {
    if !(16 << 10..=1 << 30).contains(&options.segment_bytes) {
        return Err(OpenError::Options("segment_bytes"));
    }
    if options.inline_bytes > 64 << 10 {
        return Err(OpenError::Options("inline_bytes"));
    }
    Ok(())
}

/// Takes the directory's lock, and sees that this build can read what is there.
fn claim(disk: &Disk) -> Result<File, OpenError> {
    let base = disk.root.ancestors().skip(1).find(|above| above.is_dir());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&disk.root)?;
    if disk.read(FORMAT)?.is_none() && holds_anything_else(&disk.root)? {
        return Err(OpenError::NotAStore);
    }
    let lock = lock(&disk.root)?;
    match disk.read(FORMAT)? {
        None => {
            disk.make_dir(&disk.journal())?;
            // Its own name must last too, as far up as it was made; here, since whoever made it may
            // have died before.
            let made = disk.root.ancestors().skip(1);
            let made = made.take_while(|above| base.is_none_or(|base| above.starts_with(base)));
            made.filter(|above| above.is_dir()).try_for_each(|above| disk.sync_dir(above))?;
            disk.replace(FORMAT, format!("bailiwick store\nversion {VERSION}\n").as_bytes())?;
        }
        Some(format) => check_version(&format)?,
    }
    Ok(lock)
}

/// Takes the lock of a directory, which the file that is returned holds.
fn lock(root: &Path) -> Result<File, OpenError> {
    let lock = File::options().create(true).truncate(false).write(true).open(root.join("LOCK"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Locked,
        TryLockError::Error(error) => OpenError::Io(error),
    })?;
    Ok(lock)
}

fn check_version(format: &[u8]) -> Result<(), OpenError> {
    match read_version(format).ok_or(OpenError::NotAStore)? {
        VERSION => Ok(()),
        found => Err(OpenError::NewerFormat { found, known: VERSION }),
    }
}

/// Whether a directory without a FORMAT file holds more than a beginning of ours.
fn holds_anything_else(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let is_ours = name == "LOCK" || name == "FORMAT.new";
        let is_empty_journal =
            name == "journal" && fs::read_dir(root.join("journal"))?.next().is_none();
        if !is_ours && !is_empty_journal {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn read_version(format: &[u8]) -> Option<u32> {
    let text = str::from_utf8(format).ok()?;
    let version = text.strip_prefix("bailiwick store\nversion ")?.split('\n').next()?;
    version.parse().ok().filter(|version| *version > 0)
}
