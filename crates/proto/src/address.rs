//! Mail addresses as SMTP writes them, internationalised ones included.
//!
//! Invariant: an [`Address`] that exists is valid: local part at most 64 octets, domain at
//! most 255, whole at most 254; no control characters. `Debug` never shows a local part.
//! Refs: RFC 5321 §4.1.2, §4.1.3, §4.5.3.1; RFC 6531 §3.3; RFC 5891; RFC 5233.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

/// Octets in a local part (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL_PART_OCTETS: usize = 64;
/// Octets in a domain (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN_OCTETS: usize = 255;
/// Octets in an address: a path of 256 less its brackets (RFC 5321 §4.5.3.1.3).
pub const MAX_ADDRESS_OCTETS: usize = 254;

/// Why text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than RFC 5321 §4.5.3.1 allows.
    #[error("address part too long")]
    TooLong,
    /// No `@`.
    #[error("address without a domain")]
    NoDomain,
    /// The part before the `@` is empty or has characters it may not have.
    #[error("malformed local part")]
    LocalPart,
    /// The part after the `@` is no domain name and no address literal.
    #[error("malformed domain")]
    Domain,
    /// A path without its angle brackets, or with something after them.
    #[error("malformed path")]
    Path,
}

/// The part before the `@`: who, at the domain. Held without quoting.
///
/// Case and spelling are kept; two local parts are equal only if their octets are. To look
/// an account up use [`Address::lookup_key`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// From the plain content, such as `alice` or `odd name` (which prints quoted).
    ///
    /// # Errors
    /// If it is empty, too long, or holds a control character.
    pub fn new(content: &str) -> Result<Self, AddressError> {
        // RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP reach every printable ASCII
        // character; RFC 6531 §3.3 adds non-ASCII ones.
        if content.is_empty() || content.chars().any(char::is_control) {
            return Err(AddressError::LocalPart);
        }
        let local = Self(content.into());
        // The limit counts what goes over the wire, quoting included.
        if local.to_string().len() > MAX_LOCAL_PART_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(local)
    }

    /// The content without quoting.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits `alice+lists` at the first separator into `alice` and `lists` (RFC 5233 §4).
    /// A separator that begins the local part separates nothing.
    #[must_use]
    pub fn subaddress(&self, separator: char) -> (&str, Option<&str>) {
        match self.0.split_once(separator) {
            Some((user, detail)) if !user.is_empty() => (user, Some(detail)),
            _ => (&self.0, None),
        }
    }
}

/// RFC 5321 §4.1.2 `Atom`, with RFC 6531 §3.3 `UTF8-non-ascii`.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalPart(..)")
    }
}

/// The part after the `@`. Equal if the same in DNS: case and U-label or A-label spelling
/// do not matter.
#[derive(Clone)]
pub struct Domain {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// In A-labels, lower case.
    Name(Box<str>),
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
    /// RFC 5321 §4.1.3 `General-address-literal`, in lower case.
    General(Box<str>),
}

impl Domain {
    /// Reads a domain name or an address literal in square brackets.
    ///
    /// # Errors
    /// If it is neither, or too long.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_DOMAIN_OCTETS {
            return Err(AddressError::TooLong);
        }
        let kind = match text.strip_prefix('[') {
            Some(rest) => literal(rest.strip_suffix(']').ok_or(AddressError::Domain)?)?,
            None => Kind::Name(ascii_name(text)?),
        };
        Ok(Self { text: text.into(), kind })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As DNS knows it: A-labels in lower case; a literal in its brackets.
    #[must_use]
    pub fn to_ascii(&self) -> String {
        match &self.kind {
            Kind::Name(name) => name.to_string(),
            Kind::Ip4(ip) => format!("[{ip}]"),
            Kind::Ip6(ip) => format!("[ipv6:{ip}]"),
            Kind::General(content) => format!("[{content}]"),
        }
    }

    /// The name to ask DNS for, in A-labels and lower case; none for a literal.
    #[must_use]
    pub fn dns_name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            Kind::Ip4(_) | Kind::Ip6(_) | Kind::General(_) => None,
        }
    }

    /// The host an address literal names.
    #[must_use]
    pub fn ip(&self) -> Option<core::net::IpAddr> {
        match &self.kind {
            Kind::Ip4(ip) => Some((*ip).into()),
            Kind::Ip6(ip) => Some((*ip).into()),
            Kind::Name(_) | Kind::General(_) => None,
        }
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Domain {}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.text)
    }
}

/// RFC 5321 §4.1.3, without the brackets.
fn literal(content: &str) -> Result<Kind, AddressError> {
    if let Ok(ip) = content.parse::<Ipv4Addr>() {
        return Ok(Kind::Ip4(ip));
    }
    let (tag, value) = content.split_once(':').ok_or(AddressError::Domain)?;
    if tag.eq_ignore_ascii_case("ipv6") {
        return value.parse().map(Kind::Ip6).map_err(|_| AddressError::Domain);
    }
    let tag_ends_well = tag.ends_with(|c: char| c.is_ascii_alphanumeric());
    let tag_ok = tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && tag_ends_well;
    let value_ok = value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '[' | '\\' | ']'));
    if !tag_ok || !value_ok || value.is_empty() {
        return Err(AddressError::Domain);
    }
    Ok(Kind::General(content.to_ascii_lowercase().into()))
}

