//! Where a job begins: with its sinks as the last commit left them, at its checkpoint's replay points, or
//! where the options say.

mod checkpoints;
mod postgres;
mod sinks;

use std::collections::BTreeMap;

pub use self::checkpoints::open_checkpoints;
pub use self::sinks::{open_sinks, patiently};
use super::lane::LaneStart;
use super::{JobError, JobSpec, StartAt, Times};
use crate::checkpoint::{Checkpoint, Location};
use crate::disk::Disk;
use crate::model::{Partition, Watermark};
use crate::query::{Change, JobPlan, Output, compare, folder_of, path_of};
use crate::sink::generation::publish_committed;
use crate::source::{Bounds, Topic};

/// The end of a sentence that begins with `--rebuild`.
const REBUILD_DOES: &str = "everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside";

/// What can be done about offsets that are gone.
pub const GO_ON_WITHOUT: &str = "Go on without it by --conf spark.stockpulse.failOnDataLoss=false, or start over with another checkpoint location and table path";

/// Where a job begins without a checkpoint, and what it does when the topic has lost what it needs.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Without a checkpoint.
    pub start: StartAt,
    /// Refuse when needed offsets are gone.
    pub fail_on_data_loss: bool,
}

/// Refuses a checkpoint of another query; says what an edited one does.
pub fn check_meaning(spec: &JobSpec, checkpoint: &Checkpoint) -> Result<(), JobError> {
    match compare(&checkpoint.query, &spec.plan.meaning) {
        Change::None => Ok(()),
        Change::Resume(gone) => {
            tracing::info!(
                "the SQL was edited since the last run: windows that are still open are computed by the new SQL, candles already written stay"
            );
            gone.iter()
                .try_for_each(|table| leave(&spec.disk, table, checkpoint))
        }
        Change::Refuse(differences) => Err(JobError::Mismatch(format!(
            "the checkpoint in {} was written for another query (was → is):\n  {}\nTo go on would mix rows of both, or begin a table with half a window. You can\n  - undo the edit\n  - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location\n  - add --rebuild: {REBUILD_DOES}",
            checkpoint_dir(spec),
            differences.join("\n  ")
        ))),
    }
}

/// A table that is no longer in the file gets what was committed for it, and nothing more.
fn leave(disk: &Disk, table: &str, checkpoint: &Checkpoint) -> Result<(), JobError> {
    let files: Vec<_> = (checkpoint.files.iter())
        .filter(|file| file.table == table)
        .collect();
    let Some(place) = path_of(&checkpoint.query, table) else {
        return Ok(());
    };
    match folder_of(&checkpoint.query, table) {
        Some(folder) => publish_committed(disk, folder, &files)?,
        None if files.is_empty() => {}
        None => {
            return Err(JobError::Mismatch(format!(
                "table {table} is no longer in the SQL, but the last commit has rows of it that may still have to go to {place}: \
                 start once with the SQL of before (and --available-now, to have it end), then with this one"
            )));
        }
    }
    tracing::info!(
        "table {table} is no longer in the SQL: its rows stay ({place}), windows of it that were open are not written"
    );
    Ok(())
}

/// Where each partition's reading starts.
pub fn starts(
    beginning: &Beginning,
    topic: &str,
    checkpoint: Option<&Checkpoint>,
    bounds: &BTreeMap<Partition, Bounds>,
) -> Result<BTreeMap<Partition, LaneStart>, JobError> {
    let mut starts = BTreeMap::new();
    let mut gone = Vec::new();
    for (&partition, bounds) in bounds {
        let known = checkpoint.and_then(|checkpoint| checkpoint.partitions.get(&partition));
        let start = match known {
            Some(state) => LaneStart {
                offset: state.replay.offset,
                watermark: state.replay.watermark,
                counted_from: state.next,
                counted_watermark: state.watermark,
                last: state.last.filter(|last| last.offset >= bounds.low),
            },
            // A partition that was added since the checkpoint is read from its beginning.
            None if checkpoint.is_some() => fresh(bounds.low),
            None => fresh(first_offset(&beginning.start, partition, *bounds)?),
        };
        let lost = match start.offset {
            offset if offset < bounds.low => Some(format!(
                "partition {partition}: offset {offset} is needed, the topic begins at {}",
                bounds.low
            )),
            offset if offset.max(start.counted_from) > bounds.high => Some(format!(
                "partition {partition}: offset {} was read before, but the topic ends at {}: it may have been deleted and created again",
                start.counted_from, bounds.high
            )),
            _ => None,
        };
        let start = match lost {
            None => start,
            Some(lost) => {
                gone.push(lost);
                without(start, *bounds)
            }
        };
        starts.insert(partition, start);
    }
    let missing = checkpoint.iter().flat_map(|c| c.partitions.keys());
    gone.extend(
        missing
            .filter(|partition| !bounds.contains_key(partition))
            .map(|partition| format!("partition {partition} is gone")),
    );
    if gone.is_empty() {
        return Ok(starts);
    }
    let gone = gone.join("; ");
    if beginning.fail_on_data_loss {
        return Err(JobError::DataLoss(format!(
            "topic {topic} no longer holds what the job needs: {gone}. {GO_ON_WITHOUT}"
        )));
    }
    tracing::warn!("topic {topic} no longer holds what the job needs, going on without it: {gone}");
    Ok(starts)
}

