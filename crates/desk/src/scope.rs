//! Scopes: what may be opened and produced, as data; and every narrowing as a signed difference.
//!
//! Invariant: a scope has one text, so one digest. A narrowing never widens, and counsel signs
//! both ends of it.
//! Refs: design §7; specs/release-evidence.md §2.

use crate::error::DeskError;
use seal::mac::sha256;
use seal::sign::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vocab::{AccountId, CaseId, DataCategory, Digest, RecordKind, Timestamp};

/// Correspondents, and message ids, in one scope.
pub(crate) const LIST_MAX: usize = 256;
/// Octets of a correspondent or message id.
pub(crate) const ENTRY_BYTES_MAX: usize = 998;

/// What may be opened and produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// 1.
    pub version: u8,
    /// Whose.
    #[serde(with = "crate::octets")]
    pub account: AccountId,
    /// Letters that arrived from here …
    #[serde(with = "crate::octets::time")]
    pub from: Timestamp,
    /// … to before here.
    #[serde(with = "crate::octets::time")]
    pub until: Timestamp,
    /// `content`: whole letters. `traffic` alone: who, when, how large; no subject, no text.
    /// Ascending.
    #[serde(with = "crate::octets::categories")]
    pub categories: Vec<DataCategory>,
    /// Only letters that name one of these addresses in an address field or as their sender;
    /// lower case, ascending. Empty for all.
    #[serde(default)]
    pub correspondents: Vec<String>,
    /// Only letters with one of these Message-IDs, without angle brackets; ascending. Empty for
    /// all.
    #[serde(default)]
    pub message_ids: Vec<String>,
}

impl Scope {
    /// The scope's one text.
    ///
    /// # Errors
    /// [`DeskError::Scope`] when it does not keep its limits.
    pub fn to_text(&self) -> Result<String, DeskError> {
        self.check()?;
        serde_json::to_string(self).map_err(|_| DeskError::Scope("it has no text"))
    }

    /// Reads what [`Self::to_text`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`DeskError::Scope`].
    pub fn from_text(text: &str) -> Result<Self, DeskError> {
        let scope: Self =
            serde_json::from_str(text).map_err(|_| DeskError::Scope("it is not a scope"))?;
        if scope.to_text()? == text {
            Ok(scope)
        } else {
            Err(DeskError::Scope("it is not a scope's one text"))
        }
    }

    /// SHA-256 of the text.
    ///
    /// # Errors
    /// As [`Self::to_text`].
    pub fn digest(&self) -> Result<Digest, DeskError> {
        Ok(sha256(&[self.to_text()?.as_bytes()]))
    }

    /// Whether letters' text is named.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.categories.contains(&DataCategory::Content)
    }

    /// The tables an order for this scope opens, ascending: bodies only for content.
    #[must_use]
    pub fn kinds(&self) -> Vec<u16> {
        let body = self.has_content().then_some(RecordKind::LetterBody);
        let kinds = [Some(RecordKind::LetterHead), body, Some(RecordKind::Message)];
        kinds.into_iter().flatten().map(RecordKind::table).collect()
    }

    fn check(&self) -> Result<(), DeskError> {
        let list = |list: &[String]| {
            list.len() <= LIST_MAX
                && list.is_sorted_by(|a, b| a < b)
                && list.iter().all(|one| (1..=ENTRY_BYTES_MAX).contains(&one.len()))
        };
        let lower = |text: &String| text.chars().all(|c| !c.is_ascii_uppercase());
        let opened = |one: &DataCategory| match one {
            DataCategory::Traffic | DataCategory::Content => true,
            DataCategory::Subscriber | DataCategory::Identifying => false,
        };
        let rules = [
            (self.version == 1, "its version is not 1"),
            (self.from < self.until, "its period ends before it begins"),
            (
                !self.categories.is_empty() && self.categories.is_sorted_by(|a, b| a < b),
                "its categories must ascend, at least one",
            ),
            (
                self.categories.iter().all(opened),
                "only traffic and content are opened; the cell answers others by letter",
            ),
            (
                list(&self.correspondents) && self.correspondents.iter().all(lower),
                "correspondents must ascend, in lower case, at most 256",
            ),
            (list(&self.message_ids), "message ids must ascend, at most 256"),
        ];
        let broken = rules.into_iter().find(|(kept, _)| !kept);
        broken.map_or(Ok(()), |(_, why)| Err(DeskError::Scope(why)))
    }

    /// Whether everything in `narrower` is in this scope too.
    #[must_use]
    pub fn includes(&self, narrower: &Self) -> bool {
        let list = |wide: &[String], narrow: &[String]| {
            wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|one| wide.contains(one)))
        };
        self.account == narrower.account
            && self.from <= narrower.from
            && narrower.until <= self.until
            && narrower.categories.iter().all(|one| self.categories.contains(one))
            && list(&self.correspondents, &narrower.correspondents)
            && list(&self.message_ids, &narrower.message_ids)
    }
}

/// What a narrowing changed, signed by counsel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeDiff {
    /// Digest of the scope before.
    #[serde(with = "crate::octets")]
    pub before: Digest,
    /// Digest of the scope after.
    #[serde(with = "crate::octets")]
    pub after: Digest,
    /// Ed25519 by counsel over [`ScopeDiff::message`].
    #[serde(with = "crate::octets")]
    pub signature: [u8; 64],
}

impl ScopeDiff {
    /// What counsel signs.
    #[must_use]
    pub fn message(case: CaseId, before: Digest, after: Digest) -> Vec<u8> {
        [b"bailiwick.v1 scope diff\0".as_slice(), &case.0, &before.0, &after.0].concat()
    }

    /// Counsel's signature under a narrowing from `before` to `after`.
    ///
    /// # Errors
    /// As [`Scope::to_text`].
    pub fn sign(
        case: CaseId,
        before: &Scope,
        after: &Scope,
        key: &SigningKey,
    ) -> Result<Self, DeskError> {
        let (before, after) = (before.digest()?, after.digest()?);
        let signature = key.sign(&Self::message(case, before, after));
        Ok(Self { before, after, signature })
    }

    /// Whether this is counsel's signature over just this narrowing, and it narrows.
    pub(crate) fn check(
        &self,
        case: CaseId,
        before: &Scope,
        after: &Scope,
        key: &VerifyingKey,
    ) -> Result<(), DeskError> {
        if !before.includes(after) {
            return Err(DeskError::Scope("a narrowing cannot widen"));
        }
        if (self.before, self.after) != (before.digest()?, after.digest()?) {
            return Err(DeskError::Scope("the difference is between other scopes"));
        }
        let message = Self::message(case, self.before, self.after);
        key.verify(&message, &self.signature).map_err(|_| DeskError::Signature)
    }
}

/// What changed between two scopes, a line each, for people.
#[must_use]
pub fn changes(before: &Scope, after: &Scope) -> Vec<String> {
    let mut out = Vec::new();
    let mut line = |name: &str, a: String, b: String| {
        if a != b {
            out.push(format!("{name}: {a} -> {b}"));
        }
    };
    let words = |scope: &Scope| {
        let word = |one: &DataCategory| crate::octets::categories::word(*one);
        scope.categories.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    let list = |list: &[String]| if list.is_empty() { "all".to_owned() } else { list.join(", ") };
    line("from", crate::time::utc(before.from), crate::time::utc(after.from));
    line("until", crate::time::utc(before.until), crate::time::utc(after.until));
    line("categories", words(before), words(after));
    line("correspondents", list(&before.correspondents), list(&after.correspondents));
    line("message ids", list(&before.message_ids), list(&after.message_ids));
    out
}
