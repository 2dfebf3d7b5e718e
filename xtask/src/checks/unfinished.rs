//! Nothing unfinished, and no lint switched off.

use crate::problem::Problem;
use crate::rust::{is_word, paths};
use crate::tree::Tree;

const RULE: &str = "unfinished";
const MACROS: [&str; 2] = ["todo", "unimplemented"];
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, rust) in tree.rust() {
        for (index, line) in rust.code.iter().enumerate() {
            for (path, bang) in paths(line) {
                if bang && path.last().is_some_and(|name| MACROS.contains(name)) {
                    let what = format!("`{}!`", path.join("::"));
                    let cure = "write it, or leave the feature out and say so in docs/plan.md";
                    problems.push(Problem::new(&file.path, index + 1, RULE, what, cure));
                }
            }
            let text = line.trim_start();
            if text.starts_with("#[allow") || text.starts_with("#![allow") {
                let cure = "cure the cause, or `#[expect(…, reason = \"INVARIANT: …\")]`";
                let what = "a lint is switched off for good";
                problems.push(Problem::new(&file.path, index + 1, RULE, what, cure));
            }
        }
        for (index, line) in rust.comments.iter().enumerate() {
            problems.extend(mark(&file.path, index + 1, line));
        }
    }
    for file in tree.files.iter().filter(|file| file.rust.is_none()) {
        if file.path.starts_with("LICENSES/") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            problems.extend(mark(&file.path, index + 1, line));
        }
    }
    problems
}

fn mark(path: &str, line: usize, text: &str) -> Option<Problem> {
    let found = MARKS.iter().find(|mark| text.split(|one| !is_word(one)).any(|w| w == **mark))?;
    let cure = "do it now, or put it on docs/plan.md";
    Some(Problem::new(path, line, RULE, format!("a note of the kind `{found}`"), cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)], Vec::new())).len()
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for text in [
            "fn a() {\n    todo!()\n}\n",
            "// FIXME: b\n",
            "#[allow(x)]\nfn a() {}\n",
            "#![allow(x)]\n",
        ] {
            assert_eq!(problems("crates/a/src/b.rs", text), 1, "{text}");
        }
        assert_eq!(problems("docs/a.md", "TODO: b\n"), 1);
    }

    #[test]
    fn the_same_words_in_a_string_are_data() {
        assert_eq!(
            problems("crates/a/src/b.rs", "const A: &str = \"TODO todo!() #[allow]\";\n"),
            0
        );
        assert_eq!(problems("crates/a/src/b.rs", "#[expect(x, reason = \"y\")]\nfn a() {}\n"), 0);
    }
}
