//! The house's own checks: `cargo xtask tidy`, `cargo xtask records` and `cargo xtask refs`.
//!
//! What a crate may depend on, what it may touch and which words it may use are
//! tables in ARCHITECTURE.md and GLOSSARY.md; this program reads the tables and
//! the tree and compares them, so that the documents cannot go stale quietly.
//!
//! Invariant: it changes nothing in the tree and needs no network.
//! Refs: CONTRIBUTING.md, "Tidy".

mod checks;
mod markdown;
mod problem;
mod rust;
mod tree;

use std::process::ExitCode;

use anyhow::{Context, Result};
use tree::Tree;

const USAGE: &str = "usage: cargo xtask tidy    compare the tree with the house's rules
       cargo xtask records print the record map as a page: docs/records.md
       cargo xtask refs    list every RFC the code cites, and where";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        Some("tidy") => tidy(),
        Some("records") => records(),
        Some("refs") => refs(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(2)
    })
}

fn tidy() -> Result<ExitCode> {
    let tree = Tree::read().context("the tree could not be read")?;
    let problems = checks::run(&tree);
    for problem in &problems {
        println!("{problem}");
    }
    let checks = checks::ALL.len();
    if problems.is_empty() {
        println!("tidy: {} files, {checks} checks, nothing to say", tree.paths.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} problems in {checks} checks", problems.len());
    Ok(ExitCode::FAILURE)
}

fn records() -> Result<ExitCode> {
    let tree = Tree::read().context("the tree could not be read")?;
    print!("{}", checks::records::of(&tree).context("the record map cannot be read")?);
    Ok(ExitCode::SUCCESS)
}

fn refs() -> Result<ExitCode> {
    let tree = Tree::read().context("the tree could not be read")?;
    for (name, places) in checks::refs::citations(&tree) {
        println!("{name}");
        for place in places {
            println!("    {place}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
