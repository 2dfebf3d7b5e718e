//! SPF: whether a domain lets a host send for it. Our own evaluation, because the library's
//! answers a quarter of the RFC's test suite otherwise (docs/adr/0010-spf.md).
//!
//! Invariant: at most ten terms that ask DNS, two of them in vain, and ten names of one answer;
//! an answer that did not come is `temperror` and never a verdict.
//! Refs: RFC 7208 §4 to §6, §4.6.4, §11.1; RFC 8616 §4.

use core::future::Future;
use core::net::IpAddr;
use core::pin::Pin;

use mail_auth::SpfResult;
use proto::spf::{self, Client, Mechanism, Prefix, Qualifier, Record, Template};

/// Terms that ask DNS, `redirect` too (RFC 7208 §4.6.4).
const TERMS_MAX: usize = 10;
/// Questions without an answer (RFC 7208 §4.6.4).
const VOID_MAX: usize = 2;
/// Names of one MX or PTR answer (RFC 7208 §4.6.4).
const NAMES_MAX: usize = 10;

/// DNS did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("DNS did not answer")]
pub(crate) struct NoAnswer;

/// What SPF asks of DNS. A name that does not exist and one without such records give nothing,
/// which is no error. Names have neither escapes nor a final dot.
pub(crate) trait Resolve: Sync {
    /// TXT records, each of its strings joined.
    fn texts(&self, name: &str) -> impl Future<Output = Result<Vec<Vec<u8>>, NoAnswer>> + Send;
    /// A records, or AAAA records.
    fn hosts(
        &self,
        name: &str,
        six: bool,
    ) -> impl Future<Output = Result<Vec<IpAddr>, NoAnswer>> + Send;
    /// The names in MX records; an empty one is the root, which is no host.
    fn exchanges(&self, name: &str) -> impl Future<Output = Result<Vec<String>, NoAnswer>> + Send;
    /// The names in PTR records.
    fn names(&self, ip: IpAddr) -> impl Future<Output = Result<Vec<String>, NoAnswer>> + Send;
}

/// What a domain's record says of this client. (RFC 7208 §4 `check_host`)
pub(crate) async fn check_host<R: Resolve>(resolver: &R, client: Client<'_>) -> SpfResult {
    let domain = client.domain.trim_end_matches('.').to_ascii_lowercase();
    let mut check = Check { resolver, client, terms: 0, void: 0, proven: None };
    check.evaluate(domain).await.unwrap_or_else(SpfResult::from)
}

/// Why a check ends without a verdict.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Temporary,
    Permanent,
}

impl From<Stop> for SpfResult {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Temporary => Self::TempError,
            Stop::Permanent => Self::PermError,
        }
    }
}

impl From<NoAnswer> for Stop {
    fn from(_: NoAnswer) -> Self {
        Self::Temporary
    }
}

struct Check<'a, R> {
    resolver: &'a R,
    client: Client<'a>,
    terms: usize,
    void: usize,
    /// The client's names that lead back to it, once they were asked for.
    proven: Option<Vec<String>>,
}

type Evaluating<'s> = Pin<Box<dyn Future<Output = Result<SpfResult, Stop>> + Send + 's>>;

