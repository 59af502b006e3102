//! What can be done to the disk, step by step, and who may hear of it.

use std::fmt;
use std::io;
use std::path::Path;

/// One step. A process can be stopped before and after each, and a power cut takes back those that no later
/// fsync has made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// An empty directory appears.
    CreateDir(&'a Path),
    /// An empty file appears, or an old one is emptied.
    Create(&'a Path),
    /// Bytes are added at a file's end.
    Write {
        /// The file.
        path: &'a Path,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A file's content becomes durable.
    SyncFile(&'a Path),
    /// A file or a directory changes its name; a file of the new name is replaced.
    Rename {
        /// From this name.
        from: &'a Path,
        /// To this one.
        to: &'a Path,
    },
    /// A file gets a second name, which no file had.
    Link {
        /// This file.
        from: &'a Path,
        /// Its second name.
        to: &'a Path,
    },
    /// Two directories change places.
    Exchange {
        /// The one.
        one: &'a Path,
        /// The other.
        other: &'a Path,
    },
    /// A file disappears.
    RemoveFile(&'a Path),
    /// An empty directory disappears.
    RemoveDir(&'a Path),
    /// The names in a directory become durable.
    SyncDir(&'a Path),
    /// A lock file is opened, or made.
    Lock(&'a Path),
}

impl Step<'_> {
    /// What it is done to.
    pub fn path(&self) -> &Path {
        match *self {
            Step::CreateDir(path)
            | Step::Create(path)
            | Step::Write { path, .. }
            | Step::SyncFile(path)
            | Step::Rename { to: path, .. }
            | Step::Link { to: path, .. }
            | Step::Exchange { one: path, .. }
            | Step::RemoveFile(path)
            | Step::RemoveDir(path)
            | Step::SyncDir(path)
            | Step::Lock(path) => path,
        }
    }

    /// What it does, a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Step::CreateDir(_) => "mkdir",
            Step::Create(_) => "create",
            Step::Write { .. } => "write",
            Step::SyncFile(_) => "fsync",
            Step::Rename { .. } => "rename to",
            Step::Link { .. } => "link to",
            Step::Exchange { .. } => "exchange",
            Step::RemoveFile(_) => "remove",
            Step::RemoveDir(_) => "rmdir",
            Step::SyncDir(_) => "fsync dir",
            Step::Lock(_) => "lock",
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.path().display())
    }
}

/// How much of a step may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// All of it.
    Whole,
    /// Of a [`Step::Write`] at most so many bytes; the rest comes as a step of its own. Of others: all.
    Part(usize),
}

/// Hears of every step; called by one thread at a time of a job's commit, and by those that prepare files
/// beside it.
pub trait Watch: Send + Sync {
    /// Before a step.
    ///
    /// # Errors
    /// The step is not done, and fails with this.
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed>;

    /// After a step that was done.
    fn after(&self, step: &Step<'_>);
}
