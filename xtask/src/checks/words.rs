//! Words: one meaning each. The types GLOSSARY.md's column "Not" lists, `get_`, and the
//! modules that say nothing.
//!
//! A word in the column may be followed by the crates it is refused in: `Order` (law, desk).

use crate::markdown::table;
use crate::problem::Problem;
use crate::rust::paths;
use crate::tree::Tree;

const RULE: &str = "word";
const GLOSSARY: &str = "GLOSSARY.md";
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "manager", "handler", "helpers", "misc"];
const EMPTY_ENDINGS: [&str; 5] = ["Manager", "Handler", "Helper", "Util", "Utils"];

/// A refused type name: the crates it is refused in (all if none), and what to say instead.
struct Refused {
    word: String,
    crates: Vec<String>,
    instead: String,
}

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let refused = refused(tree.text(GLOSSARY).unwrap_or_default());
    let mut problems = Vec::new();
    if tree.text(GLOSSARY).is_some() && refused.is_empty() {
        problems.push(Problem::new(
            GLOSSARY,
            0,
            RULE,
            "the table `| Use | For | Not |` refuses nothing",
            "put it back: the check reads it",
        ));
    }
    for (file, rust) in tree.rust() {
        let crate_name = tree.member_of(&file.path).map(|member| member.name.as_str());
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&stem) {
            problems.push(empty(&file.path, 1, stem));
        }
        for (index, line) in rust.code.iter().enumerate() {
            let words: Vec<&str> = paths(line).into_iter().flat_map(|(path, _)| path).collect();
            for pair in words.windows(2) {
                let [keyword, name] = pair else { continue };
                let what = match *keyword {
                    "fn" => name.starts_with("get_").then(|| getter(&file.path, index + 1, name)),
                    "mod" => EMPTY_NAMES.contains(name).then(|| empty(&file.path, index + 1, name)),
                    "struct" | "enum" | "trait" | "type" | "union" => {
                        type_name(&file.path, index + 1, name, crate_name, &refused)
                    }
                    _ => None,
                };
                problems.extend(what);
            }
        }
    }
    problems
}

fn refused(glossary: &str) -> Vec<Refused> {
    let mut all = Vec::new();
    for row in table(glossary, "Use") {
        let mut pieces = row.cell(2).split('`').skip(1);
        while let (Some(word), after) = (pieces.next(), pieces.next().unwrap_or_default()) {
            let crates = after.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let crates = crates.map_or_else(Vec::new, |(list, _)| {
                list.split(',').map(|name| name.trim().to_owned()).collect()
            });
            all.push(Refused { word: word.to_owned(), crates, instead: row.cell(0).to_owned() });
        }
    }
    all
}

fn type_name(
    path: &str,
    line: usize,
    name: &str,
    crate_name: Option<&str>,
    refused: &[Refused],
) -> Option<Problem> {
    if EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return Some(empty(path, line, name));
    }
    let hit = refused.iter().find(|refused| {
        let here = |only: &String| Some(only.as_str()) == crate_name;
        refused.word == name && (refused.crates.is_empty() || refused.crates.iter().any(here))
    })?;
    Some(Problem::new(
        path,
        line,
        RULE,
        format!("the house does not say `{name}`"),
        format!("say {}; {GLOSSARY} has the reason", hit.instead),
    ))
}

fn getter(path: &str, line: usize, name: &str) -> Problem {
    let cure = "name what it gives: `size`, not `get_size`";
    Problem::new(path, line, RULE, format!("`{name}` begins with `get_`"), cure)
}

fn empty(path: &str, line: usize, name: &str) -> Problem {
    let cure = "name it after the thing, the command or the method it is for";
    Problem::new(path, line, RULE, format!("`{name}` says nothing"), cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Member;

    const TABLE: &str = "| Use | For | Not |\n|---|---|---|\n| `Mailbox` | a folder | `Folder` |\n| `Instrument` | a warrant | `Warrant`, `Order` (law, desk) |\n";

    fn problems(path: &str, code: &str) -> Vec<Problem> {
        let members = vec![Member::of("desk", "", &[]), Member::of("tlog", "", &[])];
        check(&Tree::of(&[(GLOSSARY, TABLE), (path, code)], members))
    }

    #[test]
    fn a_word_of_the_right_column_is_refused() {
        let found = problems("crates/tlog/src/a.rs", "pub(crate) struct Folder {\n}\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].cure.contains("`Mailbox`"));
        assert_eq!(problems("crates/tlog/src/a.rs", "struct FolderName;\n// struct Folder\n"), []);
    }

    #[test]
    fn a_word_may_be_refused_in_some_crates_only() {
        assert_eq!(problems("crates/desk/src/a.rs", "enum Order {\n}\n").len(), 1);
        assert_eq!(problems("crates/tlog/src/a.rs", "enum Order {\n}\n"), []);
        assert_eq!(problems("crates/tlog/src/a.rs", "enum Warrant {\n}\n").len(), 1);
    }

    #[test]
    fn empty_names_and_getters_are_refused() {
        assert_eq!(problems("crates/tlog/src/utils.rs", "").len(), 1);
        assert_eq!(problems("crates/tlog/src/a.rs", "mod common;\n").len(), 1);
        assert_eq!(problems("crates/tlog/src/a.rs", "struct SessionManager;\n").len(), 1);
        assert_eq!(problems("crates/tlog/src/a.rs", "fn get_size() {}\nfn get() {}\n").len(), 1);
    }

    #[test]
    fn a_glossary_that_refuses_nothing_is_a_problem() {
        assert_eq!(check(&Tree::of(&[(GLOSSARY, "# Words\n")], Vec::new())).len(), 1);
    }
}
