//! What the page knows: the newest report, those before it, and an hour of samples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::progress::Batch;
use crate::job::ProgressReport;
use crate::job::open::OpenRows;
use crate::metrics::ingest::IngestMetrics;
use crate::model::Partition;

/// As many progress reports as Spark keeps by default (`spark.sql.streaming.numRecentProgressUpdates`).
const RECENT: usize = 100;
/// Time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// An hour of them.
const SAMPLES: usize = 360;
/// How old the ends of the partitions may be.
const ENDS_FOR: Duration = Duration::from_secs(2);

/// Asks the broker for the offset after the last message of every partition; `None`: it does not answer.
pub type Ends = Box<dyn Fn() -> Option<BTreeMap<Partition, i64>> + Send + Sync>;

/// What `--explain` says; it is computed when it is asked for.
pub type Plan = Box<dyn Fn() -> String + Send + Sync>;

/// What is known of a job when it starts.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Worker threads.
    pub threads: usize,
    /// The tables it writes.
    pub tables: Vec<String>,
    /// The SQL, as it runs.
    pub sql: String,
    /// Of StockPulse.
    pub version: &'static str,
    /// This run, for whoever compares reports of several.
    pub run_id: String,
    /// When it began, milliseconds since 1970 UTC.
    pub started_ms: i64,
}

/// The page's state. A clone is the same.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    about: About,
    plan: Plan,
    metrics: IngestMetrics,
    silent_after: Option<Duration>,
    open: OpenRows,
    state: Mutex<State>,
    ends: Mutex<Asked>,
}

#[derive(Default)]
struct State {
    topic: String,
    batches: u64,
    recent: VecDeque<Arc<Batch>>,
    reported: Option<Instant>,
    sampled: Option<Instant>,
    samples: VecDeque<Sample>,
    /// Of the reports since the last sample.
    ticks: u64,
    busy: Duration,
}

/// The ends of the partitions, as the broker said them last.
#[derive(Default)]
struct Asked {
    /// `None`: Kafka is not there yet.
    ask: Option<Ends>,
    at: Option<Instant>,
    ends: BTreeMap<Partition, i64>,
}

/// What the small charts show.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Milliseconds since 1970 UTC.
    time: i64,
    ticks_per_second: f64,
    /// Milliseconds of computing and committing a second; the workers read and aggregate meanwhile.
    busy_ms_per_second: f64,
    open_windows: usize,
    late: u64,
    rejected: u64,
    /// Seconds from the watermark to the clock; none before the first.
    watermark_lag_s: Option<f64>,
    memory_bytes: Option<u64>,
}

impl Board {
    /// Of a job that has not reported yet. `silent_after`: one that reports nothing for so long is not well; `None`:
    /// silence says nothing about it.
    pub fn new(
        about: About,
        plan: Plan,
        metrics: IngestMetrics,
        silent_after: Option<Duration>,
    ) -> Board {
        Board(Arc::new(Inner {
            about,
            plan,
            metrics,
            silent_after,
            open: OpenRows::default(),
            state: Mutex::default(),
            ends: Mutex::default(),
        }))
    }

    /// How the ends of the partitions are asked for, once Kafka is there.
    pub fn set_ends(&self, topic: String, ends: Ends) {
        lock(&self.0.state).topic = topic;
        lock(&self.0.ends).ask = Some(ends);
    }

    /// The topic it reads.
    pub fn topic(&self) -> String {
        lock(&self.0.state).topic.clone()
    }

    /// What is known from the start.
    pub fn about(&self) -> &About {
        &self.0.about
    }

    /// What `--explain` says.
    pub fn plan(&self) -> String {
        (self.0.plan)()
    }

    /// The job's counters.
    pub fn metrics(&self) -> &IngestMetrics {
        &self.0.metrics
    }

    /// The rows of open windows.
    pub fn open(&self) -> &OpenRows {
        &self.0.open
    }

