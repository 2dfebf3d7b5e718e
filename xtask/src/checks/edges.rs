//! Crate edges: `cargo metadata` against the table, both ways.
//!
//! An edge for tests only is held to the same table: a test that needs a crate the
//! table hides is testing the wrong thing.

use super::architecture::{CrateRow, PATH, crates};
use crate::problem::Problem;
use crate::tree::{Member, Tree, short};

const RULE: &str = "edge";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let rows = crates(tree);
    let mut problems = Vec::new();
    for member in &tree.members {
        match rows.iter().find(|row| row.name == member.name) {
            Some(row) => compare(member, row, &mut problems),
            None => problems.push(Problem::new(
                PATH,
                0,
                RULE,
                format!("crate `{}` has no row in the crate table", member.name),
                "add its row: what it is for, what it may depend on and touch, what it must never do",
            )),
        }
    }
    for row in &rows {
        if !tree.members.iter().any(|member| member.name == row.name) {
            problems.push(Problem::new(
                PATH,
                row.line,
                RULE,
                format!("the table has crate `{}`, the workspace has not", row.name),
                "delete the row",
            ));
        }
    }
    problems
}

fn compare(member: &Member, row: &CrateRow<'_>, problems: &mut Vec<Problem>) {
    let manifest = format!("{}/Cargo.toml", member.directory);
    let house = || member.dependencies.iter().filter(|dependency| dependency.house);
    for dependency in house() {
        let name = short(&dependency.package);
        // A crate's tests may see the crate itself.
        if name != member.name && !row.depends_on.iter().any(|allowed| allowed == name) {
            let problem = Problem::new(
                &manifest,
                0,
                RULE,
                format!(
                    "`{}` depends on `{name}`, which the crate table does not allow",
                    member.name
                ),
                format!("remove it; or write an ADR, then add `{name}` to the row in {PATH}"),
            );
            problems.push(problem);
        }
    }
    for allowed in &row.depends_on {
        if !house().any(|dependency| !dependency.dev && short(&dependency.package) == allowed) {
            problems.push(Problem::new(
                PATH,
                row.line,
                RULE,
                format!("the table lets `{}` depend on `{allowed}`, and it does not", member.name),
                format!("take `{allowed}` out of the row"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| Crate | Purpose | Depends on | May touch | Licence | Must never |\n|---|---|---|---|---|---|\n| `seal` | a | `vocab` | – | verifier | b |\n| `vocab` | a | – | – | verifier | b |\n";

    fn seal(dependencies: &[&str]) -> Vec<Problem> {
        let members =
            vec![Member::of("seal", "", dependencies), Member::of("vocab", "", &["serde"])];
        check(&Tree::of(&[(PATH, TABLE)], members))
    }

    #[test]
    fn the_edges_of_the_table_are_in_order() {
        assert_eq!(seal(&["bailiwick-vocab", "hpke"]), []);
    }

    #[test]
    fn a_new_edge_is_refused_in_tests_too() {
        for edge in ["bailiwick-store", "dev:bailiwick-store"] {
            let problems = seal(&["bailiwick-vocab", edge]);
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].path, "crates/seal/Cargo.toml");
        }
    }

    #[test]
    fn an_edge_that_is_gone_must_leave_the_table() {
        assert_eq!(seal(&[])[0].line, 3);
        assert_eq!(seal(&["dev:bailiwick-vocab"])[0].line, 3);
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
        let tree = Tree::of(&[(PATH, TABLE)], vec![Member::of("law", "", &[])]);
        assert_eq!(check(&tree).len(), 3);
    }
}
