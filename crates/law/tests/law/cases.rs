//! Replay cases: facts in, the decision, reasons and clocks of the case out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bailiwick_law::{Assessment, Fact, Facts, Packs, Part, assess};
use serde::Deserialize;

/// A case as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    facts: toml::Table,
    assumed: toml::Table,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    decision: Vec<String>,
    why: Option<Vec<String>>,
    review: bool,
    #[serde(default)]
    parts: BTreeMap<String, String>,
    #[serde(default)]
    produce: BTreeMap<String, String>,
    #[serde(default)]
    preserve: Vec<String>,
    policy: Option<String>,
    outer: Option<String>,
    not_before: Option<String>,
    preserve_until: Option<String>,
    preserve_renewed_until: Option<String>,
    notice: Option<String>,
    secrecy_until: Option<String>,
    #[serde(default)]
    routes: Vec<String>,
    #[serde(default)]
    forms: Vec<String>,
    note: Option<String>,
    #[serde(default)]
    cite: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
}

impl Case {
    pub(crate) fn facts(&self) -> Facts {
        let mut all = self.facts.clone();
        for (name, value) in &self.assumed {
            let twice = all.insert(name.clone(), value.clone());
            assert!(twice.is_none(), "{}: `{name}` is both stated and assumed", self.id);
        }
        all.try_into().unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }
}

/// Every case of every pack.
pub(crate) fn all() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(crate::packs_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path().join("cases"))
        .filter(|dir| dir.is_dir())
        .flat_map(|dir| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect()
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn part<'a>(answer: &'a Assessment, item: &str) -> &'a Part {
    answer.parts.iter().find(|part| part.item == item).unwrap()
}

/// Clocks and notice: what they are called, what was found, what the case expects.
fn timing<'a>(
    answer: &Assessment,
    expect: &'a Expect,
) -> [(&'static str, Option<String>, &'a Option<String>); 7] {
    let clocks = &answer.clocks;
    let not_before = answer.parts.iter().find_map(|part| part.not_before.as_ref());
    let notice = answer.notice.as_ref();
    [
        ("policy clock", clocks.policy.as_ref().map(ToString::to_string), &expect.policy),
        ("outer clock", clocks.outer.as_ref().map(ToString::to_string), &expect.outer),
        ("not before", not_before.map(ToString::to_string), &expect.not_before),
        (
            "preserve until",
            clocks.preserve_until.map(|day| day.to_string()),
            &expect.preserve_until,
        ),
        (
            "preserve renewed until",
            clocks.preserve_renewed_until.map(|day| day.to_string()),
            &expect.preserve_renewed_until,
        ),
        (
            "notice",
            Some(notice.map_or_else(|| "none".into(), |notice| word(notice.duty))),
            &expect.notice,
        ),
        (
            "secrecy until",
            notice.and_then(|notice| notice.secrecy_until).map(|day| day.to_string()),
            &expect.secrecy_until,
        ),
    ]
}

