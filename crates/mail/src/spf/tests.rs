//! Verdicts over a table of records, and what one letter can ask.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;

use super::*;

/// A zone of lines: a name, a type, a value. What is `fails` does not answer.
#[derive(Default)]
struct Zone {
    records: HashMap<(String, &'static str), Vec<String>>,
    asked: AtomicUsize,
}

impl Zone {
    fn new(lines: &[(&str, &'static str, &str)]) -> Self {
        let mut zone = Self::default();
        for (name, kind, value) in lines {
            let key = (name.to_ascii_lowercase(), *kind);
            zone.records.entry(key).or_default().push((*value).to_owned());
        }
        zone
    }

    fn find(&self, name: &str, kind: &'static str) -> Result<Vec<String>, NoAnswer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.records.contains_key(&(name.to_owned(), "fails")) {
            return Err(NoAnswer);
        }
        Ok(self.records.get(&(name.to_owned(), kind)).cloned().unwrap_or_default())
    }
}

impl Resolve for Zone {
    async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, NoAnswer> {
        Ok(self.find(name, "TXT")?.into_iter().map(String::into_bytes).collect())
    }
    async fn hosts(&self, name: &str, six: bool) -> Result<Vec<IpAddr>, NoAnswer> {
        let found = self.find(name, if six { "AAAA" } else { "A" })?;
        Ok(found.iter().map(|ip| ip.parse().unwrap()).collect())
    }
    async fn exchanges(&self, name: &str) -> Result<Vec<String>, NoAnswer> {
        self.find(name, "MX")
    }
    async fn names(&self, ip: IpAddr) -> Result<Vec<String>, NoAnswer> {
        self.find(&ip.to_string(), "PTR")
    }
}

async fn judge(zone: &Zone, ip: &str, domain: &str) -> SpfResult {
    let ip = ip.parse().unwrap();
    check_host(zone, Client { ip, hello: "mx.example.org", local_part: "alice", domain }).await
}

/// The record `text`, beside what most tests need.
async fn says(text: &str, ip: &str) -> SpfResult {
    let zone = Zone::new(&[
        ("d.example", "TXT", text),
        ("d.example", "A", "192.0.2.1"),
        ("d.example", "AAAA", "2001:db8::1"),
        ("d.example", "MX", "mx.d.example"),
        ("mx.d.example", "A", "192.0.2.2"),
        ("six.example", "AAAA", "2001:db8::1"),
        ("dark.example", "fails", ""),
        ("192.0.2.1", "PTR", "D.example"),
        ("192.0.2.2", "PTR", "mx.d.example"),
        ("192.0.2.3", "PTR", "d.example"),
        ("pass.example", "TXT", "v=spf1 +all"),
        ("fail.example", "TXT", "v=spf1 -all"),
        ("broken.example", "TXT", "v=spf1 moo"),
        ("two.example", "TXT", "v=spf1 +all"),
        ("two.example", "TXT", "V=spf1 -all"),
    ]);
    judge(&zone, ip, "d.example").await
}

#[tokio::test]
async fn every_mechanism_matches_what_the_rfc_says() {
    use SpfResult::{Fail, Neutral, None, Pass, PermError, SoftFail, TempError};
    for (text, ip, wanted) in [
        ("v=spf1", "192.0.2.1", Neutral),
        ("v=spf1 a -all", "192.0.2.1", Pass),
        ("v=spf1 a -all", "2001:db8::1", Pass),
        ("v=spf1 a/24 -all", "192.0.2.200", Pass),
        ("v=spf1 a//0 -all", "192.0.2.200", Fail),
        ("v=spf1 mx -all", "192.0.2.2", Pass),
        ("v=spf1 mx -all", "192.0.2.1", Fail),
        ("v=spf1 mx:mx.d.example ~all", "192.0.2.2", SoftFail),
        ("v=spf1 ip6:::0/0 ?all", "192.0.2.2", Neutral),
        ("v=spf1 exists:six.example -all", "2001:db8::1", Fail),
        ("v=spf1 exists:mx.%{d} -all", "2001:db8::9", Pass),
        ("v=spf1 ptr -all", "192.0.2.1", Pass),
        ("v=spf1 ptr -all", "192.0.2.2", Pass),
        ("v=spf1 ptr -all", "192.0.2.3", Fail),
        ("v=spf1 exists:%{p} -all", "192.0.2.2", Pass),
        ("v=spf1 exists:%{p}.example -all", "192.0.2.3", Fail),
        ("v=spf1 include:pass.example -all", "192.0.2.9", Pass),
        ("v=spf1 include:fail.example ~all", "192.0.2.9", SoftFail),
        ("v=spf1 include:none.example ~all", "192.0.2.9", PermError),
        ("v=spf1 include:broken.example ~all", "192.0.2.9", PermError),
        ("v=spf1 include:two.example ~all", "192.0.2.9", PermError),
        ("v=spf1 include:dark.example ~all", "192.0.2.9", TempError),
        ("v=spf1 a:dark.example +all", "192.0.2.9", TempError),
        ("v=spf1 redirect=fail.example", "192.0.2.9", Fail),
        ("v=spf1 redirect=none.example", "192.0.2.9", PermError),
        ("v=spf1 redirect=fail.example +all", "192.0.2.9", Pass),
        ("v=spf1 a:mail..example -all", "192.0.2.9", Fail),
        ("v=spf1 +all broken", "192.0.2.9", PermError),
        ("no record", "192.0.2.9", None),
    ] {
        assert_eq!(says(text, ip).await, wanted, "{text}");
    }
    let zone =
        Zone::new(&[("two.example", "TXT", "v=spf1 +all"), ("two.example", "TXT", "v=spf1")]);
    assert_eq!(judge(&zone, "192.0.2.1", "two.example").await, PermError);
    assert_eq!(judge(&zone, "192.0.2.1", "example").await, None);
}

#[tokio::test]
async fn a_redirect_changes_the_domain() {
    let zone = Zone::new(&[
        ("d.example", "TXT", "v=spf1 redirect=e.example"),
        ("d.example", "A", "192.0.2.1"),
        ("e.example", "TXT", "v=spf1 a -all"),
        ("e.example", "A", "192.0.2.2"),
    ]);
    assert_eq!(judge(&zone, "192.0.2.2", "d.example").await, SpfResult::Pass);
    assert_eq!(judge(&zone, "192.0.2.1", "d.example").await, SpfResult::Fail);
}

#[tokio::test]
async fn the_eleventh_term_and_the_third_question_in_vain_are_too_many() {
    for (count, wanted) in [(10, SpfResult::Fail), (11, SpfResult::PermError)] {
        assert_eq!(says(&format!("v=spf1{} -all", " a".repeat(count)), "192.0.2.9").await, wanted);
    }
    for (count, wanted) in [(2, SpfResult::Pass), (3, SpfResult::PermError)] {
        let text = format!("v=spf1{} +all", " a:none.example".repeat(count));
        assert_eq!(says(&text, "192.0.2.9").await, wanted);
    }
    let loops = Zone::new(&[
        ("d.example", "TXT", "v=spf1 include:e.example"),
        ("e.example", "TXT", "v=spf1 include:d.example"),
        ("f.example", "TXT", "v=spf1 redirect=f.example"),
    ]);
    for domain in ["d.example", "f.example"] {
        assert_eq!(judge(&loops, "192.0.2.1", domain).await, SpfResult::PermError);
    }
}

/// The dearest record there is: what one letter can make us ask.
#[tokio::test]
async fn what_one_letter_can_ask_of_dns_is_bounded() {
    let mut lines = vec![
        ("d.example".to_owned(), "TXT", "v=spf1 mx mx mx mx mx mx mx mx mx ptr -all".to_owned()),
        ("d.example".to_owned(), "TXT", "v=spfl".to_owned()),
    ];
    for number in 0..10 {
        lines.push(("d.example".to_owned(), "MX", format!("{number}.example")));
        lines.push((format!("{number}.example"), "A", "192.0.2.1".to_owned()));
    }
    lines.extend((0..50).map(|n| ("192.0.2.9".to_owned(), "PTR", format!("{n}.example"))));
    let lines: Vec<_> = lines.iter().map(|(n, k, v)| (n.as_str(), *k, v.as_str())).collect();
    let zone = Zone::new(&lines);
    assert_eq!(judge(&zone, "192.0.2.9", "d.example").await, SpfResult::Fail);
    // The record; nine times MX and ten hosts; PTR and ten hosts.
    assert_eq!(zone.asked.load(Ordering::Relaxed), 1 + 9 * 11 + 11);
    let many: Vec<_> = (0..11).map(|_| ("d.example", "MX", "a.example")).collect();
    let mut zone = Zone::new(&many);
    zone.records.insert(("d.example".to_owned(), "TXT"), vec!["v=spf1 mx -all".to_owned()]);
    zone.records.insert(("a.example".to_owned(), "A"), vec!["192.0.2.9".to_owned()]);
    assert_eq!(judge(&zone, "192.0.2.9", "d.example").await, SpfResult::PermError);
}

#[tokio::test]
async fn names_that_a_stranger_publishes_of_itself_cost_the_domain_nothing() {
    let mut lines = vec![("d.example", "TXT", "v=spf1 ptr a:none.example -all")];
    lines.extend(["a.example", "b.example", "c.example"].map(|name| ("192.0.2.9", "PTR", name)));
    let zone = Zone::new(&lines);
    assert_eq!(judge(&zone, "192.0.2.9", "d.example").await, SpfResult::Fail);
}
