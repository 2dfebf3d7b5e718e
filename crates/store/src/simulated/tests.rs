//! One run from a seed: lives of a store, each from an opening to a closing, a kill or a power
//! cut, and what stands between them compared with the model.
//!
//! Invariant: a run is a function of its seed.

use super::Chance;
use super::disk::{self, SimulatedDisk};
use super::model::{ACCOUNTS, Act, HOLDS, Held, KINDS};
use crate::disk::Disk;
use crate::format::key;
use crate::keeper::Keeper;
use crate::{
    Append, Batch, Change, CommitError, OpenError, Options, Parts, Preserve, Read, ReadError,
};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vocab::Row;

/// How many schedules `./x test` runs; `./x soak` runs 10,000.
const SCHEDULES: u64 = 200;

#[expect(clippy::disallowed_methods, reason = "whoever runs the test names what it runs")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn schedules_of_failing_disks_lose_nothing_acknowledged() {
    if let Some(seed) = number("SEED") {
        return run(seed, true);
    }
    let schedules = number("SCHEDULES").unwrap_or(SCHEDULES);
    let next = std::sync::atomic::AtomicU64::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= schedules {
                        return;
                    }
                    if std::panic::catch_unwind(|| run(seed, false)).is_err() {
                        eprintln!("that was SEED={seed}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{schedules} schedules, {} failed", failed.len());
    assert!(
        failed.is_empty(),
        "seeds {failed:?}; again: SEED={} cargo nextest run -p bailiwick-store schedules_of",
        failed[0]
    );
}

/// A folder in memory, where the system has such: the index's engine syncs often.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    PowerCut,
}

struct Schedule {
    chance: Chance,
    dir: tempfile::TempDir,
    disk: SimulatedDisk,
    options: Options,
    /// What is acknowledged, and what may be there beyond it, in order.
    held: Held,
    maybe: Vec<Act>,
    /// Whether each step is printed.
    is_told: bool,
}

fn run(seed: u64, is_told: bool) {
    let mut chance = Chance::new(seed);
    let dir = folder();
    let disk = SimulatedDisk::new(seed ^ 0xd15c, dir.path().join("index"));
    let options = Options {
        segment_bytes: (16 << 10) << chance.below(3),
        inline_bytes: [0, 64, 2048][chance.below(3) as usize],
        reserve_bytes: 1 << 20,
        checkpoint_bytes: 2_000 << chance.below(6),
        cache_bytes: 1 << 20,
        rebuild_index: false,
    };
    let (held, maybe) = (Held::default(), Vec::new());
    let mut schedule = Schedule { chance, dir, disk, options, held, maybe, is_told };
    for _ in 0..2 + schedule.chance.below(4) {
        schedule.life();
    }
    schedule.last_life();
}

impl Schedule {
    fn tell(&self, what: &dyn std::fmt::Debug) {
        if self.is_told {
            println!("{what:?}");
        }
    }

    fn open(&self, rebuild_index: bool) -> Result<Parts, OpenError> {
        let disk = Disk::on(self.dir.path(), std::sync::Arc::new(self.disk.clone()));
        Parts::open(disk, Options { rebuild_index, ..self.options.clone() })
    }

    /// Opens, through failures while opening.
    fn opened(&mut self) -> Parts {
        loop {
            let rebuilds = self.chance.one_in(8);
            let fails = self.chance.one_in(4);
            if fails {
                match self.chance.below(4) {
                    0 => self.disk.arm(disk::Act::Read, self.chance.below(40), ErrorKind::Other),
                    1 => self.disk.arm(disk::Act::Write, self.chance.below(5), ErrorKind::Other),
                    2 => self.disk.arm(disk::Act::Sync, self.chance.below(5), ErrorKind::Other),
                    _ => self.disk.cut_after(Some(1 + self.chance.below(20))),
                }
            }
            let opened = self.open(rebuilds);
            self.tell(&("opening", fails, opened.as_ref().err()));
            match opened {
                Ok(parts) => {
                    self.disk.disarm();
                    if self.disk.is_off() {
                        drop(parts);
                        self.die(End::PowerCut);
                        continue;
                    }
                    self.disk.cut_after(None);
                    return parts;
                }
                Err(OpenError::Io(_)) if fails => {}
                Err(error) => panic!("the store does not open: {error} {error:?}"),
            }
            self.disk.disarm();
            let end = if self.disk.is_off() { self.how() } else { End::Killed };
            self.die(end);
        }
    }

