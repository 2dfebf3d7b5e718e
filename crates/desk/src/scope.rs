//! Scopes: what may be opened and produced, as data; and every narrowing as a signed difference.
//!
//! Invariant: a scope has one text, so one digest. A narrowing never widens, and counsel signs
//! both ends of it.
//! Refs: design §7; specs/release-evidence.md §2.

use crate::error::DeskError;
use crate::refusal::Beyond;
use seal::mac::sha256;
use seal::sign::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vocab::{AccountId, CaseId, DataCategory, Digest, RecordKind, Timestamp};

/// Correspondents, and message ids, in one scope.
pub(crate) const LIST_MAX: usize = 256;
/// Octets of a correspondent or message id.
pub(crate) const ENTRY_BYTES_MAX: usize = 998;

/// In what form letters are produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Opened with holders' shares, and readable.
    #[default]
    Opened,
    /// As sealed as they are stored: of an account that nobody but its owner can open.
    Sealed,
}

impl Form {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Sealed => "sealed",
        }
    }
}

/// What the cell itself knows of a subscriber, in the words of the law (EU 2023/1543 art. 3(9);
/// 18 U.S.C. § 2703(c)(2)). Nothing else can be in such a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriberField {
    /// The account's number.
    Account,
    /// Its addresses and aliases.
    Addresses,
    /// Since when it exists.
    Created,
    /// What kind of service it is, and in which custody.
    Service,
}

impl SubscriberField {
    /// Every field, in order.
    pub const ALL: &[Self] = &[Self::Account, Self::Addresses, Self::Created, Self::Service];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Addresses => "addresses",
            Self::Created => "created",
            Self::Service => "service",
        }
    }

    /// The one kind of record that it is read from.
    #[must_use]
    pub const fn kind(self) -> RecordKind {
        match self {
            Self::Account | Self::Addresses => RecordKind::Route,
            Self::Created => RecordKind::Subscription,
            Self::Service => RecordKind::Manifest,
        }
    }
}

/// What may be produced.
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
    /// `subscriber`, `identifying`: what the cell itself can read. Ascending.
    #[serde(with = "crate::octets::categories")]
    pub categories: Vec<DataCategory>,
    /// In what form letters are produced.
    #[serde(default)]
    pub form: Form,
    /// For the category `subscriber`: what of it; ascending.
    #[serde(default)]
    pub fields: Vec<SubscriberField>,
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

    /// Whether letters, or records of them, are named.
    #[must_use]
    pub fn has_letters(&self) -> bool {
        self.has_content() || self.categories.contains(&DataCategory::Traffic)
    }

    /// Whether the account has to be opened for it.
    #[must_use]
    pub fn opens_account(&self) -> bool {
        self.has_letters() && self.form == Form::Opened
    }

    /// The tables an order for this scope reaches, ascending: bodies only for content, the keys as
    /// sealed as they are only for what is produced sealed, what the cell can read only by field.
    #[must_use]
    pub fn kinds(&self) -> Vec<u16> {
        let mut kinds: BTreeSet<RecordKind> = self.fields.iter().map(|one| one.kind()).collect();
        if self.has_letters() {
            kinds.extend([RecordKind::LetterHead, RecordKind::Message]);
        }
        if self.has_content() {
            kinds.insert(RecordKind::LetterBody);
        }
        if self.has_letters() && self.form == Form::Sealed {
            kinds.extend([RecordKind::Manifest, RecordKind::EpochBox]);
        }
        kinds.into_iter().map(RecordKind::table).collect()
    }

    fn check(&self) -> Result<(), DeskError> {
        let list = |list: &[String]| {
            list.len() <= LIST_MAX
                && list.is_sorted_by(|a, b| a < b)
                && list.iter().all(|one| (1..=ENTRY_BYTES_MAX).contains(&one.len()))
        };
        let lower = |text: &String| text.chars().all(|c| !c.is_ascii_uppercase());
        let all = self.correspondents.is_empty() && self.message_ids.is_empty();
        let sealed = self.form == Form::Sealed;
        let of_subscriber = self.categories.contains(&DataCategory::Subscriber);
        let rules = [
            (self.version == 1, "its version is not 1"),
            (self.from < self.until, "its period ends before it begins"),
            (
                !self.categories.is_empty() && self.categories.is_sorted_by(|a, b| a < b),
                "its categories must ascend, at least one",
            ),
            (
                self.categories != [DataCategory::Identifying],
                "the cell keeps no identifying data: answer by letter",
            ),
            (
                of_subscriber != self.fields.is_empty() && self.fields.is_sorted_by(|a, b| a < b),
                "its fields must ascend, and name what of the category subscriber; else none",
            ),
            (
                !sealed || self.has_content(),
                "traffic is sealed together with content: alone it is not produced sealed",
            ),
            (
                all || self.opens_account(),
                "among what is not opened nobody can choose correspondents or message ids",
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
            // What leaves sealed is less than what leaves readable.
            && (self.form == narrower.form || self.form == Form::Opened)
            && narrower.fields.iter().all(|one| self.fields.contains(one))
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
            return Err(DeskError::Outside(Beyond::Wider));
        }
        if (self.before, self.after) != (before.digest()?, after.digest()?) {
            return Err(DeskError::Outside(Beyond::Other));
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
    let fields =
        |scope: &Scope| scope.fields.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ");
    line("form", before.form.word().to_owned(), after.form.word().to_owned());
    line("fields", fields(before), fields(after));
    line("correspondents", list(&before.correspondents), list(&after.correspondents));
    line("message ids", list(&before.message_ids), list(&after.message_ids));
    out
}
