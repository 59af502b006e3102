//! An epoch, in order: look, decide what is closed, take it out, compute its rows, stage, commit,
//! publish. The workers read on while rows are computed and written.

mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::lane::{LaneStart, Shared};
use super::worker::{ClosedTables, Note};
use super::workers::{Workers, gone};
use super::{JobError, JobSpec, ProgressReport, Summary};
use crate::checkpoint::{Checkpoint, CheckpointStore, Emitted, FileEntry, PartitionState};
use crate::model::{Counts, Epoch, Offsets, Partition, Watermark, Window};
use crate::query::Table;
use crate::sink::{ParquetSink, SinkRows};
use crate::source::{Bounds, Topic};
use crate::window::closing_watermark;

/// An epoch that closes no window is committed this often at the most, so that a restart knows what
/// was read.
const IDLE_COMMIT: Duration = Duration::from_secs(10);
/// How often the stop flag is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs epochs over the workers.
pub struct Coordinator<'a> {
    name: String,
    bounded: bool,
    trigger: Duration,
    budget: Option<u64>,
    threads: usize,
    stop: Arc<std::sync::atomic::AtomicBool>,
    clock: fn() -> i64,
    metrics: crate::metrics::ingest::IngestMetrics,
    shared: Arc<Shared>,
    store: &'a mut CheckpointStore,
    sinks: Vec<ParquetSink>,
    /// The newest commit.
    committed: Option<Checkpoint>,
    committed_at: Instant,
    /// When windows were last closed, for the sinks' least interval.
    closed_at: Option<Instant>,
    /// Per output the end of the last emitted window.
    emitted: Vec<Watermark>,
    /// Per partition where the last epoch left it.
    partitions: BTreeMap<Partition, PartitionState>,
    /// Per partition the first offset ever read, where it is known.
    since: BTreeMap<Partition, i64>,
    counts: Counts,
    summary: Summary,
    reported: (Instant, u64),
    /// Per output the rows of closed windows that no commit has yet.
    pending: Vec<Vec<SinkRows>>,
    /// When the last epoch was due.
    triggered_at: Instant,
}

/// What the coordinator's waiting ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Windows are to be closed, to make room; their rows wait for the next commit.
    Close,
    /// A commit, if anything is new.
    Epoch,
    /// The last commit.
    Last,
}

/// What one epoch took out of the workers.
struct Taken {
    closed: ClosedTables,
    watermark: Watermark,
    open: Vec<Vec<Window>>,
}

