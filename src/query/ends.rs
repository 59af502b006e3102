//! `first_value` and `last_value` by event time, held in a row of numbers a key.
//!
//! DataFusion's own do the same for any order; each keeps 16 kB of scratch, which a job would hold for every open
//! window and partition, and compares by way of columns.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array,
    PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampNanosecondType, UInt64Type,
};
use datafusion::common::{Result, internal_err, not_impl_err};
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::stream::ORDER;

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

/// An accumulator for `function` if it is a first or last value of numbers, in ascending order of a time or
/// an integer and then of the order column, which is never the same twice.
pub fn accumulator(
    function: &AggregateFunctionExpr,
    input: &Schema,
) -> Option<Box<dyn GroupsAccumulator>> {
    let end = match function.fun() {
        fun if *fun == *first_value_udaf() => End::First,
        fun if *fun == *last_value_udaf() => End::Last,
        _ => return None,
    };
    let [by, order] = function.order_bys() else {
        return None;
    };
    let plain = [by, order]
        .iter()
        .all(|by| !by.options.descending && !by.options.nulls_first);
    let by_type = by.expr.data_type(input).ok()?;
    let by_number = matches!(
        by_type,
        DataType::Int64 | DataType::Timestamp(TimeUnit::Nanosecond, _)
    );
    let by_order = order.expr.return_field(input).ok()?.name() == ORDER;
    if !plain || !by_number || !by_order || function.ignore_nulls() {
        return None;
    }
    let of = function.field().data_type().clone();
    Some(match of {
        DataType::Float64 => Box::new(Ends::<Float64Type>::new(end, of)),
        DataType::Float32 => Box::new(Ends::<Float32Type>::new(end, of)),
        DataType::Int64 => Box::new(Ends::<Int64Type>::new(end, of)),
        DataType::Int32 => Box::new(Ends::<Int32Type>::new(end, of)),
        DataType::UInt64 => Box::new(Ends::<UInt64Type>::new(end, of)),
        DataType::Decimal128(..) => Box::new(Ends::<Decimal128Type>::new(end, of)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Box::new(Ends::<TimestampNanosecondType>::new(end, of))
        }
        _ => return None,
    })
}

/// The row at the end of each group so far.
struct Ends<T: ArrowPrimitiveType> {
    end: End,
    of: DataType,
    rows: Vec<Row<T::Native>>,
}

/// A row's place in the order, and its value. Nulls are last in the order.
#[derive(Debug, Clone, Copy)]
struct Row<N> {
    is_none: bool,
    by_null: bool,
    valid: bool,
    by: i64,
    order: i64,
    value: N,
}

impl<T: ArrowPrimitiveType> Ends<T> {
    fn new(end: End, of: DataType) -> Ends<T> {
        Ends {
            end,
            of,
            rows: Vec::new(),
        }
    }

    fn grow(&mut self, groups: usize) {
        let nothing = Row {
            is_none: true,
            by_null: false,
            valid: false,
            by: 0,
            order: 0,
            value: T::default_value(),
        };
        if groups > self.rows.len() {
            self.rows.resize(groups, nothing);
        }
    }

    #[inline(always)]
    fn offer(&mut self, group: usize, row: Row<T::Native>) {
        let held = &mut self.rows[group];
        let (old, new) = (
            (held.by_null, held.by, held.order),
            (row.by_null, row.by, row.order),
        );
        let better = match self.end {
            End::First => new < old,
            End::Last => new > old,
        };
        if better || held.is_none {
            *held = row;
        }
    }

    fn add(&mut self, columns: Columns<'_, T>, groups: &[usize], keep: impl Fn(usize) -> bool) {
        let Columns { values, by, order } = columns;
        let by_nulls = by.nulls.filter(|nulls| nulls.null_count() > 0);
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        for (at, &group) in groups.iter().enumerate() {
            if !keep(at) {
                continue;
            }
            let by_null = by_nulls.is_some_and(|nulls| nulls.is_null(at));
            let row = Row {
                is_none: false,
                by_null,
                valid: nulls.is_none_or(|nulls| nulls.is_valid(at)),
                by: if by_null { 0 } else { by.values[at] },
                order: order[at],
                value: values.values()[at],
            };
            self.offer(group, row);
        }
    }

    fn values(&self, rows: &[Row<T::Native>]) -> ArrayRef {
        let mut valid = BooleanBufferBuilder::new(rows.len());
        rows.iter().for_each(|row| valid.append(row.valid));
        let nulls = Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0);
        let values: Vec<T::Native> = rows.iter().map(|row| row.value).collect();
        let array = PrimitiveArray::<T>::new(values.into(), nulls);
        Arc::new(array.with_data_type(self.of.clone()))
    }
}

/// The columns of an update, as long as each other.
struct Columns<'a, T: ArrowPrimitiveType> {
    values: &'a PrimitiveArray<T>,
    by: Places<'a>,
    order: &'a [i64],
}

struct Places<'a> {
    values: &'a [i64],
    nulls: Option<&'a NullBuffer>,
}

