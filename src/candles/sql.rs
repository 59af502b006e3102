//! One SELECT over the table, and nothing else: no other table, no file, no statement that changes anything.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use super::CandlesError;
use super::store::Store;
use super::table::{self, Span};

/// The table's name in a SELECT.
const TABLE: &str = "candles";
/// Rows that are computed at a time: few, so that limits are looked at often.
const BATCH_ROWS: usize = 1024;
/// Functions that are not there: those that make much of little, since what they return counts in no memory limit
/// while it is made, and the one that tells where files lie.
const TAKEN_AWAY: [&str; 10] = [
    "input_file_name",
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
];
/// Table functions: there is no table but one.
const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// Runs SELECTs in memory that they share.
pub struct ReadOnlySql {
    runtime: Arc<RuntimeEnv>,
    rows: usize,
}

/// Why a SELECT has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// It is none, it is wrong, or asks for what is not given.
    #[error("{0}")]
    Refused(String),
    /// It takes more than it may.
    #[error("{0}")]
    TooLarge(String),
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] CandlesError),
}

/// The whole answer.
pub struct SqlRows {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, in the SELECT's order.
    pub batches: Vec<RecordBatch>,
}

impl ReadOnlySql {
    /// For answers of at most so many rows, with so much memory for all that run.
    ///
    /// # Errors
    /// The runtime cannot be built.
    pub fn new(rows: usize, memory_bytes: usize) -> Result<ReadOnlySql, CandlesError> {
        let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
            .with_disk_manager_builder(no_disk)
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(|error| CandlesError::reading(Path::new("the table"), &error))?;
        Ok(ReadOnlySql { runtime, rows })
    }

    /// The answer to one SELECT. It is dropped in its middle without harm.
    ///
    /// # Errors
    /// It is no SELECT, is wrong, takes too much, or the table cannot be read.
    pub async fn select(&self, store: &Store, text: &str) -> Result<SqlRows, SqlError> {
        only_a_query(text)?;
        let session = self.session(store).await?;
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let said = |error: DataFusionError| sorted(&error, store);
        let rows = session
            .sql_with_options(text, options)
            .await
            .map_err(said)?;
        if matches!(
            rows.logical_plan(),
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)
        ) {
            return Err(not_a_select());
        }
        let mut batches = Vec::new();
        let mut count = 0;
        let mut stream = rows.execute_stream().await.map_err(said)?;
        let schema = stream.schema();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(said)?;
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            if count > self.rows {
                return Err(SqlError::TooLarge(format!(
                    "the answer has more than {} rows; add a LIMIT or aggregate",
                    self.rows
                )));
            }
            if bytes > ANSWER_BYTES_MAX {
                return Err(SqlError::TooLarge(format!(
                    "the answer is larger than {ANSWER_BYTES_MAX} bytes; select less"
                )));
            }
            batches.push(batch);
        }
        Ok(SqlRows { schema, batches })
    }

    async fn session(&self, store: &Store) -> Result<SessionContext, SqlError> {
        let config = SessionConfig::new()
            .with_batch_size(BATCH_ROWS)
            .with_information_schema(false);
        let session = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        for name in TAKEN_AWAY {
            session.deregister_udf(name);
        }
        for name in TABLE_FUNCTIONS {
            session.deregister_udtf(name);
        }
        let table = table::open(&session.state(), store.path(), Span::default()).await?;
        session
            .register_table(TABLE, Arc::new(table))
            .map_err(|error| sorted(&error, store))?;
        Ok(session)
    }
}

/// Bytes of an answer at the most, as they lie in memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;

fn not_a_select() -> SqlError {
    SqlError::Refused("only one SELECT over the table candles is answered here".to_string())
}

fn only_a_query(text: &str) -> Result<(), SqlError> {
    let statements = DFParser::parse_sql(text);
    let mut statements = statements.map_err(|error| SqlError::Refused(error.strip_backtrace()))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(Statement::Statement(statement)), true)
            if matches!(*statement, ast::Statement::Query(_)) =>
        {
            Ok(())
        }
        _ => Err(not_a_select()),
    }
}

/// What DataFusion says, without the folder's place on this machine.
fn sorted(error: &DataFusionError, store: &Store) -> SqlError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => SqlError::TooLarge(
            "the query needs more memory than it may have; select less at a time".to_string(),
        ),
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => {
            SqlError::Table(CandlesError::reading(store.path(), error))
        }
        other => {
            let path = store.path().display().to_string();
            SqlError::Refused(other.strip_backtrace().replace(&path, TABLE))
        }
    }
}
