//! Size: files of at most 800 lines, functions of at most 70.

use crate::problem::Problem;
use crate::tree::Tree;

const RULE: &str = "size";
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, rust) in tree.rust() {
        let lines = rust.code.len();
        if lines > FILE_LINES_MAX {
            problems.push(Problem::new(
                &file.path,
                FILE_LINES_MAX,
                RULE,
                format!("the file has {lines} lines, the limit is {FILE_LINES_MAX}"),
                "split it where its subject splits; or an exception with its reason in xtask/tidy.toml",
            ));
        }
        for function in rust.functions() {
            if function.lines > FUNCTION_LINES_MAX {
                problems.push(Problem::new(
                    &file.path,
                    function.line,
                    RULE,
                    format!(
                        "`{}` has {} lines, the limit is {FUNCTION_LINES_MAX}",
                        function.name, function.lines
                    ),
                    "give its steps names",
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        check(&Tree::of(&[("crates/a/src/b.rs", text)], Vec::new())).len()
    }

    #[test]
    fn a_function_of_70_lines_is_the_longest() {
        assert_eq!(problems(&format!("fn a() {{\n{}}}\n", "    b();\n".repeat(68))), 0);
        assert_eq!(problems(&format!("fn a() {{\n{}}}\n", "    b();\n".repeat(69))), 1);
    }

    #[test]
    fn a_file_of_800_lines_is_the_longest() {
        assert_eq!(problems(&"\n".repeat(800)), 0);
        assert_eq!(problems(&"\n".repeat(801)), 1);
    }
}
