//! Mistakes of form: what is not TOML, not a line of the file, or not a value of its line.
//!
//! Invariant: names the line's key where there is one, and what to write in its place.

/// What is wrong, and the cure. `line` is the line's text.
pub(super) fn mistake(message: &str, line: &str) -> (String, String) {
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_key(key));
    let what = match key {
        Some(key) if !message.contains(&format!("`{key}`")) => format!("`{key}`: {message}"),
        Some(_) | None => message.to_owned(),
    };
    (what, cure(message))
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn cure(message: &str) -> String {
    let quoted = |after: &str| {
        let (_, rest) = message.split_once(after)?;
        rest.split('`').nth(1)
    };
    if let Some(name) = quoted("missing field") {
        return format!(
            "write `{name} = …` below the section's head; `init` shows how in a new folder"
        );
    }
    let cures = [
        ("unknown field", "take it out, or write one of the names that are expected here"),
        ("duplicate key", "write it once: put the two together, and take one out"),
        ("socket address", "write an address and a port, such as `192.0.2.1:25` or `[::]:25`"),
        ("is from ", "write a whole number within these bounds"),
        ("expected path string", "write a path in double quotes, such as `\"data\"`"),
        ("expected a string", "write a text in double quotes"),
        ("expected a boolean", "write `true` or `false`"),
        ("expected a sequence", "write a list in brackets, such as `[\"ie.example\"]`"),
        ("expected u", "write a whole number, not below 0"),
        ("expected i", "write a whole number"),
        ("unknown variant", "write one of the words that are expected here"),
        ("unclosed", "close it on the same line"),
    ];
    let known = cures.into_iter().find(|(part, _)| message.contains(part));
    let otherwise =
        "write `name = value`, texts in double quotes, below a section's head such as `[cell]`";
    known.map_or(otherwise, |(_, cure)| cure).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_key_and_what_to_write() {
        for (message, line, what, cure) in [
            ("invalid type: integer `7`, expected path string", "data = 7", "`data`: ", "a path"),
            ("missing field `keys`", "[cell]", "missing field `keys`", "write `keys = …`"),
            ("`n` is from 1 to 9", "n = 0", "`n` is from", "within these bounds"),
            ("invalid value: integer `-1`, expected u64", "n = -1", "`n`: ", "not below 0"),
            ("key with no value, expected `=`", "[[a b", "key with no value", "name = value"),
        ] {
            let (said, cured) = mistake(message, line);
            assert!(said.starts_with(what) && cured.contains(cure), "{said}: {cured}");
        }
    }
}
