//! A join of the stream with a static table: every row of a micro-batch is looked up by its keys.
//!
//! Invariant: rows come out in the order of the stream's rows, and for each in the order of the static
//! table's, so that what is computed from them does not depend on how micro-batches were cut.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{JoinType, NullEquality, Result, exec_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;

use super::refusal::{Place, Refusal};
use super::steps::{certain, new_batch};
use super::stream::is_stream;
use super::trail::Trail;

/// What of a join's rows comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A row for every match.
    Inner,
    /// The same, and one with nulls for a row of the stream without a match.
    Outer,
    /// Rows of the stream that have a match.
    Semi,
    /// Rows of the stream that have none.
    Anti {
        /// `NOT IN`: a null on either side leaves the question open.
        null_aware: bool,
    },
    /// Every row of the stream, and whether it has a match.
    Mark,
}

/// A compiled join.
#[derive(Debug, Clone)]
pub struct Lookup {
    kind: Kind,
    /// Whether the stream's columns come before the static table's.
    stream_first: bool,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Keys of the static rows.
    static_keys: Vec<Arc<dyn PhysicalExpr>>,
    nulls_match: bool,
    /// A condition over both sides' columns, and their schema.
    filter: Option<(Arc<dyn PhysicalExpr>, SchemaRef)>,
    static_plan: LogicalPlan,
    /// Types of the keys, the same on both sides since the planner coerced them.
    key_types: Vec<SortField>,
    index: Arc<Index>,
    schema: SchemaRef,
}

/// The static side's rows by key.
#[derive(Debug)]
struct Index {
    rows: RecordBatch,
    converter: Option<RowConverter>,
    by_key: HashMap<Box<[u8]>, Vec<u32>>,
    /// Rows in which a key is null.
    has_null_key: bool,
}

impl Lookup {
    /// Compiles a join, of which one side is the stream; also returns that side's plan.
    pub fn compile(join: &Join, state: &SessionState) -> Result<(Lookup, Arc<LogicalPlan>)> {
        let (stream_left, stream_right) = (is_stream(&join.left), is_stream(&join.right));
        if stream_left && stream_right {
            return Err(two_streams().into());
        }
        let kind = match (join.join_type, stream_left) {
            (JoinType::Inner, _) => Kind::Inner,
            (JoinType::Left, true) | (JoinType::Right, false) => Kind::Outer,
            (JoinType::LeftSemi, true) | (JoinType::RightSemi, false) => Kind::Semi,
            (JoinType::LeftAnti, true) | (JoinType::RightAnti, false) => Kind::Anti {
                null_aware: join.null_aware,
            },
            (JoinType::LeftMark, true) | (JoinType::RightMark, false) => Kind::Mark,
            (other, _) => {
                return Err(keeps_static(other).into());
            }
        };
        let (stream, lookup) = match stream_left {
            true => (&join.left, &join.right),
            false => (&join.right, &join.left),
        };
        let physical = |expr: &Expr, plan: &LogicalPlan| {
            state.create_physical_expr(expr.clone(), plan.schema())
        };
        let mut keys = Vec::new();
        let mut static_keys = Vec::new();
        for (left, right) in &join.on {
            let (key, static_key) = match stream_left {
                true => (left, right),
                false => (right, left),
            };
            keys.push(physical(key, stream)?);
            static_keys.push(physical(static_key, lookup)?);
        }
        let filter = match &join.filter {
            None => None,
            Some(filter) => {
                let both = join.left.schema().join(join.right.schema())?;
                let schema = Arc::clone(both.inner());
                Some((state.create_physical_expr(filter.clone(), &both)?, schema))
            }
        };
        let rows = RecordBatch::new_empty(Arc::clone(lookup.schema().inner()));
        let key_types = key_types(&keys, stream)?;
        let lookup = Lookup {
            kind,
            stream_first: stream_left,
            nulls_match: join.null_equality == NullEquality::NullEqualsNull,
            filter,
            static_plan: LogicalPlan::clone(lookup),
            index: Arc::new(Index::new(rows, &static_keys, &key_types)?),
            key_types,
            keys,
            static_keys,
            schema: Arc::clone(join.schema.inner()),
        };
        Ok((lookup, Arc::clone(stream)))
    }

