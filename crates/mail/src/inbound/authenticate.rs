//! SPF, DKIM and DMARC: who a message is from, as far as can be told.
//!
//! SPF and DKIM alone refuse nobody; the policy of the From domain does (DMARC). `reject` is
//! refused in the session, `quarantine` goes to Junk. If DNS fails for a domain known to have a
//! policy, the letter is deferred; if it fails before that is known, it is let in and says so.
//!
//! Invariant: no failure of DNS loses a letter; the verdict is about the octets as they came,
//! before ours were added.
//! Refs: RFC 7208; RFC 6376; RFC 9989 §5; RFC 8601; docs/divergences.md.

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, AuthenticationResults, DmarcResult, SpfOutput};
use proto::address::{Address, Domain, Path};
use proto::message::Fields;

use super::trace;
use crate::dns::Dns;
use crate::routes::Peer;

/// Signatures of one message that are looked at (RFC 6376 §8.4 asks for a limit).
const SIGNATURES_MAX: usize = 10;

/// Said of a message without exactly one author domain (RFC 8601 §2.7.7: a method of our own).
const AUTHOR_UNCLEAR: &str = ";\r\n\tx-author=none";

/// What is to be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    Accept,
    Junk,
    Defer,
    Reject,
}

/// What was found out.
pub(super) struct Verdict {
    /// The value of the Authentication-Results field.
    pub(super) results: String,
    pub(super) disposition: Disposition,
}

/// From where a message came.
pub(super) struct Origin<'a> {
    pub(super) ip: IpAddr,
    pub(super) hello: &'a str,
    pub(super) from: &'a Path,
}

/// Checks a message that came from a stranger.
pub(super) async fn check(
    dns: &Dns,
    hostname: &str,
    origin: &Origin<'_>,
    message: &[u8],
    patience: Duration,
) -> Verdict {
    let checking = Box::pin(check_all(dns, hostname, origin, message));
    tokio::time::timeout(patience, checking).await.unwrap_or_else(|_| Verdict {
        results: format!(
            "{hostname};\r\n\tspf=temperror;\r\n\tdkim=temperror;\r\n\tdmarc=temperror"
        ),
        disposition: Disposition::Accept,
    })
}

async fn check_all(dns: &Dns, hostname: &str, origin: &Origin<'_>, message: &[u8]) -> Verdict {
    let authenticator = &dns.authenticator;
    let ip = origin.ip.to_canonical();
    let from = origin.from.address().map(Address::to_string).unwrap_or_default();
    let from_domain = origin.from.address().map(|address| address.domain.to_ascii());
    let domain = from_domain.as_deref().unwrap_or(origin.hello);
    // RFC 7208 §2.4: without a sender, `postmaster` at the EHLO name stands for it.
    let spf = if from.is_empty() {
        SpfParameters::verify_ehlo(ip, origin.hello, hostname)
    } else {
        SpfParameters::verify_mail_from(ip, origin.hello, hostname, &from)
    };
    // RFC 7208 §4.3: an address literal has no policy, which is no error of its sender's.
    let spf = if Domain::parse(domain).is_ok_and(|domain| domain.dns_name().is_some()) {
        authenticator.verify_spf(spf).await
    } else {
        SpfOutput::new(domain.to_owned())
    };
    let results = AuthenticationResults::new(hostname);
    let results = results.with_spf_mailfrom_result(&spf, ip, &from, origin.hello);
    let Some(mut parsed) = AuthenticatedMessage::parse(message) else {
        return Verdict { results: results.to_string(), disposition: Disposition::Junk };
    };
    parsed.dkim_headers.truncate(SIGNATURES_MAX);
    let dkim = authenticator.verify_dkim(&parsed).await;
    let dmarc =
        authenticator.verify_dmarc(DmarcParameters::new(&parsed, &dkim, domain, &spf)).await;
    let author = parsed.from.first().map_or("", String::as_str);
    let mut results = results.with_dkim_results(&dkim, author).to_string();
    if dkim.is_empty() {
        // RFC 8601 §2.7.1: no signature is a result too.
        results.push_str(";\r\n\tdkim=none");
    }
    results.push_str(&AuthenticationResults::new("").with_dmarc_result(&dmarc).to_string());
    let mut disposition = match (dmarc.result(), dmarc.policy()) {
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), Policy::Reject) => Disposition::Reject,
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), Policy::Quarantine) => Disposition::Junk,
        (DmarcResult::TempError(_), Policy::Reject | Policy::Quarantine) => Disposition::Defer,
        _ => Disposition::Accept,
    };
    // RFC 5322 §3.6: exactly one From. DMARC says nothing of others (RFC 9989 §4.5), and they
    // are how one shows a name without proving it.
    if disposition == Disposition::Accept && !has_one_author_domain(message, &parsed.from) {
        disposition = Disposition::Junk;
        results.push_str(AUTHOR_UNCLEAR);
    }
    Verdict { results, disposition }
}

fn has_one_author_domain(message: &[u8], authors: &[String]) -> bool {
    let fields = Fields::new(message).filter(|field| field.is(b"from")).count();
    let mut domains = authors.iter().filter_map(|author| author.rsplit_once('@')).map(|(_, d)| d);
    let first = domains.next();
    fields == 1 && first.is_some() && domains.all(|domain| Some(domain) == first)
}

/// What another cell found out, in the field it put on top. A field of that name further down
/// may be anybody's.
pub(super) fn believed(message: &[u8], peers: &[Arc<Peer>]) -> Verdict {
    let first = Fields::new(message).find(|field| field.is(b"authentication-results"));
    let first =
        first.filter(|field| peers.iter().any(|peer| trace::claims(field.value, &peer.relay_name)));
    let results = first.map(|field| String::from_utf8_lossy(field.value.trim_ascii()).into_owned());
    let results = results.unwrap_or_default();
    let quarantined = results.contains("dmarc=fail") && results.contains("policy.dmarc=quarantine");
    let junk = quarantined || results.contains(AUTHOR_UNCLEAR.trim_start_matches(";\r\n\t"));
    Verdict { results, disposition: if junk { Disposition::Junk } else { Disposition::Accept } }
}
