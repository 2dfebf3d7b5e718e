//! SPF records: which hosts a domain says may send for it, as it wrote that down.
//!
//! The grammar alone; the questions to DNS and the verdict are `mail::spf`'s.
//!
//! Invariant: a [`Record`] that exists is well formed as a whole, also where an earlier term
//! would have decided; at most one `redirect`.
//! Refs: RFC 7208 §3.1, §4.5, §4.6.1, §5, §6, §12.

mod template;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use template::{Client, Template};

/// Octets of a record that are read. RFC 7208 §3.4 wants answers that fit in 512.
pub const RECORD_OCTETS_MAX: usize = 16 << 10;

/// The record is not one of RFC 7208: `permerror`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an SPF record")]
pub struct SpfSyntaxError;

/// What a directive that matches says of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// `+`, or nothing.
    Pass,
    /// `-`.
    Fail,
    /// `~`.
    SoftFail,
    /// `?`.
    Neutral,
}

/// An address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address, or any other.
    pub address: IpAddr,
    /// At most 32 for IPv4 and 128 for IPv6.
    pub bits: u8,
}

impl Network {
    /// Whether the address is in it; one of the other family never is.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differing = match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => u128::from(own.to_bits() ^ ip.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(ip)) => own.to_bits() ^ ip.to_bits(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differing.leading_zeros() >= u32::from(self.bits)
    }
}

/// How many leading bits must agree with an address that DNS gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// For IPv4, at most 32.
    pub four: u8,
    /// For IPv6, at most 128.
    pub six: u8,
}

impl Prefix {
    /// The network of this size around an address.
    #[must_use]
    pub fn around(&self, address: IpAddr) -> Network {
        let bits = if address.is_ipv4() { self.four } else { self.six };
        Network { address, bits }
    }
}

/// What a host is compared with (RFC 7208 §5). Without a template the name is the domain the
/// record was found at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// Every host.
    All,
    /// The hosts another record passes.
    Include(Template),
    /// The addresses of a name.
    A(Option<Template>, Prefix),
    /// The addresses of a name's mail exchangers.
    Mx(Option<Template>, Prefix),
    /// Hosts whose proven name is this, or below it.
    Ptr(Option<Template>),
    /// A network.
    Ip(Network),
    /// Every host, if the name has an IPv4 address.
    Exists(Template),
}

/// A mechanism and what its match says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What is said.
    pub qualifier: Qualifier,
    /// Of whom.
    pub mechanism: Mechanism,
}

/// One domain's record. Explanations (`exp`) are checked and not kept: nobody is told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In the order they are tried.
    pub directives: Vec<Directive>,
    /// Whose record goes on where no directive matched.
    pub redirect: Option<Template>,
}

/// Whether a TXT record is meant as an SPF record: exactly this version, in any case.
#[must_use]
pub fn is_record(text: &[u8]) -> bool {
    let version = text.split(|octet| *octet == b' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1")
}

impl Record {
    /// Reads a record of which [`is_record`] holds.
    ///
    /// # Errors
    /// [`SpfSyntaxError`] if any term is malformed or unknown, if `redirect` or `exp` comes twice,
    /// or if it has more than [`RECORD_OCTETS_MAX`] octets.
    pub fn parse(text: &[u8]) -> Result<Self, SpfSyntaxError> {
        if text.len() > RECORD_OCTETS_MAX || !is_record(text) {
            return Err(SpfSyntaxError);
        }
        // §3.1: US-ASCII; all but the space is visible. A control character separates nothing.
        let text = str::from_utf8(text).map_err(|_| SpfSyntaxError)?;
        if !text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic()) {
            return Err(SpfSyntaxError);
        }
        let mut record = Self { directives: Vec::new(), redirect: None };
        let mut has_exp = false;
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some((name, value)) if name.eq_ignore_ascii_case("redirect") => {
                    let target = Template::domain(value)?;
                    if record.redirect.replace(target).is_some() {
                        return Err(SpfSyntaxError);
                    }
                }
                Some((name, value)) if name.eq_ignore_ascii_case("exp") => {
                    Template::domain(value)?;
                    if core::mem::replace(&mut has_exp, true) {
                        return Err(SpfSyntaxError);
                    }
                }
                // §6: unknown modifiers are ignored, if they are well formed.
                Some((_, value)) => Template::check_text(value)?,
                None => record.directives.push(directive(term)?),
            }
        }
        Ok(record)
    }
}

