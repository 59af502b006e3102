//! A Delta Lake table: *stage* writes data files where they will stay, in no version of the table; *publish* is one
//! commit of its log, with the files and the epoch; *recover* reads from the log whether an epoch is in it.
//!
//! Invariant: an epoch is in the table whole or not at all, and never twice, whoever else writes to it.

mod durable;
mod files;
mod log;
mod schema;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use delta_kernel::Version;
use delta_kernel::snapshot::SnapshotRef;

use self::durable::{DurableLocal, is_aside};
use self::files::Files;
use self::log::{ENGINE, Ended, LOG, Log};
use self::schema::Declared;
use super::file::{Instants, file_schema};
use super::place::{directories, entries, lock, not_writable, sync_dir};
use super::{ParquetOptions, Peer, SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::disk::Disk;
use crate::model::Epoch;
use crate::runtime::Runtime;

/// Versions between two checkpoints of a log, unless told otherwise: a reader reads that many small files at most.
pub const LOG_CHECKPOINT_EVERY: u64 = 100;
/// Times that a version is tried for which other writers were faster.
const ATTEMPTS: usize = 10;

/// Which Delta table is written, and how.
#[derive(Debug, Clone)]
pub struct DeltaOptions {
    /// Its folder and its files.
    pub files: ParquetOptions,
    /// The last epoch of the job's checkpoint; `None`: it has none.
    pub committed: Option<Epoch>,
    /// Versions between two checkpoints of the log.
    pub log_checkpoint_every: u64,
}

/// Writes one Delta table.
#[derive(Debug)]
pub struct DeltaSink {
    table: String,
    dir: PathBuf,
    disk: Disk,
    declared: Declared,
    files: Files,
    log: Log,
    /// The newest version that is known.
    snapshot: SnapshotRef,
    /// The last epoch of this job that is in it.
    sent: Option<Epoch>,
    committed: Option<Epoch>,
    checkpoint_every: u64,
    /// No checkpoint of the log is tried before this version.
    checkpoint_from: Version,
    /// Held, never read.
    _lock: File,
}

/// The id of a job's commits to a table: what `txn` of the table's log names.
pub fn app_id(job: &str, table: &str) -> String {
    format!("stockpulse/{job}/{table}")
}

impl DeltaSink {
    /// Opens the table, or makes it.
    ///
    /// # Errors
    /// [`SinkError::Foreign`] for a folder that holds something else, a table of other columns or with features
    /// that this sink does not keep, one that knows epochs of this job that the checkpoint does not, and while
    /// another job writes it. [`SinkError::NotWritable`], [`SinkError::Options`].
    pub fn open(options: DeltaOptions, schema: SchemaRef) -> Result<DeltaSink, SinkError> {
        let DeltaOptions {
            files: options,
            committed,
            log_checkpoint_every,
        } = options;
        let disk = options.disk.clone();
        let (dir, stage) = directories(&disk, &options.path)?;
        let lock = lock(&disk, &dir, &stage)?;
        let app = app_id(&options.job, &options.table);
        let mut files = Files::new(&options, &schema, &dir, &app)?;
        let store = Arc::new(DurableLocal::new(disk.clone()));
        let log = Log::new(store, &Runtime::of_process()?, &dir, app)?;
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let columns = file_schema(&schema, &columns, Instants::MicrosUtc);
        let declared = Declared::new(&columns, files.partition_names().to_vec())
            .map_err(|error| SinkError::Options(error.to_string()))?;
        let snapshot = match log.newest()? {
            Some(snapshot) => snapshot,
            None => create(&disk, &dir, &log, &declared)?,
        };
        check(&declared, &dir, &snapshot)?;
        files.have_statistics(log.statistics(&snapshot)?);
        let sent = log.epoch(&snapshot)?;
        if let Some(sent) = sent
            && Some(sent) > committed
        {
            return Err(ahead(&dir, &log, sent, committed));
        }
        Ok(DeltaSink {
            table: options.table,
            dir,
            disk,
            declared,
            files,
            log,
            snapshot,
            sent,
            committed,
            checkpoint_every: log_checkpoint_every,
            checkpoint_from: 0,
            _lock: lock,
        })
    }

    /// Checks that a table that a checkpoint knows of is still there, before [`DeltaSink::open`] makes a new one.
    ///
    /// # Errors
    /// [`SinkError::Foreign`]: it is gone.
    pub fn check_there(table: &Path) -> Result<(), SinkError> {
        match table.join(LOG).is_dir() {
            true => Ok(()),
            false => Err(gone(table)),
        }
    }

    /// The sink's table name in the SQL.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table, for people.
    pub fn place(&self) -> String {
        format!("delta {}", self.log.url().as_str().trim_end_matches('/'))
    }

    /// After a restart: commits to the table what `committed` names and is in no version of it, then removes what
    /// was staged and not committed. Idempotent. Entries of other tables are passed over.
    ///
    /// # Errors
    /// As [`DeltaSink::publish`]; [`SinkError::Foreign`] for files of later epochs than the checkpoint's.
    pub fn recover(&mut self, committed: &[FileEntry]) -> Result<(), SinkError> {
        self.publish(committed)?;
        let left = self.files.uncommitted(self.committed)?;
        if !left.is_empty() {
            let table = self.log.files(&self.snapshot)?;
            self.files.remove(&left, &table, self.log.url())?;
        }
        let log = self.dir.join(LOG);
        let mut changed = false;
        for path in entries(&log)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(is_aside) {
                (self.disk)
                    .remove_file(&path)
                    .map_err(|error| not_writable("remove", &path, &error))?;
                changed = true;
            }
        }
        match changed {
            true => sync_dir(&self.disk, &log),
            false => Ok(()),
        }
    }

    /// Writes the epoch's rows into files that no version of the table names, durable on return. Staging an
    /// epoch again replaces them.
    ///
    /// # Errors
    /// As [`ParquetSink::stage`](super::ParquetSink::stage).
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        self.files.stage(epoch, rows)
    }

    /// Commits staged files to the table, if their epoch is in no version of it yet. Idempotent. Entries of other
    /// tables are passed over.
    ///
    /// # Errors
    /// [`SinkError::Away`] while other writers are always faster. [`SinkError::Foreign`] for a file that is not
    /// the one that was committed, and for a table that was removed, replaced, or given other columns or
    /// features. [`SinkError::NotWritable`] when the disk refuses.
    pub fn publish(&mut self, files: &[FileEntry]) -> Result<(), SinkError> {
        let own: Vec<&FileEntry> = (files.iter())
            .filter(|entry| entry.table == self.table)
            .collect();
        let Some(first) = own.first() else {
            return Ok(());
        };
        let epoch = self.files.epoch_of(first)?;
        let mut adds = Vec::new();
        for _ in 0..ATTEMPTS {
            self.refresh()?;
            if self.sent >= Some(epoch) {
                // The process may have ended between the commit and its fsync.
                return sync_dir(&self.disk, &self.dir.join(LOG));
            }
            if adds.is_empty() {
                let rows = own
                    .iter()
                    .map(|entry| self.files.add(entry, self.log.url()));
                adds = rows.collect::<Result<_, _>>()?;
            }
            match self.log.commit(&self.snapshot, epoch, &adds)? {
                Ended::Conflict => {}
                Ended::Committed {
                    snapshot,
                    since_checkpoint,
                } => {
                    if let Some(snapshot) = snapshot {
                        self.snapshot = snapshot;
                        self.sent = Some(epoch);
                    }
                    self.write_checkpoint(since_checkpoint);
                    return Ok(());
                }
            }
        }
        Err(SinkError::Away {
            peer: Peer::Other,
            why: format!(
                "other writers took the next version of {} {ATTEMPTS} times in a row",
                self.dir.display()
            ),
        })
    }

    /// Sees what other writers have done since.
    fn refresh(&mut self) -> Result<(), SinkError> {
        let Some(newer) = self.log.newer(&self.snapshot)? else {
            return Err(gone(&self.dir));
        };
        if newer.version() == self.snapshot.version() {
            return Ok(());
        }
        let id = |snapshot: &SnapshotRef| snapshot.table_configuration().metadata().id().to_owned();
        if id(&newer) != id(&self.snapshot) {
            return Err(gone(&self.dir));
        }
        check(&self.declared, &self.dir, &newer)?;
        self.sent = self.log.epoch(&newer)?;
        self.snapshot = newer;
        Ok(())
    }

    /// What readers have to read stays little. The table is whole without it, so that failing is no error.
    fn write_checkpoint(&mut self, since: u64) {
        let version = self.snapshot.version();
        if since < self.checkpoint_every || version < self.checkpoint_from {
            return;
        }
        match self.log.write_checkpoint(&self.snapshot) {
            Ok(snapshot) => self.snapshot = snapshot,
            Err(error) => {
                self.checkpoint_from = version + self.checkpoint_every;
                tracing::warn!(
                    "table {} has {since} versions since the last checkpoint of its log, and a new one cannot be written, which makes reading it slower: {error}",
                    self.table
                );
            }
        }
    }
}

