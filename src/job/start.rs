//! Where a job begins: at its checkpoint's replay points, or where the options say.

use std::collections::BTreeMap;

use super::{JobError, JobSpec, StartAt};
use super::lane::LaneStart;
use crate::checkpoint::Checkpoint;
use crate::model::{Partition, Watermark};
use crate::query::{Change, compare};
use crate::source::Bounds;

/// Refuses a checkpoint of another query; says what an edited one does.
pub fn check_meaning(spec: &JobSpec, checkpoint: &Checkpoint) -> Result<(), JobError> {
    match compare(&checkpoint.query, &spec.plan.meaning) {
        Change::None => Ok(()),
        Change::Resume => {
            tracing::info!(
                "the SQL was edited since the last run: windows that are still open are computed by the new SQL, candles already written stay"
            );
            Ok(())
        }
        Change::Refuse(differences) => Err(JobError::Mismatch(format!(
            "the checkpoint in {} was written for another query:\n  {}\nrows of both would be mixed in one table. Give the table another path (CANDLES_PATH) and the job another checkpoint location, or undo the edit",
            spec.checkpoint_dir.display(),
            differences.join("\n  ")
        ))),
    }
}

/// Where each partition's reading starts.
pub fn starts(
    spec: &JobSpec,
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
            },
            // A partition that was added since the checkpoint is read from its beginning.
            None if checkpoint.is_some() => fresh(bounds.low),
            None => fresh(first_offset(spec, partition, *bounds)?),
        };
        let lost = match start.offset {
            offset if offset < bounds.low => Some(format!(
                "partition {partition}: offset {offset} is needed, the topic begins at {}",
                bounds.low
            )),
            offset if offset.max(start.counted_from) > bounds.high => Some(format!(
                "partition {partition}: offset {} was read before, the topic ends at {}; was it deleted and created again?",
                start.counted_from, bounds.high
            )),
            _ => None,
        };
        let start = match lost {
            None => start,
            Some(lost) => {
                gone.push(lost);
                LaneStart { offset: bounds.low, ..fresh(bounds.low) }
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
    if spec.fail_on_data_loss {
        return Err(JobError::DataLoss(format!(
            "topic {topic} no longer holds what the job needs: {gone}. Go on without it by --conf spark.stockpulse.failOnDataLoss=false, or start over with another checkpoint location and table path"
        )));
    }
    tracing::warn!("topic {topic} no longer holds what the job needs, going on without it: {gone}");
    Ok(starts)
}

fn fresh(offset: i64) -> LaneStart {
    LaneStart {
        offset,
        watermark: Watermark::NONE,
        counted_from: offset,
    }
}

fn first_offset(spec: &JobSpec, partition: Partition, bounds: Bounds) -> Result<i64, JobError> {
    match &spec.start {
        StartAt::Earliest => Ok(bounds.low),
        StartAt::Latest => Ok(bounds.high),
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
