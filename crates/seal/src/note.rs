//! What an owner says of an unlocker: its name, and the networks it may be used from.
//!
//! Invariant: a note opens for the owner alone, under the root key; on disk every note is as
//! long as every other. The manifest lists it with its slot, so it cannot be exchanged.
//! Refs: specs/bw1.md §4.4.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::{fmt, str::FromStr};

use vocab::{AccountId, SlotId};
use zeroize::Zeroizing;

use crate::cwrap;
use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::root::RootKey;
use crate::wire::Reader;

/// Longest name, in octets of UTF-8.
pub const NAME_BYTES_MAX: usize = 63;
/// Most networks of one unlocker.
pub const NETWORKS_MAX: usize = 8;
const NETWORK_BYTES: usize = 17;
const PLAIN_BYTES: usize = 1 + NAME_BYTES_MAX + 1 + NETWORKS_MAX * NETWORK_BYTES;
/// Octets of a sealed note.
pub const NOTE_BOX_BYTES: usize = PLAIN_BYTES + cwrap::OVERHEAD;
/// How many leading bits of an IPv6 address say that it stands for one of IPv4.
const MAPPED_BITS: u8 = 96;

/// Why a note or a network is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name is too long or has a control character.
    #[error("a name has at most {NAME_BYTES_MAX} octets and no control character")]
    Name,
    /// Too many networks.
    #[error("an unlocker is limited to at most {NETWORKS_MAX} networks")]
    TooMany,
    /// Not a network.
    #[error("not a network such as 192.0.2.0/24 or 2001:db8::/32")]
    Network,
}

/// A range of addresses: those that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// As IPv6; an IPv4 network as IPv4-mapped addresses (RFC 4291 §2.5.5.2).
    first: [u8; 16],
    bits: u8,
}

impl Network {
    /// Whether `address` is in it; one of IPv4 that came over an IPv6 socket too.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        let differing = self.number() ^ u128::from_be_bytes(mapped(address));
        differing.leading_zeros() >= bits
    }

    fn number(&self) -> u128 {
        u128::from_be_bytes(self.first)
    }

    /// `None` if it says more bits than there are, or an address within a network for it.
    fn new(first: [u8; 16], bits: u8) -> Option<Self> {
        let network = Self { first, bits };
        let used = 128 - network.number().trailing_zeros().min(128);
        (bits <= 128 && used <= u32::from(bits)).then_some(network)
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

impl FromStr for Network {
    type Err = NoteError;

    /// `192.0.2.0/24`, `2001:db8::/32`, or one address.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>())),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoteError::Network)?;
        let (most, before) = if address.is_ipv4() { (32, MAPPED_BITS) } else { (128, 0) };
        let bits = bits.transpose().map_err(|_| NoteError::Network)?.unwrap_or(most);
        if bits > most {
            return Err(NoteError::Network);
        }
        Self::new(mapped(address), before.saturating_add(bits)).ok_or(NoteError::Network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from(self.first);
        match (first.to_ipv4_mapped(), self.bits.checked_sub(MAPPED_BITS)) {
            (Some(first), Some(bits)) => {
                write!(f, "{}/{bits}", Ipv4Addr::from_octets(first.octets()))
            }
            _ => write!(f, "{first}/{}", self.bits),
        }
    }
}

/// What an owner says of an unlocker. Not printed: only its owner is to read it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Note {
    name: String,
    networks: Vec<Network>,
}