impl<'a> Coordinator<'a> {
    /// A coordinator that goes on from `checkpoint`.
    pub fn new(
        spec: JobSpec,
        store: &'a mut CheckpointStore,
        sinks: Vec<ParquetSink>,
        checkpoint: Option<Checkpoint>,
    ) -> Coordinator<'a> {
        let emitted = spec.plan.outputs.iter().map(|output| {
            let known = checkpoint
                .as_ref()
                .and_then(|c| c.emitted.get(&output.table));
            known.map_or(Watermark::NONE, |emitted| emitted.0)
        });
        let emitted = emitted.collect();
        let counts = checkpoint
            .as_ref()
            .map(|c| c.counts.clone())
            .unwrap_or_default();
        let skew = i64::try_from(spec.max_future_skew.as_nanos()).unwrap_or(i64::MAX);
        let bad_data_fails = spec.plan.source.options.bad_data == crate::query::sql::BadData::Fail;
        Coordinator {
            name: spec.name,
            bounded: spec.bounded,
            trigger: spec.trigger,
            budget: spec.max_offsets_per_trigger,
            threads: spec.threads,
            stop: spec.stop,
            clock: spec.clock,
            metrics: spec.metrics,
            shared: Arc::new(Shared {
                frames: spec.plan.source.frames(),
                plan: spec.plan,
                max_future_skew: skew,
                micro_batch_frames: spec.micro_batch_frames.max(1),
                bad_data_fails,
            }),
            store,
            pending: sinks.iter().map(|_| Vec::new()).collect(),
            triggered_at: Instant::now(),
            sinks,
            committed: checkpoint,
            committed_at: Instant::now(),
            closed_at: None,
            emitted,
            partitions: BTreeMap::new(),
            since: BTreeMap::new(),
            reported: (Instant::now(), counts.read),
            counts,
            summary: Summary::default(),
        }
    }

    /// Reads and commits until done, told to stop, or broken.
    pub fn run(
        mut self,
        topic: &dyn Topic,
        bounds: &BTreeMap<Partition, Bounds>,
        starts: &BTreeMap<Partition, LaneStart>,
        on_progress: &mut dyn FnMut(&ProgressReport),
    ) -> Result<Summary, JobError> {
        self.since = super::start::since(self.committed.as_ref(), starts);
        let workers = self.workers(topic, bounds, starts)?;
        let offsets_total = self.bounded.then(|| {
            let left = starts
                .iter()
                .map(|(partition, start)| bounds[partition].high - start.offset);
            left.map(|offsets| offsets.max(0) as u64).sum()
        });
        std::thread::scope(|scope| {
            let mut workers = Workers::start(scope, workers);
            loop {
                let due = self.wait(&mut workers)?;
                let taken = self.take(&mut workers)?;
                let (watermark, windows) = self.close(taken)?;
                if due == Due::Close {
                    continue;
                }
                let last = due == Due::Last;
                self.commit(topic, last)?;
                let report = self.report(watermark, windows, starts);
                on_progress(&ProgressReport {
                    offsets_total,
                    ..report
                });
                if last {
                    self.summary.counts = self.counts;
                    return Ok(self.summary);
                }
            }
        })
    }

    fn budget_per_partition(&self, partitions: usize) -> Option<u64> {
        self.budget
            .map(|budget| (budget / partitions.max(1) as u64).max(1))
    }

    /// Waits until something is due.
    fn wait(&mut self, workers: &mut Workers) -> Result<Due, JobError> {
        let due = self.triggered_at + self.trigger;
        loop {
            if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(Due::Last);
            }
            let everybody = workers.commands.len();
            if self.bounded && workers.waiting == everybody {
                return Ok(match workers.finished == everybody {
                    true => Due::Last,
                    false => Due::Epoch,
                });
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Due::Epoch);
            }
            match workers.notes.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(Note::Waiting { finished }) => {
                    workers.waiting += 1;
                    workers.finished += usize::from(finished);
                }
                Ok(Note::Crowded) => return Ok(Due::Close),
                Ok(Note::Failed(error)) => return Err(error),
                Ok(Note::Looked(_) | Note::Closed(_)) => {
                    return Err(JobError::Failed(
                        "an answer that nobody asked for".to_string(),
                    ));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// Takes the closed windows out of the workers, which then go on.
    fn take(&mut self, workers: &mut Workers) -> Result<Taken, JobError> {
        let now = (self.clock)();
        let views = workers.look(now)?;
        let standings = views.iter().map(|view| view.standing);
        let watermark = closing_watermark(standings, self.overdue(now));
        let partitions = views.len();
        let mut open = vec![Vec::new(); self.emitted.len()];
        for view in views {
            for (at, windows) in view.open.into_iter().enumerate() {
                open[at].extend(windows);
            }
        }
        for (windows, emitted) in open.iter_mut().zip(&mut self.emitted) {
            windows.sort_unstable();
            windows.dedup();
            let closed = windows.partition_point(|window| window.end <= watermark.0);
            if let Some(end) = windows.drain(..closed).next_back().map(|window| window.end) {
                emitted.advance(Watermark(end));
            }
        }
        let closed = workers.close(&self.emitted, self.budget_per_partition(partitions))?;
        Ok(Taken {
            closed,
            watermark,
            open,
        })
    }

    /// What the wall clock has passed by the watermark's delay and the idle time.
    fn overdue(&self, now: i64) -> Watermark {
        let source = &self.shared.plan.source;
        match source.options.idle {
            None => Watermark::NONE,
            Some(idle) => {
                let idle = i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX);
                Watermark(
                    now.saturating_sub(source.watermark.delay)
                        .saturating_sub(idle),
                )
            }
        }
    }

    /// The sinks' least interval between two commits of closed windows (`rolling_policy.interval`).
    fn interval_is_over(&self) -> bool {
        let intervals = self
            .shared
            .plan
            .outputs
            .iter()
            .filter_map(|output| output.sink.rolling_interval);
        let interval = intervals.max().unwrap_or_default();
        self.closed_at.is_none_or(|at| at.elapsed() >= interval)
    }

    /// Computes the rows of the closed windows, which wait for the next commit.
    fn close(&mut self, taken: Taken) -> Result<(Watermark, usize), JobError> {
        self.partitions = taken.closed.partitions;
        self.counts.add(&taken.closed.counts);
        self.metrics.ticks(&taken.closed.counts);
        let windows: usize = taken.open.iter().map(Vec::len).sum();
        self.metrics
            .open(windows, taken.closed.open_groups, taken.watermark);
        self.summary.open_windows = windows;
        let open = taken.open.iter().flatten();
        self.summary.open_since = open.map(|window| window.start).min();
        let rows = self.rows(taken.closed.tables)?;
        for (pending, rows) in self.pending.iter_mut().zip(rows) {
            pending.extend(rows);
        }
        Ok((taken.watermark, windows))
    }

    /// Stages, commits and publishes what waits, if it is time. What is committed always has every
    /// closed window, since the checkpoint says that they were emitted.
    fn commit(&mut self, topic: &dyn Topic, last: bool) -> Result<(), JobError> {
        self.triggered_at = Instant::now();
        let closes = self.pending.iter().any(|rows| !rows.is_empty());
        let due = match closes {
            true => last || self.interval_is_over(),
            false => self.worth_a_commit(last),
        };
        if !due {
            return Ok(());
        }
        let epoch = self
            .committed
            .as_ref()
            .map_or(Epoch::FIRST, |c| c.epoch.next());
        let mut files = Vec::new();
        for (sink, rows) in self.sinks.iter_mut().zip(&mut self.pending) {
            files.extend(sink.stage(epoch, std::mem::take(rows))?);
        }
        self.publish(topic, epoch, &files)?;
        if closes {
            self.closed_at = Some(self.committed_at);
        }
        Ok(())
    }

    /// The sinks' rows of the closed windows, per output in the order of the windows.
    fn rows(
        &self,
        tables: Vec<(usize, Window, Partition, Table)>,
    ) -> Result<Vec<Vec<SinkRows>>, JobError> {
        let mut by_window: BTreeMap<(usize, Window), BTreeMap<Partition, Table>> = BTreeMap::new();
        for (at, window, partition, table) in tables {
            by_window
                .entry((at, window))
                .or_default()
                .insert(partition, table);
        }
        let mut rows: Vec<Vec<SinkRows>> = self.sinks.iter().map(|_| Vec::new()).collect();
        for ((at, window), tables) in by_window {
            // In partition order, so that a float sum is the same on every run.
            let tables = tables.into_values().collect();
            let batch = self.shared.plan.outputs[at]
                .pipeline
                .finish(window, tables)?;
            rows[at].push(SinkRows {
                row_time: window.row_time(),
                rows: batch,
            });
        }
        Ok(rows)
    }

    /// Without rows: after a while, and at the end, if anything is new.
    fn worth_a_commit(&self, last: bool) -> bool {
        let (partitions, emitted) = match &self.committed {
            None => return last || self.committed_at.elapsed() >= IDLE_COMMIT,
            Some(committed) => (&committed.partitions, &committed.emitted),
        };
        let is_new = *partitions != self.partitions || *emitted != self.emitted_by_table();
        is_new && (last || self.committed_at.elapsed() >= IDLE_COMMIT)
    }

    fn emitted_by_table(&self) -> BTreeMap<String, Emitted> {
        let outputs = self.shared.plan.outputs.iter().zip(&self.emitted);
        outputs
            .map(|(output, &emitted)| (output.table.clone(), Emitted(emitted)))
            .collect()
    }

    /// Commits the epoch, then makes its files visible. A restart finishes what a crash leaves undone.
    fn publish(
        &mut self,
        topic: &dyn Topic,
        epoch: Epoch,
        files: &[FileEntry],
    ) -> Result<(), JobError> {
        let checkpoint = Checkpoint {
            job: self.name.clone(),
            epoch,
            topic: topic.name().to_string(),
            emitted: self.emitted_by_table(),
            partitions: self.partitions.clone(),
            since: self.since.clone(),
            files: files.to_vec(),
            counts: self.counts.clone(),
            query: self.shared.plan.meaning.clone(),
        };
        self.store.commit(&checkpoint)?;
        for (sink, output) in self.sinks.iter().zip(&self.shared.plan.outputs) {
            let own: Vec<FileEntry> = files
                .iter()
                .filter(|file| file.table == output.table)
                .cloned()
                .collect();
            sink.publish(&own)?;
        }
        topic.commit(&Offsets(
            self.partitions
                .iter()
                .map(|(&p, state)| (p, state.next))
                .collect(),
        ));
        let rows = files.iter().map(|file| file.rows).sum();
        self.metrics.epoch(rows, files.len() as u64);
        self.summary.epoch = Some(epoch);
        self.summary.rows += rows;
        self.summary.files += files.len();
        self.committed = Some(checkpoint);
        self.committed_at = Instant::now();
        Ok(())
    }

    fn report(
        &mut self,
        watermark: Watermark,
        open_windows: usize,
        starts: &BTreeMap<Partition, LaneStart>,
    ) -> ProgressReport {
        let (since, before) =
            std::mem::replace(&mut self.reported, (Instant::now(), self.counts.read));
        let seconds = since.elapsed().as_secs_f64().max(1e-3);
        let done = self.partitions.iter().map(|(partition, state)| {
            let start = starts.get(partition).map_or(0, |start| start.offset);
            (state.next - start).max(0) as u64
        });
        ProgressReport {
            ticks_total: self.counts.read,
            ticks_per_second: (self.counts.read - before) as f64 / seconds,
            watermark,
            open_windows,
            rows_written_total: self.summary.rows,
            offsets_done: done.sum(),
            offsets_total: None,
            epoch: self.summary.epoch,
            files: self.summary.files,
            rebuild: None,
        }
    }
}
