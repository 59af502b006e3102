//! A seed from its beginning to its end: the job is started, stopped, killed and started again until everything has
//! happened, then it is left alone once, and the books are checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use stockpulse::checkpoint::{Checkpoint, CheckpointStore};
use stockpulse::disk::Disk;
use stockpulse::job::{
    self, Console, DeadLetters, JobError, JobSpec, ProgressReport, StartAt, Summary,
};
use stockpulse::metrics::ingest::IngestMetrics;
use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;

use super::disk::{Fault, Moods};
use super::oracle::{Lost, Oracle};
use super::topic::SimTopic;
use super::world::{LATER_MS, World};
use crate::crash::folder;
use crate::job::exact::OHLC;

/// The table's `idle_micros`.
pub const IDLE: Duration = Duration::from_secs(30);
/// More starts than a seed needs.
const LIVES_MAX: usize = 60;
/// The machine's day goes on until every window is overdue.
const AFTERWARDS: Duration = Duration::from_secs(3600 * 24 * 30);

/// What happened, over one seed or many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub what: BTreeMap<String, u64>,
    /// A checksum of everything that was done to the disk.
    pub trace: u32,
}

impl Seen {
    pub fn count(&mut self, what: &str, number: u64) {
        if number > 0 {
            *self.what.entry(what.to_string()).or_default() += number;
        }
    }

    pub fn add(&mut self, other: &Seen) {
        for (what, number) in &other.what {
            self.count(what, *number);
        }
    }

    /// Whether nothing of what can go wrong was left out.
    pub fn saw_everything(&self) -> bool {
        let all = [
            "crash",
            "torn",
            "full",
            "broken",
            "slow",
            "exit 4",
            "exit 6",
            "exit 7",
            "lost",
            "recreated",
            "added",
            "set clock",
            "late",
            "late by closing",
            "malformed",
            "future",
            "stopped",
            "ended",
        ];
        all.iter().all(|what| self.what.contains_key(*what))
    }
}

struct Lives {
    world: World,
    folder: PathBuf,
    seen: Seen,
    /// The job may go on without what the topic has lost.
    may_lose: bool,
    lost: Lost,
}

/// How one life is led.
struct Life {
    bounded: bool,
    /// It is told to stop then, by the steady clock.
    until: Option<Duration>,
    fault: Option<(usize, Fault)>,
}

/// Leads the lives of a seed; an error says what is wrong.
pub fn simulate(seed: u64) -> Result<Seen, String> {
    let (world, market) = World::new(seed);
    let folder = folder();
    let mut lives = Lives {
        world: world.clone(),
        folder: folder.path().to_path_buf(),
        seen: Seen::default(),
        may_lose: false,
        lost: Lost::default(),
    };
    lives.seen.count("added", market.count_added());
    lives.seen.count("set clock", market.count_set());
    for number in 0.. {
        if number == LIVES_MAX {
            return Err("it does not come to an end".to_string());
        }
        if world.state().is_over() {
            break;
        }
        let life = lives.draw();
        drop(lives.lead(&life)?);
        lives.check_midway()?;
        let pause = world.state().random.random_range(0..20_000);
        world.state().pass(Duration::from_millis(pause));
    }
    if market.is_recreated {
        lives.check_recreated()?;
        return Ok(lives.seen);
    }
    // Nothing more goes wrong, and everything is overdue.
    world.state().pass(AFTERWARDS);
    let last = Life {
        bounded: true,
        until: None,
        fault: None,
    };
    for _ in 0..3 {
        if let Ok(summary) = lives.lead(&last)? {
            return lives.check_end(&summary);
        }
    }
    Err("left alone, it does not come to an end".to_string())
}

impl Lives {
    fn draw(&self) -> Life {
        let mut state = self.world.state();
        let bounded = state.random.random_bool(0.3);
        let until = state.now + Duration::from_millis(state.random.random_range(1_000..240_000));
        let fault = match state.random.random_range(0..10) {
            0..3 => Some(Fault::Crash),
            3 => Some(Fault::Torn),
            4 => Some(Fault::Full),
            5 => Some(Fault::Broken),
            6 => Some(Fault::Slow),
            _ => None,
        };
        let fault = fault.map(|fault| (state.random.random_range(0..150), fault));
        Life {
            bounded,
            until: Some(until),
            fault,
        }
    }

