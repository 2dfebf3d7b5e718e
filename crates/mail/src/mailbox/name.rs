//! Mailbox names: a path of parts with `/` between them, in UTF-8.
//!
//! Invariant: a [`Name`] has no empty part, no control character and no wildcard, is bounded,
//! and spells INBOX in capitals; two names that a client may take for one are one.
//! Refs: RFC 9051 §5.1, §6.3.9.

use core::fmt;

/// Octets in a whole name.
const OCTETS_MAX: usize = 800;
/// Parts of a name.
const PARTS_MAX: usize = 32;

/// A name no mailbox can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mailbox name")]
pub struct BadName;

/// A mailbox name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name every account has.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// A name from what a client wrote, decoded to UTF-8.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let parts: Vec<&str> = text.split('/').collect();
        let bad_part = |part: &&str| {
            part.is_empty()
                || *part == "."
                || *part == ".."
                || part.chars().any(|char| char.is_control() || matches!(char, '%' | '*'))
        };
        if text.len() > OCTETS_MAX || parts.len() > PARTS_MAX || parts.iter().any(bad_part) {
            return Err(BadName);
        }
        let Some((first, rest)) = parts.split_first() else { return Err(BadName) };
        if !first.eq_ignore_ascii_case("INBOX") {
            return Ok(Self(text.to_owned()));
        }
        let mut name = "INBOX".to_owned();
        for part in rest {
            name.push('/');
            name.push_str(part);
        }
        Ok(Self(name))
    }

    /// Whether this is INBOX itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above this one, outermost first.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        self.0.match_indices('/').filter_map(|(at, _)| Some(Self(self.0.get(..at)?.to_owned())))
    }

    /// Whether this lies below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This name with `from` at its head replaced by `to`.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&from.0)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        Self::parse(&format!("{}{rest}", to.0)).ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A LIST pattern: `*` is anything, `%` anything within one part.
pub struct Pattern {
    chars: Vec<char>,
}

impl Pattern {
    /// Reference and pattern as one (RFC 9051 §6.3.9), `INBOX` in capitals.
    #[must_use]
    pub fn new(reference: &str, pattern: &str) -> Self {
        let joined = format!("{reference}{pattern}");
        let inbox = joined.split('/').next().is_some_and(|part| part.eq_ignore_ascii_case("INBOX"));
        let text = if inbox {
            format!("INBOX{}", joined.get("INBOX".len()..).unwrap_or_default())
        } else {
            joined
        };
        // Runs of wildcards mean what one does; without this a hostile pattern costs more.
        let mut chars: Vec<char> = Vec::with_capacity(text.len());
        for char in text.chars() {
            match (chars.last(), char) {
                (Some('*'), '*' | '%') | (Some('%'), '%') => {}
                (Some('%'), '*') => {
                    chars.pop();
                    chars.push('*');
                }
                _ => chars.push(char),
            }
        }
        Self { chars }
    }

    /// Whether a name matches. Time is the product of the two lengths at most.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // One bit per pattern position that can have been reached.
        let mut reached = vec![false; self.chars.len() + 1];
        set(&mut reached, 0);
        self.skip_wildcards(&mut reached);
        for char in name.chars() {
            let mut next = vec![false; reached.len()];
            for (at, expected) in self.chars.iter().enumerate() {
                if !reached.get(at).copied().unwrap_or(false) {
                    continue;
                }
                match expected {
                    '*' => set(&mut next, at),
                    '%' if char != '/' => set(&mut next, at),
                    literal if *literal == char => set(&mut next, at + 1),
                    _ => {}
                }
            }
            self.skip_wildcards(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    /// A wildcard may stand for nothing.
    fn skip_wildcards(&self, reached: &mut [bool]) {
        for (at, char) in self.chars.iter().enumerate() {
            if matches!(char, '*' | '%') && reached.get(at).copied().unwrap_or(false) {
                set(reached, at + 1);
            }
        }
    }
}

fn set(reached: &mut [bool], at: usize) {
    if let Some(slot) = reached.get_mut(at) {
        *slot = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_rfc_9051_says() {
        for (pattern, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("%/c", "a/b/c", false),
            ("*c", "a/b/c", true),
            ("inbox", "INBOX", true),
            ("inbox/%", "INBOX/x", true),
            ("", "", true),
            ("a%*%b", "a/x/b", true),
        ] {
            assert_eq!(Pattern::new("", pattern).matches(name), expected, "{pattern} {name}");
        }
        assert!(Pattern::new("a/", "%").matches("a/b"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length_allows() {
        let pattern = Pattern::new("", &"*a".repeat(400));
        assert!(!pattern.matches(&"a".repeat(399)));
        assert!(pattern.matches(&"a".repeat(400)));
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in ["", "/a", "a/", "a//b", "a/../b", "a%", "a*", "a\u{7}", &"x".repeat(801)] {
            assert_eq!(Name::parse(bad), Err(BadName), "{bad}");
        }
        assert_eq!(Name::parse("inBox/a").unwrap().as_str(), "INBOX/a");
        assert_eq!(Name::parse("inboxes").unwrap().as_str(), "inboxes");
    }

    #[test]
    fn renaming_moves_what_lies_below() {
        let name = |text| Name::parse(text).unwrap();
        assert_eq!(name("a/b/c").moved(&name("a/b"), &name("x")), Some(name("x/c")));
        assert_eq!(name("a/bc").moved(&name("a/b"), &name("x")), None);
        assert_eq!(name("a/b/c").parents().count(), 2);
        assert!(name("a/b").is_below(&name("a")));
        assert!(!name("ab").is_below(&name("a")));
    }
}
