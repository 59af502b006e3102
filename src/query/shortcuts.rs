//! Expressions that are run for every frame or tick, in a shorter form that means the same.
//!
//! - A field of an element of a list, `data[1]['t']`: DataFusion copies the element with all of its fields, of
//!   which one is then taken. Here only that field is.
//! - A time and an interval without months: DataFusion goes by the calendar; nanoseconds are enough.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, RecordBatch};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::windowing::interval_nanos;

/// An expression over columns of `schema` as it is run, in its shorter form.
pub fn physical_expr(
    state: &SessionState,
    expr: &Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = state.create_physical_expr(expr.clone(), schema)?;
    let shortened = expr.transform_up(|expr| {
        Ok(match shorter(&expr, schema.as_arrow())? {
            Some(shorter) => Transformed::yes(shorter),
            None => Transformed::no(expr),
        })
    });
    Ok(shortened?.data)
}

fn shorter(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return ElementField::of(function, schema);
    }
    match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => moved_time(binary, schema),
        None => Ok(None),
    }
}

/// `time ± interval` as `time ± duration`.
fn moved_time(binary: &BinaryExpr, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if !matches!(binary.op(), Operator::Plus | Operator::Minus) {
        return Ok(None);
    }
    let Some(ScalarValue::IntervalMonthDayNano(Some(interval))) = literal(binary.right()) else {
        return Ok(None);
    };
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let interval = ScalarValue::IntervalMonthDayNano(Some(*interval));
    match interval_nanos(&interval) {
        Ok(nanos) if binary.left().data_type(schema)? == time => {
            let duration = Literal::new(ScalarValue::DurationNanosecond(Some(nanos)));
            let left = Arc::clone(binary.left());
            let moved = BinaryExpr::new(left, *binary.op(), Arc::new(duration));
            Ok(Some(Arc::new(moved)))
        }
        _ => Ok(None),
    }
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

/// `list[place]['name']…`.
#[derive(Debug, Eq)]
struct ElementField {
    list: Arc<dyn PhysicalExpr>,
    /// From 1.
    place: i32,
    /// Names of fields, the outermost first.
    path: Vec<String>,
    data_type: DataType,
}

impl ElementField {
    fn of(function: &ScalarFunctionExpr, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let [element, path @ ..] = function.args() else {
            return Ok(None);
        };
        let Some(element) = element
            .downcast_ref::<ScalarFunctionExpr>()
            .filter(|element| {
                function.fun().name() == "get_field" && element.fun().name() == "array_element"
            })
        else {
            return Ok(None);
        };
        let [list, place] = element.args() else {
            return Ok(None);
        };
        let names = path.iter().map(|name| match literal(name) {
            Some(
                ScalarValue::Utf8(name)
                | ScalarValue::Utf8View(name)
                | ScalarValue::LargeUtf8(name),
            ) => name.clone(),
            _ => None,
        });
        let place = match literal(place) {
            Some(ScalarValue::Int64(Some(place))) => i32::try_from(*place).ok(),
            _ => None,
        };
        // From the end, by a negative place, is left to DataFusion.
        let place = place.filter(|&place| place > 0);
        let is_list = matches!(list.data_type(schema)?, DataType::List(_));
        let (Some(path), Some(place), true) = (names.collect::<Option<_>>(), place, is_list) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(ElementField {
            list: Arc::clone(list),
            place,
            path,
            data_type: function.return_type().clone(),
        })))
    }

    /// A field of an element that is null is what stands there, as for DataFusion.
    fn take(&self, list: &ListArray) -> Result<ArrayRef> {
        let mut values = Arc::clone(list.values());
        for name in &self.path {
            let Some(fields) = values.as_struct_opt() else {
                return internal_err!("a field of {}", values.data_type());
            };
            match fields.column_by_name(name) {
                Some(field) => values = Arc::clone(field),
                None => return internal_err!("no field {name}"),
            }
        }
        let ends = list.value_offsets();
        let element = |row: usize| {
            let at = ends[row].checked_add(self.place - 1)?;
            (at < ends[row + 1] && list.is_valid(row)).then_some(at)
        };
        let elements: Int32Array = (0..list.len()).map(element).collect();
        Ok(take(&values, &elements, None)?)
    }
}

impl PartialEq for ElementField {
    fn eq(&self, other: &ElementField) -> bool {
        self.list.eq(&other.list) && self.place == other.place && self.path == other.path
    }
}

