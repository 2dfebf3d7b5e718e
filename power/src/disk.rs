//! A disk that keeps apart what was written and what was synced.
//!
//! Invariant: what a sync that returned covers is there after every cut, and names whose folder
//! was synced; of the rest, each write, each change of length and each name may have arrived, whole,
//! in pieces of a sector, or not.
//! Refs: specs/store-journal.md §5; crates/store/src/simulated.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

const PAGE: u64 = 4096;
const SECTOR: usize = 512;

/// The root folder's number, as FUSE has it.
pub(crate) const ROOT: u64 = 1;

/// Chance from a seed (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Octets by pages; a page that is not there is zeros.
#[derive(Clone, Default)]
struct Octets {
    len: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Octets {
    fn read(&self, offset: u64, size: u64) -> Vec<u8> {
        let end = self.len.min(offset + size);
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let (page, from) = (at / PAGE, (at % PAGE) as usize);
            let step = (PAGE as usize - from).min((end - at) as usize);
            match self.pages.get(&page) {
                Some(octets) => out.extend_from_slice(&octets[from..from + step]),
                None => out.resize(out.len() + step, 0),
            }
            at += step as u64;
        }
        out
    }

    fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset;
        while !bytes.is_empty() {
            let (page, from) = (at / PAGE, (at % PAGE) as usize);
            let step = (PAGE as usize - from).min(bytes.len());
            let (here, rest) = bytes.split_at(step);
            if self.pages.contains_key(&page) || here.iter().any(|octet| *octet != 0) {
                let octets = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE as usize]));
                octets[from..from + step].copy_from_slice(here);
            }
            (at, bytes) = (at + step as u64, rest);
        }
        self.len = self.len.max(at);
    }

    fn resize(&mut self, len: u64) {
        if len < self.len {
            self.pages.retain(|page, _| page * PAGE < len);
            if let Some(octets) = self.pages.get_mut(&(len / PAGE)) {
                octets[(len % PAGE) as usize..].fill(0);
            }
        }
        self.len = len;
    }
}

/// A change to a file that was not synced yet.
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Socket,
}

/// A file or folder, whatever it is called.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    seen: Octets,
    lasting: Octets,
    pending: Vec<Change>,
}

impl Node {
    pub(crate) fn len(&self) -> u64 {
        self.seen.len
    }

    pub(crate) fn read(&self, offset: u64, size: u64) -> Vec<u8> {
        self.seen.read(offset, size)
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.seen.write(offset, bytes);
        self.pending.push(Change::Write(offset, bytes.to_vec()));
    }

