//! An epoch, in order: look, decide what is closed, take it out, compute its rows, stage, commit,
//! publish. The workers read on while rows are computed and written.

mod close;
mod commit;
mod open;
mod publish;
mod report;
mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use self::commit::Committed;
use self::publish::Audience;
use super::compaction::{Compaction, CompactionPlan};
use super::crew::{Crew, Heard};
use super::dead_letters::Outlet;
use super::lane::{LaneStart, Shared};
use super::progress::SinkStanding;
use super::start::{self, Beginning};
use super::worker::ClosedTables;
use super::{Clock, JobError, JobSpec, ProgressReport, Summary};
use crate::checkpoint::{Checkpoint, CheckpointStore, PartitionState};
use crate::model::{Counts, Partition, Watermark, Window};
use crate::query::Tasks;
use crate::sink::{Sink, SinkRows};
use crate::source::{Bounds, Topic};
use crate::window::closing_watermark;

/// How often the stop flag is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For how long a run that is to end waits for sinks that are away, unless it is told otherwise.
const BOUNDED_PATIENCE: Duration = Duration::from_secs(300);
/// How often a job that has caught up looks whether windows can be closed.
const CLOSE_EVERY: Duration = Duration::from_millis(50);

/// Runs epochs over the workers.
pub struct Coordinator<'a> {
    name: String,
    bounded: bool,
    trigger: Duration,
    closes_at_once: bool,
    /// When windows were closed last, or could have been.
    looked_at: Duration,
    budget: Option<u64>,
    beginning: Beginning,
    threads: usize,
    in_turns: bool,
    /// See [`JobSpec::compaction`].
    compaction: Option<Duration>,
    stop: Arc<AtomicBool>,
    clock: Clock,
    metrics: crate::metrics::ingest::IngestMetrics,
    shared: Arc<Shared>,
    /// `None`: nothing is committed.
    store: Option<&'a mut CheckpointStore>,
    sinks: Vec<Sink>,
    /// `None`: dead letters are not kept.
    letters: Option<Outlet>,
    /// The newest commit.
    committed: Option<Checkpoint>,
    committed_at: Duration,
    /// When windows were last closed, for the sinks' least interval.
    closed_at: Option<Duration>,
    /// Per output the end of the last emitted window.
    emitted: Vec<Watermark>,
    /// Per partition where the last epoch left it.
    partitions: BTreeMap<Partition, PartitionState>,
    /// Per partition the first offset ever read, where it is known.
    since: BTreeMap<Partition, i64>,
    counts: Counts,
    summary: Summary,
    reported: (Duration, u64),
    /// Per output the rows of closed windows that no commit has yet.
    pending: Vec<Vec<SinkRows>>,
    /// When the youngest of them came.
    pending_since: Duration,
    /// Bytes of those that have no window, and of dead letters, about.
    pending_bytes: usize,
    /// What closed windows are computed with.
    tasks: Tasks,
    /// When the last epoch was due.
    triggered_at: Duration,
    /// When the topic was asked for its partitions.
    counted_at: Duration,
    /// See [`JobSpec::open`].
    open: Option<super::open::OpenRows>,
    /// When open windows were copied last.
    copied_at: Duration,
    /// Distinct keys in open windows.
    open_groups: usize,
    /// Where the time since the last report went.
    stages: super::progress::Stages,
    /// How the sinks get on, the letters' behind them.
    standings: Vec<SinkStanding>,
    /// For how long sinks that are away are waited for; `None`: until they are back.
    sink_patience: Option<Duration>,
    /// When it was last told that sinks are waited for.
    told_at: Option<Duration>,
}

/// What the coordinator's waiting ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Windows are to be closed, to make room; their rows wait for the next commit.
    Close,
    /// A commit, if anything is new.
    Epoch,
    /// A commit, after which the partitions are shared out anew: the topic has got more.
    Repartition,
    /// The last commit.
    Last,
}

/// What one epoch took out of the workers.
struct Taken {
    closed: ClosedTables,
    watermark: Watermark,
    open: Vec<Vec<Window>>,
    /// Whether open windows were copied.
    is_copied: bool,
}

