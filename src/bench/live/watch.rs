//! A reader that waits for candles: looks into the table's folder again and again, and reads what is new there.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::bench::error::BenchError;
use crate::candles::{Filter, scan};

const NANOS_PER_MS: i64 = 1_000_000;

/// What has been seen of a table.
pub(super) struct Watch {
    table: PathBuf,
    runtime: Runtime,
    files: HashSet<PathBuf>,
    /// Ends of windows, milliseconds since 1970, and when their candles could be read, all of them.
    windows: BTreeMap<i64, Instant>,
}

impl Watch {
    /// Nothing of the table was seen yet; it need not be there.
    pub(super) fn new(table: PathBuf) -> Result<Watch, BenchError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Ok(Watch {
            table,
            runtime: runtime.map_err(|e| BenchError::Failed(format!("no runtime: {e}")))?,
            files: HashSet::new(),
            windows: BTreeMap::new(),
        })
    }

    /// Reads the files that are new. A file appears whole, so it can be read from when it is listed.
    pub(super) fn look(&mut self) -> Result<(), BenchError> {
        for folder in entries(&self.table) {
            for file in entries(&folder) {
                if self.files.contains(&file) {
                    continue;
                }
                let at = Instant::now();
                for end in self.window_ends(&file)? {
                    self.windows.insert(end, at);
                }
                self.files.insert(file);
            }
        }
        Ok(())
    }

    /// Ends of windows, milliseconds since 1970, and when their candles could be read.
    pub(super) fn windows(&self) -> &BTreeMap<i64, Instant> {
        &self.windows
    }

    fn window_ends(&self, file: &Path) -> Result<Vec<i64>, BenchError> {
        let batches = self.runtime.block_on(async {
            let scan = scan(file, &Filter::default()).await?;
            scan.batches.try_collect::<Vec<RecordBatch>>().await
        })?;
        let mut ends = Vec::new();
        for batch in &batches {
            let column = batch.column_by_name("window_end");
            let times =
                column.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
            let times =
                times.ok_or_else(|| BenchError::file("reading", file, "no column window_end"))?;
            ends.extend(times.iter().flatten().map(|end| end / NANOS_PER_MS));
        }
        ends.sort_unstable();
        ends.dedup();
        Ok(ends)
    }
}

/// What is in a folder; nothing if it is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}
