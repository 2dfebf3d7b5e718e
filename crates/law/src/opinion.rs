//! Opinions: what the law says about each item of a demand, and what follows.
//!
//! Invariant: every opinion but [`Opinion::NoBasis`] and [`Opinion::Undetermined`] names at
//! least one citation; the type has no other way to be built.
//! Refs: docs/adr/0004-law-engine.md.

use core::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use vocab::DataCategory;

use crate::citation::Citation;
use crate::deadline::{Moment, When};
use crate::facts::{Fact, Instrument, category};
use crate::place::Place;
use crate::reason::ReasonCode;

/// The citations an opinion rests on: never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Citation>", into = "Vec<Citation>")]
pub struct Grounds(Citation, Vec<Citation>);

impl Grounds {
    pub(crate) fn new(citations: Vec<Citation>) -> Option<Self> {
        let mut rest = citations.into_iter();
        Some(Self(rest.next()?, rest.collect()))
    }

    /// The citations, at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Citation> {
        core::iter::once(&self.0).chain(&self.1)
    }
}

impl TryFrom<Vec<Citation>> for Grounds {
    type Error = &'static str;

    fn try_from(citations: Vec<Citation>) -> Result<Self, Self::Error> {
        Self::new(citations).ok_or("grounds name at least one citation")
    }
}

impl From<Grounds> for Vec<Citation> {
    fn from(grounds: Grounds) -> Self {
        let mut all = vec![grounds.0];
        all.extend(grounds.1);
        all
    }
}

/// What the law of the day says about one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// Produce it.
    Comply(Grounds),
    /// Produce a part of it.
    Narrow(Grounds),
    /// Refuse it, with the part's reason codes.
    Refuse(Grounds),
    /// Send the authority to the right door.
    Refer(Grounds),
    /// Object before the court or authority; produce nothing meanwhile.
    Object(Grounds),
    /// Wait, or ask; produce nothing meanwhile.
    Hold(Grounds),
    /// Preserve it; disclose nothing.
    Preserve(Grounds),
    /// No rule permits it: nothing is produced, and a person decides.
    NoBasis,
    /// Facts are missing, or a rule could not be evaluated: a person decides.
    Undetermined {
        /// The facts that are missing, by name.
        needs: Vec<String>,
        /// What could not be decided.
        because: String,
        /// What the rules that could not be applied cite; empty if not even the law is fixed.
        turns_on: Vec<Citation>,
    },
}

impl Opinion {
    /// The opinion's one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Comply(_) => "comply",
            Self::Narrow(_) => "narrow",
            Self::Refuse(_) => "refuse",
            Self::Refer(_) => "refer",
            Self::Object(_) => "object",
            Self::Hold(_) => "hold",
            Self::Preserve(_) => "preserve",
            Self::NoBasis => "no basis",
            Self::Undetermined { .. } => "undetermined",
        }
    }

    /// The citations it rests on.
    #[must_use]
    pub const fn grounds(&self) -> Option<&Grounds> {
        match self {
            Self::Comply(grounds)
            | Self::Narrow(grounds)
            | Self::Refuse(grounds)
            | Self::Refer(grounds)
            | Self::Object(grounds)
            | Self::Hold(grounds)
            | Self::Preserve(grounds) => Some(grounds),
            Self::NoBasis | Self::Undetermined { .. } => None,
        }
    }

    /// What the rules cite that could not be applied.
    #[must_use]
    pub fn turns_on(&self) -> &[Citation] {
        match self {
            Self::Undetermined { turns_on, .. } => turns_on,
            Self::Comply(_)
            | Self::Narrow(_)
            | Self::Refuse(_)
            | Self::Refer(_)
            | Self::Object(_)
            | Self::Hold(_)
            | Self::Preserve(_)
            | Self::NoBasis => &[],
        }
    }

    /// Whether anything leaves under it.
    #[must_use]
    pub const fn produces(&self) -> bool {
        match self {
            Self::Comply(_) | Self::Narrow(_) => true,
            Self::Refuse(_)
            | Self::Refer(_)
            | Self::Object(_)
            | Self::Hold(_)
            | Self::Preserve(_)
            | Self::NoBasis
            | Self::Undetermined { .. } => false,
        }
    }
}

