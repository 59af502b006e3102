//! A table's rows as messages. A staged line is `{"k":"AAPL","t":1569888059999,"v":{…}}`: key, timestamp in
//! milliseconds, and the message as it is sent, byte for byte.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sink::json_lines::JsonLines;
use crate::sink::{RowTimes, SinkError, SinkRows};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Writes rows as lines.
#[derive(Debug)]
pub(super) struct RowLines {
    lines: JsonLines,
    /// The column that is the key, as text.
    key: Option<usize>,
    /// The column that is the timestamp; `None`: the row's event time.
    time: Option<usize>,
}

/// A line.
#[derive(Deserialize)]
pub(super) struct Row<'a> {
    /// The key.
    #[serde(borrow)]
    pub k: Option<Cow<'a, str>>,
    /// Milliseconds since 1970 UTC.
    pub t: Option<i64>,
    /// The message.
    #[serde(borrow)]
    pub v: &'a RawValue,
}

impl RowLines {
    /// Of rows of `schema`.
    pub(super) fn new(
        schema: &SchemaRef,
        [unix_millis, decimals_as_text]: [bool; 2],
        [key, time]: [Option<usize>; 2],
    ) -> Result<RowLines, SinkError> {
        Ok(RowLines {
            lines: JsonLines::new(Arc::clone(schema), unix_millis, decimals_as_text)?,
            key,
            time,
        })
    }

    /// Writes the rows at the end of `text`, a line each.
    pub(super) fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError> {
        let keys = self.keys(rows)?;
        let times = self.times(rows)?;
        let mut messages = Vec::new();
        self.lines
            .write(rows.rows.columns().to_vec(), &mut messages)?;
        let messages = messages.split(|byte| *byte == b'\n');
        for (row, message) in messages.take(rows.rows.num_rows()).enumerate() {
            text.push(b'{');
            if let Some(keys) = keys.as_ref().filter(|keys| keys.is_valid(row)) {
                text.extend(b"\"k\":");
                serde_json::to_writer(&mut *text, keys.value(row))
                    .expect("writing to memory does not fail");
                text.push(b',');
            }
            // Kafka has no time before 1970: such a row is sent as of now.
            if let Some(time) = times[row].filter(|time| *time >= 0) {
                text.extend(format!("\"t\":{time},").bytes());
            }
            text.extend(b"\"v\":");
            text.extend(message);
            text.extend(b"}\n");
        }
        Ok(())
    }

    fn keys(&self, rows: &SinkRows) -> Result<Option<StringArray>, SinkError> {
        let Some(key) = self.key else {
            return Ok(None);
        };
        let keys = cast(rows.rows.column(key), &DataType::Utf8).map_err(unfit)?;
        Ok(Some(keys.as_string::<i32>().clone()))
    }

    fn times(&self, rows: &SinkRows) -> Result<Vec<Option<i64>>, SinkError> {
        if let Some(time) = self.time {
            let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
            let times: ArrayRef = cast(rows.rows.column(time), &millis).map_err(unfit)?;
            return Ok(times
                .as_primitive::<TimestampMillisecondType>()
                .iter()
                .collect());
        }
        let millis = |nanos: i64| nanos.div_euclid(NANOS_PER_MILLI);
        Ok(match &rows.times {
            RowTimes::One(time) => vec![Some(millis(*time)); rows.rows.num_rows()],
            RowTimes::Each(times) => times.iter().map(|time| time.map(millis)).collect(),
        })
    }
}

fn unfit(error: arrow::error::ArrowError) -> SinkError {
    SinkError::Options(format!("a message's key or timestamp: {error}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray};
    use expect_test::expect;

    use super::*;

    fn rows() -> SinkRows {
        let columns: [(&str, ArrayRef); 3] = [
            (
                "symbol",
                Arc::new(StringViewArray::from(vec![Some("A\"\u{20ac}"), None])),
            ),
            ("trades", Arc::new(Int64Array::from(vec![3, -4]))),
            (
                "start",
                Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None])),
            ),
        ];
        SinkRows {
            times: RowTimes::Each(TimestampNanosecondArray::from(vec![Some(1_999_999), None])),
            rows: RecordBatch::try_from_iter(columns).unwrap(),
        }
    }

    fn lines(key: Option<usize>, time: Option<usize>) -> String {
        let rows = rows();
        let lines = RowLines::new(&rows.rows.schema(), [false, false], [key, time]).unwrap();
        let mut text = Vec::new();
        lines.encode(&rows, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_has_key_time_and_the_message_as_it_is_sent() {
        expect![[r#"
            {"k":"A\"€","t":1,"v":{"symbol":"A\"€","trades":3,"start":"1969-12-31T23:59:59.999999999"}}
            {"v":{"symbol":null,"trades":-4,"start":null}}
        "#]]
        .assert_eq(&lines(Some(0), None));
        let text = lines(Some(1), Some(2));
        let rows: Vec<Row> = (text.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows[0].k.as_deref(), Some("3"));
        assert_eq!(rows[1].k.as_deref(), Some("-4"));
        assert_eq!(rows[1].t, None);
        assert_eq!(
            rows[1].v.get(),
            r#"{"symbol":null,"trades":-4,"start":null}"#
        );
        assert!(lines(None, None).starts_with(r#"{"t":1,"v":{"#));
    }
}
