//! The table of opinions a lawyer reads: pack × instrument × issuer × category, by date.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bailiwick_law::{
    Assessment, Channel, Date, Emergency, EnforcingAuthority, Facts, Instrument, Item, KeyHolder,
    Moment, NonDisclosure, Packs, Place, Role, Venue, assess,
};
use vocab::DataCategory;

const CATEGORIES: [(DataCategory, &str); 4] = [
    (DataCategory::Subscriber, "subscriber"),
    (DataCategory::Identifying, "identifying"),
    (DataCategory::Traffic, "traffic"),
    (DataCategory::Content, "content"),
];

/// A demand with nothing wrong on its face.
fn flawless(
    cell: Place,
    entity: Place,
    issuing: Place,
    instrument: &Instrument,
    day: Date,
) -> Facts {
    let mut facts = Facts::new(cell, Moment::start_of(day));
    facts.entity = entity.into();
    facts.designated = true.into();
    facts.instrument = instrument.clone().into();
    facts.issuing_state = issuing.into();
    facts.validated_by = Role::Nobody.into();
    facts.venue = Venue { court: "us.sdny".into(), circuit: "us.ca2".into() }.into();
    facts.court_decision = (instrument.0 == "ru.court_decision").into();
    for fact in [
        &mut facts.basis_cited,
        &mut facts.case_number,
        &mut facts.signed,
        &mut facts.authenticated,
        &mut facts.language_accepted,
        &mut facts.period_given,
    ] {
        *fact = true.into();
    }
    for fact in [
        &mut facts.offence_listed,
        &mut facts.offence_in_issuing_state,
        &mut facts.stayed,
        &mut facts.us_person,
        &mut facts.real_time,
        &mut facts.credentials,
        &mut facts.overbroad,
        &mut facts.privilege_suspected,
    ] {
        *fact = false.into();
    }
    facts.channel = Channel::Decentralised.into();
    facts.issued = day.into();
    facts.identifiers = 1.into();
    facts.offence_max_months = 60.into();
    facts.enforcing_authority = EnforcingAuthority::Notified.into();
    facts.emergency = Emergency::No.into();
    facts.gag = NonDisclosure::None.into();
    facts.residence = cell.into();
    facts
}

/// What one part of an answer says, in a few words.
fn cell(answer: &Assessment) -> String {
    let part = &answer.parts[0];
    let mut out = part.opinion.word().to_owned();
    for reason in &part.reasons {
        write!(out, " {reason}").unwrap();
    }
    if let Some(route) = &part.route {
        write!(out, " -> {}", route.id).unwrap();
    }
    if answer.needs_person() {
        out.push_str(" (person)");
    }
    out
}

/// The days on which any rule of these places begins or ends while the cell's pack covers them.
fn days(packs: &Packs, places: [Place; 3]) -> BTreeSet<Date> {
    let last = Date::constant(2026, 11, 21);
    let found = places.map(|place| packs.for_cell(place, last));
    let all = found.iter().flatten().flat_map(|pack| pack.changes());
    all.filter(|day| places[..2].iter().all(|place| !packs.for_cell(*place, *day).is_empty()))
        .collect()
}

/// What is said of one issuer and category: a line for each day on which it changes.
fn story(packs: &Packs, who: [Place; 3], facts: impl Fn(Date) -> Facts) -> Vec<String> {
    let mut lines: Vec<(Date, String)> = vec![];
    for day in days(packs, who) {
        let said = cell(&assess(packs, &facts(day)));
        if lines.last().is_none_or(|(_, last)| *last != said) {
            lines.push((day, said));
        }
    }
    lines.into_iter().map(|(day, said)| format!("{day}  {said}")).collect()
}

/// Issuers, each with the categories of whom the same is said.
type Whom = Vec<(&'static str, Vec<&'static str>)>;

/// One block: an instrument served on an entity, for data in a cell. Issuers and categories of
/// whom the same is said share their lines.
fn block(packs: &Packs, who: [Place; 3], instrument: &Instrument) -> String {
    let [place, entity, issuing] = who;
    let mut stories: Vec<(Vec<String>, Whom)> = vec![];
    for issuer in [Role::Judge, Role::Prosecutor, Role::Police, Role::Regulator] {
        for (category, name) in CATEGORIES {
            let said = story(packs, who, |day| {
                let mut facts = flawless(place, entity, issuing, instrument, day);
                facts.issuer = issuer.into();
                let mut item = Item::new(name, category);
                item.item_place = place.into();
                item.item_keys = KeyHolder::Provider.into();
                item.retrievable = true.into();
                facts.items = vec![item];
                facts
            });
            let at = stories.iter().position(|(lines, _)| *lines == said).unwrap_or(stories.len());
            if at == stories.len() {
                stories.push((said, vec![]));
            }
            let whom = &mut stories[at].1;
            match whom.last_mut() {
                Some((word, names)) if *word == issuer.word() => names.push(name),
                _ => whom.push((issuer.word(), vec![name])),
            }
        }
    }
    let mut out = String::new();
    for (lines, whom) in stories {
        for (issuer, names) in whom {
            let names = if names.len() == 4 { "all data".into() } else { names.join(", ") };
            writeln!(out, "  {issuer}: {names}").unwrap();
        }
        for line in lines {
            writeln!(out, "      {line}").unwrap();
        }
    }
    out
}

fn table(packs: &Packs, place: Place) -> String {
    let mut out = format!(
        "Opinions of cell {place} on a demand without formal flaw, for data it keeps under keys the\n\
         entity addressed can use: one identifier, period given, no secrecy, S.D.N.Y. where American,\n\
         offence up to 5 years, enforcing authority notified, no emergency; a court decision only\n\
         where that is the instrument. A line stands from its date until the next; (person) means\n\
         that a person must decide. Neither name nor number here is advice.\n"
    );
    for pack in packs.iter() {
        for (instrument, title) in pack.instruments() {
            // A shared pack's instruments come from another Member State: France.
            let own = pack.id().parse().ok().filter(|_| pack.id() != "eu");
            let issuing: Place = own.unwrap_or_else(|| "fr".parse().unwrap());
            let mut entities = vec![place];
            if issuing != place && own.is_some() {
                entities.push(issuing);
            }
            for entity in entities {
                writeln!(out, "\n{title} ({})", instrument.0).unwrap();
                writeln!(out, "from {issuing}, served on the entity in {entity}").unwrap();
                out.push_str(&block(packs, [place, entity, issuing], &instrument));
            }
        }
    }
    out
}

fn snapshot(place: &str) {
    let packs = Packs::builtin().unwrap();
    let table = table(&packs, place.parse().unwrap());
    let dir = crate::packs_dir().join(place);
    insta::with_settings!({
        snapshot_path => dir,
        prepend_module_to_snapshot => false,
        omit_expression => true,
        description => "A lawyer reads this table; see packs/README.md.",
    }, {
        insta::assert_snapshot!("opinions", table);
    });
}

#[test]
fn the_table_of_ireland_is_as_reviewed() {
    snapshot("ie");
}

#[test]
fn the_table_of_the_united_states_is_as_reviewed() {
    snapshot("us");
}

#[test]
fn the_table_of_russia_is_as_reviewed() {
    snapshot("ru");
}

#[test]
fn the_table_of_germany_is_as_reviewed() {
    snapshot("de");
}
