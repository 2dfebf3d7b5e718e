//! Keeping the search index of an open account: in the background, some letters at a time.
//!
//! What is not indexed is what no segment lists; so there is nothing to resume and nothing a
//! crash can leave half done. A segment that does not read is left out, and its letters are
//! indexed anew.
//!
//! Invariant: no login, listing or change waits for indexing but for one commit; of all open
//! accounts one is worked on at a time; work does not keep an account open that its sessions left.
//! Refs: specs/search-index.md §5; docs/adr/0008-search.md.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use seal::blob::BlobKey;
use tokio::sync::{Semaphore, watch};
use vocab::{RecordKind, Row};

use super::{Account, ChangeError, ReadBodyError};
use crate::mailbox::{Message, encode};
use crate::search::build::Builder;
use crate::search::index::{Index, Segment};
use crate::search::merge::merge;
use crate::search::sealed::{IndexRow, SegmentRow, context};
use crate::search::segment::{Octets, SegmentError};
use crate::search::text::{self, Places};

/// Letters of one segment when it is first written.
const LETTERS_PER_SEGMENT: usize = 1000;
/// As many segments of about one size are made one.
const MERGE_SEGMENTS: usize = 8;
/// Octets of segments that are made one: 64 MiB.
const MERGE_BYTES_MAX: u64 = 64 << 20;
/// Segments of one epoch at most, whatever their sizes.
const SEGMENTS_MAX: usize = 256;
/// A segment of which one letter in so many is gone is written anew at once.
const GONE_SHARE: usize = 8;
/// How long nothing may have changed before what came is indexed.
const QUIET: Duration = Duration::from_secs(3);
/// How many such times it waits at most.
const QUIETS_MAX: usize = 10;
/// How long indexing waits when it could not write.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an account has for its index.
pub(super) struct Indexing {
    /// `None` until it is first asked for.
    held: Mutex<Option<Arc<Index>>>,
    /// One piece of work at a time, on whichever account.
    permits: Arc<Semaphore>,
    /// Whether letters that are gone have been taken out since the account was opened.
    swept: AtomicBool,
    /// Rows may name segments that are not in the index.
    stale: AtomicBool,
}

impl Indexing {
    pub(super) fn new(permits: Arc<Semaphore>) -> Self {
        let (swept, stale) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { held: Mutex::new(None), permits, swept, stale }
    }
}

/// A letter to be indexed.
#[derive(Clone, Copy)]
struct Letter {
    epoch: u32,
    /// The row of its body.
    body: u64,
    /// The row of one of its messages.
    message: u64,
}

/// One epoch's index, changed: what is new, and which segments it stands for.
struct Work {
    epoch: u32,
    made: Option<Made>,
    gone: Vec<u64>,
    letters: usize,
}

/// A new segment, sealed; its row is given when it is written.
struct Made {
    sealed: Vec<u8>,
    entry: SegmentRow,
}

impl Account {
    /// The index as it stands, reading it if nobody has. Blocks on the disk.
    pub(crate) fn index(&self) -> Arc<Index> {
        let Ok(mut held) = self.indexing.held.lock() else { return Arc::default() };
        Arc::clone(held.get_or_insert_with(|| Arc::new(self.read_index())))
    }

    /// Leaves a segment out that did not read, if it was not replaced meanwhile; its letters are
    /// indexed anew in time.
    pub(crate) fn leave_out(&self, row: u64, error: SegmentError) {
        let Ok(mut held) = self.indexing.held.lock() else { return };
        let Some(index) = held.as_ref() else { return };
        let stays = |segment: &&Arc<Segment>| segment.entry.row != row;
        let rest: Vec<_> = index.segments().filter(stays).cloned().collect();
        if rest.len() < index.segments().count() {
            tracing::error!(%error, "a segment of a search index is left out");
            *held = Some(Arc::new(Index::of(rest)));
            self.indexing.stale.store(true, Ordering::Relaxed);
        }
    }