impl<'a, T: ArrowPrimitiveType> Columns<'a, T> {
    fn of(columns: &'a [ArrayRef]) -> Result<Columns<'a, T>> {
        let [values, by, order, ..] = columns else {
            return internal_err!("a first or last value has a value and two columns of its order");
        };
        let (Some(values), Some(order)) = (
            values.as_primitive_opt::<T>(),
            order.as_primitive_opt::<Int64Type>(),
        ) else {
            return internal_err!("the columns of a first or last value changed their types");
        };
        let places = match by.data_type() {
            DataType::Int64 => by.as_primitive::<Int64Type>().values(),
            _ => match by.as_primitive_opt::<TimestampNanosecondType>() {
                Some(by) => by.values(),
                None => {
                    return internal_err!("the order of a first or last value changed its type");
                }
            },
        };
        Ok(Columns {
            values,
            by: Places {
                values: places,
                nulls: by.nulls(),
            },
            order: order.values(),
        })
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Ends<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let columns = Columns::of(values)?;
        match filter {
            Some(filter) => self.add(columns, groups, |row| {
                filter.is_valid(row) && filter.value(row)
            }),
            None => self.add(columns, groups, |_| true),
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let rows = emit_to.take_needed(&mut self.rows);
        Ok(self.values(&rows))
    }

    /// The values, their places, and whether there is one.
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let rows = emit_to.take_needed(&mut self.rows);
        let by: Int64Array = rows
            .iter()
            .map(|row| (!row.by_null).then_some(row.by))
            .collect();
        let order = Int64Array::from_iter_values(rows.iter().map(|row| row.order));
        let some: BooleanBuffer = rows.iter().map(|row| !row.is_none).collect();
        Ok(vec![
            self.values(&rows),
            Arc::new(by),
            Arc::new(order),
            Arc::new(BooleanArray::new(some, None)),
        ])
    }

    fn merge_batch(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let [.., some] = state else {
            return internal_err!("the state of a first or last value is empty");
        };
        let some = some.as_boolean();
        self.add(Columns::of(state)?, groups, |row| some.value(row));
        Ok(())
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        not_impl_err!("rows are not turned into states of a table that keeps none")
    }

    fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row<T::Native>>()
    }
}

impl<T: ArrowPrimitiveType> fmt::Debug for Ends<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("end", &self.end).finish()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, TimestampNanosecondArray};
    use proptest::prelude::*;

    use super::*;

    /// Group, place in the order, value, and whether a filter lets it through.
    type Tick = (usize, Option<i64>, Option<f64>, bool);

    fn ticks() -> impl Strategy<Value = Vec<Tick>> {
        let by = prop::option::weighted(0.9, -3_i64..3);
        let value = prop::option::weighted(0.8, -9.0..9.0_f64);
        prop::collection::vec((0..4_usize, by, value, any::<bool>()), 0..60)
    }

    fn add(ends: &mut Ends<Float64Type>, ticks: &[Tick], from: i64, filtered: bool) {
        let groups: Vec<usize> = ticks.iter().map(|tick| tick.0).collect();
        let by: TimestampNanosecondArray = ticks.iter().map(|tick| tick.1).collect();
        let values: Float64Array = ticks.iter().map(|tick| tick.2).collect();
        let order = Int64Array::from_iter_values(from..from + ticks.len() as i64);
        let filter: BooleanArray = ticks.iter().map(|tick| Some(tick.3)).collect();
        let columns: [ArrayRef; 3] = [Arc::new(values), Arc::new(by), Arc::new(order)];
        let filter = filtered.then_some(&filter);
        ends.update_batch(&columns, &groups, filter, 4).unwrap();
    }

    /// By sorting: nulls last, then the order of arrival.
    fn sorted(end: End, ticks: &[Tick], filtered: bool) -> Vec<Option<f64>> {
        let of = |group| {
            let mut rows: Vec<(bool, i64, usize)> = (ticks.iter().enumerate())
                .filter(|(_, tick)| tick.0 == group && (tick.3 || !filtered))
                .map(|(at, tick)| (tick.1.is_none(), tick.1.unwrap_or(0), at))
                .collect();
            rows.sort();
            let row = match end {
                End::First => rows.first(),
                End::Last => rows.last(),
            };
            row.and_then(|(_, _, at)| ticks[*at].2)
        };
        (0..4).map(of).collect()
    }

    proptest! {
        #[test]
        fn they_are_what_sorting_gives_however_cut_and_merged(
            ticks in ticks(),
            cut in 0..60_usize,
            filtered in any::<bool>(),
        ) {
            let cut = cut.min(ticks.len());
            for end in [End::First, End::Last] {
                let ends = || Ends::<Float64Type>::new(end, DataType::Float64);
                let (mut whole, mut head, mut tail) = (ends(), ends(), ends());
                add(&mut whole, &ticks[..cut], 0, filtered);
                add(&mut whole, &ticks[cut..], cut as i64, filtered);
                add(&mut head, &ticks[..cut], 0, filtered);
                add(&mut tail, &ticks[cut..], cut as i64, filtered);
                let state = tail.state(EmitTo::All).unwrap();
                head.merge_batch(&state, &[0, 1, 2, 3], 4).unwrap();
                let expected = sorted(end, &ticks, filtered);
                for mut ends in [whole, head] {
                    let values = ends.evaluate(EmitTo::All).unwrap();
                    let values: Vec<_> = values.as_primitive::<Float64Type>().iter().collect();
                    prop_assert_eq!(&values, &expected);
                }
            }
        }
    }
}
