//! Reads a table's folder again and again while a job writes it, file by file, as any reader may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::testing::row_text;

use super::readers::{Look, Looks};

/// What was seen so far.
pub struct Files {
    table: PathBuf,
    expected: Arc<BTreeSet<String>>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Candles of those files, as rows.
    candles: BTreeSet<String>,
}

impl Files {
    pub fn new(table: &Path, expected: &Arc<BTreeSet<String>>) -> Files {
        Files {
            table: table.to_path_buf(),
            expected: Arc::clone(expected),
            files: BTreeMap::new(),
            candles: BTreeSet::new(),
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), String> {
        let wrong = |what: &str| format!("{} {what}", path.display());
        let content = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
        if let Some(before) = self.files.get(path) {
            return match *before == content {
                true => Ok(()),
                false => Err(wrong("has changed")),
            };
        }
        if path
            .extension()
            .is_none_or(|extension| extension != "parquet")
        {
            return Err(wrong("is no .parquet"));
        }
        let bytes = Bytes::from(content.clone());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|builder| builder.build())
            .map_err(|error| wrong(&format!("is not finished: {error}")))?;
        for batch in reader {
            let batch = batch.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
            for row in 0..batch.num_rows() {
                let candle = row_text(&batch, row).unwrap();
                if !self.expected.contains(&candle) {
                    return Err(wrong(&format!("has a wrong candle: {candle}")));
                }
                let twice = format!("has a candle that is there already: {candle}");
                if !self.candles.insert(candle) {
                    return Err(wrong(&twice));
                }
            }
        }
        self.files.insert(path.to_path_buf(), content);
        Ok(())
    }
}

impl Look for Files {
    /// Everything in the folder now: finished files in `date=` folders, those of before unchanged.
    fn look(&mut self, looks: &mut Looks) -> Result<(), String> {
        let mut there = BTreeSet::new();
        for day in entries(&self.table)? {
            let name = day.file_name().unwrap().to_string_lossy().into_owned();
            let date = name.strip_prefix("date=").unwrap_or_default();
            if chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_err() || !day.is_dir() {
                return Err(format!("{} is no folder of a day", day.display()));
            }
            for file in entries(&day)? {
                self.file(&file)?;
                there.insert(file);
            }
        }
        if let Some(gone) = self.files.keys().find(|file| !there.contains(*file)) {
            return Err(format!("{} has vanished", gone.display()));
        }
        looks.looked(self.candles.len());
        Ok(())
    }
}

/// A folder that is not there yet is empty.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(|error| error.to_string())?.path()))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}
