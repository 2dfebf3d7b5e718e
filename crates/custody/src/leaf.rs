//! Leaves: what the log says happened, 512 octets each, field by field under salt.
//!
//! Invariant: a leaf under a non-disclosure order shows its number, its month and the day
//! by which it will be opened, and nothing else; a dummy cannot be told from it. A field is
//! revealed by its salt alone, and revealing one says nothing about another.
//! Refs: specs/log-entry.md.

use crate::{hash, hex};
use seal::Entropy;
use serde::{Deserialize, Serialize};
use vocab::{Digest, Epoch, Timestamp};

/// The size of every leaf (specs/log-entry.md §2).
pub const LEAF_BYTES: usize = 512;
/// What a leaf can show in clear.
pub const PUBLIC_BYTES_MAX: usize = LEAF_BYTES - FRAME_BYTES;
/// Fields a leaf can commit to.
pub const FIELDS_MAX: usize = 256;
/// Octets in one field's value.
pub const VALUE_BYTES_MAX: usize = 1024;
/// The longest a leaf may stay sealed: 24 months of at most 31 days.
pub const SEALED_SECONDS_MAX: u64 = 24 * 31 * 86_400;

const VERSION: u8 = 1;
/// Version, tag, month, sequence, length, commitment.
const FRAME_BYTES: usize = 1 + 1 + 4 + 8 + 2 + 32;

