//! The stream as the planner sees it: a table that is only ever planned over, never scanned, with
//! two hidden columns behind the declared ones.
//!
//! `_timestamp` is Arroyo's event-time column. `__frame` is ours: the number of the tick's frame in
//! its micro-batch, by which everything known of a frame (offset, watermark before it, Kafka's
//! timestamp) is looked up after the stateless part. [`carry_hidden`] takes both through whatever
//! projections the SQL has between the source and the aggregate.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, not_impl_err};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Event time of a row: Arroyo's hidden column.
pub const TIMESTAMP: &str = "_timestamp";
/// Number of the row's frame in its micro-batch.
pub const FRAME: &str = "__frame";
/// Kafka's timestamp of the row's frame.
pub const KAFKA_TIMESTAMP: &str = "__kafka_timestamp";
/// Event time, then partition, offset and index in the frame: the order of equal event times.
pub const ORDER: &str = "__order";

/// The columns that travel with every row of a stream.
pub const HIDDEN: [&str; 2] = [TIMESTAMP, FRAME];

/// Arroyo's TIMESTAMP: nanoseconds, no zone, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// What is known of a frame besides its payload: columns that stand behind the declared ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameColumn {
    /// Kafka's timestamp, as a TIMESTAMP.
    KafkaTime,
    /// Kafka's timestamp, milliseconds: METADATA FROM 'timestamp'.
    KafkaMillis,
    /// METADATA FROM 'offset_id'
    Offset,
    /// METADATA FROM 'partition'
    Partition,
    /// METADATA FROM 'topic'
    Topic,
    /// METADATA FROM 'key'
    Key,
}

impl FrameColumn {
    /// All of them.
    pub const ALL: [FrameColumn; 6] = [
        FrameColumn::KafkaTime,
        FrameColumn::KafkaMillis,
        FrameColumn::Offset,
        FrameColumn::Partition,
        FrameColumn::Topic,
        FrameColumn::Key,
    ];

    /// The column of `METADATA FROM 'key'`; the SQL front lets only those through that there are.
    pub fn of_metadata(key: &str) -> FrameColumn {
        match key {
            "offset_id" => FrameColumn::Offset,
            "partition" => FrameColumn::Partition,
            "topic" => FrameColumn::Topic,
            "timestamp" => FrameColumn::KafkaMillis,
            _ => FrameColumn::Key,
        }
    }

    /// The column's name in the plan.
    pub fn name(self) -> &'static str {
        match self {
            FrameColumn::KafkaTime => KAFKA_TIMESTAMP,
            FrameColumn::KafkaMillis => "__kafka_millis",
            FrameColumn::Offset => "__offset",
            FrameColumn::Partition => "__partition",
            FrameColumn::Topic => "__topic",
            FrameColumn::Key => "__key",
        }
    }

    /// The column as a field.
    pub fn field(self) -> FieldRef {
        let (data_type, nullable) = match self {
            FrameColumn::KafkaTime => (timestamp_type(), true),
            FrameColumn::KafkaMillis => (DataType::Int64, true),
            FrameColumn::Offset => (DataType::Int64, false),
            FrameColumn::Partition => (DataType::Int32, false),
            FrameColumn::Topic => (DataType::Utf8View, false),
            FrameColumn::Key => (DataType::Binary, true),
        };
        Arc::new(Field::new(self.name(), data_type, nullable))
    }
}

/// The number of a row's frame, as a field; it is the last column of a batch of frames.
pub fn frame_field() -> FieldRef {
    Arc::new(Field::new(FRAME, DataType::Int64, false))
}

/// Whether rows of a stream come out of a plan.
pub fn is_stream(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => source_as_provider(&scan.source)
            .is_ok_and(|table| (table.as_ref() as &dyn Any).is::<StreamTable>()),
        other => other.inputs().into_iter().any(is_stream),
    }
}

/// A stream's declared columns and what is known of every frame.
#[derive(Debug)]
pub struct StreamTable {
    schema: SchemaRef,
}

impl StreamTable {
    /// A stream with these physical columns.
    pub fn new(physical: &[FieldRef]) -> StreamTable {
        let mut fields = physical.to_vec();
        fields.extend(FrameColumn::ALL.map(FrameColumn::field));
        fields.push(frame_field());
        StreamTable {
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

#[async_trait::async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("a stream is read in micro-batches, not scanned")
    }
}

/// Adds the hidden columns to every projection between the streams of `plan` and its top, or the
/// first aggregate. A projection that selects something AS `_timestamp` keeps its own.
pub fn carry_hidden(plan: LogicalPlan) -> Result<LogicalPlan> {
    if matches!(plan, LogicalPlan::TableScan(_)) || plan.inputs().is_empty() {
        return Ok(plan);
    }
    let inputs = plan
        .inputs()
        .into_iter()
        .cloned()
        .map(carry_hidden)
        .collect::<Result<Vec<_>>>()?;
    if let LogicalPlan::Projection(Projection { expr, .. }) = &plan {
        let mut exprs = expr.clone();
        let input = inputs
            .into_iter()
            .next()
            .expect("a projection has one input");
        for name in HIDDEN {
            let selected = plan.schema().fields().iter().any(|f| f.name() == name);
            let carried = input.schema().iter().find(|(_, f)| f.name() == name);
            if let (false, Some((qualifier, field))) = (selected, carried) {
                exprs.push(Expr::Column(Column::from((qualifier, field))));
            }
        }
        return Ok(LogicalPlan::Projection(Projection::try_new(
            exprs,
            Arc::new(input),
        )?));
    }
    let expressions = plan.expressions();
    plan.with_new_exprs(expressions, inputs)
}
