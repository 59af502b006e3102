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
use super::locate::{called_in, locate};
use super::recover::unknown_function;
use super::refusal::{Place, refusal};
use super::sql::{Diagnostic, Location, SourceText, Span};
use super::windowing::{WindowFunction, WindowKind};

/// Rules that are left out: one takes a query's aggregates apart, so that there would be two to hold; two
/// pull fields out of structs early, and fail on a raw column beside a view of the same name.
const DROPPED_RULES: [&str; 3] = [
    "single_distinct_aggregation_to_group_by",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
];

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
/// `queries` are those that the fault may be in, the likeliest first.
pub fn fault(
    source: &SourceText,
    span: Span,
    queries: &[&ast::Query],
    error: &DataFusionError,
) -> Diagnostic {
    if let Some(refusal) = refusal(error) {
        let place = locate(queries, &refusal.place).unwrap_or(span);
        let diagnostic = source.diagnostic(place, refusal.message.as_str());
        return match &refusal.help {
            Some(help) => diagnostic.with_help(help.as_str()),
            None => diagnostic,
        };
    }
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
    let text = without_kind(&text);
    if let Some(name) = unknown_function(text) {
        let called = locate(queries, &Place::Function(name.to_owned()));
        let suggested = text
            .split_once("Did you mean '")
            .and_then(|(_, rest)| rest.split_once('\''));
        let message = format!("function \"{name}\" does not exist");
        let diagnostic = source.diagnostic(called.unwrap_or(place), message);
        return match suggested {
            Some((near, _)) => diagnostic.with_help(format!("did you mean \"{near}\"?")),
            None => diagnostic,
        };
    }
    let field = text
        .strip_prefix("Field ")
        .and_then(|rest| rest.strip_suffix(" not found in struct"));
    if let Some(field) = field {
        let place = locate(queries, &Place::Name(field.to_owned())).unwrap_or(place);
        return source.diagnostic(place, format!("the STRUCT has no field \"{field}\""));
    }
    if let Some(call) = unmatched_call(text) {
        let place = called_in(queries, &call).unwrap_or(place);
        return source.diagnostic(place, format!("there is no function {}", sql_types(&call)));
    }
    let place = match place == span {
        true => called_in(queries, text).unwrap_or(place),
        false => place,
    };
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

/// `sum(Utf8View)` in "No function matches the given name and argument types 'sum(Utf8View)'".
fn unmatched_call(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("given name and argument types '")?;
    Some(rest.split_once("'.")?.0.to_owned())
}

/// Arrow's names of types as SQL has them.
fn sql_types(text: &str) -> String {
    const NAMES: [(&str, &str); 7] = [
        ("Utf8View", "TEXT"),
        ("Utf8", "TEXT"),
        ("Float64", "DOUBLE"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Boolean", "BOOLEAN"),
        ("Timestamp(ns)", "TIMESTAMP"),
    ];
    NAMES.iter().fold(text.to_owned(), |text, (arrow, sql)| {
        text.replace(arrow, sql)
    })
}

/// A DataFusion error's text without the kinds of error before it.
pub fn without_kind(text: &str) -> &str {
    const KINDS: [&str; 5] = [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "Execution error: ",
        "This feature is not implemented: ",
    ];
    KINDS
        .iter()
        .fold(text, |text, kind| text.trim_start_matches(kind))
}
