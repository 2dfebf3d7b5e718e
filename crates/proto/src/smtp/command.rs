//! SMTP commands: one line in, one [`Command`] out.
//!
//! Invariant: parsing never panics and never keeps more than the line it was given.
//! Refs: RFC 5321 §4.1; RFC 1870 §3; RFC 3207; RFC 4954 §4, §5; RFC 6152 §3; RFC 6531 §3.4.

use core::fmt;

use zeroize::Zeroizing;

use super::reply::Reply;
use crate::address::{Address, AddressError, Path, take_bracketed};

/// Octets in the name a client gives with EHLO (RFC 5321 §4.5.3.1.2).
const MAX_HELLO_OCTETS: usize = 255;
/// Parameters on one MAIL or RCPT.
const MAX_PARAMS: usize = 16;

/// How the message body is encoded (RFC 6152 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// ASCII in lines.
    #[default]
    SevenBit,
    /// Any octets but NUL, in lines.
    EightBitMime,
}

/// What MAIL said besides the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailParams {
    /// Octets the client says the message has (RFC 1870 §6).
    pub size: Option<u64>,
    /// BODY.
    pub body: Body,
    /// Addresses or headers may be UTF-8 (RFC 6531).
    pub smtputf8: bool,
}

/// To whom RCPT names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// `<Postmaster>`, without a domain: whoever minds this server (RFC 5321 §4.5.1).
    Postmaster,
    /// `<local@domain>`.
    Address(Address),
}

/// A command.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO, HELO.
    Hello {
        /// Whether it is EHLO.
        extended: bool,
        /// What the client calls itself: graphic characters, unchecked.
        name: String,
    },
    /// MAIL.
    Mail {
        /// The reverse path.
        from: Path,
        /// The parameters.
        params: MailParams,
    },
    /// RCPT.
    Rcpt(Recipient),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth {
        /// The mechanism in upper case.
        mechanism: String,
        /// The initial response, still in base64.
        initial: Option<Zeroizing<String>>,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello { .. } => "Hello",
            Self::Mail { .. } => "Mail",
            Self::Rcpt(_) => "Rcpt",
            Self::Data => "Data",
            Self::Rset => "Rset",
            Self::Noop => "Noop",
            Self::Quit => "Quit",
            Self::Vrfy => "Vrfy",
            Self::Help => "Help",
            Self::StartTls => "StartTls",
            Self::Auth { .. } => "Auth",
        })
    }
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not text: invalid UTF-8 or control characters.
    #[error("command is not text")]
    NotText,
    /// No such command.
    #[error("unknown command")]
    Unknown,
    /// A method of HTTP: a browser was made to talk to us.
    #[error("command of another protocol")]
    NotSmtp,
    /// EXPN, TURN, BDAT and the like.
    #[error("command not offered")]
    NotOffered,
    /// Arguments missing, or given where there are none.
    #[error("malformed arguments")]
    Arguments,
    /// MAIL with a bad address.
    #[error("malformed sender")]
    Sender(#[source] AddressError),
    /// RCPT with a bad address.
    #[error("malformed recipient")]
    Recipient(#[source] AddressError),
    /// A parameter nobody offered.
    #[error("unknown parameter")]
    UnknownParameter,
}

impl CommandError {
    /// The reply that says so.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::NotText | Self::Unknown => Reply::unknown_command(),
            Self::NotSmtp => Reply::not_smtp(),
            Self::NotOffered => Reply::not_offered(),
            Self::Arguments => Reply::bad_arguments(),
            Self::Sender(_) => Reply::bad_sender(),
            Self::Recipient(_) => Reply::bad_recipient(),
            Self::UnknownParameter => Reply::unknown_parameter(),
        }
    }
}

impl Command {
    /// Reads a line without its CRLF.
    ///
    /// # Errors
    /// Why it is no command; [`CommandError::reply`] answers it.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let text = core::str::from_utf8(line).map_err(|_| CommandError::NotText)?;
        if text.chars().any(char::is_control) {
            return Err(CommandError::NotText);
        }
        // RFC 5321 §4.1.1: trailing white space is tolerated.
        let text = text.trim_end_matches(' ');
        let (verb, arguments) = text.split_once(' ').unwrap_or((text, ""));
        let arguments = arguments.trim_start_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => hello(true, arguments),
            "HELO" => hello(false, arguments),
            "MAIL" => mail(arguments),
            "RCPT" => rcpt(arguments),
            "DATA" => alone(Self::Data, arguments),
            "RSET" => alone(Self::Rset, arguments),
            "QUIT" => alone(Self::Quit, arguments),
            "STARTTLS" => alone(Self::StartTls, arguments),
            // RFC 5321 §4.1.1.9: a parameter of NOOP is ignored.
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if !arguments.is_empty() => Ok(Self::Vrfy),
            "VRFY" => Err(CommandError::Arguments),
            "AUTH" => auth(arguments),
            "EXPN" | "BDAT" | "ETRN" | "TURN" | "ATRN" | "SEND" | "SOML" | "SAML" => {
                Err(CommandError::NotOffered)
            }
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Err(CommandError::NotSmtp),
            _ => Err(CommandError::Unknown),
        }
    }
}

