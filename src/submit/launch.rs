//! From options and SQL to a running job: plans the file, connects to Kafka, runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::begin::Announced;
use super::letters::dead_letters;
use crate::config::ingest::{Absent, DEFAULT_TRIGGER, IngestOptions, StartingOffsets, Trigger};
use crate::config::kafka::KafkaProperties;
use crate::disk::Disk;
use crate::job::{
    self, Clock, DeadLetters, JobError, JobSpec, MICRO_BATCH_FRAMES, ProgressReport, StartAt,
    Summary, Times,
};
use crate::metrics::ingest::IngestMetrics;
use crate::model::{Exit, Partition};
use crate::page::Board;
use crate::query::sql::{Diagnostics, SourceOffset, SqlFile};
use crate::query::{JobPlan, SinkOptions, same_brokers};
use crate::sink::{Console, default_checkpoint_dir};
use crate::source::Topic;
use crate::source::kafka::{KafkaTopic, REACH_TIMEOUT};

/// Least time between two epochs where the options give none: an unbounded run always has one.
const SHORTEST_TRIGGER: Duration = Duration::from_millis(1);

/// Why a job could not be started, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The SQL was refused.
    #[error("{0}")]
    Sql(Diagnostics),
    /// A value of the options is wrong.
    #[error("{0}")]
    Usage(String),
    /// The job ended.
    #[error("{0}")]
    Job(#[from] JobError),
}

impl LaunchError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            LaunchError::Sql(_) => Exit::SqlRefused,
            LaunchError::Usage(_) => Exit::Usage,
            LaunchError::Job(error) => error.exit(),
        }
    }
}

/// A job that is planned, and whose options were checked; nothing was touched yet.
pub struct Prepared {
    /// What it does.
    pub plan: JobPlan,
    /// How Kafka is reached.
    pub kafka: KafkaProperties,
    /// Its consumer group.
    pub group: String,
    /// Where it begins without a checkpoint.
    pub start: StartAt,
    /// Where checkpoints go; `None`: nothing is committed.
    pub checkpoint_dir: Option<PathBuf>,
    /// Where dead letters go; `None`: they are counted only.
    pub dead_letters: Option<DeadLetters>,
    sql: SqlFile,
    since: Instant,
}

/// Plans `sql` and checks `options` against it.
///
/// # Errors
/// What is wrong with either.
pub fn prepare(options: &IngestOptions, sql: &SqlFile) -> Result<Prepared, LaunchError> {
    let since = Instant::now();
    let plan = plan(options, sql)?;
    let source = &plan.source.options;
    let group = source.group_id.clone();
    let kafka = options.kafka(&source.bootstrap_servers, &source.kafka_properties());
    let checkpoint_dir = checkpoint_dir(options, &plan)?;
    Ok(Prepared {
        dead_letters: dead_letters(options, &plan, &kafka, checkpoint_dir.as_deref())?,
        kafka,
        group: group.unwrap_or_else(|| format!("stockpulse-{}", options.name)),
        start: start_at(options, &source.topic, source.source_offset)?,
        checkpoint_dir,
        plan,
        sql: sql.clone(),
        since,
    })
}

/// What the file does, within the limits of `options`.
fn plan(options: &IngestOptions, sql: &SqlFile) -> Result<JobPlan, LaunchError> {
    let mut plan = JobPlan::new(sql).map_err(LaunchError::Sql)?;
    if let Some(bytes) = options.memory_limit {
        plan.limit_memory(bytes);
    }
    reach_topics(options, &mut plan);
    Ok(plan)
}

/// What is given beside the SQL is for the cluster that is read: a login must not be sent to any other. So a topic of
/// other brokers has what its table's own options say, and nothing else.
fn reach_topics(options: &IngestOptions, plan: &mut JobPlan) {
    let source = plan.source.options.bootstrap_servers.clone();
    for output in &mut plan.outputs {
        if let SinkOptions::Kafka(sink) = &mut output.sink
            && same_brokers(&sink.kafka.brokers, &source)
        {
            sink.kafka = options.kafka(&sink.kafka.brokers, sink.kafka_properties());
        }
    }
}

