//! As much of Markdown as the house's tables and links need.

/// One row of a table: its line (from 1) and its cells, trimmed.
pub(crate) struct TableRow {
    pub(crate) line: usize,
    cells: Vec<String>,
}

impl TableRow {
    /// The cell in this column, from 0; empty if there is none.
    pub(crate) fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }

    /// The words in backticks in this column.
    pub(crate) fn code(&self, column: usize) -> Vec<&str> {
        self.cell(column).split('`').skip(1).step_by(2).collect()
    }
}

/// The rows of the first table whose header begins with this word.
pub(crate) fn table(text: &str, first: &str) -> Vec<TableRow> {
    let header = format!("| {first} |");
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with(&header));
    lines.by_ref().take(2).for_each(drop);
    lines
        .take_while(|(_, line)| line.starts_with('|'))
        .map(|(index, line)| {
            let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
            let cells = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
            TableRow { line: index + 1, cells }
        })
        .collect()
}

/// Lines with their numbers from 1, fenced code left out.
pub(crate) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// The targets of the inline links of a line, code spans left out.
pub(crate) fn links(line: &str) -> Vec<&str> {
    line.split('`')
        .step_by(2)
        .flat_map(|prose| prose.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

/// The anchors a document offers: its headings as a code forge spells them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
    kept.map(|one| if one == ' ' { '-' } else { one }).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_first_column() {
        let text =
            "text\n\n| Crate | Depends on |\n|---|---|\n| `seal` | `vocab`, `x` |\n\n| Other |\n";
        let rows = table(text, "Crate");
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].line, rows[0].code(0), rows[0].code(1)),
            (5, vec!["seal"], vec!["vocab", "x"])
        );
        assert!(table(text, "Nothing").is_empty());
    }

    #[test]
    fn links_in_code_are_not_links() {
        assert_eq!(links("see [a](b.md#c) and `[x](y)` and [d](e)"), ["b.md#c", "e"]);
        assert!(prose("```\n[a](b)\n```\n").is_empty());
    }

    #[test]
    fn an_anchor_is_spelled_as_forges_do() {
        assert_eq!(anchors("# What each crate is, and isn't\n"), ["what-each-crate-is-and-isnt"]);
    }
}
