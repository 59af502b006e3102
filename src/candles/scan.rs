//! A filter → the plan that DataFusion runs → batches of rows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::SortExpr;
use datafusion::logical_expr::expr::Sort;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{Expr, SessionConfig, SessionContext, ident, lit};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::CandlesError;
use super::rows::column_type;
use super::table::{self, Span};

/// Memory for rows that wait to be put in order; what does not fit goes to a temporary file.
const SORT_MEMORY_BYTES: usize = 512 << 20;

/// The column that the symbol filter is about.
pub(super) const SYMBOL: &str = "symbol";
/// The column that the time filter is about.
pub(super) const WINDOW_START: &str = "window_start";
/// Rows are ordered by these columns first, those that the table has; then by its other text columns.
const ORDER: [&str; 3] = [SYMBOL, WINDOW_START, "window_end"];

/// Which rows of a table are wanted; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Values of the column `symbol`; none: any.
    pub symbols: Vec<String>,
    /// Least `window_start`, nanoseconds since 1970 UTC.
    pub from: Option<i64>,
    /// `window_start` is less than this, nanoseconds since 1970 UTC.
    pub to: Option<i64>,
    /// At most so many rows: the first ones in order.
    pub limit: Option<usize>,
}

/// Rows on their way out of the files.
pub struct Scan {
    /// The columns: those of the files, without the date of the folders' names.
    pub schema: SchemaRef,
    /// The rows, ordered by symbol and `window_start`, as far as the table has them.
    pub batches: BoxStream<'static, Result<RecordBatch, CandlesError>>,
}

/// Reads the Parquet files in `path`: a folder, with or without `date=YYYY-MM-DD` folders in it, or one
/// file. The folder is listed anew by each call; files that are added later are not seen by this one.
///
/// # Errors
/// No file, a file that cannot be read, or a filter on a column that is not there. While the rows
/// come: a file that cannot be read or was removed meanwhile.
pub async fn scan(path: &Path, filter: &Filter) -> Result<Scan, CandlesError> {
    let (session, plan) = plan(path, filter).await?;
    let schema = plan.schema();
    let path = path.to_path_buf();
    let failed = move |error: DataFusionError| CandlesError::reading(&path, &error);
    let batches = execute_stream(plan, session.task_ctx()).map_err(&failed)?;
    Ok(Scan {
        schema,
        batches: batches.map_err(failed).boxed(),
    })
}

async fn plan(
    path: &Path,
    filter: &Filter,
) -> Result<(SessionContext, Arc<dyn ExecutionPlan>), CandlesError> {
    let failed = |error: DataFusionError| CandlesError::reading(path, &error);
    let session = new_session().map_err(failed)?;
    let table = table::open(
        &session.state(),
        path,
        Span {
            from: filter.from,
            until: None,
        },
    )
    .await?;
    let mut rows = session.read_table(Arc::new(table)).map_err(failed)?;
    let schema = Arc::clone(rows.schema().inner());
    for condition in conditions(filter, &schema, path)? {
        rows = rows.filter(condition).map_err(failed)?;
    }
    let order = order(&schema);
    if !order.is_empty() {
        rows = rows.sort(order).map_err(failed)?;
    }
    if filter.limit.is_some() {
        rows = rows.limit(0, filter.limit).map_err(failed)?;
    }
    let plan = rows.create_physical_plan().await.map_err(failed)?;
    Ok((session, plan))
}

/// A session of its own for each scan: a session keeps a folder's listing for good.
fn new_session() -> Result<SessionContext, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(SORT_MEMORY_BYTES)))
        .build_arc()?;
    Ok(SessionContext::new_with_config_rt(
        SessionConfig::new(),
        runtime,
    ))
}

fn conditions(filter: &Filter, schema: &Schema, path: &Path) -> Result<Vec<Expr>, CandlesError> {
    let mut conditions = Vec::new();
    if !filter.symbols.is_empty() {
        column_type(schema, SYMBOL, path)?;
        let symbols = filter.symbols.iter().map(lit).collect();
        conditions.push(ident(SYMBOL).in_list(symbols, false));
    }
    if filter.from.is_some() || filter.to.is_some() {
        let time = |nanos| time_literal(column_type(schema, WINDOW_START, path)?, nanos, path);
        if let Some(from) = filter.from {
            conditions.push(ident(WINDOW_START).gt_eq(lit(time(from)?)));
        }
        if let Some(to) = filter.to {
            conditions.push(ident(WINDOW_START).lt(lit(time(to)?)));
        }
    }
    Ok(conditions)
}

