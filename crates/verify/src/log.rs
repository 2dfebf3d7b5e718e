//! A whole log, checked: signed, witnessed, complete, well formed, and opened when it promised.
//!
//! Invariant: counts are of what is in the log and nothing else; a sealed leaf past its day is
//! named.
//! Refs: specs/log-entry.md §2, §6–§8; C2SP tlog-tiles.

use crate::clock::utc;
use crate::report::{Report, whole};
use custody::leaf::{Act, SEALED_SECONDS_MAX};
use custody::receipt::AHEAD_SECONDS_MAX;
use custody::{FieldId, Leaf, LeafOpening, Place, TrustPolicy};
use seal::mac::sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tlog::{Accepted, Freshness, Resource, SignedNote, SourceError, TileSource};
use vocab::Timestamp;

/// Octets of one published opening.
const OPENING_BYTES_MAX: usize = 1024 * 1024;

/// A log's files in a directory.
struct LogFiles(PathBuf);

impl LogFiles {
    fn read(&self, resource: Resource, limit: usize) -> Result<Vec<u8>, SourceError> {
        let path = self.0.join(resource.to_string());
        if !path.is_file() {
            return Err(SourceError::Missing(resource));
        }
        crate::input::octets(&path, limit)
            .map_err(|why| SourceError::Unreadable { resource, source: why.into() })
    }
}

impl TileSource for LogFiles {
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.read(Resource::Tile { level, index, width }, 8192)
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.read(Resource::Entries { index, width }, 256 * (65_535 + 2))
    }
}

/// What is kept of each leaf while reading.
#[derive(Default)]
struct Seen {
    /// Entries that are no leaves.
    strange: Vec<u64>,
    /// The first leaf out of number, if any.
    misnumbered: Option<u64>,
    /// Leaves that close a month with a number that is not its.
    miscounted: Vec<u64>,
    month: u32,
    seq: u64,
    counts: BTreeMap<Act, u64>,
    /// Sealed leaves by index.
    sealed: BTreeMap<u64, Leaf>,
    /// The day of each by `open_by`, or by the last leaf that keeps it sealed longer.
    days: BTreeMap<u64, Timestamp>,
    /// Sealed leaves that one kept longer, and leaves that would and do not count.
    kept: BTreeSet<u64>,
    void: BTreeSet<u64>,
    /// Opening leaves: theirs, and what they name.
    openings: Vec<(u64, Leaf)>,
}

impl Seen {
    fn entry(&mut self, index: u64, octets: &[u8]) {
        let Ok(leaf) = Leaf::decode(octets) else {
            self.strange.push(index);
            return;
        };
        let closed = self.seq;
        let follows = if leaf.place.month == self.month {
            leaf.place.seq == self.seq.saturating_add(1)
        } else {
            leaf.place.month > self.month && leaf.place.seq == 1
        };
        // A month is closed by the first leaf of the next one that has any.
        let opens_month = leaf.place.month != self.month && self.month != 0;
        let closes = leaf.act == Some(Act::MonthClose);
        let count = leaf.public(FieldId::COUNT);
        if opens_month != closes || closes && count != Some(&closed.to_be_bytes()) {
            self.miscounted.push(index);
        }
        if !follows && self.misnumbered.is_none() {
            self.misnumbered = Some(index);
        }
        (self.month, self.seq) = (leaf.place.month, leaf.place.seq);
        match leaf.act {
            None => {
                self.days.extend(leaf.open_by().map(|day| (index, day)));
                self.sealed.insert(index, leaf);
            }
            Some(act) => {
                *self.counts.entry(act).or_default() += 1;
                if act == Act::SecrecyRenewed && self.keeps(&leaf).is_none() {
                    self.void.insert(index);
                }
                if act == Act::Opening {
                    self.openings.push((index, leaf));
                }
            }
        }
    }

    /// Takes in a leaf that keeps others sealed longer; `None` if it does not count for one of
    /// them (specs/log-entry.md §7).
    fn keeps(&mut self, leaf: &Leaf) -> Option<()> {
        let until = number(leaf.public(FieldId::VALID_UNTIL)?)?;
        let month = leaf.place.epoch();
        let begins = seal::epoch::begins(month);
        let latest = seal::epoch::ends(month).0.saturating_add(SEALED_SECONDS_MAX);
        let mut all = Some(());
        for index in indexes(leaf) {
            // Only earlier entries have a day yet.
            let day = index.and_then(|index| Some((index, self.days.get_mut(&index)?)));
            match day {
                Some((index, day)) if begins <= *day && day.0 <= until && until <= latest => {
                    *day = Timestamp(until);
                    self.kept.insert(index);
                }
                Some(_) | None => all = None,
            }
        }
        all
    }
}

fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// The entries that a leaf names.
fn indexes(leaf: &Leaf) -> impl Iterator<Item = Option<u64>> {
    let named = leaf.public.iter().filter(|field| field.id == FieldId::INDEX);
    named.map(|field| number(&field.value))
}

/// Checks a log's directory as of `now`, and tells what is in it.
pub(crate) fn check(
    folder: &Path,
    trust: &TrustPolicy,
    now: Timestamp,
) -> anyhow::Result<(Report, String)> {
    let mut report = Report::default();
    let note = crate::input::octets(&folder.join("checkpoint"), tlog::NOTE_BYTES_MAX)?;
    let note = SignedNote::parse(&note).map_err(|why| whole(&why));
    let what = "The checkpoint is signed by the log and cosigned by a quorum of witnesses";
    let accepted = note.and_then(|note| {
        let accepted = satisfied(trust, &note, now)?;
        if accepted.witnesses.is_empty() {
            return Err("no witness cosigned it".to_owned());
        }
        Ok(accepted)
    });
    let Some(accepted) = report.check(what, accepted) else {
        report.skip("The log's entries");
        return Ok((report, String::new()));
    };
    let names =
        accepted.witnesses.iter().map(|(key, at)| format!("`{}` on {}", key.name(), utc(*at)));
    report.pass(format!("Cosigned by {}", names.collect::<Vec<_>>().join(" and ")));
    let mut seen = Seen::default();
    let source = LogFiles(folder.to_owned());
    let audited =
        tlog::audit(&source, &accepted.checkpoint, |index, entry| seen.entry(index, entry));
    let what =
        format!("All {} entries are there and make the signed tree", accepted.checkpoint.size);
    if report.check(what, audited.map_err(|why| whole(&why))).is_none() {
        report.skip("What the entries say");
        return Ok((report, String::new()));
    }
    entries(&mut report, &seen, now);
    let opened = openings(&mut report, folder, &seen);
    overdue(&mut report, &seen, &opened, now);
    Ok((report, told(&seen, &opened)))
}

/// Signed, cosigned, and lately: an old copy would pass for a log without its newest entries.
fn satisfied<'a>(
    trust: &'a TrustPolicy,
    note: &SignedNote,
    now: Timestamp,
) -> Result<Accepted<'a>, String> {
    let age_seconds_max = trust.log.cosignature_seconds_max();
    let policy = trust.log.policy();
    policy.satisfied(note, Some(Freshness { now, age_seconds_max })).map_err(|why| {
        match policy.satisfied(note, None) {
            Ok(_) => format!(
                "the cosignatures are not of {} or shortly before: for an older copy give --at",
                utc(now)
            ),
            Err(_) => whole(&why),
        }
    })
}

fn entries(report: &mut Report, seen: &Seen, now: Timestamp) {
    let none = |first: Option<&u64>| match first {
        None => Ok(()),
        Some(index) => Err(format!("not entry {index}")),
    };
    report.check("Every entry is a leaf", none(seen.strange.first()));
    let what = "The leaves of each month are numbered without a gap";
    report.check(what, none(seen.misnumbered.as_ref()));
    let what = "Every month was closed with its true number of leaves";
    report.check(what, none(seen.miscounted.first()));
    let month = Place { month: seen.month, seq: seen.seq }.epoch();
    let ahead = seal::epoch::begins(month).0 > now.0.saturating_add(AHEAD_SECONDS_MAX);
    let dated = if ahead { Err(format!("not in {}", seen.month)) } else { Ok(()) };
    report.check("No leaf is dated ahead", dated);
}

