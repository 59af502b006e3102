//! Column builders that can be rolled back: plain vectors that truncate.
//!
//! Arrow's own builders only grow, and a bad element must leave no trace in any column.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, NullBufferBuilder,
    PrimitiveArray, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::layout::Layout;
use super::text::{Bytes, Views};
use super::{DecodeError, Format, RAW_STRING_COLUMN};
use crate::model::{EXTENSION_NAME_KEY, JSON_EXTENSION};

/// One column, or one field of a nested one, under construction.
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) values: Values,
    /// Also counts the rows.
    pub(super) nulls: NullBufferBuilder,
}

/// The values of a column by its type; at a null stands the type's zero.
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Since 1970 UTC, in the unit.
    Timestamp(TimeUnit, Vec<i64>),
    /// Days since 1970.
    Date32(Vec<i32>),
    /// In units of 10^-scale.
    Decimal128 {
        precision: u8,
        scale: i8,
        values: Vec<i128>,
    },
    Utf8(Bytes),
    Utf8View(Views),
    Binary(Bytes),
    /// The text of any JSON value.
    Json(Views),
    List(List),
    Struct(Object),
}

/// The columns that an object's members go to, by name.
pub(super) struct Object {
    pub(super) columns: Vec<Column>,
    /// What such objects looked like.
    pub(super) layout: Layout,
}

/// The values of a list column.
pub(super) struct List {
    /// Where each row's elements end; starts with a zero.
    pub(super) offsets: Vec<i32>,
    pub(super) elements: Box<Column>,
    /// Not inside of another list: an element that does not fit is dropped alone.
    pub(super) outermost: bool,
}

impl Object {
    pub(super) fn new(columns: Vec<Column>) -> Object {
        Object {
            columns,
            layout: Layout::default(),
        }
    }

    /// Forgets everything from `row` on.
    pub(super) fn truncate(&mut self, row: usize) {
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(row));
    }
}

impl Column {
    /// A column that is read from the member of its name of a JSON object.
    pub(super) fn json(field: &FieldRef) -> Result<Column, DecodeError> {
        Column::nested(field, field.name(), true)
    }

    /// The column of the format `raw_string`.
    pub(super) fn raw_string(field: &FieldRef) -> Result<Column, DecodeError> {
        let values = match field.data_type() {
            DataType::Utf8View if field.name() == RAW_STRING_COLUMN => {
                Values::Utf8View(Views::default())
            }
            DataType::Utf8 if field.name() == RAW_STRING_COLUMN => Values::Utf8(Bytes::default()),
            _ => return Err(unsupported(field, field.name(), Format::RawString)),
        };
        Ok(Column::of(field, values))
    }

    fn of(field: &FieldRef, values: Values) -> Column {
        Column {
            field: Arc::clone(field),
            values,
            nulls: NullBufferBuilder::new(1024),
        }
    }

