//! Values that are each well written and still cannot be served from, most of them because of
//! another line.
//!
//! Invariant: the line named is in the file; a value left out is named by its section.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use mail::inbound::COPIES;
use proto::address::{Address, Domain};
use toml::Spanned;
use toml::de::DeTable;

use super::{Config, Wrong, wrong};

/// Judges a file whose values were each found well written; `text` is what it was read from.
pub(super) fn check(config: &Config, text: &str) -> Result<(), Wrong> {
    let file = File(text);
    listeners(config, &file)?;
    outbound(config, &file)?;
    dkim(config, &file)?;
    postmaster(config)?;
    memory(config, &file)?;
    witnesses(config, &file)?;
    peers(config)
}

/// The text of the file, for the lines of what is wrong in it.
struct File<'a>(&'a str);

impl File<'_> {
    fn wrong(
        &self,
        section: &str,
        key: &str,
        what: impl Into<String>,
        cure: &'static str,
    ) -> Wrong {
        Wrong { span: self.place(section, key).unwrap_or(0..0), what: what.into(), cure }
    }

    fn place(&self, section: &str, key: &str) -> Option<Range<usize>> {
        let file = DeTable::parse(self.0).ok()?;
        let section = file.get_ref().get(section)?;
        let value = section.get_ref().as_table().and_then(|keys| keys.get(key));
        Some(value.unwrap_or(section).span())
    }
}

fn listeners(config: &Config, file: &File<'_>) -> Result<(), Wrong> {
    let mut before: Vec<(&str, SocketAddr)> = Vec::new();
    for (name, listener) in config.listeners() {
        let limits = [
            ("connections_max", listener.connections_max),
            ("connections_per_source_max", listener.connections_per_source_max),
        ];
        if let Some((key, _)) = limits.into_iter().find(|(_, limit)| *limit == 0) {
            let what = format!("`{key}` is 0: nobody could connect");
            let cure = "allow at least 1; to listen nowhere, take out the whole section";
            return Err(file.wrong(name, key, what, cure));
        }
        if let Some((other, _)) = before.iter().find(|(_, at)| collide(*at, listener.listen)) {
            let what = format!("[{name}] takes the address and port that [{other}] has");
            return Err(file.wrong(name, "listen", what, "give each its own port or address"));
        }
        before.push((name, listener.listen));
    }
    Ok(())
}

/// Whether the second could not be bound after the first. Port 0 is any free port. Whether
/// `[::]` takes IPv4 as well is the host's affair, and is left to it.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b): (IpAddr, IpAddr) = (one.ip().to_canonical(), other.ip().to_canonical());
    let every = a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified());
    one.port() != 0 && one.port() == other.port() && (a == b || every)
}

fn outbound(config: &Config, file: &File<'_>) -> Result<(), Wrong> {
    if config.outbound.retry_minutes.is_empty() {
        let what = "no minutes: nothing says when to try again";
        let cure = "list at least one number of minutes, such as `[1, 5, 15, 60, 120, 240]`";
        return Err(file.wrong("outbound", "retry_minutes", what, cure));
    }
    if config.outbound.expire_hours == 0 {
        let what = "letters would be returned before a second attempt";
        // RFC 5321 §4.5.4.1.
        let cure = "take at least 1; 120 hours are usual, which is 5 days";
        return Err(file.wrong("outbound", "expire_hours", what, cure));
    }
    Ok(())
}

/// RFC 6376 §3.6.2.2: with two keys under one selector, what a verifier finds is undefined.
fn dkim(config: &Config, file: &File<'_>) -> Result<(), Wrong> {
    let Some(dkim) = &config.dkim else { return Ok(()) };
    if !dkim.rsa_selector.eq_ignore_ascii_case(&dkim.ed25519_selector) {
        return Ok(());
    }
    let cure = "give each key its own, such as `bw-ed` and `bw-rsa`";
    Err(file.wrong("dkim", "rsa_selector", "both DKIM keys have one selector", cure))
}

/// RFC 5321 §4.5.1: it has to be somebody, and only our own accounts can be.
fn postmaster(config: &Config) -> Result<(), Wrong> {
    let Some(written) = &config.cell.postmaster else { return Ok(()) };
    let cure = "write the address of an account of this cell, such as `alice@ie.example`";
    let Ok(address) = Address::parse(written.get_ref()) else {
        return Err(wrong(written, format!("`{}` is not an address", written.get_ref()), cure));
    };
    let own = config.cell.domains.iter().filter_map(|own| Domain::parse(own.get_ref()).ok());
    if own.into_iter().any(|own| own == address.domain) {
        return Ok(());
    }
    let what = format!("`{}` is not this cell's domain", address.domain);
    Err(wrong(written, what, cure))
}

fn memory(config: &Config, file: &File<'_>) -> Result<(), Wrong> {
    let limits = &config.limits;
    if limits.message_octets_max.saturating_mul(COPIES as u64) <= limits.arrival_octets_max {
        return Ok(());
    }
    let what = "the largest letter never fits in the memory for letters in arrival";
    let cure = "make `arrival_octets_max` at least twice `message_octets_max`";
    Err(file.wrong("limits", "message_octets_max", what, cure))
}

/// A cell that names no peer yet keeps the `witnesses_min` that `init` wrote.
fn witnesses(config: &Config, file: &File<'_>) -> Result<(), Wrong> {
    let (needed, peers) = (usize::from(config.log.witnesses_min), config.peers.len());
    if (1..=peers.max(1)).contains(&needed) {
        return Ok(());
    }
    let what = format!("{needed} witnesses needed, of {peers} in [[peer]]");
    let cure = "take 1, or at most the number of peers; or add a [[peer]] for each";
    Err(file.wrong("log", "witnesses_min", what, cure))
}

fn peers(config: &Config) -> Result<(), Wrong> {
    let parse = |domain: &Spanned<String>| Domain::parse(domain.get_ref()).ok();
    let own: Vec<Domain> = config.cell.domains.iter().filter_map(parse).collect();
    let mut theirs = config.peers.iter().flat_map(|peer| &peer.domains);
    let Some(domain) = theirs.find(|theirs| parse(theirs).is_some_and(|it| own.contains(&it)))
    else {
        return Ok(());
    };
    let what = format!("`{}` is this cell's own domain", domain.get_ref());
    Err(wrong(domain, what, "name it in [cell] or in one [[peer]], where its accounts are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_taken_once_however_it_is_written() {
        assert!(collide(at("192.0.2.1:25"), at("[::ffff:192.0.2.1]:25")));
        assert!(collide(at("0.0.0.0:25"), at("192.0.2.1:25")));
        assert!(collide(at("[2001:db8::1]:25"), at("[::]:25")));
        assert!(!collide(at("192.0.2.1:25"), at("192.0.2.1:26")));
        assert!(!collide(at("192.0.2.1:25"), at("192.0.2.2:25")));
        assert!(!collide(at("[::]:25"), at("192.0.2.1:25")));
        assert!(!collide(at("127.0.0.1:0"), at("127.0.0.1:0")));
    }

    #[test]
    fn the_later_listener_is_named_and_what_is_left_out_by_its_section() {
        let file = File("a = 1\n[mx]\nlisten = 1\n[imap]\nlisten = 1\n");
        let line = |section, key| {
            file.place(section, key).map(|span| super::super::line_of(file.0, span.start))
        };
        assert_eq!(line("imap", "listen"), Some(5));
        assert_eq!(line("imap", "connections_max"), Some(4));
        assert_eq!(line("a", "listen"), Some(1));
        assert_eq!(line("http", "listen"), None);
    }
}
