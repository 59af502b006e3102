//! Finished rows → where they go. Every sink has the same anatomy: *stage* an epoch's rows, *publish* them
//! once the checkpoint that names them is durable, *recover* after a restart.
//!
//! Parquet files are staged (written, fsynced) beside the table and published by renaming; printed rows
//! are printed when they are staged, so that they are seen at least once. Rows of a remote (a topic) are staged in
//! a file beside the checkpoint and published by a transaction, which also marks the file as sent.

pub mod compact;
mod console;
mod file;
pub mod generation;
mod json_lines;
pub mod kafka;
mod layout;
pub mod outbox;
mod parquet;
mod partition;
mod place;
pub mod staging;
mod text_table;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampNanosecondArray};

use self::compact::Compactor;
pub use self::console::{Console, ConsoleSink, PrintFormat};
pub use self::layout::default_checkpoint_dir;
use self::outbox::Outbox;
pub use self::parquet::ParquetSink;
use crate::checkpoint::FileEntry;
use crate::disk::Disk;
use crate::model::Epoch;

/// Where the rows of one output go.
#[derive(Debug)]
pub enum Sink {
    /// A folder of Parquet files.
    Parquet(Box<ParquetSink>),
    /// Standard output.
    Console(ConsoleSink),
    /// A remote that rows are sent to by transactions: a Kafka topic.
    Outbox(Box<Outbox>),
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
        }
    }

    /// Makes staged files visible. Idempotent. Entries of other tables are passed over. One attempt, of ten seconds
    /// without a sign of a remote at most.
    ///
    /// # Errors
    /// As [`ParquetSink::publish`] and [`Outbox::publish`].
    pub fn publish(&mut self, files: &[FileEntry]) -> Result<(), SinkError> {
        match self {
            Sink::Parquet(sink) => sink.publish(files),
            Sink::Console(_) => Ok(()),
            Sink::Outbox(sink) => sink.publish(files),
        }
    }

    /// Whether any of `files` is this sink's to publish.
    pub fn concerns(&self, files: &[FileEntry]) -> bool {
        match self {
            Sink::Parquet(sink) => sink.concerns(files),
            Sink::Console(_) => false,
            Sink::Outbox(sink) => sink.concerns(files),
        }
    }

    /// Where rows go, for people: without secrets.
    pub fn place(&self) -> &str {
        match self {
            Sink::Parquet(sink) => sink.place(),
            Sink::Console(_) => "standard output",
            Sink::Outbox(sink) => sink.place(),
        }
    }

    /// The connector, as the SQL names it.
    pub fn connector(&self) -> &'static str {
        match self {
            Sink::Parquet(_) => "filesystem",
            Sink::Console(_) => "stdout",
            Sink::Outbox(sink) => sink.connector(),
        }
    }

    /// What compacts the table's folders; `None`: it has none.
    pub fn compactor(&self) -> Option<Arc<Compactor>> {
        match self {
            Sink::Parquet(sink) => Some(sink.compactor()),
            Sink::Console(_) | Sink::Outbox(_) => None,
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
    /// Not now: the remote does not answer, does not let us in, or does not have what is to be written. Trying
    /// again may help; for how long is for the job to say.
    #[error("{why}")]
    Away {
        /// Who.
        peer: Peer,
        /// What was tried, and what it said.
        why: String,
    },
    /// Nobody reads what is printed any more (`| head`).
    #[error("standard output was closed")]
    Closed,
}

/// Who is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Kafka.
    Kafka,
    /// Any other.
    Other,
}

/// Checks a `partitioning.time_pattern`, so that a query can refuse it where it stands in the SQL.
///
/// # Errors
/// What is wrong with it, and a form that works.
pub fn check_time_pattern(pattern: &str) -> Result<(), String> {
    layout::TimePattern::parse(pattern).map(drop)
}
