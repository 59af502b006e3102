//! A table's folder as a long-running program reads it: again and again, while files come.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::NaiveDate;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, ident};

use super::files::{self, Listing};
use super::recent::{FILES_MIN, Recent};
use super::resolution::Resolution;
use super::rows::nanos_of;
use super::scan::WINDOW_START;
use super::symbols::SymbolIndex;
use super::table::{self, Span};
use super::{CandlesError, rows};

/// Memory of all queries together for rows that wait; what does not fit goes to temporary files.
const QUERY_MEMORY_BYTES: usize = 256 << 20;
/// Rows that are looked at to see how long windows last.
const SHAPE_ROWS: usize = 1000;
/// The column of a window's end.
pub(super) const WINDOW_END: &str = "window_end";

/// The candles of one folder, for many readers.
///
/// Each query lists the folder anew; what was read of files is kept, since they never change: their footers, and the
/// rows where they are many and small.
pub struct Store {
    path: PathBuf,
    runtime: Arc<RuntimeEnv>,
    shape: Mutex<Option<(FolderId, Shape)>>,
    pub(super) symbols: tokio::sync::Mutex<SymbolIndex>,
    pub(super) recent: tokio::sync::Mutex<Recent>,
}

/// What is the same for all windows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How long its windows last.
    pub resolution: Resolution,
    /// Whether a window begins before another has ended: its rows cannot be added up.
    pub overlaps: bool,
}

/// Device and inode: another folder under the same name is another table.
pub(super) type FolderId = (u64, u64);

