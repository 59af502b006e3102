//! What is run again and again: a job of two tables over a small market, in two runs, and what it must leave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::disk::Disk;
use stockpulse::job::{self, Clock, Console, DeadLetters, JobError, JobSpec, StartAt, Summary};
use stockpulse::metrics::ingest::IngestMetrics;
use stockpulse::model::{Offsets, Partition};
use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;
use stockpulse::source::replay::ReplayTopic;
use stockpulse::source::{Bounds, Source, SourceError, Topic};
use stockpulse::testing::{files_below, row_text};

use super::watch::Stop;
use crate::job::definition::{Defined, Frame, MINUTE_MS, SYMBOLS, Tick, defined, ping};
use crate::job::exact::OHLC;

/// 2026-07-31T23:58:00Z: the market goes over midnight, so that there are folders of two days.
const START_MS: i64 = 1_785_542_280_000;
const PARTITIONS: i32 = 2;
const FRAMES: usize = 44;
/// Of them the first run reads so many.
const FIRST_RUN: usize = 20;
/// The wall clock by run: nothing is overdue in the first, all is in the second.
const WALL_CLOCKS: [i64; 2] = [0, (START_MS + 24 * 60 * MINUTE_MS) * 1_000_000];
/// Runs of a scene.
pub const RUNS: usize = WALL_CLOCKS.len();

/// What a dead letter is known by.
const LETTERS: [&str; 6] = [
    "partition",
    "offset",
    "element",
    "reason",
    "table_name",
    "late_by_ms",
];

const ARCHIVE: &str = "
CREATE TABLE archive (symbol TEXT, time TIMESTAMP, price DOUBLE) WITH (
    connector = 'filesystem', type = 'sink', path = '{{ ARCHIVE_PATH }}', format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d'
);
INSERT INTO archive SELECT symbol, _timestamp, price FROM ticks;
";

