//! ARCHITECTURE.md's two tables, read as data: crates, and owners of outside crates.

use crate::markdown::table;
use crate::tree::Tree;

/// Where the tables are.
pub(crate) const PATH: &str = "ARCHITECTURE.md";

/// One row of the crate table.
pub(crate) struct CrateRow<'a> {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) depends_on: Vec<String>,
    pub(crate) may_touch: Vec<String>,
    pub(crate) license: &'a str,
}

/// The crate table: Crate, Purpose, Depends on, May touch, Licence, Must never.
pub(crate) fn crates(tree: &Tree) -> Vec<CrateRow<'static>> {
    let rows = table(tree.text(PATH).unwrap_or_default(), "Crate");
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    rows.iter()
        .map(|row| CrateRow {
            line: row.line,
            name: row.code(0).first().copied().unwrap_or_default().to_owned(),
            depends_on: owned(row.code(2)),
            may_touch: owned(row.cell(3).split(',').map(str::trim).filter(|w| *w != "–").collect()),
            license: match row.cell(4) {
                "server" => "AGPL-3.0-or-later",
                "verifier" => "Apache-2.0 OR MIT",
                _ => "",
            },
        })
        .collect()
}

/// One row of the table of owners.
pub(crate) struct OwnerRow {
    pub(crate) line: usize,
    pub(crate) packages: Vec<String>,
    pub(crate) owners: Vec<String>,
}

/// The table of outside crates: Outside crate, Only in, Because.
pub(crate) fn owners(tree: &Tree) -> Vec<OwnerRow> {
    let rows = table(tree.text(PATH).unwrap_or_default(), "Outside crate");
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    rows.iter()
        .map(|row| OwnerRow {
            line: row.line,
            packages: owned(row.code(0)),
            owners: owned(row.code(1)),
        })
        .collect()
}
