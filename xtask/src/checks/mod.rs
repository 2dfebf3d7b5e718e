//! Every check, one file each.
//!
//! A check is a function from the tree to its problems. Each has tests that make it
//! fail: a check that cannot fail is a defect.

pub(crate) mod architecture;
mod edges;
mod headers;
mod licenses;
mod links;
mod owners;
mod packs;
pub(crate) mod records;
pub(crate) mod refs;
mod size;
mod touches;
mod traces;
mod unfinished;
mod words;

use crate::problem::Problem;
use crate::tree::Tree;

type Check = fn(&Tree) -> Vec<Problem>;

/// The checks, in the order of a file's life: what it is, what it says, how long it is.
pub(crate) const ALL: &[Check] = &[
    edges::check,
    owners::check,
    licenses::check,
    touches::check,
    headers::check,
    words::check,
    unfinished::check,
    traces::check,
    size::check,
    packs::check,
    records::check,
    links::check,
    refs::check,
];

/// Runs every check, drops what an exception covers, and reports exceptions no longer needed.
pub(crate) fn run(tree: &Tree) -> Vec<Problem> {
    let mut problems: Vec<Problem> = ALL.iter().flat_map(|check| check(tree)).collect();
    for exception in &tree.exceptions {
        let before = problems.len();
        problems.retain(|p| p.rule != exception.rule || p.path != exception.path);
        if problems.len() == before {
            problems.push(Problem::new(
                "xtask/tidy.toml",
                0,
                "exception",
                format!("nothing in `{}` breaks rule `{}`", exception.path, exception.rule),
                "delete the exception",
            ));
        }
    }
    problems.sort();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Exception;

    #[test]
    fn an_exception_covers_its_rule_in_its_file_and_no_other() {
        let code = "//! A.\nfn a() {\n    todo!()\n}\n";
        let mut tree = Tree::of(&[("xtask/src/a.rs", code), ("xtask/src/b.rs", code)], Vec::new());
        tree.exceptions
            .push(Exception { rule: "unfinished".into(), path: "xtask/src/a.rs".into() });
        let left: Vec<_> = run(&tree).into_iter().filter(|p| p.rule == "unfinished").collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].path, "xtask/src/b.rs");
    }

    #[test]
    fn an_exception_nobody_needs_is_a_problem() {
        let mut tree = Tree::of(&[("xtask/src/a.rs", "//! A.\n")], Vec::new());
        tree.exceptions.push(Exception { rule: "size".into(), path: "xtask/src/a.rs".into() });
        assert!(run(&tree).iter().any(|p| p.rule == "exception"));
    }
}
