//! The engine: the single call into Cedar, and what is made of its answer.
//!
//! Invariant: any rule that fails, for a missing fact or otherwise, makes the item
//! undetermined; no rule that permits means no basis. Only the law of the entity addressed
//! can permit; the law of the cell and of the issuing State can only forbid and advise.
//! Refs: docs/adr/0004-law-engine.md; house rule "Cedar fails open on a missing fact".

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Decision as Answered, Entities, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, Request, RestrictedExpression,
};
use jiff::civil::Date;

use crate::citation::Citation;
use crate::deadline::When;
use crate::facts::{Fact, Facts, Instrument, Item, NonDisclosure, Value};
use crate::limits::{Limit, limit, merge};
use crate::opinion::{
    Assessment, Clocks, Decision, Grounds, Note, Notice, NoticeDuty, Opinion, Part, Produce, Route,
    Secrecy, decide,
};
use crate::pack::{Asks, Pack, Packs};
use crate::rule::{Question, Rule, Says};

/// Gives the law's answer to a demand, item by item.
///
/// Facts that are missing give [`Opinion::Undetermined`], with their names; they are never an
/// error and never a permit.
#[must_use]
pub fn assess(packs: &Packs, facts: &Facts) -> Assessment {
    let Fact::Known(instrument) = &facts.instrument else {
        return undetermined(facts, "nobody has said what instrument this is", &["instrument"]);
    };
    match instrument.under(packs, facts) {
        Ok(under) => under.assess(),
        Err(Unfit { because, needs }) => undetermined(facts, &because, &needs),
    }
}

/// Why no law could be fixed for a demand: what is missing, in words and as names of facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct Unfit {
    /// In words.
    pub because: String,
    /// The facts that are missing.
    pub needs: Vec<&'static str>,
}

/// A demand under the law of one day: the packs' versions and the date are fixed.
#[derive(Debug)]
pub struct Under<'a> {
    facts: &'a Facts,
    day: Date,
    question: Question,
    /// The packs asked; the first is the law of the entity addressed.
    packs: Vec<&'a Pack>,
    rules: BTreeMap<PolicyId, (&'a Pack, &'a Rule)>,
    set: PolicySet,
}

impl Instrument {
    /// Fixes the packs and the day for everything asked about a demand.
    ///
    /// # Errors
    /// When a fact the choice needs is missing, or a pack is.
    pub fn under<'a>(&self, packs: &'a Packs, facts: &'a Facts) -> Result<Under<'a>, Unfit> {
        let unfit =
            |because: String, needs: &[&'static str]| Unfit { because, needs: needs.into() };
        if facts.instrument.known() != Some(self) {
            return Err(unfit("the facts are about another instrument".into(), &["instrument"]));
        }
        let (Some(entity), Some(issuing)) = (facts.entity.known(), facts.issuing_state.known())
        else {
            let missing = [
                ("entity", facts.entity.is_unknown()),
                ("issuing_state", facts.issuing_state.is_unknown()),
            ];
            let needs: Vec<_> =
                missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
            return Err(unfit("whose law applies cannot be said".into(), &needs));
        };
        let day = facts.law_date();
        let governing = packs.for_cell(*entity, day);
        let here = packs.for_cell(facts.cell, day);
        for (place, found) in [(entity, &governing), (&facts.cell, &here)] {
            if found.is_empty() {
                return Err(unfit(format!("no pack holds the law of `{place}` on {day}"), &[]));
            }
        }
        let mut chosen = governing.clone();
        for pack in here.into_iter().chain(packs.for_cell(*issuing, day)) {
            if !chosen.iter().any(|other| other.id() == pack.id()) {
                chosen.push(pack);
            }
        }
        let mut rules = BTreeMap::new();
        let mut set = PolicySet::new();
        for (place, pack) in chosen.iter().enumerate() {
            let may_permit = place < governing.len();
            for rule in pack.rules.iter().filter(|rule| rule.in_force(day)) {
                let permit = rule.says == Says::Permit && rule.questions != [Question::Advise];
                if permit && !may_permit {
                    continue;
                }
                set.add(rule.policy.clone())
                    .map_err(|_| unfit(format!("rule `{}` is in force twice", rule.name), &[]))?;
                rules.insert(rule.policy.id().clone(), (*pack, rule));
            }
        }
        let question = match packs.asks(self) {
            Some(Asks::Preservation) => Question::Preserve,
            Some(Asks::Production) | None => Question::Produce,
        };
        Ok(Under { facts, day, question, packs: chosen, rules, set })
    }
}

/// Cedar's answer to one question about one item.
#[derive(Default)]
struct Answer<'a> {
    allowed: bool,
    /// The rules that decided it.
    rules: Vec<(&'a Pack, &'a Rule)>,
    /// The rules that could not be evaluated.
    failed: Vec<&'a Rule>,
    /// The machine's own failure, if it failed.
    broken: bool,
}

