//! `connector = 'filesystem', type = 'sink'`: the folder that a table's rows are written to.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};

use super::super::options::{Options, Taken};
use super::super::parser::Reader;

/// Options that Arroyo has for filesystem sinks and their formats, and the local engine does not run.
const NOT_RUN: [&str; 16] = [
    "connection_profile",
    "filename.strategy",
    "filename.suffix",
    "framing",
    "idle_micros",
    "json.",
    "lookup.",
    "multipart.",
    "partitioning.fields",
    "rolling_policy.file_size",
    "rolling_policy.inactivity_interval",
    "rolling_policy.watermark_expiration",
    "shuffle_by_partition.",
    "sink.version",
    "source.",
    "storage.",
];

/// Parquet's compression codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParquetCompression {
    /// `uncompressed`
    Uncompressed,
    /// `snappy`
    Snappy,
    /// `gzip`
    Gzip,
    /// `zstd`, the default
    #[default]
    Zstd,
    /// `lz4`, `lz4_raw`
    Lz4,
}

/// The folder that a table's rows are written to, as Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemSinkOptions {
    /// The table's folder; a relative one is relative to the working directory.
    pub path: PathBuf,
    /// Codec.
    pub compression: ParquetCompression,
    /// Size of a row group, bytes; `None`: the writer's default.
    pub row_group_bytes: Option<u64>,
    /// strftime pattern of the partition directory, from the rows' event time (UTC): `date=%Y-%m-%d`.
    pub time_pattern: Option<String>,
    /// Least time between two commits of closed windows; `None`: not given.
    pub rolling_interval: Option<Duration>,
    /// Goes before the file names.
    pub filename_prefix: Option<String>,
}

impl FilesystemSinkOptions {
    pub(super) fn canonical(&self) -> String {
        format!(
            "filesystem sink path={:?} format=Parquet time_pattern={:?}",
            self.path, self.time_pattern
        )
    }
}

/// Takes a filesystem sink's options. `None`: there were faults, and the reader has them.
pub(super) fn sink(reader: &mut Reader, mut options: Options) -> Option<FilesystemSinkOptions> {
    let faults_before = reader.faults.len();
    let path = options
        .required_text(reader, "path")
        .and_then(|taken| path(reader, &taken));
    format(reader, &mut options);
    let compression = options.choice(
        reader,
        "parquet.compression",
        &[
            ("uncompressed", ParquetCompression::Uncompressed),
            ("snappy", ParquetCompression::Snappy),
            ("gzip", ParquetCompression::Gzip),
            ("zstd", ParquetCompression::Zstd),
            ("lz4", ParquetCompression::Lz4),
            ("lz4_raw", ParquetCompression::Lz4),
        ],
    );
    let row_group_bytes = options.bytes(reader, "parquet.row_group_size");
    let time_pattern = options
        .text(reader, "partitioning.time_pattern")
        .and_then(|taken| time_pattern(reader, taken));
    let rolling_interval = options.duration(reader, "rolling_policy.interval");
    let filename_prefix = options
        .text(reader, "filename.prefix")
        .and_then(|taken| filename_prefix(reader, taken));
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, "a filesystem sink");
    if reader.faults.len() > faults_before {
        return None;
    }
    Some(FilesystemSinkOptions {
        path: path?,
        compression: compression.map_or(ParquetCompression::default(), |taken| taken.value),
        row_group_bytes: row_group_bytes.map(|taken| taken.value),
        time_pattern,
        rolling_interval: rolling_interval.map(|taken| taken.value),
        filename_prefix,
    })
}

fn format(reader: &mut Reader, options: &mut Options) {
    let Some(taken) = options.required_text(reader, "format") else {
        return;
    };
    let message = match taken.value.as_str() {
        "parquet" => return,
        "json" => "the local engine does not write JSON files",
        _ => "unknown format",
    };
    let fault = reader.source.diagnostic(taken.span, message);
    reader.faults.push(fault.with_help("it is 'parquet'"));
}

/// `data/ohlc`, `/data/ohlc` or `file:///data/ohlc`.
pub(super) fn path(reader: &mut Reader, taken: &Taken<String>) -> Option<PathBuf> {
    let text = taken.value.trim();
    let (path, fault) = match text.split_once("://") {
        None => (text, None),
        Some(("file", path)) if path.starts_with('/') => (path, None),
        Some(("file", path)) => (
            path,
            Some((
                "a file URL has three slashes before an absolute path",
                "file:///data/ohlc, or a relative path without file://",
            )),
        ),
        Some((_, path)) => (
            path,
            Some((
                "the local engine writes to the local file system only",
                "file:///data/ohlc, or a relative path such as data/ohlc",
            )),
        ),
    };
    let path = path.trim_end_matches('/');
    let fault = match fault {
        None if path.is_empty() => Some((
            "the path is the root of the file system",
            "give the table a folder of its own",
        )),
        None if Path::new(path)
            .components()
            .any(|part| part == Component::ParentDir) =>
        {
            Some(("the path goes up with ..", "write it without"))
        }
        other => other,
    };
    if let Some((message, help)) = fault {
        let fault = reader
            .source
            .diagnostic(taken.span, message)
            .with_help(help);
        reader.faults.push(fault);
        return None;
    }
    Some(PathBuf::from(path))
}

/// A pattern that always gives the name of a directory below the table.
fn time_pattern(reader: &mut Reader, taken: Taken<String>) -> Option<String> {
    let items: Vec<Item> = StrftimeItems::new(&taken.value).collect();
    let message = if items.contains(&Item::Error) {
        "the pattern has a % that means nothing"
    } else {
        let example = DateTime::UNIX_EPOCH
            .format_with_items(items.iter())
            .to_string();
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if example.split('/').all(plain) && !example.contains(['\\', '\0']) {
            return Some(taken.value);
        }
        "the pattern does not give the name of a directory"
    };
    let fault = reader
        .source
        .diagnostic(taken.span, message)
        .with_help("a strftime pattern such as 'date=%Y-%m-%d'");
    reader.faults.push(fault);
    None
}

fn filename_prefix(reader: &mut Reader, taken: Taken<String>) -> Option<String> {
    let plain = taken
        .value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    // Readers pass over files that begin with a dot or an underscore.
    if plain && !taken.value.starts_with(['.', '_']) {
        return Some(taken.value);
    }
    let fault = reader
        .source
        .diagnostic(
            taken.span,
            "this cannot begin the name of a file that readers see",
        )
        .with_help("letters, digits, - _ and . after a first letter or digit");
    reader.faults.push(fault);
    None
}
