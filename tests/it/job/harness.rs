//! Runs a job in this process over frames in memory, and reads its candles back as any reader does.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use stockpulse::disk::Disk;
use stockpulse::job::{
    Clock, JobError, JobSpec, MICRO_BATCH_FRAMES, ProgressReport, StartAt, Summary, wall_clock,
};
use stockpulse::metrics::ingest::IngestMetrics;
use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;
use stockpulse::sink::Console;
use stockpulse::source::Topic;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};
use stockpulse::testing::row_text;

/// The clock of a run that ends a test: 2026-08-01T12:00:00Z.
pub fn noon() -> i64 {
    1_785_585_600 * 1_000_000_000
}

/// The clock of a run that is stopped in the middle: nothing is overdue.
pub fn long_before() -> i64 {
    1_767_225_600 * 1_000_000_000
}

/// How one run is cut.
#[derive(Debug, Clone)]
pub struct Regime {
    pub threads: usize,
    pub micro_batch_frames: usize,
    pub bounded: bool,
    pub max_offsets_per_trigger: Option<u64>,
}

impl Default for Regime {
    fn default() -> Regime {
        Regime {
            threads: 2,
            micro_batch_frames: MICRO_BATCH_FRAMES,
            bounded: true,
            max_offsets_per_trigger: None,
        }
    }
}

/// A folder for a job: its table, its checkpoints, its SQL.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub sql: String,
}

impl Bench {
    pub fn new(sql: &str) -> Bench {
        Bench {
            dir: tempfile::tempdir().unwrap(),
            sql: sql.to_string(),
        }
    }

    pub fn table(&self) -> PathBuf {
        self.dir.path().join("data/ohlc")
    }

    pub fn spec(&self, regime: &Regime) -> Result<JobSpec, String> {
        self.spec_at(regime, wall_clock)
    }

    pub fn spec_at(&self, regime: &Regime, clock: fn() -> i64) -> Result<JobSpec, String> {
        let table = self.table().display().to_string();
        let lookup = |name: &str| (name == "CANDLES_PATH").then(|| table.clone());
        let file =
            SqlFile::parse("job.sql", &self.sql, &lookup).map_err(|faults| faults.to_string())?;
        let plan = JobPlan::new(&file).map_err(|faults| faults.to_string())?;
        Ok(JobSpec {
            name: "ohlc".to_string(),
            // A job that only shows rows has none.
            checkpoint_dir: (!plan.is_preview())
                .then(|| self.dir.path().join("data/_checkpoints/ohlc")),
            plan,
            threads: regime.threads,
            micro_batch_frames: regime.micro_batch_frames,
            console: Console::stdout(),
            bounded: regime.bounded,
            closes_at_once: false,
            trigger: Duration::from_millis(20),
            start: StartAt::Earliest,
            max_offsets_per_trigger: regime.max_offsets_per_trigger,
            fail_on_data_loss: true,
            max_future_skew: Duration::from_secs(600),
            sink_patience: None,
            dead_letters: None,
            compaction: Some(Duration::from_secs(3600)),
            stop: Arc::new(AtomicBool::new(false)),
            clock: Clock::showing(clock),
            disk: Disk::default(),
            in_turns: false,
            metrics: IngestMetrics::default(),
            open: None,
        })
    }

    /// Runs to the end of what the topic holds.
    pub fn run(&self, topic: &dyn Topic, regime: &Regime) -> Result<Summary, JobError> {
        self.run_until(topic, regime, |_| false)
    }

    /// As [`Bench::run`], with another wall clock.
    pub fn run_at(
        &self,
        topic: &dyn Topic,
        regime: &Regime,
        clock: fn() -> i64,
    ) -> Result<Summary, JobError> {
        let spec = self.spec_at(regime, clock).unwrap();
        stockpulse::job::run(spec, topic, &mut |_| {})
    }

    /// Runs until `done` says so of a report, then stops as a signal does.
    pub fn run_until(
        &self,
        topic: &dyn Topic,
        regime: &Regime,
        mut done: impl FnMut(&ProgressReport) -> bool,
    ) -> Result<Summary, JobError> {
        let spec = self.spec(regime).unwrap();
        let stop = Arc::clone(&spec.stop);
        stockpulse::job::run(spec, topic, &mut |report| {
            if done(report) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    }

    /// The table's rows as text, one a line, in the order of symbol and window.
    pub fn rows(&self) -> Vec<String> {
        read_rows(
            &self.table(),
            "SELECT * FROM t ORDER BY symbol, window_start",
        )
    }
}

/// The rows of a query over a table's folder as text: `a,b,c`.
pub fn read_rows(table: &Path, query: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let batches: Vec<RecordBatch> = runtime.block_on(async {
        let context = SessionContext::new();
        let path = format!("{}/", table.display());
        context
            .register_parquet("t", path, ParquetReadOptions::default())
            .await
            .unwrap();
        context.sql(query).await.unwrap().collect().await.unwrap()
    });
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| row_text(batch, row).unwrap()))
        .collect()
}

/// The recorded frames, in the order of the exchange.
pub fn recorded_frames() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xrpeth_ticks.ndjson.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// The candles that the recorded frames must give: `symbol,start,open,high,low,close,volume,trades`.
pub fn recorded_candles() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/xrpeth_candles_1m.csv");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_string).collect())
        .collect()
}

/// A topic with `frames` dealt to its partitions by `deal` (frame number → partition).
pub fn topic(frames: &[Vec<u8>], partitions: i32, deal: impl Fn(usize) -> i32) -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", partitions);
    for (number, frame) in frames.iter().enumerate() {
        topic.append(deal(number), frame_of(frame));
    }
    topic
}

/// A frame that Kafka got now.
pub fn frame_of(payload: &[u8]) -> ReplayFrame {
    ReplayFrame {
        timestamp_ms: Some(wall_clock() / 1_000_000),
        key: None,
        payload: Some(payload.to_vec()),
    }
}

/// Whether the table's rows are exactly the recorded candles.
pub fn assert_recorded_candles(rows: &[String], what: &str) {
    let expected = recorded_candles();
    assert_eq!(rows.len(), expected.len(), "{what}: candles");
    for (row, expected) in rows.iter().zip(&expected) {
        let row: Vec<&str> = row.split(',').collect();
        let number = |text: &str| text.parse::<f64>().unwrap();
        let same = row[0] == expected[0]
            && row[1] == expected[1]
            && (3..7)
                .zip(2..6)
                .all(|(r, e)| number(row[r]) == number(&expected[e]))
            && (number(row[7]) - number(&expected[6])).abs() <= 1e-9
            && row[8] == expected[7];
        assert!(same, "{what}:\n  found    {row:?}\n  expected {expected:?}");
    }
}

/// Files at and below `root`, relative, sorted.
pub fn listing(root: &Path) -> Vec<String> {
    stockpulse::testing::files_below(root).unwrap()
}

/// Counts of a run by name, for a comparison.
pub fn counts(summary: &Summary) -> BTreeMap<&'static str, u64> {
    assert!(summary.counts.balanced(), "{:?}", summary.counts);
    summary.counts.by_name()
}
