//! A thread of the job: owns some of the topic's partitions and everything about them.
//!
//! It reads and works until the coordinator asks. An epoch asks twice: [`Command::Look`] (the worker
//! answers and waits), then [`Command::Close`] with what is closed (it hands the closed tables out
//! together with where it stands, and goes on). Between the two nothing moves, so the answers of all
//! workers fit together.

mod member;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

pub use self::member::{Member, nanos};
use self::member::{Now, take};
use super::lane::Shared;
use super::{Clock, JobError};
use crate::checkpoint::{PartitionState, ReplayPoint};
use crate::model::{Counts, Partition, Watermark, Window};
use crate::query::Table;
use crate::sink::SinkRows;
use crate::source::{Event, Source};
use crate::window::Standing;

/// Frames that one poll hands on at the most.
const POLL_FRAMES: usize = 8192;
/// Windows of its partitions that a worker holds open before it asks for those that can be closed: each
/// costs some kilobytes for every key, and for keys that are no single text 40 kB however few they are.
const CROWD: usize = 32;
/// Bytes of rows without windows, and of dead letters, that a worker holds before it waits for an epoch to take them.
const WAITING_BYTES: usize = 16 << 20;
/// Frames that one poll hands on at the most where their bytes may have to be kept; fewer where they are large.
const KEPT_POLL_FRAMES: usize = 256;
/// What the first frames are taken to be as large as, at the most: the default of Kafka's `message.max.bytes`.
const LARGE_FRAME_BYTES: usize = 1 << 20;
/// How long a poll waits for the first frame: the longest that the coordinator waits for an answer.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// What the coordinator asks.
pub enum Command {
    /// Say where your partitions stand, then wait for `Close`.
    Look,
    /// Hand out the tables of closed windows, then go on.
    Close {
        /// Per output: windows that end at or before this are closed.
        emitted: Vec<Watermark>,
        /// Frames to read of each partition until the next epoch; `None`: no limit.
        budget_per_partition: Option<u64>,
        /// Per output the open windows to copy; none where nobody looks at them.
        copies: Vec<Vec<Window>>,
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
#[derive(Clone)]
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
    /// Copies of tables that stay open, likewise.
    pub copies: Vec<(usize, Window, Partition, Table)>,
    /// Rows of queries without windows, by output and partition.
    pub passed: Vec<(usize, Partition, SinkRows)>,
    /// Dead letters, by partition.
    pub letters: Vec<(Partition, SinkRows)>,
    /// For the checkpoint.
    pub partitions: BTreeMap<Partition, PartitionState>,
    /// What became of the ticks since the last epoch.
    pub counts: Counts,
    /// Distinct keys in windows that stay open.
    pub open_groups: usize,
    /// Bytes that these windows take, where they are limited.
    pub open_bytes: usize,
}

impl ClosedTables {
    /// Adds another worker's.
    pub fn add(&mut self, other: ClosedTables) {
        self.tables.extend(other.tables);
        self.copies.extend(other.copies);
        self.passed.extend(other.passed);
        self.letters.extend(other.letters);
        self.partitions.extend(other.partitions);
        self.counts.add(&other.counts);
        self.open_groups += other.open_groups;
        self.open_bytes += other.open_bytes;
    }
}

/// A thread's state.
pub struct Worker {
    /// Reads the members' partitions.
    source: Box<dyn Source>,
    /// The partitions that are this worker's.
    members: BTreeMap<Partition, Member>,
    shared: Arc<Shared>,
    clock: Clock,
    /// Frames to read until the next epoch; `None`: no limit.
    budget: Option<u64>,
    /// Bytes of the largest frame of the last poll.
    largest_frame: usize,
    /// It has said that it waits.
    told: bool,
    /// It asks for an epoch when it holds more tables than this.
    crowd: usize,
    /// Tables that it may have while sinks are waited for.
    room: usize,
}

/// What a worker's turn came to.
pub enum Turn {
    /// It has read what was there, if anything was.
    Read,
    /// This is to be said.
    Says(Note),
    /// There is nothing to do before the next epoch.
    Waits,
    /// Nothing more is to be read while sinks are waited for.
    Held,
}

impl Worker {
    /// A worker for `members`, which `source` reads.
    pub fn new(
        source: Box<dyn Source>,
        members: BTreeMap<Partition, Member>,
        shared: Arc<Shared>,
        clock: Clock,
        budget_per_partition: Option<u64>,
    ) -> Worker {
        let partitions = members.len() as u64;
        Worker {
            source,
            members,
            shared,
            clock,
            budget: budget_per_partition.map(|each| each * partitions),
            largest_frame: LARGE_FRAME_BYTES,
            told: false,
            crowd: CROWD,
            room: CROWD,
        }
    }

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
        loop {
            let command = match commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => match self.turn()? {
                    Turn::Read => continue,
                    Turn::Says(note) => match notes.send(note) {
                        Ok(()) => continue,
                        Err(_) => return Ok(()),
                    },
                    Turn::Waits => match commands.recv() {
                        Ok(command) => command,
                        Err(_) => return Ok(()),
                    },
                    Turn::Held => match commands.recv_timeout(POLL_TIMEOUT) {
                        Ok(command) => command,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    },
                },
            };
            let Command::Look = command else {
                let message = "told to close without being asked first";
                return Err(JobError::Failed(message.into()));
            };
            if notes.send(Note::Looked(self.look()?)).is_err() {
                return Ok(());
            }
            let closed = match commands.recv() {
                Ok(Command::Close {
                    emitted,
                    budget_per_partition,
                    copies,
                }) => self.close(&emitted, budget_per_partition, &copies)?,
                Ok(Command::Look) => {
                    let message = "asked twice without an answer between";
                    return Err(JobError::Failed(message.into()));
                }
                Err(_) => return Ok(()),
            };
            if notes.send(Note::Closed(closed)).is_err() {
                return Ok(());
            }
        }
    }

    /// One turn: says what is to be said, or reads, or has nothing to do.
    pub fn turn(&mut self) -> Result<Turn, JobError> {
        let finished = self.members.values().all(Member::finished);
        let is_full = self.waiting_bytes() >= WAITING_BYTES;
        let waits = finished || self.budget == Some(0) || is_full;
        if is_full && !finished {
            if self.crowd != usize::MAX {
                // Whatever it closes, the next epoch takes the rows.
                self.crowd = usize::MAX;
                return Ok(Turn::Says(Note::Crowded));
            }
        } else if waits && !self.told {
            self.told = true;
            return Ok(Turn::Says(Note::Waiting { finished }));
        }
        if waits {
            return Ok(Turn::Waits);
        }
        if self.shared.held.load(Ordering::Relaxed) && self.tables() > self.room {
            return Ok(Turn::Held);
        }
        self.read()?;
        if self.tables() > self.crowd {
            // Once, until some were taken out.
            self.crowd = usize::MAX;
            return Ok(Turn::Says(Note::Crowded));
        }
        Ok(Turn::Read)
    }

    /// One poll, and the work on what it brought.
    fn read(&mut self) -> Result<(), JobError> {
        let most = match self.shared.keeps_letters {
            true => (WAITING_BYTES / self.largest_frame.max(1)).clamp(1, KEPT_POLL_FRAMES),
            false => POLL_FRAMES,
        };
        let limit = self
            .budget
            .map_or(most, |left| left.min(most as u64) as usize);
        let members = &mut self.members;
        let clock = &self.clock;
        let behind = &self.shared.behind;
        let mut failed = None;
        // Read once a poll, when something has come.
        let mut now = None;
        let mut largest = 0;
        let frames = self.source.poll(limit, POLL_TIMEOUT, &mut |event| {
            if let Event::Frame(frame) = &event {
                largest = largest.max(frame.payload.map_or(0, <[u8]>::len));
            }
            if failed.is_none()
                && let Err(error) = take(
                    members,
                    event,
                    now.get_or_insert_with(|| Now::read(clock)),
                    behind,
                )
            {
                failed = Some(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if frames > 0 {
            self.largest_frame = largest;
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

    fn waiting_bytes(&self) -> usize {
        self.members
            .values()
            .map(|member| member.lane.waiting_bytes())
            .sum()
    }

    /// Where its partitions stand.
    pub fn look(&mut self) -> Result<Vec<LaneView>, JobError> {
        let idle = self.shared.plan.source.options.idle;
        let now = self.clock.steady();
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

    /// Takes out what is closed; it may read on by the new budget.
    pub fn close(
        &mut self,
        emitted: &[Watermark],
        budget_per_partition: Option<u64>,
        copies: &[Vec<Window>],
    ) -> Result<ClosedTables, JobError> {
        let partitions = self.members.len() as u64;
        self.budget = budget_per_partition.map(|each| each * partitions);
        self.told = false;
        let mut closed = ClosedTables::default();
        for (&partition, member) in &mut self.members {
            let tables = member.lane.close(emitted).into_iter();
            closed
                .tables
                .extend(tables.map(|(at, window, table)| (at, window, partition, table)));
            let copies = member.lane.copies(copies)?.into_iter();
            closed
                .copies
                .extend(copies.map(|(at, window, table)| (at, window, partition, table)));
            let passed = member.lane.take_passed().into_iter();
            closed
                .passed
                .extend(passed.map(|(at, rows)| (at, partition, rows)));
            let letters = member.lane.take_letters()?;
            closed.letters.extend(letters.map(|rows| (partition, rows)));
            closed.counts.add(&member.lane.take_counts());
            closed.open_groups += member.lane.open_groups();
            closed.open_bytes += member.lane.open_bytes();
            let replay = member.lane.progress().replay_point();
            let (next, watermark) = member.lane.reached();
            let state = PartitionState {
                next,
                watermark,
                replay: ReplayPoint {
                    offset: replay.offset,
                    watermark: replay.watermark,
                },
                last: member.lane.last_frame(),
            };
            closed.partitions.insert(partition, state);
        }
        // What could not be closed does not ask again at once.
        self.room = CROWD.max(2 * self.tables());
        self.crowd = self.room;
        Ok(closed)
    }
}
