//! Tiles and entry bundles: where each stands, and how it is read.
//!
//! Invariant: a path has one spelling; what a source answers is used only at the exact
//! length asked for. Tiles are not trusted: whoever builds on them checks a root.
//! Refs: C2SP tlog-tiles, "Merkle Tree", "Partial Tiles", "Log entries".

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use vocab::Digest;

use crate::note::SignedNote;
use crate::text;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The longest entry, in octets: its length is a u16.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// The highest level that a tree of at most 2^63 - 1 leaves fills.
pub(crate) const LEVEL_MAX: u8 = 7;

/// A text that is not the path of a log's resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path of a tiled log")]
pub struct ResourceError;

/// One file of a tiled log. As text, its path below the log's prefix, without leading slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `checkpoint`: the signed note. The only file that ever changes.
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`: hashes, 32 octets each.
    Tile {
        /// 0 to 63; above 7 no tree has tiles.
        level: u8,
        /// The tile's place in its level.
        index: u64,
        /// 1 to 256; 256 is the full tile, which has no suffix.
        width: u16,
    },
    /// `tile/entries/<N>[.p/<W>]`: entries, each after its u16 length.
    Entries {
        /// The bundle's place.
        index: u64,
        /// 1 to 256.
        width: u16,
    },
}

impl Resource {
    /// Whether a log whose published checkpoint has `size` leaves may serve this file: the
    /// file is full at that size or smaller. A crash can leave files of a size that was never
    /// published; a server asks this before it answers, so that nobody ever sees (or caches as
    /// immutable) a tile that no checkpoint covers.
    #[must_use]
    pub fn within(&self, size: u64) -> bool {
        match *self {
            Self::Checkpoint => true,
            Self::Tile { level, index, width } => end(index, width)
                .is_some_and(|end| end <= shift(size, u32::from(level).saturating_mul(8))),
            Self::Entries { index, width } => end(index, width).is_some_and(|end| end <= size),
        }
    }

    /// For a full tile or bundle, the directory that holds its partial ones. Once a checkpoint
    /// that covers the full file is published, the directory may be removed; until then its
    /// files are the published log. Without that a log of single entries keeps each bundle
    /// 255 times.
    #[must_use]
    pub fn partials(&self) -> Option<String> {
        match self {
            Self::Tile { width: TILE_WIDTH, .. } | Self::Entries { width: TILE_WIDTH, .. } => {
                Some(format!("{self}.p"))
            }
            Self::Checkpoint | Self::Tile { .. } | Self::Entries { .. } => None,
        }
    }

    /// `application/octet-stream`, or the checkpoint's text type.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Checkpoint => "text/plain; charset=utf-8",
            Self::Tile { .. } | Self::Entries { .. } => "application/octet-stream",
        }
    }
}

/// How many slots a tile's level must have filled for the tile to exist.
fn end(index: u64, width: u16) -> Option<u64> {
    index.checked_mul(u64::from(TILE_WIDTH))?.checked_add(u64::from(width))
}

pub(crate) fn shift(value: u64, bits: u32) -> u64 {
    value.checked_shr(bits).unwrap_or(0)
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Tile { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        // tlog-tiles: 3-digit elements; all but the last begin with an x.
        let digits = index.to_string();
        let groups = digits.len().div_ceil(3);
        let digits = format!("{index:0length$}", length = groups * 3);
        for (place, digit) in digits.chars().enumerate() {
            if place % 3 == 0 {
                f.write_str(if place == 0 { "" } else { "/" })?;
                f.write_str(if place + 3 < digits.len() { "x" } else { "" })?;
            }
            write!(f, "{digit}")?;
        }
        if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(path: &str) -> Result<Self, ResourceError> {
        if path == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        let rest = path.strip_prefix("tile/").ok_or(ResourceError)?;
        let (level, place) = rest.split_once('/').ok_or(ResourceError)?;
        let (index, width) = match place.split_once(".p/") {
            None => (place, TILE_WIDTH),
            Some((index, width)) => {
                let width = text::decimal(width).filter(|width| (1..=255).contains(width));
                let width = width.and_then(|width| u16::try_from(width).ok());
                (index, width.ok_or(ResourceError)?)
            }
        };
        let index = parse_index(index).ok_or(ResourceError)?;
        if level == "entries" {
            return Ok(Self::Entries { index, width });
        }
        let level = text::decimal(level).filter(|level| *level <= 63).ok_or(ResourceError)?;
        let level = u8::try_from(level).map_err(|_| ResourceError)?;
        Ok(Self::Tile { level, index, width })
    }
}

fn parse_index(path: &str) -> Option<u64> {
    let mut groups = path.split('/').peekable();
    let mut index: u64 = 0;
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let value: u64 = digits.parse().ok()?;
        // `x000/067` would be a second spelling of `067`.
        if first && value == 0 && groups.peek().is_some() {
            return None;
        }
        first = false;
        index = index.checked_mul(1000)?.checked_add(value)?;
    }
    Some(index)
}

/// One file to put in place. Files are written whole or not at all (to a temporary name, synced,
/// renamed) and in the order given: each is durable before the next is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which file; its text is the path.
    pub resource: Resource,
    /// The whole content. It replaces whatever stands there.
    pub bytes: Vec<u8>,
}

impl Write {
    /// The write that publishes a checkpoint.
    #[must_use]
    pub fn checkpoint(note: &SignedNote) -> Self {
        Self { resource: Resource::Checkpoint, bytes: note.encode().into_bytes() }
    }
}

/// Why a tile could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("the log has no `{0}`")]
    Missing(Resource),
    /// The file has another length than its width says.
    #[error("`{0}` has the wrong length")]
    Length(Resource),
    /// Reading failed.
    #[error("`{resource}` cannot be read")]
    Unreadable {
        /// Which file.
        resource: Resource,
        /// Why.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// Where tiles come from: a directory, a server, a map in a test.
///
/// A source answers the exact file asked for, or [`SourceError::Missing`]. It reads no more than
/// the file can hold: 8,192 octets for a tile, 16 MiB and 512 for a bundle.
pub trait TileSource {
    /// The hashes of `tile/<level>/<index>[.p/<width>]`.
    ///
    /// # Errors
    /// [`SourceError`].
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError>;

    /// The octets of `tile/entries/<index>[.p/<width>]`.
    ///
    /// # Errors
    /// [`SourceError`].
    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, SourceError>;
}

/// A log in memory, by path: for tests, and for a package that carries a whole log.
impl TileSource for BTreeMap<String, Vec<u8>> {
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        let resource = Resource::Tile { level, index, width };
        self.get(&resource.to_string()).cloned().ok_or(SourceError::Missing(resource))
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        let resource = Resource::Entries { index, width };
        self.get(&resource.to_string()).cloned().ok_or(SourceError::Missing(resource))
    }
}

/// Fetches `width` hashes of one tile.
pub(crate) fn fetch_tile(
    source: &impl TileSource,
    level: u8,
    index: u64,
    width: u16,
) -> Result<Vec<Digest>, SourceError> {
    let (octets, got) = match source.tile(level, index, width) {
        // tlog-tiles: a log MAY delete a partial tile once the full one is available.
        Err(SourceError::Missing(_)) if width < TILE_WIDTH => {
            (source.tile(level, index, TILE_WIDTH)?, TILE_WIDTH)
        }
        other => (other?, width),
    };
    let (hashes, rest) = octets.as_chunks::<32>();
    if hashes.len() != usize::from(got) || !rest.is_empty() {
        return Err(SourceError::Length(Resource::Tile { level, index, width: got }));
    }
    Ok(hashes.iter().take(usize::from(width)).map(|hash| Digest(*hash)).collect())
}

/// Fetches one bundle of `width` entries, or of more, as octets, and its true width.
pub(crate) fn fetch_entries(
    source: &impl TileSource,
    index: u64,
    width: u16,
) -> Result<(Vec<u8>, u16), SourceError> {
    match source.entries(index, width) {
        Err(SourceError::Missing(_)) if width < TILE_WIDTH => {
            Ok((source.entries(index, TILE_WIDTH)?, TILE_WIDTH))
        }
        other => Ok((other?, width)),
    }
}

/// Octets that are not a bundle of so many entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bundle does not hold {width} entries and nothing else")]
pub struct BundleError {
    /// The number expected.
    pub width: u16,
}

/// Splits an entry bundle into its `width` entries.
///
/// # Errors
/// [`BundleError`] when the octets are not exactly so many entries.
pub fn split_bundle(mut bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::with_capacity(usize::from(width.min(TILE_WIDTH)));
    for _ in 0..width {
        let (length, rest) = bundle.split_first_chunk::<2>().ok_or(BundleError { width })?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(BundleError { width })?;
        entries.push(entry);
        bundle = rest;
    }
    if bundle.is_empty() { Ok(entries) } else { Err(BundleError { width }) }
}