    /// One process of the job; `Ok(Err)`: it ended before its time, as it may.
    fn lead(&mut self, life: &Life) -> Result<Result<Summary, JobError>, String> {
        let moods = Arc::new(Moods::new(&self.world, &self.folder, life.fault));
        let spec = self.spec(life, &moods);
        let (stop, world) = (Arc::clone(&spec.stop), self.world.clone());
        world.state().reading.clear();
        let mut wrong = None;
        // While an fsync takes its time, the world goes on.
        let may_check = self.lost.is_nothing() && !matches!(life.fault, Some((_, Fault::Slow)));
        let ended = job::run(
            spec,
            &SimTopic(world.clone()),
            &mut |report: &ProgressReport| {
                let state = world.state();
                if may_check && wrong.is_none() {
                    wrong = Oracle::check_watermark(&state, report.watermark, life.bounded).err();
                }
                if life.until.is_some_and(|until| state.now >= until) {
                    stop.store(true, Ordering::Relaxed);
                }
            },
        );
        self.seen.trace = self.seen.trace.rotate_left(1) ^ moods.trace();
        let done = moods.done();
        if let Some(done) = done {
            self.seen.count(&format!("{done:?}").to_lowercase(), 1);
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        match &ended {
            Ok(_) => self
                .seen
                .count(if life.bounded { "ended" } else { "stopped" }, 1),
            Err(error) => {
                let code = error.exit().code();
                self.seen.count(&format!("exit {code}"), 1);
                match (code, done) {
                    (7, Some(_)) | (4, _) => {}
                    (6, _) => self.lose()?,
                    _ => return Err(format!("it ended with {code}: {error}")),
                }
            }
        }
        Ok(ended)
    }

    fn spec(&self, life: &Life, moods: &Arc<Moods>) -> JobSpec {
        let mut state = self.world.state();
        let interval = if state.random.random_bool(0.7) {
            "1 millisecond"
        } else {
            "5 seconds"
        };
        let table = self.folder.join("data/ohlc").display().to_string();
        let lookup = |name: &str| match name {
            "CANDLES_PATH" => Some(table.clone()),
            "COMMIT_INTERVAL" => Some(interval.to_string()),
            _ => None,
        };
        let before = "connector = 'kafka',";
        let idle = format!("{before} idle_micros = {},", IDLE.as_micros());
        let sql = OHLC.replacen(before, &idle, 1);
        let file = SqlFile::parse("sim.sql", &sql, &lookup).unwrap();
        JobSpec {
            name: "sim".to_string(),
            plan: JobPlan::new(&file).unwrap(),
            threads: state.random.random_range(1..=3),
            micro_batch_frames: state.random.random_range(1..=8),
            checkpoint_dir: Some(self.checkpoints()),
            console: Console::stdout(),
            bounded: life.bounded,
            closes_at_once: state.random.random_bool(0.5),
            trigger: Duration::from_millis(state.random.random_range(200..8_000)),
            start: StartAt::Earliest,
            max_offsets_per_trigger: state
                .random
                .random_bool(0.4)
                .then(|| state.random.random_range(1..40)),
            fail_on_data_loss: !self.may_lose,
            max_future_skew: Duration::from_secs(600),
            sink_patience: None,
            compaction: Some(Duration::from_secs(3600)),
            dead_letters: Some(DeadLetters::Folder(self.folder.join("data/letters"))),
            stop: Arc::new(AtomicBool::new(false)),
            clock: self.world.clock(),
            disk: Disk::watched(moods.clone()),
            in_turns: true,
            metrics: IngestMetrics::default(),
            open: None,
        }
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join("data/_checkpoints/ohlc")
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, String> {
        let store = CheckpointStore::open(&self.checkpoints(), &Disk::default());
        store
            .and_then(|store| store.load())
            .map_err(|error| error.to_string())
    }

    /// The topic has lost what the job needs: it says so, and may go on without it.
    fn lose(&mut self) -> Result<(), String> {
        let checkpoint = self.checkpoint()?;
        let state = self.world.state();
        if state.is_recreated {
            return Ok(());
        }
        self.may_lose = true;
        for (partition, log) in &state.logs {
            let known = checkpoint
                .as_ref()
                .and_then(|c| c.partitions.get(partition));
            let (needed, next) = known.map_or((0, 0), |known| (known.replay.offset, known.next));
            if needed < log.low {
                self.lost.add(*partition, needed, next, log.low);
            }
        }
        if self.lost.is_nothing() && state.logs.values().all(|log| log.low == 0) {
            return Err("nothing is lost, and it says so".to_string());
        }
        self.seen.count("lost", 1);
        Ok(())
    }

    fn oracle(&self) -> Result<Oracle, String> {
        let since = self
            .checkpoint()?
            .map(|checkpoint| checkpoint.since)
            .unwrap_or_default();
        Oracle::new(&self.folder, &self.world.state(), &self.lost, &since)
    }

    /// What readers see between two lives.
    fn check_midway(&self) -> Result<(), String> {
        Oracle::check_once(&self.folder)
    }

    fn check_end(mut self, summary: &Summary) -> Result<Seen, String> {
        let oracle = self.oracle()?;
        oracle.check(summary)?;
        oracle.count(&mut self.seen);
        let staged = self.folder.join("data/_stage");
        match stockpulse::testing::files_below(&staged).map_err(|error| error.to_string())? {
            left if left == ["letters/lock", "ohlc/lock"] => Ok(self.seen),
            left => Err(format!("left staged: {left:?}")),
        }
    }

    /// Another topic of the same name is not taken for the one that was read.
    fn check_recreated(&mut self) -> Result<(), String> {
        let was_read = |checkpoint: Checkpoint| {
            let state = self.world.state();
            checkpoint.partitions.iter().any(|(partition, known)| {
                let log = &state.logs[partition];
                // Who was running then may have read on in the new one.
                let is_of_before = |at: i64, timestamp_ms| {
                    let now = log.entries[usize::try_from(at).unwrap()].kafka_ms;
                    at >= log.low && timestamp_ms == Some(now - LATER_MS)
                };
                known
                    .last
                    .is_some_and(|last| is_of_before(last.offset, last.timestamp_ms))
            })
        };
        if !self.checkpoint()?.is_some_and(was_read) {
            return Ok(());
        }
        self.may_lose = false;
        let life = Life {
            bounded: true,
            until: None,
            fault: None,
        };
        self.world.state().pass(Duration::from_secs(600));
        match self.lead(&life)? {
            Err(JobError::DataLoss(_)) => {
                self.seen.count("recreated", 1);
                self.check_midway()
            }
            other => Err(format!(
                "another topic was taken for the one that was read: {other:?}"
            )),
        }
    }
}
