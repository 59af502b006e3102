//! A Delta table stopped at every step of a start and of its epochs, by a crash or by a power cut, and started again:
//! whoever reads the log finds each epoch whole and once, at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::TimestampNanosecondArray;
use arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use stockpulse::checkpoint::FileEntry;
use stockpulse::disk::Disk;
use stockpulse::model::Epoch;
use stockpulse::sink::{
    Compression, DeltaOptions, DeltaSink, ParquetOptions, RowTimes, SinkError, SinkRows,
};
use stockpulse::testing::row_text;

use super::matrix::{copy, everywhere, folder, places};
use super::model::{self, Image};
use super::watch::{At, Done, Record, STOPPED, Stop};

/// Epochs of a whole life; with a checkpoint of the log every second version all kinds of files come.
const EPOCHS: u64 = 3;
const LOG_CHECKPOINT_EVERY: u64 = 2;
/// 2026-07-31T23:59:00Z, nanoseconds: an epoch has rows of two days.
const START: i64 = 1_785_542_340_000_000_000;
const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
const THREADS: usize = 2;

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8View, true),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            true,
        ),
        Field::new("close", DataType::Float64, true),
        Field::new("day", DataType::Date32, true),
    ]))
}

/// Two rows of an epoch, the second one a minute later, on the next day.
pub fn rows(epoch: u64) -> SinkRows {
    let times = [START, START + MINUTE];
    let days = times.map(|time| i32::try_from(time / DAY).unwrap());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from(vec!["ETH:XRP", "BTC"])),
        Arc::new(TimestampNanosecondArray::from(times.to_vec())),
        Arc::new(Float64Array::from(vec![epoch as f64, epoch as f64 + 0.5])),
        Arc::new(Date32Array::from(days.to_vec())),
    ];
    SinkRows {
        times: RowTimes::One(START),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
    }
}

/// What an epoch's rows are in the table, without the day, which is a folder's.
fn expected(epochs: u64) -> Vec<String> {
    let epochs = 1..=epochs;
    let mut rows: Vec<String> = epochs
        .flat_map(|epoch| {
            let close = epoch as f64;
            [
                format!("ETH:XRP,2026-07-31T23:59:00Z,{close:?}"),
                format!("BTC,2026-08-01T00:00:00Z,{:?}", close + 0.5),
            ]
        })
        .collect();
    rows.sort();
    rows
}

pub fn options(folder: &Path, disk: &Disk, committed: Option<Epoch>) -> DeltaOptions {
    DeltaOptions {
        files: ParquetOptions {
            table: "candles".to_owned(),
            job: "scene".to_owned(),
            path: folder.join("data/candles"),
            time_pattern: None,
            partition_columns: vec![3],
            file_bytes: None,
            compression: Compression::Zstd,
            row_group_bytes: None,
            filename_prefix: None,
            sort_columns: vec![0, 1],
            disk: disk.clone(),
        },
        committed,
        log_checkpoint_every: LOG_CHECKPOINT_EVERY,
    }
}

/// What the job has committed: its last epoch and that one's files.
fn committed(folder: &Path) -> (Option<Epoch>, Vec<FileEntry>) {
    match fs::read(folder.join("checkpoint")) {
        Ok(bytes) => {
            let (epoch, files) = serde_json::from_slice(&bytes).unwrap();
            (Some(Epoch(epoch)), files)
        }
        Err(_) => (None, Vec::new()),
    }
}

fn commit(folder: &Path, disk: &Disk, epoch: u64, files: &[FileEntry]) -> std::io::Result<()> {
    let document = serde_json::to_vec(&(epoch, files)).unwrap();
    let aside = folder.join("checkpoint.tmp");
    disk.write_file(&aside, &document)?;
    disk.rename(&aside, &folder.join("checkpoint"))?;
    disk.sync_dir(folder)
}