/// In what form an item is produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Produce {
    /// Nothing.
    Nothing,
    /// The sealed octets, what is known about them, and a statement that no key is held.
    Ciphertext,
    /// Readable.
    Plaintext,
}

/// The right door for a demand sent to the wrong one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its id in the pack: `us-ie-mlat`.
    pub id: String,
    /// Where to go, in words for the authority.
    pub words: String,
    /// Whether it leads to another State's authorities; false for a door in the same State.
    pub refers: bool,
    /// What it rests on.
    pub citation: Citation,
}

/// The opinion on one item of a demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The item, as the demand calls it.
    pub item: String,
    /// Its legal category.
    #[serde(with = "category")]
    pub category: Fact<DataCategory>,
    /// What the law says.
    pub opinion: Opinion,
    /// Coded reasons, sorted.
    pub reasons: Vec<ReasonCode>,
    /// In what form it is produced; [`Produce::Nothing`] unless the opinion produces.
    pub produce: Produce,
    /// Nothing may be transmitted before this, unless the enforcing authority clears it; also
    /// when the opinion is that nothing is produced, should a person decide otherwise.
    pub not_before: Option<When>,
    /// Why it must be preserved now, if the law says so.
    pub preserve: Option<Grounds>,
    /// The right door, if this is not it.
    pub route: Option<Route>,
    /// Why the law is contested here; empty when it is not.
    pub review: Vec<String>,
    /// The rules that applied, as `pack.rule`, sorted.
    pub rules: Vec<String>,
}

impl Part {
    /// The category, when it is known.
    #[must_use]
    pub fn data_category(&self) -> Option<DataCategory> {
        self.category.known().copied()
    }
}

/// What the parts come to, in the words of the replay cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// All that is not objected to or held is produced.
    Accept,
    /// A part is produced, a part is not.
    Narrow,
    /// Refused.
    Reject,
    /// Waits.
    Hold,
    /// An objection is raised.
    Object,
    /// The authority is sent to mutual legal assistance, or another right door.
    ReferMlat,
    /// Preserved, not disclosed.
    Preserve,
    /// Some part has no basis: a person decides.
    NoBasis,
    /// Some part is undetermined: a person decides.
    Undetermined,
}

impl Decision {
    /// The word the replay cases use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Narrow => "NARROW",
            Self::Reject => "REJECT",
            Self::Hold => "HOLD",
            Self::Object => "OBJECT",
            Self::ReferMlat => "REFER_MLAT",
            Self::Preserve => "PRESERVE",
            Self::NoBasis => "NO_BASIS",
            Self::Undetermined => "UNDETERMINED",
        }
    }
}

/// The time limits of a demand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The raw arithmetic: answer by then.
    pub policy: Option<When>,
    /// The legal limit.
    pub outer: Option<When>,
    /// Preserved data are released at the end of this day, unless renewed.
    pub preserve_until: Option<Date>,
    /// The latest a single renewal can reach.
    pub preserve_renewed_until: Option<Date>,
    /// What the limits rest on.
    pub citations: Vec<Citation>,
    /// What a careful reader should know about them.
    pub notes: Vec<String>,
}

/// Who tells the person concerned, from the least to the most open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeDuty {
    /// Nobody.
    Withheld,
    /// The authority does; the provider keeps silent.
    ByAuthority,
    /// The provider, when the secrecy ends.
    AfterSecrecy,
    /// The provider may.
    MayTell,
}

/// Whether and when the person concerned is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who tells.
    pub duty: NoticeDuty,
    /// The last day of secrecy, for [`NoticeDuty::AfterSecrecy`], when it is known.
    pub secrecy_until: Option<Date>,
    /// In words.
    pub words: String,
    /// What it rests on.
    pub citation: Citation,
}

