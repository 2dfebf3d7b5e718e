//! Replies: what a server says, and how it is written and read.
//!
//! Every reply of ours is made by a constructor here, so that each has its code, its
//! enhanced code and a text in one place. Texts are fixed: none repeats what a peer sent.
//!
//! Invariant: an encoded reply is printable ASCII in lines of at most 512 octets.
//! Refs: RFC 5321 §4.2, §4.3.2, §4.5.3.1.5; RFC 3463; RFC 2034; RFC 4954 §6; RFC 7372.

use core::fmt;

use super::line::reply_line;

/// RFC 5321 §4.5.3.1.5: a reply line, CRLF included.
const MAX_LINE_OCTETS: usize = 512;
/// What we accept of others.
const MAX_PEER_LINE_OCTETS: usize = 4096;
const MAX_PEER_LINES: usize = 100;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl EnhancedCode {
    /// Reads one at the start of a reply's text; also gives the text after it.
    fn take(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = code.split('.');
        let mut number =
            || numbers.next().filter(|n| (1..=3).contains(&n.len()))?.parse::<u16>().ok();
        let (class, subject, detail) = (number()?, number()?, number()?);
        if numbers.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Self(u8::try_from(class).ok()?, subject, detail), rest))
    }
}

/// What the first digit of a reply says (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 2yz: done.
    Positive,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: no.
    Permanent,
}

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code, if the reply has one.
    pub enhanced: Option<EnhancedCode>,
    /// The text, a line each. Of a peer's reply: control characters replaced.
    pub lines: Vec<String>,
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $enhanced:expr, $text:literal;)*) => {
        impl Reply {
            $($(#[$doc])*
            #[must_use]
            pub fn $name() -> Self {
                Self { code: $code, enhanced: $enhanced, lines: vec![$text.to_owned()] }
            })*
        }
    };
}