/// One life of a job: what was left is made good, then epochs until the last one.
fn live(folder: &Path, disk: &Disk) -> Result<(), SinkError> {
    let (last, files) = committed(folder);
    let mut sink = DeltaSink::open(options(folder, disk, last), schema())?;
    sink.recover(&files)?;
    for epoch in last.map_or(1, |last| last.0 + 1)..=EPOCHS {
        let files = sink.stage(Epoch(epoch), vec![rows(epoch)])?;
        commit(folder, disk, epoch, &files)
            .map_err(|error| SinkError::NotWritable(error.to_string()))?;
        sink.publish(&files)?;
    }
    Ok(())
}

/// A Delta table as one reads it who knows the protocol and nothing of ours: version by version.
pub struct Table {
    /// Rows of the newest version, sorted.
    pub rows: Vec<String>,
    /// Transactions in order: the application's id and its version.
    pub transactions: Vec<(String, i64)>,
    /// Numbers of versions, each of which must be there.
    pub versions: usize,
    /// All files that the newest version has, with what is said of them.
    pub adds: BTreeMap<String, Value>,
}

pub fn read(table: &Path) -> Result<Table, String> {
    let log = table.join("_delta_log");
    let mut names: Vec<String> = match fs::read_dir(&log) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".json") && !name.starts_with('.'))
            .collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    let mut found = Table {
        rows: Vec::new(),
        transactions: Vec::new(),
        versions: names.len(),
        adds: BTreeMap::new(),
    };
    for (version, name) in names.iter().enumerate() {
        if *name != format!("{version:020}.json") {
            return Err(format!("version {version} is {name}"));
        }
        let text = fs::read_to_string(log.join(name)).map_err(|error| error.to_string())?;
        for line in text.lines() {
            let action: Value =
                serde_json::from_str(line).map_err(|error| format!("{name}: {error}: {line}"))?;
            if let Some(add) = action.get("add") {
                let path = add["path"].as_str().unwrap().to_owned();
                if found.adds.insert(path.clone(), add.clone()).is_some() {
                    return Err(format!("{path} is added twice"));
                }
            }
            if let Some(txn) = action.get("txn") {
                let app = txn["appId"].as_str().unwrap().to_owned();
                found
                    .transactions
                    .push((app, txn["version"].as_i64().unwrap()));
            }
        }
    }
    for (path, add) in &found.adds {
        let wrong = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        let file = fs::File::open(table.join(path)).map_err(|error| wrong(&error))?;
        let size = file.metadata().unwrap().len();
        if add["size"].as_u64() != Some(size) {
            return Err(wrong(&format!(
                "{size} bytes, the log says {}",
                add["size"]
            )));
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.build())
            .map_err(|error| wrong(&error))?;
        for batch in reader {
            let batch = batch.map_err(|error| wrong(&error))?;
            let texts = (0..batch.num_rows()).map(|row| row_text(&batch, row).unwrap());
            found.rows.extend(texts);
        }
    }
    found.rows.sort();
    Ok(found)
}

/// What is wrong while the job is stopped; how many epochs are in the table.
fn check_midway(folder: &Path) -> Result<u64, String> {
    let table = read(&folder.join("data/candles"))?;
    let epochs: Vec<i64> = table.transactions.iter().map(|(_, epoch)| *epoch).collect();
    let wanted: Vec<i64> = (1..).take(epochs.len()).collect();
    if epochs != wanted {
        return Err(format!("transactions {epochs:?}"));
    }
    let epochs = epochs.len() as u64;
    match table.rows == expected(epochs) {
        true => Ok(epochs),
        false => Err(format!("{epochs} epochs are {:#?}", table.rows)),
    }
}

/// What is wrong in the end.
fn check_end(folder: &Path, ended: Result<(), SinkError>) -> Result<(), String> {
    ended.map_err(|error| format!("it ended with {error}"))?;
    match check_midway(folder)? {
        EPOCHS => {}
        epochs => return Err(format!("{epochs} epochs")),
    }
    let table = folder.join("data/candles");
    let named: BTreeSet<String> = read(&table)?.adds.into_keys().collect();
    let there = stockpulse::testing::files_below(&table).map_err(|error| error.to_string())?;
    let (log, data): (BTreeSet<String>, BTreeSet<String>) = there
        .into_iter()
        .partition(|file| file.starts_with("_delta_log/"));
    if data != named {
        return Err(format!("left in the table: {data:?}"));
    }
    match log.iter().find(|file| file.ends_with(".tmp")) {
        Some(left) => Err(format!("left in the log: {left}")),
        None => Ok(()),
    }
}