    fn how(&mut self) -> End {
        if self.chance.one_in(3) { End::Killed } else { End::PowerCut }
    }

    fn die(&mut self, end: End) {
        self.tell(&end);
        match end {
            End::Closed => {}
            End::Killed => self.disk.restart(),
            End::PowerCut => self.disk.power_cycle(),
        }
    }

    fn life(&mut self) {
        let mut parts = self.opened();
        self.settle(&parts);
        let end = self.how();
        if self.chance.one_in(2) {
            self.disk.cut_after(Some(1 + self.chance.below(200)));
        }
        for _ in 0..5 + self.chance.below(30) {
            self.trouble();
            self.step(&mut parts);
            if self.disk.is_off() || parts.shared.has_stopped() {
                break;
            }
        }
        self.disk.disarm();
        self.disk.set_free(None);
        let closes = !self.disk.is_off() && self.chance.one_in(4);
        if closes && !parts.shared.has_stopped() {
            let closed = beside_writer(&mut parts, Keeper::checkpoint);
            if !self.disk.is_off() {
                closed.unwrap();
                self.disk.cut_after(None);
                drop(parts);
                return self.die(End::Closed);
            }
        }
        drop(parts);
        self.die(end);
    }

    /// The store is what the model says, by its index, after compaction, and by its journal alone.
    fn last_life(&mut self) {
        self.disk.set_free(None);
        for rebuilds in [false, true] {
            let mut parts = self.open(rebuilds).unwrap();
            self.settle(&parts);
            if parts.shared.segment(1).is_some() || rebuilds {
                beside_writer(&mut parts, Keeper::compact_all).unwrap();
                self.settle(&parts);
            }
            beside_writer(&mut parts, Keeper::checkpoint).unwrap();
        }
    }

    /// Something that is about to fail.
    fn trouble(&mut self) {
        if self.chance.one_in(12) {
            let act = [disk::Act::Create, disk::Act::Write, disk::Act::Sync, disk::Act::Read]
                [self.chance.below(4) as usize];
            let kind =
                if self.chance.one_in(2) { ErrorKind::StorageFull } else { ErrorKind::Other };
            self.disk.arm(act, self.chance.below(6), kind);
            self.tell(&("armed", act, kind));
        }
        if self.chance.one_in(15) {
            self.disk.set_free(Some(self.chance.below(2 << 20)));
        } else if self.chance.one_in(3) {
            self.disk.set_free(None);
        }
    }

    fn step(&mut self, parts: &mut Parts) {
        if self.chance.one_in(5) {
            // The monotonic clock is the only one the store reads; it may have stood or leapt.
            let age = Duration::from_secs(self.chance.below(3) * 7);
            let all = self.chance.one_in(6);
            self.tell(&("keeper", age, all));
            beside_writer(parts, |keeper| {
                keeper.age(age);
                if all {
                    // It may fail for whatever is armed; what it left is looked at below.
                    drop(keeper.compact_all());
                } else {
                    keeper.look();
                }
            });
        } else {
            self.commands(parts);
        }
        if self.chance.one_in(6) {
            self.glance(parts);
        }
    }