    fn nested(field: &FieldRef, path: &str, outside: bool) -> Result<Column, DecodeError> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::UInt8 => Values::UInt8(Vec::new()),
            DataType::UInt16 => Values::UInt16(Vec::new()),
            DataType::UInt32 => Values::UInt32(Vec::new()),
            DataType::UInt64 => Values::UInt64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Timestamp(unit, None) => Values::Timestamp(*unit, Vec::new()),
            DataType::Date32 => Values::Date32(Vec::new()),
            &DataType::Decimal128(precision, scale) => Values::Decimal128 {
                precision,
                scale,
                values: Vec::new(),
            },
            DataType::Utf8View if is_json(field) => Values::Json(Views::default()),
            DataType::Utf8View => Values::Utf8View(Views::default()),
            DataType::Utf8 if !is_json(field) => Values::Utf8(Bytes::default()),
            DataType::Binary => Values::Binary(Bytes::default()),
            DataType::List(element) => Values::List(List {
                offsets: vec![0],
                elements: Box::new(Column::nested(element, &format!("{path}[]"), false)?),
                outermost: outside,
            }),
            DataType::Struct(fields) => {
                let nested =
                    |f: &FieldRef| Column::nested(f, &format!("{path}.{}", f.name()), outside);
                let columns = fields.iter().map(nested).collect::<Result<_, _>>()?;
                Values::Struct(Object::new(columns))
            }
            _ => return Err(unsupported(field, path, Format::Json)),
        };
        Ok(Column::of(field, values))
    }

    /// Values so far, nulls included.
    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends a null, whether or not the field may be null: the caller has looked.
    pub(super) fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date32(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp(_, values) => values.push(0),
            Values::UInt8(values) => values.push(0),
            Values::UInt16(values) => values.push(0),
            Values::UInt32(values) => values.push(0),
            Values::UInt64(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal128 { values, .. } => values.push(0),
            Values::Utf8(values) | Values::Binary(values) => values.push_null(),
            Values::Utf8View(values) | Values::Json(values) => values.push_null(),
            Values::List(list) => {
                let end = list.offsets[list.offsets.len() - 1];
                list.offsets.push(end);
            }
            Values::Struct(object) => object.columns.iter_mut().for_each(Column::push_null),
        }
        self.nulls.append_null();
    }

    /// Forgets everything from `row` on. Nested columns may be ahead of their parent, which a
    /// half-decoded frame leaves behind.
    pub(super) fn truncate(&mut self, row: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.truncate(row.min(values.len())),
            Values::Int8(values) => values.truncate(row),
            Values::Int16(values) => values.truncate(row),
            Values::Int32(values) | Values::Date32(values) => values.truncate(row),
            Values::Int64(values) | Values::Timestamp(_, values) => values.truncate(row),
            Values::UInt8(values) => values.truncate(row),
            Values::UInt16(values) => values.truncate(row),
            Values::UInt32(values) => values.truncate(row),
            Values::UInt64(values) => values.truncate(row),
            Values::Float32(values) => values.truncate(row),
            Values::Float64(values) => values.truncate(row),
            Values::Decimal128 { values, .. } => values.truncate(row),
            Values::Utf8(values) | Values::Binary(values) => values.truncate(row),
            Values::Utf8View(values) | Values::Json(values) => values.truncate(row),
            Values::List(list) => {
                list.offsets.truncate(row + 1);
                let end = list.offsets[list.offsets.len() - 1];
                list.elements.truncate(end as usize);
            }
            Values::Struct(object) => object.truncate(row),
        }
        self.nulls.truncate(row.min(self.nulls.len()));
    }

    /// Takes what was collected as an array of exactly the field's type; empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls),
            Values::UInt8(values) => primitive::<UInt8Type>(values, nulls),
            Values::UInt16(values) => primitive::<UInt16Type>(values, nulls),
            Values::UInt32(values) => primitive::<UInt32Type>(values, nulls),
            Values::UInt64(values) => primitive::<UInt64Type>(values, nulls),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls),
            Values::Date32(values) => primitive::<Date32Type>(values, nulls),
            Values::Timestamp(unit, values) => match unit {
                TimeUnit::Second => primitive::<TimestampSecondType>(values, nulls),
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(values, nulls),
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(values, nulls),
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(values, nulls),
            },
            Values::Decimal128 { values, .. } => Arc::new(
                PrimitiveArray::<Decimal128Type>::new(scalars(values), nulls)
                    .with_data_type(self.field.data_type().clone()),
            ),
            Values::Utf8(values) => {
                let (offsets, bytes) = values.take();
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            Values::Binary(values) => {
                let (offsets, bytes) = values.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Values::Utf8View(values) | Values::Json(values) => {
                let (views, blocks) = values.take();
                Arc::new(StringViewArray::new(views, blocks, nulls))
            }
            Values::List(list) => {
                let fresh = Vec::with_capacity(list.offsets.len());
                let offsets = mem::replace(&mut list.offsets, fresh);
                list.offsets.push(0);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let field = Arc::clone(&list.elements.field);
                Arc::new(ListArray::new(
                    field,
                    offsets,
                    list.elements.finish(),
                    nulls,
                ))
            }
            Values::Struct(object) if object.columns.is_empty() => {
                Arc::new(StructArray::new_empty_fields(rows, nulls))
            }
            Values::Struct(Object { columns, .. }) => {
                let fields: Fields = columns.iter().map(|c| Arc::clone(&c.field)).collect();
                let arrays = columns.iter_mut().map(Column::finish).collect();
                Arc::new(StructArray::new(fields, arrays, nulls))
            }
        }
    }
}

fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(EXTENSION_NAME_KEY)
        .is_some_and(|name| name == JSON_EXTENSION)
}

fn unsupported(field: &Field, path: &str, format: Format) -> DecodeError {
    DecodeError::Unsupported {
        column: path.to_owned(),
        data_type: field.data_type().to_string(),
        format,
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(scalars(values), nulls))
}

/// Hands the vector over without a copy and makes room for a batch of the same size.
fn scalars<T: arrow::datatypes::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let fresh = Vec::with_capacity(values.len());
    ScalarBuffer::from(mem::replace(values, fresh))
}
