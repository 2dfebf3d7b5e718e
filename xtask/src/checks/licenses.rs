//! Licences: what a court or a user needs for checking comes without obligation.
//!
//! Each manifest says what the table says; the licence's text is in LICENSES/; and a
//! crate of the verifier stands on no crate of the server.

use super::architecture::{PATH, crates};
use crate::problem::Problem;
use crate::tree::{Tree, short};

const RULE: &str = "licence";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let rows = crates(tree);
    let license_of = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.license);
    let mut problems = Vec::new();
    for member in &tree.members {
        let manifest = format!("{}/Cargo.toml", member.directory);
        let Some(wanted) = license_of(&member.name) else { continue };
        if member.license != wanted {
            problems.push(Problem::new(
                &manifest,
                0,
                RULE,
                format!("the licence is `{}`, the table in {PATH} says `{wanted}`", member.license),
                "make the two agree; the table's words are `server` and `verifier`",
            ));
        }
        for license in member.license.split(" OR ") {
            if !tree.has(&format!("LICENSES/{license}.txt")) {
                problems.push(Problem::new(
                    &manifest,
                    0,
                    RULE,
                    format!("`{license}` has no text in LICENSES/"),
                    format!("add LICENSES/{license}.txt"),
                ));
            }
        }
        for dependency in member.dependencies.iter().filter(|d| d.house && !d.dev) {
            let theirs = license_of(short(&dependency.package)).unwrap_or_default();
            if !wanted.starts_with("AGPL") && theirs.starts_with("AGPL") {
                problems.push(Problem::new(
                    &manifest,
                    0,
                    RULE,
                    format!(
                        "a crate of the verifier depends on `{}`, of the server",
                        dependency.package
                    ),
                    "turn the edge round, or move what both need into `vocab`",
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

    const TABLE: &str = "| Crate | Purpose | Depends on | May touch | Licence | Must never |\n|---|---|---|---|---|---|\n| `seal` | a | – | – | verifier | b |\n| `law` | a | – | – | server | b |\n";
    const TEXTS: [(&str, &str); 4] = [
        (PATH, TABLE),
        ("LICENSES/MIT.txt", ""),
        ("LICENSES/Apache-2.0.txt", ""),
        ("LICENSES/AGPL-3.0-or-later.txt", ""),
    ];

    fn problems(seal: Member) -> Vec<Problem> {
        check(&Tree::of(&TEXTS, vec![seal, Member::of("law", "AGPL-3.0-or-later", &[])]))
    }

    #[test]
    fn a_manifest_says_what_the_table_says() {
        assert_eq!(problems(Member::of("seal", "Apache-2.0 OR MIT", &[])), []);
        assert_eq!(problems(Member::of("seal", "MIT", &[])).len(), 1);
    }

    #[test]
    fn the_verifier_does_not_stand_on_the_server() {
        let seal = Member::of("seal", "Apache-2.0 OR MIT", &["bailiwick-law"]);
        assert_eq!(problems(seal).len(), 1);
    }

    #[test]
    fn a_licence_needs_its_text() {
        let members = vec![Member::of("seal", "Apache-2.0 OR MIT", &[])];
        assert_eq!(check(&Tree::of(&[(PATH, TABLE)], members)).len(), 2);
    }
}
