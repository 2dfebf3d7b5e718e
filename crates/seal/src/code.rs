//! App passwords, recovery codes and tokens: generated secrets that people read, copy and type.
//!
//! Invariant: reading is tolerant of case, spaces, hyphens and the letters O, I and L, and of
//! nothing else; the check symbols catch a slip before any key is derived.
//! Refs: specs/bw1.md §4.3; Crockford, Base 32.

use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::mac::sha256;
use crate::slot::SlotKind;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Longest text that is looked at.
const TEXT_BYTES_MAX: usize = 256;

/// What a code is for: how many symbols, and how many of them check the others.
const fn shape(kind: SlotKind) -> Option<(usize, usize)> {
    match kind {
        SlotKind::Password | SlotKind::Opaque | SlotKind::Passkey | SlotKind::Device => None,
        SlotKind::AppPassword => Some((26, 2)),
        SlotKind::Recovery => Some((32, 4)),
        SlotKind::Token => Some((52, 4)),
    }
}

/// The check symbols of `symbols`: ten or twenty bits of a hash.
fn check(kind: SlotKind, symbols: &[u8], count: usize) -> impl Iterator<Item = u8> {
    let hash = sha256(&[b"bailiwick.v1 check\0", &[kind as u8], symbols]);
    hash.0.into_iter().take(count).map(symbol)
}

fn symbol(octet: u8) -> u8 {
    ALPHABET.get(usize::from(octet & 31)).copied().unwrap_or(b'0')
}

fn generate(kind: SlotKind, entropy: &dyn Entropy) -> Zeroizing<String> {
    let (count, checks) = shape(kind).unwrap_or_default();
    let mut octets = Zeroizing::new(vec![0; count]);
    entropy.fill(&mut octets);
    octets.iter_mut().for_each(|octet| *octet = symbol(*octet));
    let checks = check(kind, &octets, checks);
    let mut text = Zeroizing::new(String::with_capacity(2 * count));
    for (place, octet) in octets.iter().copied().chain(checks).enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(octet));
    }
    text
}

/// A new app password: 130 bits as 26 symbols and two that check them, in seven groups.
#[must_use]
pub fn app_password(entropy: &dyn Entropy) -> Zeroizing<String> {
    generate(SlotKind::AppPassword, entropy)
}

/// A new recovery code: 160 bits as 32 symbols and four that check them, in nine groups.
#[must_use]
pub fn recovery_code(entropy: &dyn Entropy) -> Zeroizing<String> {
    generate(SlotKind::Recovery, entropy)
}

/// A new token: 260 bits as 52 symbols and four that check them, in fourteen groups. Every
/// character of it may stand in a bearer token (RFC 6750 §2.1).
#[must_use]
pub fn token(entropy: &dyn Entropy) -> Zeroizing<String> {
    generate(SlotKind::Token, entropy)
}

/// The kind of code `text` is, its check symbols verified; `None` if it is none and should be
/// tried as a password.
#[must_use]
pub fn kind_of(text: &str) -> Option<SlotKind> {
    [SlotKind::AppPassword, SlotKind::Recovery, SlotKind::Token]
        .into_iter()
        .find(|kind| parse(*kind, text).is_some())
}

/// The canonical symbols of a code, without its check symbols.
pub(crate) fn parse(kind: SlotKind, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (count, checks) = shape(kind)?;
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut symbols = Zeroizing::new(Vec::with_capacity(TEXT_BYTES_MAX));
    for octet in text.bytes() {
        match octet.to_ascii_uppercase() {
            b' ' | b'-' | b'\t' | b'\r' | b'\n' => {}
            b'O' => symbols.push(b'0'),
            b'I' | b'L' => symbols.push(b'1'),
            octet if ALPHABET.contains(&octet) => symbols.push(octet),
            _ => return None,
        }
    }
    let (body, given) = symbols.split_at_checked(count)?;
    let right = given.len() == checks && check(kind, body, checks).eq(given.iter().copied());
    right.then(|| Zeroizing::new(body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter;

    impl Entropy for Counter {
        fn fill(&self, out: &mut [u8]) {
            out.iter_mut().zip(0..).for_each(|(octet, count)| *octet = count);
        }
    }

    #[test]
    fn a_code_is_read_back_however_it_is_typed() {
        for (kind, text) in [
            (SlotKind::AppPassword, app_password(&Counter)),
            (SlotKind::Recovery, recovery_code(&Counter)),
            (SlotKind::Token, token(&Counter)),
        ] {
            let symbols = parse(kind, &text).unwrap();
            for typed in [
                text.to_lowercase(),
                text.replace('-', ""),
                text.replace('-', " "),
                text.replace('0', "O").replace('1', "l"),
                text.replace('0', "o").replace('1', "I"),
                format!(" {}\r\n", text.as_str()),
            ] {
                assert_eq!(parse(kind, &typed), Some(symbols.clone()), "{typed}");
                assert_eq!(kind_of(&typed), Some(kind));
            }
        }
    }

    #[test]
    fn a_slip_of_one_symbol_is_mostly_caught_and_other_text_is_no_code() {
        let text = app_password(&Counter);
        assert_eq!(text.len(), 34);
        let caught = (0..text.len())
            .filter(|place| text.as_bytes()[*place] != b'-')
            .filter(|place| {
                let mut slip = text.to_string();
                let next = if text.as_bytes()[*place] == b'Z' { "Y" } else { "Z" };
                slip.replace_range(place..&(place + 1), next);
                kind_of(&slip).is_none()
            })
            .count();
        assert_eq!(caught, 28);
        for text in ["", "correct horse battery staple", "0000-0000", &"0".repeat(300), "пароль"]
        {
            assert_eq!(kind_of(text), None, "{text}");
        }
    }
}
