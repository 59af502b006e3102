//! What is known of a frame besides its payload, as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringViewArray,
    TimestampNanosecondArray,
};

use super::Shared;
use crate::job::JobError;
use crate::model::{FrameRef, NANOS_PER_MILLI, Partition};
use crate::query::FrameColumn;

/// A frame of a micro-batch.
#[derive(Clone)]
pub struct Frame {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp, nanoseconds.
    pub kafka_time: Option<i64>,
    /// Its key, where the job uses keys.
    key: Option<Box<[u8]>>,
}

impl Frame {
    /// What is kept of a frame.
    pub fn new(frame: &FrameRef<'_>, uses_key: bool) -> Frame {
        let key = frame.key.filter(|_| uses_key);
        Frame {
            offset: frame.offset,
            kafka_time: frame
                .timestamp_ms
                .and_then(|ms| ms.checked_mul(NANOS_PER_MILLI)),
            key: key.map(Box::from),
        }
    }

    /// Whether `time` is further in the future of Kafka's timestamp than allowed; without one nothing
    /// can be said.
    pub fn is_before(&self, time: i64, skew: i64) -> bool {
        self.kafka_time
            .is_some_and(|kafka| time > kafka.saturating_add(skew))
    }
}

/// Whether a job uses its messages' keys.
pub fn uses_key(shared: &Shared) -> bool {
    let columns = &shared.plan.source.frame_columns;
    columns.contains(&FrameColumn::Key)
}

/// A batch of frames: the decoded columns, then what the job uses of each frame, then its number.
pub fn batch(
    shared: &Shared,
    partition: Partition,
    decoded: &RecordBatch,
    frames: &[Frame],
) -> Result<RecordBatch, JobError> {
    let mut columns: Vec<ArrayRef> = decoded.columns().to_vec();
    for column in &shared.plan.source.frame_columns {
        let times = frames.iter().map(|frame| frame.kafka_time);
        columns.push(match column {
            FrameColumn::KafkaTime => Arc::new(TimestampNanosecondArray::from_iter(times)),
            FrameColumn::KafkaMillis => Arc::new(Int64Array::from_iter(
                times.map(|time| time.map(|nanos| nanos / NANOS_PER_MILLI)),
            )),
            FrameColumn::Offset => Arc::new(Int64Array::from_iter_values(
                frames.iter().map(|frame| frame.offset),
            )),
            FrameColumn::Partition => Arc::new(Int32Array::from_value(partition, frames.len())),
            FrameColumn::Topic => {
                let topic = shared.plan.source.options.topic.as_str();
                Arc::new(StringViewArray::from_iter_values(
                    frames.iter().map(|_| topic),
                ))
            }
            FrameColumn::Key => Arc::new(BinaryArray::from_iter(
                frames.iter().map(|frame| frame.key.as_deref()),
            )),
        });
    }
    columns.push(numbers(frames.len()));
    RecordBatch::try_new(Arc::clone(&shared.frames), columns)
        .map_err(|error| JobError::Failed(format!("a micro-batch does not fit: {error}")))
}

/// Some frames of a batch as a batch of its own.
pub fn slice(batch: &RecordBatch, from: usize, frames: usize) -> Result<RecordBatch, JobError> {
    let part = batch.slice(from, frames);
    let mut columns = part.columns().to_vec();
    columns.pop();
    columns.push(numbers(frames));
    RecordBatch::try_new(part.schema(), columns)
        .map_err(|error| JobError::Failed(format!("a micro-batch does not fit: {error}")))
}

fn numbers(frames: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..frames as i64))
}
