//! Batches of rows → the bytes of JSON, NDJSON, CSV, Arrow or a table.

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::{ArrayWriter, LineDelimitedWriter, WriterBuilder};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;

use crate::config::stockpulse::ReadFormat;

/// RFC 3339; a stored timestamp without a zone is UTC.
const UTC_FORM: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Turns batches into bytes, a batch at a time; a table only at the end, for its columns are as wide as
/// their widest value.
pub struct Encoder {
    schema: SchemaRef,
    form: Form,
}

enum Form {
    Json(ArrayWriter<Vec<u8>>),
    Ndjson(LineDelimitedWriter<Vec<u8>>),
    Csv { has_begun: bool },
    Arrow(StreamWriter<Vec<u8>>),
    Table { batches: Vec<RecordBatch> },
}

impl Encoder {
    /// An encoder of batches of these columns.
    ///
    /// # Errors
    /// A column of a type that the form cannot express.
    pub fn new(format: ReadFormat, schema: SchemaRef) -> Result<Encoder, ArrowError> {
        let json = || {
            WriterBuilder::new()
                .with_explicit_nulls(true)
                .with_timestamp_format(UTC_FORM.to_string())
        };
        let form = match format {
            ReadFormat::Json => Form::Json(json().build(Vec::new())),
            ReadFormat::Ndjson => Form::Ndjson(json().build(Vec::new())),
            ReadFormat::Csv => Form::Csv { has_begun: false },
            ReadFormat::Arrow => Form::Arrow(StreamWriter::try_new(Vec::new(), &schema)?),
            ReadFormat::Table => Form::Table {
                batches: Vec::new(),
            },
        };
        Ok(Encoder { schema, form })
    }

