//! The whole of a store compared with itself, without a key: every record's checksums and place in
//! the order, the index against the journal and back, the counters.
//!
//! Invariant: changes nothing but a folder `check` of its own, in which the index that the journal
//! asks for is made beside a copy of the one that is there, and which is removed again.
//! Refs: specs/store-journal.md §3 to §7.

use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::effects::Books;
use crate::format::{Head, Key};
use crate::index::{Index, IndexError, IndexView, Side};
use crate::recover::{ReplayError, replay};
use crate::segment::{Segment, Walk};
use crate::writer::Stand;
use crate::{CommitError, FORMAT, OpenError, Store, check_version, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use vocab::{AccountId, RecordKind};

/// Faults that are named one by one; the rest are counted.
pub const FAULTS_MAX: usize = 1000;
/// One examination at a time: they work in one folder.
static EXAMINING: Mutex<()> = Mutex::new(());
/// Memory for the cache of the index made for comparing.
const CACHE_BYTES: u64 = 8 << 20;

/// Something that is not as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The journal counts on this segment, and it is gone.
    Missing {
        /// The segment.
        segment: u64,
    },
    /// The octets from here on are not what was written.
    Damaged {
        /// The segment.
        segment: u64,
        /// Where in it.
        offset: u64,
    },
    /// The segment does not begin where the one before it ended.
    OutOfOrder {
        /// The segment.
        segment: u64,
    },
    /// There is no index, or not the one that belongs to the journal.
    NoIndex,
    /// The index lacks a row, has one too many, or has it elsewhere.
    Row {
        /// Whose.
        account: AccountId,
        /// Of which kind, by its number.
        table: u16,
        /// Which.
        row: u64,
    },
    /// The index says otherwise than the journal what an account has.
    Counters {
        /// Whose.
        account: AccountId,
    },
    /// The index says otherwise than the journal what a hold keeps.
    Hold {
        /// Whose row it is, or is said to be.
        account: AccountId,
    },
    /// An account's counters are not the sum of its rows, in the journal itself.
    Sum {
        /// Whose.
        account: AccountId,
    },
}

impl Fault {
    /// Whether making the index anew mends it.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        match self {
            Self::NoIndex | Self::Row { .. } | Self::Counters { .. } | Self::Hold { .. } => true,
            Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::OutOfOrder { .. }
            | Self::Sum { .. } => false,
        }
    }
}

fn hex(account: AccountId) -> String {
    account.0.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { segment } => write!(f, "segment {segment} is missing"),
            Self::Damaged { segment, offset } => {
                write!(f, "segment {segment} is damaged at octet {offset}")
            }
            Self::OutOfOrder { segment } => {
                write!(f, "segment {segment} does not follow the one before it")
            }
            Self::NoIndex => write!(f, "there is no index of this journal"),
            Self::Row { account, table, row } => {
                write!(
                    f,
                    "the index has account {} table {table} row {row} otherwise",
                    hex(*account)
                )
            }
            Self::Counters { account } => {
                write!(f, "the index has the counters of account {} otherwise", hex(*account))
            }
            Self::Hold { account } => {
                write!(f, "the index has a hold on account {} otherwise", hex(*account))
            }
            Self::Sum { account } => {
                write!(f, "the counters of account {} are not the sum of its rows", hex(*account))
            }
        }
    }
}

/// How much one account has of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Rows.
    pub records: u64,
    /// The octets of their values.
    pub octets: u64,
}

/// What a store is found to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Segments read.
    pub segments: u64,
    /// Records in them, every octet of them checked.
    pub records: u64,
    /// By account and kind. A kind this build does not know is left out.
    pub counts: BTreeMap<(AccountId, RecordKind), Count>,
    /// Holds, and rows they keep together.
    pub holds: (u64, u64),
    /// What is wrong: the first [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// How much more is.
    pub faults_more: u64,
}

impl Findings {
    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.faults_more += 1;
        }
    }
}

/// Why a store could not be examined.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The folder is no store that this build reads, or is open elsewhere.
    #[error("the store cannot be opened")]
    Open(#[from] OpenError),
    /// The store has stopped or is closing.
    #[error("the writer refused")]
    Writer(#[from] CommitError),
    /// The disk answered with an error.
    #[error("the store's files could not be read or written")]
    Io(#[from] io::Error),
    /// The index made for comparing failed.
    #[error("the index failed: {0}")]
    Index(String),
}

impl From<IndexError> for ExamineError {
    fn from(error: IndexError) -> Self {
        Self::Index(format!("{error:?}"))
    }
}

impl From<ReplayError> for ExamineError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Io(error) => error.into(),
            ReplayError::Index(error) => error.into(),
        }
    }
}

