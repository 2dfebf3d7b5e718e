//! Identifiers, digests and octets as CBOR byte strings and as hexadecimal JSON text.
//!
//! Invariant: a value has one encoding in each; another length is an error.
//! Refs: specs/release-evidence.md §1; RFC 8949 §3.1.

use crate::hex;
use minicbor::{Decoder, Encoder};
use serde::{Deserialize as _, Deserializer, Serializer};
use vocab::{AccountId, CaseId, CellId, Digest, HolderId, PersonId};

/// A value that is its octets.
pub trait Octets: Sized {
    /// The octets.
    fn octets(&self) -> &[u8];
    /// The value of these octets; `None` if there are too many or too few.
    fn from_octets(octets: &[u8]) -> Option<Self>;
}

macro_rules! octets {
    ($($name:ident)*) => {$(
        impl Octets for $name {
            fn octets(&self) -> &[u8] {
                &self.0
            }
            fn from_octets(octets: &[u8]) -> Option<Self> {
                octets.try_into().ok().map(Self)
            }
        }
    )*};
}

octets! { AccountId CaseId CellId Digest HolderId PersonId }

impl<const N: usize> Octets for [u8; N] {
    fn octets(&self) -> &[u8] {
        self
    }
    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok()
    }
}

impl Octets for Vec<u8> {
    fn octets(&self) -> &[u8] {
        self
    }
    fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(octets.to_vec())
    }
}

pub(crate) fn encode<C, W: minicbor::encode::Write, T: Octets>(
    value: &T,
    encoder: &mut Encoder<W>,
    _context: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    encoder.bytes(value.octets())?.ok()
}

pub(crate) fn decode<'b, C, T: Octets>(
    decoder: &mut Decoder<'b>,
    _context: &mut C,
) -> Result<T, minicbor::decode::Error> {
    T::from_octets(decoder.bytes()?)
        .ok_or_else(|| minicbor::decode::Error::message("another length"))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// The serialiser's.
pub fn serialize<S: Serializer, T: Octets>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(value.octets()))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// The deserialiser's, and what [`read`] refuses.
pub fn deserialize<'de, D: Deserializer<'de>, T: Octets>(deserializer: D) -> Result<T, D::Error> {
    read(&String::deserialize(deserializer)?)
}

/// The value of a hexadecimal text.
///
/// # Errors
/// For upper case, another character, or another number of digits than the value has.
pub fn read<T: Octets, E: serde::de::Error>(text: &str) -> Result<T, E> {
    hex::decode(text)
        .and_then(|octets| T::from_octets(&octets))
        .ok_or_else(|| E::custom("not the expected number of lower-case hex digits"))
}

/// Times that may be absent, as JSON numbers or null; for `#[serde(with)]`.
pub mod maybe_time {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use vocab::Timestamp;

    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(value: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|at| at.0).serialize(to)
    }

    /// # Errors
    /// The deserialiser's.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::deserialize(from)?.map(Timestamp))
    }
}

/// Times as CBOR and JSON numbers.
pub(crate) mod time {
    use minicbor::{Decoder, Encoder};
    use serde::{Deserialize as _, Deserializer, Serializer};
    use vocab::Timestamp;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        value: &Timestamp,
        encoder: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.u64(value.0)?.ok()
    }

    pub(crate) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _context: &mut C,
    ) -> Result<Timestamp, minicbor::decode::Error> {
        decoder.u64().map(Timestamp)
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp)
    }
}
