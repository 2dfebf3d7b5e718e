//! The cell's configuration: one TOML file.
//!
//! Invariant: what is not understood is refused, with the line and the cure; a running
//! server never reads the file again.

mod form;
mod sense;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

use desk::{HolderEntry, HolderOffice};
use proto::address::Domain;
use seal::escrow::EscrowPolicy;
use vocab::{CellId, Custody, HolderId};

/// A file that cannot be served from, as a person should read it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file could not be read.
    #[error("cannot read `{0}`; give the file's path with --config")]
    Read(PathBuf, #[source] std::io::Error),
    /// A line is wrong.
    #[error("{file}:{line}: {what}\n  cure: {cure}")]
    Line { file: String, line: usize, what: String, cure: String },
}

/// The whole file. Paths are relative to the file's folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) cell: Cell,
    #[serde(default)]
    pub(crate) mx: Option<Listener>,
    #[serde(default)]
    pub(crate) submission: Option<Listener>,
    #[serde(default)]
    pub(crate) imap: Option<Listener>,
    #[serde(default)]
    pub(crate) relay: Option<Listener>,
    #[serde(default)]
    pub(crate) http: Option<Listener>,
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) dns: Dns,
    #[serde(default)]
    pub(crate) outbound: Outbound,
    #[serde(default)]
    pub(crate) dkim: Option<Dkim>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) retention: Retention,
    #[serde(default)]
    pub(crate) custody: CustodyPolicy,
    #[serde(default)]
    pub(crate) log: Log,
    #[serde(default, rename = "peer")]
    pub(crate) peers: Vec<Peer>,
}

/// Which jurisdiction this is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) name: Spanned<String>,
    /// The State whose law governs the accounts: two letters, which name its law pack.
    pub(crate) jurisdiction: Spanned<String>,
    pub(crate) id: Spanned<String>,
    pub(crate) entity: String,
    pub(crate) hostname: Spanned<String>,
    pub(crate) domains: Vec<Spanned<String>>,
    /// Who gets letters to `postmaster` and `abuse`; left out, the account `postmaster` at the
    /// first domain.
    #[serde(default)]
    pub(crate) postmaster: Option<Spanned<String>>,
    pub(crate) data: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) admin_socket: PathBuf,
}

/// Where one protocol listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) listen: SocketAddr,
    /// Connections at one time; the next is told to come back.
    #[serde(default = "connections_default")]
    pub(crate) connections_max: u32,
    /// Of these, from one IPv4 address or IPv6 network of 64 bits.
    #[serde(default = "connections_per_source_default")]
    pub(crate) connections_per_source_max: u32,
}

impl Listener {
    pub(crate) fn limits(&self) -> crate::listen::Limits {
        let (all, per_source) = (self.connections_max, self.connections_per_source_max);
        crate::listen::Limits { all, per_source }
    }
}

fn connections_per_source_default() -> u32 {
    200
}

fn connections_default() -> u32 {
    1000
}

/// The certificate shown to clients, and the authority that other cells' certificates come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) peer_ca: Option<PathBuf>,
}

/// Which resolvers are asked. Empty: the system's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dns {
    #[serde(default)]
    pub(crate) servers: Vec<SocketAddr>,
}

/// How letters leave.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Outbound {
    /// The port other domains' mail exchangers are reached on.
    pub(crate) port: u16,
    /// Minutes to wait before each further attempt.
    pub(crate) retry_minutes: Vec<u32>,
    /// Hours after which an undelivered letter is returned to its sender.
    pub(crate) expire_hours: u32,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { port: 25, retry_minutes: vec![1, 5, 15, 60, 120, 240], expire_hours: 120 }
    }
}

/// The selectors this cell's public DKIM keys are published under.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dkim {
    pub(crate) ed25519_selector: String,
    pub(crate) rsa_selector: String,
    pub(crate) rsa_key: PathBuf,
}

/// What one client may ask of the host.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// The largest letter, in octets (RFC 1870).
    pub(crate) message_octets_max: u64,
    /// Memory that letters in arrival may hold together, in octets.
    pub(crate) arrival_octets_max: u64,
    /// What an account may hold on disk, in octets, unless it was given another; left out, as
    /// much as there is.
    pub(crate) account_octets_max: Option<u64>,
    /// How many messages, likewise.
    pub(crate) account_messages_max: Option<u64>,
    /// Disk kept free; below it deliveries are deferred, reading goes on.
    pub(crate) disk_reserve_octets: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_octets_max: 50 << 20,
            arrival_octets_max: 512 << 20,
            account_octets_max: None,
            account_messages_max: None,
            disk_reserve_octets: 256 << 20,
        }
    }
}