replies! {
    /// MAIL accepted.
    sender_ok = 250, Some(EnhancedCode(2, 1, 0)), "sender ok";
    /// RCPT accepted.
    recipient_ok = 250, Some(EnhancedCode(2, 1, 5)), "recipient ok";
    /// The message is on disk.
    message_accepted = 250, Some(EnhancedCode(2, 0, 0)), "accepted";
    /// RSET, NOOP.
    ok = 250, Some(EnhancedCode(2, 0, 0)), "ok";
    /// QUIT.
    goodbye = 221, Some(EnhancedCode(2, 0, 0)), "goodbye";
    /// VRFY: RFC 5321 §3.5.3.
    cannot_verify = 252, Some(EnhancedCode(2, 0, 0)), "send some mail and see";
    /// HELP.
    help = 214, Some(EnhancedCode(2, 0, 0)), "see RFC 5321";
    /// STARTTLS: RFC 3207 §4.
    tls_ready = 220, Some(EnhancedCode(2, 0, 0)), "ready for TLS";
    /// DATA. RFC 2034 §4: no enhanced code on 3yz.
    send_message = 354, None, "end with a dot on its own line";
    /// AUTH succeeded.
    authenticated = 235, Some(EnhancedCode(2, 7, 0)), "authenticated";

    /// 421: the peer was silent too long (RFC 5321 §4.5.3.2.7).
    timed_out = 421, Some(EnhancedCode(4, 4, 2)), "timed out, closing";
    /// 421: this server is stopping (RFC 5321 §3.8).
    shutting_down = 421, Some(EnhancedCode(4, 3, 2)), "shutting down, closing";
    /// 421: too many sessions.
    too_busy = 421, Some(EnhancedCode(4, 3, 2)), "too busy, closing";
    /// 421: a letter stands still, and others need its room.
    too_slow = 421, Some(EnhancedCode(4, 4, 5)), "too slow while others wait, closing";
    /// 421: the unlocker that authenticated the session was taken away.
    unlocker_gone = 421, Some(EnhancedCode(4, 7, 0)), "this password was taken away, closing";
    /// 421: more bad commands than a session may have.
    too_many_errors = 421, Some(EnhancedCode(4, 7, 0)), "too many errors, closing";
    /// 421: more commands than a session may have.
    too_many_commands = 421, Some(EnhancedCode(4, 7, 0)), "too many commands, closing";
    /// 421: the peer's line or message cannot be bounded.
    line_unbounded = 421, Some(EnhancedCode(4, 7, 0)), "too much without an end, closing";
    /// 450: the account is on its way to another cell (RFC 3463 §3.3).
    mailbox_moving = 450, Some(EnhancedCode(4, 2, 1)), "mailbox is moving, try again later";
    /// 451: something failed here; nothing was kept.
    try_later = 451, Some(EnhancedCode(4, 3, 0)), "failed here, try again later";
    /// 451: DNS did not answer.
    dns_failed = 451, Some(EnhancedCode(4, 4, 3)), "DNS did not answer, try again later";
    /// 451: the connection ended before the outcome was known (of our client).
    connection_lost = 451, Some(EnhancedCode(4, 4, 2)), "connection lost";
    /// 451: the peer's replies made no sense (of our client).
    peer_misbehaved = 451, Some(EnhancedCode(4, 5, 0)), "remote server broke the protocol";
    /// 451: TLS is required and not to be had (of our client).
    tls_unavailable = 451, Some(EnhancedCode(4, 7, 10)), "remote server offers no usable TLS";
    /// 450: as little as can be said of why not now.
    recipient_busy = 450, Some(EnhancedCode(4, 2, 1)), "mailbox busy, try again later";
    /// 452: the account is over its quota.
    mailbox_full = 452, Some(EnhancedCode(4, 2, 2)), "mailbox full";
    /// 452: this server is out of room.
    storage_full = 452, Some(EnhancedCode(4, 3, 1)), "no room here, try again later";
    /// 452: RFC 5321 §4.5.3.1.10.
    too_many_recipients = 452, Some(EnhancedCode(4, 5, 3)), "too many recipients, send the rest separately";
    /// 454: credentials cannot be checked now.
    auth_unavailable = 454, Some(EnhancedCode(4, 7, 0)), "cannot authenticate now";
    /// 454: TLS cannot be started now.
    tls_not_now = 454, Some(EnhancedCode(4, 7, 0)), "TLS not available now";

    /// 500: no such command.
    unknown_command = 500, Some(EnhancedCode(5, 5, 1)), "unknown command";
    /// 500: the line is longer than any command.
    line_too_long = 500, Some(EnhancedCode(5, 5, 2)), "line too long, closing";
    /// 500: the line holds a bare CR, a bare LF, a NUL or no text.
    malformed_line = 500, Some(EnhancedCode(5, 5, 2)), "malformed line, closing";
    /// 501: the arguments do not parse.
    bad_arguments = 501, Some(EnhancedCode(5, 5, 4)), "bad arguments";
    /// 501: not a base64 answer, or not RFC 4616 inside (RFC 4954 §4).
    bad_auth_exchange = 501, Some(EnhancedCode(5, 5, 2)), "malformed authentication exchange";
    /// 501: the client gave the exchange up (RFC 4954 §4).
    auth_cancelled = 501, Some(EnhancedCode(5, 7, 0)), "authentication cancelled";
    /// 501: MAIL with no address we can read.
    bad_sender = 501, Some(EnhancedCode(5, 1, 7)), "bad sender address syntax";
    /// 501: RCPT with no address we can read.
    bad_recipient = 501, Some(EnhancedCode(5, 1, 3)), "bad recipient address syntax";
    /// 502: known, not offered here.
    not_offered = 502, Some(EnhancedCode(5, 5, 1)), "command not offered";
    /// 503: not now.
    bad_sequence = 503, Some(EnhancedCode(5, 5, 1)), "bad sequence of commands";
    /// 503: AUTH again, or within a transaction (RFC 4954 §4).
    auth_not_now = 503, Some(EnhancedCode(5, 5, 1)), "authentication not possible now";
    /// 504: RFC 4954 §4.
    unknown_mechanism = 504, Some(EnhancedCode(5, 5, 4)), "unknown authentication mechanism";
    /// 530: submission without AUTH (RFC 6409 §4.3).
    auth_required = 530, Some(EnhancedCode(5, 7, 0)), "authentication required";
    /// 530: RFC 3207 §4.
    tls_required = 530, Some(EnhancedCode(5, 7, 0)), "issue STARTTLS first";
    /// 535: RFC 4954 §6.
    auth_failed = 535, Some(EnhancedCode(5, 7, 8)), "wrong name or password";
    /// 538: RFC 4954 §6.
    auth_needs_tls = 538, Some(EnhancedCode(5, 7, 11)), "authentication needs TLS";
    /// 550: no such account.
    no_such_recipient = 550, Some(EnhancedCode(5, 1, 1)), "no such recipient here";
    /// 550: the account went to another cell; where to is not said (RFC 3463 §3.2).
    mailbox_moved = 550, Some(EnhancedCode(5, 1, 6)), "mailbox has moved, no forwarding address";
    /// 550: we do not take mail for that domain.
    relay_denied = 550, Some(EnhancedCode(5, 7, 1)), "not relaying for that domain";
    /// 550: our rules refuse it.
    refused_by_policy = 550, Some(EnhancedCode(5, 7, 1)), "refused";
    /// 550: SPF says this host may not (RFC 7372 §3.2).
    spf_failed = 550, Some(EnhancedCode(5, 7, 23)), "SPF check failed";
    /// 550: the From domain's DMARC policy says reject (RFC 7372 §3.3).
    dmarc_rejected = 550, Some(EnhancedCode(5, 7, 26)), "refused by the DMARC policy of the From domain";
    /// 550: the sender's domain takes no mail (RFC 7505 §4.2).
    sender_null_mx = 550, Some(EnhancedCode(5, 7, 27)), "sender domain accepts no mail";
    /// 556: the recipient's domain takes no mail (RFC 7505 §4.1; of our client).
    recipient_null_mx = 556, Some(EnhancedCode(5, 1, 10)), "recipient domain accepts no mail";
    /// 550: the recipient's domain does not exist (of our client).
    no_such_domain = 550, Some(EnhancedCode(5, 1, 2)), "recipient domain does not exist";
    /// 550: the message has a line end that is not CRLF, or a NUL.
    malformed_message = 550, Some(EnhancedCode(5, 6, 0)), "message has a bare CR, bare LF, NUL or endless line, closing";
    /// 550: the message loops (RFC 5321 §6.3).
    mail_loop = 550, Some(EnhancedCode(5, 4, 6)), "too many hops";
    /// 550: a message header lacks what submission needs.
    malformed_header = 550, Some(EnhancedCode(5, 6, 0)), "malformed message header";
    /// 550: submission from an address the account does not own.
    sender_not_owned = 550, Some(EnhancedCode(5, 7, 1)), "not your address";
    /// 552: RFC 1870 §6.
    message_too_large = 552, Some(EnhancedCode(5, 3, 4)), "message too large";
    /// 552: larger than all the account may hold.
    mailbox_too_small = 552, Some(EnhancedCode(5, 2, 2)), "larger than the mailbox may be";
    /// 553: the address needs SMTPUTF8 and MAIL did not say so (RFC 6531 §3.5).
    needs_smtputf8 = 553, Some(EnhancedCode(5, 6, 7)), "non-ASCII address without SMTPUTF8";
    /// 553: the peer lacks SMTPUTF8 and the message needs it (of our client).
    peer_lacks_smtputf8 = 553, Some(EnhancedCode(5, 6, 7)), "remote server lacks SMTPUTF8, which this message needs";
    /// 554: the peer lacks 8BITMIME and the message needs it (of our client).
    peer_lacks_8bitmime = 554, Some(EnhancedCode(5, 6, 3)), "remote server lacks 8BITMIME, which this message needs";
    /// 554: nobody to deliver to (RFC 5321 §3.3).
    no_valid_recipients = 554, Some(EnhancedCode(5, 5, 1)), "no valid recipients";
    /// 554: the client did not wait where it must (RFC 2920 §3.1).
    did_not_wait = 554, Some(EnhancedCode(5, 5, 0)), "sent the message before being asked, closing";
    /// 554: the peer speaks something other than SMTP.
    not_smtp = 554, Some(EnhancedCode(5, 5, 0)), "this is a mail server, closing";
    /// 555: RFC 5321 §4.1.1.11.
    unknown_parameter = 555, Some(EnhancedCode(5, 5, 4)), "parameter not recognised";
}

