//! A SQL file's statements → one job: the source with its watermark, and a pipeline an INSERT.

mod preview;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use super::above::Tasks;
use super::determinism;
use super::meaning;
use super::pipeline::Pipeline;
use super::session::{fault, plan_query, session};
use super::sinks::{self, SinkOptions};
use super::sql::{
    ColumnKind, Connector, Diagnostic, Diagnostics, KafkaSourceOptions, SourceText, Span, SqlFile,
    Statement, StaticTableOptions, TableDef, table_name,
};
use super::static_table::StaticTable;
use super::steps::Tally;
use super::stream::{
    FRAME, FrameColumn, KAFKA_TIMESTAMP, StreamTable, TIMESTAMP, carry_hidden, frame_field,
};
use super::watermark::{WatermarkPlan, expression, watermark};

/// A SQL file, ready to run.
#[derive(Debug)]
pub struct JobPlan {
    /// What is read.
    pub source: SourcePlan,
    /// What is computed and where it goes, in the order of the file, SELECTs last; at least one.
    pub outputs: Vec<Output>,
    /// What the file means, for the checkpoint: see [`compare`](super::compare).
    pub meaning: BTreeMap<String, String>,
    tables: StaticTables,
}

/// The static tables, and the session that plans over them.
#[derive(Debug)]
struct StaticTables {
    state: SessionState,
    tables: Vec<Arc<StaticTable>>,
}

/// The stream that a job reads.
#[derive(Debug)]
pub struct SourcePlan {
    /// The table's name in the SQL.
    pub table: String,
    /// Its connector's options.
    pub options: KafkaSourceOptions,
    /// The columns that frames are decoded into: those that the job uses.
    pub decoded: SchemaRef,
    /// What else of a frame the job uses.
    pub frame_columns: Vec<FrameColumn>,
    /// The frames' watermark.
    pub watermark: WatermarkPlan,
}

/// One INSERT, or one bare SELECT.
#[derive(Debug)]
pub struct Output {
    /// The sink's name in the SQL; of a SELECT a name by its place among them: `select_1`.
    pub table: String,
    /// Where its rows go.
    pub sink: SinkOptions,
    /// Its columns.
    pub schema: SchemaRef,
    /// Columns that files are sorted by.
    pub sort_columns: Vec<usize>,
    /// The query.
    pub pipeline: Pipeline,
    /// Which columns of a batch of frames the query wants.
    columns: Vec<usize>,
}

impl JobPlan {
    /// Plans a file.
    ///
    /// # Errors
    /// Every fault that could be found, with its place.
    pub fn new(file: &SqlFile) -> Result<JobPlan, Diagnostics> {
        Planner::new(file).plan()
    }

    /// Reads the static tables and makes what needs their rows. Call it once, before anything runs.
    ///
    /// # Errors
    /// Which table cannot be read, and why.
    pub fn load(&mut self) -> Result<Tasks, String> {
        let told = |error: DataFusionError| error.strip_backtrace();
        let StaticTables { state, tables } = &self.tables;
        let tasks = Tasks::new(state).map_err(told)?;
        for table in tables {
            tasks.wait(table.load())?;
        }
        for output in &mut self.outputs {
            for lookup in output.pipeline.lookups() {
                let plan = state.create_physical_plan(lookup.static_plan());
                let rows = tasks.wait(plan).and_then(|plan| tasks.collect(plan));
                rows.and_then(|rows| lookup.load(rows)).map_err(told)?;
            }
            output.pipeline.load(state).map_err(told)?;
        }
        Ok(tasks)
    }

    /// Whether it only shows rows: it writes nothing, and nothing is remembered of it.
    pub fn is_preview(&self) -> bool {
        self.outputs.iter().all(|output| output.sink.is_preview())
    }
}

impl SourcePlan {
    /// Schema of a batch of frames: the decoded columns, what else is used, the frame's number.
    pub fn frames(&self) -> SchemaRef {
        frames_schema(&self.decoded, &self.frame_columns)
    }
}

fn frames_schema(decoded: &SchemaRef, frame_columns: &[FrameColumn]) -> SchemaRef {
    let mut fields = decoded.fields().to_vec();
    fields.extend(frame_columns.iter().map(|column| column.field()));
    fields.push(frame_field());
    Arc::new(Schema::new(fields))
}

impl Output {
    /// The query's columns of a batch of frames.
    pub fn project(&self, frames: &RecordBatch) -> Result<RecordBatch> {
        Ok(frames.project(&self.columns)?)
    }

    /// Whether every row needs an event time to know its folder.
    pub fn needs_event_time(&self) -> bool {
        self.sink
            .files()
            .is_some_and(|files| files.time_pattern.is_some())
    }
}

struct Stream<'a> {
    table: &'a TableDef,
    options: &'a KafkaSourceOptions,
}

