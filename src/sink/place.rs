//! What the sink asks of the disk, and how it says what is wrong: which directories a table has,
//! whether they can be written, and what stands in them.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use super::{SinkError, layout};
use crate::checkpoint::FileEntry;
use crate::disk::{self, Disk, LockError};

/// The name of a table's lock, in its staging directory.
const LOCK: &str = "lock";

/// The table's directory and its staging directory, both there and writable.
pub(super) fn directories(disk: &Disk, table: &Path) -> Result<(PathBuf, PathBuf), SinkError> {
    let prepare = |dir: &Path| {
        disk.create_dirs(dir)
            .map_err(|error| not_writable("create directory", dir, &error))?;
        check_writable(dir).map_err(|error| not_writable("write into", dir, &error))
    };
    prepare(table)?;
    let dir = table
        .canonicalize()
        .map_err(|error| not_writable("find directory", table, &error))?;
    let stage = layout::staging_dir(&dir).ok_or_else(|| {
        SinkError::NotWritable(format!(
            "{} cannot be a table: staged files need a folder beside it; name a folder below it",
            table.display()
        ))
    })?;
    prepare(&stage)?;
    check_same_file_system(&dir, &stage)?;
    Ok((dir, stage))
}

/// Asks without leaving a trace: not even a probe file may stand in the table's directory.
fn check_writable(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    rustix::fs::access(
        dir,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )?;
    #[cfg(not(unix))]
    fs::metadata(dir)?;
    Ok(())
}

pub(super) fn check_same_file_system(dir: &Path, stage: &Path) -> Result<(), SinkError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |dir: &Path| {
            let metadata = fs::metadata(dir);
            metadata.map_err(|error| not_writable("find directory", dir, &error))
        };
        if device(dir)?.dev() != device(stage)?.dev() {
            let error = io::Error::from(io::ErrorKind::CrossesDevices);
            return Err(not_writable(
                &format!("publish from {} into", stage.display()),
                dir,
                &error,
            ));
        }
    }
    Ok(())
}

/// Whether `entry` is still to be published. What is there already must be the same file.
pub(super) fn needs_rename(
    entry: &FileEntry,
    staged: &Path,
    published: &Path,
) -> Result<bool, SinkError> {
    match (size(staged)?, size(published)?) {
        (Some(_), None) => Ok(true),
        (None, Some(bytes)) if bytes == entry.bytes => Ok(false),
        (Some(_), Some(_)) if same_content(staged, published)? => Ok(true),
        (_, Some(_)) => Err(SinkError::Foreign(format!(
            "{} is there already and holds something else: another job of the same name writes \
             this table, or its checkpoint was removed and the files were not; give this job its own \
             name or path, or move the old table away. Nothing was overwritten",
            published.display()
        ))),
        (None, None) => Err(SinkError::Foreign(format!(
            "{} was committed, but it is neither published nor staged ({}): it was removed by \
             hand; put it back, or start over with another output path and another checkpoint \
             location, for which the rows are computed again from Kafka",
            published.display(),
            staged.display()
        ))),
    }
}

/// Size in bytes; `None`: there is no such file.
fn size(path: &Path) -> Result<Option<u64>, SinkError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_writable("look at", path, &error)),
    }
}

/// Read piece by piece: a backfill's file can be larger than memory should be.
fn same_content(one: &Path, other: &Path) -> Result<bool, SinkError> {
    let open = |path: &Path| {
        let file = File::open(path).map(|file| io::BufReader::with_capacity(1 << 16, file));
        file.map_err(|error| not_writable("read", path, &error))
    };
    let (mut one_file, mut other_file) = (open(one)?.bytes(), open(other)?.bytes());
    loop {
        match (one_file.next().transpose(), other_file.next().transpose()) {
            (Ok(None), Ok(None)) => return Ok(true),
            (Ok(a), Ok(b)) if a == b => {}
            (Ok(_), Ok(_)) => return Ok(false),
            (Err(error), _) => return Err(not_writable("read", one, &error)),
            (_, Err(error)) => return Err(not_writable("read", other, &error)),
        }
    }
}

pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let paths = fs::read_dir(dir).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    });
    paths.map_err(|error| not_writable("list", dir, &error))
}

pub(super) fn inside(dir: &Path, relative: &str) -> Result<PathBuf, SinkError> {
    layout::below(dir, relative).ok_or_else(|| {
        SinkError::Foreign(format!(
            "the checkpoint names {relative:?}, which is not a file below {}",
            dir.display()
        ))
    })
}

/// A table that a checkpoint knows of is not there.
pub(super) fn removed(table: &Path) -> SinkError {
    SinkError::Foreign(format!(
        "the table's folder {} is gone, and with it the candles that were written: it was removed or \
         renamed by hand. Put it back; or move the checkpoint away too, or add --rebuild, and what Kafka \
         retains is computed again",
        table.display()
    ))
}

pub(super) fn sync_dir(disk: &Disk, dir: &Path) -> Result<(), SinkError> {
    disk.sync_dir(dir)
        .map_err(|error| not_writable("fsync", dir, &error))
}

/// Takes the lock of a table, which is held until the file is dropped: two jobs would write the same candles
/// twice, or each other's names.
pub(super) fn lock(disk: &Disk, table: &Path, stage: &Path) -> Result<File, SinkError> {
    let lock = stage.join(LOCK);
    disk.lock(&lock).map_err(|error| match error {
        LockError::Held(pid) => {
            let holder = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
            SinkError::Foreign(format!(
                "{holder} is writing {} (lock {}): one job a table; stop that job, or give this one \
                 another path",
                table.display(),
                lock.display()
            ))
        }
        LockError::Io(error) => not_writable("lock", &lock, &error),
    })
}

pub(super) fn not_writable(doing: &str, path: &Path, error: &io::Error) -> SinkError {
    SinkError::NotWritable(format!(
        "cannot {doing} {}: {error}; {}",
        path.display(),
        disk::advice(error)
    ))
}

pub(super) fn not_written(path: &Path, error: &ParquetError) -> SinkError {
    match error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
    {
        Some(io_error) => not_writable("write", path, io_error),
        None => SinkError::NotWritable(format!("cannot write {}: {error}", path.display())),
    }
}
