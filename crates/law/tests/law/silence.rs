//! A missing fact never permits: the house rule about Cedar, tried on every case.

use bailiwick_law::{
    Assessment, Date, Emergency, EnforcingAuthority, Fact, Facts, Instrument, Item, Moment,
    NoticeDuty, Opinion, Pack, Packs, Place, Produce, ReasonCode, assess,
};

use crate::cases;

/// How much an opinion lets happen.
fn openness(opinion: &Opinion) -> u8 {
    match opinion {
        Opinion::Comply(_) => 3,
        Opinion::Narrow(_) => 2,
        Opinion::Preserve(_) => 1,
        Opinion::Refuse(_)
        | Opinion::Refer(_)
        | Opinion::Object(_)
        | Opinion::Hold(_)
        | Opinion::NoBasis
        | Opinion::Undetermined { .. } => 0,
    }
}

fn never_more_open(id: &str, forgotten: &str, before: &Assessment, after: &Assessment) {
    for (old, new) in before.parts.iter().zip(&after.parts) {
        let what = format!("{id} without {forgotten}: {}", old.item);
        assert!(openness(&new.opinion) <= openness(&old.opinion), "{what}: {:?}", new.opinion);
        assert!(new.produce <= old.produce, "{what}");
        if new.opinion.produces() {
            assert_eq!(new.not_before, old.not_before, "{what}");
        }
    }
    let duty = |answer: &Assessment| {
        answer.notice.as_ref().map_or(NoticeDuty::Withheld, |notice| notice.duty)
    };
    assert!(duty(after) <= duty(before), "{id} without {forgotten}: notice");
    if before.needs_person() {
        assert!(after.needs_person(), "{id} without {forgotten}: review");
    }
}

#[test]
fn a_forgotten_fact_never_makes_an_opinion_more_open() {
    let packs = Packs::builtin().unwrap();
    for case in cases::all() {
        let facts = case.facts();
        let before = assess(&packs, &facts);
        for name in Facts::NAMES {
            let mut less = facts.clone();
            assert!(less.forget(name));
            never_more_open(&case.id, name, &before, &assess(&packs, &less));
        }
        for (place, item) in facts.items.iter().enumerate() {
            for name in Item::NAMES {
                let mut less = facts.clone();
                assert!(less.items[place].forget(name));
                let forgotten = format!("{name} of {}", item.name);
                never_more_open(&case.id, &forgotten, &before, &assess(&packs, &less));
            }
            let mut less = facts.clone();
            less.items[place].category = Fact::Unknown;
            never_more_open(&case.id, "category", &before, &assess(&packs, &less));
        }
    }
}

#[test]
fn nothing_is_decided_from_no_facts() {
    let packs = Packs::builtin().unwrap();
    let served: Moment = "2026-09-07T09:12:00+02:00".parse().unwrap();
    let mut facts = Facts::new("ie".parse().unwrap(), served);
    let answer = assess(&packs, &facts);
    assert!(answer.needs_person());
    assert_eq!(answer.needs, ["items"]);
    for category in [vocab::DataCategory::Subscriber, vocab::DataCategory::Content] {
        facts.items.push(Item::new("item", category));
    }
    let answer = assess(&packs, &facts);
    assert_eq!(answer.needs, ["instrument"]);
    for part in &answer.parts {
        assert!(matches!(part.opinion, Opinion::Undetermined { .. }));
        assert_eq!(part.produce, Produce::Nothing);
    }
}

#[test]
fn the_missing_fact_is_named() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("F06")).unwrap();
    let mut facts = case.facts();
    facts.forget("venue");
    facts.forget("issued");
    facts.items[0].forget("item_keys");
    assert_eq!(assess(&packs, &facts).needs, ["issued", "item_keys of content", "venue"]);
}

#[test]
fn a_place_without_pack_or_before_it_is_undetermined() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let mut facts = case.facts();
    facts.cell = "lu".parse().unwrap();
    assert!(matches!(assess(&packs, &facts).parts[0].opinion, Opinion::Undetermined { .. }));
    let mut facts = case.facts();
    facts.law_on = Some(Date::constant(2012, 12, 31));
    assert!(matches!(assess(&packs, &facts).parts[0].opinion, Opinion::Undetermined { .. }));
}

#[test]
fn an_order_before_its_law_has_no_basis() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let mut facts = case.facts();
    facts.law_on = Some(Date::constant(2026, 8, 17));
    let answer = assess(&packs, &facts);
    assert_eq!(answer.parts[0].opinion, Opinion::NoBasis);
    assert!(answer.needs_person());
    facts.law_on = Some(Date::constant(2026, 8, 18));
    assert!(matches!(assess(&packs, &facts).parts[0].opinion, Opinion::Comply(_)));
}

