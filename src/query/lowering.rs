//! An aggregate's keys, arguments, ORDER BYs and FILTERs become named columns below it, so that its
//! functions are over plain columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, col};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};

use super::stream::{FRAME, ORDER, TIMESTAMP, timestamp_type};

/// The aggregate's input and functions, written over named columns.
pub struct Lowered {
    /// The plan whose rows the accumulators take, without the order column's values.
    pub below: LogicalPlan,
    /// Schema of the accumulators' input.
    pub input: SchemaRef,
    /// The functions over that input.
    pub functions: Vec<Expr>,
}

impl Lowered {
    /// Every key, argument, ORDER BY and FILTER becomes a column below, once; constants stay where
    /// they are, since functions such as `approx_percentile_cont(0.5)` want them as constants.
    pub fn new(state: &SessionState, aggregate: &Aggregate, keys: &[Expr]) -> Result<Lowered> {
        let source = &aggregate.input;
        let hidden = |name: &str| match source.schema().iter().find(|(_, f)| f.name() == name) {
            Some((qualifier, field)) => Ok(Expr::Column(Column::from((qualifier, field)))),
            None => plan_err!("the windowed rows do not come from a stream"),
        };
        let mut columns = Columns { exprs: Vec::new() };
        for key in keys {
            columns.exprs.push(key.clone().unalias());
        }
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(source.schema()))
            .with_config_options(Arc::clone(state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let functions = aggregate
            .aggr_expr
            .iter()
            .map(|expr| lower_function(expr.clone(), &mut columns, &simplifier))
            .collect::<Result<Vec<_>>>()?;
        let mut exprs: Vec<Expr> = columns
            .exprs
            .into_iter()
            .enumerate()
            .map(|(at, expr)| expr.alias(column_name(at)))
            .collect();
        exprs.push(hidden(TIMESTAMP)?.alias(TIMESTAMP));
        exprs.push(hidden(FRAME)?.alias(FRAME));
        let below = LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(source))?);
        let mut fields: Vec<_> = below.schema().fields().to_vec();
        let last = fields.len() - 1;
        fields[last - 1] = Arc::new(Field::new(TIMESTAMP, timestamp_type(), true));
        fields[last] = Arc::new(Field::new(ORDER, DataType::Int64, false));
        Ok(Lowered {
            below,
            input: Arc::new(Schema::new(fields)),
            functions,
        })
    }
}

/// Expressions that become columns below the aggregate; equal ones become one.
struct Columns {
    exprs: Vec<Expr>,
}

impl Columns {
    fn column(&mut self, expr: Expr) -> Expr {
        let at = self
            .exprs
            .iter()
            .position(|known| *known == expr)
            .unwrap_or_else(|| {
                self.exprs.push(expr);
                self.exprs.len() - 1
            });
        col(column_name(at))
    }
}

/// Name of the column at a position.
pub fn column_name(at: usize) -> String {
    format!("__c{at}")
}

fn lower_function(expr: Expr, columns: &mut Columns, simplifier: &ExprSimplifier) -> Result<Expr> {
    let mut lower = |expr: Expr| {
        let expr = simplifier.simplify(expr)?;
        Ok::<_, DataFusionError>(match expr.column_refs().is_empty() {
            true => expr,
            false => columns.column(expr),
        })
    };
    Ok(expr
        .transform_down(|expr| {
            let Expr::AggregateFunction(AggregateFunction { func, mut params }) = expr else {
                return Ok(Transformed::no(expr));
            };
            params.args = params
                .args
                .into_iter()
                .map(&mut lower)
                .collect::<Result<_>>()?;
            if let Some(filter) = params.filter.take() {
                params.filter = Some(Box::new(lower(*filter)?));
            }
            for by in &mut params.order_by {
                by.expr = lower(std::mem::take(&mut by.expr))?;
            }
            if !func.supports_within_group_clause() {
                let by_order = func == first_value_udaf() || func == last_value_udaf();
                if by_order && params.order_by.is_empty() {
                    params.order_by.push(col(TIMESTAMP).sort(true, false));
                }
                if !params.order_by.is_empty() {
                    params.order_by.push(col(ORDER).sort(true, false));
                }
            }
            let lowered = Expr::AggregateFunction(AggregateFunction { func, params });
            Ok(Transformed::new(lowered, true, TreeNodeRecursion::Jump))
        })?
        .data)
}
