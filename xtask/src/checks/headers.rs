//! Headers: every module says what it is, every crate what it must never do.

use crate::problem::Problem;
use crate::tree::Tree;

const RULE: &str = "header";
const LINES_MAX: usize = 15;

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| is_source(&file.path)) {
        let header: Vec<&str> =
            file.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let mut say = |line, what: String, cure| {
            problems.push(Problem::new(&file.path, line, RULE, what, cure));
        };
        if header.is_empty() {
            say(1, "no module header".into(), "begin the file with `//! What it is.`");
            continue;
        }
        if header.len() > LINES_MAX {
            let what = format!("the header has {} lines, the limit is {LINES_MAX}", header.len());
            say(LINES_MAX + 1, what, "what it is, its invariant, its references; no more");
        }
        if is_root(&file.path) && !header.iter().any(|line| line.starts_with("//! Invariant: ")) {
            say(
                1,
                "no `Invariant:` line".into(),
                "say what this crate must never do, or always keep",
            );
        }
    }
    problems
}

fn is_source(path: &str) -> bool {
    let inside = path.starts_with("crates/") || path.starts_with("xtask/");
    inside && path.contains("/src/") && path.ends_with(".rs")
}

fn is_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)], Vec::new())).len()
    }

    #[test]
    fn a_module_without_a_header_is_found() {
        assert_eq!(problems("crates/a/src/b.rs", "use x;\n"), 1);
        assert_eq!(problems("crates/a/src/b.rs", "//! B.\nuse x;\n"), 0);
        assert_eq!(problems("crates/a/tests/b.rs", "use x;\n"), 0);
    }

    #[test]
    fn a_crate_states_its_invariant() {
        assert_eq!(problems("crates/a/src/lib.rs", "//! A.\n"), 1);
        assert_eq!(problems("crates/a/src/lib.rs", "//! A.\n//!\n//! Invariant: b.\n"), 0);
    }

    #[test]
    fn a_header_is_short() {
        assert_eq!(problems("crates/a/src/b.rs", &"//! B.\n".repeat(16)), 1);
    }
}
