//! Facts: everything a pack may read about a demand, each known or unknown.
//!
//! Invariant: a fact nobody has established stays [`Fact::Unknown`]; there is no default
//! value that could stand in for it. Facts hold no name, address or text of a letter.
//! Refs: packs/README.md, "Facts"; law tables §9, "Union of fields".

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vocab::{Custody, DataCategory};

use crate::deadline::Moment;
use crate::place::Place;

/// Something a person has established, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fact<T> {
    /// Established.
    Known(T),
    /// Not established: what needs it is undetermined.
    #[default]
    Unknown,
}

impl<T> Fact<T> {
    /// The value, if it is established.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown => None,
        }
    }

    /// Whether nobody has established it.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl<T> From<T> for Fact<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Serialize> Serialize for Fact<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.known().serialize(to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fact<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Unknown, Self::Known))
    }
}

/// The legal form of a demand, by the id its pack declares: `us.sca_warrant`, `eu.epoc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instrument(pub String);

/// A court, and the circuit or district of appeal whose rulings bind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    /// The court's id: `us.sdny`.
    pub court: String,
    /// The circuit's id: `us.ca2`.
    pub circuit: String,
}

/// What a fact looks like to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Yes or no.
    Bool(bool),
    /// A count.
    Long(i64),
    /// One word of a closed list: its type and the word.
    Word(&'static str, String),
    /// A text of an open list.
    Text(String),
}

/// A value that can be told to a rule, under one attribute name or several.
trait Said {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>);
}

impl Said for bool {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, Value::Bool(*self)));
    }
}

impl Said for u32 {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, Value::Long(i64::from(*self))));
    }
}

impl Said for Place {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, Value::Word("Place", self.to_string())));
    }
}

impl Said for Instrument {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, Value::Word("Instrument", self.0.clone())));
    }
}

/// The date of issue is told as the instrument's age at service, by [`Facts::values`].
impl Said for Date {
    fn say(&self, _: &'static str, _: &mut Vec<(&'static str, Value)>) {}
}

impl Said for Venue {
    fn say(&self, _: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push(("court", Value::Text(self.court.clone())));
        out.push(("circuit", Value::Text(self.circuit.clone())));
    }
}

impl Said for DataCategory {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, Value::Word("Category", category::word(*self).to_owned())));
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $type {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word packs use.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Said for $type {
            fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
                out.push((name, Value::Word(stringify!($type), self.word().to_owned())));
            }
        }
    )*};
}

words! {
    /// Who issued or validated an instrument.
    Role {
        /// A judge.
        Judge = "judge",
        /// A court.
        Court = "court",
        /// An investigating judge.
        InvestigatingJudge = "investigating_judge",
        /// A public prosecutor.
        Prosecutor = "prosecutor",
        /// A grand jury.
        GrandJury = "grand_jury",
        /// A police officer or service.
        Police = "police",
        /// A regulator or other administrative body.
        Regulator = "regulator",
        /// An intelligence or security service.
        SecurityService = "security_service",
        /// A minister or secretary of state.
        Minister = "minister",
        /// Nobody: used where no validation took place.
        Nobody = "nobody",
    }
    /// How a demand arrived.
    Channel {
        /// The decentralised IT system of EU 2023/1543 art. 19.
        Decentralised = "decentralised",
        /// The cell's own portal, by an enrolled authority.
        Portal = "portal",
        /// E-mail.
        Email = "email",
        /// Post, fax or by hand.
        Paper = "paper",
    }
    /// What is known of the enforcing authority's part (EU 2023/1543 arts. 8, 10, 12).
    EnforcingAuthority {
        /// It was not notified.
        NotNotified = "not_notified",
        /// It was notified and has not spoken.
        Notified = "notified",
        /// It said that it raises no ground.
        Cleared = "cleared",
        /// It raised a ground for refusal.
        GroundRaised = "ground_raised",
    }
    /// Whether an emergency is claimed, and whether the claim says why.
    Emergency {
        /// Not claimed.
        No = "no",
        /// Claimed without an explanation that holds.
        Claimed = "claimed",
        /// Claimed, and explained.
        Explained = "explained",
    }
    /// Who can open an item.
    KeyHolder {
        /// Nobody need: it is stored in the clear, or under a key any operator holds.
        Plain = "plain",
        /// The addressed entity's own keys.
        Provider = "provider",
        /// Only holders inside the item's cell.
        Local = "local",
        /// Only the owner.
        User = "user",
    }
}

