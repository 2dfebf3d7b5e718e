//! docs/attacks.md against the tests it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tests a file defines.
fn tests_in(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines() {
        let line = line.trim();
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            tests.extend(rest.split('(').next().map(str::to_owned));
            is_test = false;
        }
    }
    tests
}

/// `path` `test` of each line of the table.
fn named() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    let in_code = |line: &str| line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`"));
    rows.flat_map(|line| {
        let words: Vec<String> = in_code(line);
        let mut path = String::new();
        let mut found = Vec::new();
        for word in words {
            if word.ends_with(".rs") {
                path = word;
            } else {
                found.push((path.clone(), word));
            }
        }
        found
    })
    .collect()
}

#[test]
fn the_table_names_tests_that_are_there_and_every_test_of_this_folder() {
    let named = named();
    assert!(named.len() > 30, "{}", named.len());
    for (path, test) in &named {
        let tests = tests_in(&root().join("crates").join(path));
        assert!(tests.contains(test), "{path} has no test `{test}`");
    }
    let here = root().join("crates/mail/tests/mail/attacks");
    for entry in std::fs::read_dir(here).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        for test in tests_in(&root().join("crates/mail/tests/mail/attacks").join(&file)) {
            let path = format!("mail/tests/mail/attacks/{file}");
            assert!(file == "table.rs" || named.contains(&(path, test.clone())), "{file} {test}");
        }
    }
}