/// Why a leaf could not be written, or is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// More in clear than fits, too many fields, or a value too long.
    #[error("a leaf holds at most 464 octets in clear and 256 fields of 1024 octets")]
    TooLarge,
    /// The day of opening is more than 24 months after the month of the leaf, or a dummy has none.
    #[error("a sealed leaf names a day of opening within 24 months")]
    OpenBy,
    /// Not the octets of a leaf.
    #[error("not a log leaf of version 1")]
    Malformed,
    /// The salts and values shown are not those the leaf commits to.
    #[error("the opening does not match the leaf's commitment")]
    Commitment,
    /// The committed act or a committed field differs from what the leaf shows in clear.
    #[error("the leaf shows in clear something it does not commit to")]
    Clear,
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $tag:literal, $text:literal;)*) => {
        /// What happened (specs/log-entry.md §3). A leaf without one in clear is sealed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Act { $($(#[$doc])* $name = $tag,)* }

        impl Act {
            /// Every act, in the order of their tags.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The act with this tag; `None` for 0, which is a sealed leaf or a dummy.
            #[must_use]
            pub const fn from_tag(tag: u8) -> Option<Self> {
                match tag { $($tag => Some(Self::$name),)* _ => None }
            }

            /// The number a leaf carries.
            #[must_use]
            pub const fn tag(self) -> u8 { self as u8 }

            /// The name reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

acts! {
    /// A demand was received.
    Received = 1, "demand received";
    /// A demand was refused.
    Rejected = 2, "demand refused";
    /// A release was authorised: the one leaf that holders answer to.
    Authorised = 3, "release authorised";
    /// An officer or a holder approved.
    Approve = 4, "approval";
    /// An officer or a holder refused.
    Refuse = 5, "refusal by an officer or holder";
    /// A production left.
    Done = 6, "production left";
    /// Holders, their number, or an escrow policy changed.
    HoldersChanged = 7, "holders or escrow policy changed";
    /// The digest of the day's anchors.
    DailyRoot = 8, "digest of the day's anchors";
    /// A month ended with this many leaves.
    MonthClose = 9, "month closed";
    /// Sealed leaves were opened.
    Opening = 10, "opening of sealed leaves";
    /// An account moved in or out.
    Move = 11, "account moved";
    /// A program the cell runs.
    Software = 12, "program run by the cell";
    /// Sealed leaves stay sealed longer.
    SecrecyRenewed = 13, "sealed leaves kept sealed longer";
    /// A demand was decided otherwise than by refusal.
    Decided = 14, "demand decided, not refused";
    /// A person was told.
    Notice = 15, "person told";
    /// A member of staff acted on an account.
    StaffAct = 16, "act of staff on an account";
    /// A law pack changed.
    PackChanged = 17, "law pack changed";
}

/// What a field says (specs/log-entry.md §4). Unknown numbers are kept, not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FieldId(pub u16);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => {
        impl FieldId { $($(#[$doc])* pub const $name: Self = Self($id);)* }
    };
}

fields! {
    /// u8: the act's tag; 0 in a dummy. Always the first field.
    ACT = 1;
    /// u64: when the act happened.
    AT = 2;
    /// 16 octets: the case.
    CASE = 3;
    /// 32 octets: SHA-256 of the demand as served.
    DEMAND = 4;
    /// 32 octets: SHA-256 of the order record.
    ORDER = 5;
    /// 32 octets: SHA-256 of the scope as JSON.
    SCOPE = 6;
    /// 16 octets, repeated: the guard tag of one account and epoch.
    GUARD_TAG = 7;
    /// 32 octets: SHA-256 of the recipient's public key.
    RECIPIENT = 8;
    /// u64: shares are given from here.
    NOT_BEFORE = 9;
    /// u64: until when: a release is in force, records are preserved, leaves stay sealed.
    VALID_UNTIL = 10;
    /// 32 octets: SHA-256 of the approvals.
    APPROVALS = 11;
    /// 32 octets: digest of the officers' register.
    REGISTER = 12;
    /// u64: the day by which a sealed leaf is opened, if none keeps it longer. In clear alone.
    OPEN_BY = 13;
    /// 16 octets: the account.
    ACCOUNT = 14;
    /// 16 octets: the member of staff or officer.
    PERSON = 15;
    /// 16 octets: the holder.
    HOLDER = 16;
    /// UTF-8: the outcome or what was done, in the desk's coded words.
    OUTCOME = 17;
    /// UTF-8, repeated: a reason code.
    REASON = 18;
    /// 32 octets: what this act is about (manifest, pack, policy, program, document).
    SUBJECT = 19;
    /// u64: how many.
    COUNT = 20;
    /// u64, repeated: the log index of another leaf.
    INDEX = 21;
    /// 16 octets: the other cell.
    CELL = 22;
    /// UTF-8: the name of a pack, a program or a form.
    NAME = 23;
    /// Octets without meaning.
    NOISE = 24;
}

/// One field and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Which.
    pub id: FieldId,
    /// Its octets, at most [`VALUE_BYTES_MAX`].
    pub value: Vec<u8>,
}

/// Where in the log a leaf goes: its month (`yyyymm`, UTC) and its number in that month, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// For instance 202611.
    pub month: u32,
    /// From 1, without gaps.
    pub seq: u64,
}

impl Place {
    /// The month as the number epochs have (specs/bw1.md §3.1); 0 before 2000.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        let years = (self.month / 100).saturating_sub(2000);
        Epoch(years.saturating_mul(12).saturating_add(self.month % 100))
    }
}

/// A leaf as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What happened; `None` while sealed.
    pub act: Option<Act>,
    /// Its month and number.
    pub place: Place,
    /// What it shows in clear, ascending by field.
    pub public: Vec<Field>,
    /// The commitment to all its fields.
    pub commit: Digest,
}

impl Leaf {
    /// The leaf's octets (specs/log-entry.md §2).
    ///
    /// # Errors
    /// [`LeafError::TooLarge`] when the fields in clear do not fit.
    pub fn encode(&self) -> Result<[u8; LEAF_BYTES], LeafError> {
        let mut public = Vec::new();
        for field in &self.public {
            public.extend_from_slice(&field.id.0.to_be_bytes());
            public.extend_from_slice(&length(&field.value)?);
            public.extend_from_slice(&field.value);
        }
        let mut out = Vec::with_capacity(LEAF_BYTES);
        out.push(VERSION);
        out.push(self.act.map_or(0, Act::tag));
        out.extend_from_slice(&self.place.month.to_be_bytes());
        out.extend_from_slice(&self.place.seq.to_be_bytes());
        out.extend_from_slice(&length(&public)?);
        out.extend_from_slice(&public);
        out.extend_from_slice(&self.commit.0);
        if out.len() > LEAF_BYTES {
            return Err(LeafError::TooLarge);
        }
        out.resize(LEAF_BYTES, 0);
        out.try_into().map_err(|_| LeafError::TooLarge)
    }

