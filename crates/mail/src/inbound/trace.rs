//! Trace fields: what a letter carries on top of what its sender wrote.
//!
//! Invariant: a field we put there is not forgeable, since those that claim our name are taken
//! out first; Received names no recipient, and not where our own people are.
//! Refs: RFC 5321 §4.4; RFC 8601 §5; RFC 5322 §3.3, §3.6.7.

use core::net::IpAddr;

use proto::message::Fields;
use vocab::Timestamp;

/// More than this many Received fields is a loop (RFC 5321 §6.3).
pub(crate) const HOPS_MAX: usize = 50;

/// Whether a message has been through too many servers.
pub(crate) fn loops(message: &[u8]) -> bool {
    Fields::new(message).filter(|field| field.is(b"received")).count() > HOPS_MAX
}

/// Where a Received field says that a message came from.
pub(crate) struct Received<'a> {
    /// What the client calls itself, and from where it came; `None` for our own people.
    pub(crate) from: Option<(&'a str, IpAddr)>,
    pub(crate) by: &'a str,
    /// The protocol, such as `ESMTPS`.
    pub(crate) with: &'a str,
    pub(crate) id: &'a str,
    pub(crate) at: Timestamp,
}

impl Received<'_> {
    /// The whole field.
    pub(crate) fn encode(&self) -> String {
        let Self { from, by, with, id, at } = self;
        let at = date(*at);
        match from {
            // RFC 5321 §4.4: the name in EHLO, then the address it came from.
            Some((hello, ip)) => {
                let ip = match ip.to_canonical() {
                    IpAddr::V4(ip) => format!("[{ip}]"),
                    IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
                };
                format!(
                    "Received: from {hello} ({ip})\r\n\tby {by} with {with} id {id};\r\n\t{at}\r\n"
                )
            }
            None => format!("Received: by {by} with {with} id {id};\r\n\t{at}\r\n"),
        }
    }
}

/// The message without Authentication-Results that claim to be `hostname`'s, and without the
/// fields called `others`.
pub(crate) fn without(message: &[u8], hostname: &str, others: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut header = 0;
    for field in Fields::new(message) {
        header += field.raw.len();
        let forged = field.is(b"authentication-results") && claims(field.value, hostname);
        if !forged && !others.iter().any(|name| field.is(name)) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(message.get(header..).unwrap_or_default());
    out
}

/// Whether an Authentication-Results value names `hostname` as who checked (RFC 8601 §2.5).
pub(crate) fn claims(value: &[u8], hostname: &str) -> bool {
    authserv_id(value).eq_ignore_ascii_case(hostname.as_bytes())
}

/// The authserv-id of an Authentication-Results value: comments, quotes and a version aside.
fn authserv_id(value: &[u8]) -> Vec<u8> {
    let (mut depth, mut id) = (0_u32, Vec::new());
    let mut octets = value.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            // RFC 5322 §3.2.1: a quoted pair in a comment or a quoted string.
            b'\\' => {
                let quoted = octets.next();
                id.extend(quoted.filter(|_| depth == 0));
            }
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b'"' => {}
            b';' => break,
            _ if octet.is_ascii_whitespace() => {
                if !id.is_empty() {
                    break;
                }
            }
            _ => id.push(octet),
        }
    }
    // A final dot is the same name.
    if id.last() == Some(&b'.') {
        id.pop();
    }
    id
}

/// A message as it is delivered: with the reverse-path in front (RFC 5321 §4.4), and with no
/// other Return-Path.
pub(crate) fn with_return_path(mail_from: &str, message: &[u8]) -> Vec<u8> {
    let mut out = format!("Return-Path: <{mail_from}>\r\n").into_bytes();
    out.extend_from_slice(message);
    out
}

/// A time as RFC 5322 §3.3 writes it, in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (at.0 / 86_400, at.0 % 86_400);
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    // Counted from 1 March of year 0, so that a leap day ends its year.
    let day = days.saturating_add(719_468);
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    format!(
        "{}, {of_month} {} {year:04} {:02}:{:02}:{:02} +0000",
        name(&DAYS, days % 7),
        name(&MONTHS, (month + 2) % 12),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -R -u -d @…`
        for (at, text) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_709_210_096, "Thu, 29 Feb 2024 12:34:56 +0000"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 +0000"),
            (1_798_761_600, "Fri, 1 Jan 2027 00:00:00 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(date(Timestamp(at)), text);
            let sent = proto::message::parse_date(text.as_bytes()).unwrap();
            assert_eq!(u64::try_from(sent.unix_seconds).unwrap(), at);
        }
    }

    #[test]
    fn only_results_that_claim_our_name_are_taken_out() {
        let message = b"Authentication-Results: MX.ie.example; spf=pass\r\n\
            Authentication-Results: (a (b)) \"mx.ie.example\" 1; dkim=pass\r\n\
            Authentication-Results:\r\n\tmx.ie.example.; dkim=pass\r\n\
            Authentication-Results: (\\()mx.ie.example; dkim=pass\r\n\
            Authentication-Results: mx.example.org; spf=pass\r\n\
            Bcc: x@example.org\r\nSubject: a\r\n\r\nAuthentication-Results: mx.ie.example; x\r\n";
        let left = without(message, "mx.ie.example", &[b"bcc"]);
        assert_eq!(
            String::from_utf8(left).unwrap(),
            "Authentication-Results: mx.example.org; spf=pass\r\nSubject: a\r\n\r\n\
             Authentication-Results: mx.ie.example; x\r\n"
        );
    }
}
