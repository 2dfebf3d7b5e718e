//! Intake: a demand is entered, its sender checked, its facts gathered, the law asked.
//!
//! Invariant: that the sender is authenticated is a fact only a call-back establishes, or the
//! decentralised system; a clerk cannot type it in, and it is judged anew with every fact. When a
//! demand was served changes only by a correction, with which the case begins anew. What staff
//! typed is confirmed by two officers before anything is released (see `approval`).
//! Refs: design §7; law tables §9 D11; docs/life-of-a-demand.md.

use crate::case::Case;
use crate::demand::{TEXT_BYTES_MAX, lawful, served};
use crate::error::DeskError;
use crate::event::What;
use crate::refusal::Fault;
use law::{Channel, Fact, Facts, Item, KeyHolder, Packs, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vocab::{Custody, DataCategory, Timestamp};

/// The checklist of a sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderChecks {
    /// The paper's letterhead, form and language are as the authority's usually are.
    pub form_is_usual: bool,
    /// The issuing person and office exist, by a source that did not come with the demand.
    pub issuer_found: bool,
    /// The call-back; `None` if there was none.
    pub called_back: Option<CallBack>,
    /// Whether anything suggests a forgery.
    pub forgery_suspected: bool,
}

/// A call-back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBack {
    /// Where the number was found; not in the demand. At most 512 octets.
    pub number_from: String,
    /// When.
    #[serde(with = "crate::octets::time")]
    pub at: Timestamp,
    /// Whether the authority confirmed the demand.
    pub confirmed: bool,
}

impl SenderChecks {
    /// Whether the sender is authenticated.
    #[must_use]
    pub fn authenticates(&self, channel: Option<&Channel>) -> bool {
        let called = self.called_back.as_ref().is_some_and(|call| call.confirmed);
        // EU 2023/1543 art. 19: that system authenticates its authorities itself.
        let official = channel == Some(&Channel::Decentralised);
        !self.forgery_suspected && self.form_is_usual && self.issuer_found && (called || official)
    }
}

/// Lays facts over what is known, but those that are `fixed`.
fn establish(
    known: &Facts,
    more: &Map<String, Value>,
    fixed: &[&'static str],
) -> Result<Facts, DeskError> {
    if more.contains_key("authenticated") {
        return Err(DeskError::Demand(Fault::Authenticated));
    }
    if let Some(name) = fixed.iter().find(|name| more.contains_key(**name)) {
        return Err(DeskError::Fixed(name));
    }
    let bad = |why: serde_json::Error| DeskError::Facts(why.to_string());
    let mut all = serde_json::to_value(known).map_err(bad)?;
    if let Some(all) = all.as_object_mut() {
        all.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    serde_json::from_value(all).map_err(bad)
}

/// A rehearsal's facts may be of any time and place.
fn stand(case: &Case, facts: &Facts, now: Timestamp) -> Result<(), DeskError> {
    if case.demand.rehearsal { Ok(()) } else { lawful(facts, case.secrecy.as_ref(), now) }
}

/// Whether the facts contradict what the cell itself knows: who can open the account's letters.
pub(crate) fn keys_are(facts: &Facts, place: Place, custody: Custody) -> Result<(), DeskError> {
    let truth = KeyHolder::from(custody);
    let false_of = |item: &Item| {
        item.category == Fact::Known(DataCategory::Content)
            && item.item_place == Fact::Known(place)
            && item.item_keys.known().is_some_and(|keys| *keys != truth)
    };
    if facts.items.iter().any(false_of) {
        return Err(DeskError::Keys(truth.word()));
    }
    Ok(())
}

/// The event of a check of the sender.
pub(crate) fn verify(
    case: &Case,
    checks: &SenderChecks,
    more: &Map<String, Value>,
    now: Timestamp,
) -> Result<What, DeskError> {
    if let Some(call) = &checks.called_back {
        let sourced = (1..=TEXT_BYTES_MAX).contains(&call.number_from.len());
        let served = case.facts.served.timestamp().unwrap_or(Timestamp(0));
        if call.at > now || call.at < served || !sourced {
            return Err(DeskError::Demand(Fault::CallBack));
        }
    }
    let mut facts = establish(&case.facts, more, &["served", "cell"])?;
    stand(case, &facts, now)?;
    facts.authenticated = authenticated(Some(checks), &facts);
    Ok(What::Verified { checks: checks.clone(), facts: Box::new(facts) })
}

/// The event of an opinion.
pub(crate) fn assess(
    case: &Case,
    packs: &Packs,
    more: &Map<String, Value>,
    now: Timestamp,
) -> Result<What, DeskError> {
    let mut facts = establish(&case.facts, more, &["served", "cell"])?;
    stand(case, &facts, now)?;
    // The checks were made of another channel, if it is changed now.
    facts.authenticated = authenticated(case.checks.as_ref(), &facts);
    let opinion = Box::new(law::assess(packs, &facts));
    Ok(What::Assessed { facts: Box::new(facts), opinion })
}

/// The event of a correction: also of when the demand was served.
pub(crate) fn correct(
    case: &Case,
    more: &Map<String, Value>,
    why: String,
    now: Timestamp,
) -> Result<What, DeskError> {
    let mut facts = establish(&case.facts, more, &["cell"])?;
    served(&facts, case.demand.rehearsal, case.opened)?;
    stand(case, &facts, now)?;
    facts.authenticated = Fact::Unknown;
    Ok(What::Corrected { facts: Box::new(facts), why })
}

fn authenticated(checks: Option<&SenderChecks>, facts: &Facts) -> Fact<bool> {
    checks.map_or(Fact::Unknown, |checks| Fact::Known(checks.authenticates(facts.channel.known())))
}
