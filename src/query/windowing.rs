//! `tumble(width)` and `hop(slide, width)`: the group key that says which windows a row is in.
//!
//! They have no column argument: they are over the hidden `_timestamp`. The planner takes them out of
//! the group keys before anything runs, so each is a name with a type and is never called. `session` is
//! known so that it can be refused as what it is.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::stream::timestamp_type;
use crate::model::Window;
use crate::window::Windows;

/// `tumble(width)`, `hop(slide, width)`, `session(gap)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Windows side by side.
    Tumble,
    /// Windows that overlap.
    Hop,
    /// Windows that end when nothing comes; not run here.
    Session,
}

impl WindowKind {
    /// All of them.
    pub const ALL: [WindowKind; 3] = [WindowKind::Tumble, WindowKind::Hop, WindowKind::Session];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            WindowKind::Tumble => "tumble",
            WindowKind::Hop => "hop",
            WindowKind::Session => "session",
        }
    }

    /// The kind of a function's name.
    pub fn named(name: &str) -> Option<WindowKind> {
        WindowKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A window function of the dialect, for a session's registry.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowFunction {
    kind: WindowKind,
    signature: Signature,
}

impl WindowFunction {
    /// The function of a kind.
    pub fn new(kind: WindowKind) -> WindowFunction {
        WindowFunction {
            kind,
            // Volatile, so that no rule folds or moves it before the planner has seen it.
            signature: Signature::variadic_any(Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("{}() is only understood as a group key", self.kind.name())
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

/// The windows of a group key; `None` for another expression. `Some(Err)` says what is wrong with it.
pub fn windows_of(expr: &Expr) -> Option<Result<Windows, String>> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else {
        return None;
    };
    let kind = WindowKind::named(call.func.name())?;
    let intervals: Option<Vec<Result<i64, String>>> = call
        .args
        .iter()
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(interval_nanos(value)),
            _ => None,
        })
        .collect();
    let intervals = intervals.map(|all| all.into_iter().collect::<Result<Vec<i64>, String>>());
    Some(match (kind, intervals) {
        (WindowKind::Session, _) => {
            Err("the local engine does not run session() windows".to_string())
        }
        (_, Some(Err(message))) => Err(message),
        (WindowKind::Tumble, Some(Ok(intervals))) if intervals.len() == 1 => {
            Windows::tumble(intervals[0]).ok_or_else(|| "the width must be positive".to_string())
        }
        (WindowKind::Hop, Some(Ok(intervals))) if intervals.len() == 2 => {
            hop(intervals[0], intervals[1])
        }
        (WindowKind::Tumble, _) => Err(
            "tumble() takes one constant, such as interval '1 minute'; it is over _timestamp, so select another time AS _timestamp"
                .to_string(),
        ),
        (WindowKind::Hop, _) => Err(
            "hop() takes two constants, slide and width, such as hop(interval '1 minute', interval '15 minutes'); it is over _timestamp, so select another time AS _timestamp"
                .to_string(),
        ),
    })
}

/// A row is in at most so many windows; each costs an update.
const MOST_OVERLAP: i64 = 1_000;

fn hop(slide: i64, width: i64) -> Result<Windows, String> {
    if slide > width {
        return Err(
            "hop()'s first argument is the slide, the second the width, which is larger"
                .to_string(),
        );
    }
    let windows = Windows::hop(slide, width)
        .ok_or_else(|| "hop()'s width must be a multiple of its slide".to_string())?;
    match windows.overlap() {
        ..=MOST_OVERLAP => Ok(windows),
        overlap => Err(format!(
            "every row would be in {overlap} windows; hop()'s width is at most {MOST_OVERLAP} times its slide"
        )),
    }
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