/// Every opening against the sealed leaf it opens. Gives those that hold.
fn openings(report: &mut Report, folder: &Path, seen: &Seen) -> BTreeMap<u64, LeafOpening> {
    let mut opened = BTreeMap::new();
    let mut faults = Vec::new();
    for (at, leaf) in &seen.openings {
        match opening(folder, seen, *at, leaf) {
            Ok(fitting) => opened.extend(fitting),
            Err(why) => faults.push(format!("entry {at}: {why}")),
        }
    }
    let what = format!("All {} published openings fit their sealed leaves", opened.len());
    report.check(what, if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) });
    opened
}

fn opening(
    folder: &Path,
    seen: &Seen,
    at: u64,
    leaf: &Leaf,
) -> Result<Vec<(u64, LeafOpening)>, String> {
    let (mut fitting, mut digests) = (Vec::new(), Vec::new());
    for index in indexes(leaf) {
        let index = index.filter(|index| *index < at).ok_or("it names no earlier entry")?;
        let sealed = seen.sealed.get(&index).ok_or(format!("entry {index} is not sealed"))?;
        let path = folder.join("openings").join(format!("{index}.json"));
        let opening: LeafOpening =
            crate::input::json(&path, OPENING_BYTES_MAX).map_err(|why| format!("{why:#}"))?;
        opening.check(sealed).map_err(|why| format!("entry {index}: {why}"))?;
        opening.value(FieldId::ACT).ok_or(format!("the opening of {index} shows no act"))?;
        digests.push(opening.digest().0);
        fitting.push((index, opening));
    }
    let named = sha256(&[b"bailiwick.v1 openings\0", digests.as_flattened()]);
    if leaf.public(FieldId::SUBJECT) == Some(&named.0) {
        Ok(fitting)
    } else {
        Err("the openings published are not the ones it names".to_owned())
    }
}

/// specs/log-entry.md §7: past its day, which others may have put off, a leaf is open.
fn overdue(report: &mut Report, seen: &Seen, opened: &BTreeMap<u64, LeafOpening>, now: Timestamp) {
    let none = |bad: &BTreeSet<u64>| {
        let bad: Vec<String> = bad.iter().map(u64::to_string).collect();
        if bad.is_empty() { Ok(()) } else { Err(format!("not {}", bad.join(", "))) }
    };
    let due = seen.days.iter().filter(|(_, day)| **day < now).map(|(index, _)| *index);
    let mut late: BTreeSet<u64> = due.filter(|index| !opened.contains_key(index)).collect();
    late.extend(opened_late(seen));
    report.check(format!("Every sealed leaf due by {} was opened in time", utc(now)), none(&late));
    let what = format!("All {} leaves kept sealed longer were so in time", seen.kept.len());
    report.check(what, none(&seen.void));
}

/// Sealed leaves that the log opened in a later month than that of their day. In which month a
/// leaf was logged is all it shows of when.
fn opened_late(seen: &Seen) -> BTreeSet<u64> {
    let mut first: BTreeMap<u64, Place> = BTreeMap::new();
    for (_, leaf) in &seen.openings {
        for index in indexes(leaf).flatten() {
            first.entry(index).or_insert(leaf.place);
        }
    }
    let late = first.into_iter().filter(|(index, place)| {
        let day = seen.days.get(index);
        day.is_some_and(|day| seal::epoch::begins(place.epoch()) > *day)
    });
    late.map(|(index, _)| index).collect()
}

/// The counts, for the transparency report.
fn told(seen: &Seen, opened: &BTreeMap<u64, LeafOpening>) -> String {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (act, count) in &seen.counts {
        counts.entry(act.name()).or_default().0 += count;
    }
    for opening in opened.values() {
        let tag = opening.value(FieldId::ACT).and_then(|value| value.first()).copied();
        let name = tag.and_then(Act::from_tag).map_or("dummy", Act::name);
        counts.entry(name).or_default().1 += 1;
    }
    let closed = |index: &&u64| !opened.contains_key(index);
    let kept = seen.kept.iter().filter(closed).count();
    let closed = seen.sealed.keys().filter(closed).count();
    let mut out = format!("\n  {:<20} {:>8} {:>8}\n", "Act", "in clear", "opened");
    for (name, (clear, opened)) in counts {
        out.push_str(&format!("  {name:<20} {clear:>8} {opened:>8}\n"));
    }
    out.push_str(&format!("  {:<20} {closed:>8}\n", "still sealed"));
    out.push_str(&format!("  {:<20} {kept:>8}\n", "of them kept longer"));
    out
}
