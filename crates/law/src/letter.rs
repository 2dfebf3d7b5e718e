//! Plain text: the opinion for counsel, and the reasons for a letter to the authority.
//!
//! Invariant: the letter says nothing about the account, not even that it exists; both texts
//! hold only what the facts and the packs hold.
//! Refs: law tables §9; GLOSSARY.md.

use core::fmt;

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
    if let Opinion::Undetermined { because, .. } = &part.opinion {
        writeln!(f, "    {because}")?;
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
    /// their cures, the law, the right door and the forms. Empty when all is produced. Says
    /// nothing about the account.
    #[must_use]
    pub fn letter(&self) -> Vec<String> {
        let mut lines = vec![];
        for part in self.parts.iter().filter(|part| !part.opinion.produces()) {
            let Some(grounds) = part.opinion.grounds() else { continue };
            lines.push(format!("{}: {}", part.item, spoken(&part.opinion)));
            for reason in &part.reasons {
                lines.push(format!("  {reason}: {}", reason.words()));
                lines.push(format!("    to cure it: {}", reason.cure()));
            }
            lines.extend(grounds.iter().map(|citation| format!("  see {}", citation.text)));
        }
        if lines.is_empty() {
            return lines;
        }
        lines.extend(self.routes.iter().map(|route| format!("The right door: {}", route.words)));
        lines.extend(self.forms.iter().map(|form| format!("Form: {form}")));
        lines
    }
}

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
        Opinion::NoBasis | Opinion::Undetermined { .. } => "under review",
    }
}