    /// The bytes of the next rows.
    ///
    /// # Errors
    /// A column of a type that the form cannot express.
    pub fn push(&mut self, batch: RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match &mut self.form {
            Form::Json(writer) => {
                writer.write(&batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Form::Ndjson(writer) => {
                writer.write(&batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Form::Csv { has_begun } => {
                let with_header = !std::mem::replace(has_begun, true);
                csv_bytes(&batch, with_header)
            }
            Form::Arrow(writer) => {
                writer.write(&batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Form::Table { batches } => {
                batches.push(batch);
                Ok(Vec::new())
            }
        }
    }

    /// The bytes after the last rows.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn finish(self) -> Result<Vec<u8>, ArrowError> {
        match self.form {
            Form::Json(mut writer) => {
                writer.finish()?;
                let mut bytes = writer.into_inner();
                bytes.push(b'\n');
                Ok(bytes)
            }
            Form::Ndjson(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner())
            }
            Form::Arrow(writer) => writer.into_inner(),
            Form::Csv { has_begun: true } => Ok(Vec::new()),
            Form::Csv { has_begun: false } => csv_bytes(&RecordBatch::new_empty(self.schema), true),
            Form::Table { mut batches } => {
                if batches.is_empty() {
                    batches.push(RecordBatch::new_empty(self.schema));
                }
                table_bytes(&batches)
            }
        }
    }
}

fn csv_bytes(batch: &RecordBatch, with_header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    csv::WriterBuilder::new()
        .with_header(with_header)
        .with_timestamp_format(UTC_FORM.to_string())
        .build(&mut bytes)
        .write(batch)?;
    Ok(bytes)
}

fn table_bytes(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let options = FormatOptions::default().with_timestamp_format(Some(UTC_FORM));
    let table = pretty_format_batches_with_options(batches, &options)?;
    Ok(format!("{table}\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
        TimestampNanosecondArray,
    };
    use expect_test::{Expect, expect};

    use super::*;

    fn batch() -> RecordBatch {
        let start = TimestampNanosecondArray::from(vec![1_570_752_000_000_000_000, 1, 0]);
        let end = TimestampMillisecondArray::from(vec![Some(1_570_752_000_001), None, Some(-1)]);
        let columns: [(&str, ArrayRef); 5] = [
            (
                "symbol",
                Arc::new(StringArray::from(vec!["A:B", "a,\"b\"", "é"])),
            ),
            ("window_start", Arc::new(start)),
            ("window_end", Arc::new(end.with_timezone("+00:00"))),
            (
                "open",
                Arc::new(Float64Array::from(vec![0.1 + 0.2, 1482.0, 1e-7])),
            ),
            (
                "trades",
                Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(0)])),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    fn check(format: ReadFormat, batches: &[RecordBatch], expected: Expect) {
        let mut encoder = Encoder::new(format, batch().schema()).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(encoder.push(batch.clone()).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        expected.assert_eq(&String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn every_form_of_some_rows() {
        let rows = [batch(), batch().slice(0, 1)];
        check(
            ReadFormat::Json,
            &rows,
            expect![[r#"
            [{"symbol":"A:B","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:00:00.001Z","open":0.30000000000000004,"trades":9223372036854775807},{"symbol":"a,\"b\"","window_start":"1970-01-01T00:00:00.000000001Z","window_end":null,"open":1482.0,"trades":null},{"symbol":"é","window_start":"1970-01-01T00:00:00Z","window_end":"1969-12-31T23:59:59.999Z","open":1.0e-7,"trades":0},{"symbol":"A:B","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:00:00.001Z","open":0.30000000000000004,"trades":9223372036854775807}]
        "#]],
        );
        check(
            ReadFormat::Ndjson,
            &rows,
            expect![[r#"
            {"symbol":"A:B","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:00:00.001Z","open":0.30000000000000004,"trades":9223372036854775807}
            {"symbol":"a,\"b\"","window_start":"1970-01-01T00:00:00.000000001Z","window_end":null,"open":1482.0,"trades":null}
            {"symbol":"é","window_start":"1970-01-01T00:00:00Z","window_end":"1969-12-31T23:59:59.999Z","open":1.0e-7,"trades":0}
            {"symbol":"A:B","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:00:00.001Z","open":0.30000000000000004,"trades":9223372036854775807}
        "#]],
        );
        check(
            ReadFormat::Csv,
            &rows,
            expect![[r#"
            symbol,window_start,window_end,open,trades
            A:B,2019-10-11T00:00:00Z,2019-10-11T00:00:00.001Z,0.30000000000000004,9223372036854775807
            "a,""b""",1970-01-01T00:00:00.000000001Z,,1482.0,
            é,1970-01-01T00:00:00Z,1969-12-31T23:59:59.999Z,1e-7,0
            A:B,2019-10-11T00:00:00Z,2019-10-11T00:00:00.001Z,0.30000000000000004,9223372036854775807
        "#]],
        );
        check(
            ReadFormat::Table,
            &rows,
            expect![[r#"
            +--------+--------------------------------+--------------------------+---------------------+---------------------+
            | symbol | window_start                   | window_end               | open                | trades              |
            +--------+--------------------------------+--------------------------+---------------------+---------------------+
            | A:B    | 2019-10-11T00:00:00Z           | 2019-10-11T00:00:00.001Z | 0.30000000000000004 | 9223372036854775807 |
            | a,"b"  | 1970-01-01T00:00:00.000000001Z |                          | 1482.0              |                     |
            | é      | 1970-01-01T00:00:00Z           | 1969-12-31T23:59:59.999Z | 1e-7                | 0                   |
            | A:B    | 2019-10-11T00:00:00Z           | 2019-10-11T00:00:00.001Z | 0.30000000000000004 | 9223372036854775807 |
            +--------+--------------------------------+--------------------------+---------------------+---------------------+
        "#]],
        );
    }

    #[test]
    fn every_form_of_no_rows() {
        check(
            ReadFormat::Json,
            &[],
            expect![[r#"
            []
        "#]],
        );
        check(ReadFormat::Ndjson, &[], expect![[""]]);
        check(
            ReadFormat::Csv,
            &[],
            expect![[r#"
            symbol,window_start,window_end,open,trades
        "#]],
        );
        check(
            ReadFormat::Table,
            &[],
            expect![[r#"
            +--------+--------------+------------+------+--------+
            | symbol | window_start | window_end | open | trades |
            +--------+--------------+------------+------+--------+
            +--------+--------------+------------+------+--------+
        "#]],
        );
    }

    #[test]
    fn arrow_is_a_stream_that_its_own_reader_takes() {
        let mut encoder = Encoder::new(ReadFormat::Arrow, batch().schema()).unwrap();
        let mut bytes = encoder.push(batch()).unwrap();
        bytes.extend(encoder.push(batch().slice(0, 1)).unwrap());
        bytes.extend(encoder.finish().unwrap());
        let reader = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
        let batches: Result<Vec<_>, _> = reader.collect();
        assert_eq!(batches.unwrap(), [batch(), batch().slice(0, 1)]);
    }

    #[test]
    fn what_is_no_number_is_null_in_json() {
        let batch = RecordBatch::try_from_iter([(
            "open",
            Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY])) as ArrayRef,
        )])
        .unwrap();
        check(
            ReadFormat::Ndjson,
            &[batch],
            expect![[r#"
            {"open":null}
            {"open":null}
        "#]],
        );
    }
}
