//! All unknown names of a query, not only the first: what the planner does not know is replaced by
//! something that it knows, and the query planned again, until it finds no other.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, SchemaError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, Ident, ObjectName, Query, Spanned, Value, visit_expressions_mut,
};

use super::session::plan_query;

/// So many unknown names of one query are told at the most.
const MOST_FAULTS: usize = 20;

/// Plans a query; else every unknown name in it, or its first other fault.
pub fn plan(state: &SessionState, query: &Query) -> Result<LogicalPlan, Vec<DataFusionError>> {
    let mut error = match plan_query(state, query) {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    let mut faults = Vec::new();
    let mut query = query.clone();
    while faults.len() < MOST_FAULTS {
        let gone = is_unknown_name(&error) && blank(&mut query, &error);
        if !faults.is_empty() && !is_unknown_name(&error) {
            // What is wrong once names are NULL may be right with the names meant.
            break;
        }
        faults.push(error);
        if !gone {
            break;
        }
        match plan_query(state, &query) {
            Ok(_) => break,
            Err(next) => error = next,
        }
    }
    Err(faults)
}

/// A column, a field of a STRUCT or a function that there is not.
fn is_unknown_name(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => {
            matches!(schema.as_ref(), SchemaError::FieldNotFound { .. })
        }
        other => {
            let text = other.strip_backtrace();
            unknown_function(&text).is_some() || text.contains(" not found in struct")
        }
    }
}

/// The name in `Invalid function 'name'`.
pub fn unknown_function(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Invalid function '")?;
    Some(rest.split_once('\'')?.0)
}

fn has_arguments(args: &FunctionArguments) -> bool {
    matches!(args, FunctionArguments::List(list) if !list.args.is_empty())
}

/// Puts something known where the unknown name stands; `false` if that is not known.
fn blank(query: &mut Query, error: &DataFusionError) -> bool {
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let text = error.find_root().strip_backtrace();
    let function = unknown_function(&text);
    let replaced = visit_expressions_mut(query, |expr| {
        let is_it = match (&*expr, function) {
            (Expr::Function(call), Some(name)) => call.name.to_string() == name,
            (Expr::Identifier(_) | Expr::CompoundIdentifier(_), None) => place.is_some_and(|at| {
                let start = expr.span().start;
                (start.line, start.column) == (at.start.line, at.start.column)
            }),
            _ => false,
        };
        if !is_it {
            return ControlFlow::Continue(());
        }
        match (expr, function) {
            // Its arguments may have unknown names too.
            (Expr::Function(call), Some(_)) if has_arguments(&call.args) => {
                call.name = ObjectName::from(vec![Ident::new("coalesce")]);
                (call.over, call.filter) = (None, None);
            }
            (expr, _) => *expr = Expr::Value(Value::Null.with_empty_span()),
        }
        ControlFlow::Break(())
    });
    replaced.is_break()
}
