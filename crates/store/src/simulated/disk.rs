//! A disk that is memory: it keeps apart what was written and what was synced, and loses, tears,
//! reorders and repeats what was not; writes, syncs and reads fail when told to.
//!
//! Invariant: what a sync that returned covers is there after every power cut; names that were
//! synced likewise; of the rest, anything may be.
//! Refs: specs/store-journal.md §5, §7.

use super::Chance;
use crate::disk::{Device, DeviceFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What can be made to fail, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Create,
    Write,
    Sync,
    Read,
}

/// A file's octets as a reader sees them, those that last, and the writes between.
#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    lasting: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Drop(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

fn change(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Set(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Move(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Drop(path) => {
            names.remove(path);
        }
    }
}

#[derive(Default)]
struct State {
    chance: Chance,
    inodes: Vec<Inode>,
    seen: Names,
    lasting: Names,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    /// Failures to come, each after so many acts of its kind.
    armed: Vec<(Act, u64, ErrorKind)>,
    /// After so many changes the power goes.
    fuse: Option<u64>,
    is_off: bool,
    free: Option<u64>,
    /// Where the index lies, and the copy of it that is known to be on disk.
    index: PathBuf,
    index_synced: Option<PathBuf>,
}

/// See the module. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    fn check(&mut self, act: Act) -> io::Result<()> {
        if self.is_off {
            return Err(off());
        }
        let Some(at) = self.armed.iter().position(|armed| armed.0 == act) else { return Ok(()) };
        if self.armed[at].1 == 0 {
            return Err(self.armed.remove(at).2.into());
        }
        self.armed[at].1 -= 1;
        Ok(())
    }

    /// Counts a change; true if the power goes in its midst.
    fn burn(&mut self) -> bool {
        self.fuse = self.fuse.map(|left| left.saturating_sub(1));
        self.is_off = self.fuse == Some(0);
        self.is_off
    }

    fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) {
        let inode = &mut self.inodes[inode];
        let end = offset + bytes.len();
        if inode.seen.len() < end {
            inode.seen.resize(end, 0);
        }
        inode.seen[offset..end].copy_from_slice(bytes);
        inode.pending.push((offset, bytes.to_vec()));
    }

    /// Some of what was not synced arrives after all, in pieces, in any order, some of it twice.
    fn settle(&mut self, at: usize) {
        let pending = std::mem::take(&mut self.inodes[at].pending);
        let mut pieces = Vec::new();
        for (offset, bytes) in pending {
            let mut from = 0;
            while from < bytes.len() {
                let rest = bytes.len() - from;
                let len = match self.chance.below(4) {
                    // A torn write ends anywhere; a whole sector and more is as likely.
                    0 => 1 + self.chance.below(rest.min(64) as u64) as usize,
                    1 => rest.min(512),
                    _ => rest,
                };
                pieces.push((offset + from, bytes[from..from + len].to_vec()));
                from += len;
            }
        }
        let often = self.chance.below(5);
        let mut arrived = Vec::new();
        for piece in pieces {
            for _ in 0..u64::from(self.chance.below(4) < often) + u64::from(self.chance.one_in(9)) {
                arrived.push(piece.clone());
            }
        }
        if self.chance.one_in(2) {
            self.chance.shuffle(&mut arrived);
        }
        let inode = &mut self.inodes[at];
        if inode.lasting.len() < inode.seen.len() && often > 2 {
            inode.lasting.resize(inode.seen.len(), 0);
        }
        for (offset, bytes) in arrived {
            let end = (offset + bytes.len()).min(inode.lasting.len());
            if offset < end {
                inode.lasting[offset..end].copy_from_slice(&bytes[..end - offset]);
            }
        }
    }

    fn rename(&mut self, entry: NameChange) -> io::Result<()> {
        if self.is_off {
            return Err(off());
        }
        let dies = self.burn();
        change(&mut self.seen, &entry);
        self.pending.push(entry);
        if dies { Err(off()) } else { Ok(()) }
    }
}

