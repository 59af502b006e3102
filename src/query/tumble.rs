//! `tumble(interval '1 minute')`: the group key that says which window a row is in.
//!
//! It has no column argument: it is over the hidden `_timestamp`. The planner takes it out of the
//! group keys before anything runs, so it is a name with a type and is never called.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::stream::timestamp_type;
use crate::model::Window;

/// The function's name.
pub const TUMBLE: &str = "tumble";

/// `tumble(width)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Tumble {
    signature: Signature,
}

impl Tumble {
    /// The function, for a session's registry.
    pub fn new() -> Tumble {
        Tumble {
            // Volatile, so that no rule folds or moves it before the planner has seen it.
            signature: Signature::any(1, Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &str {
        TUMBLE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("tumble() is only understood as a group key")
    }
}

fn window_fields() -> Fields {
    Fields::from(vec![
        Field::new("start", timestamp_type(), true),
        Field::new("end", timestamp_type(), true),
    ])
}

/// Arroyo's window type: a struct of `start` and `end`.
pub fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

/// The window as a column of `rows` equal values.
pub fn window_column(window: Window, rows: usize) -> ArrayRef {
    let bound = |at| Arc::new(TimestampNanosecondArray::from_value(at, rows)) as ArrayRef;
    Arc::new(StructArray::new(
        window_fields(),
        vec![bound(window.start), bound(window.end)],
        None,
    ))
}

/// The width in nanoseconds of `tumble(interval '…')`; `None` for another expression.
/// `Some(Err)` says what is wrong with the argument.
pub fn tumble_width(expr: &Expr) -> Option<Result<i64, String>> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else {
        return None;
    };
    if call.func.name() != TUMBLE {
        return None;
    }
    Some(match call.args.as_slice() {
        [Expr::Literal(value, _)] => interval_nanos(value),
        _ => Err("tumble() takes one constant, such as interval '1 minute'".to_string()),
    })
}

/// A constant interval in nanoseconds. Months have no fixed length, so they are refused.
pub fn interval_nanos(value: &ScalarValue) -> Result<i64, String> {
    const DAY: i64 = 86_400 * crate::model::NANOS_PER_SECOND;
    let nanos = match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => i64::from(i.days)
            .checked_mul(DAY)
            .and_then(|d| d.checked_add(i.nanoseconds)),
        ScalarValue::IntervalDayTime(Some(i)) => i64::from(i.days)
            .checked_mul(DAY)
            .and_then(|d| d.checked_add(i64::from(i.milliseconds) * crate::model::NANOS_PER_MILLI)),
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            return Err(
                "months and years have no fixed length; give days, hours, minutes or seconds"
                    .to_string(),
            );
        }
        other => return Err(format!("expected an interval, found {}", other.data_type())),
    };
    match nanos {
        Some(nanos) if nanos > 0 => Ok(nanos),
        _ => Err("the interval must be positive and below 292 years".to_string()),
    }
}
