//! Text with macros, which becomes the name that DNS is asked.
//!
//! Invariant: what it becomes is a name that DNS can have, or nothing.
//! Refs: RFC 7208 §7; RFC 8616 §4; RFC 3986 §2.3.

use core::net::IpAddr;

use super::SpfSyntaxError;

/// Octets of a name, without its final dot (RFC 7208 §7.3).
const NAME_OCTETS_MAX: usize = 253;
/// Octets of one label (RFC 1035 §2.3.4).
const LABEL_OCTETS_MAX: usize = 63;
/// RFC 7208 §7.1 `delimiter`.
const DELIMITERS: &str = ".-+,/_=";

/// Whose mail is judged: what macros stand for. Domains are in A-labels.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Where it connects from; never an IPv4 address mapped into IPv6.
    pub ip: IpAddr,
    /// What it called itself.
    pub hello: &'a str,
    /// Its sender's local part; `postmaster` if it has none.
    pub local_part: &'a str,
    /// Its sender's domain.
    pub domain: &'a str,
}

/// A `domain-spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Macro {
    letter: u8,
    is_escaped: bool,
    /// How many parts from the right are kept.
    parts: usize,
    is_reversed: bool,
    delimiters: String,
}

impl Template {
    /// Reads a `domain-spec` (§7.1).
    pub(super) fn domain(text: &str) -> Result<Self, SpfSyntaxError> {
        let pieces = pieces(text)?;
        let ends_well = match pieces.last() {
            Some(Piece::Text(tail)) => ends_in_toplabel(tail),
            Some(Piece::Macro(_)) => true,
            None => false,
        };
        // §7.2: `c`, `r` and `t` are for explanations.
        let told = |piece: &Piece| matches!(piece, Piece::Macro(it) if b"crt".contains(&it.letter));
        if ends_well && !pieces.iter().any(told) { Ok(Self(pieces)) } else { Err(SpfSyntaxError) }
    }

    /// Judges a `macro-string` that nobody will expand.
    pub(super) fn check_text(text: &str) -> Result<(), SpfSyntaxError> {
        pieces(text).map(|_| ())
    }

    /// Whether the client's proven name is part of it (`%{p}`), which costs questions.
    #[must_use]
    pub fn needs_proven_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(Macro { letter: b'p', .. })))
    }

    /// The name to ask for, in lower case and without a final dot; `None` if DNS cannot have it.
    /// `domain` is whose record this is; `proven` is the client's proven name.
    #[must_use]
    pub fn expand(&self, client: &Client<'_>, domain: &str, proven: &str) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Macro(it) => {
                    let value = it.value(client, domain, proven);
                    // RFC 8616 §4: a local part beyond ASCII makes a name that matches nothing.
                    if !value.is_ascii() {
                        return None;
                    }
                    it.expand(&value, &mut out);
                }
            }
        }
        out.make_ascii_lowercase();
        name(&out)
    }
}

/// A name that DNS can have, cut from the left to its length (§7.3).
fn name(text: &str) -> Option<String> {
    let mut name = text.strip_suffix('.').unwrap_or(text);
    while name.len() > NAME_OCTETS_MAX {
        (_, name) = name.split_once('.')?;
    }
    let fits = |label: &str| (1..=LABEL_OCTETS_MAX).contains(&label.len());
    name.split('.').all(fits).then(|| name.to_owned())
}

fn pieces(text: &str) -> Result<Vec<Piece>, SpfSyntaxError> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let (kind, after) = after.split_at_checked(1).ok_or(SpfSyntaxError)?;
        rest = after;
        match kind {
            "%" => plain.push('%'),
            "_" => plain.push(' '),
            "-" => plain.push_str("%20"),
            "{" => {
                let (inner, after) = after.split_once('}').ok_or(SpfSyntaxError)?;
                rest = after;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(core::mem::take(&mut plain)));
                }
                pieces.push(Piece::Macro(Macro::parse(inner)?));
            }
            _ => return Err(SpfSyntaxError),
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// §7.1: `"." toplabel [ "." ]`.
fn ends_in_toplabel(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, label)) = text.rsplit_once('.') else { return false };
    let within = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let begins = label.starts_with(|c: char| c.is_ascii_alphanumeric());
    let ends = label.ends_with(|c: char| c.is_ascii_alphanumeric());
    let is_number = label.chars().all(|c| c.is_ascii_digit());
    begins && ends && label.chars().all(within) && !is_number
}

impl Macro {
    /// §7.1: letter, digits, `r`, delimiters.
    fn parse(text: &str) -> Result<Self, SpfSyntaxError> {
        let letter = *text.as_bytes().first().ok_or(SpfSyntaxError)?;
        let rest = text.split_at_checked(1).ok_or(SpfSyntaxError)?.1;
        let delimiters = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.strip_suffix(delimiters).unwrap_or_default();
        let parts = match digits {
            "" => usize::MAX,
            // More digits than a number holds are more parts than there are.
            _ => digits.parse().unwrap_or(usize::MAX),
        };
        let unreversed = delimiters.strip_prefix(['r', 'R']);
        let lower = letter.to_ascii_lowercase();
        let delimiters = unreversed.unwrap_or(delimiters);
        let known = b"slodiphcrtv".contains(&lower);
        if !known || parts == 0 || !delimiters.chars().all(|c| DELIMITERS.contains(c)) {
            return Err(SpfSyntaxError);
        }
        Ok(Self {
            letter: lower,
            is_escaped: letter.is_ascii_uppercase(),
            parts,
            is_reversed: unreversed.is_some(),
            delimiters: if delimiters.is_empty() { ".".to_owned() } else { delimiters.to_owned() },
        })
    }

    /// §7.2.
    fn value(&self, client: &Client<'_>, domain: &str, proven: &str) -> String {
        match self.letter {
            b's' => format!("{}@{}", client.local_part, client.domain),
            b'l' => client.local_part.to_owned(),
            b'o' => client.domain.to_owned(),
            b'd' => domain.to_owned(),
            b'i' => dotted(client.ip),
            b'p' => proven.to_owned(),
            b'v' if client.ip.is_ipv4() => "in-addr".to_owned(),
            b'v' => "ip6".to_owned(),
            b'h' => client.hello.to_owned(),
            // Explanations' letters are in no template.
            _ => String::new(),
        }
    }

    /// §7.3.
    fn expand(&self, value: &str, out: &mut String) {
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.is_reversed {
            parts.reverse();
        }
        let dropped = parts.len().saturating_sub(self.parts);
        let kept: Vec<&str> = parts.into_iter().skip(dropped).collect();
        let joined = kept.join(".");
        if !self.is_escaped {
            return out.push_str(&joined);
        }
        for octet in joined.bytes() {
            // RFC 3986 §2.3 `unreserved`.
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                out.push(char::from(octet));
            } else {
                out.push_str(&format!("%{octet:02X}"));
            }
        }
    }
}

/// §7.2: IPv4 as usual; IPv6 as 32 digits with dots between.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => {
            let digits = format!("{:032x}", six.to_bits());
            digits.chars().map(String::from).collect::<Vec<_>>().join(".")
        }
    }
}
