//! Rows as NDJSON, one object a line, written as Arroyo's JSON format writes them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Schema, SchemaRef, TimeUnit,
    TimestampMillisecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, NullableEncoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions, WriterBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;

use super::{SinkError, SinkRows};

/// Arrow's name of text that holds a JSON document.
const JSON_TEXT: (&str, &str) = ("ARROW:extension:name", "arrow.json");

/// Writes rows of one schema.
#[derive(Debug)]
pub(super) struct JsonLines {
    schema: SchemaRef,
    formats: Arc<Formats>,
}

/// What is written otherwise than Arrow does.
#[derive(Debug)]
struct Formats {
    unix_millis: bool,
    decimals_as_text: bool,
}

impl JsonLines {
    /// # Errors
    /// [`SinkError::Options`] for a type that JSON has no form of.
    pub(super) fn new(
        schema: SchemaRef,
        unix_millis: bool,
        decimals_as_text: bool,
    ) -> Result<JsonLines, SinkError> {
        let lines = JsonLines {
            schema,
            formats: Arc::new(Formats {
                unix_millis,
                decimals_as_text,
            }),
        };
        let nothing = RecordBatch::new_empty(Arc::clone(&lines.schema));
        lines.write(nothing.columns().to_vec(), &mut Vec::new())?;
        Ok(lines)
    }

    /// The rows, a line each.
    pub(super) fn text(&self, rows: &[SinkRows]) -> Result<Vec<u8>, SinkError> {
        let mut text = Vec::new();
        for SinkRows { rows, .. } in rows {
            self.write(rows.columns().to_vec(), &mut text)?;
        }
        Ok(text)
    }

    /// Columns of rows, a line each, at the end of `text`.
    pub(super) fn write(
        &self,
        columns: Vec<ArrayRef>,
        text: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        let refused = |error: ArrowError| {
            SinkError::Options(format!("rows cannot be written as JSON: {error}"))
        };
        // The declared names and marks, the types as they come.
        let fields = self.schema.fields().iter().zip(&columns);
        let fields: Vec<Field> = fields
            .map(|(field, column)| {
                field
                    .as_ref()
                    .clone()
                    .with_data_type(column.data_type().clone())
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(refused)?;
        let formats = Arc::clone(&self.formats) as Arc<dyn EncoderFactory>;
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(formats)
            .build::<_, LineDelimited>(text);
        writer
            .write(&rows)
            .and_then(|()| writer.finish())
            .map_err(refused)
    }
}

impl EncoderFactory for Formats {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let is_json = || {
            field
                .metadata()
                .get(JSON_TEXT.0)
                .is_some_and(|name| name == JSON_TEXT.1)
        };
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Timestamp(..) | DataType::Date32 if self.unix_millis => {
                let millis = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
                let millis = millis.as_primitive::<TimestampMillisecondType>().clone();
                each(move |row, out| out.extend(millis.value(row).to_string().bytes()))
            }
            DataType::Decimal128(..) if self.decimals_as_text => {
                let decimals = array.as_primitive::<Decimal128Type>();
                each(move |row, out| string(&decimals.value_as_string(row), out))
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let bytes = cast(array, &DataType::LargeBinary)?;
                let bytes = bytes.as_binary::<i64>().clone();
                each(move |row, out| string(&BASE64_STANDARD.encode(bytes.value(row)), out))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json() => {
                let texts: ArrayRef = cast(array, &DataType::LargeUtf8)?;
                let texts = texts.as_string::<i64>().clone();
                each(move |row, out| document(texts.value(row), out))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Writes a value by its row.
struct Each<F>(F);

impl<F: FnMut(usize, &mut Vec<u8>)> Encoder for Each<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        (self.0)(row, out);
    }
}

fn each<'a>(write: impl FnMut(usize, &mut Vec<u8>) + 'a) -> Box<dyn Encoder + 'a> {
    Box::new(Each(write))
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}

/// A JSON document as it is, on one line; text that is none as a string.
fn document(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<&RawValue>(text) {
        // A line break that is not escaped stands between tokens.
        Ok(raw) => out.extend(raw.get().bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        })),
        Err(_) => string(text, out),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, Decimal128Array, Float64Array, Int64Array, StringViewArray, StructArray,
        TimestampNanosecondArray,
    };
    use expect_test::{Expect, expect};

    use super::*;
    use crate::sink::RowTimes;

    fn rows() -> SinkRows {
        let time = |nanos| TimestampNanosecondArray::from(vec![Some(nanos), None]);
        let window = StructArray::from(vec![(
            Arc::new(Field::new("start", time(0).data_type().clone(), true)),
            Arc::new(time(1_575_526_680_000_000_000)) as ArrayRef,
        )]);
        let decimals = Decimal128Array::from(vec![Some(-12_345), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "symbol",
                Arc::new(StringViewArray::from(vec![Some("A\"\n"), None])),
            ),
            ("at", Arc::new(time(1_575_526_691_134_000_001))),
            ("window", Arc::new(window)),
            ("price", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
            ("big", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]))),
            (
                "exact",
                Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
            ),
            (
                "key",
                Arc::new(BinaryArray::from(vec![Some(&b"\x00\xffa"[..]), None])),
            ),
            (
                "document",
                Arc::new(StringViewArray::from(vec!["{\"x\":\n 1.50}", "not json"])),
            ),
        ];
        SinkRows {
            times: RowTimes::One(0),
            rows: RecordBatch::try_from_iter_with_nullable(
                columns
                    .into_iter()
                    .map(|(name, column)| (name, column, true)),
            )
            .unwrap(),
        }
    }

    fn check(unix_millis: bool, decimals_as_text: bool, expected: Expect) {
        let rows = rows();
        let fields = rows
            .rows
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let field = field.as_ref().clone();
                match field.name() == "document" {
                    true => field.with_metadata([(JSON_TEXT.0.into(), JSON_TEXT.1.into())].into()),
                    false => field,
                }
            })
            .collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        let lines = JsonLines::new(schema, unix_millis, decimals_as_text).unwrap();
        let text = lines.text(&[rows.clone(), rows]).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect(line);
        }
        assert_eq!(text.lines().count(), 4);
        expected.assert_eq(&text.lines().take(2).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn rows_are_written_as_arroyo_does() {
        check(
            false,
            false,
            expect![[r#"
            {"symbol":"A\"\n","at":"2019-12-05T06:18:11.134000001","window":{"start":"2019-12-05T06:18:00"},"price":1.0,"big":9223372036854775807,"exact":-123.45,"key":"AP9h","document":{"x":  1.50}}
            {"symbol":null,"at":null,"window":{"start":null},"price":null,"big":-9223372036854775808,"exact":null,"key":null,"document":"not json"}"#]],
        );
        check(
            true,
            true,
            expect![[r#"
            {"symbol":"A\"\n","at":1575526691134,"window":{"start":1575526680000},"price":1.0,"big":9223372036854775807,"exact":"-123.45","key":"AP9h","document":{"x":  1.50}}
            {"symbol":null,"at":null,"window":{"start":null},"price":null,"big":-9223372036854775808,"exact":null,"key":null,"document":"not json"}"#]],
        );
    }
}