/// One part, and what its rules say about the demand as a whole.
struct Found<'a> {
    part: Part,
    limits: Vec<Limit>,
    notices: Vec<Notice>,
    advice: Vec<&'a Rule>,
}

impl<'a> Under<'a> {
    /// The law's answer.
    #[must_use]
    pub fn assess(&self) -> Assessment {
        if let Some(problem) = unfit_items(self.facts) {
            return undetermined(self.facts, problem, &["items"]);
        }
        let found: Vec<Found<'a>> = self.facts.items.iter().map(|item| self.part(item)).collect();
        let mut forms = BTreeSet::new();
        let mut notes = BTreeSet::new();
        for rule in found.iter().flat_map(|one| &one.advice) {
            forms.extend(rule.form.clone());
            for words in rule.note.iter().chain(&rule.narrow) {
                notes.insert(Note { words: words.clone(), citations: rule.citations.clone() });
            }
        }
        for pack in self.packs.iter().map(|pack| pack.version()) {
            if pack.as_of < self.day {
                let words = format!("pack `{}` knows the law as of {}", pack.pack, pack.as_of);
                notes.insert(Note { words, citations: vec![] });
            }
        }
        let notice = choose_notice(&found);
        let (parts, limits): (Vec<_>, Vec<_>) =
            found.into_iter().map(|one| (one.part, one.limits)).unzip();
        let produces = parts.iter().any(|part| part.opinion.produces());
        let clocks = merge(limits.into_iter().flatten(), produces, self.facts.law_on);
        let mut answer = assemble(self.facts, parts, clocks);
        answer.notice = notice;
        answer.forms = forms.into_iter().collect();
        answer.notes = notes.into_iter().collect();
        answer.packs = self.packs.iter().map(|pack| pack.version()).collect();
        answer
    }

    fn part(&self, item: &Item) -> Found<'a> {
        let values = self.facts.values(item);
        let main = self.ask(self.question, &values);
        let keep = match self.question {
            Question::Preserve => Answer::default(),
            Question::Produce | Question::Advise => self.ask(Question::Preserve, &values),
        };
        let advice = self.ask(Question::Advise, &values);
        let preserve = (keep.allowed && keep.failed.is_empty())
            .then(|| Grounds::new(citations(&keep.rules)))
            .flatten();
        let opinion = opinion(self.question, item, &values, [&main, &keep, &advice]);
        let applied: Vec<_> = main.rules.iter().chain(&advice.rules).copied().collect();
        let kept = keep.rules.iter().filter(|_| keep.allowed);
        let limits: Vec<Limit> = applied
            .iter()
            .chain(kept)
            .filter_map(|(pack, rule)| {
                let clock = pack.clock(rule.clock.as_deref()?)?;
                limit(pack, rule, clock, self.facts, self.calendar())
            })
            .collect();
        let produce = if opinion.produces() {
            let sealed = advice.rules.iter().filter_map(|(_, rule)| rule.produce).min();
            sealed.unwrap_or(Produce::Plaintext)
        } else {
            Produce::Nothing
        };
        // Kept though nothing is produced: a person may decide otherwise, and must wait too.
        let not_before =
            limits.iter().filter_map(|one| one.not_before.clone()).max_by(When::sooner);
        let mut review: Vec<String> =
            applied.iter().filter_map(|(_, rule)| rule.review.clone()).collect();
        review.dedup();
        let mut reasons: Vec<_> =
            applied.iter().flat_map(|(_, rule)| rule.codes.iter().copied()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let mut rules: Vec<_> = applied.iter().map(|(_, rule)| rule.name.clone()).collect();
        rules.sort_unstable();
        let part = Part {
            item: item.name.clone(),
            category: item.category,
            not_before,
            route: applied.iter().find_map(|(pack, rule)| route(pack, rule)),
            opinion,
            reasons,
            produce,
            preserve,
            review,
            rules,
        };
        let notices =
            applied.iter().filter_map(|(pack, rule)| notice(pack, rule, self.facts)).collect();
        Found { part, limits, notices, advice: applied.into_iter().map(|(_, rule)| rule).collect() }
    }

