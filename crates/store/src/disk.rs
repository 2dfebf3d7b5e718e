//! Files, and the one place where they can be made to fail in a test.
//!
//! Invariant: nothing above calls the file system for data; a created or renamed
//! file is there after a power cut once the call returns.
//! Refs: docs/adr/0003-store.md.

use crate::format::{len64, size};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much is zeroed between two syncs, so that the writer's own syncs find little queued.
const ZERO_STEP: usize = 1 << 20;

/// Where the store's files live.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) root: PathBuf,
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<faults::Faults>,
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
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

/// One open file.
pub(crate) struct DataFile {
    file: File,
    #[cfg(test)]
    faults: std::sync::Arc<faults::Faults>,
}

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            #[cfg(test)]
            faults: std::sync::Arc::default(),
        }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// What the file system would still give an ordinary user.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(free) = self.faults.free() {
            return Ok(free);
        }
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Opens a file that is there.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DataFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(self.wrap(file))
    }

    /// Creates a file of `size` octets that all read as zero, with its blocks reserved.
    pub(crate) fn create(&self, path: &Path, size: u64) -> io::Result<DataFile> {
        #[cfg(test)]
        self.faults.check(faults::Act::Create)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size) {
            Ok(()) => {}
            // Not every file system reserves; there the length alone has to do.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(size)?,
            Err(error) => {
                drop(file);
                let _ = fs::remove_file(path);
                return Err(error.into());
            }
        }
        file.sync_all()?;
        self.sync_journal_dir()?;
        Ok(self.wrap(file))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.sync_journal_dir()
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        self.sync_journal_dir()
    }

    /// Replaces a small file whole: after a crash it holds the old octets or the new ones.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, draft) = (self.root.join(name), self.root.join(format!("{name}.new")));
        let file = File::create(&draft)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        sync_dir(&self.root)
    }

    fn sync_journal_dir(&self) -> io::Result<()> {
        sync_dir(&self.journal())
    }

    fn wrap(&self, file: File) -> DataFile {
        DataFile {
            file,
            #[cfg(test)]
            faults: self.faults.clone(),
        }
    }
}

/// Makes the names in a directory last.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl DataFile {
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Err(error) = self.faults.check(faults::Act::Write) {
            // Half arrives, as it may on a real disk.
            self.file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), offset)?;
            return Err(error);
        }
        self.file.write_all_at(bytes, offset)
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.check(faults::Act::Sync)?;
        self.file.sync_data()
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

#[cfg(test)]
pub(crate) mod faults {
    //! Failures on demand.

    use std::io;
    use std::sync::Mutex;

    /// What can be made to fail.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Act {
        Create,
        Write,
        Sync,
    }

    /// The failures to come.
    #[derive(Default)]
    pub(crate) struct Faults {
        next: Mutex<Vec<(Act, io::ErrorKind)>>,
        free: Mutex<Option<u64>>,
    }

    impl Faults {
        pub(crate) fn arm(&self, act: Act, kind: io::ErrorKind) {
            self.next.lock().unwrap().push((act, kind));
        }

        pub(crate) fn set_free(&self, free: Option<u64>) {
            *self.free.lock().unwrap() = free;
        }

        pub(crate) fn free(&self) -> Option<u64> {
            *self.free.lock().unwrap()
        }

        pub(crate) fn check(&self, act: Act) -> io::Result<()> {
            let mut next = self.next.lock().unwrap();
            match next.iter().position(|(armed, _)| *armed == act) {
                Some(at) => Err(next.remove(at).1.into()),
                None => Ok(()),
            }
        }
    }
}