/// §4.6.1: a name, then `=`, before any `:` or `/`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && name.chars().all(in_name)).then_some((name, value))
}

fn directive(term: &str) -> Result<Directive, SpfSyntaxError> {
    let signs = [
        ('+', Qualifier::Pass),
        ('-', Qualifier::Fail),
        ('~', Qualifier::SoftFail),
        ('?', Qualifier::Neutral),
    ];
    let signed = signs.iter().find_map(|(sign, said)| Some((*said, term.strip_prefix(*sign)?)));
    let (qualifier, rest) = signed.unwrap_or((Qualifier::Pass, term));
    Ok(Directive { qualifier, mechanism: mechanism(rest)? })
}

fn mechanism(text: &str) -> Result<Mechanism, SpfSyntaxError> {
    let (name, rest) = text.split_at(text.find([':', '/']).unwrap_or(text.len()));
    // Only `a` and `mx` may go on with a prefix and without a domain.
    let target = rest.strip_prefix(':');
    Ok(match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(Template::domain(target.ok_or(SpfSyntaxError)?)?),
        "exists" => Mechanism::Exists(Template::domain(target.ok_or(SpfSyntaxError)?)?),
        "ptr" if rest.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(Template::domain(target.ok_or(SpfSyntaxError)?)?)),
        "a" => {
            let (target, prefix) = target_and_prefix(rest)?;
            Mechanism::A(target, prefix)
        }
        "mx" => {
            let (target, prefix) = target_and_prefix(rest)?;
            Mechanism::Mx(target, prefix)
        }
        "ip4" => Mechanism::Ip(network::<Ipv4Addr>(target, 32)?),
        "ip6" => Mechanism::Ip(network::<Ipv6Addr>(target, 128)?),
        _ => return Err(SpfSyntaxError),
    })
}

/// §5.6. Addresses are in their usual forms: nothing omitted, no leading zeros.
fn network<A>(text: Option<&str>, bits_max: u8) -> Result<Network, SpfSyntaxError>
where
    A: core::str::FromStr + Into<IpAddr>,
{
    let text = text.ok_or(SpfSyntaxError)?;
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, length(bits, bits_max)?),
        None => (text, bits_max),
    };
    let address: A = address.parse().map_err(|_| SpfSyntaxError)?;
    Ok(Network { address: address.into(), bits })
}

/// §5.3: `[ ":" domain-spec ] [ "/" ip4-length ] [ "//" ip6-length ]`. A domain may have slashes
/// of its own, so the lengths are taken from the end.
fn target_and_prefix(rest: &str) -> Result<(Option<Template>, Prefix), SpfSyntaxError> {
    let (rest, six) = without_length(rest, "//", 128)?;
    let (rest, four) = without_length(rest, "/", 32)?;
    let target = match rest.strip_prefix(':') {
        Some(domain) => Some(Template::domain(domain)?),
        None if rest.is_empty() => None,
        None => return Err(SpfSyntaxError),
    };
    Ok((target, Prefix { four: four.unwrap_or(32), six: six.unwrap_or(128) }))
}

fn without_length<'a>(
    text: &'a str,
    mark: &str,
    bits_max: u8,
) -> Result<(&'a str, Option<u8>), SpfSyntaxError> {
    let before = text.trim_end_matches(|c: char| c.is_ascii_digit());
    match (before.strip_suffix(mark), text.strip_prefix(before)) {
        (Some(shorter), Some(digits)) => Ok((shorter, Some(length(digits, bits_max)?))),
        _ => Ok((text, None)),
    }
}

/// §5.6: digits without leading zeros.
fn length(digits: &str, bits_max: u8) -> Result<u8, SpfSyntaxError> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
    let bits: u8 = digits.parse().map_err(|_| SpfSyntaxError)?;
    let written_well = plain && (digits == "0" || !digits.starts_with('0'));
    if written_well && bits <= bits_max { Ok(bits) } else { Err(SpfSyntaxError) }
}

#[cfg(test)]
mod tests;