    /// Reads a leaf; exactly the octets [`Leaf::encode`] writes, or an error.
    ///
    /// # Errors
    /// [`LeafError::Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        Self::read(bytes).filter(Self::is_well_formed).ok_or(LeafError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEAF_BYTES] = bytes.try_into().ok()?;
        let (&[VERSION, tag], rest) = bytes.split_first_chunk()? else { return None };
        let act = if tag == 0 { None } else { Some(Act::from_tag(tag)?) };
        let (month, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (mut clear, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (commit, pad) = rest.split_first_chunk()?;
        if pad.iter().any(|octet| *octet != 0) {
            return None;
        }
        let mut public = Vec::new();
        while let Some((id, rest)) = clear.split_first_chunk() {
            let (length, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            public.push(Field { id: FieldId(u16::from_be_bytes(*id)), value: value.to_vec() });
            clear = rest;
        }
        let place = Place { month: u32::from_be_bytes(*month), seq: u64::from_be_bytes(*seq) };
        clear.is_empty().then_some(Self { act, place, public, commit: Digest(*commit) })
    }

    fn is_well_formed(&self) -> bool {
        let ascending = self.public.is_sorted_by_key(|field| field.id);
        let sealed = self.act.is_none();
        // A sealed leaf shows the day of its opening and nothing else; others show no such day.
        let shown = match self.public.as_slice() {
            [only] if sealed => only.id == FieldId::OPEN_BY && self.is_opened_in_time(),
            public => !sealed && public.iter().all(|field| field.id != FieldId::OPEN_BY),
        };
        let (year, month) = (self.place.month / 100, self.place.month % 100);
        let dated = (2000..=9999).contains(&year) && (1..=12).contains(&month);
        ascending && shown && dated && self.place.seq > 0
    }

    /// What is logged in a month happened before its end, so whatever a leaf does not show of its
    /// act, the day of its opening is bounded (specs/log-entry.md §2).
    fn is_opened_in_time(&self) -> bool {
        let latest = seal::epoch::ends(self.place.epoch()).0.saturating_add(SEALED_SECONDS_MAX);
        self.open_by().is_some_and(|day| day.0 <= latest)
    }

    /// The value of the first field in clear with this id.
    #[must_use]
    pub fn public(&self, id: FieldId) -> Option<&[u8]> {
        self.public.iter().find(|field| field.id == id).map(|field| field.value.as_slice())
    }

    /// When a sealed leaf must have been opened. An unopened leaf past this time is public
    /// proof that the cell broke its word.
    #[must_use]
    pub fn open_by(&self) -> Option<Timestamp> {
        if self.act.is_some() {
            return None;
        }
        let value = self.public(FieldId::OPEN_BY)?;
        Some(Timestamp(u64::from_be_bytes(value.try_into().ok()?)))
    }
}

fn length(value: &[u8]) -> Result<[u8; 2], LeafError> {
    u16::try_from(value.len()).map(u16::to_be_bytes).map_err(|_| LeafError::TooLarge)
}

/// One line of an opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OpenedField {
    /// Only which field, and the commitment to it.
    Hidden {
        /// Which.
        id: FieldId,
        /// Its commitment.
        #[serde(with = "crate::octets")]
        commitment: [u8; 32],
    },
    /// The field itself.
    Shown {
        /// Which.
        id: FieldId,
        /// Its salt.
        #[serde(with = "crate::octets")]
        salt: [u8; 32],
        /// Its octets.
        #[serde(with = "crate::octets")]
        value: Vec<u8>,
    },
}

impl OpenedField {
    const fn id(&self) -> FieldId {
        match self {
            Self::Hidden { id, .. } | Self::Shown { id, .. } => *id,
        }
    }

