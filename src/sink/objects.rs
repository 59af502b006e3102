//! The Parquet table on an object store: staged under a key beside it, published by a copy within the store.
//!
//! ```text
//! s3://b/p/ohlc/date=2026-11-22/ohlc-0000000012-000.parquet             published
//! s3://b/p/_stage/ohlc/000000007/ohlc-0000000012-000.parquet            staged by the table's 7th start
//! s3://b/p/_stage/ohlc/start-000000007.json                             that start
//! ```
//! Invariant: below the table's prefix stand finished files only; an object appears whole, or not at all. No key is
//! ever written by two processes, but the published ones, and these with the same bytes.

use arrow::datatypes::SchemaRef;
use std::io::Seek;

use super::file::{FileFormat, Instants};
use super::layout;
use super::partition::Partitioning;
use super::{ParquetOptions, Peer, SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::disk;
use crate::model::Epoch;
use crate::objects::{Address, Objects, Owner, StoreError};

/// Bytes of a file at most where the table does not say.
const FILE_BYTES: u64 = 1 << 30;
/// Bytes of a file at most: S3 copies 5 GB in one request, and no more.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Where a table stands on a store.
#[derive(Debug, Clone)]
pub struct TableObjects {
    /// The way to the bucket.
    pub objects: Objects,
    /// The table.
    pub address: Address,
    /// The number of this start; `None`: it takes one for this table.
    pub owner: Option<Owner>,
    /// Whether no commit was ever made.
    pub is_first: bool,
}

/// Writes one table of an object store.
#[derive(Debug)]
pub struct ObjectsSink {
    /// The sink's table name in the SQL.
    table: String,
    /// The table, for messages.
    place: String,
    objects: Objects,
    /// What the keys of the table's files begin with.
    dir: String,
    /// What the keys of staged files begin with.
    stage: String,
    owner: Owner,
    /// Whether the number was taken for this table alone.
    owns_start: bool,
    /// See [`TableObjects::is_first`].
    is_first: bool,
    stem: String,
    partitioning: Partitioning,
    format: FileFormat,
}

impl ObjectsSink {
    /// Takes the next number of a start for the table, if it has none, and with that sees whether it may be written.
    ///
    /// # Errors
    /// [`SinkError::Away`] while the store is; [`SinkError::NotWritable`] when it refuses, or ignores conditions;
    /// [`SinkError::Options`] for a time pattern that is no directory.
    pub fn open(
        options: ParquetOptions,
        at: TableObjects,
        schema: SchemaRef,
    ) -> Result<ObjectsSink, SinkError> {
        let file_bytes = options.file_bytes.unwrap_or(FILE_BYTES);
        let options = ParquetOptions {
            file_bytes: Some(file_bytes.min(FILE_BYTES_MAX)),
            ..options
        };
        let partitioning = Partitioning::new(&options, &schema)?;
        let stage = at.address.beside(layout::STAGE).prefix().to_owned();
        let owner = match at.owner {
            Some(owner) => owner,
            None => Owner::claim(&at.objects, &stage)?,
        };
        Ok(ObjectsSink {
            format: FileFormat::new(
                &options,
                &schema,
                partitioning.in_files(),
                Instants::Declared,
            ),
            stem: layout::file_stem(options.filename_prefix.as_deref(), &options.job),
            table: options.table,
            place: at.address.to_string(),
            objects: at.objects,
            dir: at.address.prefix().to_owned(),
            stage,
            owner,
            owns_start: at.owner.is_none(),
            is_first: at.is_first,
            partitioning,
        })
    }

    /// The sink's table name in the SQL.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table's URL.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether any published file stands below the table's URL, of this job or another.
    ///
    /// # Errors
    /// As [`ObjectsSink::open`].
    pub fn has_published(&self) -> Result<bool, SinkError> {
        let found = self.objects.list(&self.dir, None)?;
        Ok(found.iter().any(|object| object.key.ends_with(".parquet")))
    }

    /// After a restart: publishes what `committed` names and is still staged, then removes what earlier starts of
    /// this job have staged and no commit names. Idempotent. Entries of other tables are passed over.
    ///
    /// A first start removes nothing: who else starts for the first time may be about to commit it.
    ///
    /// # Errors
    /// As [`ObjectsSink::publish`].
    pub fn recover(&self, committed: &[FileEntry]) -> Result<(), SinkError> {
        if self.is_first {
            return Ok(());
        }
        self.publish(committed)?;
        for object in self.objects.list(&self.stage, None)? {
            let staged = (object.key.strip_prefix(&self.stage))
                .and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
            if let Some((folder, name)) = staged
                && Owner::of_folder(folder).is_some_and(|owner| owner < self.owner)
                && layout::is_file_of(&self.stem, name)
            {
                self.objects.delete(&object.key)?;
            }
        }
        if self.owns_start {
            self.owner.forget_earlier(&self.objects, &self.stage)?;
        }
        Ok(())
    }

    /// Writes the epoch's rows into staged objects: one a partition directory, or as many as its size asks for.
    /// Without rows there are none. Staging an epoch again replaces what it has staged.
    ///
    /// # Errors
    /// [`SinkError::Away`], [`SinkError::NotWritable`]: nothing is visible to readers. [`SinkError::Options`]: the
    /// rows cannot be split by partition directory.
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
                let staged = format!("{}/{name}", self.owner.folder());
                let key = format!("{}/{staged}", self.stage);
                let unwritten = |error: &dyn std::fmt::Display| {
                    SinkError::NotWritable(format!(
                        "cannot write a temporary file for {}: {error}; make room in the folder for temporary files, or name another one (TMPDIR)",
                        self.objects.shown(&key)
                    ))
                };
                // It is written here first, so that a large one is never in memory.
                let (open, mut file) = disk::unnamed().map_err(|error| unwritten(&error))?;
                let written = self
                    .format
                    .write_into(open, &rows)
                    .and_then(|written| {
                        file.rewind()?;
                        Ok(written)
                    })
                    .map_err(|error| unwritten(&error))?;
                self.objects.put_file(&key, &mut file)?;
                rows = rows.slice(written.rows, rows.num_rows() - written.rows);
                files.push(FileEntry {
                    table: self.table.clone(),
                    published: layout::place_of(&dir, &name),
                    staged,
                    rows: written.rows as u64,
                    bytes: written.bytes,
                });
            }
        }
        Ok(files)
    }

    /// Makes staged objects visible: each is copied to its place, seen there, and then removed where it was staged.
    /// Idempotent, whoever else does it. Entries of other tables are passed over.
    ///
    /// # Errors
    /// [`SinkError::Away`] while the store is. [`SinkError::Foreign`] when an object of that key with other content is
    /// there already, or when one is neither staged nor published; [`SinkError::NotWritable`] when the store refuses.
    pub fn publish(&self, files: &[FileEntry]) -> Result<(), SinkError> {
        for entry in files.iter().filter(|entry| entry.table == self.table) {
            let staged = self.inside(&self.stage, &entry.staged)?;
            let published = self.inside(&self.dir, &entry.published)?;
            if !self.is_published(entry, &staged, &published)? {
                match self.objects.copy(&staged, &published) {
                    // Somebody may have published and removed it since it was looked for.
                    Err(StoreError::NotFound(_)) => {}
                    copied => copied?,
                }
                // A copy is done when it is there: Azure may answer before that.
                match self.objects.size(&published)? {
                    Some(bytes) if bytes == entry.bytes => {}
                    Some(_) => return Err(self.other(&published)),
                    None if self.objects.size(&staged)?.is_some() => {
                        return Err(SinkError::Away {
                            peer: Peer::Other,
                            why: format!(
                                "{} is being copied, and is not there yet",
                                self.objects.shown(&published)
                            ),
                        });
                    }
                    None => return Err(self.lost(&published, &staged)),
                }
            }
            self.objects.delete(&staged)?;
        }
        Ok(())
    }

    /// Whether the file stands where readers see it. Nobody but this job's starts gives an object such a name.
    fn is_published(
        &self,
        entry: &FileEntry,
        staged: &str,
        published: &str,
    ) -> Result<bool, SinkError> {
        match self.objects.size(published)? {
            None => Ok(false),
            Some(bytes) if bytes != entry.bytes => Err(self.other(published)),
            // It was copied, and the process ended before it was removed here; or it is another file of that size.
            Some(bytes) => match self.objects.is_same(staged, published, bytes)? {
                Some(false) => Err(self.other(published)),
                Some(true) | None => Ok(true),
            },
        }
    }

    fn other(&self, published: &str) -> SinkError {
        SinkError::Foreign(format!(
            "{} is there already and holds something else: another job of the same name writes this table, or its checkpoint was removed and the files were not; give this job its own name or path, or move the old table away. Nothing was overwritten",
            self.objects.shown(published)
        ))
    }

    fn lost(&self, published: &str, staged: &str) -> SinkError {
        SinkError::Foreign(format!(
            "{} was committed, but it is neither published nor staged ({}): it was removed by hand, or by a rule of the bucket; put it back, or start over with another output path and another checkpoint location, for which the rows are computed again from Kafka",
            self.objects.shown(published),
            self.objects.shown(staged)
        ))
    }

    fn inside(&self, dir: &str, relative: &str) -> Result<String, SinkError> {
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        match relative.split('/').all(is_plain) {
            true => Ok(format!("{dir}/{relative}")),
            false => Err(SinkError::Foreign(format!(
                "the checkpoint names {relative:?}, which is not an object below {}",
                self.objects.shown(dir)
            ))),
        }
    }
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> SinkError {
        match error {
            StoreError::Away(why) => SinkError::Away {
                peer: Peer::Other,
                why,
            },
            error @ (StoreError::Exists(_) | StoreError::NotFound(_) | StoreError::Refused(_)) => {
                SinkError::NotWritable(error.to_string())
            }
        }
    }
}
