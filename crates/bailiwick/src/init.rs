//! `bailiwick init`: a new cell's configuration, keys and first certificate.
//!
//! Invariant: never overwrites anything; secrets are written with mode 0600 and are on disk
//! before the configuration that names them.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use seal::Entropy;
use vocab::CellId;

use crate::cli::Init;
use crate::config::Config;
use crate::say;

/// Writes `bailiwick.toml`, `cell.keys`, `dkim-rsa.pem`, `tls.key` and `tls.crt` into the folder.
pub(crate) fn run(args: &Init, entropy: &dyn Entropy) -> Result<()> {
    let path = args.dir.join("bailiwick.toml");
    if path.exists() {
        bail!("`{}` exists; a cell is made once. Choose another --dir", path.display());
    }
    let mut id = [0; 16];
    entropy.fill(&mut id);
    let hostname = match (&args.hostname, args.domain.first()) {
        (Some(name), _) => name.clone(),
        (None, Some(domain)) => format!("mx.{domain}"),
        (None, None) => bail!("give at least one --domain"),
    };
    let text = configuration(args, CellId(id), &hostname)?;
    // What is written must be what `serve` accepts; a mistake in the arguments shows here.
    let config = Config::parse(&text, "the new configuration")
        .context("these arguments do not make a cell")?;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.dir)
        .with_context(|| format!("cannot make `{}`", args.dir.display()))?;
    let keys = custody::CellKeys::generate(CellId(id), entropy);
    secret_file(&args.dir.join("cell.keys"), keys.encode().as_bytes())?;
    let dkim = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
    secret_file(&args.dir.join("dkim-rsa.pem"), dkim.serialize_pem().as_bytes())?;
    let tls = rcgen::generate_simple_self_signed(vec![hostname])?;
    secret_file(&args.dir.join("tls.key"), tls.signing_key.serialize_pem().as_bytes())?;
    secret_file(&args.dir.join("tls.crt"), tls.cert.pem().as_bytes())?;
    secret_file(&path, text.as_bytes())?;
    fs::File::open(&args.dir)?.sync_all()?;
    say(&summary(&config, &path, &args.dir))
}

fn summary(config: &Config, path: &Path, dir: &Path) -> String {
    let mut lines = vec![
        path.display().to_string(),
        "  the cell's configuration; every line is explained there".to_owned(),
        dir.join("cell.keys").display().to_string(),
        "  the cell's keys. Keep a copy on paper or on a token, and out of backups".to_owned(),
        "it will listen for".to_owned(),
    ];
    lines.extend(config.listeners().map(|(protocol, listener)| {
        let when = if protocol == "relay" { "  once `peer_ca` is set" } else { "" };
        format!("  {protocol:<10} {}{when}", listener.listen)
    }));
    if let Some(postmaster) = &config.cell.postmaster {
        let address = postmaster.get_ref();
        lines.push(format!("letters to postmaster and abuse go to {address}: make that account"));
    }
    lines.push(format!("next: bailiwick serve --config {}", path.display()));
    lines.join("\n")
}

fn secret_file(path: &Path, contents: &[u8]) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make `{}`", path.display()))?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(())
}

fn listen(args: &Init, port: u16) -> Result<SocketAddr> {
    let port = port.checked_add(args.port_offset).context("--port-offset is too large")?;
    Ok(SocketAddr::new(args.listen, port))
}

fn quoted<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> =
        items.into_iter().map(|item| toml::Value::String(item.to_string()).to_string()).collect();
    items.join(", ")
}

/// The commented configuration; each `@name@` is a value of this cell's.
const TEMPLATE: &str = include_str!("cell.toml");

fn configuration(args: &Init, id: CellId, hostname: &str) -> Result<String> {
    let entity = if args.entity.is_empty() { &args.cell } else { &args.entity };
    let office = || format!("postmaster@{}", args.domain.first().map_or("", String::as_str));
    let postmaster = args.postmaster.clone().unwrap_or_else(office);
    let values = [
        ("@cell@", quoted([&args.cell])),
        ("@jurisdiction@", quoted([args.jurisdiction.as_ref().unwrap_or(&args.cell)])),
        ("@id@", id.to_string()),
        ("@entity@", quoted([entity])),
        ("@hostname@", quoted([hostname])),
        ("@domains@", quoted(&args.domain)),
        ("@postmaster@", quoted([postmaster])),
        ("@dns@", quoted(&args.dns)),
        ("@mx@", listen(args, 25)?.to_string()),
        ("@submission@", listen(args, 465)?.to_string()),
        ("@imap@", listen(args, 993)?.to_string()),
        ("@relay@", listen(args, 26)?.to_string()),
        ("@http@", listen(args, 80)?.to_string()),
    ];
    Ok(values
        .into_iter()
        .fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(name, &value)))
}
