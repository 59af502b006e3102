//! A static table: files that are read whole when the job starts, to join the stream with.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, Scalar, StringViewArray, new_null_array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{CastOptions, cast_with_options, concat_batches, nullif};
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::sql::{StaticFormat, StaticTableOptions};

/// Rows that a reader hands over at once.
const BATCH_ROWS: usize = 8192;

/// A table of the SQL whose rows are in files. Planned over without them; they are read by
/// [`StaticTable::load`], once.
#[derive(Debug)]
pub struct StaticTable {
    name: String,
    schema: SchemaRef,
    options: StaticTableOptions,
    rows: OnceLock<RecordBatch>,
}

impl StaticTable {
    /// A table of these columns.
    pub fn new(name: &str, schema: SchemaRef, options: &StaticTableOptions) -> StaticTable {
        StaticTable {
            name: name.to_owned(),
            schema,
            options: options.clone(),
            rows: OnceLock::new(),
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub async fn load(&self) -> Result<(), String> {
        let path = &self.options.path;
        let told = |error: String| {
            format!(
                "table \"{}\" cannot be read from {}: {error}",
                self.name,
                path.display()
            )
        };
        let files = files(path, self.options.format).map_err(told)?;
        let mut batches = Vec::new();
        for file in &files {
            let read = match self.options.format {
                StaticFormat::Parquet => parquet(file).await,
                StaticFormat::Csv => csv(file),
                StaticFormat::Json => self.json(file),
            };
            let read = read.map_err(|error| match files.len() {
                1 => told(error),
                _ => told(format!("{}: {error}", file.display())),
            })?;
            for batch in &read {
                batches.push(self.declared(batch).map_err(told)?);
            }
        }
        let rows = concat_batches(&self.schema, &batches).map_err(|e| told(e.to_string()))?;
        tracing::info!(
            table = self.name,
            rows = rows.num_rows(),
            "static table read"
        );
        // A second load finds the first one's rows: both are what the files held.
        let _ = self.rows.set(rows);
        Ok(())
    }

    /// The declared columns of a batch, by name; one that the file does not have is null.
    fn declared(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for field in self.schema.fields() {
            columns.push(match batch.column_by_name(field.name()) {
                Some(column) => cast_column(column, field)?,
                None if field.is_nullable() => new_null_array(field.data_type(), batch.num_rows()),
                None => return Err(format!("there is no column \"{}\"", field.name())),
            });
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| error.to_string())
    }

    fn json(&self, file: &Path) -> Result<Vec<RecordBatch>, String> {
        // By name and with missing ones as null, so that "no column" is said as for the other forms.
        let fields = self.schema.fields().iter();
        let fields = fields.map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let reader = std::io::BufReader::new(open(file)?);
        let reader = arrow::json::ReaderBuilder::new(schema)
            .with_batch_size(BATCH_ROWS)
            .build(reader)
            .map_err(|error| error.to_string())?;
        reader
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())
    }
}

#[async_trait::async_trait]
impl TableProvider for StaticTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(rows) = self.rows.get() else {
            return exec_err!("table \"{}\" was not read yet", self.name);
        };
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![rows.clone()]])?;
        table.scan(state, projection, filters, limit).await
    }
}

/// The file, or those of the folder that end as the format's do, by name.
fn files(path: &Path, format: StaticFormat) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return match path.exists() {
            true => Ok(vec![path.to_owned()]),
            false => Err("it does not exist".to_owned()),
        };
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == format.extension()) => {
                    files.push(path);
                }
                false => {}
            }
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(format!("the folder holds no *.{}", format.extension())),
        false => Ok(files),
    }
}

fn open(file: &Path) -> Result<File, String> {
    File::open(file).map_err(|error| error.to_string())
}

/// Every column as text, null where it is empty; [`StaticTable::declared`] gives them their types.
fn csv(file: &Path) -> Result<Vec<RecordBatch>, String> {
    let format = Format::default().with_header(true);
    let (header, _) = format
        .infer_schema(open(file)?, Some(0))
        .map_err(|error| error.to_string())?;
    let fields = header.fields().iter();
    let fields = fields.map(|f| Field::new(f.name().trim(), DataType::Utf8View, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = arrow::csv::ReaderBuilder::new(schema)
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .build(open(file)?)
        .map_err(|error| error.to_string())?;
    let empty_is_null = |batch: RecordBatch| {
        let columns = batch.columns().iter().map(|column| {
            let is_empty = eq(column, &Scalar::new(StringViewArray::from(vec![""])))?;
            nullif(column, &is_empty)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(batch.schema(), columns)
    };
    reader
        .map(|batch| batch.and_then(empty_is_null))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())
}

async fn parquet(file: &Path) -> Result<Vec<RecordBatch>, String> {
    let path = file.display().to_string();
    let read = async {
        let context = SessionContext::new();
        let options = ParquetReadOptions::default().parquet_pruning(false);
        context.read_parquet(path, options).await?.collect().await
    };
    read.await.map_err(|error| error.strip_backtrace())
}

fn cast_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let cast = cast_with_options(column, field.data_type(), &strict)
        .map_err(|error| format!("column \"{}\": {error}", field.name()))?;
    if !field.is_nullable() && cast.null_count() > 0 {
        return Err(format!(
            "column \"{}\" is NOT NULL, but a value is missing",
            field.name()
        ));
    }
    Ok(cast)
}
