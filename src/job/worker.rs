//! A thread of the job: owns some of the topic's partitions and everything about them.
//!
//! It reads and works until the coordinator asks. An epoch asks twice: [`Command::Look`] (the worker
//! answers and waits), then [`Command::Close`] with what is closed (it hands the closed tables out
//! together with where it stands, and goes on). Between the two nothing moves, so the answers of all
//! workers fit together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use super::lane::{Lane, Shared};
use super::{Clock, JobError};
use crate::checkpoint::{PartitionState, ReplayPoint};
use crate::model::{Counts, NANOS_PER_MILLI, Partition, Watermark, Window};
use crate::query::Table;
use crate::sink::SinkRows;
use crate::source::{Event, Source};
use crate::window::{Quiet, Standing};

/// Frames that one poll hands on at the most.
const POLL_FRAMES: usize = 8192;
/// Windows of its partitions that a worker holds open before it asks for those that can be closed: each
/// costs some kilobytes for every key, and for keys that are no single text 40 kB however few they are.
const CROWD: usize = 32;
/// Bytes of rows without windows that a worker holds before it waits for an epoch to take them.
const PASSED_BYTES: usize = 16 << 20;
/// How long a poll waits for the first frame: the longest that the coordinator waits for an answer.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// What the coordinator asks.
pub enum Command {
    /// Say where your partitions stand, then wait for `Close`.
    Look {
        /// Wall clock, nanoseconds since 1970 UTC.
        now: i64,
    },
    /// Hand out the tables of closed windows, then go on.
    Close {
        /// Per output: windows that end at or before this are closed.
        emitted: Vec<Watermark>,
        /// Frames to read of each partition until the next epoch; `None`: no limit.
        budget_per_partition: Option<u64>,
    },
}

/// What a worker says.
pub enum Note {
    /// The answer to `Look`.
    Looked(Vec<LaneView>),
    /// The answer to `Close`.
    Closed(ClosedTables),
    /// Nothing more to do before the next epoch: the budget is used up, or every partition is read
    /// to its end.
    Waiting {
        /// Every partition is read to its end.
        finished: bool,
    },
    /// Many windows are open, or rows wait: an epoch would make room.
    Crowded,
    /// The job cannot go on.
    Failed(JobError),
}

/// Where one partition stands.
pub struct LaneView {
    /// Its watermark, and whether it may still say something.
    pub standing: Standing,
    /// Per output its open windows.
    pub open: Vec<Vec<Window>>,
}

/// The tables of closed windows, and where the partitions stand without them.
#[derive(Default)]
pub struct ClosedTables {
    /// By output, window and partition.
    pub tables: Vec<(usize, Window, Partition, Table)>,
    /// Rows of queries without windows, by output and partition.
    pub passed: Vec<(usize, Partition, SinkRows)>,
    /// For the checkpoint.
    pub partitions: BTreeMap<Partition, PartitionState>,
    /// What became of the ticks since the last epoch.
    pub counts: Counts,
    /// Distinct keys in windows that stay open.
    pub open_groups: usize,
}

/// A lane and what is known of its end.
pub struct Member {
    /// The partition's frames and tables.
    pub lane: Lane,
    /// Whether anything was ever in the partition.
    pub spoke: bool,
    /// A bounded run reads up to here.
    pub end: Option<i64>,
    /// Everything was handed on.
    pub caught_up: bool,
    /// It was out of sight and has not caught up since.
    pub was_out_of_sight: bool,
    /// It was caught up at least once in this run.
    pub live: bool,
    /// Wall clock of the last frame, nanoseconds.
    pub last_frame: i64,
    /// Next offset after what was handed on.
    pub position: i64,
}

impl Member {
    fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    fn quiet(&self, now: i64, idle: Option<Duration>) -> Quiet {
        let idle = idle.map(|idle| i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX));
        if (self.finished() || self.caught_up) && !self.spoke {
            Quiet::Silent
        } else if self.finished() {
            Quiet::Finished
        } else if self.caught_up
            && idle.is_some_and(|idle| now.saturating_sub(self.last_frame) >= idle)
        {
            Quiet::Idle
        } else {
            Quiet::Active
        }
    }
}

/// A thread's state.
pub struct Worker {
    /// Reads the members' partitions.
    pub source: Box<dyn Source>,
    /// The partitions that are this worker's.
    pub members: BTreeMap<Partition, Member>,
    /// The job.
    pub shared: Arc<Shared>,
    /// Wall clock.
    pub clock: Clock,
    /// Frames to read until the next epoch; `None`: no limit.
    pub budget: Option<u64>,
}

impl Worker {
    /// Works until the coordinator is gone.
    pub fn run(mut self, commands: &Receiver<Command>, notes: &Sender<Note>) {
        if let Err(error) = self.serve(commands, notes) {
            // The coordinator may be gone already, with an error of its own.
            let _ = notes.send(Note::Failed(error));
        }
    }

