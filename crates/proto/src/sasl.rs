//! SASL messages of the mechanisms that hand over a secret: PLAIN, OAUTHBEARER and XOAUTH2.
//!
//! Invariant: a message is read only if it is wholly of its grammar; nobody acts as another.
//! Refs: RFC 4616; RFC 7628 §3; RFC 6750 §2.1.

use zeroize::{Zeroize, Zeroizing};

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A name and a password.
    Plain,
    /// A token (RFC 7628).
    OAuthBearer,
    /// The same, as it was written before there was an RFC.
    XOAuth2,
}

/// Octets in a name or a secret; RFC 4616 §2 asks for 255 at least.
const FIELD_OCTETS_MAX: usize = 1024;

impl Mechanism {
    /// Every mechanism that is offered, as EHLO and CAPABILITY list them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::OAuthBearer, Self::XOAuth2];

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name, in whatever case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.name()))
    }

    /// What a refused client is told before it is refused, in base64; it answers with a line that
    /// says nothing (RFC 7628 §3.2.3).
    #[must_use]
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            // {"status":"invalid_token"}
            Self::OAuthBearer | Self::XOAuth2 => Some("eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0="),
        }
    }
}

/// Why a client's message is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// Not of the mechanism's grammar, too long, or without a name or a secret.
    #[error("not a message of the mechanism")]
    Malformed,
    /// One name, to act as another.
    #[error("nobody may act as another")]
    Acting,
}

/// Who a client says it is, and the secret it shows. Wiped when dropped.
pub struct Credentials {
    name: String,
    secret: String,
    is_token: bool,
}

impl Credentials {
    /// Reads a client's message.
    ///
    /// # Errors
    /// [`SaslError`].
    pub fn parse(mechanism: Mechanism, message: &[u8]) -> Result<Self, SaslError> {
        let text = core::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let (name, secret) = match mechanism {
            Mechanism::Plain => plain(text)?,
            Mechanism::OAuthBearer => oauth_bearer(text).ok_or(SaslError::Malformed)?,
            Mechanism::XOAuth2 => xoauth2(text).ok_or(SaslError::Malformed)?,
        };
        let is_token = mechanism != Mechanism::Plain;
        let credentials = Self { name, secret: secret.to_owned(), is_token };
        let fields = [&credentials.name, &credentials.secret];
        let sizes_ok = fields.iter().all(|field| (1..=FIELD_OCTETS_MAX).contains(&field.len()));
        if sizes_ok { Ok(credentials) } else { Err(SaslError::Malformed) }
    }

    /// Reads a client's message in base64.
    ///
    /// # Errors
    /// [`SaslError`].
    pub fn parse_base64(mechanism: Mechanism, base64: &[u8]) -> Result<Self, SaslError> {
        use base64::Engine as _;
        let decoded = base64::engine::general_purpose::STANDARD.decode(base64);
        Self::parse(mechanism, &Zeroizing::new(decoded.map_err(|_| SaslError::Malformed)?))
    }

    /// The name the client says it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password or token it shows.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether that is to be a token.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.is_token
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.name.zeroize();
        self.secret.zeroize();
    }
}

/// RFC 4616 §2: authorization identity, NUL, name, NUL, password.
fn plain(text: &str) -> Result<(String, &str), SaslError> {
    let mut fields = text.split('\0');
    let (Some(acting), Some(name), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(SaslError::Malformed);
    };
    if !acting.is_empty() && acting != name {
        return Err(SaslError::Acting);
    }
    Ok((name.to_owned(), password))
}

/// RFC 7628 §3.1: gs2-header, then pairs that each end in 0x01, then 0x01.
fn oauth_bearer(text: &str) -> Option<(String, &str)> {
    let (header, pairs) = text.split_once('\u{1}')?;
    // No channel binding: `n`, or `y` of a client that could.
    let name = header.strip_prefix("n,a=").or_else(|| header.strip_prefix("y,a="))?;
    let name = sasl_name(name.strip_suffix(',')?)?;
    let pairs = pairs.strip_suffix("\u{1}\u{1}")?;
    let mut token = None;
    for pair in pairs.split('\u{1}') {
        let (key, value) = pair.split_once('=')?;
        let key_ok = !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphabetic());
        let value_ok =
            value.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n'));
        if !key_ok || !value_ok || (key == "auth" && token.is_some()) {
            return None;
        }
        if key == "auth" {
            token = Some(bearer(value)?);
        }
    }
    Some((name, token?))
}

