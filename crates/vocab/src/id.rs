//! Identifiers: sixteen random octets each, one type for each thing identified.
//!
//! Invariant: an identifier carries no meaning and is never reused; two kinds of
//! identifier cannot be mixed up.

use core::fmt;
use core::str::FromStr;

/// A text that is not thirty-two lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier is 32 lower-case hexadecimal digits")
    }
}

impl core::error::Error for ParseIdError {}

pub(crate) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn digit(byte: u8) -> Result<u8, ParseIdError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(ParseIdError),
    }
}

fn parse(text: &str) -> Result<[u8; 16], ParseIdError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pairs: &[[u8; 2]; 16] = pairs.try_into().map_err(|_| ParseIdError)?;
    if !rest.is_empty() {
        return Err(ParseIdError);
    }
    let mut out = [0; 16];
    for (octet, [high, low]) in out.iter_mut().zip(pairs) {
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(out)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person's whole store.
    AccountId
    /// One way to unlock an account: a password, an app password, a recovery code.
    SlotId
    /// One letter as it arrived.
    LetterId
    /// One sealed blob.
    BlobId
    /// One jurisdiction's complete, separate installation.
    CellId
    /// One demand's case at the desk.
    CaseId
    /// One member of a cell's staff.
    PersonId
    /// One holder of escrow shares: a trustee, a vault officer or a receipt guard.
    HolderId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_and_parses_as_32_hex_digits() {
        let id = AccountId([0xa5; 16]);
        assert_eq!(id.to_string(), "a5".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "a5", &"A5".repeat(16), &"a5".repeat(17), &format!("{}a", "a5".repeat(16))]
        {
            assert_eq!(text.parse::<AccountId>(), Err(ParseIdError), "{text}");
        }
    }
}
