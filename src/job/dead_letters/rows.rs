//! Dead letters as rows: one a reject or late tick, with the message as Kafka had it.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryViewArray, BinaryViewBuilder, Int32Array, Int64Array, RecordBatch,
    StringViewArray, TimestampNanosecondArray,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::job::JobError;
use crate::model::Partition;
use crate::query::Output;
use crate::sink::{RowTimes, SinkRows};

/// Their columns. All may be null but the reason, the topic, the partition and the offset.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let columns = [
        ("reason", DataType::Utf8View),
        ("detail", DataType::Utf8View),
        ("table_name", DataType::Utf8View),
        ("topic", DataType::Utf8View),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("element", DataType::Int32),
        ("kafka_timestamp", time.clone()),
        ("event_time", time),
        ("late_by_ms", DataType::Int64),
        // Views, since the letters of one frame share its bytes.
        ("key", DataType::BinaryView),
        ("value", DataType::BinaryView),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
});

/// What rows are sorted by in a file: `partition`, `offset`, `element`, `table_name`.
pub const SORT_COLUMNS: [usize; 4] = [4, 5, 6, 2];

/// The columns of a dead letter.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// A frame as Kafka had it; its bytes are in a block.
#[derive(Debug)]
pub struct Raw {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp, nanoseconds.
    pub kafka_time: Option<i64>,
    /// Which block.
    pub block: usize,
    /// The message key, there.
    pub key: Option<Range<usize>>,
    /// The message value, there; `None`: a tombstone.
    pub value: Option<Range<usize>>,
}

/// A tick, or a whole frame, that is in no row of a table.
#[derive(Debug)]
pub struct Letter {
    /// Number of its frame.
    pub frame: usize,
    /// Why, from a small fixed set.
    pub reason: &'static str,
    /// The same for a person.
    pub detail: String,
    /// Number of the output that it is missing in; `None`: in all of them.
    pub table: Option<usize>,
    /// Place in the frame's array, from 0; `None`: the whole frame, or not known.
    pub element: Option<u32>,
    /// Event time, nanoseconds, where it is known.
    pub event_time: Option<i64>,
    /// How far its window's end had been passed; `None`: it is not late.
    pub late_by_ms: Option<i64>,
}

impl Letter {
    /// A letter of which no more is known.
    pub fn new(frame: usize, reason: &'static str, detail: String) -> Letter {
        Letter {
            frame,
            reason,
            detail,
            table: None,
            element: None,
            event_time: None,
            late_by_ms: None,
        }
    }
}

/// The letters of a partition, to become rows.
pub struct Rows<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: Partition,
    /// The job's outputs.
    pub outputs: &'a [Output],
    /// The frames that letters are of.
    pub frames: Vec<Raw>,
    /// Their bytes, each less than 4 GiB.
    pub blocks: Vec<Vec<u8>>,
    /// The letters.
    pub letters: Vec<Letter>,
}

impl Rows<'_> {
    /// The rows, each with its Kafka timestamp for the folder of its day; those without one are in that of
    /// 1970-01-01.
    pub fn rows(self) -> Result<SinkRows, JobError> {
        let Rows {
            topic,
            partition,
            outputs,
            frames,
            blocks,
            letters,
        } = self;
        let frames = || letters.iter().map(|letter| &frames[letter.frame]);
        let count = letters.len();
        let texts = |text: &dyn Fn(&Letter) -> Option<String>| -> ArrayRef {
            Arc::new(StringViewArray::from_iter(letters.iter().map(text)))
        };
        let table = |letter: &Letter| Some(outputs[letter.table?].table.clone());
        let elements = letters.iter().map(|letter| letter.element);
        let elements = elements.map(|at| at.and_then(|at| i32::try_from(at).ok()));
        let kafka_times = TimestampNanosecondArray::from_iter(frames().map(|f| f.kafka_time));
        let days = kafka_times.iter().map(|time| time.unwrap_or(0));
        let days = TimestampNanosecondArray::from_iter_values(days);
        let event_times = letters.iter().map(|letter| letter.event_time);
        let late_by = letters.iter().map(|letter| letter.late_by_ms);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(
                letters.iter().map(|letter| letter.reason),
            )),
            Arc::new(StringViewArray::from_iter_values(
                letters.iter().map(|letter| letter.detail.as_str()),
            )),
            texts(&table),
            texts(&|_| Some(topic.to_owned())),
            Arc::new(Int32Array::from_value(partition, count)),
            Arc::new(Int64Array::from_iter_values(frames().map(|f| f.offset))),
            Arc::new(Int32Array::from_iter(elements)),
            Arc::new(kafka_times),
            Arc::new(TimestampNanosecondArray::from_iter(event_times)),
            Arc::new(Int64Array::from_iter(late_by)),
        ];
        let failed = |error: ArrowError| {
            JobError::Failed(format!("dead letters cannot be made rows: {error}"))
        };
        let blocks = blocks.into_iter().map(Buffer::from);
        let blocks: Vec<Buffer> = blocks.collect();
        let keys = frames().map(|frame| (frame.block, frame.key.as_ref()));
        let keys = views(&blocks, keys).map_err(failed)?;
        let values = frames().map(|frame| (frame.block, frame.value.as_ref()));
        let values = views(&blocks, values).map_err(failed)?;
        let bytes: [ArrayRef; 2] = [Arc::new(keys), Arc::new(values)];
        let columns = columns.into_iter().chain(bytes).collect();
        Ok(SinkRows {
            times: RowTimes::Each(days),
            rows: RecordBatch::try_new(schema(), columns).map_err(failed)?,
        })
    }
}

/// Places in blocks as values; the bytes are not copied.
fn views<'a>(
    blocks: &[Buffer],
    values: impl Iterator<Item = (usize, Option<&'a Range<usize>>)>,
) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::new();
    let blocks: Vec<u32> = (blocks.iter())
        .map(|block| builder.append_block(block.clone()))
        .collect();
    for (block, value) in values {
        match value {
            None => builder.append_null(),
            Some(range) => {
                let too_long = |_| ArrowError::OffsetOverflowError(range.end);
                let from = u32::try_from(range.start).map_err(too_long)?;
                let length = u32::try_from(range.len()).map_err(too_long)?;
                builder.try_append_view(blocks[block], from, length)?;
            }
        }
    }
    Ok(builder.finish())
}
