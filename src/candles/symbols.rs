//! Which symbols a table has, and since when: kept by folder, so that only new files are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::prelude::{ident, lit};

use super::CandlesError;
use super::files;
use super::rows::{column_type, nanos_of, whole_numbers};
use super::scan::{SYMBOL, WINDOW_START};
use super::store::{FolderId, Store, WINDOW_END, as_type};

/// What a table has of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolSpan {
    /// As the feed names it.
    pub symbol: String,
    /// The start of its first candle, nanoseconds since 1970 UTC.
    pub first: i64,
    /// The end of its last candle, nanoseconds since 1970 UTC.
    pub last: i64,
    /// How many candles it has.
    pub candles: i64,
}

/// What was found in the files of each folder.
#[derive(Default)]
pub(super) struct SymbolIndex {
    of: Option<FolderId>,
    folders: BTreeMap<PathBuf, FolderSymbols>,
}

#[derive(Default)]
struct FolderSymbols {
    files: BTreeSet<String>,
    symbols: BTreeMap<String, SymbolSpan>,
}

impl Store {
    /// Every symbol of the table, by name; none of a table without files.
    ///
    /// # Errors
    /// A file that cannot be read, or without `symbol`, `window_start` or `window_end`.
    pub async fn symbols(&self) -> Result<Vec<SymbolSpan>, CandlesError> {
        let mut index = self.symbols.lock().await;
        let id = self.folder_id();
        if index.of != id {
            *index = SymbolIndex {
                of: id,
                folders: BTreeMap::new(),
            };
        }
        let path = self.root();
        let listed = tokio::task::spawn_blocking(move || files::list(&path, usize::MAX)).await;
        let listing = listed
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|error| {
                CandlesError::Unreadable(format!(
                    "{} cannot be read: {error}",
                    self.path().display()
                ))
            })?;
        index
            .folders
            .retain(|folder, _| listing.contains_key(folder));
        for (folder, files) in listing {
            let known = index.folders.entry(folder.clone()).or_default();
            let new = match files::new_files(&known.files, &files) {
                Some(new) => new,
                None => {
                    *known = FolderSymbols::default();
                    files.iter().cloned().collect()
                }
            };
            if new.is_empty() {
                continue;
            }
            let paths: Vec<PathBuf> = new.iter().map(|name| folder.join(name)).collect();
            for span in self.symbols_of(&paths).await? {
                add(&mut known.symbols, span);
            }
            known.files = files;
        }
        let mut all = BTreeMap::new();
        for span in index
            .folders
            .values()
            .flat_map(|folder| folder.symbols.values())
        {
            add(&mut all, span.clone());
        }
        Ok(all.into_values().collect())
    }

    async fn symbols_of(&self, files: &[PathBuf]) -> Result<Vec<SymbolSpan>, CandlesError> {
        let rows = self.rows_of_files(files).await?;
        for column in [SYMBOL, WINDOW_START, WINDOW_END] {
            column_type(rows.schema().inner(), column, self.path())?;
        }
        let spans = rows.aggregate(
            vec![ident(SYMBOL)],
            vec![
                min(ident(WINDOW_START)),
                max(ident(WINDOW_END)),
                count(lit(1)),
            ],
        );
        let spans = spans.map_err(|error| self.failed(&error))?;
        let batches = spans.collect().await.map_err(|error| self.failed(&error))?;
        let mut spans = Vec::new();
        for batch in &batches {
            let symbols = as_type(batch.column(0), &DataType::Utf8, self.path())?;
            let symbols = symbols.as_string::<i32>();
            let firsts = nanos_of(batch.column(1), self.path())?;
            let lasts = nanos_of(batch.column(2), self.path())?;
            let counts = whole_numbers(batch.column(3), self.path())?;
            for row in 0..batch.num_rows() {
                if symbols.is_valid(row) && firsts.is_valid(row) && lasts.is_valid(row) {
                    spans.push(SymbolSpan {
                        symbol: symbols.value(row).to_string(),
                        first: firsts.value(row),
                        last: lasts.value(row),
                        candles: counts.value(row),
                    });
                }
            }
        }
        Ok(spans)
    }
}

fn add(spans: &mut BTreeMap<String, SymbolSpan>, span: SymbolSpan) {
    match spans.get_mut(&span.symbol) {
        Some(known) => {
            known.first = known.first.min(span.first);
            known.last = known.last.max(span.last);
            known.candles += span.candles;
        }
        None => {
            spans.insert(span.symbol.clone(), span);
        }
    }
}
