//! The statements of a file, one by one: what is declared, what is inserted, and every fault on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast;

use super::tables::physical;
use super::{JobPlan, Output, SourcePlan, StaticTables, frames_schema};
use crate::query::pipeline::Pipeline;
use crate::query::session::{fault, session};
use crate::query::shortcuts::physical_expr;
use crate::query::sinks::{self, SinkOptions};
use crate::query::sql::{
    Connector, Diagnostic, Diagnostics, KafkaSourceOptions, SourceText, Span, SqlFile, Statement,
    TableDef, table_name,
};
use crate::query::static_table::StaticTable;
use crate::query::steps::Tally;
use crate::query::stream::FrameColumn;
use crate::query::topics::check_topics;
use crate::query::watermark::{WatermarkPlan, watermark};
use crate::query::{determinism, meaning, recover};

/// A stream of the file.
pub(super) struct Stream<'a> {
    pub(super) table: &'a TableDef,
    pub(super) options: &'a KafkaSourceOptions,
}

/// Plans a file, statement by statement.
pub(super) struct Planner<'a> {
    pub(super) file: &'a SqlFile,
    pub(super) state: SessionState,
    pub(super) streams: BTreeMap<String, Stream<'a>>,
    pub(super) static_tables: Vec<Arc<StaticTable>>,
    /// Tables and views that were declared so far.
    names: BTreeSet<String>,
    pub(super) faults: Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(file: &'a SqlFile) -> Planner<'a> {
        Planner {
            file,
            state: session(),
            streams: BTreeMap::new(),
            static_tables: Vec::new(),
            names: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn source(&self) -> &'a SourceText {
        &self.file.source
    }

    pub(super) fn plan(mut self) -> Result<JobPlan, Diagnostics> {
        let mut sinks: BTreeMap<String, (&TableDef, SinkOptions)> = BTreeMap::new();
        let (mut inserts, mut selects) = (Vec::new(), Vec::new());
        for statement in &self.file.statements {
            match statement {
                Statement::CreateTable(table) => {
                    let name = self.declare(&table.name);
                    match &table.connector {
                        Connector::KafkaSource(options) => self.add_stream(name, table, options),
                        Connector::StaticTable(options) => {
                            self.add_static(&name, table, options);
                        }
                        written => {
                            if let Some(options) = SinkOptions::of(written) {
                                sinks.insert(name, (table, options));
                            }
                        }
                    }
                }
                Statement::CreateView(view) => {
                    let name = self.declare(&view.name);
                    self.add_view(&name, view);
                }
                Statement::Insert { .. } => inserts.push(statement),
                Statement::Query { query, span, .. } => selects.push((query, *span)),
            }
        }
        let mut outputs = Vec::new();
        for insert in inserts {
            if let Some(output) = self.output(&sinks, insert) {
                outputs.push(output);
            }
        }
        // Behind the INSERTs: what became of the ticks is counted for the first output.
        for (number, (query, span)) in (1..).zip(selects) {
            outputs.extend(self.preview(number, query, span));
        }
        self.finish(outputs)
    }

    fn declare(&mut self, ident: &ast::Ident) -> String {
        let name = table_name(ident);
        if !self.names.insert(name.clone()) {
            let message = format!("\"{name}\" is declared twice");
            self.faults
                .push(self.source().diagnostic(ident.span, message));
        }
        name
    }

    /// Notes a fault of the statement at `span`, in its `query` or in a view that this uses.
    pub(super) fn fault(
        &mut self,
        span: Span,
        query: Option<&ast::Query>,
        error: &DataFusionError,
    ) {
        let views = self.file.statements.iter().rev();
        let views = views.filter_map(|statement| match statement {
            Statement::CreateView(view) => Some(view.query.as_ref()),
            _ => None,
        });
        let queries: Vec<&ast::Query> = query.into_iter().chain(views).collect();
        let mut fault = fault(self.source(), span, &queries, error);
        if let Some(table) = missing_table(&fault.message) {
            // One that could not be planned has its own fault.
            if self.names.contains(table) {
                return;
            }
            let message = format!("table \"{table}\" does not exist");
            let known = self.names.iter().map(String::as_str);
            fault = Diagnostic {
                message,
                ..fault.clone()
            }
            .with_nearest(table, known, None);
        }
        self.faults.push(fault);
    }

    fn output(
        &mut self,
        sinks: &BTreeMap<String, (&TableDef, SinkOptions)>,
        insert: &Statement,
    ) -> Option<Output> {
        let Statement::Insert {
            table,
            columns,
            query,
            span,
            ..
        } = insert
        else {
            return None;
        };
        let name = table_name(table);
        let Some((def, options)) = sinks.get(&name) else {
            let message = match self.streams.contains_key(&name) {
                true => format!("\"{name}\" is a source; rows go INTO a table with type = 'sink'"),
                false => format!("table \"{name}\" does not exist"),
            };
            let known = sinks.keys().map(String::as_str);
            let fault = self.source().diagnostic(table.span, message);
            self.faults.push(fault.with_nearest(&name, known, None));
            return None;
        };
        let schema = sinks::schema(self.source(), def, columns, &mut self.faults)?;
        let planned = recover::plan(&self.state, query).and_then(|plan| {
            let pipeline =
                determinism::check(&plan).and_then(|()| Pipeline::new(&self.state, plan, &schema));
            pipeline.map_err(|error| vec![error])
        });
        match planned {
            Ok(pipeline) => Some(Output {
                table: name,
                sink: options.clone(),
                sort_columns: match pipeline.windows() {
                    Some(_) => sinks::sort_columns(&schema),
                    // An archive is in the order of the topic.
                    None => Vec::new(),
                },
                primary_key: (def.primary_key.iter())
                    .filter_map(|key| schema.index_of(&key.value).ok())
                    .collect(),
                schema,
                pipeline,
                columns: Vec::new(),
            }),
            Err(errors) => {
                for error in &errors {
                    self.fault(*span, Some(query), error);
                }
                None
            }
        }
    }

    fn finish(mut self, mut outputs: Vec<Output>) -> Result<JobPlan, Diagnostics> {
        let whole = Span::empty();
        if self.faults.is_empty() && outputs.is_empty() {
            let fault = self.source().diagnostic(
                whole,
                "the file has no INSERT INTO and no SELECT, so there is nothing to run",
            );
            self.faults.push(fault);
        }
        sinks::check_apart(self.file, &outputs, &mut self.faults);
        if let Some(stream) = self.streams.values().next() {
            check_topics(self.file, stream.options, &outputs, &mut self.faults);
        }
        if self.streams.len() > 1 {
            let tables = self.streams.keys().cloned().collect::<Vec<_>>().join(", ");
            let message =
                format!("the local engine reads one source a file; this one has {tables}");
            self.faults.push(self.source().diagnostic(whole, message));
        }
        let stream = self.streams.pop_first();
        let source = match stream {
            Some((name, stream)) if self.faults.is_empty() => {
                match self.source_plan(name, &stream, &mut outputs) {
                    Ok(source) => Some(source),
                    Err(error) => {
                        let span = stream
                            .table
                            .watermark
                            .as_ref()
                            .map_or(stream.table.span, |w| w.span);
                        self.fault(span, None, &error);
                        None
                    }
                }
            }
            _ => None,
        };
        match source {
            Some(source) if self.faults.is_empty() => Ok(JobPlan {
                meaning: meaning::of(self.file, &source, &outputs),
                source,
                outputs,
                tables: StaticTables {
                    state: self.state,
                    tables: self.static_tables,
                },
                memory_limit: None,
            }),
            _ => {
                self.faults.sort_by_key(|fault| (fault.line, fault.column));
                Err(Diagnostics(self.faults))
            }
        }
    }

    fn source_plan(
        &self,
        name: String,
        stream: &Stream,
        outputs: &mut [Output],
    ) -> Result<SourcePlan> {
        let table = stream.table;
        let physical = physical(table);
        let (expr, delay) = watermark(&self.state, &name, table, &physical)?;
        let mut used: BTreeSet<&str> = outputs
            .iter()
            .flat_map(|output| output.pipeline.input())
            .map(String::as_str)
            .collect();
        used.extend(
            expr.column_refs()
                .into_iter()
                .map(|column| column.name.as_str()),
        );
        let decoded = physical
            .iter()
            .filter(|field| used.contains(field.name().as_str()));
        let decoded: SchemaRef = Arc::new(Schema::new(decoded.cloned().collect::<Vec<_>>()));
        let frame_columns = FrameColumn::ALL.into_iter();
        let frame_columns: Vec<FrameColumn> = frame_columns
            .filter(|column| used.contains(column.name()))
            .collect();
        let frames = frames_schema(&decoded, &frame_columns);
        let schema = DFSchema::try_from_qualified_schema(name.as_str(), &frames)?;
        let watermark = WatermarkPlan::new(physical_expr(&self.state, &expr, &schema)?, delay);
        drop(used);
        // Run once over a frame without values: what cannot run at all is refused before anything starts.
        let columns = frames
            .fields()
            .iter()
            .map(|field| match field.is_nullable() {
                true => Ok(new_null_array(field.data_type(), 1)),
                false => ScalarValue::new_default(field.data_type())?.to_array(),
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let nothing = RecordBatch::try_new(Arc::clone(&frames), columns)?;
        watermark.candidates(&nothing)?;
        for output in outputs {
            output.columns = output
                .pipeline
                .input()
                .iter()
                .map(|column| Ok(frames.index_of(column)?))
                .collect::<Result<_>>()?;
            output
                .pipeline
                .ticks(output.project(&nothing)?, &mut Tally::default(), None)?;
        }
        Ok(SourcePlan {
            table: name,
            options: stream.options.clone(),
            decoded,
            frame_columns,
            watermark,
        })
    }
}

/// The table that DataFusion's planner did not find.
fn missing_table(message: &str) -> Option<&str> {
    let name = message
        .strip_prefix("table '")?
        .strip_suffix("' not found")?;
    Some(name.trim_start_matches("datafusion.public."))
}