    /// Schema of the rows that come out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn is_scalar(&self) -> bool {
        self.keys.is_empty()
            && matches!(&self.static_plan, LogicalPlan::SubqueryAlias(alias)
                if alias.alias.table().starts_with("__scalar_sq"))
    }

    /// The plan of the static side.
    pub fn static_plan(&self) -> &LogicalPlan {
        &self.static_plan
    }

    /// Takes the static side's rows.
    pub fn load(&mut self, rows: RecordBatch) -> Result<()> {
        // A scalar subquery became a join, which would make a row for every value.
        if self.is_scalar() && rows.num_rows() > 1 {
            return exec_err!(
                "a subquery that stands for one value gave {}",
                rows.num_rows()
            );
        }
        self.index = Arc::new(Index::new(rows, &self.static_keys, &self.key_types)?);
        Ok(())
    }

    /// Joins one batch of the stream. `dropped` is counted up by its rows of which nothing comes out.
    pub fn run(
        &self,
        batch: &RecordBatch,
        dropped: &mut u64,
        trail: Option<&mut Trail>,
    ) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let keys = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let null_key = |row: usize| keys.iter().any(|key| key.is_null(row));
        let (of_stream, of_table) = self.matches(batch, &keys, &null_key)?;
        let mut stream_rows: Vec<u32> = Vec::with_capacity(rows);
        let mut table_rows: Vec<Option<u32>> = Vec::with_capacity(rows);
        let mut marks: Vec<bool> = Vec::new();
        let mut at = 0;
        for row in 0..rows as u32 {
            let from = at;
            while of_stream.get(at) == Some(&row) {
                at += 1;
            }
            let found = &of_table[from..at];
            let before = stream_rows.len();
            match self.kind {
                Kind::Inner | Kind::Outer if !found.is_empty() => {
                    stream_rows.extend(std::iter::repeat_n(row, found.len()));
                    table_rows.extend(found.iter().copied().map(Some));
                }
                Kind::Outer => {
                    stream_rows.push(row);
                    table_rows.push(None);
                }
                Kind::Inner => {}
                Kind::Semi if !found.is_empty() => stream_rows.push(row),
                Kind::Semi => {}
                Kind::Anti { null_aware } => {
                    let open = null_aware
                        && self.index.rows.num_rows() > 0
                        && (self.index.has_null_key || null_key(row as usize));
                    if found.is_empty() && !open {
                        stream_rows.push(row);
                    }
                }
                Kind::Mark => {
                    stream_rows.push(row);
                    marks.push(!found.is_empty());
                }
            }
            *dropped += u64::from(stream_rows.len() == before);
        }
        if let Some(trail) = trail {
            trail.taken(&stream_rows);
        }
        self.assemble(batch, stream_rows, table_rows, marks)
    }

    /// Pairs of rows that match, in the order of the stream's rows.
    fn matches(
        &self,
        batch: &RecordBatch,
        keys: &[ArrayRef],
        null_key: &dyn Fn(usize) -> bool,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let (mut of_stream, mut of_table) = (Vec::new(), Vec::new());
        match &self.index.converter {
            None => {
                let all = 0..self.index.rows.num_rows() as u32;
                for row in 0..batch.num_rows() as u32 {
                    of_stream.extend(std::iter::repeat_n(row, all.len()));
                    of_table.extend(all.clone());
                }
            }
            Some(converter) => {
                let wanted = converter.convert_columns(keys)?;
                for (row, key) in wanted.iter().enumerate() {
                    if !self.nulls_match && null_key(row) {
                        continue;
                    }
                    if let Some(found) = self.index.by_key.get(key.as_ref()) {
                        of_stream.extend(std::iter::repeat_n(row as u32, found.len()));
                        of_table.extend_from_slice(found);
                    }
                }
            }
        }
        let Some((filter, schema)) = &self.filter else {
            return Ok((of_stream, of_table));
        };
        let (of_stream, of_table) = (UInt32Array::from(of_stream), UInt32Array::from(of_table));
        let pairs = self.side_by_side(batch, &of_stream, &of_table, schema)?;
        let mask = filter.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let mask = certain(mask.as_boolean());
        let kept = |rows: UInt32Array| -> Vec<u32> {
            let pairs = rows.values().iter().zip(mask.values());
            pairs
                .filter(|(_, keep)| *keep)
                .map(|(&row, _)| row)
                .collect()
        };
        Ok((kept(of_stream), kept(of_table)))
    }

    fn side_by_side(
        &self,
        batch: &RecordBatch,
        stream: &UInt32Array,
        table: &UInt32Array,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let of = |batch: &RecordBatch, rows: &UInt32Array| {
            let columns = batch.columns().iter();
            columns
                .map(|column| Ok(take(column, rows, None)?))
                .collect::<Result<Vec<ArrayRef>>>()
        };
        let (stream_columns, table_columns) = (of(batch, stream)?, of(&self.index.rows, table)?);
        let columns = match self.stream_first {
            true => [stream_columns, table_columns].concat(),
            false => [table_columns, stream_columns].concat(),
        };
        new_batch(schema, columns, stream.len())
    }

    fn assemble(
        &self,
        batch: &RecordBatch,
        stream_rows: Vec<u32>,
        table_rows: Vec<Option<u32>>,
        marks: Vec<bool>,
    ) -> Result<RecordBatch> {
        let stream = UInt32Array::from(stream_rows);
        if matches!(self.kind, Kind::Inner | Kind::Outer) {
            let table = UInt32Array::from(table_rows);
            return self.side_by_side(batch, &stream, &table, &self.schema);
        }
        let columns = batch.columns().iter();
        let mut columns = columns
            .map(|column| Ok(take(column, &stream, None)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        if self.kind == Kind::Mark {
            columns.push(Arc::new(BooleanArray::from(marks)));
        }
        new_batch(&self.schema, columns, stream.len())
    }
}

impl Index {
    fn new(
        rows: RecordBatch,
        keys: &[Arc<dyn PhysicalExpr>],
        fields: &[SortField],
    ) -> Result<Index> {
        let columns = keys
            .iter()
            .map(|key| key.evaluate(&rows)?.into_array(rows.num_rows()))
            .collect::<Result<Vec<_>>>()?;
        let mut by_key: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        let mut converter = None;
        if !fields.is_empty() {
            let made = RowConverter::new(fields.to_vec())?;
            for (row, key) in made.convert_columns(&columns)?.iter().enumerate() {
                by_key
                    .entry(key.as_ref().into())
                    .or_default()
                    .push(row as u32);
            }
            converter = Some(made);
        }
        Ok(Index {
            has_null_key: columns.iter().any(|column| column.null_count() > 0),
            rows,
            converter,
            by_key,
        })
    }
}

/// The refusal of a join of two streams.
pub fn two_streams() -> Refusal {
    let message = "the local engine does not run a join of two streams";
    Refusal::new(Place::Join, message).arroyo_runs_it()
}

/// The refusal of a join that gives rows of the static table without any of the stream.
pub fn keeps_static(kind: JoinType) -> Refusal {
    let message = format!(
        "a {} JOIN keeps the static table's rows without a match, and there may be one until the stream ends",
        kind.to_string().to_uppercase()
    );
    Refusal::new(Place::Join, message).help("begin with the stream: FROM ticks LEFT JOIN …")
}

/// The keys' types, as the row format wants them.
fn key_types(keys: &[Arc<dyn PhysicalExpr>], stream: &LogicalPlan) -> Result<Vec<SortField>> {
    let schema = stream.schema().inner();
    keys.iter()
        .map(|key| Ok(SortField::new(key.data_type(schema)?)))
        .collect()
}
