//! Owners: an outside crate that carries a duty is used in one place only.
//!
//! `deny.toml` says the same of the whole graph; this says it of our own manifests, at once
//! and without the network.

use super::architecture::{PATH, owners};
use crate::problem::Problem;
use crate::tree::Tree;

const RULE: &str = "owner";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for row in owners(tree) {
        for owner in &row.owners {
            if !tree.members.iter().any(|member| member.name == *owner) {
                problems.push(Problem::new(
                    PATH,
                    row.line,
                    RULE,
                    format!("`{owner}` is not a crate of this workspace"),
                    "name the crate that owns it",
                ));
            }
        }
        for member in tree.members.iter().filter(|member| !row.owners.contains(&member.name)) {
            let shipped = member.dependencies.iter().filter(|dependency| !dependency.dev);
            for dependency in shipped.filter(|d| row.packages.contains(&d.package)) {
                problems.push(Problem::new(
                    &format!("{}/Cargo.toml", member.directory),
                    0,
                    RULE,
                    format!(
                        "`{}` belongs to {}, not to `{}`",
                        dependency.package,
                        row.owners.join(" and "),
                        member.name
                    ),
                    format!("ask its owner for what is needed; or write an ADR and change {PATH}"),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Member;

    const TABLE: &str =
        "| Outside crate | Only in | Because |\n|---|---|---|\n| `hpke`, `argon2` | `seal` | b |\n";

    #[test]
    fn only_the_owner_may_use_it() {
        let members = vec![
            Member::of("seal", "", &["hpke"]),
            Member::of("mail", "", &["argon2", "dev:hpke"]),
        ];
        let problems = check(&Tree::of(&[(PATH, TABLE)], members));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.contains("`argon2` belongs to seal"), "{}", problems[0]);
    }

    #[test]
    fn an_owner_must_exist() {
        assert_eq!(check(&Tree::of(&[(PATH, TABLE)], Vec::new())).len(), 1);
    }
}
