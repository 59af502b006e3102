//! The planner's session: DataFusion's functions, the dialect's own, and no files, so that SQL can name only
//! what the file declares.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast;

use super::json;
use super::sql::{Diagnostic, Location, SourceText, Span};
use super::windowing::{WindowFunction, WindowKind};

/// Rules that would take a query's aggregates apart, so that there would be two to hold.
const DROPPED_RULES: [&str; 1] = ["single_distinct_aggregation_to_group_by"];

/// A session to plan one SQL file in.
pub fn session() -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    config.options_mut().sql_parser.collect_spans = true;
    // Plans above an aggregate run once a window; a plan with dynamic filters runs only once.
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // As joins they are among the steps that run over a stream's rows.
    optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .build();
    let rules = state
        .optimizers()
        .iter()
        .filter(|rule| !DROPPED_RULES.contains(&rule.name()))
        .cloned()
        .collect();
    state = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .build();
    for kind in WindowKind::ALL {
        let function = Arc::new(ScalarUDF::new_from_impl(WindowFunction::new(kind)));
        FunctionRegistry::register_udf(&mut state, function)
            .expect("the registry of a new session takes functions");
    }
    json::register(&mut state).expect("the registry of a new session takes functions");
    state
}

/// Plans a query, unoptimised, with its types coerced.
pub fn plan_query(state: &SessionState, query: &ast::Query) -> Result<LogicalPlan> {
    let statement = ast::Statement::Query(Box::new(query.clone()));
    let statement = DfStatement::Statement(Box::new(statement));
    futures::executor::block_on(state.statement_to_plan(statement))
}

/// The type coercion and function rewrites that execution relies on.
pub fn analyze(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    state
        .analyzer()
        .execute_and_check(plan, state.config_options(), |_, _| {})
}

/// A planner's error as a fault of the file: where the planner knows the place, there; else at `span`.
pub fn fault(source: &SourceText, span: Span, error: &DataFusionError) -> Diagnostic {
    let place = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map_or(span, |known| {
            let start = Location::new(known.start.line, known.start.column);
            Span::new(start, Location::new(known.end.line, known.end.column))
        });
    if let DataFusionError::SchemaError(schema, _) = error.find_root()
        && let SchemaError::FieldNotFound {
            field,
            valid_fields,
        } = schema.as_ref()
    {
        let message = format!("column \"{}\" does not exist", field.name);
        let mut known: Vec<&str> = valid_fields
            .iter()
            .map(|column| column.name())
            .filter(|name| !name.starts_with("__"))
            .collect();
        known.dedup();
        let all = format!("the columns here are {}", known.join(", "));
        let help = (!known.is_empty()).then_some(all);
        return source
            .diagnostic(place, message)
            .with_nearest(&field.name, known, help);
    }
    let text = error.find_root().strip_backtrace();
    let text = [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "This feature is not implemented: ",
    ]
    .iter()
    .fold(text.as_str(), |text, prefix| {
        text.trim_start_matches(prefix)
    });
    let (message, help) = match text.split_once('\n') {
        Some((first, rest)) => (first, Some(rest.trim().replace('\n', " "))),
        None => (text, None),
    };
    let diagnostic = source.diagnostic(place, message);
    match help {
        Some(help) if !help.is_empty() => diagnostic.with_help(help),
        _ => diagnostic,
    }
}
