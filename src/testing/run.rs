//! One run of a case under one regime: the job as it is, over frames in memory, into a temporary folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::output::{self, Place};
use super::regime::Regime;
use super::rows::Rows;
use crate::config::ingest::DEFAULT_MAX_FUTURE_SKEW;
use crate::disk::Disk;
use crate::job::{self, Clock, Console, JobSpec, ProgressReport, StartAt, Summary};
use crate::metrics::ingest::IngestMetrics;
use crate::model::{NANOS_PER_SECOND, Partition};
use crate::query::sql::{Diagnostics, SqlFile};
use crate::query::{FrameColumn, JobPlan};
use crate::source::replay::ReplayTopic;

/// The wall clock of a run that is stopped before the end of the ticks: nothing is overdue.
const BEFORE: i64 = i64::MIN;
/// By so much the wall clock at the end is behind all that may be waited for.
const DAY: i64 = 86_400 * NANOS_PER_SECOND;
/// Between two epochs of a run that ends by itself; its last one is not waited for.
const TRIGGER: Duration = Duration::from_millis(20);
/// As [`TRIGGER`], of a run without an end, which is stopped when it has read everything.
const TRIGGER_UNBOUNDED: Duration = Duration::from_millis(1);
/// Linux's folder in memory.
const IN_MEMORY: &str = "/dev/shm";

/// A case whose SQL can run.
pub struct Runnable<'a> {
    case: &'a Case,
    sql: SqlFile,
    /// The topic's name in the SQL.
    topic: String,
    /// Wall clock at the end, nanoseconds since 1970 UTC.
    now: i64,
    /// Some windows may be open at the end, so it matters how far the slowest partition is.
    clock_decides: bool,
    /// The SQL asks where in the topic a message is.
    shows_place: bool,
}

/// What came out of a run.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// The rows by table.
    pub tables: BTreeMap<String, Rows>,
    /// What was counted.
    pub counted: Counted,
}

/// What a run counted: `expected.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Ticks by what became of them; those above 0.
    pub counts: BTreeMap<String, u64>,
    /// Windows that were open at the end.
    pub open_windows: usize,
    /// The partition directories of all files.
    pub directories: BTreeSet<String>,
}

impl Counted {
    /// Ticks that came after their window had closed.
    pub fn late(&self) -> u64 {
        self.counts.get("late").copied().unwrap_or(0)
    }
}

impl<'a> Runnable<'a> {
    /// Reads and plans the SQL.
    ///
    /// # Errors
    /// Every fault of the SQL.
    pub fn new(case: &'a Case) -> Result<Runnable<'a>, Diagnostics> {
        let sql = case.sql()?;
        let plan = JobPlan::new(&sql)?;
        let windows = plan.outputs.iter();
        let windows = windows.filter_map(|output| output.pipeline.windows());
        let widest = windows.map(|windows| windows.width()).max();
        let idle = plan.source.options.idle;
        let idle_nanos = idle.map_or(0, |idle| i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX));
        let waited_for = [
            widest.unwrap_or(0),
            plan.source.watermark.delay,
            idle_nanos,
            DAY,
        ];
        let end = waited_for
            .into_iter()
            .fold(case.newest.unwrap_or(0), i64::saturating_add);
        Ok(Runnable {
            case,
            sql,
            topic: plan.source.options.topic,
            now: case.now.unwrap_or(end),
            clock_decides: case.now.is_some() || idle.is_none(),
            shows_place: plan
                .source
                .frame_columns
                .iter()
                .any(|column| matches!(column, FrameColumn::Partition | FrameColumn::Offset)),
        })
    }

