//! What the handles, the writer and the keeper share.
//!
//! Invariant: no lock here is held across a read or write of the disk.

use crate::disk::{DataFile, Disk};
use crate::effects::{Books, Ledger};
use crate::index::Index;
use crate::recover::Recovered;
use crate::segment::{STOPGAP_BYTES, Segment, Spare, segment_size};
use crate::{Options, ReadError};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::watch;
use vocab::AccountId;

pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) options: Options,
    pub(crate) index: Index,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    books: Mutex<Books>,
    watchers: Mutex<HashMap<AccountId, watch::Sender<u64>>>,
    spare: Mutex<Option<Spare>>,
    spares_named: AtomicU64,
    stopped: AtomicBool,
    /// Last, so that the index is closed before the directory is free for another.
    _lock: File,
}

/// A panic elsewhere does not make plain data wrong.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(disk: Disk, options: Options, recovered: Recovered, lock: File) -> Self {
        Self {
            disk,
            options,
            index: recovered.index,
            segments: RwLock::new(recovered.segments),
            books: Mutex::new(recovered.books),
            watchers: Mutex::default(),
            spare: Mutex::default(),
            spares_named: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            _lock: lock,
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        hold(&self.books)
    }

    pub(crate) fn segment(&self, id: u64) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Every segment.
    pub(crate) fn segments(&self) -> BTreeMap<u64, Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a segment that has been begun.
    pub(crate) fn enlist(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        let ledger = Ledger { size: segment.size, ..Ledger::default() };
        self.books().ledgers.insert(segment.id, ledger);
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(segment.id, segment.clone());
        segment
    }

    /// Removes a segment that nothing refers to any more.
    pub(crate) fn delist(&self, id: u64) {
        self.books().ledgers.remove(&id);
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether more than the reserve is free. A file system that will not say counts as full.
    pub(crate) fn has_room(&self) -> bool {
        self.disk.free_bytes().is_ok_and(|free| free >= self.options.reserve_bytes)
    }

    /// Whether what leads to deleting may still be written: half of the reserve is left for the
    /// deleting itself, and for compaction.
    pub(crate) fn has_room_to_delete(&self) -> bool {
        self.disk.free_bytes().is_ok_and(|free| free >= self.options.reserve_bytes / 2)
    }

    pub(crate) fn has_spare(&self) -> bool {
        hold(&self.spare).is_some()
    }

    pub(crate) fn give_spare(&self, spare: Spare) {
        *hold(&self.spare) = Some(spare);
    }

    pub(crate) fn spare_path(&self) -> PathBuf {
        let number = self.spares_named.fetch_add(1, Ordering::Relaxed);
        self.disk.journal().join(format!("{number}.spare"))
    }

    /// A file with room for a record of `need` octets to begin a segment in: the one put by, or
    /// a small one, zeroed on the spot, to go on in until the keeper has made the next.
    pub(crate) fn take_spare(&self, need: u64) -> io::Result<Spare> {
        let put_by = hold(&self.spare).take_if(|spare| spare.size >= segment_size(0, need));
        if let Some(spare) = put_by {
            return Ok(spare);
        }
        let stopgap = self.options.segment_bytes.min(STOPGAP_BYTES);
        let (path, size) = (self.spare_path(), segment_size(stopgap, need));
        let file: DataFile = self.disk.create(&path, size)?;
        if size <= STOPGAP_BYTES {
            file.zero(0, size)?;
        }
        Ok(Spare { path, file, size })
    }

    pub(crate) fn watch(&self, account: AccountId) -> Result<watch::Receiver<u64>, ReadError> {
        let mut watchers = hold(&self.watchers);
        if let Some(sender) = watchers.get(&account) {
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = watch::channel(self.index.head(account)?.change);
        watchers.insert(account, sender);
        Ok(receiver)
    }

    /// Tells whoever watches the account; forgets it when nobody does any more.
    pub(crate) fn notify(&self, account: AccountId, change: u64) {
        let mut watchers = hold(&self.watchers);
        let Some(sender) = watchers.get(&account) else { return };
        if sender.receiver_count() == 0 {
            watchers.remove(&account);
        } else {
            sender.send_if_modified(|seen| {
                let is_newer = change > *seen;
                *seen = change.max(*seen);
                is_newer
            });
        }
    }
}
