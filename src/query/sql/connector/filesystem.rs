//! `connector = 'filesystem', type = 'sink'`: the folder that a table's rows are written to.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::DataType;
use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};
use datafusion::sql::sqlparser::ast::Ident;

use super::super::diagnostic::{Diagnostic, SourceText};
use super::super::options::{Options, Taken};
use super::super::parser::Reader;
use super::super::table::{ColumnDef, sql_name};
use crate::config::secret::Secret;
use crate::objects::{Address, StorageOptions};

/// Options that Arroyo has for filesystem sinks and their formats, and the local engine does not run.
const NOT_RUN: [&str; 10] = [
    "connection_profile",
    "framing",
    "idle_micros",
    "json.",
    "lookup.",
    "multipart.",
    "rolling_policy.watermark_expiration",
    "shuffle_by_partition.",
    "sink.version",
    "source.",
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

/// The object store that a table is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where there.
    pub address: Address,
    /// How it is reached, by `storage.` options.
    pub options: StorageOptions,
}

/// The folder that a table's rows are written to, as Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemSinkOptions {
    /// The table's folder; a relative one is relative to the working directory. The URL, on an object store.
    pub path: PathBuf,
    /// The object store, if it is on one and in no folder.
    pub store: Option<StoreOptions>,
    /// Codec; `None`: not given.
    pub compression: Option<ParquetCompression>,
    /// Size of a row group, bytes; `None`: the writer's default.
    pub row_group_bytes: Option<u64>,
    /// strftime pattern of the partition directory, from the rows' event time (UTC): `date=%Y-%m-%d`.
    pub time_pattern: Option<String>,
    /// Columns whose values are the names of directories below that, `a=…/b=…`; they are not in the files.
    pub partition_fields: Vec<Ident>,
    /// A file that has grown to this many bytes is closed and the next one begun; `None`: not given.
    pub rolling_bytes: Option<u64>,
    /// Least time between two commits of closed windows; `None`: not given.
    pub rolling_interval: Option<Duration>,
    /// Rows are committed earlier when no window has closed for this long; `None`: not given.
    pub rolling_inactivity: Option<Duration>,
    /// Goes before the file names.
    pub filename_prefix: Option<String>,
}

impl FilesystemSinkOptions {
    pub(super) fn canonical(&self) -> String {
        let mut text = format!(
            "filesystem sink path={:?} format=Parquet time_pattern={:?}",
            self.path, self.time_pattern
        );
        if !self.partition_fields.is_empty() {
            text += &format!(" fields={}", self.partition_names().join(","));
        }
        text
    }

    /// Names of the columns that are directories.
    pub fn partition_names(&self) -> Vec<&str> {
        let fields = self.partition_fields.iter();
        fields.map(|field| field.value.as_str()).collect()
    }
}

/// Takes a filesystem sink's options. `None`: there were faults, and the reader has them.
pub(super) fn sink(reader: &mut Reader, options: Options) -> Option<FilesystemSinkOptions> {
    files(reader, options, "a filesystem sink", true)
}