impl<R: Resolve> Check<'_, R> {
    /// Boxed, because `include` comes back here.
    fn evaluate(&mut self, domain: String) -> Evaluating<'_> {
        Box::pin(async move {
            let (mut domain, mut is_redirected) = (domain, false);
            loop {
                let Some(record) = self.record(&domain).await? else {
                    // §6.1: who redirects to nothing has made a mistake.
                    return if is_redirected { Err(Stop::Permanent) } else { Ok(SpfResult::None) };
                };
                for directive in &record.directives {
                    if self.matches(&directive.mechanism, &domain).await? {
                        return Ok(said(directive.qualifier));
                    }
                }
                let Some(redirect) = record.redirect else { return Ok(SpfResult::Neutral) };
                self.count_term()?;
                domain = self.expand(&redirect, &domain).await.ok_or(Stop::Permanent)?;
                is_redirected = true;
            }
        })
    }

    /// §4.3 to §4.6: the domain's one record.
    async fn record(&self, domain: &str) -> Result<Option<Record>, Stop> {
        if !domain.contains('.') {
            return Ok(None);
        }
        let mut texts = self.resolver.texts(domain).await?;
        texts.retain(|text| spf::is_record(text));
        match texts.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Record::parse(one).map_err(|_| Stop::Permanent)?)),
            _ => Err(Stop::Permanent),
        }
    }

    /// §5.
    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip(network) => Ok(network.contains(self.client.ip)),
            Mechanism::Include(target) => {
                self.count_term()?;
                let Some(target) = self.expand(target, domain).await else {
                    return Err(Stop::Permanent);
                };
                match self.evaluate(target).await? {
                    SpfResult::Pass => Ok(true),
                    SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
                    SpfResult::TempError => Err(Stop::Temporary),
                    SpfResult::PermError | SpfResult::None => Err(Stop::Permanent),
                }
            }
            Mechanism::A(target, prefix) => {
                self.count_term()?;
                let Some(name) = self.target(target.as_ref(), domain).await else {
                    return Ok(false);
                };
                self.is_address_of(&name, prefix).await
            }
            Mechanism::Mx(target, prefix) => {
                self.count_term()?;
                let Some(name) = self.target(target.as_ref(), domain).await else {
                    return Ok(false);
                };
                self.is_exchange_of(&name, prefix).await
            }
            Mechanism::Ptr(target) => {
                self.count_term()?;
                let Some(target) = self.target(target.as_ref(), domain).await else {
                    return Ok(false);
                };
                let names = self.proven_names().await;
                Ok(names.iter().any(|name| *name == target || is_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count_term()?;
                let Some(name) = self.expand(target, domain).await else { return Ok(false) };
                // §5.7: A, whatever the client has.
                let found = self.resolver.hosts(&name, false).await?;
                self.count_void(found.is_empty())?;
                Ok(!found.is_empty())
            }
        }
    }

    async fn is_address_of(&mut self, name: &str, prefix: &Prefix) -> Result<bool, Stop> {
        let found = self.resolver.hosts(name, self.client.ip.is_ipv6()).await?;
        self.count_void(found.is_empty())?;
        Ok(found.into_iter().any(|host| prefix.around(host).contains(self.client.ip)))
    }

    /// §5.4. Without MX the name itself is not its exchanger.
    async fn is_exchange_of(&mut self, name: &str, prefix: &Prefix) -> Result<bool, Stop> {
        let exchanges = self.resolver.exchanges(name).await?;
        self.count_void(exchanges.is_empty())?;
        if exchanges.len() > NAMES_MAX {
            return Err(Stop::Permanent);
        }
        for exchange in exchanges.iter().filter(|exchange| !exchange.is_empty()) {
            if self.is_address_of(exchange, prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// §5.5: the client's names of which it is an address. What fails here is the client's, not
    /// the domain's: it is passed over, and is no void lookup.
    async fn proven_names(&mut self) -> Vec<String> {
        if let Some(names) = &self.proven {
            return names.clone();
        }
        let ip = self.client.ip;
        let mut proven = Vec::new();
        for name in self.resolver.names(ip).await.unwrap_or_default().into_iter().take(NAMES_MAX) {
            let name = name.to_ascii_lowercase();
            let hosts = self.resolver.hosts(&name, ip.is_ipv6()).await.unwrap_or_default();
            if hosts.contains(&ip) {
                proven.push(name);
            }
        }
        self.proven.insert(proven).clone()
    }

    /// The name a mechanism is about; `None` if DNS cannot have it, which matches nothing.
    async fn target(&mut self, template: Option<&Template>, domain: &str) -> Option<String> {
        match template {
            Some(template) => self.expand(template, domain).await,
            None => Some(domain.to_owned()),
        }
    }

    async fn expand(&mut self, template: &Template, domain: &str) -> Option<String> {
        let names =
            if template.needs_proven_name() { self.proven_names().await } else { Vec::new() };
        // §7.2: the domain itself, a name below it, any other.
        let own = names.iter().find(|name| *name == domain);
        let below = || names.iter().find(|name| is_below(name, domain));
        let proven = own.or_else(below).or(names.first()).map_or("unknown", String::as_str);
        template.expand(&self.client, domain, proven)
    }

    fn count_term(&mut self) -> Result<(), Stop> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > TERMS_MAX { Err(Stop::Permanent) } else { Ok(()) }
    }

    fn count_void(&mut self, is_void: bool) -> Result<(), Stop> {
        self.void = self.void.saturating_add(usize::from(is_void));
        if self.void > VOID_MAX { Err(Stop::Permanent) } else { Ok(()) }
    }
}

fn said(qualifier: Qualifier) -> SpfResult {
    match qualifier {
        Qualifier::Pass => SpfResult::Pass,
        Qualifier::Fail => SpfResult::Fail,
        Qualifier::SoftFail => SpfResult::SoftFail,
        Qualifier::Neutral => SpfResult::Neutral,
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests;