    fn commitment(&self) -> [u8; 32] {
        match self {
            Self::Hidden { commitment, .. } => *commitment,
            // specs/log-entry.md §5
            Self::Shown { id, salt, value } => {
                hash(&[b"bailiwick.v1 field\0", salt, &id.0.to_be_bytes(), value]).0
            }
        }
    }
}

/// The fields of one leaf, some or all of them shown. Whole, it is kept sealed by the cell;
/// in part, it is evidence for whoever must see that part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeafOpening {
    /// In the order of commitment.
    pub fields: Vec<OpenedField>,
}

impl LeafOpening {
    /// The commitment these fields make.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        let mut lines = Vec::with_capacity(self.fields.len() * 34);
        for field in &self.fields {
            // The number is bound in clear, so that a field cannot be committed to twice and
            // shown once to each reader.
            lines.extend_from_slice(&field.id().0.to_be_bytes());
            lines.extend_from_slice(&field.commitment());
        }
        hash(&[b"bailiwick.v1 leaf\0", &lines])
    }

    /// The same opening with only the fields that `show` accepts still shown.
    #[must_use]
    pub fn part(&self, show: impl Fn(FieldId, &[u8]) -> bool) -> Self {
        let fields = self.fields.iter().map(|field| match field {
            OpenedField::Shown { id, value, .. } if show(*id, value) => field.clone(),
            OpenedField::Shown { .. } | OpenedField::Hidden { .. } => {
                OpenedField::Hidden { id: field.id(), commitment: field.commitment() }
            }
        });
        Self { fields: fields.collect() }
    }

    /// Checks every field shown against the leaf, and the leaf's clear part against them.
    ///
    /// # Errors
    /// [`LeafError::TooLarge`], [`LeafError::Commitment`] or [`LeafError::Clear`].
    pub fn check(&self, leaf: &Leaf) -> Result<(), LeafError> {
        let long = |field: &OpenedField| matches!(field, OpenedField::Shown { value, .. } if value.len() > VALUE_BYTES_MAX);
        if self.fields.len() > FIELDS_MAX || self.fields.iter().any(long) {
            return Err(LeafError::TooLarge);
        }
        if self.commitment() != leaf.commit {
            return Err(LeafError::Commitment);
        }
        let Some(act) = leaf.act else { return Ok(()) };
        let tag = self.value(FieldId::ACT).is_none_or(|value| value == [act.tag()]);
        let clear = leaf.public.iter().all(|field| {
            let mut shown = self.values(field.id).peekable();
            shown.peek().is_none() || shown.any(|value| value == field.value)
        });
        if tag && clear { Ok(()) } else { Err(LeafError::Clear) }
    }

    /// The values shown for this field, in order.
    pub fn values(&self, wanted: FieldId) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter_map(move |field| match field {
            OpenedField::Shown { id, value, .. } if *id == wanted => Some(value.as_slice()),
            OpenedField::Shown { .. } | OpenedField::Hidden { .. } => None,
        })
    }

    /// The value of this field if it is shown, and is the only one of its number. A field
    /// that could be read two ways is not read.
    #[must_use]
    pub fn value(&self, wanted: FieldId) -> Option<&[u8]> {
        let only = self.fields.iter().filter(|field| field.id() == wanted).count() == 1;
        self.values(wanted).next().filter(|_| only)
    }

    /// As [`LeafOpening::value`], for a field of exactly `N` octets.
    #[must_use]
    pub fn array<const N: usize>(&self, wanted: FieldId) -> Option<[u8; N]> {
        self.value(wanted)?.try_into().ok()
    }

    /// As [`LeafOpening::value`], for a number.
    #[must_use]
    pub fn number(&self, wanted: FieldId) -> Option<u64> {
        self.array(wanted).map(u64::from_be_bytes)
    }

    /// The digest by which an [`Act::Opening`] leaf names this opening (specs/log-entry.md §6).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let lines = self.fields.iter().map(|field| match field {
            OpenedField::Hidden { id, commitment } => {
                format!("{} {} -\n", id.0, hex::encode(commitment))
            }
            OpenedField::Shown { id, salt, value } => {
                format!("{} {} ={}\n", id.0, hex::encode(salt), hex::encode(value))
            }
        });
        hash(&[b"bailiwick.v1 opening\0", lines.collect::<String>().as_bytes()])
    }
}