/// How long what is deleted is kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// For how many days an owner can put back what was expunged; 0 for none.
    pub(crate) undelete_days: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Self { undelete_days: 14 }
    }
}

/// Who can open an account besides its owner, for one approved demand.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustodyPolicy {
    #[serde(default)]
    pub(crate) trustees: Option<Holders>,
    #[serde(default)]
    pub(crate) vault: Option<Holders>,
    #[serde(default)]
    pub(crate) guards: Option<Holders>,
}

/// A group of share holders and how many of them must act.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Holders {
    pub(crate) threshold: Spanned<u8>,
    pub(crate) holders: Vec<Holder>,
}

/// One holder: an identifier of 32 hex digits, chosen once, and the public key that
/// `bailiwick-verify holder new` printed on the holder's own machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Holder {
    pub(crate) id: Spanned<String>,
    pub(crate) name: String,
    pub(crate) key: Spanned<String>,
}

/// The public log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// Seconds between batches of leaves under non-disclosure; at most a day, which bounds how
    /// long one waits.
    #[serde(deserialize_with = "interval_seconds")]
    pub(crate) sealed_interval_seconds: u64,
    /// Leaves in each such batch, real or dummy.
    #[serde(deserialize_with = "batch_leaves")]
    pub(crate) sealed_batch: u32,
    /// Witness cosignatures a checkpoint needs before a release may rest on it.
    pub(crate) witnesses_min: u8,
}

fn interval_seconds<'de, D: Deserializer<'de>>(value: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(value)?;
    let message = "`sealed_interval_seconds` is from 1 to 86400, which is a day";
    if (1..=86_400).contains(&seconds) { Ok(seconds) } else { Err(D::Error::custom(message)) }
}

fn batch_leaves<'de, D: Deserializer<'de>>(value: D) -> Result<u32, D::Error> {
    let leaves = u32::deserialize(value)?;
    let message = "`sealed_batch` is from 1 to 256 leaves";
    if (1..=256).contains(&leaves) { Ok(leaves) } else { Err(D::Error::custom(message)) }
}

impl Default for Log {
    fn default() -> Self {
        Self { sealed_interval_seconds: 6 * 3600, sealed_batch: 4, witnesses_min: 1 }
    }
}

/// Another cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) domains: Vec<Spanned<String>>,
    /// Where it takes relayed letters, and the name in its certificate.
    pub(crate) relay: SocketAddr,
    pub(crate) relay_name: String,
    /// Its log: where it is served, and the key its checkpoints are signed with.
    pub(crate) log_url: String,
    pub(crate) log_key: Spanned<String>,
    /// The key it cosigns other cells' checkpoints with.
    pub(crate) witness_key: Spanned<String>,
}

/// What a value should have been.
pub(crate) struct Wrong {
    span: std::ops::Range<usize>,
    what: String,
    cure: &'static str,
}

fn wrong<T>(at: &Spanned<T>, what: impl Into<String>, cure: &'static str) -> Wrong {
    Wrong { span: at.span(), what: what.into(), cure }
}

impl Config {
    /// Reads, parses and checks the file; paths in the result are absolute or relative to the
    /// process.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read(path.to_owned(), source))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        config.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses and checks the text; `file` is what errors call it.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let at = |span: std::ops::Range<usize>, what: String, cure: &str| ConfigError::Line {
            file: file.to_owned(),
            line: line_of(text, span.start),
            what,
            cure: cure.to_owned(),
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let line = text.lines().nth(line_of(text, span.start).saturating_sub(1));
            let (what, cure) = form::mistake(error.message(), line.unwrap_or_default());
            at(span, what, &cure)
        })?;
        let checked = config.check().and_then(|()| sense::check(&config, text));
        checked.map_err(|wrong| at(wrong.span, wrong.what, wrong.cure))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Wrong> {
        self.cell.check()?;
        self.custody.check()?;
        for peer in &self.peers {
            peer.domains.iter().try_for_each(check_domain)?;
            for key in [&peer.log_key, &peer.witness_key] {
                let parsed = key.get_ref().parse::<tlog::VerifierKey>();
                parsed.map_err(|_| {
                    wrong(key, "not a verifier key", "copy it from `bailiwick admin cell` there")
                })?;
            }
        }
        Ok(())
    }

    /// Where it listens, by the names of the file's sections.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (&'static str, &Listener)> {
        let named = [
            ("mx", &self.mx),
            ("submission", &self.submission),
            ("imap", &self.imap),
            ("relay", &self.relay),
            ("http", &self.http),
        ];
        named.into_iter().filter_map(|(name, listener)| Some((name, listener.as_ref()?)))
    }

    fn anchor(&mut self, folder: &Path) {
        let mut paths = vec![&mut self.cell.data, &mut self.cell.keys, &mut self.cell.admin_socket];
        paths.extend([&mut self.tls.certificate, &mut self.tls.key]);
        paths.extend(self.tls.peer_ca.as_mut());
        paths.extend(self.dkim.as_mut().map(|dkim| &mut dkim.rsa_key));
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}