    pub(crate) fn resize(&mut self, len: u64) {
        self.seen.resize(len);
        self.pending.push(Change::Resize(len));
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write(offset, bytes) => self.lasting.write(offset, &bytes),
                Change::Resize(len) => self.lasting.resize(len),
            }
        }
    }

    /// The power went: of what is pending something arrives.
    fn cut(&mut self, chance: &mut Chance) {
        let often = chance.below(5);
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Resize(len) if chance.below(4) < often => self.lasting.resize(len),
                Change::Resize(_) => {}
                Change::Write(offset, bytes) => {
                    // Sectors begin where the disk's do, not where the write does.
                    let first = SECTOR - (offset as usize % SECTOR);
                    let mut from = 0;
                    while from < bytes.len() {
                        let to = if from == 0 { first } else { from + SECTOR }.min(bytes.len());
                        if chance.below(4) < often {
                            self.lasting.write(offset + from as u64, &bytes[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        self.seen = self.lasting.clone();
    }
}

/// A change of names that was not synced yet; a move is one change in one or two folders.
#[derive(Clone)]
enum NameChange {
    Set(u64, OsString, u64),
    Drop(u64, OsString),
    Move((u64, OsString), (u64, OsString)),
}

impl NameChange {
    fn is_in(&self, folder: u64) -> bool {
        match self {
            Self::Set(here, ..) | Self::Drop(here, _) => *here == folder,
            Self::Move((from, _), (to, _)) => *from == folder || *to == folder,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Set(folder, name, node) => drop(names.insert((*folder, name.clone()), *node)),
            Self::Drop(folder, name) => drop(names.remove(&(*folder, name.clone()))),
            Self::Move(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

type Names = BTreeMap<(u64, OsString), u64>;

/// See the module.
pub(crate) struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    seen: Names,
    lasting: Names,
    pending: Vec<NameChange>,
}

/// What a cut came to.
pub(crate) struct Cut {
    /// Changes to files that were not synced, in part or whole.
    pub(crate) writes: usize,
    /// Names, likewise, and how many of them were lost.
    pub(crate) names: usize,
    pub(crate) lost_names: usize,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let mut disk = Self {
            nodes: BTreeMap::new(),
            next: ROOT,
            seen: Names::new(),
            lasting: Names::new(),
            pending: Vec::new(),
        };
        disk.add(Kind::Folder, 0o700);
        disk
    }

    fn add(&mut self, kind: Kind, mode: u16) -> u64 {
        let number = self.next;
        self.next += 1;
        let (seen, lasting) = (Octets::default(), Octets::default());
        self.nodes.insert(number, Node { kind, mode, seen, lasting, pending: Vec::new() });
        number
    }

    pub(crate) fn node(&mut self, number: u64) -> Option<&mut Node> {
        self.nodes.get_mut(&number)
    }

    pub(crate) fn find(&self, folder: u64, name: &OsStr) -> Option<u64> {
        self.seen.get(&(folder, name.to_owned())).copied()
    }

    pub(crate) fn list(&self, folder: u64) -> Vec<(OsString, u64)> {
        let from = (folder, OsString::new());
        let names = self.seen.range(from..).take_while(|((here, _), _)| *here == folder);
        names.map(|((_, name), node)| (name.clone(), *node)).collect()
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    pub(crate) fn create(&mut self, folder: u64, name: &OsStr, kind: Kind, mode: u16) -> u64 {
        let number = self.add(kind, mode);
        self.change(NameChange::Set(folder, name.to_owned(), number));
        number
    }

    pub(crate) fn remove(&mut self, folder: u64, name: &OsStr) {
        self.change(NameChange::Drop(folder, name.to_owned()));
    }

    pub(crate) fn rename(&mut self, from: (u64, OsString), to: (u64, OsString)) {
        self.change(NameChange::Move(from, to));
    }

    pub(crate) fn sync_folder(&mut self, folder: u64) {
        let pending = std::mem::take(&mut self.pending);
        let (here, elsewhere) = pending.into_iter().partition::<Vec<_>, _>(|c| c.is_in(folder));
        here.iter().for_each(|change| change.apply(&mut self.lasting));
        self.pending = elsewhere;
    }

    /// The power goes and comes back.
    pub(crate) fn cut(&mut self, chance: &mut Chance) -> Cut {
        let writes = self.nodes.values().map(|node| node.pending.len()).sum();
        self.nodes.values_mut().for_each(|node| node.cut(chance));
        let pending = std::mem::take(&mut self.pending);
        let names = pending.len();
        // A journal of the file system loses a tail; without one, any of them may go.
        let kept = match chance.below(3) {
            0 => chance.below(names as u64 + 1),
            1 => 0,
            _ => u64::MAX,
        };
        let mut lost_names = 0;
        for (nth, change) in pending.iter().enumerate() {
            let arrives = if kept == u64::MAX { chance.below(2) == 0 } else { (nth as u64) < kept };
            if arrives {
                change.apply(&mut self.lasting);
            } else {
                lost_names += 1;
            }
        }
        self.seen = self.lasting.clone();
        self.forget_nameless();
        Cut { writes, names, lost_names }
    }

    /// What no name leads to is gone after a cut.
    fn forget_nameless(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        loop {
            let before = reached.len();
            for ((folder, _), node) in &self.seen {
                if reached.contains(folder) {
                    reached.insert(*node);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
        self.seen.retain(|(folder, _), node| reached.contains(folder) && reached.contains(node));
        self.lasting = self.seen.clone();
    }
}
