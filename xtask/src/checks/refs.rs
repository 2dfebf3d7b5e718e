//! References: every RFC, C2SP text and regulation of the Union that the code or a
//! specification cites has a row in refs/index.tsv, and every row marked `cited` is.
//!
//! Columns: reference, title, status (`cited` or `planned`), note; tab-separated.

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::Problem;
use crate::tree::{TextFile, Tree};

const RULE: &str = "ref";
const INDEX: &str = "refs/index.tsv";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(index) = tree.text(INDEX) else {
        let cure = "write it: reference, title, status, note";
        return vec![Problem::new(INDEX, 0, RULE, "there is no index of references", cure)];
    };
    let mut problems = Vec::new();
    let mut statuses = BTreeMap::new();
    for (number, line) in index.lines().enumerate().skip(1) {
        let mut cells = line.split('\t');
        let (name, title, status) = (cells.next(), cells.next(), cells.next());
        let (Some(name), Some(_), Some(status @ ("cited" | "planned"))) = (name, title, status)
        else {
            let cure = "reference, title, `cited` or `planned`, note; separated by tabs";
            problems.push(Problem::new(INDEX, number + 1, RULE, "a row that cannot be read", cure));
            continue;
        };
        if statuses.insert(name.to_owned(), (number + 1, status)).is_some() {
            let what = format!("`{name}` has two rows");
            problems.push(Problem::new(INDEX, number + 1, RULE, what, "delete one"));
        }
    }
    let cited = citations(tree);
    for (name, places) in &cited {
        let first = places.first().map_or("", String::as_str);
        let (path, line) = first.rsplit_once(':').unwrap_or((first, "0"));
        let line = line.parse().unwrap_or(0);
        match statuses.get(name) {
            Some((_, "cited")) => {}
            Some((row, _)) => {
                let what = format!("`{name}` is cited in {first}, and its row says `planned`");
                problems.push(Problem::new(INDEX, *row, RULE, what, "set its status to `cited`"));
            }
            None => {
                let what = format!("`{name}` is not in {INDEX}");
                let cure = "look the text up, then add its row: reference, title, `cited`, note";
                problems.push(Problem::new(path, line, RULE, what, cure));
            }
        }
    }
    for (name, (row, status)) in &statuses {
        if *status == "cited" && !cited.contains_key(name) {
            let what = format!("nothing cites `{name}`");
            let cure = "set its status to `planned`, or delete the row";
            problems.push(Problem::new(INDEX, *row, RULE, what, cure));
        }
    }
    problems
}

/// Every text cited in code and specifications, and where: `path:line`.
pub(crate) fn citations(tree: &Tree) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| is_searched(file)) {
        for (index, line) in file.text.lines().enumerate() {
            for name in rfcs(line).chain(c2sp(line)).chain(regulations(line)) {
                found.entry(name).or_default().insert(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    found
}

fn is_searched(file: &TextFile) -> bool {
    let text = file.path.ends_with(".rs") || file.path.ends_with(".md");
    text && (file.path.starts_with("crates/") || file.path.starts_with("specs/"))
}

/// The RFCs a line names: `RFC 5321`, and each number of `RFC 5321/5322`.
fn rfcs(line: &str) -> impl Iterator<Item = String> {
    let numbers = line.split("RFC ").skip(1).flat_map(|rest| {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '/').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().split('/')
    });
    numbers.filter(|number| (3..=5).contains(&number.len())).map(|number| format!("RFC {number}"))
}

/// The C2SP texts a line names: `C2SP tlog-tiles`.
fn c2sp(line: &str) -> impl Iterator<Item = String> {
    line.split("C2SP ").skip(1).filter_map(|rest| {
        let end = rest.find(|one: char| !one.is_ascii_lowercase() && one != '-');
        let name = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches('-');
        let is_text = name.starts_with("tlog-") || ["signed-note", "age"].contains(&name);
        is_text.then(|| format!("C2SP {name}"))
    })
}

/// The regulations and directives a line names: `EU 2023/1543`, `(EU) 2023/1543`.
fn regulations(line: &str) -> impl Iterator<Item = String> {
    let pieces = line.split("EU) ").skip(1).chain(line.split("EU ").skip(1));
    pieces.filter_map(|rest| {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '/').unwrap_or(rest.len());
        let name = rest.get(..end)?;
        let (year, number) = name.split_once('/')?;
        (year.len() == 4 && !number.is_empty()).then(|| format!("EU {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(index: &str, code: &str) -> Vec<Problem> {
        check(&Tree::of(&[(INDEX, index), ("crates/a/src/b.rs", code)], Vec::new()))
    }

    #[test]
    fn a_cited_text_has_a_row() {
        let index = "reference\ttitle\tstatus\tnote\nRFC 5321\tSMTP\tcited\t\n";
        assert_eq!(problems(index, "// RFC 5321 §4.5.2\n"), []);
        let found = problems(index, "// RFC 5321/5322 §3\n");
        assert_eq!(
            (found.len(), found[0].path.as_str(), found[0].line),
            (1, "crates/a/src/b.rs", 1)
        );
    }

    #[test]
    fn every_family_of_texts_is_seen() {
        let code = "// RFC 9051 §6; C2SP tlog-tiles; Regulation (EU) 2023/1543 art. 3\n";
        assert_eq!(problems("reference\ttitle\tstatus\tnote\n", code).len(), 3);
    }

    #[test]
    fn a_row_says_whether_it_is_cited() {
        let planned = "reference\ttitle\tstatus\tnote\nRFC 5321\tSMTP\tplanned\t\n";
        assert_eq!(problems(planned, "// RFC 5321\n").len(), 1);
        assert_eq!(problems(planned, ""), []);
        assert_eq!(problems(&planned.replace("planned", "cited"), "").len(), 1);
    }

    #[test]
    fn a_row_that_cannot_be_read_or_is_double_is_found() {
        let index =
            "reference\ttitle\tstatus\tnote\nRFC 1\nRFC 9\ta\tplanned\t\nRFC 9\ta\tplanned\t\n";
        assert_eq!(problems(index, "").len(), 2);
        assert_eq!(check(&Tree::of(&[], Vec::new())).len(), 1);
    }
}