fn check(case: &Case, packs: &Packs) -> Result<(), String> {
    let (facts, expect) = (case.facts(), &case.expect);
    let answer = assess(packs, &facts);
    let mut problems = vec![];
    let mut same = |what: &str, found: String, expected: String| {
        if found != expected {
            problems.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let decision: Vec<_> = answer.decision.iter().map(|one| one.word()).collect();
    same("decision", decision.join(" "), expect.decision.join(" "));
    if let Some(why) = &expect.why {
        let found: Vec<_> = answer.reasons.iter().map(|code| code.code()).collect();
        same("why", found.join(" "), why.join(" "));
    }
    same("review", answer.needs_person().to_string(), expect.review.to_string());
    for (item, opinion) in &expect.parts {
        same(item, part(&answer, item).opinion.word().into(), opinion.clone());
    }
    for (item, form) in &expect.produce {
        same(item, word(part(&answer, item).produce), form.clone());
    }
    for item in &expect.preserve {
        same(item, part(&answer, item).preserve.is_some().to_string(), "true".into());
    }
    for (what, found, expected) in timing(&answer, expect) {
        if let Some(expected) = expected {
            same(what, found.unwrap_or_default(), expected.clone());
        }
    }
    let routes: Vec<_> = answer.routes.iter().map(|route| route.id.as_str()).collect();
    if !expect.routes.is_empty() {
        same("routes", routes.join(" "), expect.routes.join(" "));
    }
    let forms = answer.forms.join("; ");
    same("forms", forms, expect.forms.join("; "));
    let cited: String = answer.citations().iter().map(|one| format!("{one}\n")).collect();
    for text in &expect.cite {
        same(text, cited.contains(text).to_string(), "true".into());
    }
    for text in &expect.absent {
        same(text, cited.contains(text).to_string(), "false".into());
    }
    if let Some(note) = &expect.note {
        same(
            note,
            answer.notes.iter().any(|line| line.words.contains(note)).to_string(),
            "true".into(),
        );
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n  {}\n{}", case.id, problems.join("\n  "), answer.explain()))
}

#[test]
fn every_case_gets_the_opinion_it_should() {
    let packs = Packs::builtin().unwrap();
    let failures: Vec<_> = all().iter().filter_map(|case| check(case, &packs).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_founding_cases_are_all_there() {
    let ids: Vec<_> = all().into_iter().map(|case| case.id).collect();
    for id in
        ["F01", "F03", "F04", "F05", "F06", "F07", "F10", "F16", "F17", "G01", "G02", "G03", "G04"]
    {
        assert!(ids.iter().any(|have| have.starts_with(id)), "{id}");
    }
}

#[test]
fn an_opinion_survives_its_record() {
    let packs = Packs::builtin().unwrap();
    for case in all() {
        let facts = case.facts();
        let json = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts, "{}", case.id);
        let answer = assess(&packs, &facts);
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), answer, "{}", case.id);
    }
}

#[test]
fn a_letter_to_an_authority_names_reasons_cures_and_the_right_door() {
    let packs = Packs::builtin().unwrap();
    let find = |id: &str| all().into_iter().find(|case| case.id.starts_with(id)).unwrap().facts();
    let letter = assess(&packs, &find("F01")).letter().join("\n");
    for text in ["D04", "to cure it", "art. 23(2)", "The right door: obtain a court decision"] {
        assert!(letter.contains(text), "{text}\n{letter}");
    }
    let letter = assess(&packs, &find("F06")).letter().join("\n");
    assert!(letter.contains("mutual legal assistance between the United States and Ireland"));
    assert!(!letter.contains("subscriber"), "what is produced is not in the letter");
    assert!(assess(&packs, &find("G02")).letter().is_empty());
}

#[test]
fn a_letter_about_what_cannot_be_decided_says_what_is_missing_and_whose_it_is() {
    let packs = Packs::builtin().unwrap();
    let find = |id: &str| all().into_iter().find(|case| case.id.starts_with(id)).unwrap().facts();
    // What the authority knows is asked for, under the law that turns on it; what we find out
    // ourselves is neither asked for nor named.
    let mut facts = find("F06");
    facts.forget("venue");
    facts.forget("issued");
    facts.items[0].forget("item_keys");
    let opinion = assess(&packs, &facts);
    let letter = opinion.letter().join("\n");
    for text in [
        "content: not produced; as it stands it cannot be decided",
        "please state which court issued it",
        "please state the day it was issued",
        "what else is missing is ours to establish",
    ] {
        assert!(letter.contains(text), "{text}\n{letter}");
    }
    assert!(!letter.contains("item_keys"), "{letter}");
    let cited = |line: &str| {
        opinion.parts.iter().any(|part| part.opinion.turns_on().iter().any(|one| one.text == line))
    };
    let turns = letter.lines().filter_map(|line| line.strip_prefix("  it turns on "));
    assert!(turns.clone().count() > 0 && turns.clone().all(cited), "{letter}");
    assert_eq!(letter.matches("it turns on FRCrP 41").count(), 2, "once for each item\n{letter}");
    // Not even the law is fixed, or no item is named.
    let mut facts = find("F01");
    facts.instrument = Fact::Unknown;
    let letter = assess(&packs, &facts).letter().join("\n");
    assert!(letter.contains("please state what instrument this is"), "{letter}");
    facts.items.clear();
    let letter = assess(&packs, &facts).letter().join("\n");
    assert!(letter.contains("please state what data are demanded"), "{letter}");
}

#[test]
fn a_letter_about_what_no_rule_permits_asks_for_the_provision() {
    let packs = Packs::builtin().unwrap();
    let case = all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let mut facts = case.facts();
    // The day before its law.
    facts.law_on = Some(bailiwick_law::Date::constant(2026, 8, 17));
    let letter = assess(&packs, &facts).letter().join("\n");
    assert!(letter.contains("we know of no provision that permits it"), "{letter}");
    assert!(letter.contains("name the provision that the demand rests on"), "{letter}");
    // Without a pack no law is made up.
    facts.cell = "lu".parse().unwrap();
    let letter = assess(&packs, &facts).letter().join("\n");
    assert!(letter.contains("no pack holds the law of `lu` on 2026-08-17"), "{letter}");
    assert!(!letter.contains("it turns on"), "{letter}");
}