impl Note {
    /// A note. No network means any.
    ///
    /// # Errors
    /// [`NoteError::Name`], [`NoteError::TooMany`].
    pub fn new(name: &str, networks: &[Network]) -> Result<Self, NoteError> {
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(NoteError::Name);
        }
        if networks.len() > NETWORKS_MAX {
            return Err(NoteError::TooMany);
        }
        Ok(Self { name: name.to_owned(), networks: networks.to_vec() })
    }

    /// What its owner calls it; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From where it may be used; none if from anywhere.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Whether it may be used from there; where a network is named, nowhere is not in it.
    #[must_use]
    pub fn admits(&self, from: Option<IpAddr>) -> bool {
        let within = |from| self.networks.iter().any(|network| network.contains(from));
        self.networks.is_empty() || from.is_some_and(within)
    }

    /// u8 octets ‖ name, zeros ‖ u8 count ‖ networks, zeros.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN_BYTES));
        // INVARIANT: `new` limits both counts.
        plain.push(u8::try_from(self.name.len()).unwrap_or_default());
        plain.extend_from_slice(self.name.as_bytes());
        plain.resize(1 + NAME_BYTES_MAX, 0);
        plain.push(u8::try_from(self.networks.len()).unwrap_or_default());
        for network in &self.networks {
            plain.extend_from_slice(&network.first);
            plain.push(network.bits);
        }
        plain.resize(PLAIN_BYTES, 0);
        plain
    }

    fn decode(plain: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(plain);
        let length = usize::from(reader.u8()?);
        let (name, zeros) =
            reader.bytes(NAME_BYTES_MAX)?.split_at_checked(length).ok_or(OpenError::Malformed)?;
        let name = core::str::from_utf8(name).map_err(|_| OpenError::Malformed)?;
        let mut networks = Vec::new();
        let count = usize::from(reader.u8()?);
        for place in 0..NETWORKS_MAX {
            let (first, bits) = (reader.array()?, reader.u8()?);
            if place < count {
                networks.push(Network::new(first, bits).ok_or(OpenError::Malformed)?);
            } else if (first, bits) != ([0; 16], 0) {
                return Err(OpenError::Malformed);
            }
        }
        reader.end()?;
        if count > NETWORKS_MAX || zeros.iter().any(|octet| *octet != 0) {
            return Err(OpenError::Malformed);
        }
        Self::new(name, &networks).map_err(|_| OpenError::Malformed)
    }

    pub(crate) fn seal(
        &self,
        root: &RootKey,
        account: AccountId,
        slot: SlotId,
        entropy: &dyn Entropy,
    ) -> Result<[u8; NOTE_BOX_BYTES], SealError> {
        let context: [&[u8]; 2] = [&account.0, &slot.0];
        cwrap::wrap(root.secret(), "note", &context, &self.encode(), entropy)?
            .try_into()
            .map_err(|_| SealError::Cipher)
    }

    pub(crate) fn open(
        root: &RootKey,
        account: AccountId,
        slot: SlotId,
        sealed: &[u8; NOTE_BOX_BYTES],
    ) -> Result<Self, OpenError> {
        let context: [&[u8]; 2] = [&account.0, &slot.0];
        Self::decode(&cwrap::unwrap(root.secret(), "note", &context, sealed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (text, within, without) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "::192.0.2.9"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "198.51.100.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "not an address"),
        ] {
            let network = network(text);
            assert!(network.contains(within.parse().unwrap()), "{within} in {text}");
            let outside = without.parse().is_ok_and(|address| network.contains(address));
            assert!(!outside, "{without} not in {text}");
        }
        for text in ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32", "::/0", "0.0.0.0/0"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/24",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.1/24",
            "192.0.2/24",
            "::/129",
            "2001:db8::1/32",
            "192.0.2.0/-1",
            "192.0.2.0/+24 ",
            "host.example",
        ] {
            assert_eq!(text.parse::<Network>().err(), Some(NoteError::Network), "{text}");
        }
    }

    #[test]
    fn a_note_is_read_back_and_a_malformed_one_is_not() {
        let networks = [network("192.0.2.0/24"), network("2001:db8::/32")];
        let long = "n".repeat(NAME_BYTES_MAX);
        for name in ["", "phone", "Телефон", &long] {
            for count in 0..=2 {
                let note = Note::new(name, &networks[..count]).unwrap();
                let plain = note.encode();
                assert_eq!(plain.len(), PLAIN_BYTES);
                assert!(Note::decode(&plain).is_ok_and(|read| read == note));
            }
        }
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(Note::new(&long, &[]).err(), Some(NoteError::Name));
        assert_eq!(Note::new("a\nb", &[]).err(), Some(NoteError::Name));
        assert_eq!(Note::new("", &[networks[0]; 9]).err(), Some(NoteError::TooMany));
        let plain = Note::new("phone", &networks).unwrap().encode();
        for (place, octet) in [(0, 200), (7, 1), (64, 9), (64, 1), (81, 129), (80, 1), (1, 0xff)] {
            let mut altered = plain.to_vec();
            altered[place] = octet;
            assert!(Note::decode(&altered).is_err(), "{place}");
        }
    }

    #[test]
    fn a_limit_to_networks_holds_where_the_source_is_not_known() {
        let note = Note::new("", &[network("192.0.2.0/24")]).unwrap();
        assert!(note.admits(Some("192.0.2.1".parse().unwrap())));
        assert!(!note.admits(Some("198.51.100.1".parse().unwrap())) && !note.admits(None));
        assert!(Note::default().admits(None));
    }
}
