//! A cell's public face: its keys, and the DNS records its domains need.
//!
//! Invariant: computed from the configuration and the cell's keys alone, so that a cell can be
//! introduced to its peers before it has ever run.

use anyhow::{Context, Result};
use custody::cell::CellKeys;
use mail::dkim::{Signer, SignerOptions, TxtRecord};
use proto::address::{Address, Domain};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::config::Config;

/// What others must know of a cell to trust it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: String,
    /// The legal entity that answers for the cell, and the State whose law governs it.
    pub(crate) entity: String,
    pub(crate) jurisdiction: String,
    pub(crate) hostname: String,
    /// The key the log's checkpoints are signed with.
    pub(crate) log_key: String,
    /// The key it cosigns other cells' checkpoints with.
    pub(crate) witness_key: String,
    /// The key its productions are signed with.
    pub(crate) desk_key: String,
    /// The key it signs with what accounts take along that leave it.
    pub(crate) moving_key: String,
    /// (name, type, value) of each DNS record to publish.
    pub(crate) dns: Vec<(String, String, String)>,
}

/// A log is named after the cell's first domain.
fn origin(config: &Config, use_: &str) -> String {
    let domain = config.cell.domains.first().map(Spanned::get_ref);
    format!("{}/{use_}", domain.map_or("localhost", String::as_str))
}

/// What `<Postmaster>` stands for: the office at the first domain.
pub(crate) fn postmaster_office(config: &Config) -> Result<Address> {
    let domain = config.cell.domains.first().context("no domains")?;
    Address::parse(&format!("postmaster@{}", domain.get_ref())).context("no postmaster address")
}

/// Who minds the cell: the configured address, or the office's own.
pub(crate) fn postmaster(config: &Config) -> Result<Address> {
    match &config.cell.postmaster {
        Some(address) => Address::parse(address.get_ref()).context("no postmaster address"),
        None => postmaster_office(config),
    }
}

/// The signer of the cell's checkpoints.
pub(crate) fn log_signer(config: &Config, keys: &CellKeys) -> Result<tlog::NoteSigner> {
    Ok(tlog::NoteSigner::from_seed(&origin(config, "log"), keys.log_seed().expose())?)
}

/// The cosigner of other cells' checkpoints.
pub(crate) fn cosigner(config: &Config, keys: &CellKeys) -> Result<tlog::Cosigner> {
    Ok(tlog::Cosigner::from_seed(&origin(config, "witness"), keys.witness_seed().expose())?)
}

/// The signer of outgoing letters, if the configuration names DKIM keys.
pub(crate) fn dkim_signer(config: &Config, keys: &CellKeys) -> Result<Option<Signer>> {
    let Some(dkim) = &config.dkim else { return Ok(None) };
    let rsa_key = std::fs::read_to_string(&dkim.rsa_key).with_context(|| {
        let path = dkim.rsa_key.display();
        format!("cannot read `{path}`; change `rsa_key` in [dkim], or take out [dkim]")
    })?;
    let signer = Signer::new(SignerOptions {
        domains: &domains(&config.cell.domains)?,
        ed25519_seed: keys.dkim_seed(),
        ed25519_selector: &dkim.ed25519_selector,
        rsa_key: &rsa_key,
        rsa_selector: &dkim.rsa_selector,
    });
    Ok(Some(signer.with_context(|| {
        let path = dkim.rsa_key.display();
        format!("`{path}` is of no use; change `rsa_key` in [dkim], or take out [dkim]")
    })?))
}

/// Domains as the configuration has them, which it has checked.
pub(crate) fn domains(texts: &[Spanned<String>]) -> Result<Vec<Domain>> {
    let parse = |text: &Spanned<String>| Domain::parse(text.get_ref()).context("not a domain");
    texts.iter().map(parse).collect()
}

/// The cell's keys, from the file the configuration names.
pub(crate) fn cell_keys(config: &Config) -> Result<CellKeys> {
    let path = &config.cell.keys;
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text = text.with_context(|| {
        let path = path.display();
        format!("cannot read the cell's keys, `{path}`; change `keys` in [cell]")
    })?;
    let keys = CellKeys::decode(&text).with_context(|| format!("in `{}`", path.display()))?;
    anyhow::ensure!(
        keys.cell() == config.cell.cell_id(),
        "`{}` holds the keys of another cell, {}; change `keys` in [cell]",
        path.display(),
        keys.cell()
    );
    Ok(keys)
}

impl Identity {
    pub(crate) fn of(config: &Config, keys: &CellKeys) -> Result<Self> {
        let dkim = dkim_signer(config, keys)?;
        let dkim = dkim.as_ref().map(Signer::records).unwrap_or_default();
        Ok(Self {
            name: config.cell.name.get_ref().clone(),
            id: keys.cell().to_string(),
            entity: config.cell.entity.clone(),
            jurisdiction: config.cell.jurisdiction.get_ref().clone(),
            hostname: config.cell.hostname.get_ref().clone(),
            log_key: log_signer(config, keys)?.verifier_key().to_string(),
            witness_key: cosigner(config, keys)?.verifier_key().to_string(),
            desk_key: custody::hex::encode(&keys.desk()?.public().0),
            moving_key: custody::hex::encode(&keys.moving()?.public().0),
            dns: dns_records(config, dkim),
        })
    }

    /// As a person reads it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("cell         {} ({})", self.name, self.id),
            format!("entity       {}, under the law of {}", self.entity, self.jurisdiction),
            format!("host         {}", self.hostname),
            format!("log key      {}", self.log_key),
            format!("witness key  {}", self.witness_key),
            format!("desk key     {}", self.desk_key),
            format!("moving key   {}", self.moving_key),
            "DNS records to publish:".to_owned(),
        ];
        lines.extend(self.dns.iter().map(|(name, kind, value)| format!("  {name} {kind} {value}")));
        lines
    }
}

fn dns_records(config: &Config, dkim: &[TxtRecord]) -> Vec<(String, String, String)> {
    let txt = |name: String, value: &str| (name, "TXT".to_owned(), format!("\"{value}\""));
    let mut records = Vec::new();
    for domain in &config.cell.domains {
        let domain = domain.get_ref();
        let exchanger = format!("10 {}.", config.cell.hostname.get_ref());
        records.push((format!("{domain}."), "MX".to_owned(), exchanger));
        records.push(txt(format!("{domain}."), "v=spf1 mx -all"));
        records.push(txt(format!("_dmarc.{domain}."), "v=DMARC1; p=reject"));
    }
    for record in dkim {
        records.push(txt(format!("{}.", record.name), &record.text));
    }
    records
}
