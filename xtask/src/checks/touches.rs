//! What a crate may touch of the world: files, network, clock, chance and so on.
//!
//! Reads the column "May touch" of the crate table and looks through each crate's code,
//! its tests left out, for paths that need more.

use super::architecture::{PATH, crates};
use crate::problem::Problem;
use crate::rust::{Rust, paths};
use crate::tree::Tree;

const RULE: &str = "touch";

/// The words of the column, in the order the table's legend gives them.
const TOUCHES: [&str; 9] = [
    "files",
    "network",
    "tasks",
    "timers",
    "clock",
    "chance",
    "environment",
    "terminal",
    "process",
];

/// Path prefixes; the longest that fits decides.
const PATHS: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::os::unix::fs", "files"),
    ("rustix::fs", "files"),
    ("tokio::fs", "files"),
    ("std::os::unix::net", "network"),
    ("tokio::net", "network"),
    ("std::thread", "tasks"),
    ("tokio", "tasks"),
    ("tokio::time", "timers"),
    ("tokio::process", "process"),
    ("tokio::signal", "process"),
    ("jiff::Timestamp::now", "clock"),
    ("jiff::Zoned::now", "clock"),
    ("getrandom", "chance"),
    ("rand", "chance"),
    ("aws_lc_rs::rand", "chance"),
    ("std::env", "environment"),
    ("std::io::stdin", "terminal"),
    ("std::io::stdout", "terminal"),
    ("std::io::stderr", "terminal"),
    ("std::process", "process"),
];

/// Names that say it all wherever they stand.
const NAMES: &[(&str, &str)] = &[
    ("TcpStream", "network"),
    ("TcpListener", "network"),
    ("UdpSocket", "network"),
    ("ToSocketAddrs", "network"),
    ("UnixStream", "network"),
    ("UnixListener", "network"),
    ("async", "tasks"),
    ("await", "tasks"),
    ("Instant", "timers"),
    ("SystemTime", "clock"),
    ("OsRng", "chance"),
    ("SystemRandom", "chance"),
    ("thread_rng", "chance"),
];

const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let rows = crates(tree);
    for row in &rows {
        for word in row.may_touch.iter().filter(|word| !TOUCHES.contains(&word.as_str())) {
            problems.push(Problem::new(
                PATH,
                row.line,
                RULE,
                format!("`{word}` is not a thing to touch"),
                format!("one of: {}", TOUCHES.join(", ")),
            ));
        }
    }
    for (file, rust) in tree.rust() {
        let Some(member) = tree.member_of(&file.path) else { continue };
        let source = format!("{}/src/", member.directory);
        if !file.path.starts_with(&source) || file.path.ends_with("/tests.rs") {
            continue;
        }
        let Some(row) = rows.iter().find(|row| row.name == member.name) else { continue };
        for (line, path, touch) in touched(rust) {
            if !row.may_touch.iter().any(|allowed| allowed == touch) {
                problems.push(Problem::new(
                    &file.path,
                    line,
                    RULE,
                    format!("`{path}` touches {touch}, which `{}` may not", member.name),
                    format!("take it as a value from the caller; the table is in {PATH}"),
                ));
            }
        }
    }
    problems
}

fn touched(rust: &Rust) -> Vec<(usize, String, &'static str)> {
    let mut found = Vec::new();
    for (line, path) in rust.uses() {
        let segments: Vec<&str> = path.split("::").collect();
        found.extend(touch(&segments, false).map(|touch| (line, path.clone(), touch)));
    }
    for (line, code) in rust.shipped().filter(|(_, code)| !code.contains("use ")) {
        for (segments, bang) in paths(code) {
            found.extend(touch(&segments, bang).map(|touch| (line, segments.join("::"), touch)));
        }
    }
    found
}

/// What this path touches, if anything.
fn touch(segments: &[&str], bang: bool) -> Option<&'static str> {
    if bang && segments.last().is_some_and(|name| MACROS.contains(name)) {
        return Some("terminal");
    }
    let by_name = NAMES.iter().find(|(name, _)| segments.contains(name));
    let by_path = PATHS
        .iter()
        .filter(|(prefix, _)| {
            let mut wanted = prefix.split("::");
            // A lone word is a variable, unless it is the path of a `use`.
            let is_path = segments.len() > 1;
            is_path
                && segments.iter().zip(wanted.by_ref()).all(|(a, b)| *a == b)
                && wanted.next().is_none()
        })
        .max_by_key(|(prefix, _)| prefix.len());
    by_name.or(by_path).map(|(_, touch)| *touch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Member;

    const TABLE: &str = "| Crate | Purpose | Depends on | May touch | Licence | Must never |\n|---|---|---|---|---|---|\n| `seal` | a | – | – | verifier | b |\n| `store` | a | – | files, tasks | server | b |\n";

    fn problems(name: &str, code: &str) -> Vec<Problem> {
        let path = format!("crates/{name}/src/a.rs");
        let members = vec![Member::of("seal", "", &[]), Member::of("store", "", &[])];
        check(&Tree::of(&[(PATH, TABLE), (&path, code)], members))
    }

    #[test]
    fn a_pure_crate_touches_nothing() {
        for code in [
            "use std::fs;\n",
            "use std::{\n    fmt,\n    fs::File,\n};\n",
            "fn a() {\n    std::fs::read(b);\n}\n",
            "fn a() {\n    println!();\n}\n",
            "use std::time::{Duration, Instant};\n",
            "async fn a() {}\n",
            "use std::time::SystemTime;\n",
            "fn a(b: std::net::TcpStream) {}\n",
            "use tokio::sync::oneshot;\n",
            "fn a() {\n    getrandom::fill(b);\n}\n",
        ] {
            assert_eq!(problems("seal", code).len(), 1, "{code}");
        }
    }

    #[test]
    fn addresses_durations_words_and_tests_are_no_touch() {
        for code in [
            "use std::net::IpAddr;\nuse std::time::Duration;\n",
            "// std::fs::read\nfn a() {\n    let rand = \"tokio::fs\";\n}\n",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        ] {
            assert_eq!(problems("seal", code), [], "{code}");
        }
    }

    #[test]
    fn what_the_table_allows_is_allowed_and_no_more() {
        assert_eq!(problems("store", "use std::fs;\nuse tokio::sync::watch;\n"), []);
        assert_eq!(problems("store", "use tokio::net::lookup_host;\n").len(), 1);
        assert_eq!(problems("store", "use tokio::time::sleep;\n").len(), 1);
    }
}
