//! The stream as the planner sees it: a table that is only ever planned over, never scanned, with
//! two hidden columns behind the declared ones.
//!
//! `_timestamp` is Arroyo's event-time column. `__frame` is ours: the number of the tick's frame in
//! its micro-batch, by which everything known of a frame (offset, watermark before it, Kafka's
//! timestamp) is looked up after the stateless part. [`carry_hidden`] takes both through whatever
//! projections the SQL has between the source and the aggregate.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, not_impl_err};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::pipeline::node_name;

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

/// A stream's declared columns and what is known of every frame.
#[derive(Debug)]
pub struct StreamTable {
    schema: SchemaRef,
}

impl StreamTable {
    /// A stream with these physical columns.
    pub fn new(physical: &[FieldRef]) -> StreamTable {
        let mut fields = physical.to_vec();
        fields.extend(StreamTable::frame_fields());
        StreamTable {
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// What is known of every frame besides its payload, as columns.
    pub fn frame_fields() -> [FieldRef; 2] {
        [
            Arc::new(Field::new(KAFKA_TIMESTAMP, timestamp_type(), true)),
            Arc::new(Field::new(FRAME, DataType::Int64, false)),
        ]
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
    if plan.inputs().len() > 1 {
        return not_impl_err!("the local engine does not run {}", node_name(&plan));
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
