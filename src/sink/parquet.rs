//! The Parquet table: staged beside it, published into it.
//!
//! Invariant: the table's directory holds partition directories and finished files only. Everything
//! else (staged files, the lock) stands in the staging directory beside it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::compact::Compactor;
use super::file::{FileFormat, Instants};
use super::generation::parquet_files;
use super::layout;
use super::partition::Partitioning;
use super::place::{
    directories, entries, inside, lock, needs_rename, not_writable, not_written, removed, sync_dir,
};
use super::{ParquetOptions, SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::disk::{self, Disk};
use crate::model::Epoch;

/// Writes one table.
#[derive(Debug)]
pub struct ParquetSink {
    /// The sink's table name in the SQL.
    table: String,
    /// The table's directory.
    dir: PathBuf,
    /// The staging directory.
    stage: PathBuf,
    disk: Disk,
    /// What the names of this job's files begin with.
    stem: String,
    partitioning: Partitioning,
    format: Arc<FileFormat>,
    compactor: Arc<Compactor>,
    /// Held, never read.
    _lock: File,
}

impl ParquetSink {
    /// Opens the table's directory and its staging directory beside it, creating both. A table that
    /// is a symbolic link is followed: staging stands beside what it leads to.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`] when either cannot be written or they are on two file systems,
    /// [`SinkError::Options`] for a time pattern that is no directory, [`SinkError::Foreign`] while
    /// another job writes this table.
    pub fn open(options: ParquetOptions, schema: SchemaRef) -> Result<ParquetSink, SinkError> {
        let partitioning = Partitioning::new(&options, &schema)?;
        let (dir, stage) = directories(&options.disk, &options.path)?;
        let stem = layout::file_stem(options.filename_prefix.as_deref(), &options.job);
        let lock = lock(&options.disk, &dir, &stage)?;
        let format = Arc::new(FileFormat::new(
            &options,
            &schema,
            partitioning.in_files(),
            Instants::Declared,
        ));
        let folders = (partitioning.pattern().cloned(), partitioning.prefixes());
        let compactor = Compactor::new(&options, [&dir, &stage], &stem, folders, format.clone());
        Ok(ParquetSink {
            format,
            compactor: Arc::new(compactor),
            table: options.table,
            dir,
            stage,
            disk: options.disk,
            stem,
            partitioning,
            _lock: lock,
        })
    }

    /// The sink's table name in the SQL.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Checks that the directory of a table that a checkpoint knows of is still there, before
    /// [`ParquetSink::open`] makes a new one.
    ///
    /// # Errors
    /// [`SinkError::Foreign`]: it is gone.
    pub fn check_there(table: &Path) -> Result<(), SinkError> {
        match table.is_dir() {
            true => Ok(()),
            false => Err(removed(table)),
        }
    }

    /// Whether the table's directory holds any published file, of this job or another.
    pub fn has_published(&self) -> Result<bool, SinkError> {
        Ok(!parquet_files(&self.dir)?.is_empty())
    }

    /// What compacts the table's folders.
    pub fn compactor(&self) -> Arc<Compactor> {
        Arc::clone(&self.compactor)
    }

    /// After a restart: publishes what `committed` names and is still staged, then removes every other staged
    /// file of this job, and what a compaction has left. Idempotent. Entries of other tables are passed over.
    ///
    /// # Errors
    /// As [`ParquetSink::publish`].
    pub fn recover(&self, committed: &[FileEntry]) -> Result<(), SinkError> {
        self.publish(committed)?;
        for path in entries(&self.stage)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| layout::is_file_of(&self.stem, name)) {
                self.disk
                    .remove_file(&path)
                    .map_err(|error| not_writable("remove staged file", &path, &error))?;
            }
        }
        self.compactor.clear()
    }

    /// Writes the epoch's rows into staged files, durable on return: one a partition directory, or as many as
    /// its size asks for. Without rows there are no files. Staging an epoch again replaces its staged files.
    ///
    /// # Errors
    /// [`SinkError::Options`]: the rows cannot be split by partition directory.
    /// [`SinkError::NotWritable`]: the disk is full or refuses; nothing is visible to readers.
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        let mut files: Vec<FileEntry> = Vec::new();
        for (dir, rows) in self.partitioning.by_directory(rows)? {
            let mut rows = self.format.sorted(&rows);
            while rows.num_rows() > 0 {
                let name = layout::file_name(&self.stem, epoch, files.len());
                let path = self.stage.join(&name);
                let written = self
                    .format
                    .write(&self.disk, &path, &rows)
                    .map_err(|error| {
                        // Best effort: on a full disk the half file is in the way, and a restart removes it too.
                        let _ = self.disk.remove_file(&path);
                        not_written(&path, &error)
                    })?;
                rows = rows.slice(written.rows, rows.num_rows() - written.rows);
                files.push(FileEntry {
                    table: self.table.clone(),
                    published: layout::place_of(&dir, &name),
                    staged: name,
                    rows: written.rows as u64,
                    bytes: written.bytes,
                });
            }
        }
        if !files.is_empty() {
            sync_dir(&self.disk, &self.stage)?;
        }
        Ok(files)
    }

    /// Makes staged files visible: rename, then fsync of the directories. Idempotent. Entries of
    /// other tables are passed over.
    ///
    /// # Errors
    /// [`SinkError::Foreign`] when a file of that name with other content is there already, or when
    /// a file is neither staged nor published; [`SinkError::NotWritable`] when the disk refuses.
    pub fn publish(&self, files: &[FileEntry]) -> Result<(), SinkError> {
        let own = files.iter().filter(|entry| entry.table == self.table);
        publish(&self.disk, &self.dir, &self.stage, own)
    }
}

/// Renames staged files into the table's directory, then makes the names durable. Idempotent.
pub(super) fn publish<'a>(
    disk: &Disk,
    table: &Path,
    stage: &Path,
    files: impl Iterator<Item = &'a FileEntry>,
) -> Result<(), SinkError> {
    let mut changed = BTreeSet::new();
    for entry in files {
        if !table.is_dir() {
            return Err(removed(table));
        }
        let staged = inside(stage, &entry.staged)?;
        let published = inside(table, &entry.published)?;
        let dir = disk::parent_of(&published);
        if needs_rename(entry, &staged, &published)? {
            disk.create_dirs(dir)
                .map_err(|error| not_writable("create directory", dir, &error))?;
            disk.rename(&staged, &published)
                .map_err(|error| not_writable("publish", &published, &error))?;
        }
        // Also when it was there: the process may have ended between the rename and the fsync.
        changed.insert(dir.to_path_buf());
    }
    changed.iter().try_for_each(|dir| sync_dir(disk, dir))
}
