//! The decoder by example: what frames become, what is refused and with which words.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use expect_test::Expect;

use super::{Decoder, Format};
use crate::model::{EXTENSION_NAME_KEY, JSON_EXTENSION};

mod frames;
mod random;
mod scalars;

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn list(name: &str, element: DataType) -> Field {
    Field::new_list(name, Field::new("item", element, true), true)
}

fn json(name: &str) -> Field {
    let mark = HashMap::from([(EXTENSION_NAME_KEY.to_owned(), JSON_EXTENSION.to_owned())]);
    Field::new(name, DataType::Utf8View, true).with_metadata(mark)
}

/// Finnhub's shape, as the SQL of the main job declares it.
fn finnhub() -> SchemaRef {
    let tick = DataType::Struct(Fields::from(vec![
        Field::new("p", DataType::Float64, true),
        Field::new("s", DataType::Utf8View, true),
        Field::new("t", DataType::Int64, true),
    ]));
    schema(vec![
        list("data", tick),
        Field::new("type", DataType::Utf8View, true),
    ])
}

/// Decodes the frames and shows the rows, then a line for each reject.
fn show(schema: SchemaRef, format: Format, frames: &[Option<&[u8]>]) -> String {
    let mut decoder = Decoder::new(Arc::clone(&schema), format).unwrap();
    let mut rejects = Vec::new();
    let mut shown = String::new();
    for (number, frame) in frames.iter().enumerate() {
        let (rows, mark) = (decoder.rows(), rejects.len());
        let kept = decoder.push(*frame, &mut rejects);
        assert_eq!(decoder.rows(), rows + usize::from(kept));
        assert_eq!(kept, rejects[mark..].iter().all(|r| r.element.is_some()));
        for reject in &rejects[mark..] {
            let (what, detail) = (reject.reason.label(), &reject.detail);
            let element = reject.element.map_or(String::new(), |e| format!("[{e}]"));
            writeln!(shown, "frame {number}{element} {what}: {detail}").unwrap();
        }
    }
    let batch = decoder.finish();
    assert_eq!(batch.schema(), schema);
    let options = FormatOptions::default().with_null("NULL");
    let table = pretty_format_batches_with_options(&[batch], &options).unwrap();
    format!("{table}\n{shown}")
}

fn check(schema: SchemaRef, frames: &[&str], expected: Expect) {
    let frames: Vec<_> = frames.iter().map(|frame| Some(frame.as_bytes())).collect();
    expected.assert_eq(&show(schema, Format::Json, &frames));
}

fn check_one(data_type: DataType, values: &[&str], expected: Expect) {
    let frames: Vec<_> = values
        .iter()
        .map(|value| format!("{{\"x\":{value}}}"))
        .collect();
    let frames: Vec<_> = frames.iter().map(String::as_str).collect();
    check(
        schema(vec![Field::new("x", data_type, true)]),
        &frames,
        expected,
    );
}
