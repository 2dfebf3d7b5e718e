//! The small texts that every C2SP format is made of: decimals, base64, hashes.
//!
//! Invariant: one value has one spelling. What is read here and written again is the same
//! octets, so a signature over the one is a signature over the other.
//! Refs: RFC 4648 §4; C2SP tlog-checkpoint "Note text".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vocab::Digest;

/// Reads an unsigned decimal without sign or leading zeroes, at most 2^63 - 1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits.first() == Some(&b'0'))
    {
        return None;
    }
    // tlog-cosignature and consistency proofs of 63 lines both stop at 2^63 - 1.
    text.parse().ok().filter(|value| *value <= i64::MAX.unsigned_abs())
}

/// Reads canonical, padded base64; nothing else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads one SHA-256 hash in base64: exactly 44 characters.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    if text.len() != 44 {
        return None;
    }
    decode(text)?.try_into().ok().map(Digest)
}

/// Takes the first line, without its newline, and what follows it.
pub(crate) fn line(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("9223372036854775807"), Some(i64::MAX.unsigned_abs()));
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "９", "9223372036854775808"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode("AA=="), Some(vec![0]));
        for text in ["AA", "AB==", "AA=", "A A=", "AA==\n", "AA==AA==", "-_=="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_hash_is_32_octets() {
        assert_eq!(digest(&encode(&[7; 32])), Some(Digest([7; 32])));
        assert_eq!(digest(&encode(&[7; 31])), None);
        assert_eq!(digest(&encode(&[7; 33])), None);
    }
}