impl From<Custody> for KeyHolder {
    fn from(custody: Custody) -> Self {
        match custody {
            Custody::Sealed => Self::User,
            Custody::Trustee | Custody::Managed => Self::Local,
        }
    }
}

/// A duty of secrecy that comes with a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NonDisclosure {
    /// None is claimed.
    None,
    /// It is asked for, without an order.
    Asked,
    /// A statute imposes it.
    Statutory,
    /// An order imposes it.
    Order {
        /// The last day it binds; `None` where the order names no end.
        until: Option<Date>,
    },
}

impl Said for NonDisclosure {
    fn say(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        let word = match self {
            Self::None => "none",
            Self::Asked => "asked",
            Self::Statutory => "statutory",
            Self::Order { until: Some(_) } => "order",
            Self::Order { until: None } => "order_without_end",
        };
        out.push((name, Value::Word("NonDisclosure", word.to_owned())));
    }
}

/// `vocab` knows no serde: categories are written with the words packs use.
pub(crate) mod category {
    use super::{DataCategory, Deserialize, Deserializer, Fact, Serialize, Serializer};

    pub(crate) const ALL: [DataCategory; 4] = [
        DataCategory::Subscriber,
        DataCategory::Identifying,
        DataCategory::Traffic,
        DataCategory::Content,
    ];

    pub(crate) const fn word(category: DataCategory) -> &'static str {
        match category {
            DataCategory::Subscriber => "subscriber",
            DataCategory::Identifying => "identifying",
            DataCategory::Traffic => "traffic",
            DataCategory::Content => "content",
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        fact: &Fact<DataCategory>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        fact.known().map(|category| word(*category)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Fact<DataCategory>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(Fact::Unknown) };
        ALL.into_iter().find(|category| word(*category) == text).map(Fact::Known).ok_or_else(|| {
            serde::de::Error::custom("a category is subscriber, identifying, traffic or content")
        })
    }
}

