//! Closed windows → Parquet files: stage (written, fsynced, beside the table), then publish
//! (renamed into the table, after the checkpoint that names them is durable).

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::checkpoint::FileEntry;
use crate::model::Epoch;

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
    /// Codec.
    pub compression: Compression,
    /// Rows a row group at most; `None`: the library's default.
    pub row_group_rows: Option<usize>,
    /// Goes before the job's name in file names.
    pub filename_prefix: Option<String>,
    /// Columns that rows are sorted by, ascending, in this order.
    pub sort_columns: Vec<usize>,
}

/// Rows of one or more closed windows with the same event time.
#[derive(Debug, Clone)]
pub struct SinkRows {
    /// Event time of every row: window end − 1 ns; nanoseconds since 1970 UTC.
    pub row_time: i64,
    /// The rows, in the table's declared schema.
    pub rows: RecordBatch,
}

/// What writing failed with.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The directory or a file cannot be written.
    #[error("{0}")]
    NotWritable(String),
    /// The table's directory holds what is not ours.
    #[error("{0}")]
    Foreign(String),
}

/// Writes one table.
pub struct ParquetSink {}

impl ParquetSink {
    /// Opens the table's directory and its staging directory beside it, creating both.
    pub fn open(options: ParquetOptions, schema: SchemaRef) -> Result<ParquetSink, SinkError> {
        let _ = (options, schema);
        todo!()
    }

    /// Whether the table's directory holds any published file.
    pub fn has_published(&self) -> Result<bool, SinkError> {
        todo!()
    }

    /// After a restart: publishes what `committed` names and is still staged, then removes every
    /// other staged file. Idempotent.
    pub fn recover(&self, committed: &[FileEntry]) -> Result<(), SinkError> {
        let _ = committed;
        todo!()
    }

    /// Writes the epoch's rows into staged files, one a partition directory, durable on return.
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        let _ = (epoch, rows);
        todo!()
    }

    /// Makes staged files visible: rename, then fsync of the directories. Idempotent.
    pub fn publish(&self, files: &[FileEntry]) -> Result<(), SinkError> {
        let _ = files;
        todo!()
    }
}