/// Takes the options of a folder of files, which are those `of` a sink, perhaps of one whose folders cannot be
/// named by times.
pub(super) fn files(
    reader: &mut Reader,
    mut options: Options,
    of: &str,
    has_time_pattern: bool,
) -> Option<FilesystemSinkOptions> {
    let faults_before = reader.faults.len();
    let place = options.required_text(reader, "path");
    let place = place.and_then(|taken| place_of(reader, &mut options, &taken));
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
    let time_pattern = match has_time_pattern {
        true => options
            .text(reader, "partitioning.time_pattern")
            .and_then(|taken| time_pattern(reader, taken)),
        false => None,
    };
    let partition_fields = options.columns(reader, "partitioning.fields");
    let rolling_bytes = options.bytes(reader, "rolling_policy.file_size");
    let rolling_interval = options.duration(reader, "rolling_policy.interval");
    let rolling_inactivity = options.duration(reader, "rolling_policy.inactivity_interval");
    let filename_prefix = options
        .text(reader, "filename.prefix")
        .and_then(|taken| filename_prefix(reader, taken));
    let why = "names are made of the job, the epoch and a number, so that a restart writes the same files";
    options.refuse(reader, "filename.strategy", why);
    let why = "a table is its files that end in .parquet, for every reader";
    options.refuse(reader, "filename.suffix", why);
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, of);
    if reader.faults.len() > faults_before {
        return None;
    }
    let (path, store) = place?;
    Some(FilesystemSinkOptions {
        path,
        store,
        compression: compression.map(|taken| taken.value),
        row_group_bytes: row_group_bytes.map(|taken| taken.value),
        time_pattern,
        partition_fields: partition_fields
            .unwrap_or_default()
            .into_iter()
            .map(|column| Ident::with_span(column.span, column.value))
            .collect(),
        rolling_bytes: rolling_bytes.map(|taken| taken.value),
        rolling_interval: rolling_interval.map(|taken| taken.value),
        rolling_inactivity: rolling_inactivity.map(|taken| taken.value),
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

/// A folder, or the URL of an object store with its options.
fn place_of(
    reader: &mut Reader,
    options: &mut Options,
    taken: &Taken<String>,
) -> Option<(PathBuf, Option<StoreOptions>)> {
    if !Address::is_one(&taken.value) {
        options.need_all(
            reader,
            STORAGE,
            "a path on an object store, such as 's3://bucket/ohlc'",
        );
        return Some((path(reader, taken)?, None));
    }
    let given = options.all(reader, STORAGE);
    let address = match Address::of_table(&taken.value) {
        Ok(address) => address,
        Err(why) => {
            let fault = reader
                .source
                .diagnostic(taken.span, "this is no place for a table");
            reader.faults.push(fault.with_help(why));
            return None;
        }
    };
    let mut storage = StorageOptions::default();
    for (name, value) in given {
        if let Err(why) = storage.add(&address, &name[STORAGE.len()..], Secret::new(value.value)) {
            let message = format!("option '{name}' cannot be used here");
            let fault = reader.source.diagnostic(value.span, message);
            reader.faults.push(fault.with_help(why));
        }
    }
    let path = PathBuf::from(address.to_string());
    let options = storage;
    Some((path, Some(StoreOptions { address, options })))
}

/// What the names of options of an object store begin with.
const STORAGE: &str = "storage.";

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
                "the local engine reads such files from the local file system only",
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

/// What the options say of the table's columns: a directory is named by a value that every reader reads
/// back from its name, and a name is either a column's or a directory's.
pub(in super::super) fn check_columns(
    source: &SourceText,
    options: &FilesystemSinkOptions,
    columns: &[ColumnDef],
    faults: &mut Vec<Diagnostic>,
) {
    let names = || columns.iter().map(|column| column.name.as_str());
    for field in &options.partition_fields {
        let Some(column) = columns.iter().find(|column| column.name == field.value) else {
            let message = format!("the table has no column \"{}\"", field.value);
            let fault = source.diagnostic(field.span, message);
            faults.push(fault.with_nearest(&field.value, names(), None));
            continue;
        };
        if !names_directories(&column.data_type) || column.is_json {
            let kind = if column.is_json {
                "JSON"
            } else {
                &sql_name(&column.data_type)
            };
            let message = format!(
                "\"{}\" is {kind}, which cannot name a directory",
                field.value
            );
            let help = "it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL";
            faults.push(source.diagnostic(field.span, message).with_help(help));
        }
    }
    let fields = options.partition_names();
    if let Some(last) = options.partition_fields.last()
        && names().all(|name| fields.contains(&name))
    {
        let message = "no column would be left for the files";
        faults.push(source.diagnostic(last.span, message));
    }
    let pattern = options.time_pattern.iter().flat_map(|p| p.split('/'));
    for name in pattern
        .filter_map(|part| part.split_once('='))
        .map(|(name, _)| name)
    {
        if let Some(column) = columns.iter().find(|column| column.name == name) {
            let message =
                format!("\"{name}\" is a directory of 'partitioning.time_pattern' as well");
            let fault = source.diagnostic(column.span, message);
            faults.push(
                fault.with_help("readers take a name for one of both; give one of them another"),
            );
        }
    }
}

fn names_directories(data_type: &DataType) -> bool {
    use DataType::*;
    data_type.is_integer()
        || matches!(
            data_type,
            Utf8 | LargeUtf8 | Utf8View | Boolean | Date32 | Timestamp(..) | Decimal128(..)
        )
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