macro_rules! facts {
    ($(#[$sdoc:meta])* $struct:ident { $($(#[$own:meta])* pub $own_name:ident : $own_type:ty,)* }
     facts { $($(#[$doc:meta])* $name:ident : $type:ty,)* }) => {
        $(#[$sdoc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $struct {
            $($(#[$own])* pub $own_name: $own_type,)*
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Fact::is_unknown")]
                pub $name: Fact<$type>,
            )*
        }

        impl $struct {
            /// The names of the facts, as rules and clerks write them.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Makes one fact unknown again; false when there is no fact of that name.
            pub fn forget(&mut self, name: &str) -> bool {
                match name {
                    $(stringify!($name) => self.$name = Fact::Unknown,)*
                    _ => return false,
                }
                true
            }

            /// Everything unknown but what it cannot be without.
            const fn blank($($own_name: $own_type),*) -> Self {
                Self { $($own_name,)* $($name: Fact::Unknown,)* }
            }

            fn said(&self, out: &mut Vec<(&'static str, Value)>) {
                $(if let Fact::Known(value) = &self.$name { value.say(stringify!($name), out); })*
            }
        }
    };
}

facts! {
    /// One thing demanded, of one legal category, kept in one place under one key.
    ///
    /// A demand for "everything" is one item for each category; an item kept in two places is
    /// two items.
    Item {
        /// What the demand calls it: `content`, `address book`. At most 64 octets; no person's name.
        pub name: String,
        /// Its legal category.
        #[serde(default, with = "category", skip_serializing_if = "Fact::is_unknown")]
        pub category: Fact<DataCategory>,
    }
    facts {
        /// The State it is stored in.
        item_place: Place,
        /// Who can open it.
        item_keys: KeyHolder,
        /// Whether the addressed entity itself can retrieve it in readable form.
        retrievable: bool,
    }
}

facts! {
    /// What is known of a demand. Built from [`Facts::new`], in which everything is unknown.
    Facts {
        /// The cell the account lives in.
        pub cell: Place,
        /// When the demand was served, at the cell's own offset.
        pub served: Moment,
        /// The day whose law applies, when a later event (stay, repeal, ruling) calls for a new
        /// opinion; `None` for the day of service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub law_on: Option<Date>,
        /// What is demanded. At most 64 items.
        #[serde(default)]
        pub items: Vec<Item>,
    }
    facts {
        /// The State of the entity the demand is addressed to and served on.
        entity: Place,
        /// Whether that entity is the designated establishment or legal representative.
        designated: bool,
        /// The instrument.
        instrument: Instrument,
        /// The State whose authority issued it.
        issuing_state: Place,
        /// Who issued it.
        issuer: Role,
        /// Who validated it.
        validated_by: Role,
        /// The court that issued it.
        venue: Venue,
        /// Whether a court decision stands behind it.
        court_decision: bool,
        /// Whether a legal basis is cited.
        basis_cited: bool,
        /// Whether a case or file number is given.
        case_number: bool,
        /// Whether it is signed or sealed.
        signed: bool,
        /// Whether the sender was authenticated.
        authenticated: bool,
        /// How it arrived.
        channel: Channel,
        /// Whether its language is accepted.
        language_accepted: bool,
        /// The day it was issued.
        issued: Date,
        /// How many valid identifiers it names.
        identifiers: u32,
        /// Whether it gives a date range.
        period_given: bool,
        /// The maximum custodial sentence for the offence, in months.
        offence_max_months: u32,
        /// Whether the offence is one of those listed whatever the sentence.
        offence_listed: bool,
        /// Whether there are reasonable grounds that the offence was committed in the issuing State.
        offence_in_issuing_state: bool,
        /// The enforcing authority's part.
        enforcing_authority: EnforcingAuthority,
        /// Whether, and how, an emergency is claimed.
        emergency: Emergency,
        /// The duty of secrecy claimed.
        gag: NonDisclosure,
        /// Whether execution is stayed.
        stayed: bool,
        /// The State the person lives in, on the best evidence.
        residence: Place,
        /// Whether the person is a national or resident of the United States.
        us_person: bool,
        /// Whether future or live data are asked.
        real_time: bool,
        /// Whether credentials or keys are asked.
        credentials: bool,
        /// Whether it is broader than named accounts, categories and dates.
        overbroad: bool,
        /// Whether privilege, immunity or press freedom may be touched.
        privilege_suspected: bool,
    }
}

impl Item {
    /// An item of a category, of which nothing else is known.
    #[must_use]
    pub fn new(name: impl Into<String>, category: DataCategory) -> Self {
        Self::blank(name.into(), Fact::Known(category))
    }
}

impl Facts {
    /// Items a demand may have.
    pub const ITEMS_MAX: usize = 64;
    /// Octets an item's name may have.
    pub const ITEM_NAME_MAX: usize = 64;

    /// Facts of which only the cell and the moment of service are known.
    #[must_use]
    pub fn new(cell: Place, served: Moment) -> Self {
        Self::blank(cell, served, None, vec![])
    }

    /// The day whose law applies.
    #[must_use]
    pub fn law_date(&self) -> Date {
        self.law_on.unwrap_or_else(|| self.served.date())
    }

    /// What the rules are told about one item: the demand's known facts and the item's own.
    /// An unknown fact is absent, so that a rule that needs it fails.
    pub(crate) fn values(&self, item: &Item) -> Vec<(&'static str, Value)> {
        let mut out = vec![];
        self.cell.say("cell", &mut out);
        self.said(&mut out);
        item.said(&mut out);
        if let Fact::Known(category) = &item.category {
            category.say("category", &mut out);
        }
        if let Fact::Known(issued) = &self.issued
            && let Ok(span) = issued.until(self.served.date())
        {
            // Negative when the instrument is dated after its service.
            out.push(("age_days", Value::Long(i64::from(span.get_days()))));
        }
        out
    }
}
