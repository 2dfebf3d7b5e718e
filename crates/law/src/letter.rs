//! Plain text: the opinion for counsel, and the reasons for a letter to the authority.
//!
//! Invariant: the letter says nothing about the account, not even that it exists; both texts
//! hold only what the facts and the packs hold.
//! Refs: law tables §9; GLOSSARY.md.

use core::fmt;
use std::collections::BTreeSet;

use crate::opinion::{Assessment, Opinion, Part, Produce};

pub(crate) fn explain(answer: &Assessment, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let words: Vec<&str> = answer.decision.iter().map(|one| one.word()).collect();
    writeln!(f, "Opinion under the law of {}: {}", answer.law_on, words.join(", "))?;
    let instrument = answer.instrument.as_ref().map_or("not known", |one| one.0.as_str());
    writeln!(f, "Instrument {instrument}, served {} on cell {}", answer.served, answer.cell)?;
    for part in &answer.parts {
        explain_part(part, f)?;
    }
    let clocks = &answer.clocks;
    for (name, when) in [("answer by", &clocks.policy), ("legal limit", &clocks.outer)] {
        if let Some(when) = when {
            writeln!(f, "Clock, {name}: {when}")?;
        }
    }
    if let Some(until) = clocks.preserve_until {
        writeln!(f, "Preserve until {until}")?;
    }
    if let Some(until) = clocks.preserve_renewed_until {
        writeln!(f, "Preserve until {until} if renewed once")?;
    }
    for citation in &clocks.citations {
        writeln!(f, "    {citation}")?;
    }
    match &answer.notice {
        Some(notice) => {
            writeln!(f, "Notice to the user: {}", notice.words)?;
            writeln!(f, "    {}", notice.citation)?;
        }
        None => writeln!(f, "Notice to the user: not without counsel")?,
    }
    for route in &answer.routes {
        writeln!(f, "Right door: {}", route.words)?;
        writeln!(f, "    {}", route.citation)?;
    }
    for (head, lines) in [
        ("Form", &answer.forms),
        ("A person decides", &answer.review),
        ("Missing fact", &answer.needs),
        ("Note", &clocks.notes),
    ] {
        for line in lines {
            writeln!(f, "{head}: {line}")?;
        }
    }
    for note in &answer.notes {
        writeln!(f, "Note: {}", note.words)?;
        for citation in &note.citations {
            writeln!(f, "    {citation}")?;
        }
    }
    for pack in &answer.packs {
        let (id, version) = (&pack.pack, pack.version);
        writeln!(f, "Pack {id}, version {version}, as of {}: {}", pack.as_of, pack.approved_by)?;
    }
    Ok(())
}

fn explain_part(part: &Part, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}: {}", part.item, part.opinion.word())?;
    for citation in part.opinion.grounds().into_iter().flat_map(|grounds| grounds.iter()) {
        writeln!(f, "    {citation}")?;
    }
    for reason in &part.reasons {
        writeln!(f, "    {reason} {}", reason.words())?;
    }
    if let Opinion::Undetermined { because, turns_on, .. } = &part.opinion {
        writeln!(f, "    {because}")?;
        for citation in turns_on {
            writeln!(f, "    {citation}")?;
        }
    }
    if part.produce == Produce::Ciphertext {
        writeln!(f, "    produce the sealed octets, and state that no key is held")?;
    }
    if let Some(when) = part.not_before.as_ref().filter(|_| part.opinion.produces()) {
        writeln!(f, "    not before {when}, unless the enforcing authority clears it")?;
    }
    if let Some(grounds) = &part.preserve {
        writeln!(f, "    preserve now")?;
        for citation in grounds.iter() {
            writeln!(f, "    {citation}")?;
        }
    }
    Ok(())
}

impl Assessment {
    /// The opinion in plain text, for counsel.
    #[must_use]
    pub fn explain(&self) -> String {
        self.to_string()
    }

    /// Lines for a letter to the authority about what is not produced: the coded reasons with
    /// their cures, the law, what is missing, the right door and the forms. Empty when all is
    /// produced. Says nothing about the account.
    #[must_use]
    pub fn letter(&self) -> Vec<String> {
        let mut lines = vec![];
        for part in self.parts.iter().filter(|part| !part.opinion.produces()) {
            lines.push(format!("{}: {}", part.item, spoken(&part.opinion)));
            for reason in &part.reasons {
                lines.push(format!("  {reason}: {}", reason.words()));
                lines.push(format!("    to cure it: {}", reason.cure()));
            }
            open(&part.opinion, &mut lines);
            let grounds = part.opinion.grounds().into_iter().flat_map(|grounds| grounds.iter());
            lines.extend(grounds.map(|citation| format!("  see {}", citation.text)));
        }
        if self.parts.is_empty() {
            lines.push("the demand: it cannot be decided, and nothing is produced".to_owned());
            asked(&self.needs, &mut lines);
        }
        if lines.is_empty() {
            return lines;
        }
        lines.extend(self.routes.iter().map(|route| format!("The right door: {}", route.words)));
        lines.extend(self.forms.iter().map(|form| format!("Form: {form}")));
        lines
    }
}