impl Cell {
    fn check(&self) -> Result<(), Wrong> {
        let label = self.name.get_ref();
        let plain = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if label.is_empty() || label.len() > 16 || !plain {
            return Err(wrong(
                &self.name,
                format!("`{label}` is not a cell name"),
                "use 1 to 16 lower-case letters and digits, for example `ie`",
            ));
        }
        self.jurisdiction.get_ref().parse::<law::Place>().map_err(|_| {
            wrong(&self.jurisdiction, "not a State", "use its two letters, for example `ie`")
        })?;
        self.id.get_ref().parse::<CellId>().map_err(|_| {
            wrong(&self.id, "not a cell identifier", "keep the value that `bailiwick init` wrote")
        })?;
        check_domain(&self.hostname)?;
        if self.domains.is_empty() {
            return Err(wrong(&self.name, "no domains", "add `domains = [\"ie.example\"]`"));
        }
        self.domains.iter().try_for_each(check_domain)
    }

    /// The identifier, already checked.
    pub(crate) fn cell_id(&self) -> CellId {
        self.id.get_ref().parse().unwrap_or(CellId([0; 16]))
    }
}

impl CustodyPolicy {
    /// Every holder, as the desk's register has them.
    pub(crate) fn entries(&self) -> Vec<HolderEntry> {
        let groups = [
            (&self.trustees, HolderOffice::Trustee),
            (&self.vault, HolderOffice::Vault),
            (&self.guards, HolderOffice::Guard),
        ];
        let entry = |holder: &Holder, office: HolderOffice| {
            let id = holder.id.get_ref().parse().ok()?;
            let key = holder.key.get_ref().clone();
            Some(HolderEntry { holder: id, name: holder.name.clone(), office, key })
        };
        let named =
            groups.into_iter().filter_map(|(group, office)| Some((group.as_ref()?, office)));
        named
            .flat_map(|(group, office)| {
                group.holders.iter().filter_map(move |one| entry(one, office))
            })
            .collect()
    }

    fn check(&self) -> Result<(), Wrong> {
        let groups = [(&self.trustees, Custody::Trustee), (&self.vault, Custody::Managed)];
        for group in [&self.trustees, &self.vault, &self.guards].into_iter().flatten() {
            group.check()?;
            if self.guards.is_none() {
                return Err(wrong(
                    &group.threshold,
                    "share holders without receipt guards",
                    "add [custody.guards]: no key opens without a logged receipt",
                ));
            }
        }
        for (group, custody) in groups {
            let Some(group) = group else { continue };
            if self.escrow(CellId([0; 16]), custody).is_none() {
                return Err(wrong(
                    &group.threshold,
                    "a holder or a key is named twice",
                    "name every holder once; a guard cannot be a trustee as well",
                ));
            }
        }
        Ok(())
    }

    /// The holders of accounts in this mode; `None` in `sealed`, and where the cell does not
    /// offer the mode.
    pub(crate) fn escrow(&self, cell: CellId, custody: Custody) -> Option<EscrowPolicy> {
        let group = match custody {
            Custody::Sealed => return None,
            Custody::Trustee => self.trustees.as_ref()?,
            Custody::Managed => self.vault.as_ref()?,
        };
        let guards = self.guards.as_ref()?;
        EscrowPolicy::new(cell, custody, group.side()?, guards.side()?).ok()
    }
}

