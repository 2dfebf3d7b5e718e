//! The record map as a page: `docs/records.md` is what `crates/vocab/src/record.rs` says, and
//! nothing else. `cargo xtask records` prints it.

use std::fmt::Write as _;

use crate::problem::Problem;
use crate::tree::Tree;

const SOURCE: &str = "crates/vocab/src/record.rs";
const PAGE: &str = "docs/records.md";
/// Kinds below this are rows of the account itself; the others are the cell's.
const CELL_TABLES: u16 = 64;

pub(crate) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(source) = tree.text(SOURCE) else { return Vec::new() };
    let cure = "cargo xtask records > docs/records.md";
    let problem = |what: &str| vec![Problem::new(PAGE, 0, "records", what, cure)];
    match (page(source), tree.text(PAGE)) {
        (None, _) => vec![Problem::new(
            SOURCE,
            0,
            "records",
            "the record map cannot be read",
            "one line for each kind: `Kind = number, \"name\", category, Keeper, Retention;`",
        )],
        (Some(_), None) => problem("the record map has no page"),
        (Some(page), Some(there)) if page == there => Vec::new(),
        (Some(_), Some(_)) => problem("the page is not what the record map says"),
    }
}

/// The page of a tree.
pub(crate) fn of(tree: &Tree) -> Option<String> {
    page(tree.text(SOURCE)?)
}

/// One kind of record.
struct Kind<'t> {
    what: String,
    number: u16,
    name: &'t str,
    category: &'t str,
    keeper: &'t str,
    retention: &'t str,
}

/// Lines with the comment before each: the variants of an enum, or the lines of the map.
fn commented(block: &str) -> impl Iterator<Item = (String, &str)> {
    let mut comment = String::new();
    block.lines().map(str::trim).filter_map(move |line| {
        if let Some(text) = line.strip_prefix("///") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(text.trim());
            return None;
        }
        (!line.is_empty()).then(|| (std::mem::take(&mut comment), line))
    })
}

/// What stands between a line and the next closing brace at its margin.
fn block<'t>(source: &'t str, opening: &str) -> Option<&'t str> {
    let (_, rest) = source.split_once(&format!("\n{opening} {{\n"))?;
    rest.split_once("\n}").map(|(block, _)| block)
}

/// What an enum says of each of its variants.
fn legend(source: &str, name: &str) -> Option<Vec<(String, String)>> {
    let variants = commented(block(source, &format!("pub enum {name}"))?);
    let variants = variants.map(|(what, line)| (line.trim_end_matches(',').to_owned(), what));
    Some(variants.collect())
}

fn kind(what: String, line: &str) -> Option<Kind<'_>> {
    // A name may hold a comma: the quotes part it from the rest.
    let mut parts = line.strip_suffix(';')?.splitn(3, '"');
    let (_, number) = parts.next()?.split_once(" = ")?;
    let number = number.trim_end_matches(", ").parse().ok()?;
    let name = parts.next()?;
    let mut rest = parts.next()?.strip_prefix(", ")?.split(", ");
    let category = rest.next()?;
    let category = category.strip_prefix("Some(").map_or("", |some| some.trim_end_matches(')'));
    let (keeper, retention) = (rest.next()?, rest.next()?);
    rest.next().is_none().then_some(Kind { what, number, name, category, keeper, retention })
}

/// Who can open a record in custody `sealed`, `trustee` and `managed`.
fn opens_for(keeper: &str) -> Option<[&'static str; 3]> {
    match keeper {
        "Owner" => Some(["owner", "owner; trustees\u{b9}", "owner; vault\u{b9}"]),
        "Cell" => Some(["cell"; 3]),
        "Clear" => Some(["anyone"; 3]),
        _ => None,
    }
}

fn page(source: &str) -> Option<String> {
    let kinds = commented(block(source, "record_kinds!")?).map(|(what, line)| kind(what, line));
    let kinds = kinds.collect::<Option<Vec<_>>>()?;
    let (of_account, of_cell) =
        kinds.iter().partition::<Vec<&Kind<'_>>, _>(|kind| kind.number < CELL_TABLES);
    let mut out = String::from(HEAD);
    for (title, kinds) in [("## Rows of an account", of_account), ("## Rows of the cell", of_cell)]
    {
        let _ = writeln!(out, "\n{title}\n\n{COLUMNS}");
        for kind in kinds {
            let [sealed, trustee, managed] = opens_for(kind.keeper)?;
            let Kind { what, number, name, category, retention, .. } = kind;
            let what = what.trim_end_matches('.');
            let category = if category.is_empty() { "\u{2013}" } else { category };
            let _ = writeln!(
                out,
                "| {number} | {name} | {what} | {category} | {sealed} | {trustee} | {managed} | {retention} |"
            );
        }
    }
    out.push_str("\n\u{b9} For one approved demand, with the guards: [TRUST.md](../TRUST.md).\n");
    for (title, name) in [
        ("What the law calls it", "DataCategory"),
        ("Who can open it", "Keeper"),
        ("How long it is kept", "Retention"),
    ] {
        let _ = writeln!(out, "\n## {title}\n");
        for (variant, what) in legend(source, name)? {
            let _ = writeln!(out, "- **{variant}**: {what}");
        }
    }
    Some(out)
}

const HEAD: &str = "# The record map

Everything a cell keeps, by the number it is stored under. A record without a line here cannot be named to
the store: it does not compile. Made from `crates/vocab/src/record.rs` by `cargo xtask records`;
`./x tidy` refuses a page that says otherwise. What one account has of each: `bailiwick admin account map`.
";
const COLUMNS: &str = "| No. | Record | What it is | Category | Sealed | Trustee | Managed | Kept |
|---|---|---|---|---|---|---|---|";

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "
pub enum DataCategory {
    /// Said.
    Content,
}
pub enum Keeper {
    /// It alone.
    Owner,
}
pub enum Retention {
    /// Until deleted,
    /// by its owner.
    Owner,
}
record_kinds! {
    /// A thing
    /// of two lines (specs/x.md).
    Thing = 7, \"thing, whole\", Some(Content), Owner, Owner;

    /// Another.
    Other = 64, \"other\", None, Cell, Owner;
}
";

    fn problems(page: Option<&str>) -> Vec<Problem> {
        let mut files = vec![(SOURCE, MAP)];
        files.extend(page.map(|page| (PAGE, page)));
        check(&Tree::of(&files, Vec::new()))
    }

    #[test]
    fn the_page_says_what_the_map_says() {
        let page = page(MAP).unwrap();
        let line = "| 7 | thing, whole | A thing of two lines (specs/x.md) | Content | owner | \
                    owner; trustees\u{b9} | owner; vault\u{b9} | Owner |";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("| 64 | other | Another | \u{2013} | cell | cell | cell | Owner |"));
        assert!(page.contains("- **Owner**: Until deleted, by its owner."));
        assert_eq!(problems(Some(&page)), []);
    }

    #[test]
    fn a_page_that_is_missing_or_stale_is_found() {
        assert_eq!(problems(None).len(), 1);
        let stale = page(MAP).unwrap().replace("| 7 |", "| 8 |");
        assert_eq!(problems(Some(&stale)).len(), 1);
    }

    #[test]
    fn a_line_that_is_not_understood_is_found() {
        let map = MAP.replace("Owner, Owner;", "Somebody, Owner;");
        assert_eq!(check(&Tree::of(&[(SOURCE, &map)], Vec::new())).len(), 1);
    }
}