/// Makes the table in a folder that holds nothing.
fn create(
    disk: &Disk,
    dir: &Path,
    log: &Log,
    declared: &Declared,
) -> Result<SnapshotRef, SinkError> {
    let other = |path: &PathBuf| path.file_name().is_none_or(|name| name != LOG);
    if let Some(other) = entries(dir)?.iter().find(|path| other(path)) {
        return Err(SinkError::Foreign(format!(
            "{} is not empty ({} is in it) and no Delta table: it has no {LOG}. Give the table another path",
            dir.display(),
            other.display()
        )));
    }
    let folder = dir.join(LOG);
    disk.create_dirs(&folder)
        .map_err(|error| not_writable("create directory", &folder, &error))?;
    let first = declared
        .first_version(ENGINE, chrono::Utc::now().timestamp_millis())
        .map_err(|error| log.failed("create the table", &error))?;
    log.create(&first)?;
    log.newest()?.ok_or_else(|| gone(dir))
}

fn check(declared: &Declared, dir: &Path, snapshot: &SnapshotRef) -> Result<(), SinkError> {
    let against = declared.against(snapshot);
    match against.is_empty() {
        true => Ok(()),
        false => Err(SinkError::Foreign(format!(
            "the Delta table {} is not one that this job can append to:\n  {}\nChange the table by another program, or the SQL; or give the table another path",
            dir.display(),
            against.join("\n  ")
        ))),
    }
}

fn gone(dir: &Path) -> SinkError {
    SinkError::Foreign(format!(
        "the Delta table {} is gone, or another one was made in its place, and with it the rows that were written. Put it back; or start over with another checkpoint location, for which what Kafka retains is computed again",
        dir.display()
    ))
}

fn ahead(dir: &Path, log: &Log, sent: Epoch, committed: Option<Epoch>) -> SinkError {
    let committed = match committed {
        None => "there is no checkpoint".to_owned(),
        Some(epoch) => format!("the checkpoint ends with epoch {epoch}"),
    };
    SinkError::Foreign(format!(
        "the Delta table {} has epoch {sent} of this job ({:?}), but {committed}: rows would be in it twice. Give the job the checkpoint location that it had; or another name, for which the rows are computed again beside those; or the table another path",
        dir.display(),
        log.app()
    ))
}