    fn read_index(&self) -> Index {
        let (mut segments, mut lost) = (Vec::new(), 0_usize);
        for found in self.read.scan(self.id, RecordKind::SearchIndex, Row(0)) {
            let opened = found.ok().and_then(|(row, sealed)| {
                let keys = self.keys().ok()?;
                let opened = keys.open_row(RecordKind::SearchIndex, row.0, &sealed)?;
                let epoch = u32::try_from(row.0).ok().filter(|epoch| *epoch == opened.epoch)?;
                Some((epoch, minicbor::decode::<IndexRow>(&opened.plain).ok()?))
            });
            let Some((epoch, row)) = opened else {
                lost += 1;
                continue;
            };
            for entry in row.segments {
                match Segment::open(&self.read, self.id, epoch, entry) {
                    Ok(segment) => segments.push(Arc::new(segment)),
                    Err(_) => lost += 1,
                }
            }
        }
        if lost > 0 {
            tracing::error!(lost, "parts of a search index do not read and are made anew");
        }
        // Somebody may have taken away the row that named a segment.
        self.indexing.stale.store(lost > 0 || self.is_altered(), Ordering::Relaxed);
        Index::of(segments)
    }

    /// Goes on indexing as long as the account is open.
    pub(super) fn start_indexing(self: &Arc<Self>) {
        let permits = Arc::clone(&self.indexing.permits);
        tokio::spawn(keep_indexing(Arc::downgrade(self), permits, self.changes()));
    }

    /// Indexes every letter that is not, and takes out what is gone; gives how many letters were
    /// new. Open accounts do it by themselves.
    ///
    /// # Errors
    /// What a commit can meet; what was indexed before it stays.
    pub async fn index_now(self: &Arc<Self>) -> Result<usize, ChangeError> {
        index_all(&Arc::downgrade(self), &self.indexing.permits).await
    }

