//! A bare SELECT: what is planned is as for an INSERT, but its rows are only shown.

use datafusion::sql::sqlparser::ast;

use super::Output;
use super::planner::Planner;
use crate::query::pipeline::Pipeline;
use crate::query::sinks::{self, SinkOptions};
use crate::query::sql::Span;
use crate::query::{determinism, recover};

impl Planner<'_> {
    /// The output of the SELECT with this number among the file's: its columns are the query's own.
    pub(super) fn preview(
        &mut self,
        number: usize,
        query: &ast::Query,
        span: Span,
    ) -> Option<Output> {
        let planned = recover::plan(&self.state, query).and_then(|plan| {
            let schema = sinks::shown_columns(&plan);
            let pipeline =
                determinism::check(&plan).and_then(|()| Pipeline::new(&self.state, plan, &schema));
            match pipeline {
                Ok(pipeline) => Ok((schema, pipeline)),
                Err(error) => Err(vec![error]),
            }
        });
        match planned {
            Ok((schema, pipeline)) => Some(Output {
                table: format!("select_{number}"),
                sink: SinkOptions::Preview {
                    line: span.start.line,
                },
                primary_key: Vec::new(),
                sort_columns: Vec::new(),
                schema,
                pipeline,
                columns: Vec::new(),
            }),
            Err(errors) => {
                for error in &errors {
                    self.fault(span, Some(query), error);
                }
                None
            }
        }
    }
}
