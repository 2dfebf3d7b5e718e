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
        out.push_str(next(outcome));
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
    if lines.is_empty() && own.is_empty() {
        out.push_str(
            "\nThe reasons are our counsel's; ask for them under the number of our case.\n",
        );
    }
    for code in own {
        out.push_str(&format!("{code}: {}\n  to cure it: {}\n", code.words(), code.cure()));
    }
    let left = opinion.parts.iter().filter(|part| !part.opinion.produces());
    let mut cited: Vec<String> = left
        .flat_map(|part| {
            let grounds = part.opinion.grounds().into_iter().flat_map(law::Grounds::iter);
            grounds.chain(part.opinion.turns_on())
        })
        .map(ToString::to_string)
        .collect();
    cited.sort_unstable();
    cited.dedup();
    if !cited.is_empty() {
        out.push_str("\nThe law named above (V: text seen; K: from knowledge):\n");
        cited.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    Ok(())
}

/// What the authority may do now. Which remedies there are is the law's to say, not ours.
const fn next(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Clarify) => {
            "\nWhat you can do: complete the demand, naming our case. It is then examined anew.\n"
        }
        Some(Outcome::Refer) => {
            "\nWhat you can do: turn to whoever is named above. If no one is, or you hold that we are \
             the right door, answer us naming our case.\n"
        }
        Some(Outcome::Object) => {
            "\nWhat you can do: answer the objection naming our case, or have whoever the law names \
             decide it. Tell us, and it is recorded with our case.\n"
        }
        Some(Outcome::Refuse) => {
            "\nWhat you can do: send a new demand with what is asked for above, or take any remedy \
             that the law gives you. Tell us, and it is recorded with our case.\n"
        }
        Some(Outcome::Narrow) => {
            "\nWhat you can do: for what is not produced, send a new demand with what is asked for \
             above, or take any remedy that the law gives you.\n"
        }
        None | Some(Outcome::Comply | Outcome::Preserve) => "",
    }
}
