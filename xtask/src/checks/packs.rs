//! Law packs: every citation carries its text and its mark, `V` (seen in a source), `K` (from
//! knowledge) or `V/K`; every policy cites and is marked.
//!
//! `law` checks that citations resolve when it loads a pack; this holds before anything runs.

use toml::Value;

use crate::problem::Problem;
use crate::tree::{TextFile, Tree};

const RULE: &str = "pack";
const MARKS: [&str; 3] = ["V", "K", "V/K"];
const CURE: &str =
    "its text; and \"V\" if that was seen in a source, \"K\" if not, \"V/K\" if partly";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.starts_with("packs/")) {
        if file.path.ends_with("/pack.toml") {
            manifest(file, &mut problems);
        } else if file.path.ends_with(".cedar") {
            policies(file, &mut problems);
        }
    }
    problems
}

fn manifest(file: &TextFile, problems: &mut Vec<Problem>) {
    let mut say = |line, what: String, cure| {
        problems.push(Problem::new(&file.path, line, RULE, what, cure));
    };
    let table = match toml::from_str::<toml::Table>(&file.text) {
        Ok(table) => table,
        Err(error) => return say(0, error.message().to_owned(), "write it as TOML"),
    };
    let citations = table.get("citation").and_then(Value::as_array);
    for citation in citations.into_iter().flatten() {
        let text = |key: &str| citation.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = text("id");
        if text("text").is_empty() || !MARKS.contains(&text("mark")) {
            let line = file.text.lines().position(|line| line == format!("id = \"{id}\""));
            let line = line.map_or(0, |index| index + 1);
            say(line, format!("citation `{id}` has no text or no mark"), CURE);
        }
    }
    if citations.is_none_or(Vec::is_empty) {
        say(0, "the pack cites nothing".into(), "[[citation]] with id, text and mark");
    }
}

fn policies(file: &TextFile, problems: &mut Vec<Problem>) {
    let mut policy = String::new();
    let mut rule = String::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('@') {
            policy.push_str(line);
            rule = annotation(line, "rule").map_or(rule, str::to_owned);
        } else if line.starts_with("permit") || line.starts_with("forbid") {
            let marked = annotation(&policy, "mark").is_some_and(|mark| MARKS.contains(&mark));
            if !marked || annotation(&policy, "cite").is_none_or(str::is_empty) {
                let what = format!("policy `{rule}` has no citation or no mark");
                let cure = "@cite(\"…\") names a citation of pack.toml; @mark(\"V\"), (\"K\") or (\"V/K\")";
                problems.push(Problem::new(&file.path, index + 1, RULE, what, cure));
            }
            policy.clear();
            rule.clear();
        }
    }
}

/// What stands between the quotes of `@name("…")`.
fn annotation<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("@{name}(\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<Problem> {
        check(&Tree::of(&[(path, text)], Vec::new()))
    }

    #[test]
    fn a_citation_has_text_and_mark() {
        let whole = "[[citation]]\nid = \"a\"\ntext = \"EU 2023/1543 art. 10(3)\"\nmark = \"V\"\n";
        assert_eq!(problems("packs/ie/pack.toml", whole), []);
        let found = problems("packs/ie/pack.toml", &whole.replace("mark = \"V\"", "mark = \"?\""));
        assert_eq!((found.len(), found[0].line), (1, 2));
        assert_eq!(
            problems("packs/ie/pack.toml", &whole.replace("EU 2023/1543 art. 10(3)", "")).len(),
            1
        );
    }

    #[test]
    fn a_pack_that_cites_nothing_or_is_no_toml_is_found() {
        assert_eq!(problems("packs/ie/pack.toml", "[pack]\nid = \"ie\"\n").len(), 1);
        assert_eq!(problems("packs/ie/pack.toml", "[[rule\n").len(), 1);
    }

    #[test]
    fn a_policy_cites_and_is_marked() {
        let whole =
            "@rule(\"a\")\n@cite(\"b\")\n@mark(\"K\")\npermit (principal, action, resource);\n";
        assert_eq!(problems("packs/ie/a.cedar", &whole.repeat(2)), []);
        for line in ["@cite(\"b\")\n", "@mark(\"K\")\n"] {
            let found =
                problems("packs/ie/a.cedar", &format!("{whole}{}", whole.replace(line, "")));
            assert_eq!((found.len(), found[0].line), (1, 7));
        }
    }
}