impl Holders {
    fn side(&self) -> Option<(u8, Vec<seal::holder::Holder>)> {
        let holders = self.holders.iter().map(|holder| {
            let id = holder.id.get_ref().parse().ok()?;
            let key = holder.key.get_ref().parse().ok()?;
            Some(seal::holder::Holder { id, key })
        });
        Some((*self.threshold.get_ref(), holders.collect::<Option<_>>()?))
    }

    fn check(&self) -> Result<(), Wrong> {
        let threshold = usize::from(*self.threshold.get_ref());
        if threshold == 0 || threshold > self.holders.len() || self.holders.len() > 32 {
            return Err(wrong(
                &self.threshold,
                format!("threshold {threshold} of {} holders", self.holders.len()),
                "take a threshold from 1 to the number of holders, at most 32",
            ));
        }
        for holder in &self.holders {
            holder.id.get_ref().parse::<HolderId>().map_err(|_| {
                wrong(
                    &holder.id,
                    "not a holder identifier",
                    "choose 32 hexadecimal digits, for example with `openssl rand -hex 16`",
                )
            })?;
            holder.key.get_ref().parse::<seal::holder::HolderPublic>().map_err(|_| {
                wrong(
                    &holder.key,
                    "not a holder's public key",
                    "copy what `bailiwick-verify holder new` or `public` printed",
                )
            })?;
        }
        Ok(())
    }
}

fn check_domain(domain: &Spanned<String>) -> Result<(), Wrong> {
    Domain::parse(domain.get_ref()).map(|_| ()).map_err(|_| {
        wrong(
            domain,
            format!("`{}` is not a domain", domain.get_ref()),
            "write a host name such as `ie.example`",
        )
    })
}

/// The 1-based line that holds this octet.
fn line_of(text: &str, octet: usize) -> usize {
    text.bytes().take(octet).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest file a cell can be served from.
    const SHORTEST: &str = "[cell]\nname = \"ie\"\nid = \"00112233445566778899aabbccddeeff\"\n\
        entity = \"\"\njurisdiction = \"ie\"\nhostname = \"mx.ie.example\"\ndomains = [\"ie.example\"]\n\
        data = \"data\"\nkeys = \"/secret/cell.keys\"\nadmin_socket = \"admin.sock\"\n\
        [tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n";

    #[test]
    fn what_is_left_out_has_its_default_and_listens_nowhere() {
        let config = Config::parse(SHORTEST, "f").unwrap();
        assert!(config.mx.is_none() && config.submission.is_none() && config.imap.is_none());
        assert!(config.relay.is_none() && config.http.is_none() && config.dkim.is_none());
        assert_eq!(config.limits.message_octets_max, 50 << 20);
        assert_eq!(config.outbound.port, 25);
        for custody in [Custody::Sealed, Custody::Trustee, Custody::Managed] {
            assert!(config.custody.escrow(CellId([1; 16]), custody).is_none());
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut config = Config::parse(SHORTEST, "f").unwrap();
        config.anchor(Path::new("/cells/ie"));
        assert_eq!(config.cell.data, Path::new("/cells/ie/data"));
        assert_eq!(config.tls.key, Path::new("/cells/ie/tls.key"));
        assert_eq!(config.cell.keys, Path::new("/secret/cell.keys"));
    }

    #[test]
    fn lines_are_counted_from_1() {
        assert_eq!(line_of("", 0), 1);
        assert_eq!(line_of("a\nb\n", 1), 1);
        assert_eq!(line_of("a\nb\n", 2), 2);
        assert_eq!(line_of("a\n", 99), 2);
    }

    /// A broken file is refused at one of its lines, with a cure.
    fn judge(text: &str) {
        let Err(error) = Config::parse(text, "f") else { return };
        let ConfigError::Line { line, what, cure, .. } = error else { panic!("{error}") };
        assert!((1..=text.lines().count() + 1).contains(&line), "line {line} of {text}");
        assert!(!what.is_empty() && !cure.is_empty());
    }

    #[test]
    fn every_cut_and_every_changed_octet_is_judged() {
        let template = include_str!("cell.toml");
        for text in [SHORTEST, template] {
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                let (before, after) = text.split_at(at);
                judge(before);
                judge(after);
            }
        }
        for at in 0..SHORTEST.len() {
            for octet in [0, b'\n', b'"', b'[', b'=', b'#', 0x7f] {
                let mut changed = SHORTEST.as_bytes().to_vec();
                changed[at] = octet;
                judge(str::from_utf8(&changed).unwrap());
            }
        }
    }
}