/// What becomes of the secrecy claimed with a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secrecy {
    /// Nobody has established whether any is claimed: keep silent.
    Unknown,
    /// None is claimed.
    None,
    /// Only asked for: none in law, subject to counsel.
    AskedOnly,
    /// A statute or order binds.
    Binds {
        /// The last day; `None` where there is no end, which is to be challenged.
        until: Option<Date>,
    },
}

/// What counsel should know besides the opinion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// In words.
    pub words: String,
    /// What it rests on; empty for what is said of the packs themselves.
    pub citations: Vec<Citation>,
}

/// A pack as it stood when an opinion was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackVersion {
    /// The pack's id: `ie`, `eu`.
    pub pack: String,
    /// Its version.
    pub version: u32,
    /// The day its law was last looked at.
    pub as_of: Date,
    /// Who approved it.
    pub approved_by: String,
}

/// The law's whole answer to a demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The day whose law was applied.
    pub law_on: Date,
    /// When the demand was served.
    pub served: Moment,
    /// The cell that was asked.
    pub cell: Place,
    /// The instrument, if it is known.
    pub instrument: Option<Instrument>,
    /// What the parts come to. Never empty.
    pub decision: Vec<Decision>,
    /// One part for each item, in the order of the facts.
    pub parts: Vec<Part>,
    /// Coded reasons of all parts, sorted.
    pub reasons: Vec<ReasonCode>,
    /// The time limits.
    pub clocks: Clocks,
    /// Whether the person is told; `None` means not without counsel.
    pub notice: Option<Notice>,
    /// The secrecy claimed.
    pub secrecy: Secrecy,
    /// Why a person must decide before anything is done; empty when the law is plain.
    pub review: Vec<String>,
    /// Right doors, each once.
    pub routes: Vec<Route>,
    /// Forms to fill in, such as Annex III section D.
    pub forms: Vec<String>,
    /// What counsel should know besides.
    pub notes: Vec<Note>,
    /// Facts that are missing, by name, sorted.
    pub needs: Vec<String>,
    /// The packs asked.
    pub packs: Vec<PackVersion>,
}

impl Assessment {
    /// Whether a person must decide before anything is done.
    #[must_use]
    pub const fn needs_person(&self) -> bool {
        !self.review.is_empty()
    }

    /// Every citation of every part, each once.
    #[must_use]
    pub fn citations(&self) -> Vec<&Citation> {
        let mut all: Vec<&Citation> = self
            .parts
            .iter()
            .flat_map(|part| part.opinion.grounds().into_iter().chain(&part.preserve))
            .flat_map(Grounds::iter)
            .chain(&self.clocks.citations)
            .chain(self.routes.iter().map(|route| &route.citation))
            .chain(self.notice.iter().map(|notice| &notice.citation))
            .chain(self.notes.iter().flat_map(|note| &note.citations))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What the opinions on the parts come to.
pub(crate) fn decide(parts: &[Part]) -> Vec<Decision> {
    let any = |word: &str| parts.iter().any(|part| part.opinion.word() == word);
    let produces = parts.iter().any(|part| part.opinion.produces());
    let abroad = |part: &Part| part.route.as_ref().is_some_and(|route| route.refers);
    let routed = parts.iter().any(|part| abroad(part) && !part.opinion.produces());
    let undecided = any("no basis") || any("undetermined");
    let mut out = vec![];
    if produces {
        let cut = any("refuse") || any("narrow") || undecided;
        out.push(if cut { Decision::Narrow } else { Decision::Accept });
    } else if any("refuse") {
        out.push(Decision::Reject);
    }
    for (word, decision) in [("hold", Decision::Hold), ("object", Decision::Object)] {
        if any(word) {
            out.push(decision);
        }
    }
    if routed || any("refer") {
        out.push(Decision::ReferMlat);
    }
    for (word, decision) in [
        ("preserve", Decision::Preserve),
        ("no basis", Decision::NoBasis),
        ("undetermined", Decision::Undetermined),
    ] {
        if any(word) {
            out.push(decision);
        }
    }
    if out.is_empty() {
        out.push(Decision::Undetermined);
    }
    out
}

impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::letter::explain(self, f)
    }
}