    /// Working days are those of the State whose entity is addressed.
    fn calendar(&self) -> Option<&'a crate::deadline::Calendar> {
        self.packs.first().map(|pack| pack.calendar())
    }

    /// The single call into Cedar.
    fn ask(&self, question: Question, values: &[(&'static str, Value)]) -> Answer<'a> {
        let broken = || Answer { broken: true, ..Answer::default() };
        let Some(request) = request(question, values) else { return broken() };
        let response = Authorizer::new().is_authorized(&request, &self.set, &Entities::empty());
        let diagnostics = response.diagnostics();
        let find = |id: &PolicyId| self.rules.get(id).copied();
        let mut rules: Vec<_> = diagnostics.reason().filter_map(find).collect();
        rules.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let mut failed: Vec<&Rule> = vec![];
        for error in diagnostics.errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            match find(error.policy_id()) {
                Some((_, rule)) => failed.push(rule),
                None => return broken(),
            }
        }
        failed.sort_by(|a, b| a.name.cmp(&b.name));
        let allowed = response.decision() == Answered::Allow;
        Answer { allowed, rules, failed, broken: false }
    }
}

fn request(question: Question, values: &[(&'static str, Value)]) -> Option<Request> {
    let pairs = values
        .iter()
        .map(|(name, value)| Some(((*name).to_owned(), expression(value)?)))
        .collect::<Option<Vec<_>>>()?;
    let context = Context::from_pairs(pairs).ok()?;
    let demand = uid("Demand", "demand")?;
    let action = uid("Action", question.word())?;
    // Without a schema on purpose: the context lacks what is unknown, and a rule that reads it
    // must fail rather than the request.
    Request::new(demand, action, uid("Item", "item")?, context, None).ok()
}

fn expression(value: &Value) -> Option<RestrictedExpression> {
    Some(match value {
        Value::Bool(yes) => RestrictedExpression::new_bool(*yes),
        Value::Long(count) => RestrictedExpression::new_long(*count),
        Value::Text(text) => RestrictedExpression::new_string(text.clone()),
        Value::Word(kind, word) => RestrictedExpression::new_entity_uid(uid(kind, word)?),
    })
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn opinion(
    question: Question,
    item: &Item,
    values: &[(&'static str, Value)],
    answers: [&Answer<'_>; 3],
) -> Opinion {
    let failed: BTreeMap<&str, &Rule> = answers
        .iter()
        .flat_map(|one| &one.failed)
        .map(|rule| (rule.name.as_str(), *rule))
        .collect();
    if !failed.is_empty() || answers.iter().any(|one| one.broken) {
        return missing(item, values, &failed);
    }
    let [main, _, advice] = answers;
    if main.allowed {
        let narrowing: Vec<_> =
            advice.rules.iter().filter(|(_, rule)| rule.narrow.is_some()).copied().collect();
        let cut = !narrowing.is_empty();
        // What changes the form of a production is part of its ground.
        let shaping = advice.rules.iter().filter(|(_, rule)| rule.produce.is_some());
        let all: Vec<_> = main.rules.iter().chain(shaping).chain(&narrowing).copied().collect();
        return match (Grounds::new(citations(&all)), question) {
            (Some(grounds), Question::Preserve) => Opinion::Preserve(grounds),
            (Some(grounds), _) if cut => Opinion::Narrow(grounds),
            (Some(grounds), _) => Opinion::Comply(grounds),
            (None, _) => Opinion::NoBasis,
        };
    }
    for (says, build) in [
        (Says::Refuse, Opinion::Refuse as fn(Grounds) -> Opinion),
        (Says::Object, Opinion::Object),
        (Says::Hold, Opinion::Hold),
        (Says::Refer, Opinion::Refer),
    ] {
        let mut rules: Vec<_> =
            main.rules.iter().filter(|(_, rule)| rule.says == says).copied().collect();
        if !rules.is_empty() {
            rules.extend(main.rules.iter().filter(|(_, rule)| rule.says != says));
            if let Some(grounds) = Grounds::new(citations(&rules)) {
                return build(grounds);
            }
        }
    }
    Opinion::NoBasis
}

/// Which facts the failed rules read and nobody has established.
fn missing(
    item: &Item,
    values: &[(&'static str, Value)],
    failed: &BTreeMap<&str, &Rule>,
) -> Opinion {
    let reads: BTreeSet<&str> =
        failed.values().flat_map(|rule| rule.reads.iter().map(String::as_str)).collect();
    let needs: BTreeSet<String> = reads
        .into_iter()
        .filter(|name| !values.iter().any(|(known, _)| known == name))
        .map(|name| match name {
            "court" | "circuit" => "venue".to_owned(),
            "age_days" => "issued".to_owned(),
            "category" => format!("category of {}", item.name),
            own if Item::NAMES.contains(&own) => format!("{own} of {}", item.name),
            name => name.to_owned(),
        })
        .collect();
    let mut turns_on: Vec<Citation> = vec![];
    for citation in failed.values().flat_map(|rule| &rule.citations) {
        if !turns_on.contains(citation) {
            turns_on.push(citation.clone());
        }
    }
    let names: Vec<&str> = failed.keys().copied().collect();
    let because = if names.is_empty() {
        "the rules could not be evaluated".to_owned()
    } else {
        format!("cannot be decided: {}", names.join(", "))
    };
    Opinion::Undetermined { needs: needs.into_iter().collect(), because, turns_on }
}

fn citations(rules: &[(&Pack, &Rule)]) -> Vec<Citation> {
    let mut out: Vec<Citation> = vec![];
    for citation in rules.iter().flat_map(|(_, rule)| &rule.citations) {
        if !out.contains(citation) {
            out.push(citation.clone());
        }
    }
    out
}

fn route(pack: &Pack, rule: &Rule) -> Option<Route> {
    let entry = pack.route(rule.route.as_deref()?)?;
    let citation = pack.cite(&entry.id, &entry.cite)?;
    Some(Route { id: entry.id.clone(), words: entry.words.clone(), refers: entry.refers, citation })
}

fn notice(pack: &Pack, rule: &Rule, facts: &Facts) -> Option<Notice> {
    let entry = pack.notice(rule.notice.as_deref()?)?;
    let secrecy_until = match facts.gag {
        Fact::Known(NonDisclosure::Order { until }) => until,
        Fact::Known(NonDisclosure::None | NonDisclosure::Asked | NonDisclosure::Statutory)
        | Fact::Unknown => None,
    };
    Some(Notice {
        duty: entry.duty,
        secrecy_until,
        words: entry.words.clone(),
        citation: pack.cite(&entry.id, &entry.cite)?,
    })
}

/// The least open notice any rule names; an open one only when everything is determined.
fn choose_notice(found: &[Found<'_>]) -> Option<Notice> {
    let open = |one: &Found<'_>| matches!(one.part.opinion, Opinion::Undetermined { .. });
    let undetermined = found.iter().any(open);
    found
        .iter()
        .flat_map(|one| &one.notices)
        .min_by_key(|notice| notice.duty)
        .filter(|notice| !undetermined || notice.duty <= NoticeDuty::ByAuthority)
        .cloned()
}

fn unfit_items(facts: &Facts) -> Option<&'static str> {
    if facts.items.is_empty() {
        Some("nobody has said what data are demanded")
    } else if facts.items.len() > Facts::ITEMS_MAX {
        Some("the demand has more than 64 items: split it")
    } else if facts.items.iter().any(|item| item.name.len() > Facts::ITEM_NAME_MAX) {
        Some("an item's name is longer than 64 octets")
    } else {
        None
    }
}

/// The answer when not even the law could be fixed.
fn undetermined(facts: &Facts, because: &str, needs: &[&str]) -> Assessment {
    let needs: Vec<String> = needs.iter().map(|name| (*name).to_owned()).collect();
    let because = because.to_owned();
    let opinion = Opinion::Undetermined { needs, because: because.clone(), turns_on: vec![] };
    let parts = facts.items.iter().take(Facts::ITEMS_MAX).map(|item| Part {
        item: item.name.chars().take(Facts::ITEM_NAME_MAX).collect(),
        category: item.category,
        opinion: opinion.clone(),
        reasons: vec![],
        produce: Produce::Nothing,
        not_before: None,
        preserve: None,
        route: None,
        review: vec![],
        rules: vec![],
    });
    let mut answer = assemble(facts, parts.collect(), Clocks::default());
    if answer.parts.is_empty() {
        answer.review.push(because);
        answer.needs = vec!["items".into()];
    }
    answer
}

/// Puts the parts together.
fn assemble(facts: &Facts, parts: Vec<Part>, clocks: Clocks) -> Assessment {
    let mut review = vec![];
    let mut needs = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    let mut routes: Vec<Route> = vec![];
    for part in &parts {
        let more = match &part.opinion {
            Opinion::NoBasis => Some(format!("{}: no rule permits it", part.item)),
            Opinion::Undetermined { needs: missing, because, .. } => {
                needs.extend(missing.iter().cloned());
                Some(format!("{}: {because}", part.item))
            }
            Opinion::Comply(_)
            | Opinion::Narrow(_)
            | Opinion::Refuse(_)
            | Opinion::Refer(_)
            | Opinion::Object(_)
            | Opinion::Hold(_)
            | Opinion::Preserve(_) => None,
        };
        for reason in part.review.iter().cloned().chain(more) {
            if !review.contains(&reason) {
                review.push(reason);
            }
        }
        reasons.extend(part.reasons.iter().copied());
        for route in part.route.iter().filter(|_| !part.opinion.produces()) {
            if !routes.iter().any(|other| other.id == route.id) {
                routes.push(route.clone());
            }
        }
    }
    let decision: Vec<Decision> = decide(&parts);
    Assessment {
        law_on: facts.law_date(),
        served: facts.served,
        cell: facts.cell,
        instrument: facts.instrument.known().cloned(),
        decision,
        parts,
        reasons: reasons.into_iter().collect(),
        clocks,
        notice: None,
        secrecy: secrecy(facts),
        review,
        routes,
        forms: vec![],
        notes: vec![],
        needs: needs.into_iter().collect(),
        packs: vec![],
    }
}

fn secrecy(facts: &Facts) -> Secrecy {
    match facts.gag {
        Fact::Unknown => Secrecy::Unknown,
        Fact::Known(NonDisclosure::None) => Secrecy::None,
        Fact::Known(NonDisclosure::Asked) => Secrecy::AskedOnly,
        Fact::Known(NonDisclosure::Statutory) => Secrecy::Binds { until: None },
        Fact::Known(NonDisclosure::Order { until }) => Secrecy::Binds { until },
    }
}
