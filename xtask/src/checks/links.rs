//! Links: what a document points at exists, down to the heading.
//!
//! In Rust comments and in prose, a path under `specs` or `docs` is a link too; a file that
//! breaks the same promise twice is told once.

use std::collections::BTreeSet;

use crate::markdown::{anchors, links, prose};
use crate::problem::Problem;
use crate::tree::{TextFile, Tree};

const RULE: &str = "link";
const ROOTS: [&str; 6] = ["specs/", "docs/", "refs/", "packs/", "conformance/", "crates/"];
const ENDINGS: [&str; 7] = [".md", ".tsv", ".toml", ".json", ".py", ".rs", ".txt"];
const DECISIONS: &str = "docs/adr/README.md";
const CURE: &str = "correct it, or write what it promises";

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for file in &tree.files {
        let first = problems.len();
        if let Some(rust) = &file.rust {
            for (index, line) in rust.comments.iter().enumerate() {
                promised(tree, file, index + 1, line, &mut problems);
            }
        } else if file.path.ends_with(".md") {
            for (number, line) in prose(&file.text) {
                promised(tree, file, number, line, &mut problems);
                for target in links(line) {
                    if let Err(what) = resolve(tree, file, target) {
                        problems.push(Problem::new(&file.path, number, RULE, what, CURE));
                    }
                }
            }
        }
        let mut said = BTreeSet::new();
        let new = problems.split_off(first);
        problems.extend(new.into_iter().filter(|problem| said.insert(problem.what.clone())));
    }
    problems.extend(decisions(tree));
    problems
}

/// Decisions their index does not lead to.
fn decisions(tree: &Tree) -> Vec<Problem> {
    let index = tree.text(DECISIONS).unwrap_or_default();
    let names = tree.paths.iter().filter_map(|path| path.strip_prefix("docs/adr/"));
    names
        .filter(|name| *name != "README.md" && !index.contains(&format!("({name})")))
        .map(|name| {
            let what = format!("`docs/adr/{name}` is not in the index");
            Problem::new(DECISIONS, 0, RULE, what, "add its row")
        })
        .collect()
}

/// Paths named in running text, from the root of the tree.
fn promised(tree: &Tree, file: &TextFile, number: usize, line: &str, problems: &mut Vec<Problem>) {
    let words = line.split(|one: char| one.is_whitespace() || "`()[],;:\"".contains(one));
    for word in words {
        let path = word.trim_end_matches(['.', '?', '!']);
        let is_link = line.contains(&format!("]({word}")) || line.contains(&format!("[{word}]("));
        let is_path = !is_link
            && ROOTS.iter().any(|root| path.starts_with(root))
            && ENDINGS.iter().any(|ending| path.ends_with(ending))
            && !path.contains(['*', '<', '{', '…']);
        if is_path && !tree.has(path) {
            let what = format!("`{path}` does not exist");
            problems.push(Problem::new(&file.path, number, RULE, what, CURE));
        }
    }
}

fn resolve(tree: &Tree, file: &TextFile, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { file.path.clone() } else { join(&file.path, path) };
    if !tree.has(&path) {
        return Err(format!("`{target}` leads nowhere"));
    }
    let Some(text) = tree.text(&path).filter(|_| !fragment.is_empty()) else { return Ok(()) };
    if path.ends_with(".md") && !anchors(text).iter().any(|anchor| anchor == fragment) {
        return Err(format!("`{path}` has no heading `#{fragment}`"));
    }
    Ok(())
}

/// A link's path from the root, given the file it stands in.
fn join(from: &str, path: &str) -> String {
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut segments: Vec<&str> = directory.split('/').filter(|s| !s.is_empty()).collect();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        let tree = Tree::of(&[("docs/a.md", text), ("README.md", "# What it is\n")], Vec::new());
        check(&tree).len()
    }

    #[test]
    fn a_link_leads_somewhere() {
        assert_eq!(problems("[r](../README.md#what-it-is) [w](https://x.example/y.md)\n"), 0);
        assert_eq!(problems("[r](../NOPE.md)\n"), 1);
        assert_eq!(problems("[r](../README.md#what-it-was)\n"), 1);
        assert_eq!(problems("# H\n[r](#h) [s](#i)\n"), 1);
    }

    #[test]
    fn every_decision_is_in_the_index() {
        let index = (DECISIONS, "| [0001](0001-a.md) |\n");
        let texts = [index, ("docs/adr/0001-a.md", ""), ("docs/adr/0002-b.md", "")];
        let found = check(&Tree::of(&texts, Vec::new()));
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("0002-b.md"));
    }

    #[test]
    fn a_path_in_prose_or_in_a_comment_is_a_promise() {
        assert_eq!(problems("see `docs/a.md`, and specs/b.md.\n"), 1);
        let tree = Tree::of(&[("crates/a/src/b.rs", "//! Refs: specs/c.md §2.\n")], Vec::new());
        assert_eq!(check(&tree).len(), 1);
    }
}