/// RFC 5321 §2.3.5, RFC 5891: a name in A-labels and lower case.
fn ascii_name(text: &str) -> Result<Box<str>, AddressError> {
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain)?
    };
    if ascii.len() > MAX_DOMAIN_OCTETS || !ascii.split('.').all(is_ldh_label) {
        return Err(AddressError::Domain);
    }
    // Four numbers are an IP address that lacks its brackets, never a name.
    if ascii.parse::<Ipv4Addr>().is_ok() {
        return Err(AddressError::Domain);
    }
    Ok(ascii.into())
}

/// RFC 5321 §4.1.2 `sub-domain`; the underscore is not in the grammar, and real hosts use it.
fn is_ldh_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// An address: RFC 5321 §4.1.2 `Mailbox`, RFC 6531 `uMailbox`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Who.
    pub local: LocalPart,
    /// Where.
    pub domain: Domain,
}

impl Address {
    /// Reads `local@domain`; the local part may be quoted.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, rest) = split_local(text)?;
        let address = Self { local, domain: Domain::parse(rest)? };
        // A-labels can be longer than what was typed, and they are what goes over the wire.
        if text.len().max(address.to_wire().len()) > MAX_ADDRESS_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }

    /// Under what an account is looked up: Unicode NFC, lower case, the domain in A-labels.
    /// Two addresses that people take for one have one key.
    #[must_use]
    pub fn lookup_key(&self) -> String {
        let local: String = self.local.as_str().nfc().collect::<String>().to_lowercase();
        format!("{}@{}", local.nfc().collect::<String>(), self.domain.to_ascii())
    }

    /// The address without the detail that `separator` sets apart, if it has any.
    #[must_use]
    pub fn without_detail(&self, separator: char) -> Option<Self> {
        let (user, detail) = self.local.subaddress(separator);
        detail?;
        Some(Self { local: LocalPart::new(user).ok()?, domain: self.domain.clone() })
    }

    /// Whether a server without SMTPUTF8 can take it, given [`Self::to_wire`]: the local
    /// part is ASCII (a domain can always be written in A-labels).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.as_str().is_ascii()
    }

    /// As sent to a server: the domain in A-labels unless the local part needs SMTPUTF8.
    #[must_use]
    pub fn to_wire(&self) -> String {
        if self.is_ascii() && !self.domain.as_str().is_ascii() {
            format!("{}@{}", self.local, self.domain.to_ascii())
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(..@{})", self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// The local part, and what follows its `@`.
fn split_local(text: &str) -> Result<(LocalPart, &str), AddressError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (local, rest) = text.split_once('@').ok_or(AddressError::NoDomain)?;
        if !is_dot_string(local) {
            return Err(AddressError::LocalPart);
        }
        return Ok((LocalPart::new(local)?, rest));
    };
    let mut content = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(AddressError::LocalPart)? {
            '"' => break,
            '\\' => {
                content.push(chars.next().filter(char::is_ascii).ok_or(AddressError::LocalPart)?)
            }
            c => content.push(c),
        }
    }
    let rest = chars.as_str().strip_prefix('@').ok_or(AddressError::NoDomain)?;
    Ok((LocalPart::new(&content)?, rest))
}

/// RFC 5321 §4.1.2 `Reverse-path`: an address in angle brackets, or nothing between them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// `<>`: a notice that must never be answered by another.
    Null,
    /// `<local@domain>`.
    Address(Address),
}

impl Path {
    /// Reads `<>` or `<local@domain>`. A source route before the address is dropped.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (path, rest) = Self::take(text)?;
        if rest.is_empty() { Ok(path) } else { Err(AddressError::Path) }
    }

    /// Reads a path at the start of `text`; also gives what follows it.
    pub(crate) fn take(text: &str) -> Result<(Self, &str), AddressError> {
        let (content, rest) = take_bracketed(text)?;
        if content.is_empty() {
            return Ok((Self::Null, rest));
        }
        Ok((Self::Address(Address::parse(without_route(content)?)?), rest))
    }

    /// The address, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// With brackets, as sent to a server; see [`Address::to_wire`].
    #[must_use]
    pub fn to_wire(&self) -> String {
        self.address().map_or_else(|| "<>".to_owned(), |address| format!("<{}>", address.to_wire()))
    }
}

/// What stands between `<` and its `>`, and what follows. Quoting hides a `>`.
pub(crate) fn take_bracketed(text: &str) -> Result<(&str, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Path)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (content, rest) = inner.split_at_checked(at).ok_or(AddressError::Path)?;
                return Ok((content, rest.strip_prefix('>').unwrap_or(rest)));
            }
            _ => {}
        }
    }
    Err(AddressError::Path)
}

/// RFC 5321 §4.1.1.3, appendix C: `@a,@b:user@c` is accepted, and the route is ignored.
fn without_route(content: &str) -> Result<&str, AddressError> {
    if !content.starts_with('@') {
        return Ok(content);
    }
    let (route, address) = content.split_once(':').ok_or(AddressError::Path)?;
    for hop in route.split(',') {
        Domain::parse(hop.strip_prefix('@').ok_or(AddressError::Path)?)?;
    }
    Ok(address)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Path(<>)"),
            Self::Address(address) => write!(f, "Path({address:?})"),
        }
    }
}
