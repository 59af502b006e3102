//! The quick way: straight from the frame's text into the columns, without a tree between.
//!
//! It takes plain frames only. At anything else (a wrong type, a missing value where one is needed,
//! a repeated key, a syntax error) it stops; the caller rolls back and decides with `careful`.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

use super::column::{Column, List, Values};
use super::value::Misfit;

/// Appends one row, number `row` from 0, to every column.
///
/// # Errors
/// The frame is not plain; columns may hold more than `row` values then.
pub(super) fn frame(columns: &mut [Column], row: usize, text: &str) -> serde_json::Result<()> {
    let mut input = serde_json::Deserializer::from_str(text);
    input.deserialize_map(Object { columns, row })?;
    input.end()
}

/// The reason does not matter: `careful` finds its own.
fn not_plain<E: Error>() -> E {
    E::custom("not a plain frame")
}

fn fits<E: Error>(outcome: Result<(), Misfit>) -> Result<(), E> {
    outcome.map_err(|_| not_plain())
}

/// An object whose members go to columns by name.
struct Object<'c> {
    columns: &'c mut [Column],
    /// Values that every column holds before this object.
    row: usize,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(found) = map.next_key_seed(Key(self.columns, guess))? {
            let Some(index) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let column = &mut self.columns[index];
            if column.len() != self.row {
                return Err(not_plain());
            }
            map.next_value_seed(Value(column))?;
            guess = index + 1;
        }
        for column in self.columns {
            if column.len() == self.row {
                null(column)?;
            }
        }
        Ok(())
    }
}

/// Finds the column of a member's name; frames keep their members' order, so the one after the last
/// found is tried first.
struct Key<'c>(&'c [Column], usize);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Option<usize>, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let Key(columns, guess) = self;
        if columns
            .get(guess)
            .is_some_and(|column| is_named(column, name))
        {
            return Ok(Some(guess));
        }
        Ok(columns.iter().position(|column| is_named(column, name)))
    }
}

/// Names are short: a loop in place beats the call that `==` makes.
#[inline]
fn is_named(column: &Column, name: &str) -> bool {
    let own = column.field.name();
    own.len() == name.len() && own.bytes().eq(name.bytes())
}

/// A value that goes to a column.
struct Value<'c>(&'c mut Column);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        match &self.0.values {
            Values::Json(_) => fits(self.0.push_raw(<&RawValue>::deserialize(input)?.get())),
            Values::Decimal128 { .. } => match <&RawValue>::deserialize(input)?.get() {
                "null" => null(self.0),
                raw => fits(self.0.push_raw(raw)),
            },
            Values::Float32(_) => input.deserialize_option(self),
            _ => input.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the column's type")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        fits(self.0.push_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        fits(self.0.push_i64(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        fits(self.0.push_u64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        fits(self.0.push_f64(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        fits(self.0.push_str(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        null(self.0)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        null(self.0)
    }

    /// A Float32: read as such, since by way of a double it would be rounded twice.
    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_f32(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let row = self.0.len();
        let Values::Struct(columns) = &mut self.0.values else {
            return Err(not_plain());
        };
        Object { columns, row }.visit_map(map)?;
        self.0.nulls.append_non_null();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Values::List(list) = &mut self.0.values else {
            return Err(not_plain());
        };
        while seq.next_element_seed(Value(&mut list.elements))?.is_some() {
            let last = list.elements.len() - 1;
            if list.outermost && !list.elements.nulls.is_valid(last) {
                return Err(not_plain());
            }
        }
        fits(list.close_row())?;
        self.0.nulls.append_non_null();
        Ok(())
    }
}

impl List {
    /// Ends the row's elements where the element column ends now.
    pub(super) fn close_row(&mut self) -> Result<(), Misfit> {
        let end = i32::try_from(self.elements.len()).map_err(|_| Misfit::Full)?;
        self.offsets.push(end);
        Ok(())
    }
}

fn null<E: Error>(column: &mut Column) -> Result<(), E> {
    if !column.field.is_nullable() {
        return Err(not_plain());
    }
    column.push_null();
    Ok(())
}