/// The market, and what the job's tables hold in the end.
pub struct Scene {
    sql: String,
    /// The topic as each run finds it.
    topics: [ReplayTopic; RUNS],
    candles: Vec<String>,
    archived: Vec<String>,
    letters: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Scene {
    pub fn new() -> Scene {
        let frames = frames();
        let topics = [FIRST_RUN, FRAMES].map(|number| {
            let topic = ReplayTopic::new("raw_ticks", PARTITIONS);
            for partition in 0..PARTITIONS {
                topic.append(partition, ping(START_MS));
            }
            for frame in &frames[..number] {
                topic.append(frame.partition, frame.replay());
            }
            topic
        });
        let Defined {
            rows: candles,
            counts,
            mut letters,
        } = defined(&frames);
        letters.sort();
        let whole = frames.iter().filter(|frame| !frame.torn);
        let ticks = whole.flat_map(|frame| &frame.ticks);
        let mut archived: Vec<String> = ticks.map(archived).collect();
        archived.sort();
        Scene {
            sql: format!("{OHLC}{ARCHIVE}"),
            topics,
            candles,
            archived,
            letters,
            counts,
        }
    }

    /// One run of the job in `folder`, over what its topic holds by then.
    pub fn run(
        &self,
        run: usize,
        folder: &Path,
        disk: &Disk,
        stop: Option<&Arc<Stop>>,
    ) -> Result<Summary, JobError> {
        let spec = self.spec(&self.sql, WALL_CLOCKS[run], folder, disk);
        let topic = Telling {
            topic: &self.topics[run],
            stop: stop.cloned(),
        };
        job::run(spec, &topic, &mut |_| {})
    }

    /// Computes the tables anew in `folder`, with candles of five minutes.
    pub fn rebuild(
        &self,
        folder: &Path,
        disk: &Disk,
        stop: Option<&Arc<Stop>>,
    ) -> Result<Summary, JobError> {
        let spec = self.spec(&self.rebuilt_sql(), WALL_CLOCKS[RUNS - 1], folder, disk);
        let topic = Telling {
            topic: &self.topics[RUNS - 1],
            stop: stop.cloned(),
        };
        job::rebuild(spec, &topic, &mut |_| {})
    }

    /// What a rebuild leaves, computed by a new job in an empty folder.
    pub fn rebuilt(&self, folder: &Path) -> BTreeMap<String, Vec<String>> {
        let spec = self.spec(
            &self.rebuilt_sql(),
            WALL_CLOCKS[RUNS - 1],
            folder,
            &Disk::default(),
        );
        job::run(spec, &self.topics[RUNS - 1], &mut |_| {}).unwrap();
        self.read(folder).unwrap()
    }

    fn rebuilt_sql(&self) -> String {
        let minutes = "tumble(interval '1 minute')";
        assert!(self.sql.contains(minutes));
        self.sql.replace(minutes, "tumble(interval '5 minutes')")
    }

    /// The rows of every table.
    pub fn read(&self, folder: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
        let read = |(table, columns, _): (&str, &[&str], &Vec<String>)| {
            let rows = rows(&folder.join("data").join(table), columns)?;
            Ok((table.to_string(), rows))
        };
        self.tables().into_iter().map(read).collect()
    }

    fn spec(&self, sql: &str, wall_clock: i64, folder: &Path, disk: &Disk) -> JobSpec {
        let paths = BTreeMap::from([
            ("CANDLES_PATH", folder.join("data/ohlc")),
            ("ARCHIVE_PATH", folder.join("data/archive")),
        ]);
        let lookup = |name: &str| match name {
            "COMMIT_INTERVAL" => Some("1 millisecond".to_string()),
            name => paths.get(name).map(|path| path.display().to_string()),
        };
        let file = SqlFile::parse("scene.sql", sql, &lookup).unwrap();
        let time = Arc::new(AtomicU64::new(0));
        let steady = Arc::clone(&time);
        let clock = Clock::simulated(
            move || wall_clock,
            move || Duration::from_millis(steady.fetch_add(2, Ordering::Relaxed)),
            move |pause| {
                let millis = u64::try_from(pause.as_millis()).unwrap();
                time.fetch_add(millis, Ordering::Relaxed);
            },
        );
        JobSpec {
            name: "scene".to_string(),
            plan: JobPlan::new(&file).unwrap(),
            threads: 2,
            micro_batch_frames: 3,
            checkpoint_dir: Some(folder.join("data/_checkpoints/ohlc")),
            console: Console::stdout(),
            bounded: true,
            closes_at_once: false,
            trigger: Duration::from_secs(3600),
            start: StartAt::Earliest,
            max_offsets_per_trigger: Some(14),
            fail_on_data_loss: true,
            max_future_skew: Duration::from_secs(600),
            sink_patience: None,
            compaction: Some(Duration::ZERO),
            dead_letters: Some(DeadLetters::Folder(folder.join("data/letters"))),
            stop: Arc::new(AtomicBool::new(false)),
            clock,
            disk: disk.clone(),
            in_turns: true,
            metrics: IngestMetrics::default(),
            open: None,
        }
    }

    /// Runs everything from run `first` on without any fault.
    pub fn finish(&self, first: usize, folder: &Path) -> Result<Summary, JobError> {
        let mut ended = Ok(Summary::default());
        for run in first..RUNS {
            ended = self.run(run, folder, &Disk::default(), None);
            if ended.is_err() {
                break;
            }
        }
        ended
    }

    /// Folders, the columns that are looked at (all of them if none is named), and what they hold in the end.
    fn tables(&self) -> [(&str, &[&str], &Vec<String>); 3] {
        [
            ("ohlc", &[], &self.candles),
            ("archive", &[], &self.archived),
            ("letters", &LETTERS, &self.letters),
        ]
    }

    /// What is wrong with what an independent reader finds while the job is stopped: rows that are twice, or
    /// that should not be, or files that are not whole.
    pub fn check_midway(&self, folder: &Path) -> Result<usize, String> {
        let mut found = 0;
        for (table, columns, expected) in self.tables() {
            let rows = rows(&folder.join("data").join(table), columns)?;
            let mut left = expected.iter().peekable();
            for row in &rows {
                while left.next_if(|expected| *expected < row).is_some() {}
                if left.next_if(|expected| *expected == row).is_none() {
                    return Err(format!("{table} has a row too many: {row}"));
                }
            }
            found += rows.len();
        }
        Ok(found)
    }

    /// What is wrong in the end.
    pub fn check_end(
        &self,
        folder: &Path,
        ended: &Result<Summary, JobError>,
    ) -> Result<(), String> {
        let summary = ended
            .as_ref()
            .map_err(|error| format!("it ended with {error}"))?;
        if !summary.counts.balanced() || summary.counts.by_name() != self.counts {
            return Err(format!(
                "counted {:?}, not {:?}",
                summary.counts, self.counts
            ));
        }
        for (table, columns, expected) in self.tables() {
            let rows = rows(&folder.join("data").join(table), columns)?;
            if rows != *expected {
                return Err(format!("{table} has {rows:#?}\nnot {expected:#?}"));
            }
        }
        let staged = files_below(&folder.join("data/_stage")).map_err(|error| error.to_string())?;
        match staged == ["archive/lock", "letters/lock", "ohlc/lock"] {
            true => Ok(()),
            false => Err(format!("left staged: {staged:?}")),
        }
    }
}

/// A market whose partitions lag behind each other, with disorder, equal times and ticks that are late.
fn frames() -> Vec<Frame> {
    let frame = |number: usize| {
        let at = i64::try_from(number).unwrap();
        let partition = i32::try_from(number % 3 % 2).unwrap();
        let now = START_MS + at * 7_000 - i64::from(partition) * 20_000;
        let ticks = (0..1 + at % 3).map(|place| Tick {
            symbol: SYMBOLS[(number + usize::try_from(place).unwrap()) % SYMBOLS.len()],
            price: 100.0 + (at * 7 % 13) as f64 + place as f64 / 4.0,
            time_ms: match (at % 11, place) {
                (7, 1) => now - 4 * MINUTE_MS,
                (2, 1) => now + 30 * MINUTE_MS,
                (5, _) => now - 30_000,
                _ => now - now % 2_000,
            },
            volume: (1 + at % 5) as f64 / 10.0,
        });
        Frame {
            partition,
            kafka_ms: now,
            torn: at % 13 == 9,
            ticks: ticks.collect(),
        }
    };
    (0..FRAMES).map(frame).collect()
}

/// A tick as the archive's rows are read.
fn archived(tick: &Tick) -> String {
    let time = chrono::DateTime::from_timestamp_millis(tick.time_ms).unwrap();
    let time = time.format("%Y-%m-%dT%H:%M:%S%.fZ");
    format!("{},{time},{:?}", tick.symbol, tick.price)
}

/// The rows of a table's folder as text, sorted, read file by file.
pub fn rows(table: &Path, columns: &[&str]) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for file in files_below(table).map_err(|error| error.to_string())? {
        let wrong = |error: &dyn std::fmt::Display| format!("{file}: {error}");
        let opened = std::fs::File::open(table.join(&file)).map_err(|error| wrong(&error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
            .and_then(|builder| builder.build())
            .map_err(|error| wrong(&error))?;
        for batch in reader {
            let mut batch = batch.map_err(|error| wrong(&error))?;
            if !columns.is_empty() {
                let at = columns
                    .iter()
                    .map(|name| batch.schema().index_of(name).unwrap());
                batch = batch.project(&at.collect::<Vec<_>>()).unwrap();
            }
            rows.extend((0..batch.num_rows()).map(|row| row_text(&batch, row).unwrap()));
        }
    }
    rows.sort();
    Ok(rows)
}

/// A topic that the telling of the offsets is a step of.
struct Telling<'a> {
    topic: &'a ReplayTopic,
    stop: Option<Arc<Stop>>,
}

impl Topic for Telling<'_> {
    fn name(&self) -> &str {
        self.topic.name()
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        self.topic.bounds()
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        self.topic.open(start)
    }

    fn partition_count(&self) -> Option<usize> {
        self.topic.partition_count()
    }

    fn commit(&self, offsets: &Offsets) {
        let allowed = self
            .stop
            .as_ref()
            .map(|stop| stop.effect("tell the offsets".to_string(), 0));
        if !matches!(allowed, Some(Err(_))) {
            self.topic.commit(offsets);
        }
    }

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        self.topic.group_offsets()
    }

    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        self.topic.offsets_since(times_ms)
    }
}
