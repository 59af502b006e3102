//! A copy of a table that is still being filled: what an open window's rows would be if it closed now.
//!
//! DataFusion's accumulators cannot be copied, only emptied into a state that another takes in. What has been
//! through that must go on as if nothing had happened, to the last bit, or a window's rows would depend on who
//! looked: so it is done with those only of which that is true, and of the others a copy has nulls.

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::{Aggregates, Function, Table};

/// Functions whose state is all that they hold, digit by digit. A variance is not among them: it is merged by
/// dividing by its count.
const EXACT: [&str; 13] = [
    "approx_distinct",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "first_value",
    "last_value",
    "max",
    "min",
    "sum",
];

impl Aggregates {
    /// A copy of `table`, which goes on as if nothing had happened.
    pub fn copy(&self, table: &mut Table) -> Result<Table> {
        let keys = match &mut table.groups {
            Some(groups) => Some(groups.emit(EmitTo::All)?),
            None => None,
        };
        let rows = match &keys {
            Some(keys) => keys.first().map_or(0, |keys| keys.len()),
            None => 1,
        };
        let places: Vec<usize> = (0..rows).collect();
        let mut copy = self.table()?;
        for table in [&mut *table, &mut copy] {
            if let Some(keys) = &keys {
                let mut groups = self.group_values()?;
                groups.intern(keys, &mut Vec::new())?;
                table.groups = Some(groups);
            }
        }
        let pairs = table.accumulators.iter_mut().zip(&mut copy.accumulators);
        for ((held, copied), function) in pairs.zip(&self.functions) {
            if function.sort.is_some() {
                continue;
            }
            if !function.is_copied() {
                *copied = Box::new(Nulls {
                    of: function.expr.field().data_type().clone(),
                    groups: rows,
                });
                continue;
            }
            let state = held.state(EmitTo::All)?;
            *held = function.accumulator(&self.input)?;
            for accumulator in [held, copied] {
                accumulator.merge_batch(&state, &places, rows)?;
            }
        }
        copy.kept.clone_from(&table.kept);
        copy.rows = table.rows;
        Ok(copy)
    }
}

impl Function {
    fn is_copied(&self) -> bool {
        let name = self.expr.fun().name();
        let indifferent = ["min", "max", "first_value", "last_value", "count"];
        EXACT.contains(&name) && (!self.expr.is_distinct() || indifferent.contains(&name))
    }
}

/// In the place of what cannot be copied.
struct Nulls {
    of: DataType,
    groups: usize,
}

impl GroupsAccumulator for Nulls {
    fn update_batch(
        &mut self,
        _: &[ArrayRef],
        _: &[usize],
        _: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups = total;
        Ok(())
    }

    fn evaluate(&mut self, _: EmitTo) -> Result<ArrayRef> {
        Ok(new_null_array(&self.of, self.groups))
    }

    fn state(&mut self, _: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn merge_batch(&mut self, _: &[ArrayRef], _: &[usize], total: usize) -> Result<()> {
        self.groups = total;
        Ok(())
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        not_impl_err!("nothing is held of what cannot be copied")
    }

    fn size(&self) -> usize {
        size_of::<Nulls>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Float64Array, Int64Array, RecordBatch, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion::functions_aggregate::expr_fn::{
        approx_distinct, avg, count, count_distinct, first_value, last_value, max, median, min,
        stddev, sum,
    };
    use datafusion::logical_expr::{Expr, ExprFunctionExt, col, lit};
    use proptest::prelude::*;

    use super::*;
    use crate::query::stream::ORDER;

    type Row = (Option<u8>, Option<f64>);

    /// The first so many of the functions are known to a copy.
    const KNOWN: usize = 10;

    fn aggregates(keys: usize) -> Aggregates {
        let input = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Utf8View, true),
            Field::new("parity", DataType::Int64, true),
            Field::new("value", DataType::Float64, true),
            Field::new(ORDER, DataType::Int64, false),
        ]));
        let value = || col("value");
        let by = || {
            vec![
                col("parity").sort(true, false),
                col(ORDER).sort(true, false),
            ]
        };
        let large = |of: Expr| of.filter(value().gt(lit(5.0))).build().unwrap();
        let functions = [
            sum(value()),
            avg(value()),
            min(value()),
            max(value()),
            count(value()),
            first_value(value(), by()),
            last_value(value(), by()),
            large(sum(value())),
            count_distinct(value()),
            approx_distinct(col("parity")),
            stddev(value()),
            median(value()),
        ];
        Aggregates::new(input, keys, &functions).unwrap()
    }

    fn batch(plan: &Aggregates, rows: &[Row], from: i64) -> RecordBatch {
        let keys: StringViewArray = (rows.iter())
            .map(|row| row.0.map(|key| format!("BINANCE:SYMBOL{key}")))
            .collect();
        let parity: Int64Array = rows
            .iter()
            .map(|row| row.0.map(|key| i64::from(key % 2)))
            .collect();
        let values: Float64Array = rows.iter().map(|row| row.1).collect();
        let order = Int64Array::from_iter_values(from..from + rows.len() as i64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new(parity),
            Arc::new(values),
            Arc::new(order),
        ];
        RecordBatch::try_new(Arc::clone(&plan.input), columns).unwrap()
    }

    /// Fills a table with batches and copies it after those that `looks` says; its rows, and its last copy's.
    fn rows(plan: &Aggregates, batches: &[Vec<Row>], looks: &[bool]) -> (RecordBatch, RecordBatch) {
        let mut table = plan.table().unwrap();
        let mut from = 0;
        for (rows, look) in batches.iter().zip(looks) {
            let batch = batch(plan, rows, from);
            from += rows.len() as i64;
            table.update(plan, &batch, &mut Vec::new()).unwrap();
            if *look {
                plan.copy(&mut table).unwrap();
            }
        }
        let copy = plan.copy(&mut table).unwrap();
        (
            plan.finish(vec![table]).unwrap(),
            plan.finish(vec![copy]).unwrap(),
        )
    }

    proptest! {
        #[test]
        fn a_look_changes_nothing_and_shows_what_is_there(
            batches in prop::collection::vec(
                prop::collection::vec(
                    (prop::option::of(0..6_u8), prop::option::weighted(0.8, -10.0..10.0_f64)),
                    1..20,
                ),
                1..8,
            ),
            looks in prop::collection::vec(any::<bool>(), 8),
            keys in 0..3_usize,
        ) {
            let plan = aggregates(keys);
            let (looked, copied) = rows(&plan, &batches, &looks);
            let mut table = plan.table().unwrap();
            let mut from = 0;
            for rows in &batches {
                let batch = batch(&plan, rows, from);
                from += rows.len() as i64;
                table.update(&plan, &batch, &mut Vec::new()).unwrap();
            }
            let alone = plan.finish(vec![table]).unwrap();
            // Debug text shows every digit of a float.
            let shown = |batch: &RecordBatch| format!("{:?}", batch.columns());
            prop_assert_eq!(shown(&looked), shown(&alone));
            for at in 0..keys + KNOWN {
                prop_assert_eq!(copied.column(at), alone.column(at), "column {}", at);
            }
            for at in keys + KNOWN..keys + 12 {
                prop_assert_eq!(copied.column(at).null_count(), alone.num_rows());
            }
        }
    }
}
