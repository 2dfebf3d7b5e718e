//! Files read in full, within limits.
//!
//! Invariant: no file is read beyond its limit, whatever its length claims.

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use vocab::Timestamp;

/// The octets of a file of at most `limit` octets.
pub(crate) fn octets(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let mut out = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut out)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    if out.len() > limit {
        bail!("`{}` is longer than {limit} octets", path.display());
    }
    Ok(out)
}

/// A text file.
pub(crate) fn text(path: &Path, limit: usize) -> anyhow::Result<String> {
    String::from_utf8(octets(path, limit)?)
        .with_context(|| format!("`{}` is not UTF-8 text", path.display()))
}

/// A JSON file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, limit: usize) -> anyhow::Result<T> {
    serde_json::from_slice(&octets(path, limit)?)
        .with_context(|| format!("`{}` is not what is expected there", path.display()))
}

/// The reader's trust policy.
pub(crate) fn trust(path: &Path) -> anyhow::Result<custody::TrustPolicy> {
    custody::TrustPolicy::from_json(&text(path, custody::trust::TRUST_BYTES_MAX)?)
        .with_context(|| format!("`{}` is not a trust policy", path.display()))
}

/// The first line of a key file that is neither empty nor a comment.
pub(crate) fn key_lines(path: &Path) -> anyhow::Result<zeroize::Zeroizing<String>> {
    text(path, 64 * 1024).map(zeroize::Zeroizing::new)
}

/// A holder's key from its key file.
pub(crate) fn holder_key(path: &Path) -> anyhow::Result<seal::holder::HolderKey> {
    let text = key_lines(path)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    seal::holder::HolderKey::parse(line.unwrap_or_default())
        .with_context(|| format!("`{}` is not a holder's key file", path.display()))
}

/// age identities from a key file, one a line.
pub(crate) fn identities(path: &Path) -> anyhow::Result<Vec<seal::age::Identity>> {
    let text = key_lines(path)?;
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            seal::age::Identity::parse(line)
                .with_context(|| format!("`{}` holds a line that is no age key", path.display()))
        })
        .collect()
}

/// A time given on the command line: seconds since 1970.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map(Timestamp).map_err(|_| "a time is a number of seconds since 1970".to_owned())
}