    /// An epoch is over.
    pub fn update(&self, report: &ProgressReport, now_ms: i64) {
        let mut state = lock(&self.0.state);
        let before = state.recent.back().cloned();
        let now = Instant::now();
        let since = state.reported.replace(now);
        let interval = since.map_or(Duration::ZERO, |since| now - since);
        for (stage, time) in [
            ("take", report.stages.take),
            ("compute", report.stages.compute),
            ("commit", report.stages.commit),
        ] {
            self.0.metrics.stage(stage, time);
        }
        let batch = Batch::new(state.batches, report, before.as_deref(), interval, now_ms);
        state.batches += 1;
        state.ticks += batch.ticks;
        state.busy += report.stages.compute + report.stages.commit;
        let sampled = *state.sampled.get_or_insert(now);
        let elapsed = now - sampled;
        if elapsed >= SAMPLE_EVERY {
            let seconds = elapsed.as_secs_f64();
            let sample = Sample {
                time: now_ms,
                ticks_per_second: state.ticks as f64 / seconds,
                busy_ms_per_second: state.busy.as_secs_f64() * 1e3 / seconds,
                open_windows: report.open_windows,
                late: report.counts.late,
                rejected: report.counts.rejected(),
                watermark_lag_s: batch.watermark_lag_s(),
                memory_bytes: memory(),
            };
            state.samples.push_back(sample);
            state.sampled = Some(now);
            (state.ticks, state.busy) = (0, Duration::ZERO);
            if state.samples.len() > SAMPLES {
                state.samples.pop_front();
            }
        }
        state.recent.push_back(Arc::new(batch));
        if state.recent.len() > RECENT {
            state.recent.pop_front();
        }
    }

    /// The newest report.
    pub fn last(&self) -> Option<Arc<Batch>> {
        lock(&self.0.state).recent.back().cloned()
    }

    /// The newest reports, the oldest first.
    pub fn recent(&self) -> Vec<Arc<Batch>> {
        lock(&self.0.state).recent.iter().cloned().collect()
    }

    /// The samples of the last hour.
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.0.state).samples.iter().cloned().collect()
    }

    /// Whether it reports; `Err` says since when it does not.
    pub fn is_well(&self) -> Result<(), String> {
        let reported = lock(&self.0.state).reported;
        match (reported, self.0.silent_after) {
            (Some(at), Some(limit)) if at.elapsed() >= limit => Err(format!(
                "the job has reported nothing for {} s",
                at.elapsed().as_secs()
            )),
            _ => Ok(()),
        }
    }

    /// Whether it has begun to read.
    pub fn is_ready(&self) -> bool {
        lock(&self.0.state).reported.is_some()
    }

    /// The ends of the partitions, asked for at most every two seconds; it waits for the broker.
    pub fn ends(&self) -> BTreeMap<Partition, i64> {
        let mut asked = lock(&self.0.ends);
        if asked.at.is_none_or(|at| at.elapsed() >= ENDS_FOR)
            && let Some(ends) = asked.ask.as_ref().map(|ask| ask())
        {
            asked.ends = ends.unwrap_or_default();
            asked.at = Some(Instant::now());
        }
        asked.ends.clone()
    }
}

/// A panic elsewhere leaves nothing half written here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory, where the system says it.
pub fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ProgressReport;
    use crate::model::{Counts, Watermark};

    fn board(silent_after: Option<Duration>) -> Board {
        let about = About {
            name: "ohlc".to_owned(),
            threads: 1,
            tables: Vec::new(),
            sql: String::new(),
            version: "",
            run_id: String::new(),
            started_ms: 0,
        };
        let metrics = IngestMetrics::default();
        Board::new(about, Box::new(String::new), metrics, silent_after)
    }

    fn report() -> ProgressReport {
        ProgressReport {
            ticks_total: 0,
            ticks_per_second: 0.0,
            watermark: Watermark::NONE,
            open_windows: 0,
            rows_written_total: 0,
            offsets_done: 0,
            offsets_total: None,
            epoch: None,
            files: 0,
            rebuild: None,
            counts: Counts::default(),
            open_groups: 0,
            partitions: Vec::new(),
            stages: Default::default(),
            sinks: Vec::new(),
        }
    }

    #[test]
    fn a_job_that_is_silent_for_too_long_is_not_well_unless_silence_says_nothing() {
        let is_well = |limit| {
            let board = board(limit);
            assert_eq!(board.is_well(), Ok(()), "nothing was reported yet");
            board.update(&report(), 0);
            board.is_well()
        };
        let silent = is_well(Some(Duration::ZERO));
        let said = "the job has reported nothing for 0 s";
        assert_eq!(silent, Err(said.to_owned()));
        assert_eq!(is_well(Some(Duration::from_secs(60))), Ok(()));
        assert_eq!(is_well(None), Ok(()));
    }
}