impl<'a> Coordinator<'a> {
    /// A coordinator that goes on from `checkpoint`.
    pub fn new(
        spec: JobSpec,
        store: Option<&'a mut CheckpointStore>,
        sinks: Vec<Sink>,
        letters: Option<Outlet>,
        checkpoint: Option<Checkpoint>,
        tasks: Tasks,
    ) -> Coordinator<'a> {
        let emitted = start::emitted(&spec.plan, checkpoint.as_ref());
        let counts = checkpoint
            .as_ref()
            .map(|c| c.counts.clone())
            .unwrap_or_default();
        let is_preview = spec.plan.is_preview();
        let now = spec.clock.steady();
        let skew = i64::try_from(spec.max_future_skew.as_nanos()).unwrap_or(i64::MAX);
        let tables = spec.plan.outputs.iter().map(|output| output.table.clone());
        let standings = publish::standings(tables, &sinks, letters.as_ref());
        let bad_data_fails = spec.plan.source.options.bad_data == crate::query::sql::BadData::Fail;
        Coordinator {
            name: spec.name,
            bounded: spec.bounded,
            trigger: spec.trigger,
            closes_at_once: spec.closes_at_once
                && !spec.bounded
                && spec.max_offsets_per_trigger.is_none(),
            looked_at: now,
            budget: spec.max_offsets_per_trigger,
            beginning: Beginning {
                start: spec.start,
                fail_on_data_loss: spec.fail_on_data_loss,
            },
            threads: spec.threads,
            in_turns: spec.in_turns,
            compaction: spec.compaction,
            stop: spec.stop,
            clock: spec.clock,
            metrics: spec.metrics,
            shared: Arc::new(Shared {
                frames: spec.plan.source.frames(),
                plan: spec.plan,
                max_future_skew: skew,
                micro_batch_frames: spec.micro_batch_frames.max(1),
                bad_data_fails,
                fail_on_data_loss: spec.fail_on_data_loss,
                keeps_letters: letters.is_some(),
                behind: AtomicUsize::new(0),
                held: AtomicBool::new(false),
            }),
            standings,
            sink_patience: match (spec.sink_patience, spec.bounded) {
                (None, true) => Some(BOUNDED_PATIENCE),
                (patience, _) => patience,
            },
            told_at: None,
            store,
            pending: sinks.iter().map(|_| Vec::new()).collect(),
            pending_since: now,
            pending_bytes: 0,
            tasks,
            triggered_at: now,
            counted_at: now,
            open: spec.open,
            copied_at: now,
            open_groups: 0,
            stages: Default::default(),
            sinks,
            letters,
            committed: checkpoint,
            committed_at: now,
            closed_at: None,
            emitted,
            partitions: BTreeMap::new(),
            since: BTreeMap::new(),
            reported: (now, counts.read),
            counts,
            summary: Summary {
                is_preview,
                ..Summary::default()
            },
        }
    }

    /// Reads and commits until done, told to stop, or broken.
    pub fn run(
        mut self,
        topic: &dyn Topic,
        mut bounds: BTreeMap<Partition, Bounds>,
        on_progress: &mut dyn FnMut(&ProgressReport),
    ) -> Result<Summary, JobError> {
        loop {
            let checkpoint = self.committed.as_ref();
            let starts = start::starts(&self.beginning, topic.name(), checkpoint, &bounds)?;
            self.since = start::since(checkpoint, &starts);
            let done = self.run_over(topic, &bounds, &starts, on_progress)?;
            if done == Due::Last {
                self.summary.counts = self.counts;
                return Ok(self.summary);
            }
            // State is a cache of Kafka: the workers begin anew from the commit, with the new partitions.
            bounds = topic.bounds()?;
        }
    }

    /// Runs epochs over the partitions of `bounds`, until the end or until there are more.
    fn run_over(
        &mut self,
        topic: &dyn Topic,
        bounds: &BTreeMap<Partition, Bounds>,
        starts: &BTreeMap<Partition, LaneStart>,
        on_progress: &mut dyn FnMut(&ProgressReport),
    ) -> Result<Due, JobError> {
        let workers = self.workers(topic, bounds, starts)?;
        let offsets_total = self.bounded.then(|| {
            let left = starts
                .iter()
                .map(|(partition, start)| bounds[partition].high - start.offset);
            left.map(|offsets| offsets.max(0) as u64).sum()
        });
        std::thread::scope(|scope| {
            let mut crew = match self.in_turns {
                true => Crew::in_turns(workers, self.clock.clone()),
                false => Crew::start(scope, workers),
            };
            let with = || (self.clock.clone(), self.stop.clone(), self.metrics.clone());
            let plan = self
                .compaction
                .and_then(|grace| CompactionPlan::new(grace, &self.shared.plan, &self.sinks));
            let mut compaction =
                plan.map(|plan| Compaction::start(scope, plan, self.in_turns, with()));
            loop {
                let due = match self.wait(&mut crew, compaction.as_mut())? {
                    Due::Epoch if self.has_grown(topic, bounds.len()) => Due::Repartition,
                    due => due,
                };
                let begun = self.clock.steady();
                let taken = self.take(&mut crew)?;
                let took = self.clock.steady();
                let (watermark, windows) = self.close(taken)?;
                self.stages.take += took.saturating_sub(begun);
                self.stages.compute += self.clock.since(took);
                if due == Due::Close && !self.is_full() && !self.is_ready() {
                    continue;
                }
                let last = matches!(due, Due::Last | Due::Repartition);
                let computed = self.clock.steady();
                let mut to = Audience {
                    on_progress: &mut *on_progress,
                    watermark,
                    open_windows: windows,
                    starts,
                    offsets_total,
                };
                match self.commit(topic, last, &mut to) {
                    Err(JobError::ReaderGone) => {
                        tracing::info!("nobody reads what is printed any more, so the job ends");
                        return Ok(Due::Last);
                    }
                    Ok(Committed::InPart) => return Ok(Due::Last),
                    Ok(Committed::Whole) => {}
                    Err(error) => return Err(error),
                }
                self.stages.commit += self.clock.since(computed);
                self.tell(&mut to);
                if last {
                    let at_end = compaction.as_mut().filter(|_| self.bounded);
                    if let Some(compaction) = at_end {
                        compaction.finish(self.committed.as_ref(), &mut self.summary);
                    }
                    return Ok(due);
                }
            }
        })
    }

    /// Waits until something is due. A run without an end compacts meanwhile, one with an end before that.
    fn wait(
        &mut self,
        crew: &mut Crew,
        mut compaction: Option<&mut Compaction>,
    ) -> Result<Due, JobError> {
        let due = self.triggered_at + self.trigger;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Due::Last);
            }
            if let Some(compaction) = compaction.as_mut().filter(|_| !self.bounded) {
                compaction.go_on(self.committed.as_ref(), &mut self.summary);
            }
            if crew.take_crowded() {
                return Ok(Due::Close);
            }
            if self.bounded && crew.all_wait() {
                return Ok(match crew.all_finished() {
                    true => Due::Last,
                    false => Due::Epoch,
                });
            }
            let now = self.clock.steady();
            let left = due.saturating_sub(now);
            if left.is_zero() {
                return Ok(Due::Epoch);
            }
            // What is read in an epoch is counted where there is a budget.
            if self.budget.is_none() && self.is_looked_at() {
                return Ok(Due::Close);
            }
            if self.is_prompt() && now >= self.looked_at + CLOSE_EVERY {
                return Ok(Due::Close);
            }
            if crew.hear(left.min(LOOK_EVERY))? == Heard::Crowded {
                return Ok(Due::Close);
            }
        }
    }

    /// Whether windows are closed as soon as they can be: while it is behind, a job has better things to do.
    fn is_prompt(&self) -> bool {
        self.closes_at_once && self.shared.behind.load(Ordering::Relaxed) == 0
    }

    /// Takes the closed windows out of the workers, which then go on.
    fn take(&mut self, crew: &mut Crew) -> Result<Taken, JobError> {
        let now = self.clock.wall();
        self.looked_at = self.clock.steady();
        let views = crew.look()?;
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
        let copies = self.copies_wanted(&open);
        let budget = self.budget_per_partition(partitions);
        let closed = crew.close(&self.emitted, budget, &copies)?;
        Ok(Taken {
            is_copied: !copies.is_empty(),
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
}