    /// Names of the variables that the SQL has.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.sql.variables
    }

    /// Whether dealing the frames to other partitions may not change the rows: what is late is so by its own
    /// partition's watermark, and what is closed at the end by the slowest partition's or by the clock.
    pub fn may_be_dealt(&self, plain: &Found) -> bool {
        let symbols = self.case.frames.iter().flat_map(|frame| &frame.symbols);
        let distinct: BTreeSet<&String> = symbols.collect();
        let settled = plain.counted.late() == 0 && plain.counted.open_windows == 0;
        let asked = self.clock_decides || self.shows_place;
        self.case.may_be_dealt && settled && !asked && distinct.len() > 1
    }

    /// Runs the case under `regime`.
    ///
    /// # Errors
    /// Why the job, or reading its rows, failed.
    pub fn run(&self, regime: &Regime) -> Result<Found, String> {
        let folder = temporary_folder().map_err(|error| format!("no temporary folder: {error}"))?;
        let (partitions, deal) = match regime.dealt {
            None => (self.case.partitions, None),
            Some(partitions) => (partitions, Some(self.deal(partitions))),
        };
        let topic = ReplayTopic::new(&self.topic, partitions);
        let append = |from: usize, to: usize| {
            for (at, frame) in self.case.frames.iter().enumerate().take(to).skip(from) {
                let partition = deal.as_ref().map_or(frame.partition, |deal| deal[at]);
                topic.append(partition, frame.frame.clone());
            }
        };
        let mut from = 0;
        for &stop in &regime.stops {
            append(from, stop);
            from = stop;
            self.start(folder.path(), &topic, regime, BEFORE, true)?;
        }
        append(from, self.case.frames.len());
        if regime.continuous {
            self.start(folder.path(), &topic, regime, BEFORE, false)?;
        }
        let (summary, places) = self.start(folder.path(), &topic, regime, self.now, true)?;
        found(&summary, &places)
    }

    /// Runs the job over what the topic has; an unbounded run is stopped when it has read that.
    fn start(
        &self,
        folder: &Path,
        topic: &ReplayTopic,
        regime: &Regime,
        now: i64,
        bounded: bool,
    ) -> Result<(Summary, Vec<Place>), String> {
        let mut plan = JobPlan::new(&self.sql).map_err(|faults| faults.to_string())?;
        let places = output::redirect(&mut plan, &folder.join("data"));
        let stop = Arc::new(AtomicBool::new(false));
        let spec = JobSpec {
            name: "test".to_string(),
            plan,
            threads: regime.threads,
            micro_batch_frames: regime.micro_batch_frames,
            checkpoint_dir: Some(folder.join("checkpoint")),
            // Printed rows are read back as all others are.
            console: Console::new(Box::new(std::io::sink())),
            bounded,
            closes_at_once: false,
            trigger: match bounded {
                true => TRIGGER,
                false => TRIGGER_UNBOUNDED,
            },
            start: StartAt::Earliest,
            max_offsets_per_trigger: regime.frames_per_epoch.map(|frames| frames as u64),
            fail_on_data_loss: true,
            max_future_skew: DEFAULT_MAX_FUTURE_SKEW,
            sink_patience: None,
            dead_letters: None,
            // Another test's matter: no row depends on it.
            compaction: None,
            stop: Arc::clone(&stop),
            clock: Clock::showing(move || now),
            disk: Disk::default(),
            in_turns: false,
            metrics: IngestMetrics::default(),
            open: None,
        };
        let frames = self.case.frames.len() as u64;
        let mut on_progress = |report: &ProgressReport| {
            if !bounded && report.offsets_done >= frames {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let summary = job::run(spec, topic, &mut on_progress);
        let summary = summary.map_err(|error| format!("the job stopped: {error}"))?;
        Ok((summary, places))
    }

    /// The partition of every frame: those of a symbol are in one, and so are symbols that share a frame.
    fn deal(&self, partitions: Partition) -> Vec<Partition> {
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut next = 0;
        for frame in &self.case.frames {
            let symbols = frame.symbols.iter().map(String::as_str);
            let known: BTreeSet<usize> = (symbols.clone())
                .filter_map(|symbol| groups.get(symbol).copied())
                .collect();
            let group = known.first().copied().unwrap_or(next);
            next = next.max(group + 1);
            for joined in groups.values_mut().filter(|joined| known.contains(joined)) {
                *joined = group;
            }
            groups.extend(symbols.map(|symbol| (symbol, group)));
        }
        let partition = |group: usize| Partition::try_from(group).unwrap_or(0) % partitions;
        let frames = self.case.frames.iter();
        let first = frames.map(|frame| frame.symbols.first());
        first
            .map(|symbol| symbol.map_or(0, |symbol| partition(groups[symbol.as_str()])))
            .collect()
    }
}

/// Where the system has a folder in memory, it is there: nothing has to outlast the run, and a job fsyncs
/// what it writes, which would be most of the time. `TMPDIR` says otherwise.
fn temporary_folder() -> std::io::Result<tempfile::TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("stockpulse-test-");
    match std::env::var_os("TMPDIR") {
        Some(_) => folder.tempdir(),
        None => folder.tempdir_in(IN_MEMORY).or_else(|_| folder.tempdir()),
    }
}

fn found(summary: &Summary, places: &[Place]) -> Result<Found, String> {
    if !summary.counts.balanced() {
        return Err(format!("ticks are unaccounted for: {:?}", summary.counts));
    }
    let mut tables = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for place in places {
        let held = place.read()?;
        directories.extend(held.directories);
        tables.insert(place.table.clone(), held.rows);
    }
    let counts = summary.counts.by_name().into_iter();
    Ok(Found {
        tables,
        counted: Counted {
            counts: counts.map(|(name, n)| (name.to_string(), n)).collect(),
            open_windows: summary.open_windows,
            directories,
        },
    })
}