impl Reply {
    /// The greeting (RFC 5321 §4.3.1).
    #[must_use]
    pub fn greeting(hostname: &str) -> Self {
        Self { code: 220, enhanced: None, lines: vec![format!("{hostname} ESMTP Bailiwick")] }
    }

    /// The answer to EHLO (RFC 5321 §4.1.1.1) or, without extensions, to HELO.
    #[must_use]
    pub fn hello(hostname: &str, extensions: &[String]) -> Self {
        let lines = core::iter::once(hostname.to_owned()).chain(extensions.iter().cloned());
        Self { code: 250, enhanced: None, lines: lines.collect() }
    }

    /// A challenge within AUTH, in base64 (RFC 4954 §4).
    #[must_use]
    pub fn auth_challenge(base64: &str) -> Self {
        Self { code: 334, enhanced: None, lines: vec![base64.to_owned()] }
    }

    /// What the first digit says; a code outside 200 to 599 counts as permanent.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Positive,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    /// Whether it is a 2yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.severity() == Severity::Positive
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let last = self.lines.len().saturating_sub(1);
        let none = [String::new()];
        let lines = if self.lines.is_empty() { none.as_slice() } else { &self.lines };
        for (at, text) in lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            let mut line = format!("{:03}{separator}", self.code);
            if let Some(enhanced) = self.enhanced {
                line.push_str(&format!("{enhanced} "));
            }
            line.extend(
                text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }),
            );
            line.truncate(MAX_LINE_OCTETS - 2);
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

