//! DNS, as mail needs it: the checks of `mail-auth`, what SPF asks, and where a domain's mail goes.
//!
//! Invariant: an answer that did not come is never taken for an answer that says no.
//! Refs: RFC 5321 §5.1; RFC 7505; RFC 7208 §2.6.

use core::net::{IpAddr, SocketAddr};

use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::net::NetError;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::hickory_resolver::proto::rr::{Name, RData, RecordType};
use mail_auth::{DnsError, Error, MessageAuthenticator};
use proto::address::Domain;

use crate::spf::{NoAnswer, Resolve};

/// Mail exchangers of one domain that are tried.
pub const EXCHANGES_MAX: usize = 10;
/// Addresses of one mail exchanger that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// The resolver could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the resolver could not be made: {0}")]
pub struct ResolverError(String);

/// Why there is no exchange to go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The domain does not exist, or has no host.
    #[error("the domain does not exist")]
    NoSuchDomain,
    /// The domain says that it takes no mail (RFC 7505).
    #[error("the domain accepts no mail")]
    NullMx,
    /// DNS did not answer.
    #[error("DNS did not answer")]
    Failed,
}

/// A resolver with a cache. Clones share it.
#[derive(Clone)]
pub struct Dns {
    pub(crate) authenticator: MessageAuthenticator,
}

impl Dns {
    /// Asks these servers, over UDP and TCP; the system's if there are none.
    ///
    /// # Errors
    /// [`ResolverError`].
    pub fn new(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let failed = |error: NetError| ResolverError(error.to_string());
        if servers.is_empty() {
            let authenticator = MessageAuthenticator::new_system_conf().map_err(failed)?;
            return Ok(Self { authenticator });
        }
        let servers = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|connection| connection.port = server.port());
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        let authenticator = MessageAuthenticator::new(config, options).map_err(failed)?;
        Ok(Self { authenticator })
    }

    /// The hosts that take a domain's mail, best first, at most [`EXCHANGES_MAX`].
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn exchanges(&self, domain: &Domain) -> Result<Vec<String>, LookupError> {
        let name = domain.dns_name().ok_or(LookupError::NoSuchDomain)?;
        let found = self.authenticator.mx_lookup(name, NO_MX_CACHE).await;
        let records = match found {
            Ok(records) => records,
            // RFC 5321 §5.1: without MX the domain itself is the host.
            Err(Error::Dns(DnsError::RecordNotFound(ResponseCode::NoError))) => {
                return Ok(vec![name.to_owned()]);
            }
            Err(error) => return Err(refusal(&error)),
        };
        let hosts = records.rrset.iter().flat_map(|mx| mx.exchanges.iter());
        let hosts: Vec<String> =
            hosts.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect();
        if hosts.iter().all(String::is_empty) {
            // RFC 7505 §3. No host at all cannot be: a lookup without answers is an error.
            return Err(LookupError::NullMx);
        }
        Ok(hosts.into_iter().filter(|host| !host.is_empty()).take(EXCHANGES_MAX).collect())
    }

    /// The addresses of a host, at most [`ADDRESSES_MAX`].
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let six = self.authenticator.ipv6_lookup(host, NO_IPV6_CACHE).await;
        let four = self.authenticator.ipv4_lookup(host, NO_IPV4_CACHE).await;
        let mut addresses: Vec<IpAddr> = Vec::new();
        addresses.extend(four.iter().flat_map(|set| set.rrset.iter()).copied().map(IpAddr::from));
        addresses.extend(six.iter().flat_map(|set| set.rrset.iter()).copied().map(IpAddr::from));
        addresses.truncate(ADDRESSES_MAX);
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        let errors = [four.err(), six.err()];
        let failed = errors.iter().flatten().map(refusal).any(|why| why == LookupError::Failed);
        Err(if failed { LookupError::Failed } else { LookupError::NoSuchDomain })
    }
}

impl Dns {
    /// What was found; nothing, if the answer is that there is none.
    async fn found<T>(
        &self,
        name: Name,
        kind: RecordType,
        pick: impl FnMut(&RData) -> Option<T>,
    ) -> Result<Vec<T>, NoAnswer> {
        match self.authenticator.resolver().lookup(name, kind).await {
            Ok(lookup) => {
                Ok(lookup.answers().iter().map(|one| &one.data).filter_map(pick).collect())
            }
            Err(error) => match refusal(&Error::from(error)) {
                LookupError::NoSuchDomain => Ok(Vec::new()),
                LookupError::NullMx | LookupError::Failed => Err(NoAnswer),
            },
        }
    }
}

impl Resolve for Dns {
    async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, NoAnswer> {
        let text = |data: &RData| {
            if let RData::TXT(text) = data { Some(text.txt_data.concat()) } else { None }
        };
        self.found(to_dns(name)?, RecordType::TXT, text).await
    }

    async fn hosts(&self, name: &str, six: bool) -> Result<Vec<IpAddr>, NoAnswer> {
        let kind = if six { RecordType::AAAA } else { RecordType::A };
        self.found(to_dns(name)?, kind, RData::ip_addr).await
    }

    async fn exchanges(&self, name: &str) -> Result<Vec<String>, NoAnswer> {
        let exchange = |data: &RData| {
            if let RData::MX(mx) = data { Some(from_dns(&mx.exchange)) } else { None }
        };
        self.found(to_dns(name)?, RecordType::MX, exchange).await
    }

    async fn names(&self, ip: IpAddr) -> Result<Vec<String>, NoAnswer> {
        let name = |data: &RData| {
            if let RData::PTR(name) = data { Some(from_dns(name)) } else { None }
        };
        self.found(ip.into(), RecordType::PTR, name).await
    }
}

/// A name of any characters: SPF makes such from a sender's.
fn to_dns(name: &str) -> Result<Name, NoAnswer> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).map_err(|_| NoAnswer)
}

fn from_dns(name: &Name) -> String {
    name.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(".")
}

fn refusal(error: &Error) -> LookupError {
    let says_no =
        |code: &ResponseCode| [ResponseCode::NXDomain, ResponseCode::NoError].contains(code);
    if let Error::Dns(DnsError::RecordNotFound(code)) = error
        && says_no(code)
    {
        return LookupError::NoSuchDomain;
    }
    LookupError::Failed
}

/// The resolver has a cache of its own.
const NO_MX_CACHE: Option<
    &mail_auth::common::cache::NoCache<Box<str>, mail_auth::RecordSet<mail_auth::MX>>,
> = None;
const NO_IPV4_CACHE: Option<
    &mail_auth::common::cache::NoCache<Box<str>, mail_auth::RecordSet<core::net::Ipv4Addr>>,
> = None;
const NO_IPV6_CACHE: Option<
    &mail_auth::common::cache::NoCache<Box<str>, mail_auth::RecordSet<core::net::Ipv6Addr>>,
> = None;
