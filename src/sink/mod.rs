//! Finished rows → where they go. Every sink has the same anatomy: *stage* an epoch's rows, *publish* them
//! once the checkpoint that names them is durable, *recover* after a restart.
//!
//! Parquet files are staged (written, fsynced) beside the table and published by renaming; printed rows
//! are printed when they are staged, so that they are seen at least once. Rows of a remote (a topic, a database) are staged in
//! files beside the checkpoint and published by transactions, which also mark them as sent.
//! Those of a Delta Lake table are staged at their final place, and published by a commit of the table's log.

pub mod compact;
mod console;
mod delta;
mod file;
pub mod generation;
mod json_lines;
pub mod kafka;
mod layout;
mod objects;
pub mod outbox;
mod parquet;
mod partition;
mod place;
pub mod postgres;
pub mod staging;
mod text_table;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampNanosecondArray};

use self::compact::Compactor;
pub use self::console::{Console, ConsoleSink, PrintFormat};
pub use self::delta::{DeltaOptions, DeltaSink, LOG_CHECKPOINT_EVERY, app_id};
pub use self::layout::{default_checkpoint_address, default_checkpoint_dir};
pub use self::objects::{ObjectsSink, TableObjects};
use self::outbox::Outbox;
pub use self::parquet::ParquetSink;
use crate::checkpoint::FileEntry;
use crate::disk::Disk;
use crate::model::Epoch;
use crate::runtime::RuntimeError;

/// Where the rows of one output go.
#[derive(Debug)]
pub enum Sink {
    /// A folder of Parquet files.
    Parquet(Box<ParquetSink>),
    /// Standard output.
    Console(ConsoleSink),
    /// A remote that rows are sent to by transactions: a Kafka topic, a table of PostgreSQL.
    Outbox(Box<Outbox>),
    /// Parquet files on an object store.
    Objects(Box<ObjectsSink>),
    /// A Delta Lake table.
    Delta(Box<DeltaSink>),
}

impl Sink {
    /// After a restart: finishes what `committed` names, and removes what no commit names.
    ///
    /// # Errors
    /// As [`ParquetSink::recover`].
    pub fn recover(&mut self, committed: &[FileEntry]) -> Result<(), SinkError> {
        match self {
            Sink::Parquet(sink) => sink.recover(committed),
            Sink::Console(_) => Ok(()),
            Sink::Outbox(sink) => sink.recover(committed),
            Sink::Objects(sink) => sink.recover(committed),
            Sink::Delta(sink) => sink.recover(committed),
        }
    }

    /// Takes the epoch's rows: files are durable on return, printed rows are printed.
    ///
    /// # Errors
    /// As [`ParquetSink::stage`] and [`ConsoleSink::print`].
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        match self {
            Sink::Parquet(sink) => sink.stage(epoch, rows),
            Sink::Console(sink) => sink.print(&rows).map(|()| Vec::new()),
            Sink::Outbox(sink) => sink.stage(epoch, rows),
            Sink::Objects(sink) => sink.stage(epoch, rows),
            Sink::Delta(sink) => sink.stage(epoch, rows),
        }
    }

    /// Makes staged files visible: one attempt, which is silent for some 10 seconds at the most. Idempotent.
    /// Entries of other tables are passed over.
    ///
    /// # Errors
    /// As [`ParquetSink::publish`]; [`SinkError::Away`] where trying again may help.
    pub fn publish(&mut self, files: &[FileEntry]) -> Result<(), SinkError> {
        match self {
            Sink::Parquet(sink) => sink.publish(files),
            Sink::Console(_) => Ok(()),
            Sink::Outbox(sink) => sink.publish(files),
            Sink::Objects(sink) => sink.publish(files),
            Sink::Delta(sink) => sink.publish(files),
        }
    }

    /// Whether anything of `files` is this sink's. One that has nothing to publish is not asked to, so that a
    /// server which is away holds nothing up that is not for it.
    pub fn concerns(&self, files: &[FileEntry]) -> bool {
        let table = match self {
            Sink::Parquet(sink) => sink.table(),
            Sink::Console(_) => return false,
            Sink::Outbox(sink) => sink.table(),
            Sink::Objects(sink) => sink.table(),
            Sink::Delta(sink) => sink.table(),
        };
        files.iter().any(|file| file.table == table)
    }

    /// Where the rows go, for people: a folder, `kafka topic candles`. Without any secret.
    pub fn place(&self) -> String {
        match self {
            Sink::Parquet(sink) => sink.dir().display().to_string(),
            Sink::Console(_) => "standard output".to_owned(),
            Sink::Outbox(sink) => sink.place(),
            Sink::Objects(sink) => sink.place().to_owned(),
            Sink::Delta(sink) => sink.place(),
        }
    }

    /// The connector's name in SQL, which is also the label of its metrics.
    pub fn connector(&self) -> &'static str {
        match self {
            Sink::Parquet(_) | Sink::Objects(_) => "filesystem",
            Sink::Console(_) => "stdout",
            Sink::Outbox(sink) => sink.connector(),
            Sink::Delta(_) => "delta",
        }
    }

    /// What compacts the table's folders; `None`: it has none.
    pub fn compactor(&self) -> Option<Arc<Compactor>> {
        match self {
            Sink::Parquet(sink) => Some(sink.compactor()),
            Sink::Console(_) | Sink::Outbox(_) | Sink::Objects(_) | Sink::Delta(_) => None,
        }
    }

    /// Whether staging shows the rows already, which cannot be undone: it comes after what can.
    pub fn is_console(&self) -> bool {
        matches!(self, Sink::Console(_))
    }
}

