//! Reads a table's folder again and again while a job writes it, as any reader may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A thread that reads the folder until it is told to end, or sees what must not be.
pub struct Watch {
    stop: Arc<AtomicBool>,
    wrong: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<Seen>>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Symbol and window start, nanoseconds.
    candles: BTreeSet<(String, i64)>,
}

impl Watch {
    pub fn start(table: &Path) -> Watch {
        let (stop, wrong) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (stopping, saw) = (Arc::clone(&stop), Arc::clone(&wrong));
        let table = table.to_path_buf();
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            loop {
                // Before the last look, so that it sees everything.
                let last = stopping.load(Ordering::Relaxed);
                if let Err(error) = seen.look(&table) {
                    *saw.lock().unwrap() = Some(error);
                    return seen;
                }
                if last {
                    return seen;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Watch {
            stop,
            wrong,
            thread: Some(thread),
        }
    }

    /// Fails if something was seen that must not be.
    pub fn check(&self) {
        if let Some(wrong) = self.wrong.lock().unwrap().as_ref() {
            panic!("{wrong}");
        }
    }

    /// Ends after a last look; how many candles were seen.
    pub fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.take().unwrap().join().unwrap();
        self.check();
        seen.candles.len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    /// Everything in the folder now: finished files in `date=` folders, those of before unchanged.
    fn look(&mut self, table: &Path) -> Result<(), String> {
        let mut there = BTreeSet::new();
        for day in entries(table)? {
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
        match self.files.keys().find(|file| !there.contains(*file)) {
            Some(gone) => Err(format!("{} has vanished", gone.display())),
            None => Ok(()),
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
            for candle in candles(&batch) {
                let text = format!("has a candle that is there already: {candle:?}");
                if !self.candles.insert(candle) {
                    return Err(wrong(&text));
                }
            }
        }
        self.files.insert(path.to_path_buf(), content);
        Ok(())
    }
}

/// A folder that is not there yet is empty.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(|error| error.to_string())?.path()))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

fn candles(batch: &RecordBatch) -> Vec<(String, i64)> {
    let symbols = batch.column_by_name("symbol").unwrap();
    let symbols = arrow::compute::cast(symbols, &arrow::datatypes::DataType::Utf8).unwrap();
    let starts = batch.column_by_name("window_start").unwrap();
    let starts = starts.as_primitive::<TimestampNanosecondType>();
    symbols
        .as_string::<i32>()
        .iter()
        .zip(starts.values())
        .map(|(symbol, &start)| (symbol.unwrap().to_string(), start))
        .collect()
}
