//! What an expression is over the stream's own columns: two queries that name the same thing differently
//! have the same keys, and two that call different things by one name do not.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// The text of `expr`, which is over the columns of `input`, with every column replaced by what it is made
/// of, down to the stream's; without qualifiers.
pub fn text(expr: &Expr, input: &LogicalPlan) -> String {
    let expr = expr.clone().unalias();
    let traced = trace(expr.clone(), input).unwrap_or(expr);
    without_qualifiers(traced).to_string()
}

fn trace(mut expr: Expr, mut plan: &LogicalPlan) -> Result<Expr> {
    loop {
        (expr, plan) = match plan {
            LogicalPlan::Projection(projection) => {
                let below = |at: usize| projection.expr[at].clone().unalias_nested().data;
                (
                    replace(expr, &projection.schema, &below)?,
                    &projection.input,
                )
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = |at| column(alias.input.schema(), at);
                (replace(expr, &alias.schema, &below)?, &alias.input)
            }
            LogicalPlan::Filter(filter) => (expr, &filter.input),
            // An element of a list is known by its list: there is one unnest in a query.
            LogicalPlan::Unnest(unnest) => {
                let below = |at| column(unnest.input.schema(), unnest.dependency_indices[at]);
                (replace(expr, &unnest.schema, &below)?, &unnest.input)
            }
            _ => return Ok(expr),
        };
    }
}

fn column(schema: &DFSchemaRef, at: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(at)))
}

/// Every column of `schema` in `expr` becomes what `below` says of its place.
fn replace(expr: Expr, schema: &DFSchemaRef, below: &dyn Fn(usize) -> Expr) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| match &expr {
        Expr::Column(column) => Ok(Transformed::yes(below(schema.index_of_column(column)?))),
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(replaced.data)
}

fn without_qualifiers(expr: Expr) -> Expr {
    let bare = expr.transform_up(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(
            column.name,
        )))),
        other => Ok(Transformed::no(other)),
    });
    bare.expect("renaming a column cannot fail").data
}