impl Store {
    /// Nothing is read yet; the folder need not be there.
    ///
    /// # Errors
    /// No temporary folder can be named.
    pub fn new(path: &Path) -> Result<Store, CandlesError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(QUERY_MEMORY_BYTES)))
            // A listing that is kept never shows new files.
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(|error| CandlesError::reading(path, &error))?;
        Ok(Store {
            path: path.to_path_buf(),
            runtime,
            shape: Mutex::new(None),
            symbols: tokio::sync::Mutex::default(),
            recent: tokio::sync::Mutex::default(),
        })
    }

    /// The table's folder, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder from the root of the file system on, as files are named to DataFusion.
    pub(super) fn root(&self) -> PathBuf {
        // One that is not there has no files to be named.
        (self.path.canonicalize()).unwrap_or_else(|_| self.path.clone())
    }

    /// How long the table's windows last, judged by its newest rows.
    ///
    /// # Errors
    /// No file, one that cannot be read, or no columns `window_start` and `window_end`.
    pub async fn shape(&self) -> Result<Shape, CandlesError> {
        let id = self.folder_id();
        let known = *self.shape.lock().unwrap_or_else(PoisonError::into_inner);
        match (known, id) {
            (Some((of, shape)), Some(id)) if of == id => return Ok(shape),
            _ => {}
        }
        let shape = self.look_at_rows().await?;
        if let Some(id) = id {
            *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, shape));
        }
        Ok(shape)
    }

    async fn look_at_rows(&self) -> Result<Shape, CandlesError> {
        let newest = self.days()?.last().map(|day| midnight(*day));
        let span = Span {
            from: newest,
            until: None,
        };
        let rows = self.rows(span).await?;
        let schema = Arc::clone(rows.schema().inner());
        for column in [WINDOW_START, WINDOW_END] {
            rows::column_type(&schema, column, &self.path)?;
        }
        let times = rows
            .select(vec![ident(WINDOW_START), ident(WINDOW_END)])
            .and_then(|rows| rows.limit(0, Some(SHAPE_ROWS)))
            .map_err(|error| self.failed(&error))?;
        let batches = times.collect().await;
        let batches = batches.map_err(|error| self.failed(&error))?;
        let mut shape: Option<Shape> = None;
        for batch in &batches {
            let starts = nanos_of(batch.column(0), &self.path)?;
            let ends = nanos_of(batch.column(1), &self.path)?;
            for (start, end) in starts.iter().zip(ends.iter()) {
                let (Some(start), Some(end)) = (start, end) else {
                    continue;
                };
                let resolution =
                    Resolution::from_nanos(end.saturating_sub(start)).ok_or_else(|| {
                        CandlesError::Filter(format!(
                            "{}: its windows are not of whole milliseconds, up to 366 days",
                            self.path.display()
                        ))
                    })?;
                let overlaps = resolution.floor(start) != start;
                let seen = shape.get_or_insert(Shape {
                    resolution,
                    overlaps,
                });
                seen.overlaps |= overlaps || seen.resolution != resolution;
            }
        }
        shape.ok_or_else(|| CandlesError::NoFiles(format!("{}: no row yet", self.path.display())))
    }

    /// A session of its own for one query, over the runtime that all share.
    pub(super) fn session(&self) -> SessionContext {
        SessionContext::new_with_config_rt(SessionConfig::new(), Arc::clone(&self.runtime))
    }

    /// All rows of the files of a span; a file may hold others besides.
    pub(super) async fn rows(&self, span: Span) -> Result<DataFrame, CandlesError> {
        let listing = self.listing(span).await?;
        let session = self.session();
        if listing.values().all(|files| files.len() <= FILES_MIN) {
            let table = table::open(&session.state(), &self.path, span).await?;
            return session
                .read_table(Arc::new(table))
                .map_err(|error| self.failed(&error));
        }
        let mut rows: Option<DataFrame> = None;
        let mut others = Vec::new();
        for (folder, files) in listing {
            let kept = match files.len() > FILES_MIN {
                true => self.kept(&folder, &files).await?,
                false => None,
            };
            match kept {
                Some(batches) => {
                    let kept = session.read_batches(batches);
                    rows = Some(self.with(rows, kept)?);
                }
                None => others.extend(files.iter().map(|name| folder.join(name))),
            }
        }
        if !others.is_empty() {
            let others = self.rows_of_files(&others).await?;
            rows = Some(self.with(rows, Ok(others))?);
        }
        rows.ok_or_else(|| CandlesError::NoFiles(format!("{}: no file", self.path.display())))
    }

    /// Rows of both; a column that one of them lacks is null there.
    fn with(
        &self,
        rows: Option<DataFrame>,
        more: Result<DataFrame, DataFusionError>,
    ) -> Result<DataFrame, CandlesError> {
        let both = more.and_then(|more| match rows {
            Some(rows) => rows.union_by_name(more),
            None => Ok(more),
        });
        both.map_err(|error| self.failed(&error))
    }

    /// The files of a span by their folder.
    async fn listing(&self, span: Span) -> Result<Listing, CandlesError> {
        let path = self.root();
        let listed = tokio::task::spawn_blocking(move || match path.is_dir() {
            true => files::list_span(&path, span),
            false => Ok(Listing::new()),
        });
        let listed = listed.await;
        listed
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|error| {
                CandlesError::Unreadable(format!("{} cannot be read: {error}", self.path.display()))
            })
    }

    /// All rows of some files of the table, under the columns of all of them.
    pub(super) async fn rows_of_files(&self, files: &[PathBuf]) -> Result<DataFrame, CandlesError> {
        let session = self.session();
        let table = table::of_files(&session.state(), &self.path, files).await?;
        session
            .read_table(Arc::new(table))
            .map_err(|error| self.failed(&error))
    }

    /// The days of its folders, in order; none of a flat folder or one that is not there.
    pub(super) fn days(&self) -> Result<Vec<NaiveDate>, CandlesError> {
        if !self.path.is_dir() {
            return Ok(Vec::new());
        }
        table::days(&self.path).map_err(|error| {
            CandlesError::Unreadable(format!("{} cannot be read: {error}", self.path.display()))
        })
    }

    /// Which folder stands there; none: none.
    pub(super) fn folder_id(&self) -> Option<FolderId> {
        let found = fs::metadata(&self.path).ok()?;
        Some((found.dev(), found.ino()))
    }

    pub(super) fn failed(&self, error: &DataFusionError) -> CandlesError {
        CandlesError::reading(&self.path, error)
    }
}

/// The first nanosecond of a day, UTC.
pub(super) fn midnight(day: NaiveDate) -> i64 {
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
    midnight.timestamp_nanos_opt().unwrap_or(i64::MIN)
}

/// Times without a zone, which is how the job writes them.
pub(super) fn plain_time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// A column in another type.
pub(super) fn as_type(
    column: &arrow::array::ArrayRef,
    data_type: &DataType,
    path: &Path,
) -> Result<arrow::array::ArrayRef, CandlesError> {
    cast(column, data_type).map_err(|error| {
        CandlesError::Filter(format!(
            "{}: a column does not fit: {error}",
            path.display()
        ))
    })
}
