//! Delivery status notices: what could not be delivered, told to the account that sent it.
//!
//! Invariant: a notice has the null reverse-path and returns the header of the letter, not its
//! text; whatever a server said is quoted on one line.
//! Refs: RFC 3464; RFC 6522; RFC 6533; RFC 3834 §5; RFC 5321 §6.1.

use core::fmt::Write as _;

use seal::Entropy;
use vocab::Timestamp;

use crate::inbound::trace::date;

/// Octets of the returned header.
const HEADER_OCTETS_MAX: usize = 64 << 10;

/// One recipient that was given up.
pub(crate) struct Failure<'a> {
    /// Whom.
    pub(crate) address: &'a str,
    /// The last reply: code, enhanced code, text.
    pub(crate) reply: &'a str,
    /// The host that said it; empty if it never came to that.
    pub(crate) said_by: &'a str,
}

/// One notice.
pub(crate) struct Notice<'a> {
    pub(crate) hostname: &'a str,
    /// The reverse-path of the letter.
    pub(crate) to: &'a str,
    pub(crate) accepted: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) failures: &'a [Failure<'a>],
    /// The letter.
    pub(crate) original: &'a [u8],
}

impl Notice<'_> {
    /// The message, with its trace.
    pub(crate) fn encode(&self, entropy: &dyn Entropy) -> Vec<u8> {
        let boundary = format!("=_{}", unique(entropy));
        let id = unique(entropy);
        let utf8 = !self.to.is_ascii() || self.failures.iter().any(|f| !f.address.is_ascii());
        let status =
            if utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "Return-Path: <>\r\n\
             From: Mail delivery <postmaster@{domain}>\r\n\
             To: <{to}>\r\n\
             Subject: Undelivered mail returned to sender\r\n\
             Date: {now}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n{text}\r\n\
             --{boundary}\r\n\
             Content-Type: {status}\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n{fields}\r\n\
             --{boundary}\r\n\
             Content-Type: {kind}\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n",
            host = self.hostname,
            // The sender is one of ours, so their domain has a postmaster of ours.
            domain = self.to.rsplit_once('@').map_or(self.hostname, |(_, domain)| domain),
            to = self.to,
            now = date(self.now),
            text = self.text(),
            fields = self.fields(),
            // RFC 6533 §3 for headers in UTF-8.
            kind = if utf8 { "message/global-headers" } else { "text/rfc822-headers" },
        );
        let mut out = out.into_bytes();
        out.extend_from_slice(self.header());
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "Your message could not be delivered to the following, and will not be tried again:\r\n",
        );
        for failure in self.failures {
            let said = one_line(failure.reply);
            let _ = match failure.said_by {
                "" => write!(text, "\r\n<{}>:\r\n  {said}\r\n", failure.address),
                host => write!(text, "\r\n<{}>:\r\n  {host} said: {said}\r\n", failure.address),
            };
        }
        text.push_str("\r\nIts header is attached. The text itself was not kept.\r\n");
        text
    }

    // RFC 3464 §2.2, §2.3.
    fn fields(&self) -> String {
        let mut fields = format!(
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            date(self.accepted)
        );
        for failure in self.failures {
            let kind = if failure.address.is_ascii() { "rfc822" } else { "utf-8" };
            let said = one_line(failure.reply);
            let _ = write!(
                fields,
                "\r\nFinal-Recipient: {kind}; {}\r\nAction: failed\r\nStatus: {}\r\n",
                failure.address,
                status(&said)
            );
            if !failure.said_by.is_empty() {
                let _ = write!(
                    fields,
                    "Remote-MTA: dns; {}\r\nDiagnostic-Code: smtp; {said}\r\n",
                    failure.said_by
                );
            }
            let _ = write!(fields, "Last-Attempt-Date: {}\r\n", date(self.now));
        }
        fields
    }

    fn header(&self) -> &[u8] {
        let length = proto::message::header_length(self.original);
        let header = self.original.get(..length).unwrap_or_default();
        let Some(cut) = header.get(..HEADER_OCTETS_MAX) else { return header };
        // Cut at the end of a line.
        let end = cut.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        cut.get(..end).unwrap_or_default()
    }
}

/// RFC 3464 §2.3.4: the enhanced code of the reply. A letter that expired has a 4yz as its
/// last word, and still it failed.
fn status(reply: &str) -> String {
    let mut words = reply.split(' ');
    let code = words.next().unwrap_or_default();
    let enhanced = words.next().filter(|word| {
        let numbers: Vec<_> = word.split('.').collect();
        numbers.len() == 3
            && numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            && (word.starts_with("4.") || word.starts_with("5."))
    });
    match enhanced {
        Some(enhanced) => enhanced.to_owned(),
        None if code.starts_with('4') => "4.0.0".to_owned(),
        None => "5.0.0".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// 32 hexadecimal digits that occur nowhere else.
pub(crate) fn unique(entropy: &dyn Entropy) -> String {
    let mut octets = [0; 16];
    entropy.fill(&mut octets);
    vocab::LetterId(octets).to_string()
}
