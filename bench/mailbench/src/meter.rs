//! What a phase cost: time, the server's processor time, and what others used meanwhile.
//!
//! Invariant: a server is a tree of processes; a child that ended is counted through its
//! parent, which has waited for it (proc(5), cutime and cstime).

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Clock ticks a second in /proc, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// The figures of one phase, as the line of JSON will have them.
pub(crate) type Figures = Map<String, Value>;

/// Rounds to a thousandth, the resolution that is claimed.
pub(crate) fn thousandths(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

/// Puts the middle and the 95th of a hundred into the figures, in milliseconds.
pub(crate) fn latencies(figures: &mut Figures, name: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    for (suffix, part) in [("p50_ms", 0.5), ("p95_ms", 0.95)] {
        let at = (seconds.len() as f64 * part) as usize;
        if let Some(value) = seconds.get(at.min(seconds.len().saturating_sub(1))) {
            figures.insert(format!("{name}_{suffix}"), thousandths(value * 1000.0));
        }
    }
}

struct Process {
    parent: u32,
    seconds: f64,
    waited_seconds: f64,
}

fn process(pid: u32) -> Option<Process> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; what follows it is numbers.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        seconds: (ticks(11)? + ticks(12)?) / TICKS,
        waited_seconds: (ticks(13)? + ticks(14)?) / TICKS,
    })
}

/// These processes and everything they ever started that still runs.
fn tree(roots: &[u32]) -> HashMap<u32, Process> {
    let Ok(listing) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let pids = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut all: HashMap<u32, Process> =
        pids.filter_map(|pid| Some((pid, process(pid)?))).collect();
    let ours = |mut pid: u32| loop {
        if roots.contains(&pid) {
            return true;
        }
        match all.get(&pid) {
            Some(process) if process.parent != pid => pid = process.parent,
            _ => return false,
        }
    };
    let mine: HashSet<u32> = all.keys().copied().filter(|pid| ours(*pid)).collect();
    all.retain(|pid, _| mine.contains(pid));
    all
}

fn tree_seconds(roots: &[u32]) -> f64 {
    tree(roots).values().map(|process| process.seconds + process.waited_seconds).sum()
}

/// The number after a name in a file of such lines.
fn named(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Memory of these processes, in KiB, each page they share divided among those who share it.
pub(crate) fn tree_pss_kib(roots: &[u32]) -> u64 {
    tree(roots).keys().map(|pid| named(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

/// Waits until these processes have used less than a hundredth of a core for some seconds (a server
/// may wait that long before it tidies up), or for the limit.
pub(crate) fn wait_for_calm(roots: &[u32], limit: Duration) {
    const CALM: Duration = Duration::from_secs(5);
    let end = Instant::now() + limit;
    let mut before = tree_seconds(roots);
    while Instant::now() < end {
        sleep(CALM);
        let now = tree_seconds(roots);
        if now - before < 0.01 * CALM.as_secs_f64() {
            return;
        }
        before = now;
    }
}

/// Processor time of the whole machine.
fn machine_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, irq, softirq; not idle, not waiting for the disk.
    [0, 1, 2, 5, 6].iter().filter_map(|field| ticks.get(*field)).sum::<f64>() / TICKS
}

/// A clock that also reads processor time.
pub(crate) struct Meter {
    roots: Vec<u32>,
    began: Instant,
    server: f64,
    machine: f64,
    own: f64,
}

fn own_seconds() -> f64 {
    process(std::process::id()).map_or(0.0, |process| process.seconds)
}

impl Meter {
    pub(crate) fn start(roots: Vec<u32>) -> Result<Self> {
        for pid in &roots {
            process(*pid)
                .with_context(|| format!("the server is not running: no process {pid}"))?;
        }
        let (server, machine, own) = (tree_seconds(&roots), machine_seconds(), own_seconds());
        Ok(Self { roots, began: Instant::now(), server, machine, own })
    }

    /// Seconds of the server's processor time since the start.
    pub(crate) fn server_seconds(&self) -> f64 {
        (tree_seconds(&self.roots) - self.server).max(0.0)
    }

    /// Adds what the phase cost, and how many cores anybody else kept busy meanwhile.
    pub(crate) fn stop(&self, figures: &mut Figures) {
        let wall = self.began.elapsed().as_secs_f64();
        let (server, own) = (self.server_seconds(), own_seconds() - self.own);
        let others = (machine_seconds() - self.machine - server - own).max(0.0);
        figures.insert("wall_s".into(), thousandths(wall));
        figures.insert("server_cpu_s".into(), thousandths(server));
        figures.insert("harness_cpu_s".into(), thousandths(own));
        figures.insert("other_cores".into(), thousandths(others / wall.max(0.02)));
    }
}
