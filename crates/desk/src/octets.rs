//! Identifiers, digests, octets, times and categories as JSON.
//!
//! Invariant: octets are lower-case hexadecimal, times seconds since 1970; one text for one
//! value.
//! Refs: specs/release-evidence.md §1.

use custody::hex;
pub(crate) use custody::octets::{Octets, deserialize, read, serialize};
use serde::{Deserializer, Serializer};

/// Octets that may be absent.
pub(crate) mod maybe {
    use super::{Deserializer, Octets, Serializer, hex, read};
    use serde::{Deserialize as _, Serialize as _};

    pub(crate) fn serialize<S: Serializer, T: Octets>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|value| hex::encode(value.octets())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Octets>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| read(&text)).transpose()
    }
}

/// Several values.
pub(crate) mod list {
    use super::{Deserializer, Octets, Serializer, hex, read};
    use serde::{Deserialize as _, Serialize as _};

    pub(crate) fn serialize<S: Serializer, T: Octets>(
        values: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(|value| hex::encode(value.octets())).collect();
        texts.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Octets>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        Vec::<String>::deserialize(from)?.iter().map(|text| read(text)).collect()
    }
}

/// Times.
pub(crate) mod time {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use vocab::Timestamp;

    pub(crate) fn serialize<S: Serializer>(value: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp)
    }
}

/// Legal categories, in the words packs use.
pub(crate) mod categories {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use vocab::DataCategory;

    const ALL: [DataCategory; 4] = [
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
        values: &[DataCategory],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let words: Vec<&str> = values.iter().map(|category| word(*category)).collect();
        words.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<DataCategory>, D::Error> {
        let read = |text: &String| {
            ALL.into_iter().find(|category| word(*category) == text).ok_or_else(|| {
                serde::de::Error::custom(
                    "a category is subscriber, identifying, traffic or content",
                )
            })
        };
        Vec::<String>::deserialize(from)?.iter().map(read).collect()
    }
}
