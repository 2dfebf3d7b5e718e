//! System flags as bits, keywords as numbers of an account-wide table.
//!
//! Invariant: a message's keywords are ascending and distinct; the table only grows while the
//! account is open, and its size is bounded.
//! Refs: RFC 9051 §2.3.2.

/// How many different keywords an account may use.
const KEYWORDS_MAX: usize = 1000;
/// How many keywords one message may bear.
const PER_MESSAGE_MAX: usize = 64;

/// The system flags of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(2);
    /// `\Deleted`
    pub const DELETED: Self = Self(4);
    /// `\Seen`
    pub const SEEN: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);

    /// Every flag and its name, in the order they are shown.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Whether all of `flag` is set.
    #[must_use]
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }

    /// With `flag` set too.
    #[must_use]
    pub const fn with(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }

    /// Without `flag`.
    #[must_use]
    pub const fn without(self, flag: Self) -> Self {
        Self(self.0 & !flag.0)
    }
}

/// Flags as a client names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagSet {
    /// The system flags.
    pub flags: Flags,
    /// The keywords.
    pub keywords: Vec<String>,
}

/// What STORE does with a [`FlagSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    /// These and no others.
    Replace,
    /// These too.
    Add,
    /// Not these.
    Remove,
}

/// More keywords than an account or a message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many keywords")]
pub struct TooManyKeywords;

/// The account's keywords; a keyword's number is its place.
#[derive(Debug, Default)]
pub struct Keywords {
    names: Vec<String>,
}

impl Keywords {
    /// The name of a keyword.
    #[must_use]
    pub fn name(&self, number: u16) -> &str {
        self.names.get(usize::from(number)).map_or("", String::as_str)
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A keyword's number, if it is in use. Keywords differ without regard to case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u16> {
        let at = self.names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        u16::try_from(at).ok()
    }

    /// Numbers for these names, ascending and distinct, giving new ones where needed.
    ///
    /// # Errors
    /// [`TooManyKeywords`]; names added before stay.
    pub fn numbers(&mut self, names: &[String]) -> Result<Box<[u16]>, TooManyKeywords> {
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            let number = match self.find(name) {
                Some(number) => number,
                None if self.names.len() < KEYWORDS_MAX => {
                    self.names.push(name.clone());
                    u16::try_from(self.names.len() - 1).map_err(|_| TooManyKeywords)?
                }
                None => return Err(TooManyKeywords),
            };
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() > PER_MESSAGE_MAX { Err(TooManyKeywords) } else { Ok(numbers.into()) }
    }
}

impl FlagChange {
    /// The system flags after the change.
    #[must_use]
    pub fn flags(self, old: Flags, given: Flags) -> Flags {
        match self {
            Self::Replace => given,
            Self::Add => old.with(given),
            Self::Remove => old.without(given),
        }
    }

    /// The keywords after the change.
    ///
    /// # Errors
    /// [`TooManyKeywords`].
    pub fn keywords(self, old: &[u16], given: &[u16]) -> Result<Box<[u16]>, TooManyKeywords> {
        let mut all: Vec<u16> = match self {
            Self::Replace => given.to_vec(),
            Self::Add => [old, given].concat(),
            Self::Remove => old.iter().filter(|known| !given.contains(known)).copied().collect(),
        };
        all.sort_unstable();
        all.dedup();
        if all.len() > PER_MESSAGE_MAX { Err(TooManyKeywords) } else { Ok(all.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_differ_without_regard_to_case() {
        let mut table = Keywords::default();
        let names = ["$Junk".to_owned(), "$JUNK".to_owned(), "later".to_owned()];
        assert_eq!(table.numbers(&names), Ok(Box::from([0, 1])));
    }

    #[test]
    fn a_message_bears_a_bounded_number_of_keywords() {
        let mut table = Keywords::default();
        let names: Vec<String> = (0..65).map(|n| format!("k{n}")).collect();
        assert_eq!(table.numbers(&names), Err(TooManyKeywords));
    }
}
