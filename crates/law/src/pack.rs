//! Packs: the rules of one place, by date, each cited.
//!
//! Invariant: a pack that loads has no uncited rule, no rule in two versions on one day, no
//! rule that asks whether a fact is known, and no name the facts do not have. Loading does
//! no I/O; the files are handed in.
//! Refs: packs/README.md.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use jiff::civil::Date;
use serde::Deserialize;

use crate::citation::{Citation, Mark};
use crate::deadline::Calendar;
use crate::facts::Instrument;
use crate::opinion::{NoticeDuty, PackVersion};
use crate::rule::{Rule, read_rules};

/// Octets one file of a pack may have.
const FILE_OCTETS_MAX: usize = 256 * 1024;
/// Files a pack may have.
const FILES_MAX: usize = 64;
/// Rules a pack may have.
const RULES_MAX: usize = 500;
/// Entries a list of `pack.toml` may have.
const ENTRIES_MAX: usize = 2_000;

/// Why a pack was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A file as a whole.
    #[error("pack file `{file}`: {problem}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong, and how to cure it.
        problem: String,
    },
    /// One rule or entry of a file.
    #[error("pack file `{file}`, rule `{rule}`: {problem}")]
    Rule {
        /// The file's name.
        file: String,
        /// The rule's id, or its place in the file.
        rule: String,
        /// What is wrong, and how to cure it.
        problem: String,
    },
    /// The packs together.
    #[error("pack `{pack}`: {problem}")]
    Together {
        /// The pack's id.
        pack: String,
        /// What is wrong, and how to cure it.
        problem: String,
    },
}

/// What an instrument asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// That data be handed over.
    Production,
    /// That data be kept.
    Preservation,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    pack: Head,
    #[serde(default)]
    calendar: CalendarEntry,
    #[serde(default)]
    citation: Vec<CitationEntry>,
    #[serde(default)]
    instrument: Vec<InstrumentEntry>,
    #[serde(default)]
    clock: Vec<ClockEntry>,
    #[serde(default)]
    route: Vec<RouteEntry>,
    #[serde(default)]
    notice: Vec<NoticeEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    id: String,
    name: String,
    version: u32,
    as_of: Date,
    covers_from: Date,
    #[serde(default)]
    shares: Vec<String>,
    approved_by: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarEntry {
    #[serde(default)]
    holidays: Vec<Date>,
}

/// A passage of law, as `pack.toml` names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CitationEntry {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) mark: Mark,
    pub(crate) from: Option<Date>,
    pub(crate) until: Option<Date>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstrumentEntry {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) asks: Asks,
    pub(crate) cite: String,
}

/// Whether a clock limits the answer or the keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClockKind {
    Answer,
    Preservation,
}

