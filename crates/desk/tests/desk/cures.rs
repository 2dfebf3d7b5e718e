//! Every refusal says what would cure it, and no two different ones say the same.

use bailiwick_desk::{Beyond, DeskError, Fault, Lack, Mismatch, Part, State, Unfit, Verb};
use custody::OrderError;
use std::collections::BTreeMap;

/// One of each; where a refusal depends on something, one for each of its values.
fn refusals() -> Vec<DeskError> {
    let mut all = vec![
        DeskError::Unsigned,
        DeskError::Repeated,
        DeskError::Command,
        DeskError::Text(200),
        DeskError::NoCase,
        DeskError::NoDocument,
        DeskError::Entered(vocab::CaseId([3; 16])),
        DeskError::Facts("missing field".to_owned()),
        DeskError::Fixed("served"),
        DeskError::Fixed("cell"),
        DeskError::Keys("local"),
        DeskError::Confirmed,
        DeskError::Scope("its version is not 1"),
        DeskError::Reason,
        DeskError::Rehearsal,
        DeskError::NoEscrow,
        DeskError::Signature,
        DeskError::Office,
        DeskError::Order(OrderError::Validity),
        DeskError::Register,
        DeskError::NoReceipt,
        DeskError::Share,
        DeskError::Gone,
        DeskError::Damaged,
    ];
    all.extend(Fault::ALL.iter().map(|one| DeskError::Demand(*one)));
    all.extend(Beyond::ALL.iter().map(|one| DeskError::Outside(*one)));
    all.extend(Lack::ALL.iter().map(|one| DeskError::Lacks(*one)));
    all.extend(Part::ALL.iter().map(|one| DeskError::OnePerson(*one)));
    all.extend(Mismatch::ALL.iter().map(|one| DeskError::Production(*one)));
    all.extend(Unfit::ALL.iter().map(|one| DeskError::Enrolment(*one)));
    // A station releases and fetches by the command that produces.
    let inner = |verb: &&Verb| matches!(verb, Verb::Release | Verb::Fetch);
    let asked = Verb::ALL.iter().filter(|verb| !verb.roles().is_empty() && !inner(verb));
    for verb in asked.copied() {
        all.push(DeskError::Role { verb });
        let from = verb.line().unwrap().from;
        for state in [State::Received, State::Closed] {
            if !from.is_empty() && !from.contains(&state) {
                all.push(DeskError::State { state, verb });
            }
        }
    }
    all
}

#[test]
fn no_two_refusals_share_a_cure() {
    let mut cures: BTreeMap<String, String> = BTreeMap::new();
    for refusal in refusals() {
        let (said, cure) = (format!("{refusal:?}: {refusal}"), refusal.cure());
        assert!(cure.len() > 10, "{said}");
        let other = cures.insert(cure.clone(), said.clone());
        assert_eq!(other, None, "`{cure}` also cures {said}");
    }
}

#[test]
fn the_cures_as_a_person_reads_them() {
    let lines: Vec<String> =
        refusals().iter().map(|one| format!("{one}\n    {}", one.cure())).collect();
    insta::assert_snapshot!("cures", lines.join("\n"));
}
