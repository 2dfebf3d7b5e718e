//! Letters to an authority, in plain text: what is not produced, why, and what would cure it.
//!
//! Invariant: a letter says nothing about the account, not even whether it exists, and cites
//! nothing a pack does not. Counsel signs it; the desk only writes it.
//! Refs: law tables §9; packs/README.md, "Reason codes".

use crate::case::Case;
use crate::decision::Outcome;
use crate::error::DeskError;
use crate::refusal::Lack;
use crate::time;
use vocab::Timestamp;

/// The letter that goes with the decision; before one, that the demand was received.
pub(crate) fn write(case: &Case, now: Timestamp) -> Result<String, DeskError> {
    let demand = &case.demand;
    let mut out = format!(
        "To {}\nYour reference: {}\nOur case: {}\nDate: {}\n\n",
        demand.authority,
        demand.reference,
        case.id,
        time::day(now)
    );
    let outcome = case.decided.as_ref().map(|decided| decided.outcome);
    out.push_str(match outcome {
        None => "We have received your demand and are examining it.\n",
        Some(Outcome::Comply) => "We will answer your demand as it stands.\n",
        Some(Outcome::Narrow) => "We will answer your demand in part.\n",
        Some(Outcome::Preserve) => "The data are preserved. Nothing is disclosed.\n",
        Some(Outcome::Refuse) => "We cannot comply with your demand.\n",
        Some(Outcome::Refer) => "We are not the right door for your demand.\n",
        Some(Outcome::Object) => "We object to your demand, and produce nothing meanwhile.\n",
        Some(Outcome::Clarify) => "We cannot answer your demand before you complete it.\n",
    });
    let gives_reasons = match outcome {
        None | Some(Outcome::Comply | Outcome::Preserve) => false,
        Some(
            Outcome::Narrow | Outcome::Refuse | Outcome::Refer | Outcome::Object | Outcome::Clarify,
        ) => true,
    };
    if gives_reasons {
        reasons(case, &mut out)?;
    }
    if demand.rehearsal {
        out.push_str("\nThis is a rehearsal. No authority asked, and nothing was opened.\n");
    }
    Ok(out)
}

fn reasons(case: &Case, out: &mut String) -> Result<(), DeskError> {
    let opinion = case.opinion.as_ref().ok_or(DeskError::Lacks(Lack::Opinion))?;
    let lines = opinion.letter();
    if !lines.is_empty() {
        out.push('\n');
    }
    for line in &lines {
        out.push_str(line);
        out.push('\n');
    }
    // What counsel gave beyond the opinion.
    let own = case.decided.iter().flat_map(|decided| &decided.codes);
    let own: Vec<_> = own.filter(|code| !opinion.reasons.contains(code)).collect();
    for code in own {
        out.push_str(&format!("{code}: {}\n  to cure it: {}\n", code.words(), code.cure()));
    }
    let grounds = opinion.parts.iter().filter(|part| !part.opinion.produces());
    let mut cited: Vec<String> = grounds
        .filter_map(|part| part.opinion.grounds())
        .flat_map(|grounds| grounds.iter().map(ToString::to_string))
        .collect();
    cited.sort_unstable();
    cited.dedup();
    if !cited.is_empty() {
        out.push_str("\nThe law relied on (V: text seen; K: from knowledge):\n");
        cited.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    Ok(())
}