    /// Several commands that wait for the writer together.
    fn commands(&mut self, parts: &mut Parts) {
        let longest = self.options.segment_bytes * 3 / 2;
        let acts: Vec<_> =
            (0..=self.chance.below(5)).map(|_| Act::by(&mut self.chance, longest)).collect();
        let (append, preserve) = handles(parts);
        let mut waiting: Vec<_> = acts.iter().map(|act| told(&append, &preserve, act)).collect();
        waiting.iter_mut().for_each(|told| assert!(poll(told).is_none()));
        parts.queue.close();
        parts.writer.run(&mut parts.commands);
        for (act, mut told) in acts.into_iter().zip(waiting) {
            let answer = poll(&mut told).expect("the writer answers everybody");
            self.tell(&(&act, &answer));
            match answer {
                Ok(change) => {
                    let before = (!self.maybe.is_empty()).then(|| self.held.clone());
                    self.held.apply(&act);
                    // Then only what needed no writing: a hold on nothing, the end of none.
                    assert!(before.is_none_or(|before| before == self.held), "after a stop");
                    if let (Act::Commit { account, .. }, Some(change)) = (&act, change) {
                        assert_eq!(Some(&change.seq), self.held.changes.get(account));
                    }
                }
                Err(CommitError::Full) => {}
                Err(CommitError::Stopped) => {
                    assert!(parts.shared.has_stopped());
                    self.maybe.push(act);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A look at some row while things fail: it is right, or an error that was arranged.
    fn glance(&mut self, parts: &Parts) {
        let account = ACCOUNTS[self.chance.below(2) as usize];
        let kind = KINDS[self.chance.below(2) as usize];
        let row = Row(self.chance.below(7));
        let read = Read { shared: parts.shared.clone() };
        match read.get(account, kind, row) {
            Ok(value) => {
                let want = self.held.rows.get(&key(account, kind.table(), row.0));
                assert_eq!(value.as_ref(), want);
            }
            Err(ReadError::Io(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What is found after an opening is what was acknowledged, and some of what came after, in
    /// order. From then on it is what is held.
    fn settle(&mut self, parts: &Parts) {
        let found = found(parts);
        let mut candidate = self.held.clone();
        let maybe = std::mem::take(&mut self.maybe);
        let mut acts = maybe.iter();
        while candidate != found {
            let Some(act) = acts.next() else {
                panic!(
                    "found neither what was acknowledged nor that and what came after: {:?} for {:?}",
                    sizes(&found),
                    sizes(&self.held)
                )
            };
            candidate.apply(act);
        }
        self.held = candidate;
    }
}

fn sizes(held: &Held) -> (Vec<(String, usize)>, Vec<u64>, usize) {
    let rows = held.rows.iter().map(|(key, value)| (format!("{key:02x?}"), value.len())).collect();
    (rows, held.changes.values().copied().collect(), held.holds.len())
}

fn handles(parts: &Parts) -> (Append, Preserve) {
    let (queue, shared) = (parts.queue.clone(), parts.shared.clone());
    (Append { queue: queue.clone() }, Preserve { shared, queue })
}

type Told<'a> = Pin<Box<dyn Future<Output = Result<Option<Change>, CommitError>> + 'a>>;

fn told<'a>(append: &'a Append, preserve: &'a Preserve, act: &Act) -> Told<'a> {
    match act.clone() {
        Act::Commit { account, puts } => {
            let batch = puts.into_iter().fold(
                Batch::new(account),
                |batch, ((kind, row), value)| match value {
                    Some(value) => batch.put(kind, row, value),
                    None => batch.delete(kind, row),
                },
            );
            Box::pin(async move { append.commit(batch).await.map(Some) })
        }
        Act::Hold { hold, account, rows } => {
            Box::pin(async move { preserve.hold(hold, account, rows).await.map(|_| None) })
        }
        Act::Release { hold } => {
            Box::pin(async move { preserve.release(hold).await.map(|_| None) })
        }
    }
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Lets the keeper act while the writer answers it; only one of them moves at a time.
fn beside_writer<T>(parts: &mut Parts, act: impl FnOnce(&mut Keeper) -> T) -> T {
    let Parts { queue, commands, writer, keeper, asked, .. } = parts;
    let result = std::thread::scope(|scope| {
        scope.spawn(|| writer.run(commands));
        let result = act(keeper);
        queue.close();
        result
    });
    asked.try_iter().for_each(drop);
    result
}

fn found(parts: &Parts) -> Held {
    let read = Read { shared: parts.shared.clone() };
    let (_, preserve) = handles(parts);
    let mut held = Held::default();
    for account in ACCOUNTS {
        let (mut records, mut bytes) = (0, 0);
        for kind in KINDS {
            for row in read.scan(account, kind, Row(0)) {
                let (row, value) = row.unwrap();
                (records, bytes) = (records + 1, bytes + value.len() as u64);
                held.rows.insert(key(account, kind.table(), row.0), value);
            }
        }
        let usage = read.usage(account).unwrap();
        assert_eq!((usage.records, usage.bytes), (records, bytes));
        let change = read.change(account).unwrap();
        if change > 0 {
            held.changes.insert(account, change);
        }
    }
    for hold in HOLDS {
        for row in preserve.held(hold) {
            let row = row.unwrap();
            let value = preserve.read(hold, row.account, row.kind, row.row).unwrap().unwrap();
            let key = key(row.account, row.kind.table(), row.row.0);
            held.holds.entry(hold).or_default().insert(key, value);
        }
    }
    held
}
