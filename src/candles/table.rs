//! Which files of a table's folder can hold what is asked for, judged by their `date=` folders; as a
//! DataFusion table.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, NaiveDate};
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};

use super::CandlesError;

const EXTENSION: &str = ".parquet";
const DATE_PREFIX: &str = "date=";

/// Which `date=` folders of a table are looked into; the default is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Windows that start before this are not wanted, nanoseconds since 1970 UTC.
    pub(super) from: Option<i64>,
    /// Windows that end after this are not wanted, nanoseconds since 1970 UTC.
    pub(super) until: Option<i64>,
}

impl Span {
    /// Whether the folder of a day can hold what is wanted.
    pub(super) fn has(self, day: NaiveDate) -> bool {
        let day_of = |nanos| DateTime::from_timestamp_nanos(nanos).date_naive();
        self.from.is_none_or(|from| day >= day_of(from))
            && self.until.is_none_or(|until| day <= day_of(until))
    }
}

/// The files below `path`, a folder or one file, that can hold windows of `span`.
///
/// The columns are those of these files, merged. The date of the folders' names is none of them:
/// it follows from the rows.
///
/// Of the folders only `date=YYYY-MM-DD` is understood: its windows end on that day (UTC, their last
/// nanosecond counts), so a folder before the day of `span.from` holds none that starts then or
/// later, and one after the day of `span.until` none that ends by then. Who does not know how long a window
/// lasts gives no `until`; the files' statistics on `window_start` do the rest.
pub(super) async fn open(
    state: &dyn Session,
    path: &Path,
    span: Span,
) -> Result<ListingTable, CandlesError> {
    let root = path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_files(path, "it does not exist"),
        _ => unreadable(path, &error),
    })?;
    let extension = if root.is_dir() { EXTENSION } else { "" };
    let failed = |error: DataFusionError| CandlesError::reading(path, &error);

    let whole = vec![file_url(&root).map_err(failed)?];
    let mut urls = match span != Span::default() {
        true if root.is_dir() => entries_of(&root, span)
            .map_err(|error| unreadable(path, &error))?
            .iter()
            .map(|entry| file_url(entry))
            .collect::<Result<_, _>>()
            .map_err(failed)?,
        _ => whole.clone(),
    };
    let store = state
        .runtime_env()
        .object_store(&whole[0])
        .map_err(failed)?;
    let mut files = list(state, &store, &urls, extension)
        .await
        .map_err(failed)?;
    if files.is_empty() {
        // Nothing lies in the span: the newest file gives the columns of the empty answer.
        let all = list(state, &store, &whole, extension)
            .await
            .map_err(failed)?;
        let newest = all
            .into_iter()
            .max_by(|a, b| a.location.cmp(&b.location))
            .ok_or_else(|| no_files(path, "nothing ends in .parquet there"))?;
        urls = vec![file_url(Path::new(&format!("/{}", newest.location))).map_err(failed)?];
        files = vec![newest];
    }
    let schema = merged_schema(state, &store, &files, path).await?;
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(extension);
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    ListingTable::try_new(config).map_err(failed)
}

fn no_files(path: &Path, why: &str) -> CandlesError {
    CandlesError::NoFiles(format!(
        "no Parquet files in {}: {why}; has the job written any? A candle appears once its window has \
         closed; another folder can be given as PATH or CANDLES_PATH",
        path.display()
    ))
}

fn unreadable(path: &Path, error: &io::Error) -> CandlesError {
    CandlesError::Unreadable(format!("{} cannot be read: {error}", path.display()))
}

/// A table of these files of `path`, one at least, under the columns of all of them.
pub(super) async fn of_files(
    state: &dyn Session,
    path: &Path,
    files: &[PathBuf],
) -> Result<ListingTable, CandlesError> {
    let failed = |error: DataFusionError| CandlesError::reading(path, &error);
    let urls = files.iter().map(|file| file_url(file));
    let urls = urls.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let store = state.runtime_env().object_store(&urls[0]).map_err(failed)?;
    let listed = list(state, &store, &urls, EXTENSION).await;
    let schema = merged_schema(state, &store, &listed.map_err(failed)?, path).await?;
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(EXTENSION);
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    ListingTable::try_new(config).map_err(failed)
}

/// The days of a table's `date=` folders, in order; none if `root` has no such folders.
pub(super) fn days(root: &Path) -> io::Result<Vec<NaiveDate>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(root)? {
        days.extend(day_of_folder(&entry?.file_name()));
    }
    days.sort();
    Ok(days)
}

/// The table's entries of its folder, but for the `date=` folders of other days.
fn entries_of(root: &Path, span: Span) -> io::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_kept = match day_of_folder(&name) {
            Some(day) => span.has(day),
            None => is_partition_folder(&name) || is_parquet(&name),
        };
        if is_kept {
            kept.push(entry.path());
        }
    }
    kept.sort();
    Ok(kept)
}

pub(super) fn day_of_folder(name: &OsStr) -> Option<NaiveDate> {
    let day = name.to_str()?.strip_prefix(DATE_PREFIX)?;
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()
}

/// Folders with another name are not part of a table, as Hive and DataFusion have it.
pub(super) fn is_partition_folder(name: &OsStr) -> bool {
    name.to_string_lossy().contains('=')
}

pub(super) fn is_parquet(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with(EXTENSION)
}

/// Deliberately not [`ListingTableUrl::parse`] of the path, which takes `*`, `?` and `[` for patterns.
fn file_url(path: &Path) -> Result<ListingTableUrl, DataFusionError> {
    use std::fmt::Write;
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~=".contains(byte) {
            url.push(char::from(*byte));
        } else {
            write!(url, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    if path.is_dir() && !url.ends_with('/') {
        url.push('/');
    }
    ListingTableUrl::parse(url)
}

/// Every file that is not empty, in no particular order.
async fn list(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    urls: &[ListingTableUrl],
    extension: &str,
) -> Result<Vec<ObjectMeta>, DataFusionError> {
    let mut files = Vec::new();
    for url in urls {
        let listed: Vec<ObjectMeta> = url
            .list_all_files(state, store.as_ref(), extension)
            .await?
            .try_collect()
            .await?;
        files.extend(listed.into_iter().filter(|file| file.size > 0));
    }
    Ok(files)
}

/// The columns of all files, in the order in which the files, by path, bring them. All may be null: a
/// column that came later has no value in the files before.
async fn merged_schema(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
    path: &Path,
) -> Result<SchemaRef, CandlesError> {
    let format = ParquetFormat::default();
    let error = match format.infer_schema(state, store, files).await {
        Ok(schema) => {
            let fields = schema.fields().iter();
            let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
            return Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        }
        Err(error) => error,
    };
    // DataFusion does not say which file it is.
    for file in files {
        let file = std::slice::from_ref(file);
        if let Err(error) = format.infer_schema(state, store, file).await {
            let path = PathBuf::from(format!("/{}", file[0].location));
            return Err(CandlesError::reading(&path, &error));
        }
    }
    Err(CandlesError::Unreadable(format!(
        "the files in {} do not have the same columns: {}; read the folders that go together one by one",
        path.display(),
        error.find_root().strip_backtrace()
    )))
}