struct Planner<'a> {
    file: &'a SqlFile,
    state: SessionState,
    streams: BTreeMap<String, Stream<'a>>,
    static_tables: Vec<Arc<StaticTable>>,
    /// Tables and views that were declared so far.
    names: BTreeSet<String>,
    faults: Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    fn new(file: &'a SqlFile) -> Planner<'a> {
        Planner {
            file,
            state: session(),
            streams: BTreeMap::new(),
            static_tables: Vec::new(),
            names: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    fn source(&self) -> &'a SourceText {
        &self.file.source
    }

    fn plan(mut self) -> Result<JobPlan, Diagnostics> {
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
                        Connector::FilesystemSink(options) => {
                            sinks.insert(name, (table, SinkOptions::Filesystem(options.clone())));
                        }
                        Connector::StdoutSink(options) => {
                            sinks.insert(name, (table, SinkOptions::Stdout(*options)));
                        }
                    }
                }
                Statement::CreateView(view) => {
                    let name = self.declare(&view.name);
                    let planned = plan_query(&self.state, &view.query).and_then(carry_hidden);
                    match planned.and_then(|plan| self.register(&name, plan)) {
                        Ok(()) => {}
                        Err(error) => self.fault(view.span, &error),
                    }
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

    fn fault(&mut self, span: Span, error: &DataFusionError) {
        let mut fault = fault(self.source(), span, error);
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

    fn register(&self, name: &str, plan: LogicalPlan) -> Result<()> {
        let view = Arc::new(ViewTable::new(plan, None));
        self.state
            .schema_for_ref(name.to_string())?
            .register_table(name.to_string(), view)?;
        Ok(())
    }

    /// A stream is a view over its physical columns: the generated ones and `_timestamp` are
    /// computed where a query uses them.
    fn add_stream(&mut self, name: String, table: &'a TableDef, options: &'a KafkaSourceOptions) {
        match self
            .stream_view(&name, table)
            .and_then(|plan| self.register(&name, plan))
        {
            Ok(()) => {}
            Err(error) => self.fault(table.span, &error),
        }
        self.streams.insert(name, Stream { table, options });
    }

    fn add_static(&mut self, name: &str, table: &TableDef, options: &StaticTableOptions) {
        let schema = Arc::new(Schema::new(physical(table)));
        let provider = Arc::new(StaticTable::new(name, schema, options));
        self.static_tables.push(Arc::clone(&provider));
        let registered = self
            .state
            .schema_for_ref(name.to_string())
            .and_then(|schema| schema.register_table(name.to_string(), provider));
        if let Err(error) = registered {
            self.fault(table.span, &error);
        }
    }

    fn stream_view(&mut self, name: &str, table: &TableDef) -> Result<LogicalPlan> {
        let provider = Arc::new(StreamTable::new(&physical(table)));
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
        let schema = Arc::clone(scan.schema());
        let column = |column: &str| Expr::Column(Column::new(Some(name), column));
        let mut exprs = Vec::new();
        let mut event_time = column(KAFKA_TIMESTAMP);
        for defined in &table.columns {
            let expr = match &defined.kind {
                ColumnKind::Physical => column(&defined.name),
                ColumnKind::Generated(expr) => match expression(&self.state, expr, &schema) {
                    Ok(expr) => expr.cast_to(&defined.data_type, &schema)?,
                    Err(error) => {
                        self.fault(defined.span, &error);
                        continue;
                    }
                },
                ColumnKind::Metadata(key) => column(FrameColumn::of_metadata(key).name()),
            };
            let watermark = table.watermark.as_ref();
            if watermark.is_some_and(|mark| same_column(&mark.column, &defined.name)) {
                event_time = expr.clone();
            }
            exprs.push(expr.alias(&defined.name));
        }
        exprs.push(event_time.alias(TIMESTAMP));
        exprs.push(column(FRAME));
        scan.project(exprs)?.build()
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
        let planned = plan_query(&self.state, query).and_then(|plan| {
            determinism::check(&plan)?;
            Pipeline::new(&self.state, plan, &schema)
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
                schema,
                pipeline,
                columns: Vec::new(),
            }),
            Err(error) => {
                self.fault(*span, &error);
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
                        self.fault(span, &error);
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
        let watermark = WatermarkPlan::new(
            self.state.create_physical_expr(expr.clone(), &schema)?,
            delay,
        );
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
                .ticks(output.project(&nothing)?, &mut Tally::default())?;
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

fn physical(table: &TableDef) -> Vec<FieldRef> {
    let physical = table
        .columns
        .iter()
        .filter(|c| matches!(c.kind, ColumnKind::Physical));
    physical.map(|column| Arc::new(column.field())).collect()
}

/// The table that DataFusion's planner did not find.
fn missing_table(message: &str) -> Option<&str> {
    let name = message
        .strip_prefix("table '")?
        .strip_suffix("' not found")?;
    Some(name.trim_start_matches("datafusion.public."))
}

/// Whether an identifier names a column: as quoted, else in any case.
pub fn same_column(ident: &ast::Ident, name: &str) -> bool {
    match ident.quote_style {
        Some(_) => ident.value == name,
        None => ident.value.eq_ignore_ascii_case(name),
    }
}