/// Why a part has no answer in law, and what the authority can do about it.
fn open(opinion: &Opinion, lines: &mut Vec<String>) {
    match opinion {
        Opinion::NoBasis => lines.push(
            "  to cure it: name the provision that the demand rests on, and the authority it gives"
                .to_owned(),
        ),
        Opinion::Undetermined { needs, because, turns_on } => {
            if turns_on.is_empty() {
                lines.push(format!("  {because}"));
            }
            asked(needs, lines);
            // Several rules may cite one text.
            let texts: BTreeSet<&str> = turns_on.iter().map(|one| one.text.as_str()).collect();
            lines.extend(texts.into_iter().map(|text| format!("  it turns on {text}")));
        }
        Opinion::Comply(_)
        | Opinion::Narrow(_)
        | Opinion::Refuse(_)
        | Opinion::Refer(_)
        | Opinion::Object(_)
        | Opinion::Hold(_)
        | Opinion::Preserve(_) => {}
    }
}

/// What is missing: what the authority is asked to say, and that there is more which it is not.
fn asked(needs: &[String], lines: &mut Vec<String>) {
    let words = needs.iter().map(|need| wanted(need));
    let (theirs, ours): (Vec<_>, Vec<_>) = words.partition(Option::is_some);
    lines.extend(theirs.into_iter().flatten().map(|words| format!("  please state {words}")));
    if !ours.is_empty() {
        lines.push("  what else is missing is ours to establish".to_owned());
    }
}

/// What an authority is asked to say, by the fact's name; `None` for what the provider finds out
/// itself, of which a letter gives no name: it could tell of the account.
fn wanted(need: &str) -> Option<&'static str> {
    // An item's own facts name it: the line above does so too.
    let name = need.split_once(" of ").map_or(need, |(name, _)| name);
    WANTED.iter().find(|(known, _)| *known == name).and_then(|(_, words)| *words)
}

const WANTED: &[(&str, Option<&str>)] = &[
    ("items", Some("what data are demanded")),
    ("category", Some("whether these are subscriber, identifying, traffic or content data")),
    ("item_place", None),
    ("item_keys", None),
    ("retrievable", None),
    ("entity", Some("which entity the demand is addressed to")),
    ("designated", None),
    ("instrument", Some("what instrument this is")),
    ("issuing_state", Some("which State's authority issued it")),
    ("issuer", Some("who issued it")),
    ("validated_by", Some("who validated it, or that nobody did")),
    ("venue", Some("which court issued it")),
    ("court_decision", Some("whether a court decision stands behind it, and which")),
    ("basis_cited", Some("the provision it rests on")),
    ("case_number", Some("the number of the case or file")),
    ("signed", Some("who signed or sealed it")),
    ("authenticated", None),
    ("channel", None),
    ("language_accepted", None),
    ("issued", Some("the day it was issued")),
    ("identifiers", Some("the exact address or account that is meant")),
    ("period_given", Some("the first and the last day it covers, with the time zone")),
    ("offence_max_months", Some("the maximum sentence for the offence")),
    ("offence_listed", Some("which offence is investigated")),
    ("offence_in_issuing_state", Some("where the offence is thought to have been committed")),
    ("enforcing_authority", Some("whether the enforcing authority was notified, and what it said")),
    ("emergency", Some("whether there is an emergency: who is threatened, by what and when")),
    ("gag", Some("whether secrecy is imposed, by which order and until when")),
    ("stayed", Some("whether its execution is stayed")),
    ("residence", None),
    ("us_person", None),
    ("real_time", Some("whether future or live data are asked")),
    ("credentials", Some("whether credentials or keys are asked")),
    ("overbroad", Some("the accounts, categories and dates that it is limited to")),
    ("privilege_suspected", Some("whether privilege, immunity or the press may be touched")),
];

/// What an opinion means to the authority.
const fn spoken(opinion: &Opinion) -> &'static str {
    match opinion {
        Opinion::Comply(_) => "produced",
        Opinion::Narrow(_) => "produced in part",
        Opinion::Refuse(_) => "refused",
        Opinion::Refer(_) => "to be sought elsewhere",
        Opinion::Object(_) => "not produced; an objection is raised",
        Opinion::Hold(_) => "not produced for the present",
        Opinion::Preserve(_) => "preserved, not disclosed",
        Opinion::NoBasis => "not produced; we know of no provision that permits it",
        Opinion::Undetermined { .. } => "not produced; as it stands it cannot be decided",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, Item};

    #[test]
    fn of_every_fact_it_is_said_whether_an_authority_is_asked_for_it() {
        let mut known: Vec<&str> = WANTED.iter().map(|(name, _)| *name).collect();
        let mut facts = [&["items", "category"], Item::NAMES, Facts::NAMES].concat();
        known.sort_unstable();
        facts.sort_unstable();
        assert_eq!(known, facts);
    }

    #[test]
    fn nothing_is_asked_that_would_tell_of_the_account() {
        for name in ["item_place", "item_keys of content", "retrievable of content", "residence"] {
            assert_eq!(wanted(name), None);
        }
        assert!(wanted("category of everything of his").unwrap().contains("traffic"));
    }
}