impl Hash for ElementField {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.list.hash(state);
        self.place.hash(state);
        self.path.hash(state);
    }
}

impl fmt::Display for ElementField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.place)?;
        self.path
            .iter()
            .try_for_each(|name| write!(f, "['{name}']"))
    }
}

impl PhysicalExpr for ElementField {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let list = self.list.evaluate(batch)?.into_array(batch.num_rows())?;
        match list.as_list_opt::<i32>() {
            Some(list) => Ok(ColumnarValue::Array(self.take(list)?)),
            None => internal_err!("an element of {}", list.data_type()),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.list]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(ElementField {
            list: Arc::clone(&children[0]),
            place: self.place,
            path: self.path.clone(),
            data_type: self.data_type.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int64Array, StringViewArray, StructArray, TimestampNanosecondArray,
    };
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::{Field, Fields};
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;
    use crate::query::session::session;

    /// Lists of structs with everything that a list can have: nulls, none, elements that are null, bytes
    /// before the first of them.
    fn rows() -> RecordBatch {
        let inner = StructArray::from(vec![(
            Arc::new(Field::new("n", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![
                Some(1),
                None,
                Some(3),
                Some(4),
                Some(5),
                Some(6),
            ])) as ArrayRef,
        )]);
        let fields = Fields::from(vec![
            Field::new("p", DataType::Float64, true),
            Field::new("s", DataType::Utf8View, true),
            Field::new("in", inner.data_type().clone(), true),
        ]);
        let structs = StructArray::new(
            fields,
            vec![
                Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, 3.5, 4.5, 5.5])),
                Arc::new(StringViewArray::from(vec![
                    Some("a"),
                    None,
                    Some("a longer text"),
                    Some("d"),
                    Some("e"),
                    Some("f"),
                ])),
                Arc::new(inner),
            ],
            Some(NullBuffer::from(vec![true, true, true, false, true, true])),
        );
        let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
        let lists = ListArray::new(
            item,
            OffsetBuffer::new(vec![1, 3, 3, 4, 5, 6].into()),
            Arc::new(structs),
            Some(NullBuffer::from(vec![true, true, true, false, true])),
        );
        let times = TimestampNanosecondArray::from(vec![Some(0), None, Some(-1), Some(5), Some(7)]);
        RecordBatch::try_from_iter([
            ("data", Arc::new(lists) as ArrayRef),
            ("time", Arc::new(times)),
        ])
        .unwrap()
    }

    /// The expression by DataFusion's own form and by ours, over whole and sliced batches.
    fn check(sql: &str, is_shorter: bool) {
        let state = session();
        let rows = rows();
        let schema = DFSchema::try_from(rows.schema()).unwrap();
        let parsed = Parser::new(&GenericDialect)
            .try_with_sql(sql)
            .unwrap()
            .parse_expr_with_alias();
        let expr = state
            .create_logical_expr_from_sql_expr(parsed.unwrap(), &schema)
            .unwrap();
        let long = state.create_physical_expr(expr.clone(), &schema).unwrap();
        let short = physical_expr(&state, &expr, &schema).unwrap();
        assert_eq!(long.to_string() != short.to_string(), is_shorter, "{short}");
        assert_eq!(
            short.data_type(&rows.schema()).unwrap(),
            long.data_type(&rows.schema()).unwrap()
        );
        for from in 0..rows.num_rows() {
            let rows = rows.slice(from, rows.num_rows() - from);
            let [short, long] = [&short, &long].map(|expr| {
                let value = expr.evaluate(&rows).unwrap();
                value.into_array(rows.num_rows()).unwrap()
            });
            assert_eq!(&short, &long, "{sql} from row {from}");
        }
    }

    #[test]
    fn the_shorter_form_means_the_same() {
        check("data[1]['p']", true);
        check("data[2]['s']", true);
        check("data[1]['in']['n'] + 1", true);
        check("data[3]['in']", true);
        check(
            "CASE WHEN data[1]['p'] IS NOT NULL THEN data[1]['s'] ELSE 'none' END",
            true,
        );
        check("data[-1]['p']", false);
        check("data[1]", false);
        check("time - INTERVAL '1 minute'", true);
        check("time + INTERVAL '2 days 3 milliseconds'", true);
        check("time + INTERVAL '1 month'", false);
    }
}
