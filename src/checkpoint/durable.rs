//! Every step on the disk that must survive a power cut, one small function each.
//!
//! The checkpoint and the sink are made of these, and nothing else in the two rooms writes, renames
//! or removes a file: the places where a process can be stopped between two steps are all here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Creates `dir` and the parents that are missing, and makes their names durable.
pub(crate) fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir);
    create_dirs(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(parent),
    }
}

/// Writes a whole file and makes its content durable; its name is durable after [`sync_dir`].
/// What was there under that name is replaced.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    sync_file(&file)
}

/// Makes the content of a written file durable.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Gives a file its final name; durable after [`sync_dir`] of the directory of `to`.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Lets two folders of one file system change places in one step, so that a reader finds the one or the
/// other; durable after [`sync_dir`] of both parents. `false`: the system or the file system has no such
/// step, and nothing was done.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (one, other);
        Ok(false)
    }
}

/// Removes a directory and all that is in it; one that is already gone is fine.
pub(crate) fn remove_dirs(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a directory if nothing is in it; whether it is gone.
pub(crate) fn remove_empty_dir(dir: &Path) -> bool {
    match fs::remove_dir(dir) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and a rename is durable by itself.
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Removes a file; one that is already gone is fine.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Why a lock was not taken.
pub(crate) enum LockError {
    /// Another process (or another part of this one) holds it; its process id, where it could be read.
    Held(Option<u32>),
    /// The lock file cannot be opened or locked.
    Io(io::Error),
}

/// Takes the lock `path` and writes this process' id into it. It is held until the file is dropped;
/// the system releases it when the process ends, however it ends.
pub(crate) fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let pid = read.ok().and_then(|_| holder.trim().parse().ok());
            return Err(LockError::Held(pid));
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    write_pid(&mut file).map_err(LockError::Io)?;
    Ok(file)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The directory that holds `path`; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// What a person can do about an error of the disk.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give this user the right to write there, or choose another path"
        }
        io::ErrorKind::StorageFull => "make room on the disk and start again",
        io::ErrorKind::QuotaExceeded => "the user's disk quota is used up; raise it or make room",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; mount it writable, or choose another path"
        }
        io::ErrorKind::CrossesDevices => {
            "both must be on one file system; mount the folder above them, not the table's own"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a directory is needed; move it away, or choose another path"
        }
        io::ErrorKind::NotFound => "something removed it while the job was running; start again",
        _ => "check the disk and start again",
    }
}