fn alone(command: Command, arguments: &str) -> Result<Command, CommandError> {
    if arguments.is_empty() { Ok(command) } else { Err(CommandError::Arguments) }
}

fn hello(extended: bool, name: &str) -> Result<Command, CommandError> {
    // RFC 5321 §4.1.4: a name that is no domain must not by itself be refused; it is only
    // kept from carrying anything into a header, where `;` would end what we say.
    let plain = name
        .chars()
        .all(|c| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '<' | '>' | '"' | '\\' | ';'));
    if name.is_empty() || name.len() > MAX_HELLO_OCTETS || !plain {
        return Err(CommandError::Arguments);
    }
    Ok(Command::Hello { extended, name: name.to_owned() })
}

/// What follows `FROM:` or `TO:`. RFC 5321 §4.1.1.2 has no space after the colon; some
/// clients do.
fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Result<&'a str, CommandError> {
    let (found, rest) = arguments.split_at_checked(keyword.len()).ok_or(CommandError::Arguments)?;
    if !found.eq_ignore_ascii_case(keyword) {
        return Err(CommandError::Arguments);
    }
    Ok(rest.trim_start_matches(' '))
}

fn mail(arguments: &str) -> Result<Command, CommandError> {
    let text = after_keyword(arguments, "FROM:")?;
    let (from, rest) = Path::take(text).map_err(CommandError::Sender)?;
    let mut params = MailParams::default();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in esmtp_params(rest)? {
        if seen.contains(&name) {
            return Err(CommandError::Arguments);
        }
        match (name.as_str(), value) {
            ("SIZE", Some(value)) => params.size = Some(size(value)?),
            ("BODY", Some(value)) => params.body = body(value)?,
            ("SMTPUTF8", None) => params.smtputf8 = true,
            // RFC 4954 §5: who first submitted it. Nothing here trusts it.
            ("AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH", _) => return Err(CommandError::Arguments),
            _ => return Err(CommandError::UnknownParameter),
        }
        seen.push(name);
    }
    Ok(Command::Mail { from, params })
}

fn size(value: &str) -> Result<u64, CommandError> {
    // RFC 1870 §3: 1*20DIGIT; what does not fit is larger than anything.
    if !(1..=20).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CommandError::Arguments);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<Body, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        _ => Err(CommandError::Arguments),
    }
}

fn rcpt(arguments: &str) -> Result<Command, CommandError> {
    let text = after_keyword(arguments, "TO:")?;
    let (content, rest) = take_bracketed(text).map_err(CommandError::Recipient)?;
    let recipient = if content.eq_ignore_ascii_case("postmaster") {
        Recipient::Postmaster
    } else {
        let (path, _) = Path::take(text).map_err(CommandError::Recipient)?;
        let Path::Address(address) = path else {
            return Err(CommandError::Recipient(AddressError::Path));
        };
        Recipient::Address(address)
    };
    if esmtp_params(rest)?.is_empty() {
        Ok(Command::Rcpt(recipient))
    } else {
        Err(CommandError::UnknownParameter)
    }
}

/// RFC 5321 §4.1.2 `esmtp-param`: names in upper case, values as they are.
fn esmtp_params(text: &str) -> Result<Vec<(String, Option<&str>)>, CommandError> {
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(CommandError::Arguments);
    }
    let words = text.split(' ').filter(|word| !word.is_empty());
    let params: Vec<_> = words.take(MAX_PARAMS + 1).map(esmtp_param).collect::<Result<_, _>>()?;
    if params.len() > MAX_PARAMS { Err(CommandError::Arguments) } else { Ok(params) }
}

fn esmtp_param(word: &str) -> Result<(String, Option<&str>), CommandError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let name_ok = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !name_ok || value == Some("") {
        return Err(CommandError::Arguments);
    }
    Ok((name.to_ascii_uppercase(), value))
}

fn auth(arguments: &str) -> Result<Command, CommandError> {
    let (mechanism, initial) = match arguments.split_once(' ') {
        Some((mechanism, initial)) => {
            (mechanism, Some(Zeroizing::new(initial.trim_start().to_owned())))
        }
        None => (arguments, None),
    };
    let well_formed = (1..=20).contains(&mechanism.len())
        && mechanism.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !well_formed || initial.as_ref().is_some_and(|initial| initial.contains(' ')) {
        return Err(CommandError::Arguments);
    }
    Ok(Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial })
}
