//! The many small files of a partition directory that gets no more → one, in one step for whoever reads.
//!
//! The merged file is written into a folder of the same name below the staging directory; when it is durable the
//! two folders change places, and the old one, which is the staged one now, is removed. What stands in staging is
//! therefore never needed: before the exchange it is the copy, after it the original. Invariant: nothing of it is
//! removed before both places of the exchange are durable, else a power cut could take the exchange back.

mod folder;
mod merge;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::folder::held;
pub use self::folder::{Folder, Terms};
use self::merge::{Merged, merge};
use super::file::FileFormat;
use super::layout::{self, TimePattern};
use super::place::{entries, not_writable, sync_dir};
use super::{ParquetOptions, SinkError};
use crate::disk::{self, Disk};

/// Compacts the partition directories of one table. It shares nothing with the table's sink but the disk, so it can
/// prepare a folder in a thread of its own; only one may do so at a time.
#[derive(Debug)]
pub struct Compactor {
    /// The sink's table name in the SQL.
    table: String,
    /// The table's directory.
    dir: PathBuf,
    /// Where merged files are written: in the staging directory.
    work: PathBuf,
    disk: Disk,
    stem: String,
    /// `None`: no directory is ever known to get no more.
    pattern: Option<TimePattern>,
    /// What the directories of partition columns begin with, in order: `exchange=`.
    columns: Vec<String>,
    format: Arc<FileFormat>,
}

/// A folder whose merged files are durable and wait to take its place.
#[derive(Debug)]
pub struct Prepared {
    folder: Folder,
    merged: Merged,
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanged {
    /// Readers see the merged files.
    Done {
        /// Files that were merged.
        files: usize,
        /// Files that they are now.
        merged: usize,
    },
    /// The folder is no longer the one that was merged; readers see it as it is.
    Changed,
    /// The file system cannot exchange folders; readers see the folder as it was.
    Unsupported,
}

/// Why a folder was not compacted. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotCompacted {
    /// Its files do not go together, or one of them cannot be read.
    #[error("{0}")]
    Unfit(String),
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] SinkError),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

impl Compactor {
    /// A compactor of the table in `dir`, staged in `stage`, whose own files' names begin with `stem`.
    pub(super) fn new(
        options: &ParquetOptions,
        [dir, stage]: [&Path; 2],
        stem: &str,
        (pattern, columns): (Option<TimePattern>, Vec<String>),
        format: Arc<FileFormat>,
    ) -> Compactor {
        Compactor {
            table: options.table.clone(),
            dir: dir.to_path_buf(),
            work: layout::compaction_dir(stage, stem),
            disk: options.disk.clone(),
            stem: stem.to_owned(),
            pattern,
            columns,
            format,
        }
    }

    /// The sink's table name in the SQL.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Merges the files of a folder into new ones, durable on return and seen by nobody. `stop` is asked again and
    /// again. What else was prepared and not exchanged is removed.
    ///
    /// # Errors
    /// See [`NotCompacted`]; nothing is left behind then, as far as the disk lets it be removed.
    pub fn prepare(
        &self,
        folder: Folder,
        stop: &dyn Fn() -> bool,
    ) -> Result<Prepared, NotCompacted> {
        self.clear()?;
        let prepared = self.write(&folder, stop);
        match prepared {
            Ok(merged) => Ok(Prepared { folder, merged }),
            Err(error) => {
                // Best effort: on a full disk it is in the way, and the next one removes it too.
                let _ = self.clear();
                Err(error)
            }
        }
    }

    fn write(&self, folder: &Folder, stop: &dyn Fn() -> bool) -> Result<Merged, NotCompacted> {
        let (old, new) = (self.published(folder), self.staged(folder));
        self.disk
            .create_dirs(&new)
            .map_err(|error| not_writable("create directory", &new, &error))?;
        // Readers that could read the folder can read what takes its place. Best effort: its owner may differ.
        if let Ok(metadata) = fs::metadata(&old) {
            let _ = fs::set_permissions(&new, metadata.permissions());
        }
        let sources: Vec<PathBuf> = folder.names().map(|name| old.join(name)).collect();
        let target = |ordinal| new.join(folder.merged_name(&self.stem, ordinal));
        let merged = merge(&self.disk, &self.format, &sources, &target, stop)?;
        sync_dir(&self.disk, &new)?;
        Ok(merged)
    }

    /// Lets the merged files take the folder's place, if it is still the folder that was merged and none of its
    /// files is in `named`, which a restart must find. Durable after [`Compactor::clear`].
    ///
    /// # Errors
    /// [`SinkError::NotWritable`]: the disk refuses.
    pub fn exchange(
        &self,
        prepared: &Prepared,
        named: &BTreeSet<String>,
    ) -> Result<Exchanged, SinkError> {
        let Prepared { folder, merged } = prepared;
        let (old, new) = (self.published(folder), self.staged(folder));
        let stands = !folder.is_named(named)
            && held(&old, &self.stem)?.is_some_and(|files| files == folder.files)
            && merged.stands_in(&new);
        if !stands {
            return Ok(Exchanged::Changed);
        }
        let exchange = || {
            let exchanged = self.disk.exchange(&old, &new);
            exchanged.map_err(|error| not_writable("compact", &old, &error))
        };
        if !exchange()? {
            return Ok(Exchanged::Unsupported);
        }
        // Somebody else, who writes into this table too, may have come in between: then it was not to be.
        if held(&new, &self.stem)?.is_none_or(|files| files != folder.files) {
            exchange()?;
            return Ok(Exchanged::Changed);
        }
        Ok(Exchanged::Done {
            files: folder.files.len(),
            merged: merged.files.len(),
        })
    }

    /// Removes what stands in staging, whether it is a copy or, after an exchange, the original. Idempotent.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`]: the disk refuses.
    pub fn clear(&self) -> Result<(), SinkError> {
        if !self.work.is_dir() {
            return Ok(());
        }
        // It is not known whether a folder of these was exchanged, and whether that is durable: so it is made so.
        let mut exchanged = BTreeSet::new();
        for folder in folders_below(&self.work)? {
            if let Ok(relative) = disk::parent_of(&folder).strip_prefix(&self.work) {
                exchanged.insert(self.dir.join(relative));
                exchanged.insert(self.work.join(relative));
            }
        }
        exchanged.retain(|place| place.is_dir());
        for place in &exchanged {
            sync_dir(&self.disk, place)?;
        }
        self.disk
            .remove_dirs(&self.work)
            .map_err(|error| not_writable("remove directory", &self.work, &error))
    }

    fn published(&self, folder: &Folder) -> PathBuf {
        self.dir.join(&folder.relative)
    }

    fn staged(&self, folder: &Folder) -> PathBuf {
        self.work.join(&folder.relative)
    }
}

impl Terms {
    /// Whether nothing of a folder with this youngest file, nanoseconds since 1970 UTC, was published lately.
    fn grace_is_over(&self, youngest: i64) -> bool {
        let age = self.now.saturating_sub(youngest);
        u64::try_from(age).is_ok_and(|age| Duration::from_nanos(age) >= self.grace)
    }
}

/// Every folder below `dir`.
fn folders_below(dir: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let mut folders = Vec::new();
    let mut unread = vec![dir.to_path_buf()];
    while let Some(dir) = unread.pop() {
        let inside = entries(&dir)?;
        let inside = inside
            .into_iter()
            .filter(|path| path.is_dir() && !path.is_symlink());
        for folder in inside {
            unread.push(folder.clone());
            folders.push(folder);
        }
    }
    Ok(folders)
}
