//! A session of DataFusion made anew for every look, as somebody who starts datafusion-cli makes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use stockpulse::testing::row_text;
use tokio::runtime::Runtime;

use super::readers::{Look, Looks};
use super::watch::entries;

/// What the last session saw.
pub struct Sessions {
    table: PathBuf,
    expected: Arc<BTreeSet<String>>,
    runtime: Runtime,
    candles: BTreeSet<String>,
}

impl Sessions {
    pub fn new(table: &Path, expected: &Arc<BTreeSet<String>>) -> Sessions {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Sessions {
            table: table.to_path_buf(),
            expected: Arc::clone(expected),
            runtime: runtime.unwrap(),
            candles: BTreeSet::new(),
        }
    }

    fn read(&self) -> datafusion::error::Result<Vec<RecordBatch>> {
        let create = format!(
            "CREATE EXTERNAL TABLE ohlc STORED AS PARQUET LOCATION '{}/'",
            self.table.display()
        );
        let select = "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
                      FROM ohlc";
        self.runtime.block_on(async {
            let session = SessionContext::new();
            session.sql(&create).await?.collect().await?;
            session.sql(select).await?.collect().await
        })
    }
}

impl Look for Sessions {
    fn look(&mut self, looks: &mut Looks) -> Result<(), String> {
        if !has_files(&self.table)? {
            // A table without a file has no columns to ask for.
            return Ok(());
        }
        let batches = self
            .read()
            .map_err(|error| format!("DataFusion: {error}"))?;
        let mut candles = BTreeSet::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let candle = row_text(batch, row).unwrap();
                if !self.expected.contains(&candle) {
                    return Err(format!("DataFusion sees a wrong candle: {candle}"));
                }
                let twice = format!("DataFusion sees a candle twice: {candle}");
                if !candles.insert(candle) {
                    return Err(twice);
                }
            }
        }
        if let Some(gone) = self.candles.difference(&candles).next() {
            return Err(format!("a candle that DataFusion saw has vanished: {gone}"));
        }
        self.candles = candles;
        looks.looked(self.candles.len());
        Ok(())
    }
}

fn has_files(table: &Path) -> Result<bool, String> {
    for day in entries(table)? {
        if !entries(&day)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
