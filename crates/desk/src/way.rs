//! Ways: by which acts a case that does not allow something comes to allow it.
//!
//! Invariant: follows `case::TABLE` and adds nothing to it but the log's own step. No way goes
//! through what courts and authorities do: nobody is told to record a stay in order to lift it.
//! Refs: specs/desk-command.md §2.

use crate::case::{Line, State, TABLE, Verb};
use std::collections::{BTreeSet, VecDeque};

/// The fewest acts that lead from a state to one that allows `verb`; `None` if none do.
pub(crate) fn way(from: State, verb: Verb) -> Option<Vec<&'static str>> {
    let goal = verb.line()?.from;
    let mut seen = BTreeSet::from([from]);
    let mut open = VecDeque::from([(from, Vec::new())]);
    while let Some((state, acts)) = open.pop_front() {
        if goal.contains(&state) {
            return Some(acts);
        }
        for (act, to) in steps(state) {
            if seen.insert(to) {
                open.push_back((to, acts.iter().copied().chain([act]).collect()));
            }
        }
    }
    None
}

fn steps(state: State) -> impl Iterator<Item = (&'static str, State)> {
    let theirs = [Verb::Stay, Verb::Appeal, Verb::Withdraw];
    let ours = move |line: &&Line| line.from.contains(&state) && !theirs.contains(&line.verb);
    let acts = TABLE.iter().filter(ours);
    // What people do for what only follows.
    let word = |verb: Verb| {
        if verb == Verb::Authorise { "the second `approve`" } else { verb.word() }
    };
    let acts = acts.filter_map(move |line| Some((word(line.verb), line.to?)));
    let logged = (state == State::Approved).then_some(("the log's taking it", State::Logged));
    acts.chain(logged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_the_shortest_that_the_table_has() {
        assert_eq!(way(State::Assessed, Verb::Prepare), Some(vec!["comply"]));
        assert_eq!(way(State::Decided, Verb::Prepare), Some(vec![]));
        assert_eq!(
            way(State::Verified, Verb::Release).unwrap(),
            ["assess", "comply", "the second `approve`", "the log's taking it"]
        );
        assert_eq!(way(State::Closed, Verb::Prepare), None);
        assert_eq!(way(State::Received, Verb::Lift), None);
        assert_eq!(way(State::Withdrawn, Verb::Narrow), None);
    }
}