/// Runs what is prepared, after a rebuild if there is to be one, until it is done, `stop` is set, or it cannot go on. `None`: it was
/// stopped before Kafka's topic was there.
pub fn launch(
    prepared: Prepared,
    options: &IngestOptions,
    stop: &Arc<AtomicBool>,
    metrics: &IngestMetrics,
    console: Console,
    board: Option<&Board>,
    on_progress: &mut dyn FnMut(&ProgressReport),
) -> Result<Option<Summary>, LaunchError> {
    let Prepared {
        plan,
        kafka,
        group,
        start,
        checkpoint_dir,
        dead_letters,
        sql,
        since,
    } = prepared;
    // Before Kafka, so that a folder that cannot be written is not found out about only later.
    let name = options.name.clone();
    let stopping = || stop.load(Ordering::Relaxed);
    let topic = KafkaTopic::connect(
        &kafka,
        &plan.source.options.topic,
        &group,
        REACH_TIMEOUT,
        &stopping,
    )
    .map_err(JobError::from)?;
    let Some(topic) = topic else {
        return Ok(None);
    };
    let topic = Arc::new(topic);
    if let Some(board) = board {
        let asked = Arc::clone(&topic);
        board.set_ends(
            plan.source.options.topic.clone(),
            Box::new(move || ends(&*asked)),
        );
    }
    let topic = Announced::new(topic, since);
    let spec = |plan| JobSpec {
        name: name.clone(),
        plan,
        threads: options.threads,
        micro_batch_frames: MICRO_BATCH_FRAMES,
        checkpoint_dir: checkpoint_dir.clone(),
        console: console.clone(),
        bounded: options.trigger == Trigger::AvailableNow,
        trigger: match options.trigger {
            Trigger::AvailableNow | Trigger::AtOnce => DEFAULT_TRIGGER,
            Trigger::ProcessingTime(interval) => interval.max(SHORTEST_TRIGGER),
        },
        closes_at_once: options.trigger == Trigger::AtOnce,
        start: start.clone(),
        max_offsets_per_trigger: options.max_offsets_per_trigger,
        fail_on_data_loss: options.fail_on_data_loss,
        max_future_skew: options.max_future_skew,
        sink_patience: options.sink_patience,
        dead_letters: dead_letters.clone(),
        compaction: options.compaction,
        stop: Arc::clone(stop),
        clock: Clock::system(),
        disk: Disk::default(),
        in_turns: false,
        metrics: metrics.clone(),
        open: board.map(|board| board.open().clone()),
    };
    if !options.rebuild {
        return Ok(Some(job::run(spec(plan), &topic, on_progress)?));
    }
    let rebuilt = job::rebuild(spec(plan), &topic, on_progress)?;
    if options.trigger == Trigger::AvailableNow || stopping() {
        return Ok(Some(rebuilt));
    }
    let plan = self::plan(options, &sql)?;
    Ok(Some(job::run(spec(plan), &topic, on_progress)?))
}

/// Where the partitions of a topic end; `None`: the broker does not say so now.
fn ends(topic: &dyn Topic) -> Option<BTreeMap<Partition, i64>> {
    let bounds = topic.bounds().ok()?;
    Some(
        bounds
            .into_iter()
            .map(|(partition, bounds)| (partition, bounds.high))
            .collect(),
    )
}

/// `startingOffsets` where it was given, else the table's `source.offset`, else the beginning.
fn start_at(
    options: &IngestOptions,
    topic: &str,
    in_sql: Option<SourceOffset>,
) -> Result<StartAt, LaunchError> {
    match (&options.starting_offsets, in_sql) {
        (Some(StartingOffsets::Earliest), _) => Ok(StartAt::Earliest),
        (Some(StartingOffsets::Latest), _) | (None, Some(SourceOffset::Latest)) => {
            Ok(StartAt::Latest)
        }
        (None, Some(SourceOffset::Group)) => Ok(StartAt::Group),
        (None, _) => Ok(StartAt::Earliest),
        (Some(StartingOffsets::Map(topics)), _) => {
            of_topic(topics, topic, "startingOffsets").map(StartAt::Offsets)
        }
        (Some(StartingOffsets::Since { time_ms, absent }), _) => Ok(StartAt::Since {
            times: Times::All(*time_ms),
            or_latest: *absent == Absent::Latest,
        }),
        (Some(StartingOffsets::SinceEach { times_ms, absent }), _) => Ok(StartAt::Since {
            times: Times::Each(of_topic(times_ms, topic, "startingOffsetsByTimestamp")?),
            or_latest: *absent == Absent::Latest,
        }),
    }
}

/// What a property says of the topic that the SQL reads.
fn of_topic(
    topics: &BTreeMap<String, BTreeMap<Partition, i64>>,
    topic: &str,
    property: &str,
) -> Result<BTreeMap<Partition, i64>, LaunchError> {
    topics.get(topic).cloned().ok_or_else(|| {
        LaunchError::Usage(format!(
            "spark.stockpulse.{property} has nothing for topic {topic}, which the SQL reads; it has {}",
            topics.keys().cloned().collect::<Vec<_>>().join(", ")
        ))
    })
}

/// Where checkpoints go: as told, else beside the first folder that is written to. `None`: the job only
/// shows rows.
fn checkpoint_dir(options: &IngestOptions, plan: &JobPlan) -> Result<Option<PathBuf>, LaunchError> {
    if plan.is_preview() {
        return Ok(None);
    }
    if let Some(told) = &options.checkpoint_location {
        return Ok(Some(told.clone()));
    }
    let missing = |why: String| {
        LaunchError::Usage(format!(
            "{why}; give one by --conf spark.sql.streaming.checkpointLocation=DIR"
        ))
    };
    let Some(table) = plan.outputs.iter().find_map(|output| output.sink.folder()) else {
        return Err(missing(
            "there is no place for checkpoints, since the job writes no folder that they could be beside"
                .to_owned(),
        ));
    };
    match default_checkpoint_dir(table) {
        Some(beside) => Ok(Some(beside)),
        None => Err(missing(format!(
            "there is no place for checkpoints beside {}",
            table.display()
        ))),
    }
}
