//! From a backup to a data directory that a cell can serve from.
//!
//! Invariant: checks a point before it writes anything; the mark that says what this is comes
//! first, and what makes the store one last.
//! Refs: specs/backup.md §5.

use super::check::{check_point, opened};
use super::{
    BackupError, FORMAT, Point, PointFault, check_format, file_path, numbers, segment_path,
};
use crate::disk::{DataFile, Disk, ReadAt as _};
use crate::format::{VERSION, len64};
use std::io;
use std::path::Path;

/// The file of a data directory that says that it was restored.
pub const RESTORED: &str = "RESTORED";

const STEP: usize = 1 << 20;

/// Makes the data directory `to`, which is empty or not there, from a point of the backup in
/// `from`: the one of this number, or the newest.
///
/// # Errors
/// [`BackupError::NotEmpty`], [`BackupError::Inside`], [`BackupError::NoPoint`],
/// [`BackupError::Broken`]; see [`BackupError`].
pub fn restore(from: &Path, to: &Path, number: Option<u64>) -> Result<Point, BackupError> {
    let (backup, data) = (Disk::new(from), Disk::new(to));
    check_format(&backup.read(FORMAT)?.ok_or(BackupError::NotABackup)?)?;
    if lies_in(to, from)? {
        return Err(BackupError::Inside);
    }
    let newest = numbers(&backup)?.last().copied();
    let number = number.or(newest).ok_or(BackupError::NoPoint)?;
    let mut checked = check_point(&backup, number)?;
    if let Some(fault) = checked.faults.pop() {
        return Err(BackupError::Broken(fault));
    }
    let point = checked.point.ok_or(BackupError::NoPoint)?;
    data.make_dir(to)?;
    if !data.list(to)?.is_empty() {
        return Err(BackupError::NotEmpty);
    }
    data.replace(RESTORED, mark(&point).as_bytes())?;
    for part in &point.files {
        let file = whole(&backup, &file_path(&backup, part), &part.name)?;
        let target = to.join(&part.name);
        data.make_dir(target.parent().unwrap_or(to))?;
        let written = data.begin(&target)?;
        copy(&file, &written, part.len)?;
        // Few folders, and nothing waits: each name is made to last as it comes.
        target
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != to)
            .try_for_each(|folder| data.sync_dir(folder))?;
    }
    let store = Disk::new(&to.join("store"));
    store.make_dir(&store.journal())?;
    for part in &point.segments {
        let name = format!("segment {}", part.id);
        let file = whole(&backup, &segment_path(&backup, part.id), &name)?;
        let written = store.create(&crate::segment::path(&store, part.id), part.size)?;
        copy(&file, &written, part.end)?;
    }
    data.sync_dir(to)?;
    store.replace(FORMAT, format!("bailiwick store\nversion {VERSION}\n").as_bytes())?;
    Ok(point)
}

/// Whether a path, of which the end need not be there yet, is a folder or leads into it.
fn lies_in(path: &Path, folder: &Path) -> io::Result<bool> {
    let folder = folder.canonicalize()?;
    let path = std::path::absolute(path)?;
    for above in path.ancestors() {
        match above.canonicalize() {
            Ok(real) => return Ok(real.starts_with(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn mark(point: &Point) -> String {
    let (number, made, seq) = (point.number, point.made.0, point.seq.saturating_sub(1));
    format!("bailiwick restored\npoint {number}\nmade {made}\nsequence {seq}\n")
}

fn whole(backup: &Disk, path: &Path, name: &str) -> Result<DataFile, BackupError> {
    let gone = || BackupError::Broken(PointFault::File { name: name.to_owned() });
    opened(backup, path)?.ok_or_else(gone)
}

fn copy(from: &DataFile, to: &DataFile, end: u64) -> Result<(), BackupError> {
    let (mut at, mut buf) = (0, vec![0; STEP]);
    while at < end {
        let step = usize::try_from(end - at).map_or(STEP, |left| left.min(STEP));
        let part = buf.get_mut(..step).unwrap_or_default();
        from.read_exact_at(part, at)?;
        to.write_all_at(part, at)?;
        at += len64(step);
    }
    Ok(to.sync_data()?)
}