/// Per partition the first offset that the job has ever read: the checkpoint's, or that of a partition it
/// does not have.
pub fn since(
    checkpoint: Option<&Checkpoint>,
    starts: &BTreeMap<Partition, LaneStart>,
) -> BTreeMap<Partition, i64> {
    let mut since = checkpoint.map_or_else(BTreeMap::new, |checkpoint| checkpoint.since.clone());
    for (&partition, start) in starts {
        if checkpoint.is_none_or(|checkpoint| !checkpoint.partitions.contains_key(&partition)) {
            since.insert(partition, start.offset);
        }
    }
    since
}

/// Where a partition goes on that has lost offsets: with what is left, and what was counted before is not
/// counted again. One that ends before them is another partition of the same name.
fn without(start: LaneStart, bounds: Bounds) -> LaneStart {
    match start.counted_from > bounds.high {
        true => fresh(bounds.low),
        false => LaneStart {
            offset: bounds.low,
            watermark: match start.counted_from <= bounds.low {
                true => start.counted_watermark,
                false => start.watermark,
            },
            counted_from: start.counted_from.max(bounds.low),
            ..start
        },
    }
}

fn fresh(offset: i64) -> LaneStart {
    LaneStart {
        offset,
        watermark: Watermark::NONE,
        counted_from: offset,
        counted_watermark: Watermark::NONE,
        last: None,
    }
}

/// Where the consumer group stands, as offsets of every partition.
pub fn of_group(
    topic: &dyn Topic,
    bounds: &BTreeMap<Partition, Bounds>,
) -> Result<StartAt, JobError> {
    let committed = topic.group_offsets()?;
    let offsets = bounds.iter().map(|(&partition, bounds)| {
        let known = committed.0.get(&partition);
        (partition, known.copied().unwrap_or(bounds.low))
    });
    Ok(StartAt::Offsets(offsets.collect()))
}

/// Where messages are as young as was asked for, as offsets of every partition.
pub fn of_times(
    topic: &dyn Topic,
    bounds: &BTreeMap<Partition, Bounds>,
    times: &Times,
    or_latest: bool,
) -> Result<StartAt, JobError> {
    let time = |partition: Partition| match times {
        Times::All(time) => Ok((partition, *time)),
        Times::Each(times) => match times.get(&partition) {
            Some(time) => Ok((partition, *time)),
            None => Err(JobError::Usage(format!(
                "startingOffsetsByTimestamp names no time for partition {partition}; it must name all of the topic's"
            ))),
        },
    };
    let times: BTreeMap<Partition, i64> =
        bounds.keys().copied().map(time).collect::<Result<_, _>>()?;
    let found = topic.offsets_since(&times)?;
    let offsets = bounds.iter().map(|(&partition, bounds)| match found.0.get(&partition) {
        // What came after the bounds were asked for is still to come.
        Some(&offset) => Ok((partition, offset.clamp(bounds.low, bounds.high))),
        // What is empty has nothing that could be missed.
            None if or_latest || bounds.low == bounds.high => Ok((partition, bounds.high)),
        None => Err(JobError::Usage(format!(
            "topic {}, partition {partition}: no message is of {} or later, where reading is to start; begin there with what comes next by --conf spark.stockpulse.startingOffsetsByTimestampStrategy=latest, or give an earlier time",
            topic.name(),
            time_words(times[&partition])
        ))),
    });
    Ok(StartAt::Offsets(offsets.collect::<Result<_, _>>()?))
}

/// A time as people read it, and as it was given.
fn time_words(time_ms: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(time_ms) {
        Some(time) => format!("{} ({time_ms})", time.format("%Y-%m-%d %H:%M:%S UTC")),
        None => time_ms.to_string(),
    }
}

fn first_offset(start: &StartAt, partition: Partition, bounds: Bounds) -> Result<i64, JobError> {
    match start {
        StartAt::Earliest => Ok(bounds.low),
        StartAt::Latest => Ok(bounds.high),
        // Resolved before; without a known offset it is where the topic begins.
        StartAt::Group | StartAt::Since { .. } => Ok(bounds.low),
        StartAt::Offsets(offsets) => match offsets.get(&partition) {
            Some(-2) => Ok(bounds.low),
            Some(-1) => Ok(bounds.high),
            Some(&offset) if offset >= 0 => Ok(offset),
            Some(offset) => Err(JobError::Usage(format!(
                "startingOffsets: {offset} is no offset of partition {partition}; it is 0 and up, -2 (earliest) or -1 (latest)"
            ))),
            None => Err(JobError::Usage(format!(
                "startingOffsets names no offset for partition {partition}; it must name all of the topic's"
            ))),
        },
    }
}

/// Per output the end of the last emitted window. Of a SELECT's windows nothing is remembered: it shows those
/// of which no tick can lie before the replay points, so never half a one.
pub fn emitted(plan: &JobPlan, checkpoint: Option<&Checkpoint>) -> Vec<Watermark> {
    let of = |output: &Output| {
        let checkpoint = checkpoint?;
        if !output.sink.is_preview() {
            return checkpoint.emitted.get(&output.table).map(|end| end.0);
        }
        let partitions = checkpoint.partitions.values();
        let before = partitions.map(|state| state.replay.watermark).max();
        let before = before.filter(|&watermark| watermark != Watermark::NONE)?;
        let last_time = before.0.saturating_add(plan.source.watermark.delay);
        // A window that begins after it ends later than this.
        let windows = output.pipeline.windows()?;
        Some(Watermark(last_time.saturating_add(windows.width())))
    };
    let outputs = plan.outputs.iter();
    outputs
        .map(|output| of(output).unwrap_or(Watermark::NONE))
        .collect()
}

/// Where the checkpoints are, for messages.
fn checkpoint_dir(spec: &JobSpec) -> String {
    let dir = spec.checkpoint_dir.as_ref();
    dir.map_or_else(|| "nowhere".to_string(), Location::to_string)
}