fn until_stopped(folder: &Path, at: At) -> (bool, Vec<String>) {
    let stop = Arc::new(Stop::new(at, folder));
    let ended = live(folder, &Disk::watched(stop.clone()));
    if let Err(error) = ended {
        assert!(error.to_string().contains(STOPPED), "{at:?}: {error}");
    }
    (stop.stopped(), stop.steps())
}

#[test]
fn stopped_at_any_step_a_delta_table_has_each_epoch_whole_and_once() {
    let whole = folder();
    let (stopped, steps) = until_stopped(whole.path(), At::Never);
    assert!(!stopped);
    check_end(whole.path(), Ok(())).unwrap();
    let checkpoints = |steps: &[String]| {
        let mut steps = steps.iter();
        steps.any(|step| step.contains(".checkpoint.parquet"))
    };
    assert!(checkpoints(&steps), "{steps:#?}");
    let places = places(&steps);
    everywhere(&places, |&at| {
        let folder = folder();
        let (_, begun) = until_stopped(folder.path(), at);
        let wrong = |what: String| format!("stopped {at:?} ({:?}): {what}", begun.last());
        let before = check_midway(folder.path()).map_err(wrong)?;
        // Every step of the next start, too.
        for second in 0.. {
            let again = super::folder();
            copy(folder.path(), again.path());
            let (stopped, begun) = until_stopped(again.path(), At::Before(second));
            let wrong = |what: String| wrong(format!("then {second} ({:?}): {what}", begun.last()));
            let between = check_midway(again.path()).map_err(wrong)?;
            if between < before {
                return Err(wrong("an epoch has vanished".to_owned()));
            }
            let ended = live(again.path(), &Disk::default());
            check_end(again.path(), ended).map_err(wrong)?;
            let is_over = begun
                .iter()
                .any(|step| step.starts_with("rename to checkpoint"));
            if !stopped || is_over {
                break;
            }
        }
        Ok(())
    });
    eprintln!("{} places", places.len());
}

#[test]
fn whatever_a_power_cut_leaves_of_a_delta_table_the_next_start_makes_it_whole() {
    let try_share = &|share: usize| {
        let folder = folder();
        let record = Arc::new(Record::new(folder.path()));
        live(folder.path(), &Disk::watched(record.clone())).unwrap();
        let done = std::mem::take(&mut *record.done.lock().unwrap());
        let images = images(&done);
        let mut wrong = Vec::new();
        for image in images.iter().skip(share).step_by(THREADS) {
            for entry in fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => fs::remove_dir_all(path).unwrap(),
                    false => fs::remove_file(path).unwrap(),
                }
            }
            model::write(image, folder.path());
            let ended = live(folder.path(), &Disk::default());
            if let Err(what) = check_end(folder.path(), ended) {
                let names: Vec<_> = image.keys().collect();
                wrong.push(format!("{what}\nafter a cut that left {names:#?}"));
            }
        }
        (images.len(), wrong)
    };
    let shares: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|share| scope.spawn(move || try_share(share)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let tried = shares[0].0;
    let wrong: Vec<&String> = shares.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} of {tried} images: {}",
        wrong.len(),
        wrong[0]
    );
    eprintln!("{tried} images");
}

/// Every image that a power cut can leave, once.
fn images(steps: &[Done]) -> Vec<Image> {
    let mut disk = model::Disk::new();
    let (mut known, mut images) = (BTreeSet::new(), Vec::new());
    for step in steps {
        disk.step(step);
        for image in disk.images() {
            if known.insert(image.clone()) {
                images.push(image);
            }
        }
    }
    images
}
