//! A production as files: a directory, or a tar archive inside an age file.
//!
//! Invariant: only regular files below the root are read, each within its limit; a path that
//! is absolute, climbs, or comes twice is refused. Nothing is unpacked to disk.
//! Refs: specs/production.md §1, §7; RFC 8493; POSIX.1-2017, pax, "ustar".

use anyhow::{Context as _, bail, ensure};
use seal::mac::{Sha256, Sha512};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Files of a production.
pub(crate) const FILES_MAX: usize = 200_000;
/// Octets of one file.
pub(crate) const FILE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Octets of an encrypted production, which is opened in memory.
const ARCHIVE_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024 - 1;
/// Octets of a manifest or a tag file.
const TAG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Written after the tag manifests, and so not in them (specs/production.md §1).
const AFTER: [&str; 3] = ["manifest.sig", "receipt.json", "log-proof.txt"];
const TAG_MANIFESTS: [&str; 2] = ["tagmanifest-sha256.txt", "tagmanifest-sha512.txt"];
/// In the tag manifests, and nothing else is: a program that unpacks bags follows a `fetch.txt`.
const TAGS: [&str; 7] = [
    "bag-info.txt",
    "bagit.txt",
    "custody.json",
    "manifest-sha256.txt",
    "manifest-sha512.txt",
    "order.sha256",
    "release.json",
];
const BLOCK: usize = 512;

/// A production's files by path.
pub(crate) struct Bag {
    files: BTreeMap<String, Place>,
    archive: Vec<u8>,
}

enum Place {
    File(PathBuf),
    Archived(Range<usize>),
}

impl Bag {
    /// Reads a directory, or opens an age file with `identities`; without any it is taken to be
    /// a bare tar archive.
    pub(crate) fn open(path: &Path, identities: &[seal::age::Identity]) -> anyhow::Result<Self> {
        if path.is_dir() {
            let mut files = BTreeMap::new();
            walk(path, path, 0, &mut files)?;
            return Ok(Self { files, archive: Vec::new() });
        }
        let octets = crate::input::octets(path, ARCHIVE_BYTES_MAX)?;
        let archive = if octets.starts_with(b"age-encryption.org/")
            || octets.starts_with(b"-----BEGIN AGE")
        {
            ensure!(!identities.is_empty(), "the production is encrypted; give --identity");
            seal::age::open(&octets, identities)
                .context("the production does not open with this key")?
        } else {
            octets
        };
        Self::of_archive(archive)
    }

    /// Reads a bare tar archive.
    pub(crate) fn of_archive(archive: Vec<u8>) -> anyhow::Result<Self> {
        let files = archived(&archive)?;
        Ok(Self { files, archive })
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The paths that begin with `prefix`.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// A tag file or other small file.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        self.octets(name, TAG_BYTES_MAX)
    }

    /// A file of at most `limit` octets.
    pub(crate) fn octets(&self, name: &str, limit: usize) -> Result<Vec<u8>, String> {
        match self.files.get(name) {
            None => Err(format!("`{name}` is missing")),
            Some(Place::File(path)) => {
                crate::input::octets(path, limit).map_err(|why| format!("{why:#}"))
            }
            Some(Place::Archived(range)) => {
                let octets = self.archive.get(range.clone()).unwrap_or_default();
                if octets.len() > limit {
                    return Err(format!("`{name}` is longer than {limit} octets"));
                }
                Ok(octets.to_vec())
            }
        }
    }

