//! Aggregates that DataFusion holds as one object a group: their rows are collected and handed on so many at a
//! time, since each call costs, and since a sketch depends on where its rows were cut.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{concat, filter as keep};
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// Rows that are handed on together, counted from the table's first: so a sketch is the same whatever the
/// micro-batches were.
const ROWS: usize = 4096;

/// An accumulator, and the rows that it has not seen yet.
pub struct Collected {
    held: Box<dyn GroupsAccumulator>,
    /// Arguments of the rows that wait, in pieces.
    pieces: Vec<Vec<ArrayRef>>,
    /// Their groups; never as many as [`ROWS`] after an update.
    groups: Vec<usize>,
    /// Groups in all.
    total: usize,
}

impl Collected {
    /// Around an accumulator that has seen nothing.
    pub fn new(held: Box<dyn GroupsAccumulator>) -> Collected {
        Collected {
            held,
            pieces: Vec::new(),
            groups: Vec::new(),
            total: 0,
        }
    }

    /// The rows that wait are handed on, all of them.
    fn hand_on(&mut self) -> Result<()> {
        let Some(columns) = self.pieces.first().map(Vec::len) else {
            return Ok(());
        };
        let columns = (0..columns)
            .map(|column| {
                let pieces: Vec<&dyn Array> =
                    self.pieces.iter().map(|piece| &*piece[column]).collect();
                Ok(concat(&pieces)?)
            })
            .collect::<Result<Vec<_>>>()?;
        self.pieces.clear();
        self.held
            .update_batch(&columns, &self.groups, None, self.total)?;
        self.groups.clear();
        Ok(())
    }
}

impl GroupsAccumulator for Collected {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.total = self.total.max(total);
        let (values, groups) = match filter {
            Some(filter) => (
                values
                    .iter()
                    .map(|values| Ok(keep(values, filter)?))
                    .collect::<Result<Vec<_>>>()?,
                Cow::Owned(kept(groups, filter)),
            ),
            None => (values.to_vec(), Cow::Borrowed(groups)),
        };
        let mut from = 0;
        // Also without rows, since its groups are to have accumulators.
        loop {
            let rows = (groups.len() - from).min(ROWS - self.groups.len());
            let piece = values.iter().map(|values| own(&values.slice(from, rows)));
            self.pieces.push(piece.collect());
            self.groups.extend_from_slice(&groups[from..from + rows]);
            from += rows;
            if self.groups.len() < ROWS {
                return Ok(());
            }
            self.hand_on()?;
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.hand_on()?;
        self.held.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.hand_on()?;
        self.held.state(emit_to)
    }

    fn merge_batch(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.hand_on()?;
        self.total = self.total.max(total);
        self.held.merge_batch(state, groups, total)
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        not_impl_err!("rows are not turned into states of a table that keeps none")
    }

    fn size(&self) -> usize {
        let pieces = self.pieces.iter().flatten();
        self.held.size()
            + pieces
                .map(|piece| piece.get_array_memory_size())
                .sum::<usize>()
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.groups.len();
        f.debug_struct("Collected").field("rows", &rows).finish()
    }
}

fn kept(groups: &[usize], filter: &BooleanArray) -> Vec<usize> {
    let rows = groups.iter().zip(filter);
    rows.filter(|(_, keep)| *keep == Some(true))
        .map(|(group, _)| *group)
        .collect()
}

/// Values without the frames that texts are seen in, which would stay as long as they do.
fn own(values: &ArrayRef) -> ArrayRef {
    match values.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()),
        None => Arc::clone(values),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::{AsArray, Float64Array};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::*;

    /// Says which calls there were: the sum of a group's values, each times the number of the call.
    #[derive(Default)]
    struct Calls {
        calls: Vec<usize>,
        totals: usize,
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Calls>>);

    impl GroupsAccumulator for Shared {
        fn update_batch(
            &mut self,
            values: &[ArrayRef],
            groups: &[usize],
            filter: Option<&BooleanArray>,
            total: usize,
        ) -> Result<()> {
            assert!(filter.is_none());
            assert_eq!(values[0].len(), groups.len());
            let of = values[0].as_primitive::<Float64Type>();
            let same = |(value, group): (&f64, &usize)| *value as usize % 7 == *group;
            assert!(of.values().iter().zip(groups).all(same));
            let mut calls = self.0.lock().unwrap();
            calls.calls.push(groups.len());
            calls.totals = total;
            Ok(())
        }

        fn evaluate(&mut self, _: EmitTo) -> Result<ArrayRef> {
            Ok(Arc::new(arrow::array::Int64Array::from(vec![1])))
        }

        fn state(&mut self, _: EmitTo) -> Result<Vec<ArrayRef>> {
            unreachable!()
        }

        fn merge_batch(&mut self, _: &[ArrayRef], _: &[usize], _: usize) -> Result<()> {
            unreachable!()
        }

        fn convert_to_state(
            &self,
            _: &[ArrayRef],
            _: Option<&BooleanArray>,
        ) -> Result<Vec<ArrayRef>> {
            unreachable!()
        }

        fn size(&self) -> usize {
            0
        }
    }

    fn calls(cuts: &[usize], every_third: bool) -> (Vec<usize>, usize) {
        let calls = Shared::default();
        let mut collected = Collected::new(Box::new(calls.clone()));
        let mut at = 0;
        for &rows in cuts {
            let values: Vec<f64> = (at..at + rows).map(|value| value as f64).collect();
            let groups: Vec<usize> = (at..at + rows).map(|value| value % 7).collect();
            let filter: BooleanArray = (at..at + rows).map(|row| Some(row % 3 == 0)).collect();
            let filter = every_third.then_some(&filter);
            let values: ArrayRef = Arc::new(Float64Array::from(values));
            collected
                .update_batch(&[values], &groups, filter, 7)
                .unwrap();
            at += rows;
        }
        let result = collected.evaluate(EmitTo::All).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().value(0), 1);
        let calls = calls.0.lock().unwrap();
        (calls.calls.clone(), calls.totals)
    }

    #[test]
    fn rows_are_cut_in_the_same_places_whatever_the_batches() {
        let one = calls(&[10_000], false);
        assert_eq!(one, (vec![4096, 4096, 1808], 7));
        assert_eq!(calls(&[1; 10_000], false), one);
        assert_eq!(
            calls(&[4096, 0, 4096, 1808], false).0.iter().sum::<usize>(),
            10_000
        );
        assert_eq!(calls(&[3, 4095, 5902], false), one);
        let filtered = calls(&[20_000], true);
        assert_eq!(filtered, (vec![4096, 2571], 7));
        assert_eq!(calls(&[1, 2, 14_997, 5_000], true), filtered);
    }

    #[test]
    fn a_group_whose_rows_are_all_filtered_out_has_its_accumulator() {
        let calls = Shared::default();
        let mut collected = Collected::new(Box::new(calls.clone()));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0]));
        let none = BooleanArray::from(vec![Some(false), None]);
        collected
            .update_batch(&[values], &[0, 1], Some(&none), 2)
            .unwrap();
        collected.evaluate(EmitTo::All).unwrap();
        assert_eq!(calls.0.lock().unwrap().calls, [0]);
        assert_eq!(calls.0.lock().unwrap().totals, 2);
    }
}
