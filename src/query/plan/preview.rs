//! A bare SELECT: what is planned is as for an INSERT, but its rows are only shown.

use datafusion::sql::sqlparser::ast;

use super::{Output, Pipeline, Planner, SinkOptions, Span, determinism, plan_query, sinks};

impl Planner<'_> {
    /// The output of the SELECT with this number among the file's: its columns are the query's own.
    pub(super) fn preview(
        &mut self,
        number: usize,
        query: &ast::Query,
        span: Span,
    ) -> Option<Output> {
        let planned = plan_query(&self.state, query).and_then(|plan| {
            determinism::check(&plan)?;
            let schema = sinks::shown_columns(&plan);
            let pipeline = Pipeline::new(&self.state, plan, &schema)?;
            Ok((schema, pipeline))
        });
        match planned {
            Ok((schema, pipeline)) => Some(Output {
                table: format!("select_{number}"),
                sink: SinkOptions::Preview {
                    line: span.start.line,
                },
                sort_columns: Vec::new(),
                schema,
                pipeline,
                columns: Vec::new(),
            }),
            Err(error) => {
                self.fault(span, &error);
                None
            }
        }
    }
}