#[test]
fn the_enforcing_authority_can_clear_an_order_or_stop_it() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let mut facts = case.facts();
    facts.enforcing_authority = EnforcingAuthority::Cleared.into();
    let part = assess(&packs, &facts).parts.remove(0);
    assert!(part.opinion.produces());
    assert_eq!(part.not_before, None);
    facts.enforcing_authority = EnforcingAuthority::GroundRaised.into();
    assert!(matches!(assess(&packs, &facts).parts[0].opinion, Opinion::Refuse(_)));
    facts.enforcing_authority = EnforcingAuthority::NotNotified.into();
    let answer = assess(&packs, &facts);
    assert_eq!(answer.needs, ["offence_in_issuing_state", "residence"], "only then do they matter");
}

#[test]
fn an_emergency_without_reasons_is_an_ordinary_order() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G03")).unwrap();
    let mut facts = case.facts();
    facts.emergency = Emergency::Claimed.into();
    let answer = assess(&packs, &facts);
    assert_eq!(answer.reasons, [ReasonCode::D19]);
    assert_eq!(answer.clocks.policy.unwrap().to_string(), "2026-10-20");
    assert!(answer.parts[0].not_before.is_some());
}

#[test]
fn an_instrument_is_asked_only_with_its_own_facts() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let facts = case.facts();
    assert!(Instrument("us.sca_warrant".into()).under(&packs, &facts).is_err());
    assert!(Instrument("eu.epoc".into()).under(&packs, &facts).is_ok());
}

#[test]
fn too_many_items_are_undetermined() {
    let packs = Packs::builtin().unwrap();
    let case = cases::all().into_iter().find(|case| case.id.starts_with("G01")).unwrap();
    let mut facts = case.facts();
    let item = facts.items[0].clone();
    facts.items = vec![item; 65];
    let answer = assess(&packs, &facts);
    assert!(answer.parts.iter().all(|part| !part.opinion.produces()));
    assert!(answer.parts.len() <= Facts::ITEMS_MAX);
}

const HEAD: &str = r#"
[pack]
id = "ie"
name = "A test"
version = 1
as_of = "2026-01-01"
covers_from = "2013-01-01"
approved_by = "a test"

[[citation]]
id = "c"
text = "A statute"
mark = "V"

[[instrument]]
id = "ie.order"
title = "order"
asks = "production"
cite = "c"
"#;

const PERMIT: &str = r#"
@rule("all") @cite("c") @mark("V")
permit (principal, action == Action::"produce", resource);
"#;

const FORBID: &str = r#"
@rule("privilege") @cite("c") @mark("V") @effect("refuse")
forbid (principal, action == Action::"produce", resource) when { context.privilege_suspected };
"#;

fn order(packs: &Packs, privilege: Fact<bool>) -> Opinion {
    let ie: Place = "ie".parse().unwrap();
    let mut facts = Facts::new(ie, "2026-09-07T09:12:00+02:00".parse().unwrap());
    facts.entity = ie.into();
    facts.issuing_state = ie.into();
    facts.instrument = Instrument("ie.order".into()).into();
    facts.privilege_suspected = privilege;
    facts.items = vec![Item::new("content", vocab::DataCategory::Content)];
    assess(packs, &facts).parts.remove(0).opinion
}

// Cedar alone would answer Allow: "the decision will be as if the erroring policy did not exist".
#[test]
fn a_forbid_whose_fact_is_missing_is_undetermined() {
    let rules = format!("{PERMIT}{FORBID}");
    let pack = Pack::load(&[("pack.toml", HEAD), ("rules.cedar", &rules)]).unwrap();
    let packs = Packs::new(vec![pack]).unwrap();
    assert!(matches!(order(&packs, Fact::Known(false)), Opinion::Comply(_)));
    assert!(matches!(order(&packs, Fact::Known(true)), Opinion::Refuse(_)));
    let Opinion::Undetermined { needs, .. } = order(&packs, Fact::Unknown) else {
        panic!("a missing fact decided something");
    };
    assert_eq!(needs, ["privilege_suspected"]);
}

#[test]
fn default_deny_has_no_basis() {
    let pack = Pack::load(&[("pack.toml", HEAD), ("rules.cedar", FORBID)]).unwrap();
    let packs = Packs::new(vec![pack]).unwrap();
    assert_eq!(order(&packs, Fact::Known(false)), Opinion::NoBasis);
}

#[test]
fn the_issuing_states_own_law_cannot_permit() {
    let uk = HEAD.replace("\"ie\"", "\"uk\"").replace("ie.order", "uk.order");
    let ie = Pack::load(&[("pack.toml", HEAD), ("rules.cedar", FORBID)]).unwrap();
    let uk = Pack::load(&[("pack.toml", uk.as_str()), ("rules.cedar", PERMIT)]).unwrap();
    let packs = Packs::new(vec![ie, uk]).unwrap();
    let ie: Place = "ie".parse().unwrap();
    let mut facts = Facts::new(ie, "2026-09-07T09:12:00+02:00".parse().unwrap());
    facts.entity = ie.into();
    facts.issuing_state = "uk".parse::<Place>().unwrap().into();
    facts.instrument = Instrument("uk.order".into()).into();
    facts.privilege_suspected = Fact::Known(false);
    facts.items = vec![Item::new("content", vocab::DataCategory::Content)];
    assert_eq!(assess(&packs, &facts).parts[0].opinion, Opinion::NoBasis);
}