    /// As [`Bag::read`], for JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        serde_json::from_slice(&self.read(name)?)
            .map_err(|why| format!("`{name}` cannot be read: {why}"))
    }

    /// Both hashes of a file, in hexadecimal, and its length.
    fn hashes(&self, name: &str) -> Result<([String; 2], u64), String> {
        let (mut short, mut long, mut length) = (Sha256::new(), Sha512::new(), 0_u64);
        let mut add = |octets: &[u8]| {
            short.update(octets);
            long.update(octets);
            length = length.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        };
        match self.files.get(name) {
            None => return Err(format!("`{name}` is missing")),
            Some(Place::Archived(range)) => {
                add(self.archive.get(range.clone()).unwrap_or_default())
            }
            Some(Place::File(path)) => {
                let unreadable = |why: std::io::Error| format!("`{name}` cannot be read: {why}");
                let mut file = File::open(path).map_err(unreadable)?;
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let count = file.read(&mut buffer).map_err(unreadable)?;
                    let Some(octets) = buffer.get(..count).filter(|octets| !octets.is_empty())
                    else {
                        break;
                    };
                    add(octets);
                }
            }
        }
        let hashes = [short.finish().to_string(), custody::hex::encode(&long.finish())];
        Ok((hashes, length))
    }

    /// The whole of specs/production.md §6.1. Gives the length of each payload file.
    pub(crate) fn complete(&self) -> Result<BTreeMap<String, u64>, String> {
        let declared = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
        if self.read("bagit.txt")? != declared {
            return Err("`bagit.txt` does not declare BagIt 1.0 in UTF-8".to_owned());
        }
        let data = |name: &&str| name.starts_with("data/");
        let tag =
            |name: &&str| !data(name) && !AFTER.contains(name) && !TAG_MANIFESTS.contains(name);
        let names = || self.files.keys().map(String::as_str);
        let payload =
            self.listed(["manifest-sha256.txt", "manifest-sha512.txt"], names().filter(data))?;
        self.listed(TAG_MANIFESTS, names().filter(tag))?;
        match names().filter(tag).find(|name| !TAGS.contains(name)) {
            Some(extra) => Err(format!("`{extra}` has no place in a production")),
            None => Ok(payload),
        }
    }

    /// That both manifests list exactly these files with their hashes.
    fn listed<'a>(
        &self,
        manifests: [&str; 2],
        names: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, u64>, String> {
        let names: BTreeSet<&str> = names.collect();
        let [short, long] = manifests;
        let (first, second) = (self.manifest(short)?, self.manifest(long)?);
        let mut lengths = BTreeMap::new();
        for name in &names {
            let (hashes, length) = self.hashes(name)?;
            for ((manifest, listed), hash) in [(short, &first), (long, &second)].iter().zip(hashes)
            {
                match listed.get(*name) {
                    None => return Err(format!("`{name}` is not in `{manifest}`")),
                    Some(known) if *known != hash => {
                        return Err(format!("`{name}` was altered: not its hash in `{manifest}`"));
                    }
                    Some(_) => {}
                }
            }
            lengths.insert((*name).to_owned(), length);
        }
        for listed in first.keys().chain(second.keys()) {
            if !names.contains(listed.as_str()) {
                return Err(format!("`{listed}` is listed but missing"));
            }
        }
        Ok(lengths)
    }

    /// RFC 8493 §2.1.3: one `hash  path` a line.
    fn manifest(&self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let text =
            String::from_utf8(self.read(name)?).map_err(|_| format!("`{name}` is not text"))?;
        let mut listed = BTreeMap::new();
        for line in text.lines() {
            let (hash, path) = line
                .split_once("  ")
                .ok_or_else(|| format!("`{name}` has a line that is no entry"))?;
            if listed.insert(path.to_owned(), hash.to_owned()).is_some() {
                return Err(format!("`{name}` lists `{path}` twice"));
            }
        }
        Ok(listed)
    }
}

fn walk(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, Place>,
) -> anyhow::Result<()> {
    ensure!(depth <= 8, "the production has folders too deep");
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?;
        if kind.is_dir() {
            walk(root, &path, depth + 1, files)?;
            continue;
        }
        ensure!(kind.is_file(), "`{}` is not a regular file", path.display());
        ensure!(
            usize::try_from(kind.len()).is_ok_and(|length| length <= FILE_BYTES_MAX),
            "`{}` is too long",
            path.display()
        );
        let name =
            path.strip_prefix(root)?.to_str().context("a file name is not UTF-8")?.to_owned();
        files.insert(name, Place::File(path));
        ensure!(files.len() <= FILES_MAX, "the production has too many files");
    }
    Ok(())
}

/// The files of a ustar archive: regular files only.
fn archived(archive: &[u8]) -> anyhow::Result<BTreeMap<String, Place>> {
    let mut files = BTreeMap::new();
    let mut at = 0_usize;
    while let Some(header) = archive.get(at..at.saturating_add(BLOCK)) {
        if header.iter().all(|octet| *octet == 0) {
            // What lies beyond the end other programs can be told to unpack.
            let rest = archive.get(at..).unwrap_or_default();
            let ends = rest.len() >= 2 * BLOCK && rest.iter().all(|octet| *octet == 0);
            ensure!(ends, "the archive goes on after its end, or does not end");
            return Ok(files);
        }
        let (name, length) =
            entry(header).context("the archive has a header that is damaged or unusual")?;
        at += BLOCK;
        let end = at.checked_add(length).filter(|end| *end <= archive.len());
        let end = end.context("the archive is cut short")?;
        if files.insert(name.clone(), Place::Archived(at..end)).is_some() {
            bail!("the archive holds `{name}` twice");
        }
        ensure!(files.len() <= FILES_MAX, "the production has too many files");
        at = end.next_multiple_of(BLOCK);
        let padding = archive.get(end..at).context("the archive is cut short")?;
        ensure!(padding.iter().all(|octet| *octet == 0), "the archive hides octets in its padding");
    }
    bail!("the archive is cut short, or is none")
}

/// The path and length of a regular file's ustar header.
fn entry(header: &[u8]) -> Option<(String, usize)> {
    let text = |range: Range<usize>| -> Option<&str> {
        let field = header.get(range)?.split(|octet| *octet == 0).next()?;
        core::str::from_utf8(field).ok()
    };
    // Digits alone: where Rust reads a sign, GNU tar reads base 64.
    let octal = |range: Range<usize>| {
        let digits = text(range)?.trim_matches(' ');
        let plain = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        u64::from_str_radix(digits, 8).ok().filter(|_| plain)
    };
    let sum = header
        .iter()
        .enumerate()
        .map(|(at, octet)| u64::from(if (148..156).contains(&at) { b' ' } else { *octet }));
    // POSIX's own mark and version: GNU's older form has no prefix, and so other names.
    if octal(148..156)? != sum.sum::<u64>() || header.get(257..265)? != b"ustar\x0000" {
        return None;
    }
    if !matches!(header.get(156)?, b'0' | 0) {
        return None;
    }
    let (prefix, name) = (text(345..500)?, text(0..100)?);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    let sane = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let length = usize::try_from(octal(124..136)?).ok().filter(|length| *length <= FILE_BYTES_MAX);
    Some((path, length?)).filter(|_| sane)
}
