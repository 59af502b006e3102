//! The rows of open windows as JSON.

use arrow::array::RecordBatch;
use arrow::json::ArrayWriter;
use arrow::json::writer::WriterBuilder;
use serde_json::{Value, json};

use super::progress::instant;
use crate::job::open::{OpenOutput, Shown};

/// `{"outputs":[{"name":…,"watermark":…,"rows":[…]}]}`. `output` and `newest` leave out the others.
pub fn shown(shown: &Shown, output: Option<&str>, newest: Option<usize>) -> Value {
    let outputs = shown
        .outputs
        .iter()
        .filter(|one| output.is_none_or(|wanted| wanted == one.table));
    let outputs: Vec<Value> = outputs
        .map(|output| {
            json!({
                "name": output.table,
                "watermark": instant(shown.watermark),
                "rows": rows(output, newest),
            })
        })
        .collect();
    json!({ "outputs": outputs })
}

fn rows(output: &OpenOutput, newest: Option<usize>) -> Value {
    let skipped = newest.map_or(0, |newest| output.rows.len().saturating_sub(newest));
    let batches: Vec<&RecordBatch> = output.rows[skipped..].iter().collect();
    written(&batches).unwrap_or_else(|| json!([]))
}

/// `None`: a column is of a type that JSON is not written of.
fn written(batches: &[&RecordBatch]) -> Option<Value> {
    let builder = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.fZ".to_owned());
    let mut writer: ArrayWriter<Vec<u8>> = builder.build(Vec::new());
    writer.write_batches(batches).ok()?;
    writer.finish().ok()?;
    let text = writer.into_inner();
    match text.is_empty() {
        true => Some(json!([])),
        false => serde_json::from_slice(&text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use arrow::array::{Float64Array, StringArray, TimestampNanosecondArray};

    use super::*;
    use crate::model::Watermark;

    #[test]
    fn rows_are_as_a_sink_would_write_them() {
        let batch = |symbol: &str, at: i64| {
            RecordBatch::try_from_iter([
                ("symbol", Arc::new(StringArray::from(vec![symbol])) as _),
                (
                    "window_start",
                    Arc::new(TimestampNanosecondArray::from(vec![at])) as _,
                ),
                ("close", Arc::new(Float64Array::from(vec![None])) as _),
            ])
            .unwrap()
        };
        let output = OpenOutput {
            table: "ohlc".to_owned(),
            rows: vec![batch("A", 0), batch("B", 1_500_000_000)],
        };
        let all = Shown {
            at: Instant::now(),
            watermark: Watermark(2_000_000_000),
            outputs: vec![output],
        };
        let json = shown(&all, Some("ohlc"), Some(1));
        assert_eq!(
            json.to_string(),
            r#"{"outputs":[{"name":"ohlc","rows":[{"close":null,"symbol":"B","window_start":"1970-01-01T00:00:01.500Z"}],"watermark":"1970-01-01T00:00:02.000Z"}]}"#
        );
        let rows = shown(&all, None, None)["outputs"][0]["rows"].clone();
        assert_eq!(rows.as_array().unwrap().len(), 2);
        assert_eq!(shown(&all, Some("x"), None)["outputs"], json!([]));
    }
}