/// The bound in the column's own unit, so that files can be left out by their statistics. Rounded up,
/// which keeps both `>=` and `<` what they were.
pub(super) fn time_literal(
    column: &DataType,
    nanos: i64,
    path: &Path,
) -> Result<ScalarValue, CandlesError> {
    let DataType::Timestamp(unit, zone) = column else {
        return Err(CandlesError::Filter(format!(
            "{}: the column {WINDOW_START} is {column}, not a timestamp; it cannot be filtered by time",
            path.display()
        )));
    };
    let zone = zone.clone();
    Ok(match unit {
        TimeUnit::Second => {
            ScalarValue::TimestampSecond(Some(in_units(nanos, 1_000_000_000)), zone)
        }
        TimeUnit::Millisecond => {
            ScalarValue::TimestampMillisecond(Some(in_units(nanos, 1_000_000)), zone)
        }
        TimeUnit::Microsecond => {
            ScalarValue::TimestampMicrosecond(Some(in_units(nanos, 1_000)), zone)
        }
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(nanos), zone),
    })
}

fn in_units(nanos: i64, unit_nanos: i64) -> i64 {
    nanos.div_euclid(unit_nanos) + i64::from(nanos.rem_euclid(unit_nanos) != 0)
}

fn order(schema: &Schema) -> Vec<SortExpr> {
    let named = ORDER
        .into_iter()
        .filter(|name| schema.field_with_name(name).is_ok());
    let texts = schema
        .fields()
        .iter()
        .filter(|field| is_text(field.data_type()))
        .map(|field| field.name().as_str())
        .filter(|name| !ORDER.contains(name));
    let keys: Vec<&str> = named.collect();
    if keys.is_empty() {
        return Vec::new();
    }
    keys.into_iter()
        .chain(texts)
        .map(|name| Sort::new(ident(name), true, false))
        .collect()
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};
    use datafusion::physical_plan::collect;
    use parquet::arrow::ArrowWriter;

    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;

    /// A folder with two candles a day, of 1970-01-01 and the days after.
    fn days(days: i64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for day in 0..days {
            let columns: [(&str, ArrayRef); 2] = [
                ("symbol", Arc::new(StringArray::from(vec!["A", "B"]))),
                (
                    "window_start",
                    Arc::new(TimestampNanosecondArray::from(vec![
                        day * DAY_NS,
                        day * DAY_NS + 1,
                    ])),
                ),
            ];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let date = folder.path().join(format!("date=1970-01-0{}", day + 1));
            fs::create_dir(&date).unwrap();
            let file = File::create(date.join("1.parquet")).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        folder
    }

    /// The sum of a metric over the whole plan.
    fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> String {
        let own = plan
            .metrics()
            .and_then(|metrics| metrics.sum_by_name(name))
            .map(|value| value.to_string());
        own.or_else(|| {
            plan.children()
                .into_iter()
                .map(|child| metric(child, name))
                .next()
        })
        .unwrap_or_default()
    }

    #[tokio::test]
    async fn files_are_left_out_by_folder_and_by_statistics() {
        let folder = days(9);
        let filter = Filter {
            from: Some(3 * DAY_NS),
            to: Some(5 * DAY_NS),
            ..Filter::default()
        };
        let (session, plan) = plan(folder.path(), &filter).await.unwrap();
        let rows = collect(Arc::clone(&plan), session.task_ctx())
            .await
            .unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        // Three days by their folders, four by their files' statistics.
        assert_eq!(
            metric(&plan, "files_ranges_pruned_statistics"),
            "6 total → 2 matched"
        );
    }

    #[tokio::test]
    async fn a_file_that_vanishes_is_named() {
        let folder = days(2);
        let (session, plan) = plan(folder.path(), &Filter::default()).await.unwrap();
        fs::remove_file(folder.path().join("date=1970-01-02/1.parquet")).unwrap();
        let error = collect(plan, session.task_ctx()).await.unwrap_err();
        let error = CandlesError::reading(folder.path(), &error);
        assert!(matches!(error, CandlesError::Vanished(_)), "{error:?}");
        assert!(
            error
                .to_string()
                .contains("date=1970-01-02/1.parquet was removed"),
            "{error}"
        );
    }

    #[test]
    fn bounds_are_rounded_up_to_the_columns_unit() {
        assert_eq!(in_units(0, 1_000), 0);
        assert_eq!(in_units(1, 1_000), 1);
        assert_eq!(in_units(1_000, 1_000), 1);
        assert_eq!(in_units(-1, 1_000), 0);
        assert_eq!(in_units(i64::MAX, 1_000), i64::MAX / 1_000 + 1);
        assert_eq!(in_units(i64::MIN, 1), i64::MIN);
    }
}