impl Store {
    /// Examines the store as it stands now, while commits and reads go on. Blocks; reads all of the
    /// journal, and makes a second index beside the first, for comparing.
    ///
    /// # Errors
    /// See [`ExamineError`].
    pub fn examine_blocking(&self) -> Result<Findings, ExamineError> {
        let _alone = EXAMINING.lock().unwrap_or_else(PoisonError::into_inner);
        let Stand { books, segments, index } = self.stand_blocking()?;
        let disk = &self.shared.disk;
        clear(disk)?;
        let found = compare(disk, &segments, &books, Some(&index), Findings::default());
        clear(disk)?;
        found
    }
}

/// Examines a store that nobody has open.
///
/// # Errors
/// See [`ExamineError`].
pub fn folder(root: &Path) -> Result<Findings, ExamineError> {
    let disk = Disk::new(root);
    let format = disk.read(FORMAT)?.ok_or(OpenError::NotAStore)?;
    check_version(&format)?;
    let _lock = lock(root)?;
    let mut findings = Findings::default();
    let (segments, books) = closed(&disk, &mut findings)?;
    clear(&disk)?;
    let index = copied_index(&disk, &segments)?;
    // A store that was restored and never opened has neither yet; opening makes both.
    let is_opened = Checkpoint::is_there(&disk)? || disk.root.join("index").exists();
    if index.is_none() && is_opened && !segments.is_empty() {
        findings.fault(Fault::NoIndex);
    }
    let view = index.as_ref().map(Index::view);
    let found = compare(&disk, &segments, &books, view.as_ref(), findings);
    drop((view, index));
    clear(&disk)?;
    found
}

/// Where an examination works.
fn workplace(disk: &Disk) -> PathBuf {
    disk.root.join("check")
}

