//! No trace of one machine: a path that exists only where the text was written.

use crate::problem::Problem;
use crate::tree::Tree;

const RULE: &str = "trace";
// Written in two halves, so that this file has no trace of its own.
const PLACES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tm", "p/"),
    concat!("/Us", "ers/"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            let Some(place) = PLACES.iter().find(|place| is_absolute(line, place)) else {
                continue;
            };
            let what = format!("`{place}` is a place on somebody's machine");
            let cure = "a path from the root of the tree, or a directory handed in";
            problems.push(Problem::new(&file.path, index + 1, RULE, what, cure));
        }
    }
    problems
}

/// Whether the place stands at the start of a path, not inside one (`net/work/`, `//x/home/`).
fn is_absolute(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|one| !one.is_alphanumeric() && !"_-./~}*".contains(one))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_path_is_found_and_a_longer_path_is_not() {
        let find = |text: String| check(&Tree::of(&[("docs/a.md", &text)], Vec::new())).len();
        assert_eq!(find(format!("see `{}main`\n", PLACES[0])), 1);
        assert_eq!(find(format!("cd {}a\n", PLACES[2])), 1);
        assert_eq!(find(format!("https://x.example{}a and net{}b\n", PLACES[2], PLACES[0])), 0);
    }
}
