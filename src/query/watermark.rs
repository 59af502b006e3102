//! `WATERMARK FOR`: what a frame says of how far event time is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{FieldRef, TimestampNanosecondType};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;

use super::determinism;
use super::forgiving::forgive;
use super::plan::same_column;
use super::session::analyze;
use super::sql::{ColumnKind, TableDef};
use super::stream::{KAFKA_TIMESTAMP, StreamTable, timestamp_type};
use super::windowing::interval_nanos;
use crate::model::NANOS_PER_SECOND;

/// Delay of the watermark where a table has no `WATERMARK FOR`: Arroyo's second.
const DEFAULT_DELAY: i64 = NANOS_PER_SECOND;

/// How a frame's watermark is computed.
#[derive(Debug)]
pub struct WatermarkPlan {
    expr: Arc<dyn PhysicalExpr>,
    /// How far it lags behind event time, nanoseconds: the `- INTERVAL` of the expression.
    pub delay: i64,
}

impl WatermarkPlan {
    /// The plan of an expression that lags `delay` nanoseconds behind event time.
    pub fn new(expr: Arc<dyn PhysicalExpr>, delay: i64) -> WatermarkPlan {
        WatermarkPlan { expr, delay }
    }

    /// The watermark candidates of a batch of frames, nanoseconds; null where a frame has none.
    pub fn candidates(&self, frames: &RecordBatch) -> Result<TimestampNanosecondArray> {
        let values: ArrayRef = self.expr.evaluate(frames)?.into_array(frames.num_rows())?;
        let values = arrow::compute::cast(&values, &timestamp_type())?;
        Ok(values.as_primitive::<TimestampNanosecondType>().clone())
    }
}

/// Plans an expression over the columns of `schema`.
pub fn expression(state: &SessionState, expr: &ast::Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = ast::ExprWithAlias {
        expr: expr.clone(),
        alias: None,
    };
    state.create_logical_expr_from_sql_expr(expr, schema)
}

/// The watermark over the stream's physical columns, and its delay.
pub fn watermark(
    state: &SessionState,
    name: &str,
    table: &TableDef,
    physical: &[FieldRef],
) -> Result<(Expr, i64)> {
    let provider = Arc::new(StreamTable::new(physical));
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
    let schema = Arc::clone(scan.schema());
    let Some(watermark) = &table.watermark else {
        let second = datafusion::common::ScalarValue::new_interval_mdn(0, 0, DEFAULT_DELAY);
        let time = Expr::Column(Column::new(Some(name), KAFKA_TIMESTAMP));
        return Ok((time - Expr::Literal(second, None), DEFAULT_DELAY));
    };
    let column = table
        .columns
        .iter()
        .find(|c| same_column(&watermark.column, &c.name));
    let Some(column) = column else {
        return plan_err!(
            "WATERMARK FOR names a column \"{}\" that the table does not have",
            watermark.column
        );
    };
    let expr = match (&watermark.expr, &column.kind) {
        (Some(expr), _) | (None, ColumnKind::Generated(expr)) => expression(state, expr, &schema)?,
        (None, _) => Expr::Column(Column::new(Some(name), &column.name)),
    };
    determinism::check_expr(&expr)?;
    let projected = scan.project([expr.alias("watermark")])?.build()?;
    let LogicalPlan::Projection(projection) = analyze(state, projected)? else {
        return plan_err!("the watermark is not an expression");
    };
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(projection.input.schema()))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let expr = forgive(projection.expr[0].clone().unalias())?.data;
    // Some functions (coalesce) only run in the form that simplification gives them.
    let expr = ExprSimplifier::new(context).simplify(expr)?;
    let found = expr.get_type(projection.input.schema())?;
    if !matches!(found, arrow::datatypes::DataType::Timestamp(_, None)) {
        return plan_err!("the watermark must be a TIMESTAMP, it is {found}");
    }
    let delay = delay(&expr);
    Ok((expr, delay))
}

/// The interval that a watermark expression subtracts, nanoseconds; 0 where it is no such difference.
fn delay(expr: &Expr) -> i64 {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Minus,
            right,
            ..
        }) => match right.as_ref() {
            Expr::Literal(value, _) => interval_nanos(value).unwrap_or(0),
            _ => 0,
        },
        Expr::Cast(cast) => delay(&cast.expr),
        Expr::TryCast(cast) => delay(&cast.expr),
        _ => 0,
    }
}
