//! Every step on the disk that must survive a crash or a power cut, one small method each.
//!
//! The checkpoint and the sinks are made of these, and nothing else in those rooms writes, renames or
//! removes a file: the places where a process can be stopped between two steps are all here. A [`Watch`]
//! hears of each step before it, and can refuse it: so tests stop a job at every one of them.

mod error;
mod steps;

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use error::advice;
pub use steps::{Allowed, Step, Watch};

/// A lock is waited for so long: one who was killed a moment ago may not have let go of it yet.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The way to the disk. Clones are the same way.
#[derive(Clone, Default)]
pub struct Disk {
    watch: Option<Arc<dyn Watch>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.watch.is_some();
        f.debug_struct("Disk").field("watched", &watched).finish()
    }
}

impl Disk {
    /// A disk whose every step `watch` hears of.
    pub fn watched(watch: Arc<dyn Watch>) -> Disk {
        Disk { watch: Some(watch) }
    }

    /// Does a step that is done or not done, never half.
    fn step<T>(&self, step: Step<'_>, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(watch) = &self.watch else {
            return effect();
        };
        watch.before(&step)?;
        let done = effect()?;
        watch.after(&step);
        Ok(done)
    }

    /// Creates `dir` and the parents that are missing, and makes their names durable.
    pub fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = parent_of(dir);
        self.create_dirs(parent)?;
        match self.step(Step::CreateDir(dir), || fs::create_dir(dir)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_dir(parent),
        }
    }

    /// Creates an empty file, or empties the one of that name, for writing.
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        let file = self.step(Step::Create(path), || File::create(path))?;
        Ok(DiskFile {
            file,
            path: path.to_path_buf(),
            disk: self.clone(),
        })
    }

    /// Writes a whole file and makes its content durable; its name is durable after [`Disk::sync_dir`].
    /// What was there under that name is replaced.
    pub fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(path)?;
        file.write_all(bytes)?;
        file.sync()
    }

    /// Gives a file or a folder its final name; durable after [`Disk::sync_dir`] of both parents.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename { from, to }, || fs::rename(from, to))
    }

    /// Gives a file a second name, unless there is a file of that name already, which is the error
    /// [`io::ErrorKind::AlreadyExists`]; durable after [`Disk::sync_dir`] of the new name's parent.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Link { from, to }, || fs::hard_link(from, to))
    }

    /// Lets two folders of one file system change places in one step, so that a reader finds the one or the
    /// other; durable after [`Disk::sync_dir`] of both parents. `false`: the system or the file system has no
    /// such step, and nothing was done.
    pub fn exchange(&self, one: &Path, other: &Path) -> io::Result<bool> {
        match self.step(Step::Exchange { one, other }, || exchange(one, other)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
            exchanged => exchanged.map(|()| true),
        }
    }

    /// Removes a directory and all that is in it; one that is already gone is fine.
    pub fn remove_dirs(&self, dir: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => self.remove_dirs(&entry.path())?,
                false => self.remove_file(&entry.path())?,
            }
        }
        gone(self.step(Step::RemoveDir(dir), || fs::remove_dir(dir)))
    }

    /// Removes a directory if nothing is in it; whether it is gone.
    pub fn remove_empty_dir(&self, dir: &Path) -> bool {
        gone(self.step(Step::RemoveDir(dir), || fs::remove_dir(dir))).is_ok()
    }

    /// Removes a file; one that is already gone is fine.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        gone(self.step(Step::RemoveFile(path), || fs::remove_file(path)))
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(Step::SyncDir(dir), || match cfg!(unix) {
            // Elsewhere a directory cannot be opened as a file, and a rename is durable by itself.
            true => File::open(dir)?.sync_all(),
            false => Ok(()),
        })
    }

    /// Takes the lock `path` and writes this process' id into it. It is held until the file is dropped;
    /// the system releases it when the process ends, however it ends.
    pub fn lock(&self, path: &Path) -> Result<File, LockError> {
        let mut file = self
            .step(Step::Lock(path), || {
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path)
            })
            .map_err(LockError::Io)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let read = file.read_to_string(&mut holder);
                    let pid = read.ok().and_then(|_| holder.trim().parse().ok());
                    return Err(LockError::Held(pid));
                }
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        write_pid(&mut file).map_err(LockError::Io)?;
        Ok(file)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    /// Makes what was written durable.
    pub fn sync(&self) -> io::Result<()> {
        let step = Step::SyncFile(&self.path);
        self.disk.step(step, || self.file.sync_all())
    }

    /// The same file again.
    pub fn try_clone(&self) -> io::Result<DiskFile> {
        Ok(DiskFile {
            file: self.file.try_clone()?,
            path: self.path.clone(),
            disk: self.disk.clone(),
        })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(watch) = &self.disk.watch else {
            return self.file.write(bytes);
        };
        let path = &self.path;
        match watch.before(&Step::Write { path, bytes })? {
            Allowed::Whole => self.file.write_all(bytes)?,
            Allowed::Part(part) => {
                let part = &bytes[..part.min(bytes.len())];
                self.file.write_all(part)?;
                watch.after(&Step::Write { path, bytes: part });
                // What is left is written by the next call, which may refuse it.
                return Ok(part.len());
            }
        }
        watch.after(&Step::Write { path, bytes });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process (or another part of this one) holds it; its process id, where it could be read.
    Held(Option<u32>),
    /// The lock file cannot be opened or locked.
    Io(io::Error),
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            exchanged => Ok(exchanged?),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (one, other);
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The directory that holds `path`; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}
