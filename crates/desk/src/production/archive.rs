//! The archive: a production's files as one POSIX ustar file.
//!
//! Invariant: regular files alone, names ascending and relative, owner 0, mode 0644, one time:
//! the same files make the same octets.
//! Refs: specs/production.md §7; POSIX.1-2017, pax, "ustar Interchange Format".

use std::collections::BTreeMap;
use vocab::Timestamp;

const BLOCK: usize = 512;
/// Octets of an archive that its reader opens in memory.
pub const ARCHIVE_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024 - 1;

/// Files that make no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// A name has more than 100 octets, or does not stay below the root.
    #[error("a file's name does not fit an archive")]
    Name,
    /// More than 2 GiB together.
    #[error("the production is larger than 2 GiB")]
    TooLarge,
}

/// The files as one archive.
///
/// # Errors
/// [`ArchiveError`].
pub fn tar(files: &BTreeMap<String, Vec<u8>>, at: Timestamp) -> Result<Vec<u8>, ArchiveError> {
    let size = files.values().fold(2 * BLOCK, |size, file| {
        size.saturating_add(BLOCK).saturating_add(file.len().next_multiple_of(BLOCK))
    });
    if size > ARCHIVE_BYTES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let mut out = Vec::with_capacity(size);
    for (name, octets) in files {
        out.extend_from_slice(&header(name, octets.len(), at)?);
        out.extend_from_slice(octets);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len().saturating_add(2 * BLOCK), 0);
    Ok(out)
}

fn header(name: &str, length: usize, at: Timestamp) -> Result<[u8; BLOCK], ArchiveError> {
    let climbs = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if name.len() > 100 || climbs {
        return Err(ArchiveError::Name);
    }
    let mut out = [0; BLOCK];
    let mut put = |at: usize, octets: &[u8]| {
        out.iter_mut().skip(at).zip(octets).for_each(|(to, from)| *to = *from);
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    // Eleven octal digits end in the year 2242.
    put(136, format!("{:011o}\0", at.0.min(0o77_777_777_777)).as_bytes());
    // The checksum is taken with its own field as spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = out.iter().map(|octet| u32::from(*octet)).sum();
    let sum = format!("{sum:06o}\0 ");
    out.iter_mut().skip(148).zip(sum.as_bytes()).for_each(|(to, from)| *to = *from);
    Ok(out)
}