/// `user=name`, 0x01, `auth=Bearer token`, 0x01, 0x01.
fn xoauth2(text: &str) -> Option<(String, &str)> {
    let (name, auth) = text.strip_prefix("user=")?.split_once('\u{1}')?;
    let auth = auth.strip_prefix("auth=")?.strip_suffix("\u{1}\u{1}")?;
    Some((name.to_owned(), bearer(auth)?))
}

/// RFC 5801 §4: `=2C` and `=3D` stand for a comma and an equals sign.
fn sasl_name(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (char, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(char);
        name.push_str(rest);
    }
    (!text.contains([',', '\0'])).then_some(name)
}

/// RFC 6750 §2.1: the scheme, whose case does not count (RFC 9110 §11.1), and a b64token.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let characters = token.trim_end_matches('=');
    let is_token = !characters.is_empty()
        && characters
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet));
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mechanism: Mechanism, message: &str) -> Option<(String, String, bool)> {
        let read = Credentials::parse(mechanism, message.as_bytes()).ok()?;
        Some((read.name().to_owned(), read.secret().to_owned(), read.is_token()))
    }

    fn some(name: &str, secret: &str, is_token: bool) -> Option<(String, String, bool)> {
        Some((name.to_owned(), secret.to_owned(), is_token))
    }

    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        // RFC 4616 §4
        assert_eq!(
            read(Mechanism::Plain, "\0tim\0tanstaaftanstaaf"),
            some("tim", "tanstaaftanstaaf", false)
        );
        // RFC 7628 §4.1
        let wire = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1\
                    dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
        let read = Credentials::parse_base64(Mechanism::OAuthBearer, wire.as_bytes()).unwrap();
        assert_eq!(read.name(), "user@example.com");
        assert_eq!(read.secret(), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        // As Google documents XOAUTH2.
        let wire = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk5\
                    2YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
        let read = Credentials::parse_base64(Mechanism::XOAuth2, wire.as_bytes()).unwrap();
        assert_eq!(read.name(), "someuser@example.com");
        assert_eq!(read.secret(), "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
        assert!(read.is_token());
    }

    #[test]
    fn names_are_unescaped_and_other_pairs_passed_over() {
        let message =
            "y,a=a=2Cb=3Dc@ie.example,\u{1}host=h\u{1}auth=bEARER  T\u{1}qs=a=b\u{1}\u{1}";
        assert_eq!(read(Mechanism::OAuthBearer, message), some("a,b=c@ie.example", "T", true));
    }

    #[test]
    fn what_is_not_of_the_grammar_is_refused() {
        for message in
            ["", "\0", "a\0b", "\0\0secret", "\0name\0", "other\0name\0secret", "\0a\0b\0c"]
        {
            assert_eq!(read(Mechanism::Plain, message), None, "{message:?}");
        }
        for message in [
            "",
            "\u{1}",
            "n,,\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer T\u{1}\u{1}",
            "p=tls-exporter,a=n,\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=n\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=n=41,\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=n,m,\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer T\u{1}",
            "n,a=n,\u{1}\u{1}",
            "n,a=n,\u{1}host=h\u{1}\u{1}",
            "n,a=n,\u{1}auth=Basic T\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer \u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer ==\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer T T\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer T\u{1}auth=Bearer U\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer T\u{1}\u{1}\u{1}",
            "n,a=n,\u{1}=h\u{1}auth=Bearer T\u{1}\u{1}",
            "n,a=n,\u{1}auth=Bearer T\u{1}\u{1}rest",
        ] {
            assert_eq!(read(Mechanism::OAuthBearer, message), None, "{message:?}");
        }
        for message in [
            "user=n\u{1}auth=Bearer T\u{1}",
            "user=\u{1}auth=Bearer T\u{1}\u{1}",
            "auth=Bearer T\u{1}user=n\u{1}\u{1}",
            "user=n\u{1}auth=T\u{1}\u{1}",
        ] {
            assert_eq!(read(Mechanism::XOAuth2, message), None, "{message:?}");
        }
        let acting = Credentials::parse(Mechanism::Plain, b"other\0name\0secret").err();
        assert_eq!(acting, Some(SaslError::Acting));
        let long = format!("\0name\0{}", "s".repeat(1025));
        assert_eq!(read(Mechanism::Plain, &long), None);
        assert!(Credentials::parse_base64(Mechanism::Plain, b"not base64!").is_err());
    }

    #[test]
    fn a_refusal_is_what_its_comment_says() {
        use base64::Engine as _;
        let refusal = Mechanism::OAuthBearer.refusal().unwrap();
        let decoded = base64::engine::general_purpose::STANDARD.decode(refusal).unwrap();
        assert_eq!(decoded, br#"{"status":"invalid_token"}"#);
    }
}