impl SimulatedDisk {
    /// An empty disk. `index` is where the index of the store on it lies, on the real one.
    pub(crate) fn new(seed: u64, index: PathBuf) -> Self {
        let chance = Chance::new(seed);
        Self(Arc::new(Mutex::new(State { chance, index, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The act fails after `after` more of its kind went well.
    pub(crate) fn arm(&self, act: Act, after: u64, kind: ErrorKind) {
        self.state().armed.push((act, after, kind));
    }

    /// Whether every name that is seen would be there after a power cut.
    pub(crate) fn is_settled(&self) -> bool {
        self.state().pending.is_empty()
    }

    pub(crate) fn disarm(&self) {
        self.state().armed.clear();
    }

    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.state().free = free;
    }

    /// The power goes in the midst of so many changes from now.
    pub(crate) fn cut_after(&self, changes: Option<u64>) {
        self.state().fuse = changes;
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Only the process died: everything it wrote can still be read.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        (state.is_off, state.fuse) = (false, None);
        // What a failed sync dropped was still in memory; memory is short now and then.
        if state.chance.one_in(2) {
            for inode in &mut state.inodes {
                let mut seen = inode.lasting.clone();
                seen.resize(inode.seen.len().max(seen.len()), 0);
                for (offset, bytes) in &inode.pending {
                    seen[*offset..offset + bytes.len()].copy_from_slice(bytes);
                }
                inode.seen = seen;
            }
        }
    }

    /// The power went and came back.
    pub(crate) fn power_cycle(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        for at in 0..state.inodes.len() {
            state.settle(at);
            state.inodes[at].seen = state.inodes[at].lasting.clone();
        }
        let all = state.chance.one_in(3);
        for entry in std::mem::take(&mut state.pending) {
            if all || state.chance.one_in(2) {
                change(&mut state.lasting, &entry);
            }
        }
        state.seen = state.lasting.clone();
        (state.is_off, state.fuse) = (false, None);
        state.armed.clear();
        // The index is derived. What its engine had not synced is there, or is not; or all is lost.
        match state.chance.below(4) {
            0 => {}
            1 => drop(std::fs::remove_dir_all(&state.index)),
            _ => {
                drop(std::fs::remove_dir_all(&state.index));
                if let Some(copy) = &state.index_synced {
                    copy_dir(copy, &state.index);
                }
            }
        }
    }
}

/// Copies a folder; of long files that are mostly holes, what was written.
pub(super) fn copy_dir(from: &Path, to: &Path) {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        let data = path.metadata().unwrap();
        if data.is_dir() {
            copy_dir(&path, &target);
            continue;
        }
        let mut octets = Vec::new();
        let written = data.blocks() * 512;
        std::fs::File::open(&path).unwrap().take(written).read_to_end(&mut octets).unwrap();
        std::fs::write(&target, octets).unwrap();
        std::fs::File::options().write(true).open(&target).unwrap().set_len(data.len()).unwrap();
    }
}

impl Device for SimulatedDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>> {
        let state = self.state();
        if state.is_off {
            return Err(off());
        }
        let inode = *state.seen.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>> {
        let mut state = self.state();
        state.check(Act::Create)?;
        // A checkpoint comes when the index was just synced: nobody changes it meanwhile.
        if path.ends_with("CHECKPOINT.new") && state.index.exists() {
            let copy = state.index.with_extension("synced");
            drop(std::fs::remove_dir_all(&copy));
            copy_dir(&state.index, &copy);
            state.index_synced = Some(copy);
        }
        // A file that is there is emptied, and stays the file it was.
        let there = state.seen.get(path).copied();
        let inode = there.unwrap_or(state.inodes.len());
        match state.inodes.get_mut(inode) {
            Some(found) => (found.seen, found.pending) = (Vec::new(), Vec::new()),
            None => state.inodes.push(Inode::default()),
        }
        state.rename(NameChange::Set(path.to_owned(), inode))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.seen.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Move(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().rename(NameChange::Drop(path.to_owned()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Act::Sync)?;
        if state.burn() {
            return Err(off());
        }
        let is_in = |change: &NameChange| match change {
            NameChange::Set(name, _) | NameChange::Move(_, name) | NameChange::Drop(name) => {
                name.parent() == Some(path)
            }
        };
        let (here, elsewhere) = std::mem::take(&mut state.pending).into_iter().partition(is_in);
        state.pending = elsewhere;
        let here: Vec<NameChange> = here;
        here.iter().for_each(|entry| change(&mut state.lasting, entry));
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.is_off {
            return Err(off());
        }
        state.dirs.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        if state.is_off {
            return Err(off());
        }
        let names = state.seen.keys().chain(&state.dirs);
        Ok(names.filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.state().dirs.contains(path)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        if state.is_off { Err(off()) } else { Ok(state.free.unwrap_or(1 << 40)) }
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

impl DeviceFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].seen.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.check(Act::Read)?;
        let from = state.inodes[self.inode].seen.get(offset as usize..);
        let part = from.and_then(|rest| rest.get(..buf.len())).ok_or(ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.check(Act::Write);
        if state.is_off {
            return result;
        }
        let dies = state.burn();
        // Of a write that fails half arrives, as it may on a real disk.
        let arrives = if result.is_ok() && !dies { bytes.len() } else { bytes.len() / 2 };
        state.write(self.inode, offset as usize, &bytes[..arrives]);
        if dies { Err(off()) } else { result }
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.is_off {
            return Err(off());
        }
        state.inodes[self.inode].seen.resize(size as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Err(error) = state.check(Act::Sync) {
            if !state.is_off {
                // The kernel gives up: what it could not write looks clean ever after.
                state.settle(self.inode);
            }
            return Err(error);
        }
        if state.burn() {
            return Err(off());
        }
        let inode = &mut state.inodes[self.inode];
        inode.lasting.resize(inode.seen.len(), 0);
        for (offset, bytes) in std::mem::take(&mut inode.pending) {
            inode.lasting[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}
