//! A log's files, as C2SP tlog-tiles lays them out below one folder.
//!
//! Invariant: a file appears whole or not at all, and is on disk, with the entry that names it,
//! before the next one is begun.
//! Refs: C2SP tlog-tiles.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use tlog::{Resource, SourceError, TileSource, Write};

/// More than any file of a log holds: 256 entries of 65,535 octets and their lengths.
const FILE_OCTETS_MAX: u64 = (16 << 20) + 512;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The file's octets; `None` if there is none.
    pub(crate) fn read(&self, resource: &Resource) -> io::Result<Option<Vec<u8>>> {
        read_bounded(&self.root.join(resource.to_string()))
    }

    /// Writes the files in order, each durably before the next.
    pub(crate) fn write_all(&self, writes: &[Write]) -> io::Result<()> {
        writes.iter().try_for_each(|write| {
            replace(&self.root.join(write.resource.to_string()), &write.bytes)
        })
    }

    /// The published opening of a leaf; `None` if there is none.
    pub(crate) fn opening(&self, index: u64) -> io::Result<Option<Vec<u8>>> {
        read_bounded(&self.root.join(format!("openings/{index}.json")))
    }

    /// Publishes the opening of a leaf, durably.
    pub(crate) fn publish_opening(&self, index: u64, json: &[u8]) -> io::Result<()> {
        replace(&self.root.join(format!("openings/{index}.json")), json)
    }

    /// Where forks are recorded.
    pub(crate) fn forks(&self) -> PathBuf {
        self.root.join("forks")
    }

    /// Whether nothing of a log is there yet.
    pub(crate) fn is_empty(&self) -> bool {
        !self.root.join("tile").exists()
    }

    /// Removes the partial files that a full one has made useless (tlog-tiles "Partial Tiles").
    /// They only cost space, so a failure is said and no more.
    pub(crate) fn drop_partials(&self, full: &Resource) {
        let Some(partials) = full.partials() else { return };
        match fs::remove_dir_all(self.root.join(partials)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "partial tiles were not removed"),
        }
    }

    /// How many leaves the published checkpoint covers.
    pub(crate) fn published(&self) -> u64 {
        let octets = self.read(&Resource::Checkpoint).ok().flatten().unwrap_or_default();
        let note = tlog::SignedNote::parse(&octets).ok();
        let checkpoint = note.and_then(|note| tlog::Checkpoint::parse(note.text_unverified()).ok());
        checkpoint.map_or(0, |checkpoint| checkpoint.size)
    }

    fn source(&self, resource: Resource) -> Result<Vec<u8>, SourceError> {
        match self.read(&resource) {
            Ok(Some(octets)) => Ok(octets),
            Ok(None) => Err(SourceError::Missing(resource)),
            Err(error) => Err(SourceError::Unreadable { resource, source: Box::new(error) }),
        }
    }
}

impl TileSource for Files {
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.source(Resource::Tile { level, index, width })
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.source(Resource::Entries { index, width })
    }
}

/// Reads a file of bounded size; `None` if there is none.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut octets = Vec::new();
    file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > FILE_OCTETS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than any file of a log"));
    }
    Ok(Some(octets))
}

/// Puts a whole file in the place of an old one, durably.
pub(crate) fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        // The new folder's own name must be durable too, as far up as it was made.
        for above in folder.ancestors().skip(1).take(8).filter(|above| above.is_dir()) {
            File::open(above)?.sync_all()?;
        }
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    let mut file = File::create(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_there_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::at(folder.path().join("log"));
        let tile = Resource::Tile { level: 0, index: 1234, width: 3 };
        files.write_all(&[Write { resource: tile, bytes: vec![7; 96] }]).unwrap();
        assert_eq!(files.tile(0, 1234, 3).unwrap(), vec![7; 96]);
        assert!(matches!(files.tile(0, 1234, 4), Err(SourceError::Missing(_))));
        assert!(folder.path().join("log/tile/0/x001/234.p/3").exists());
    }
}