/// A leaf about to be written: its act, its fields, and which of them are shown in clear
/// unless the leaf is sealed.
pub struct Draft {
    act: Option<Act>,
    fields: Vec<Field>,
    clear: Vec<Field>,
}

/// A leaf and the whole of its opening.
pub struct Written {
    /// For the log.
    pub leaf: Leaf,
    /// For the cell's sealed keeping.
    pub opening: LeafOpening,
}

impl Draft {
    /// A leaf for this act at this time. See [`crate::acts`] for what each act holds.
    #[must_use]
    pub fn new(act: Act, at: Timestamp) -> Self {
        let draft = Self { act: Some(act), fields: Vec::new(), clear: Vec::new() };
        draft.with(FieldId::ACT, &[act.tag()]).number(FieldId::AT, at.0)
    }

    /// A leaf about nothing, to fill a day's batch. It must be written sealed.
    #[must_use]
    pub fn dummy(at: Timestamp) -> Self {
        let draft = Self { act: None, fields: Vec::new(), clear: Vec::new() };
        draft.with(FieldId::ACT, &[0]).number(FieldId::AT, at.0)
    }

    /// Commits to one more field.
    #[must_use]
    pub fn with(mut self, id: FieldId, value: &[u8]) -> Self {
        self.fields.push(Field { id, value: value.to_vec() });
        self
    }

    /// Commits to one more number.
    #[must_use]
    pub fn number(self, id: FieldId, value: u64) -> Self {
        self.with(id, &value.to_be_bytes())
    }

    /// Commits to one more field and, unless the leaf is sealed, shows it.
    #[must_use]
    pub fn clear(mut self, id: FieldId, value: &[u8]) -> Self {
        self.clear.push(Field { id, value: value.to_vec() });
        self.with(id, value)
    }

    /// Whether a leaf can hold it, at whatever place: asked before many are written together, so
    /// that one never keeps out the others.
    ///
    /// # Errors
    /// [`LeafError::TooLarge`]; [`LeafError::OpenBy`] for a dummy that is not to be sealed.
    pub fn check(&self, is_sealed: bool) -> Result<(), LeafError> {
        let bounded = |field: &Field| field.value.len() <= VALUE_BYTES_MAX;
        let clear: usize = self.clear.iter().map(|field| 4 + field.value.len()).sum();
        if self.fields.len() > FIELDS_MAX
            || !self.fields.iter().all(bounded)
            || (!is_sealed && clear > PUBLIC_BYTES_MAX)
        {
            return Err(LeafError::TooLarge);
        }
        if self.act.is_none() && !is_sealed { Err(LeafError::OpenBy) } else { Ok(()) }
    }

    /// Writes the leaf at `place`; sealed until `open_by` if there is one. When its act happened
    /// does not matter: what waited for its batch, or was dated by a clock that ran wrong, is
    /// written like any other.
    ///
    /// # Errors
    /// As [`Draft::check`]; [`LeafError::OpenBy`] when the day of opening is more than 24 months
    /// after the end of the month of `place`.
    pub fn write(
        self,
        place: Place,
        open_by: Option<Timestamp>,
        entropy: &dyn Entropy,
    ) -> Result<Written, LeafError> {
        self.check(open_by.is_some())?;
        let (act, mut public) = match open_by {
            None => (self.act, self.clear),
            Some(day) => {
                let value = day.0.to_be_bytes().to_vec();
                (None, vec![Field { id: FieldId::OPEN_BY, value }])
            }
        };
        public.sort_by_key(|field| field.id);
        let fields = self.fields.into_iter().map(|Field { id, value }| {
            let mut salt = [0; 32];
            entropy.fill(&mut salt);
            OpenedField::Shown { id, salt, value }
        });
        let opening = LeafOpening { fields: fields.collect() };
        let leaf = Leaf { act, place, public, commit: opening.commitment() };
        leaf.encode()?;
        if open_by.is_some() && !leaf.is_opened_in_time() {
            return Err(LeafError::OpenBy);
        }
        if !leaf.is_well_formed() {
            return Err(LeafError::Malformed);
        }
        Ok(Written { leaf, opening })
    }
}
