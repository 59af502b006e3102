//! `connector = 'filesystem', type = 'source'`: a static table, read whole when the job starts, to join
//! the stream with.

use std::path::PathBuf;

use super::super::options::Options;
use super::super::parser::Reader;
use super::filesystem;

/// Options that Arroyo has for filesystem sources and their formats, and the local engine does not run.
const NOT_RUN: [&str; 7] = [
    "bad_data",
    "connection_profile",
    "framing",
    "idle_micros",
    "json.",
    "source.",
    "storage.",
];

/// How a static table's files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaticFormat {
    /// `parquet`
    Parquet,
    /// `csv`: the first line names the columns.
    Csv,
    /// `json`: one object a line.
    Json,
}

impl StaticFormat {
    /// What the files' names end with.
    pub fn extension(self) -> &'static str {
        match self {
            StaticFormat::Parquet => "parquet",
            StaticFormat::Csv => "csv",
            StaticFormat::Json => "json",
        }
    }
}

/// A file, or a folder of files, that a static table is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticTableOptions {
    /// A relative one is relative to the working directory.
    pub path: PathBuf,
    /// How it is read.
    pub format: StaticFormat,
}

impl StaticTableOptions {
    pub(super) fn canonical(&self) -> String {
        let StaticTableOptions { path, format } = self;
        format!("filesystem source path={path:?} format={format:?}")
    }
}

/// Takes a filesystem source's options. `None`: there were faults, and the reader has them.
pub(super) fn source(reader: &mut Reader, mut options: Options) -> Option<StaticTableOptions> {
    let faults_before = reader.faults.len();
    let path = options
        .required_text(reader, "path")
        .and_then(|taken| filesystem::path(reader, &taken));
    let format = options.required_choice(
        reader,
        "format",
        &[
            ("parquet", StaticFormat::Parquet),
            ("csv", StaticFormat::Csv),
            ("json", StaticFormat::Json),
        ],
        "it is 'parquet', 'csv' or 'json'",
    );
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, "a filesystem source");
    if reader.faults.len() > faults_before {
        return None;
    }
    Some(StaticTableOptions {
        path: path?,
        format: format?.value,
    })
}
