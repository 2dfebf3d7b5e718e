//! Files, and the one seam at which a test puts a disk that fails.
//!
//! Invariant: nothing above calls the file system for data; a created or renamed
//! file is there after a power cut once the call returns.
//! Refs: docs/adr/0003-store.md.

use crate::format::{len64, size};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is zeroed between two syncs, so that the writer's own syncs find little queued.
const ZERO_STEP: usize = 1 << 20;

/// What is asked of a file system, one call each. Beside [`FileSystem`] there is only the disk of
/// `crate::simulated`, which loses, tears and fails.
pub(crate) trait Device: Send + Sync {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>>;
    /// Makes an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory last.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    fn is_dir(&self, path: &Path) -> bool;
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file of a [`Device`].
pub(crate) trait DeviceFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file so long, of zeros where nothing was written, with its blocks reserved.
    fn reserve(&self, size: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// The host's file system.
struct FileSystem;

impl Device for FileSystem {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>> {
        // What is only to be read may lie on a disk that cannot be written.
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(Box::new(match file {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
                ) =>
            {
                File::open(path)?
            }
            file => file?,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DeviceFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok_and(|found| found.is_dir())
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl DeviceFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            // Not every file system reserves; there the length alone has to do.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.set_len(size),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        // The length changes in `reserve` alone, and fdatasync brings that to the disk too.
        self.sync_data()
    }
}

/// Where the store's files live.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) root: PathBuf,
    device: Arc<dyn Device>,
}

/// Octets that are read at a place: an open file, or what was read of one.
pub(crate) trait ReadAt {
    fn len(&self) -> io::Result<u64>;
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(len64((**self).len()))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = self.get(size(offset)..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for DataFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

/// One open file.
pub(crate) struct DataFile(Box<dyn DeviceFile>);

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), device: Arc::new(FileSystem) }
    }

    #[cfg(test)]
    pub(crate) fn on(root: &Path, device: Arc<dyn Device>) -> Self {
        Self { root: root.to_owned(), device }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// What the file system would still give an ordinary user.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        self.device.free_bytes(&self.root)
    }

    /// Makes a directory below the root, readable by its owner only; its name lasts once the root
    /// is synced, as [`Disk::replace`] does.
    pub(crate) fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.device.make_dir(path)
    }

    /// The paths of what a directory holds.
    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.device.list(dir)
    }

    /// The paths of every file below a directory.
    pub(crate) fn list_all(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(dir) = dirs.pop() {
            for path in self.device.list(&dir)? {
                if self.device.is_dir(&path) {
                    dirs.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }

    /// Begins an empty file, or empties one; its name lasts once its directory is synced.
    pub(crate) fn begin(&self, path: &Path) -> io::Result<DataFile> {
        self.device.create(path).map(DataFile)
    }

    /// Makes the names in a directory last.
    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.device.sync_dir(path)
    }

    /// Opens a file that is there.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DataFile> {
        self.device.open(path).map(DataFile)
    }

    /// Creates a file of `size` octets that all read as zero, with its blocks reserved.
    pub(crate) fn create(&self, path: &Path, size: u64) -> io::Result<DataFile> {
        let file = DataFile(self.device.create(path)?);
        if let Err(error) = file.0.reserve(size) {
            drop(file);
            let _ = self.device.remove(path);
            return Err(error);
        }
        file.sync_data()?;
        self.sync_dir_of(path)?;
        Ok(file)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.device.rename(from, to)?;
        self.sync_dir_of(to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.device.remove(path)?;
        self.sync_dir_of(path)
    }

    /// A small file of the root; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.device.open(&self.root.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut octets = vec![0; size(file.len()?)];
        file.read_exact_at(&mut octets, 0)?;
        Ok(Some(octets))
    }

    /// Replaces a small file of the root whole: after a crash it holds the old octets or the new.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, draft) = (self.root.join(name), self.root.join(format!("{name}.new")));
        let file = self.device.create(&draft)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        self.device.rename(&draft, &path)?;
        self.device.sync_dir(&self.root)
    }

    /// Makes the names last that are seen now. The process before may have died of a sync that
    /// failed, and what it renamed be in memory only.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.device.sync_dir(&self.journal())?;
        self.device.sync_dir(&self.root)
    }

    fn sync_dir_of(&self, path: &Path) -> io::Result<()> {
        self.device.sync_dir(path.parent().unwrap_or(&self.root))
    }
}

impl DataFile {
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    /// Overwrites a range with zeros, synced.
    pub(crate) fn zero(&self, mut offset: u64, end: u64) -> io::Result<()> {
        let zeros = vec![0; ZERO_STEP];
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(ZERO_STEP);
            let step = zeros.get(..left.min(ZERO_STEP)).unwrap_or(&zeros);
            self.write_all_at(step, offset)?;
            self.sync_data()?;
            offset += u64::try_from(step.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }
}