impl fmt::Display for Reply {
    /// On one line, as for a bounce or a log of our own replies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        self.lines.iter().filter(|line| !line.is_empty()).try_for_each(|line| write!(f, " {line}"))
    }
}

/// What no reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line that does not begin with a code.
    #[error("reply line without a code")]
    NoCode,
    /// Lines of one reply with different codes.
    #[error("reply lines with different codes")]
    MixedCodes,
    /// A line or a reply that goes on too long.
    #[error("reply too long")]
    TooLong,
}

/// Reads a server's replies.
#[derive(Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    /// The lines so far of a reply that goes on.
    partial: Option<Reply>,
}

impl ReplyReader {
    /// A reader with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the wire.
    pub fn push(&mut self, input: &[u8]) {
        self.buffer.extend_from_slice(input);
    }

    /// Whether octets wait that no reply has used, or a reply is half read.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || self.partial.is_some()
    }

    /// The next reply, or `None` until one is whole.
    ///
    /// # Errors
    /// If the server sends no reply; the connection is then of no more use.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some((line, octets)) = reply_line(&self.buffer) else {
                return if self.buffer.len() > MAX_PEER_LINE_OCTETS {
                    Err(ReplyError::TooLong)
                } else {
                    Ok(None)
                };
            };
            if line.len() > MAX_PEER_LINE_OCTETS {
                return Err(ReplyError::TooLong);
            }
            let (code, more, text) = split_code(line)?;
            self.buffer.drain(..octets);
            let reply =
                self.partial.get_or_insert(Reply { code, enhanced: None, lines: Vec::new() });
            if reply.code != code {
                return Err(ReplyError::MixedCodes);
            }
            if reply.lines.len() >= MAX_PEER_LINES {
                return Err(ReplyError::TooLong);
            }
            add_line(reply, &text);
            if !more {
                return Ok(self.partial.take());
            }
        }
    }
}

fn split_code(line: &[u8]) -> Result<(u16, bool, String), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::NoCode)?;
    let code = core::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let code = code.and_then(|d| d.parse::<u16>().ok()).filter(|c| (200..=599).contains(c));
    let code = code.ok_or(ReplyError::NoCode)?;
    let (more, text) = match rest.split_first() {
        None => (false, rest),
        Some((b' ', text)) => (false, text),
        Some((b'-', text)) => (true, text),
        Some(_) => return Err(ReplyError::NoCode),
    };
    let clean = |c: char| if c.is_control() { '?' } else { c };
    Ok((code, more, String::from_utf8_lossy(text).chars().map(clean).collect()))
}

fn add_line(reply: &mut Reply, text: &str) {
    // RFC 2034 §3: the enhanced code, if any, begins each line.
    match EnhancedCode::take(text) {
        Some((enhanced, rest)) if u16::from(enhanced.0) == reply.code / 100 => {
            reply.enhanced.get_or_insert(enhanced);
            reply.lines.push(rest.to_owned());
        }
        _ => reply.lines.push(text.to_owned()),
    }
}
