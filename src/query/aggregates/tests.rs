//! Tables of one window: one, several, and several whose keys are apart.

use arrow::array::{Float64Array, StringViewArray};
use arrow::datatypes::{Field, Float64Type};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{ExprFunctionExt, col, lit};

use super::*;

type Row = (&'static str, Option<f64>);

fn aggregates() -> Aggregates {
    let input = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8View, true),
        Field::new("value", DataType::Float64, true),
    ]));
    let large = sum(col("value")).filter(col("value").gt(lit(10.0)));
    let functions = [
        sum(col("value")),
        large.build().unwrap(),
        count(col("value")),
    ];
    Aggregates::new(input, 1, &functions).unwrap()
}

fn table(plan: &Aggregates, batches: &[&[Row]]) -> Table {
    let mut table = plan.table().unwrap();
    for rows in batches {
        let keys: StringViewArray = rows.iter().map(|row| Some(row.0)).collect();
        let values: Float64Array = rows.iter().map(|row| row.1).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
        let batch = RecordBatch::try_new(Arc::clone(&plan.input), columns).unwrap();
        table.update(plan, &batch, &mut Vec::new()).unwrap();
    }
    table
}

/// Key, sum, sum of those above 10.
fn result(plan: &Aggregates, tables: Vec<Table>) -> Vec<(String, Option<f64>, Option<f64>)> {
    let rows = plan.finish(tables).unwrap();
    let keys = rows.column(0).as_string_view();
    let sums = rows.column(1).as_primitive::<Float64Type>();
    let large = rows.column(2).as_primitive::<Float64Type>();
    let sums = sums.iter().zip(large.iter());
    let rows = keys.iter().zip(sums);
    rows.map(|(key, (sum, large))| (key.unwrap().to_owned(), sum, large))
        .collect()
}

#[test]
fn a_sum_of_nothing_is_null_in_one_table_in_several_and_where_keys_are_apart() {
    let plan = aggregates();
    let a: &[Row] = &[("a", Some(1.0)), ("b", None), ("a", Some(20.0))];
    let b: &[Row] = &[("b", None), ("c", Some(2.0))];
    let only_b: &[Row] = &[("b", None)];
    let expected = |rows: &[(&str, Option<f64>, Option<f64>)]| {
        let rows = rows.iter();
        rows.map(|&(key, sum, large)| (key.to_owned(), sum, large))
            .collect::<Vec<_>>()
    };
    let all = expected(&[
        ("a", Some(21.0), Some(20.0)),
        ("b", None, None),
        ("c", Some(2.0), None),
    ]);
    assert_eq!(result(&plan, vec![table(&plan, &[a, b])]), all);
    assert_eq!(
        result(&plan, vec![table(&plan, &[a]), table(&plan, &[b])]),
        all
    );
    let (large, small) = (&a[..1], only_b);
    let several = vec![
        table(&plan, &[large]),
        table(&plan, &[large]),
        table(&plan, &[small]),
    ];
    assert_eq!(
        result(&plan, several),
        expected(&[("a", Some(2.0), None), ("b", None, None)])
    );
    let just_a: &[Row] = &[("a", Some(21.0))];
    let apart = vec![table(&plan, &[just_a]), table(&plan, &[only_b])];
    assert_eq!(
        result(&plan, apart),
        expected(&[("a", Some(21.0), Some(21.0)), ("b", None, None)])
    );
}