/// Parquet's compression codecs, as `parquet.compression` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// `uncompressed`
    Uncompressed,
    /// `snappy`
    Snappy,
    /// `gzip`
    Gzip,
    /// `zstd`, the default
    #[default]
    Zstd,
    /// `lz4` (LZ4_RAW)
    Lz4,
}

/// Where and how a table's files are written.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// The sink's table name in the SQL.
    pub table: String,
    /// The job's name: the beginning of every file name.
    pub job: String,
    /// The table's directory; readers see it, so it holds published files only.
    pub path: PathBuf,
    /// strftime pattern of the partition directory, from the rows' event time (UTC): `date=%Y-%m-%d`.
    pub time_pattern: Option<String>,
    /// Columns that are directories below that, `a=…/b=…`, and not in the files; not all of them.
    pub partition_columns: Vec<usize>,
    /// A file that has grown to this many bytes is closed, and the next one begun; `None`: one file a directory.
    pub file_bytes: Option<u64>,
    /// Codec.
    pub compression: Compression,
    /// Bytes a row group at most; `None`: the library's default.
    pub row_group_bytes: Option<u64>,
    /// Goes before the job's name in file names.
    pub filename_prefix: Option<String>,
    /// Columns that rows are sorted by, ascending, in this order.
    pub sort_columns: Vec<usize>,
    /// The way to the disk.
    pub disk: Disk,
}

/// Finished rows and their event times.
#[derive(Debug, Clone)]
pub struct SinkRows {
    /// When they are from.
    pub times: RowTimes,
    /// The rows, in the table's declared schema.
    pub rows: RecordBatch,
}

/// Event times of rows, nanoseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub enum RowTimes {
    /// One for all: the rows of a window have its end − 1 ns.
    One(i64),
    /// One a row, as many as there are rows. Invariant: none is null where the table has a time pattern.
    Each(TimestampNanosecondArray),
}

/// What writing failed with.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The directory or a file cannot be written.
    #[error("{0}")]
    NotWritable(String),
    /// The table's directory holds what is not ours, or no longer what was committed.
    #[error("{0}")]
    Foreign(String),
    /// An option of the sink's table that files cannot be written by.
    #[error("{0}")]
    Options(String),
    /// Not now: the server does not answer, does not let us in, or is busy. Trying again may help, for how long
    /// the job decides.
    #[error("{why}")]
    Away {
        /// What is away.
        peer: Peer,
        /// What it is, what it said, what to look at.
        why: String,
    },
    /// Nobody reads what is printed any more (`| head`).
    #[error("standard output was closed")]
    Closed,
}

/// What can be away: which exit code it is in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A broker: exit code 4.
    Kafka,
    /// Anything else that rows are written to: exit code 7.
    Other,
}

impl From<RuntimeError> for SinkError {
    fn from(error: RuntimeError) -> SinkError {
        SinkError::NotWritable(error.to_string())
    }
}

/// Checks a `partitioning.time_pattern`, so that a query can refuse it where it stands in the SQL.
///
/// # Errors
/// What is wrong with it, and a form that works.
pub fn check_time_pattern(pattern: &str) -> Result<(), String> {
    layout::TimePattern::parse(pattern).map(drop)
}
