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
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DmarcOutput, DmarcResult, SpfOutput, SpfResult,
};
use proto::address::{Address, Domain, Path};
use proto::message::Fields;
use proto::spf::Client;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::trace;
use crate::dns::Dns;
use crate::routes::Peer;
use crate::spf;

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

/// Checks a message that came from a stranger. SPF and DKIM ask the sender's DNS, which may be
/// as slow as it likes: side by side they have two thirds of the patience with all of it (RFC 7208
/// §4.6.4 asks for 20 seconds), so that they cannot keep DMARC from being asked in the rest.
pub(super) async fn check(
    dns: &Dns,
    hostname: &str,
    origin: &Origin<'_>,
    message: &[u8],
    patience: Duration,
) -> Verdict {
    let (ends, patience) = (Instant::now() + patience, patience * 2 / 3);
    let ip = origin.ip.to_canonical();
    let from = origin.from.address().map(Address::to_string).unwrap_or_default();
    let checking = timeout(patience, Box::pin(check_spf(dns, origin, ip)));
    let Some(mut parsed) = AuthenticatedMessage::parse(message) else {
        let spf = spf_output(origin, checking.await);
        let results = AuthenticationResults::new(hostname);
        let results = results.with_spf_mailfrom_result(&spf, ip, &from, origin.hello);
        return Verdict { results: results.to_string(), disposition: Disposition::Junk };
    };
    parsed.dkim_headers.truncate(SIGNATURES_MAX);
    let signed = timeout(patience, Box::pin(dns.authenticator.verify_dkim(&parsed)));
    let (spf, dkim) = tokio::join!(checking, signed);
    let (spf, is_late, dkim) = (spf_output(origin, spf), dkim.is_err(), dkim.unwrap_or_default());
    let results = AuthenticationResults::new(hostname);
    let results = results.with_spf_mailfrom_result(&spf, ip, &from, origin.hello);
    let author = parsed.from.first().map_or("", String::as_str);
    let mut results = results.with_dkim_results(&dkim, author).to_string();
    if dkim.is_empty() {
        // RFC 8601 §2.7.1: no signature is a result too.
        results.push_str(if is_late { ";\r\n\tdkim=temperror" } else { ";\r\n\tdkim=none" });
    }
    let asked = DmarcParameters::new(&parsed, &dkim, spf.domain(), &spf);
    let asking = timeout_at(ends, Box::pin(dns.authenticator.verify_dmarc(asked)));
    let mut disposition = match asking.await {
        Ok(dmarc) => {
            let said = AuthenticationResults::new("").with_dmarc_result(&dmarc);
            results.push_str(&said.to_string());
            disposition(&dmarc, is_late)
        }
        Err(_) => {
            results.push_str(";\r\n\tdmarc=temperror");
            Disposition::Accept
        }
    };
    // RFC 5322 §3.6: exactly one From. DMARC says nothing of others (RFC 9989 §4.5), and they
    // are how one shows a name without proving it.
    if disposition == Disposition::Accept && !has_one_author_domain(message, &parsed.from) {
        disposition = Disposition::Junk;
        results.push_str(AUTHOR_UNCLEAR);
    }
    Verdict { results, disposition }
}

/// What a policy asks for. `is_late`: a signature that was not judged in time might have passed.
fn disposition(dmarc: &DmarcOutput, is_late: bool) -> Disposition {
    match (dmarc.result(), dmarc.policy()) {
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), Policy::Reject | Policy::Quarantine)
            if is_late =>
        {
            Disposition::Defer
        }
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), Policy::Reject) => Disposition::Reject,
        (DmarcResult::Fail(_) | DmarcResult::PermError(_), Policy::Quarantine) => Disposition::Junk,
        (DmarcResult::TempError(_), Policy::Reject | Policy::Quarantine) => Disposition::Defer,
        _ => Disposition::Accept,
    }
}

/// The domain SPF is asked about. (RFC 7208 §2.4: without a sender it is the EHLO name.)
fn spf_domain(origin: &Origin<'_>) -> String {
    let hello = || Domain::parse(origin.hello).map(|hello| hello.to_ascii());
    let from = origin.from.address().map(|address| address.domain.to_ascii());
    from.or_else(|| hello().ok()).unwrap_or_else(|| origin.hello.to_owned())
}

async fn check_spf(dns: &Dns, origin: &Origin<'_>, ip: IpAddr) -> SpfResult {
    let domain = spf_domain(origin);
    // RFC 7208 §4.3: an address literal has no policy, which is no error of its sender's.
    if !Domain::parse(&domain).is_ok_and(|domain| domain.dns_name().is_some()) {
        return SpfResult::None;
    }
    let local_part = origin.from.address().map_or("postmaster", |from| from.local.as_str());
    let client = Client { ip, hello: origin.hello, local_part, domain: &domain };
    spf::check_host(dns, client).await
}

/// RFC 7208 §4.6.4: what takes too long is `temperror`.
fn spf_output(origin: &Origin<'_>, result: Result<SpfResult, Elapsed>) -> SpfOutput {
    SpfOutput::new(spf_domain(origin)).with_result(result.unwrap_or(SpfResult::TempError))
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