    /// Whether nobody but who asks, working in the background, holds the account.
    pub(super) fn is_left(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    /// What is to be done next: letters that are new, then segments to be made one, then letters
    /// that are gone.
    fn work(self: &Arc<Self>) -> Result<Option<Work>, ChangeError> {
        let index = self.index();
        let (new, live) = self.not_in(&index)?;
        if let Some(work) = self.build(new)? {
            return Ok(Some(work));
        }
        if self.indexing.stale.swap(false, Ordering::Relaxed)
            && let Some(work) = self.to_mend(&index)
        {
            self.indexing.stale.store(true, Ordering::Relaxed);
            return Ok(Some(work));
        }
        let swept = self.indexing.swept.load(Ordering::Relaxed);
        let some = to_merge(&index).or_else(|| to_sweep(&index, &live, swept));
        let Some(some) = some else {
            self.indexing.swept.store(true, Ordering::Relaxed);
            return Ok(None);
        };
        let sources: Vec<_> =
            some.iter().map(|segment| (&segment.sealed as &dyn Octets, segment.layout)).collect();
        let made = match merge(&sources, |row| live.contains(&row)) {
            Ok(made) => made.map(|plain| self.seal_segment(&plain)).transpose()?,
            Err(SegmentError::Failed) => return Err(ChangeError::Failed),
            // Their letters are indexed anew.
            Err(error) => {
                some.iter().for_each(|segment| self.leave_out(segment.entry.row, error));
                None
            }
        };
        let gone = some.iter().map(|segment| segment.entry.row).collect();
        let epoch = some.first().map_or(0, |segment| segment.epoch);
        Ok(Some(Work { epoch, made, gone, letters: 0 }))
    }

    /// The letters that are not in the index, those of one epoch together, the newest first; and
    /// the rows of all bodies there are.
    fn not_in(&self, index: &Index) -> Result<(Vec<Letter>, HashSet<u64>), ChangeError> {
        let mut new: BTreeMap<u64, Letter> = BTreeMap::new();
        let state = self.state()?;
        let live: HashSet<u64> = state.bodies.keys().copied().collect();
        let (mut near, mut newest) = (0, 0);
        for message in state.mailboxes.values().flat_map(|mailbox| &mailbox.messages) {
            let Message { epoch, letter_row: body, row: message, .. } = *message;
            if epoch < newest || index.number(body, &mut near).is_some() {
                continue;
            }
            if epoch > newest {
                new.clear();
                newest = epoch;
            }
            new.insert(body, Letter { epoch, body, message });
        }
        drop(state);
        Ok((new.into_values().take(LETTERS_PER_SEGMENT).collect(), live))
    }

    /// A segment of new letters of one epoch, ascending by body; `None` if there is none to be
    /// made.
    fn build(self: &Arc<Self>, new: Vec<Letter>) -> Result<Option<Work>, ChangeError> {
        let Some(epoch) = new.first().map(|letter| letter.epoch) else { return Ok(None) };
        let mut builder = Builder::default();
        for letter in new {
            if builder.is_full() {
                break;
            }
            // Nothing it could still make would be written.
            if self.is_left() {
                return Err(ChangeError::Failed);
            }
            self.index_letter(&mut builder, letter);
        }
        let letters = builder.letters();
        if letters == 0 {
            return Ok(None);
        }
        let made = Some(self.seal_segment(&builder.finish())?);
        Ok(Some(Work { epoch, made, gone: Vec::new(), letters }))
    }

    fn index_letter(&self, builder: &mut Builder, letter: Letter) {
        let read = || {
            let content = self.content(letter.message)?;
            let (header, whole) = (content.header()?, content.whole()?);
            Ok((content.view, header, whole))
        };
        let (view, header, whole) = match read() {
            // Gone meanwhile: it is not asked for again.
            Err(ReadBodyError::Gone) if !self.is_there(letter.body) => return,
            // Whoever searches it finds out, and is told.
            Err(_) => {
                builder.letter(letter.body);
                builder.partial();
                return;
            }
            Ok(read) => read,
        };
        builder.letter(letter.body);
        let envelope = &view.envelope;
        let sides = [
            (Places::FROM, &envelope.from),
            (Places::TO, &envelope.to),
            (Places::CC, &envelope.cc),
            (Places::BCC, &envelope.bcc),
        ];
        for (places, addresses) in sides {
            builder.text(places, &text::addresses(addresses));
        }
        builder.text(Places::SUBJECT, &text::subject(&view));
        builder.text(Places::HEADER, &text::header(&header));
        text::body(&view, &whole, |part| builder.text(Places::BODY, part));
    }

    fn is_there(&self, body: u64) -> bool {
        self.state().is_ok_and(|state| state.bodies.contains_key(&body))
    }

    /// What takes away what does not read: an epoch's row, or segments no row names.
    fn to_mend(&self, index: &Index) -> Option<Work> {
        if let Some(epoch) = self.stale_epoch(index) {
            return Some(Work { epoch, made: None, gone: Vec::new(), letters: 0 });
        }
        let held: HashSet<u64> = index.segments().map(|segment| segment.entry.row).collect();
        let stored = self.read.scan(self.id, RecordKind::SearchSegment, Row(0));
        let gone: Vec<u64> = stored
            .filter_map(|found| found.ok().map(|(row, _)| row.0))
            .filter(|row| !held.contains(row))
            .collect();
        let epoch = index.segments().next().map_or(0, |segment| segment.epoch);
        (!gone.is_empty()).then_some(Work { epoch, made: None, gone, letters: 0 })
    }

    /// An epoch whose row names a segment that is not in the index, or does not open.
    fn stale_epoch(&self, index: &Index) -> Option<u32> {
        let held: HashSet<u64> = index.segments().map(|segment| segment.entry.row).collect();
        self.read.scan(self.id, RecordKind::SearchIndex, Row(0)).find_map(|found| {
            let (row, sealed) = found.ok()?;
            let epoch = u32::try_from(row.0).ok()?;
            let opened = self.keys().ok()?.open_row(RecordKind::SearchIndex, row.0, &sealed);
            let named = opened.and_then(|it| minicbor::decode::<IndexRow>(&it.plain).ok());
            let is_whole = named.is_some_and(|named| {
                named.segments.iter().all(|segment| held.contains(&segment.row))
            });
            (!is_whole).then_some(epoch)
        })
    }

    /// Writes a segment, the row that names it, and what it stands for away; all or nothing.
    async fn commit_index(self: &Arc<Self>, work: Work) -> Result<(), ChangeError> {
        let index = self.index();
        let mut writer = self.writing.lock().await;
        let modseq = self.state()?.modseq + 1;
        let mut change = self.change()?;
        let mut of_epoch = IndexRow::default();
        let stays = |segment: &&Arc<Segment>| !work.gone.contains(&segment.entry.row);
        let stay: Vec<_> = index.segments().filter(stays).cloned().collect();
        let others = stay.iter().filter(|segment| segment.epoch == work.epoch);
        of_epoch.segments.extend(others.map(|segment| again(&segment.entry)));
        for row in self.named(work.epoch).iter().chain(&work.gone) {
            if !of_epoch.segments.iter().any(|segment| segment.row == *row) {
                change.delete_blob(RecordKind::SearchSegment, *row);
            }
        }
        let new = work.made.is_some();
        if let Some(Made { sealed, mut entry }) = work.made {
            entry.row = modseq;
            change.put_blob(RecordKind::SearchSegment, modseq, sealed);
            of_epoch.segments.push(entry);
        } else {
            change.make_room();
        }
        let (kind, row) = (RecordKind::SearchIndex, u64::from(work.epoch));
        if of_epoch.segments.is_empty() {
            change.delete(kind, row)?;
        } else {
            let plain = zeroize::Zeroizing::new(encode(&of_epoch));
            change.put(kind, row, work.epoch, modseq, &plain)?;
        }
        self.put_state(&mut change, modseq, 0)?;
        change.commit(&mut writer).await?;
        // No session has to be woken: nothing it could be told has changed.
        {
            let mut state = self.state_mut()?;
            state.modseq = state.modseq.max(modseq);
        }
        drop(writer);
        let new = of_epoch.segments.pop().filter(|_| new);
        let account = Arc::clone(self);
        let hold = move || account.hold(stay, work.epoch, new);
        tokio::task::spawn_blocking(hold).await.map_err(|_| ChangeError::Failed)?
    }

    /// Rows of the segments that an epoch's row names.
    fn named(&self, epoch: u32) -> Vec<u64> {
        let (kind, row) = (RecordKind::SearchIndex, u64::from(epoch));
        let sealed = self.read.get(self.id, kind, Row(row)).ok().flatten();
        let opened = sealed.and_then(|sealed| self.keys().ok()?.open_row(kind, row, &sealed));
        let named = opened.and_then(|it| minicbor::decode::<IndexRow>(&it.plain).ok());
        named.map(|named| named.segments.iter().map(|it| it.row).collect()).unwrap_or_default()
    }

    fn seal_segment(&self, plain: &[u8]) -> Result<Made, ChangeError> {
        let key = BlobKey::random(self.entropy.as_ref());
        let mut blob = [0; 16];
        self.entropy.fill(&mut blob);
        let bound = context(self.id, blob);
        let sealed = super::body::seal(&key, &bound, plain, self.entropy.as_ref());
        let octets = plain.len() as u64;
        let entry = SegmentRow { row: 0, blob, key: *key.expose(), octets };
        Ok(Made { sealed: sealed.ok_or(ChangeError::Failed)?, entry })
    }

    /// Shows the index that is on disk now.
    fn hold(
        &self,
        mut segments: Vec<Arc<Segment>>,
        epoch: u32,
        new: Option<SegmentRow>,
    ) -> Result<(), ChangeError> {
        let new = new.map(|entry| Segment::open(&self.read, self.id, epoch, entry)).transpose();
        let is_whole = new.is_ok();
        segments.extend(new.ok().flatten().map(Arc::new));
        if let Ok(mut held) = self.indexing.held.lock() {
            *held = Some(Arc::new(Index::of(segments)));
        }
        if !is_whole {
            // Just written, and does not read: it is not tried again at once.
            self.indexing.stale.store(true, Ordering::Relaxed);
            return Err(ChangeError::Failed);
        }
        Ok(())
    }
}

fn again(entry: &SegmentRow) -> SegmentRow {
    let SegmentRow { row, blob, key, octets } = *entry;
    SegmentRow { row, blob, key, octets }
}

/// Segments of one epoch that should be one: many of about a size, or the smallest of too many.
fn to_merge(index: &Index) -> Option<Vec<Arc<Segment>>> {
    let mut tiers: HashMap<(u32, u32), Vec<Arc<Segment>>> = HashMap::new();
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for segment in index.segments() {
        let tier = segment.layout.letters.max(1).ilog2() / 3;
        tiers.entry((segment.epoch, tier)).or_default().push(Arc::clone(segment));
        *counts.entry(segment.epoch).or_default() += 1;
    }
    let crowded = counts.into_iter().find(|(_, count)| *count > SEGMENTS_MAX);
    let mut some = match crowded {
        Some((epoch, _)) => {
            index.segments().filter(|segment| segment.epoch == epoch).cloned().collect()
        }
        None => tiers.into_values().find(|some| fits(some) >= MERGE_SEGMENTS)?,
    };
    some.sort_by_key(|segment| segment.layout.end);
    some.truncate(fits(&some).max(2));
    Some(some)
}

/// How many of some segments may be made one.
fn fits(some: &[Arc<Segment>]) -> usize {
    let mut sizes: Vec<u64> = some.iter().map(|segment| segment.layout.end).collect();
    sizes.sort_unstable();
    let sums = sizes.iter().scan(0_u64, |sum, size| {
        *sum = sum.saturating_add(*size);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MERGE_BYTES_MAX).count()
}

/// A segment with letters that are gone: any, the first time since the account was opened; later
/// one that has lost many.
fn to_sweep(index: &Index, live: &HashSet<u64>, swept: bool) -> Option<Vec<Arc<Segment>>> {
    let lost = |segment: &&Arc<Segment>| {
        let gone = segment.rows.iter().filter(|row| !live.contains(row)).count();
        gone > 0 && (!swept || gone * GONE_SHARE >= segment.rows.len())
    };
    index.segments().find(lost).map(|segment| vec![Arc::clone(segment)])
}

async fn keep_indexing(
    account: Weak<Account>,
    permits: Arc<Semaphore>,
    mut changes: watch::Receiver<u64>,
) {
    let mut wait = QUIET;
    loop {
        // Nothing is held while it waits: an account that closes meanwhile is closed.
        for _ in 0..QUIETS_MAX {
            changes.mark_unchanged();
            tokio::time::sleep(wait).await;
            match changes.has_changed() {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return,
            }
        }
        changes.mark_unchanged();
        wait = match index_all(&account, &permits).await {
            Ok(_) if changes.changed().await.is_ok() => QUIET,
            Ok(_) => return,
            Err(_) if account.strong_count() == 0 => return,
            Err(error) => {
                tracing::warn!(%error, "letters could not be indexed; it is tried again");
                PATIENCE
            }
        };
    }
}

/// Indexes until nothing is left or the account is closed; gives how many letters were new.
async fn index_all(account: &Weak<Account>, permits: &Semaphore) -> Result<usize, ChangeError> {
    let mut letters = 0;
    loop {
        let _permit = permits.acquire().await.map_err(|_| ChangeError::Failed)?;
        match index_some(account).await? {
            Some(new) => letters += new,
            None => return Ok(letters),
        }
    }
}

/// One piece of work on the index: how many letters it made known; `None` if there is none.
async fn index_some(account: &Weak<Account>) -> Result<Option<usize>, ChangeError> {
    let working = Weak::clone(account);
    let work = move || working.upgrade().map_or(Ok(None), |account| account.work());
    let work = tokio::task::spawn_blocking(work).await.map_err(|_| ChangeError::Failed)??;
    // What was made for an account that closed meanwhile is made anew when it is open again.
    let Some((work, account)) = work.zip(account.upgrade()) else { return Ok(None) };
    let letters = work.letters;
    super::to_its_end(async move { account.commit_index(work).await }).await?;
    Ok(Some(letters))
}
