//! Closed windows → Parquet files: stage (written, fsynced, beside the table), then publish
//! (renamed into the table, after the checkpoint that names them is durable).

mod file;
pub mod generation;
mod layout;
mod parquet;
mod place;

use std::path::PathBuf;

use arrow::array::RecordBatch;

pub use self::layout::default_checkpoint_dir;
pub use self::parquet::ParquetSink;

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
    /// Bytes a row group at most; `None`: the library's default.
    pub row_group_bytes: Option<u64>,
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
    /// The table's directory holds what is not ours, or no longer what was committed.
    #[error("{0}")]
    Foreign(String),
    /// An option of the sink's table that files cannot be written by.
    #[error("{0}")]
    Options(String),
}

/// Checks a `partitioning.time_pattern`, so that a query can refuse it where it stands in the SQL.
///
/// # Errors
/// What is wrong with it, and a form that works.
pub fn check_time_pattern(pattern: &str) -> Result<(), String> {
    layout::TimePattern::parse(pattern).map(drop)
}
