//! Ways: by which acts a case that does not allow something comes to allow it.
//!
//! Invariant: follows `case::TABLE` and adds nothing to it but the log's own step. No way goes
//! through what courts and authorities do: nobody is told to record a stay in order to lift it.
//! Refs: specs/desk-command.md §2.

use crate::case::{Line, State, TABLE, Verb};
use std::collections::{BTreeSet, VecDeque};

/// The fewest acts that lead from a state to one that allows `verb`; `None` if none do.
pub(crate) fn way(from: State, verb: Verb) -> Option<Vec<String>> {
    let goal = verb.line()?.from;
    let mut seen = BTreeSet::from([from]);
    let mut open = VecDeque::from([(from, Vec::<String>::new())]);
    while let Some((state, acts)) = open.pop_front() {
        if goal.contains(&state) {
            return Some(acts.into_iter().filter(|act| *act != run(verb)).collect());
        }
        for (act, to) in steps(state) {
            if seen.insert(to) {
                let mut acts = acts.clone();
                // One command may be several acts.
                if acts.last() != Some(&act) {
                    acts.push(act);
                }
                open.push_back((to, acts));
            }
        }
    }
    None
}

/// An act as people do it: by its command.
pub(crate) fn run(verb: Verb) -> String {
    format!("`{}`", verb.command())
}

fn steps(state: State) -> impl Iterator<Item = (String, State)> {
    let theirs = [Verb::Stay, Verb::Appeal, Verb::Withdraw];
    let ours = move |line: &&Line| line.from.contains(&state) && !theirs.contains(&line.verb);
    let acts = TABLE.iter().filter(ours);
    // What people do for what only follows.
    let word = |verb: Verb| {
        if verb == Verb::Authorise {
            "`prepare` and `approve` by two".to_owned()
        } else {
            run(verb)
        }
    };
    let acts = acts.filter_map(move |line| Some((word(line.verb), line.to?)));
    let logged = state == State::Approved;
    acts.chain(logged.then(|| ("the log's taking it".to_owned(), State::Logged)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_the_shortest_that_the_table_has() {
        assert_eq!(way(State::Assessed, Verb::Prepare).unwrap(), ["`decide … comply`"]);
        assert_eq!(way(State::Decided, Verb::Prepare), Some(vec![]));
        assert_eq!(
            way(State::Verified, Verb::Release).unwrap(),
            [
                "`assess`",
                "`decide … comply`",
                "`prepare` and `approve` by two",
                "the log's taking it"
            ]
        );
        // To release, to fetch and to produce are one command.
        assert_eq!(way(State::Logged, Verb::Produce), Some(vec![]));
        assert_eq!(way(State::Closed, Verb::Prepare), None);
        assert_eq!(way(State::Received, Verb::Lift), None);
        assert_eq!(way(State::Withdrawn, Verb::Narrow), None);
    }
}