fn clear(disk: &Disk) -> io::Result<()> {
    match std::fs::remove_dir_all(workplace(disk)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The index of a store that nobody has open, as the next opening would have it; a copy, since what
/// the journal has beyond the checkpoint may not last. `None` if it would be made anew.
fn copied_index(
    disk: &Disk,
    segments: &BTreeMap<u64, Arc<Segment>>,
) -> Result<Option<Index>, ExamineError> {
    let (from, to) = (disk.root.join("index"), workplace(disk).join("index"));
    let Some(Checkpoint { number, books: at }) = Checkpoint::read(disk)? else { return Ok(None) };
    if !from.exists() {
        return Ok(None);
    }
    copy_folder(&from, &to)?;
    let Ok(index) = Index::open(&to, CACHE_BYTES) else { return Ok(None) };
    if index.token().ok().is_none_or(|token| token < number) {
        return Ok(None);
    }
    for (id, segment) in segments.range(at.segment..) {
        let mut walk = if *id == at.segment {
            Walk::from(segment, at.offset, at.seq)
        } else {
            Walk::new(segment)
        };
        replay(&mut walk, &index, 0, |_, _, _| ())?;
    }
    Ok(Some(index))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The segments of a store that nobody has open, and the books of its checkpoint. What a
/// compaction had given up is left out, as opening would.
fn closed(
    disk: &Disk,
    findings: &mut Findings,
) -> Result<(BTreeMap<u64, Arc<Segment>>, Books), ExamineError> {
    let books = Checkpoint::read(disk)?.map(|checkpoint| checkpoint.books).unwrap_or_default();
    let mut segments = BTreeMap::new();
    for path in disk.list(&disk.journal())? {
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some(id) = u64::from_str_radix(stem, 16).ok().filter(|_| is_segment) else { continue };
        if id < books.segment && !books.ledgers.contains_key(&id) {
            continue;
        }
        match Segment::open(disk, id)? {
            Some(segment) => drop(segments.insert(id, Arc::new(segment))),
            None => findings.fault(Fault::Damaged { segment: id, offset: 0 }),
        }
    }
    for id in books.ledgers.keys().filter(|id| !segments.contains_key(id)) {
        let known = findings.faults.contains(&Fault::Damaged { segment: *id, offset: 0 });
        if !known {
            findings.fault(Fault::Missing { segment: *id });
        }
    }
    Ok((segments, books))
}

fn compare(
    disk: &Disk,
    segments: &BTreeMap<u64, Arc<Segment>>,
    books: &Books,
    index: Option<&IndexView>,
    mut findings: Findings,
) -> Result<Findings, ExamineError> {
    let folder = workplace(disk).join("asked");
    let asked = Index::open(&folder, CACHE_BYTES)?;
    read_journal(segments, books, &asked, &mut findings)?;
    let view = asked.view();
    count(&view, &mut findings)?;
    // Against a journal with holes the index would look wrong where it is right.
    if let Some(index) = index.filter(|_| findings.faults.is_empty()) {
        compare_rows(&view, index, &mut findings)?;
        compare_side(&view, index, &mut findings)?;
    }
    Ok(findings)
}

/// Reads every record into an index.
fn read_journal(
    segments: &BTreeMap<u64, Arc<Segment>>,
    books: &Books,
    asked: &Index,
    findings: &mut Findings,
) -> Result<(), ExamineError> {
    let newest = segments.keys().next_back().copied();
    let mut before: Option<(u64, u64)> = None;
    for (id, segment) in segments {
        if before.is_some_and(|(last, seq)| last + 1 == *id && seq != segment.first_seq) {
            findings.fault(Fault::OutOfOrder { segment: *id });
        }
        let mut walk = Walk::new(segment);
        // A running writer may be behind this point already.
        if *id == books.segment && newest == Some(*id) {
            walk = walk.until(books.offset.max(crate::segment::first_offset()));
        }
        let ended = replay(&mut walk, asked, 0, |_, _, _| ())?;
        let is_short = *id == books.segment && walk.offset < books.offset;
        if !ended && (newest != Some(*id) || is_short) {
            findings.fault(Fault::Damaged { segment: *id, offset: walk.offset });
        }
        findings.segments += 1;
        findings.records += walk.seq.saturating_sub(segment.first_seq);
        before = Some((*id, walk.seq));
    }
    Ok(())
}

/// Counts what the journal holds, and whether its counters say the same.
fn count(view: &IndexView, findings: &mut Findings) -> Result<(), ExamineError> {
    let mut sums: BTreeMap<AccountId, (u64, u64)> = BTreeMap::new();
    for row in view.rows() {
        let (key, entry) = row?;
        let octets = u64::from(entry.place.len);
        let (account, table, _) = parts(&key);
        let sum = sums.entry(account).or_default();
        (sum.0, sum.1) = (sum.0 + 1, sum.1 + octets);
        if let Some(kind) = RecordKind::from_table(table) {
            let count = findings.counts.entry((account, kind)).or_default();
            (count.records, count.octets) = (count.records + 1, count.octets + octets);
        }
    }
    let mut holds = BTreeSet::new();
    for side in view.side() {
        match side? {
            (Side::Head(account), octets) => {
                let head = Head::decode(&mut crate::format::Fields(&octets));
                let head = head.ok_or(IndexError::Entry)?;
                if sums.remove(&account).unwrap_or_default() != (head.records, head.bytes) {
                    findings.fault(Fault::Sum { account });
                }
            }
            (Side::Pin(_, hold), _) => {
                holds.insert(hold);
                findings.holds.1 += 1;
            }
            (Side::Held(..), _) => {}
        }
    }
    findings.holds.0 = crate::format::len64(holds.len());
    sums.into_keys().for_each(|account| findings.fault(Fault::Sum { account }));
    Ok(())
}

fn parts(key: &Key) -> (AccountId, u16, u64) {
    let mut fields = crate::format::Fields(key);
    let account = AccountId(fields.array().unwrap_or_default());
    (account, fields.u16().unwrap_or_default(), fields.u64().unwrap_or_default())
}

/// Two runs of entries in the order of their keys: the keys that one alone has, or has otherwise.
fn differences<K: Ord + Clone, V: PartialEq>(
    ours: impl Iterator<Item = Result<(K, V), IndexError>>,
    theirs: impl Iterator<Item = Result<(K, V), IndexError>>,
    mut differs: impl FnMut(K),
) -> Result<(), IndexError> {
    let (mut ours, mut theirs) = (ours.fuse(), theirs.fuse());
    let (mut our, mut their) = (ours.next().transpose()?, theirs.next().transpose()?);
    loop {
        let order = match (&our, &their) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(our), Some(their)) => our.0.cmp(&their.0),
        };
        let (take_our, take_their) = (order.is_le(), order.is_ge());
        let (mine, other) = (our.take_if(|_| take_our), their.take_if(|_| take_their));
        if mine.as_ref().map(|(_, value)| value) != other.as_ref().map(|(_, value)| value)
            && let Some((key, _)) = mine.or(other)
        {
            differs(key);
        }
        if take_our {
            our = ours.next().transpose()?;
        }
        if take_their {
            their = theirs.next().transpose()?;
        }
    }
}

fn compare_rows(
    asked: &IndexView,
    index: &IndexView,
    findings: &mut Findings,
) -> Result<(), IndexError> {
    // A value that stands in the index too must be the one in the journal.
    let places = |view: &IndexView| {
        view.rows().map(|row| {
            let (key, entry) = row?;
            let is_right = |value| crc32c::crc32c(value) == entry.place.crc;
            let right = entry.inline.as_deref().is_none_or(is_right);
            Ok((key, (entry.place, right)))
        })
    };
    differences(places(asked), places(index), |key| {
        let (account, table, row) = parts(&key);
        findings.fault(Fault::Row { account, table, row });
    })
}

fn compare_side(
    asked: &IndexView,
    index: &IndexView,
    findings: &mut Findings,
) -> Result<(), IndexError> {
    differences(asked.side(), index.side(), |side| {
        findings.fault(match side {
            Side::Head(account) => Fault::Counters { account },
            Side::Pin(key, _) | Side::Held(_, key) => Fault::Hold { account: parts(&key).0 },
        });
    })
}