    fn serve(
        &mut self,
        commands: &Receiver<Command>,
        notes: &Sender<Note>,
    ) -> Result<(), JobError> {
        let mut told = false;
        let mut crowd = CROWD;
        loop {
            let finished = self.members.values().all(Member::finished);
            let is_full = self.passed_bytes() >= PASSED_BYTES;
            let waits = finished || self.budget == Some(0) || is_full;
            if waits && is_full && !finished {
                // Whatever it closes, the next epoch takes the rows.
                if crowd != usize::MAX && notes.send(Note::Crowded).is_err() {
                    return Ok(());
                }
                crowd = usize::MAX;
            } else if waits && !told {
                told = true;
                if notes.send(Note::Waiting { finished }).is_err() {
                    return Ok(());
                }
            }
            let command = match waits {
                true => commands.recv().ok(),
                false => match commands.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Disconnected) => None,
                    Err(TryRecvError::Empty) => {
                        self.read()?;
                        if self.tables() > crowd {
                            // Once, until some were taken out.
                            crowd = usize::MAX;
                            if notes.send(Note::Crowded).is_err() {
                                return Ok(());
                            }
                        }
                        continue;
                    }
                },
            };
            let note = match command {
                None => return Ok(()),
                Some(Command::Look { now }) => {
                    let views = self.look(now)?;
                    if notes.send(Note::Looked(views)).is_err() {
                        return Ok(());
                    }
                    match commands.recv() {
                        Ok(Command::Close {
                            emitted,
                            budget_per_partition,
                        }) => {
                            let partitions = self.members.len() as u64;
                            self.budget = budget_per_partition.map(|each| each * partitions);
                            told = false;
                            let closed = self.close(&emitted);
                            // What could not be closed does not ask again at once.
                            crowd = CROWD.max(2 * self.tables());
                            Note::Closed(closed)
                        }
                        Ok(Command::Look { .. }) => {
                            return Err(JobError::Failed(
                                "asked twice without an answer between".into(),
                            ));
                        }
                        Err(_) => return Ok(()),
                    }
                }
                Some(Command::Close { .. }) => {
                    return Err(JobError::Failed(
                        "told to close without being asked first".into(),
                    ));
                }
            };
            if notes.send(note).is_err() {
                return Ok(());
            }
        }
    }

    /// One poll, and the work on what it brought.
    fn read(&mut self) -> Result<(), JobError> {
        let limit = self
            .budget
            .map_or(POLL_FRAMES, |left| left.min(POLL_FRAMES as u64) as usize);
        let members = &mut self.members;
        let clock = &self.clock;
        let mut failed = None;
        let frames = self.source.poll(limit, POLL_TIMEOUT, &mut |event| {
            if failed.is_none()
                && let Err(error) = take(members, event, clock)
            {
                failed = Some(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(left) = &mut self.budget {
            *left = left.saturating_sub(frames as u64);
        }
        // A poll that was not full has brought all there is: do not let it wait.
        if frames < limit {
            for member in self.members.values_mut() {
                member.lane.flush()?;
            }
        }
        Ok(())
    }

    fn tables(&self) -> usize {
        self.members
            .values()
            .map(|member| member.lane.tables())
            .sum()
    }

    fn passed_bytes(&self) -> usize {
        self.members
            .values()
            .map(|member| member.lane.passed_bytes())
            .sum()
    }

    fn look(&mut self, now: i64) -> Result<Vec<LaneView>, JobError> {
        let idle = self.shared.plan.source.options.idle;
        let outputs = self.shared.plan.outputs.len();
        self.members
            .values_mut()
            .map(|member| {
                member.lane.flush()?;
                let progress = member.lane.progress();
                Ok(LaneView {
                    standing: Standing {
                        watermark: progress.watermark(),
                        quiet: member.quiet(now, idle),
                    },
                    open: (0..outputs)
                        .map(|at| progress.open_windows(at).collect())
                        .collect(),
                })
            })
            .collect()
    }

    fn close(&mut self, emitted: &[Watermark]) -> ClosedTables {
        let mut closed = ClosedTables::default();
        for (&partition, member) in &mut self.members {
            let tables = member.lane.close(emitted).into_iter();
            closed
                .tables
                .extend(tables.map(|(at, window, table)| (at, window, partition, table)));
            let passed = member.lane.take_passed().into_iter();
            closed
                .passed
                .extend(passed.map(|(at, rows)| (at, partition, rows)));
            closed.counts.add(&member.lane.take_counts());
            closed.open_groups += member.lane.open_groups();
            let replay = member.lane.progress().replay_point();
            let (next, watermark) = member.lane.reached();
            let state = PartitionState {
                next,
                watermark,
                replay: ReplayPoint {
                    offset: replay.offset,
                    watermark: replay.watermark,
                },
            };
            closed.partitions.insert(partition, state);
        }
        closed
    }
}

fn take(
    members: &mut BTreeMap<Partition, Member>,
    event: Event<'_>,
    clock: &Clock,
) -> Result<(), JobError> {
    match event {
        Event::Frame(frame) => {
            let Some(member) = members.get_mut(&frame.partition) else {
                return Ok(());
            };
            if member.end.is_some_and(|end| frame.offset >= end) {
                member.position = member.position.max(frame.offset);
                return Ok(());
            }
            let now = clock();
            member.spoke = true;
            member.caught_up = false;
            // While it catches up, a frame was said when Kafka got it, not when we read it.
            member.last_frame = match frame.timestamp_ms {
                Some(ms) if !member.live => ms.saturating_mul(NANOS_PER_MILLI).min(now),
                _ => now,
            };
            member.position = frame.offset + 1;
            member.lane.push(&frame)
        }
        Event::CaughtUp { partition, offset } => {
            if let Some(member) = members.get_mut(&partition) {
                member.caught_up = true;
                member.live = true;
                // While nobody could say anything, nobody was quiet.
                if std::mem::take(&mut member.was_out_of_sight) {
                    member.last_frame = clock();
                }
                member.position = member.position.max(offset);
                if member.end.is_none_or(|end| offset <= end) {
                    member.lane.skip_to(offset);
                }
            }
            Ok(())
        }
        Event::OutOfSight { partition } => {
            if let Some(member) = members.get_mut(&partition) {
                member.caught_up = false;
                member.was_out_of_sight = true;
            }
            Ok(())
        }
    }
}