/// What a clock counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    #[default]
    Service,
    Issue,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockEntry {
    pub(crate) id: String,
    pub(crate) kind: ClockKind,
    #[serde(default)]
    pub(crate) from: Start,
    pub(crate) days: Option<u16>,
    pub(crate) hours: Option<u16>,
    /// The outer limit ends on a working day.
    #[serde(default)]
    pub(crate) rolls: bool,
    /// Nothing is transmitted before the limit unless the enforcing authority clears it.
    #[serde(default)]
    pub(crate) suspensive: bool,
    /// What the policy clock says when nothing is produced.
    pub(crate) on_refusal: Option<String>,
    /// How many days one renewal adds to a preservation.
    pub(crate) renew_days: Option<u16>,
    pub(crate) cite: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteEntry {
    pub(crate) id: String,
    pub(crate) words: String,
    /// Whether it leads to another State's authorities; false for a door in the same State.
    #[serde(default = "refers")]
    pub(crate) refers: bool,
    pub(crate) cite: String,
}

const fn refers() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeEntry {
    pub(crate) id: String,
    pub(crate) duty: NoticeDuty,
    pub(crate) words: String,
    pub(crate) cite: String,
}

/// The versioned rules of one place, or of several that share them.
#[derive(Debug, Clone)]
pub struct Pack {
    files: BTreeMap<String, String>,
    manifest: Manifest,
    calendar: Calendar,
    pub(crate) rules: Vec<Rule>,
}

impl Pack {
    /// Reads a pack from its files: `pack.toml` and any `*.cedar`, by name. What concerns other
    /// packs (shared packs, instruments, the schema) is checked by [`Packs::new`].
    ///
    /// # Errors
    /// Names the file and the rule, and the cure.
    pub fn load(files: &[(&str, &str)]) -> Result<Self, LoadError> {
        let files = bounded(files)?;
        let file = |problem: String| LoadError::File { file: "pack.toml".into(), problem };
        let text = files.get("pack.toml").ok_or_else(|| file("is missing".into()))?;
        let manifest: Manifest =
            toml::from_str(text).map_err(|error| file(toml_problem(text, &error)))?;
        manifest.check()?;
        let calendar = manifest.calendar()?;
        let mut rules = vec![];
        for (name, text) in files.iter().filter(|(name, _)| name.as_str() != "pack.toml") {
            if !name.ends_with(".cedar") {
                let problem = "is neither pack.toml nor a .cedar file".to_owned();
                return Err(LoadError::File { file: name.clone(), problem });
            }
            rules.extend(read_rules(&manifest.pack.id, name, text, &manifest.citation)?);
        }
        if rules.len() > RULES_MAX {
            return Err(file(format!("the pack has more than {RULES_MAX} rules")));
        }
        let pack = Self { files, manifest, calendar, rules };
        pack.check_versions()?;
        pack.check_references()?;
        Ok(pack)
    }

    /// The pack's id: `ie`, `eu`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.manifest.pack.id
    }

    /// The pack's name, in words.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.pack.name
    }

    /// Its version, the day its law was last looked at, and who approved it.
    #[must_use]
    pub fn version(&self) -> PackVersion {
        PackVersion {
            pack: self.id().to_owned(),
            version: self.manifest.pack.version,
            as_of: self.manifest.pack.as_of,
            approved_by: self.manifest.pack.approved_by.clone(),
        }
    }

    /// The octets whose digest goes into the log: for each file in the order of its name, the
    /// name's length (u32, big-endian), the name, the text's length (u64, big-endian), the text.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = b"bailiwick-pack-v1\n".to_vec();
        for (name, text) in &self.files {
            // `bounded` keeps both lengths far below these types' limits.
            out.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend(name.as_bytes());
            out.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out
    }

    /// The pack's working days.
    #[must_use]
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The instruments the pack declares, with their titles.
    pub fn instruments(&self) -> impl Iterator<Item = (Instrument, &str)> {
        self.manifest.instrument.iter().map(|one| (Instrument(one.id.clone()), one.title.as_str()))
    }

    /// The days on which this pack's law changes: where a rule begins or ends, sorted, after
    /// the first day the pack covers.
    #[must_use]
    pub fn changes(&self) -> BTreeSet<Date> {
        let ends = self.rules.iter().flat_map(|rule| [rule.from, rule.until]);
        let first = self.manifest.pack.covers_from;
        ends.flatten().filter(|day| *day > first).chain([first]).collect()
    }

    pub(crate) fn covers(&self, day: Date) -> bool {
        day >= self.manifest.pack.covers_from
    }

    pub(crate) fn shares(&self) -> &[String] {
        &self.manifest.pack.shares
    }

    pub(crate) fn clock(&self, id: &str) -> Option<&ClockEntry> {
        self.manifest.clock.iter().find(|one| one.id == id)
    }

    pub(crate) fn route(&self, id: &str) -> Option<&RouteEntry> {
        self.manifest.route.iter().find(|one| one.id == id)
    }

    pub(crate) fn notice(&self, id: &str) -> Option<&NoticeEntry> {
        self.manifest.notice.iter().find(|one| one.id == id)
    }

    /// The citation an entry of this pack names.
    pub(crate) fn cite(&self, entry: &str, id: &str) -> Option<Citation> {
        self.manifest.citation.iter().find(|one| one.id == id).map(|one| Citation {
            rule: format!("{}.{entry}", self.id()),
            text: one.text.clone(),
            mark: one.mark,
            from: one.from,
            until: one.until,
        })
    }

    /// No rule may be in force in two versions on one day.
    fn check_versions(&self) -> Result<(), LoadError> {
        let mut spans: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
        for rule in &self.rules {
            spans.entry(&rule.id).or_default().push(rule);
        }
        for versions in spans.values_mut() {
            versions.sort_by_key(|rule| rule.from);
            for (earlier, later) in versions.iter().zip(versions.iter().skip(1)) {
                let apart =
                    earlier.until.is_some_and(|end| later.from.is_some_and(|start| end <= start));
                if !apart {
                    return Err(later.refused(
                        "overlaps an earlier version of the same rule; end that one with @until \
                         no later than this one's @from, or choose another id",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whatever a rule points at must be in the same pack.
    fn check_references(&self) -> Result<(), LoadError> {
        for rule in &self.rules {
            for (key, id, found) in [
                (
                    "clock",
                    &rule.clock,
                    rule.clock.as_deref().and_then(|id| self.clock(id)).is_some(),
                ),
                (
                    "route",
                    &rule.route,
                    rule.route.as_deref().and_then(|id| self.route(id)).is_some(),
                ),
                (
                    "notice",
                    &rule.notice,
                    rule.notice.as_deref().and_then(|id| self.notice(id)).is_some(),
                ),
            ] {
                if let Some(id) = id
                    && !found
                {
                    return Err(rule
                        .refused(&format!("@{key} names `{id}`, which pack.toml does not have")));
                }
            }
        }
        Ok(())
    }
}

impl Manifest {
    fn check(&self) -> Result<(), LoadError> {
        let refuse = |rule: &str, problem: &str| {
            Err(LoadError::Rule {
                file: "pack.toml".into(),
                rule: rule.into(),
                problem: problem.into(),
            })
        };
        let id = &self.pack.id;
        if !(2..=8).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return refuse("pack", "the id is 2 to 8 lower-case letters");
        }
        let mut seen = BTreeSet::new();
        for (kind, id, cite) in self.entries() {
            if id.is_empty() || id.len() > 64 || id.contains(['"', '\\', '\n']) {
                return refuse(id, "an id is 1 to 64 characters without quotes");
            }
            if !seen.insert((kind, id)) {
                return refuse(id, &format!("a second {kind} of this id"));
            }
            if let Some(cite) = cite
                && !self.citation.iter().any(|one| one.id == cite)
            {
                return refuse(id, &format!("cites `{cite}`, which is no citation of this pack"));
            }
        }
        if seen.len() > ENTRIES_MAX || self.calendar.holidays.len() > ENTRIES_MAX {
            return refuse("pack", &format!("more than {ENTRIES_MAX} entries"));
        }
        for one in &self.citation {
            if one.text.trim().is_empty() {
                return refuse(&one.id, "the citation has no text");
            }
            if one.from.is_some() && one.until.is_some() && one.from >= one.until {
                return refuse(&one.id, "ends before it begins");
            }
        }
        for one in &self.clock {
            let preservation = one.kind == ClockKind::Preservation;
            if one.days.is_some() == one.hours.is_some() || (preservation && one.days.is_none()) {
                return refuse(&one.id, "a clock has either days or hours; a preservation, days");
            }
            // The day of issue may be unknown, and a wait that is not known is no wait.
            if one.suspensive && one.from != Start::Service {
                return refuse(&one.id, "a suspensive clock counts from service");
            }
        }
        for one in &self.instrument {
            let own = one.id.split_once('.').is_some_and(|(pack, _)| pack == self.pack.id);
            if !own || one.title.trim().is_empty() {
                return refuse(
                    &one.id,
                    "an instrument's id begins with its pack's, and has a title",
                );
            }
        }
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = (&'static str, &str, Option<&str>)> {
        let citations = self.citation.iter().map(|one| ("citation", one.id.as_str(), None));
        let instruments = self
            .instrument
            .iter()
            .map(|one| ("instrument", one.id.as_str(), Some(one.cite.as_str())));
        let clocks =
            self.clock.iter().map(|one| ("clock", one.id.as_str(), Some(one.cite.as_str())));
        let routes =
            self.route.iter().map(|one| ("route", one.id.as_str(), Some(one.cite.as_str())));
        let notices =
            self.notice.iter().map(|one| ("notice", one.id.as_str(), Some(one.cite.as_str())));
        citations.chain(instruments).chain(clocks).chain(routes).chain(notices)
    }

    fn calendar(&self) -> Result<Calendar, LoadError> {
        let mut holidays = self.calendar.holidays.clone();
        holidays.sort_unstable();
        holidays.dedup();
        if holidays.len() != self.calendar.holidays.len() {
            return Err(LoadError::Rule {
                file: "pack.toml".into(),
                rule: "calendar".into(),
                problem: "a holiday is listed twice".into(),
            });
        }
        Ok(Calendar { holidays })
    }
}

/// A toml error's message and line; the crate's own text quotes the file.
fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

fn bounded(files: &[(&str, &str)]) -> Result<BTreeMap<String, String>, LoadError> {
    let mut out = BTreeMap::new();
    for (name, text) in files {
        let refuse = |problem: String| Err(LoadError::File { file: (*name).into(), problem });
        if text.len() > FILE_OCTETS_MAX || name.len() > 128 {
            return refuse(format!(
                "is larger than {FILE_OCTETS_MAX} octets, or its name than 128"
            ));
        }
        if out.insert((*name).to_owned(), (*text).to_owned()).is_some() {
            return refuse("is given twice".into());
        }
        if out.len() > FILES_MAX {
            return refuse(format!("the pack has more than {FILES_MAX} files"));
        }
    }
    Ok(out)
}

/// All packs of an installation.
#[derive(Debug, Clone)]
pub struct Packs {
    packs: BTreeMap<String, Pack>,
}

impl Packs {
    /// Puts packs together: shared packs must be there, and every rule must be valid, strictly,
    /// against the facts and the instruments of all packs.
    ///
    /// # Errors
    /// Names the file and the rule, and the cure.
    pub fn new(packs: Vec<Pack>) -> Result<Self, LoadError> {
        let mut by_id = BTreeMap::new();
        for pack in packs {
            let id = pack.id().to_owned();
            if by_id.insert(id.clone(), pack).is_some() {
                return Err(LoadError::Together { pack: id, problem: "is given twice".into() });
            }
        }
        let packs = Self { packs: by_id };
        for pack in packs.packs.values() {
            for shared in pack.shares() {
                if !packs.packs.get(shared).is_some_and(|other| other.shares().is_empty()) {
                    return Err(LoadError::Together {
                        pack: pack.id().into(),
                        problem: format!("shares `{shared}`, which is not there or shares others"),
                    });
                }
            }
        }
        packs.validate()?;
        Ok(packs)
    }

    /// The packs this program was built with.
    ///
    /// # Errors
    /// As [`Packs::new`]; the tests keep it from happening.
    pub fn builtin() -> Result<Self, LoadError> {
        let packs: Result<Vec<Pack>, LoadError> =
            crate::builtin::FILES.iter().map(|files| Pack::load(files)).collect();
        Self::new(packs?)
    }

    /// Every pack, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Pack> {
        self.packs.values()
    }

    /// The pack of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Pack> {
        self.packs.get(id)
    }

    /// The packs whose law a cell is under on a day, its own first, then the shared ones; empty
    /// when there is no pack for the place or it does not go back that far.
    #[must_use]
    pub fn for_cell(&self, place: crate::place::Place, day: Date) -> Vec<&Pack> {
        let Some(own) = self.packs.get(&place.to_string()) else { return vec![] };
        if !own.covers(day) {
            return vec![];
        }
        let shared = own.shares().iter().filter_map(|id| self.packs.get(id));
        core::iter::once(own).chain(shared).collect()
    }

    /// What an instrument asks for, if any pack declares it.
    #[must_use]
    pub fn asks(&self, instrument: &Instrument) -> Option<Asks> {
        self.instrument(instrument).map(|one| one.asks)
    }

    /// An instrument's title, if any pack declares it.
    #[must_use]
    pub fn title(&self, instrument: &Instrument) -> Option<&str> {
        self.instrument(instrument).map(|one| one.title.as_str())
    }

    fn instrument(&self, instrument: &Instrument) -> Option<&InstrumentEntry> {
        self.packs
            .values()
            .flat_map(|pack| &pack.manifest.instrument)
            .find(|one| one.id == instrument.0)
    }

    fn schema(&self) -> Result<Schema, LoadError> {
        let names: Vec<String> = self
            .packs
            .values()
            .flat_map(|pack| &pack.manifest.instrument)
            .map(|one| format!("\"{}\"", one.id))
            .collect();
        // Cedar's enumerations are never empty.
        let names = if names.is_empty() { "\"none\"".into() } else { names.join(", ") };
        let text = include_str!("facts.cedarschema").replace("INSTRUMENTS", &names);
        let refuse =
            |problem: String| LoadError::File { file: "facts.cedarschema".into(), problem };
        let (schema, warnings) =
            Schema::from_cedarschema_str(&text).map_err(|error| refuse(error.to_string()))?;
        match warnings.into_iter().next() {
            Some(warning) => Err(refuse(warning.to_string())),
            None => Ok(schema),
        }
    }

    fn validate(&self) -> Result<(), LoadError> {
        let validator = Validator::new(self.schema()?);
        for rule in self.packs.values().flat_map(|pack| &pack.rules) {
            let mut set = PolicySet::new();
            set.add(rule.policy.clone()).map_err(|error| rule.refused(&error.to_string()))?;
            let result = validator.validate(&set, ValidationMode::Strict);
            if let Some(error) = result.validation_errors().next() {
                return Err(rule.refused(&error.to_string()));
            }
            // A warning is a rule that can never apply, or says what it does not mean.
            if let Some(warning) = result.validation_warnings().next() {
                return Err(rule.refused(&warning.to_string()));
            }
        }
        Ok(())
    }
}
