//! Demands: what an authority sends, as the clerk enters it beside the paper itself.
//!
//! Invariant: the paper counts. Its digest names the demand in the order and in the log; what
//! is typed in here only leads to it. Every text and list has a limit.
//! Refs: design §7; packs/README.md, "Facts".

use crate::error::DeskError;
use crate::limits::bounded;
use crate::refusal::Fault;
use crate::secrecy::{NonDisclosureOrder, SecrecyStated};
use law::{Fact, Facts, Moment, NonDisclosure};
use serde::{Deserialize, Serialize};
use vocab::{CaseId, Digest, Timestamp};

/// Octets of a document as served.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Octets of any text of a demand.
pub const TEXT_BYTES_MAX: usize = 512;
/// Identifiers a demand may name.
pub const IDENTIFIERS_MAX: usize = 64;
/// How long after its service a demand that is no rehearsal may be entered, in seconds: 14 days.
pub const ENTRY_SECONDS_MAX: u64 = 14 * 86_400;

const DAY_SECONDS: u64 = 86_400;

/// A demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// Who asks, for people to read.
    pub authority: String,
    /// The enrolled authority's identifier, if it is enrolled: 32 hex digits. Without one
    /// nothing can be produced to it.
    #[serde(default, with = "crate::octets::maybe")]
    pub enrolled: Option<[u8; 16]>,
    /// The authority's own file number.
    pub reference: String,
    /// The instrument and the legal basis as the paper cites them.
    pub basis: String,
    /// The identifiers the paper names: addresses, account numbers. At most 64.
    #[serde(default)]
    pub identifiers: Vec<String>,
    /// The period the paper names, if it names one.
    #[serde(default)]
    pub period: Option<Period>,
    /// What is known of it already. `served` is when it was served.
    pub facts: Facts,
    /// Whether a duty of secrecy came with it. A demand that does not say is not entered: its
    /// first leaf goes to the log at once, in clear unless this is an order.
    #[serde(default)]
    pub secrecy: Option<SecrecyStated>,
    /// A rehearsal: the service may lie in the past, the log says so, and nothing is ever
    /// released.
    #[serde(default)]
    pub rehearsal: bool,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// From here …
    #[serde(with = "crate::octets::time")]
    pub from: Timestamp,
    /// … to before here.
    #[serde(with = "crate::octets::time")]
    pub until: Timestamp,
}

impl Demand {
    /// Whether the demand keeps its limits and can have been served by `now`.
    pub(crate) fn check(&self, place: law::Place, now: Timestamp) -> Result<(), DeskError> {
        let text = |text: &String| (1..=TEXT_BYTES_MAX).contains(&text.len());
        let texts = text(&self.authority) && text(&self.reference) && text(&self.basis);
        let identifiers = self.identifiers.len() <= IDENTIFIERS_MAX
            && self.identifiers.iter().all(|one| one.len() <= TEXT_BYTES_MAX);
        let period = self.period.is_none_or(|period| period.from < period.until);
        if !(texts && identifiers && period) {
            return Err(DeskError::Demand(Fault::Limits));
        }
        let secrecy = self.secrecy.as_ref().ok_or(DeskError::Demand(Fault::Silent))?.order();
        secrecy.map_or(Ok(()), bounded)?;
        // A slip in its end would have the first leaf written in clear, for ever.
        if !self.rehearsal && secrecy.is_some_and(|order| !order.binds(now)) {
            return Err(DeskError::Demand(Fault::Lapsed));
        }
        if self.facts.cell != place && !self.rehearsal {
            return Err(DeskError::Demand(Fault::Cell));
        }
        served(&self.facts, self.rehearsal, now)?;
        if self.rehearsal { Ok(()) } else { lawful(&self.facts, secrecy, now) }
    }
}

/// Whether a demand entered at `entered` can have been served when the facts say.
pub(crate) fn served(facts: &Facts, rehearsal: bool, entered: Timestamp) -> Result<(), DeskError> {
    let served = facts.served.timestamp().ok_or(DeskError::Demand(Fault::Before))?;
    if !rehearsal && served.0 > entered.0.saturating_add(DAY_SECONDS) {
        return Err(DeskError::Demand(Fault::Ahead));
    }
    if !rehearsal && entered.0.saturating_sub(served.0) > ENTRY_SECONDS_MAX {
        return Err(DeskError::Demand(Fault::Late));
    }
    Ok(())
}

/// Whether facts about a demand that is no rehearsal can stand: the day whose law applies is not
/// before the service and not ahead, and a duty of secrecy that binds is on record, so that no
/// leaf of the case goes to the log in clear.
pub(crate) fn lawful(
    facts: &Facts,
    secrecy: Option<&NonDisclosureOrder>,
    now: Timestamp,
) -> Result<(), DeskError> {
    // Tomorrow in UTC is today somewhere.
    let latest = Moment::from_timestamp(Timestamp(now.0.saturating_add(DAY_SECONDS)), 0);
    let within = |day| facts.served.date() <= day && latest.is_some_and(|at| day <= at.date());
    if !facts.law_on.is_none_or(within) {
        return Err(DeskError::Demand(Fault::LawOn));
    }
    let binds = match facts.gag {
        Fact::Known(NonDisclosure::Statutory | NonDisclosure::Order { .. }) => true,
        Fact::Known(NonDisclosure::None | NonDisclosure::Asked) | Fact::Unknown => false,
    };
    if binds && secrecy.is_none() {
        return Err(DeskError::Demand(Fault::SecretFact));
    }
    Ok(())
}

/// What the authority is given at once: signed by the desk, later joined by the log's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandReceipt {
    /// The case.
    #[serde(with = "crate::octets")]
    pub case: CaseId,
    /// SHA-256 of the paper as served.
    #[serde(with = "crate::octets")]
    pub demand: Digest,
    /// When it was entered.
    #[serde(with = "crate::octets::time")]
    pub at: Timestamp,
    /// Ed25519 by the desk over [`DemandReceipt::message`].
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

impl DemandReceipt {
    /// What the desk signs.
    #[must_use]
    pub fn message(case: CaseId, demand: Digest, at: Timestamp) -> Vec<u8> {
        [b"bailiwick.v1 demand\0".as_slice(), &case.0, &demand.0, &at.0.to_be_bytes()].concat()
    }
}
