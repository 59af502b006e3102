//! The quick way: straight from the frame's bytes into the columns, by the columns' types, without a
//! tree or a token between.
//!
//! It takes plain frames only. At anything else (a wrong type, a missing value where one is needed,
//! a repeated key, a syntax error) it stops; the caller rolls back and decides with `careful`.

use super::column::{Column, List, Object, Values};
use super::layout::{Found, column_of};
use super::scan::Scan;
use super::value::Misfit;

/// `None`: the frame is not plain. Why does not matter: `careful` finds its own reasons.
type Plain = Option<()>;

/// Appends one row, number `row` from 0, to every column, from a frame that is UTF-8. `None`: the frame is not plain; columns may hold
/// more than `row` values then.
pub(super) fn frame(object: &mut Object, row: usize, bytes: &[u8]) -> Plain {
    let mut scan = Scan::new(bytes);
    scan.space();
    members(&mut scan, object, row)?;
    scan.space();
    scan.is_done().then_some(())
}

/// An object whose members go to columns by name; every column holds `row` values before it.
fn members(scan: &mut Scan<'_>, object: &mut Object, row: usize) -> Plain {
    if scan.peek()? != b'{' {
        return None;
    }
    // While members come in the order in which they are known, none can come twice.
    let (mut next, mut in_order) = (0, true);
    let mut filled = 0;
    if !is_empty(scan) {
        loop {
            let found = match object.layout.find(scan.rest(), next) {
                Some(found) => {
                    scan.step(found.length);
                    found
                }
                None => spread_or_new(scan, object, next)?,
            };
            in_order &= found.place >= next;
            next = found.place + 1;
            scan.space();
            match found.column {
                Some(at) => {
                    let column = &mut object.columns[at];
                    if !in_order && column.len() != row {
                        return None;
                    }
                    filled += 1;
                    value(scan, column)?;
                }
                None => scan.skip()?,
            }
            scan.space();
            match scan.peek()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    scan.step(1);
    if filled < object.columns.len() {
        for column in &mut object.columns {
            if column.len() == row {
                null(column)?;
            }
        }
    }
    Some(())
}

/// Whether an object has no members; it is stepped over then, but for its last brace.
#[inline(always)]
fn is_empty(scan: &mut Scan<'_>) -> bool {
    match scan.rest() {
        [b'{', b'"', ..] => false,
        _ => is_spread_empty(scan),
    }
}

#[cold]
fn is_spread_empty(scan: &mut Scan<'_>) -> bool {
    scan.gap();
    let is_empty = scan.rest().get(1) == Some(&b'}');
    if is_empty {
        scan.step(1);
    }
    is_empty
}

/// A separator, white space, a member's name and its colon, where they stand apart or the name was not known.
#[inline(never)]
fn spread_or_new(scan: &mut Scan<'_>, object: &mut Object, next: usize) -> Option<Found> {
    scan.gap();
    if let Some(found) = object.layout.find(scan.rest(), next) {
        scan.step(found.length);
        return Some(found);
    }
    scan.step(1);
    let name = std::str::from_utf8(scan.string()?).ok()?;
    let column = column_of(&object.columns, name);
    if scan.peek() == Some(b':') {
        object.layout.remember(name, column);
    }
    scan.space();
    scan.take(b':')?;
    Some(Found {
        // Behind all others: whatever comes next may have come already.
        place: usize::MAX - 1,
        length: 0,
        column,
    })
}

/// A value that goes to a column. The usual ones are read in place; all others by their text, as the careful way
/// does.
#[inline(always)]
fn value(scan: &mut Scan<'_>, column: &mut Column) -> Plain {
    match (&mut column.values, scan.peek()?) {
        (Values::Float64(values), b'-' | b'0'..=b'9') => match scan.double() {
            Some(value) => values.push(value),
            None => return by_text(scan, column),
        },
        (Values::Int64(values) | Values::Timestamp(_, values), b'-' | b'0'..=b'9') => {
            match scan.integer() {
                Some(value) => values.push(value),
                None => return by_text(scan, column),
            }
        }
        (Values::Utf8View(values), b'"') => match scan.string() {
            Some(text) => values.push(text),
            None => return by_text(scan, column),
        },
        (Values::List(list), b'[') => elements(scan, list)?,
        (Values::Struct(object), b'{') => {
            // The count of a struct's own marks, since its columns may be none.
            let row = column.nulls.len();
            members(scan, object, row)?;
        }
        _ => return by_text(scan, column),
    }
    column.nulls.append_non_null();
    Some(())
}

#[inline(never)]
fn by_text(scan: &mut Scan<'_>, column: &mut Column) -> Plain {
    match scan.value()? {
        "null" if !matches!(column.values, Values::Json(_)) => null(column),
        raw => column.push_raw(raw).ok(),
    }
}

fn elements(scan: &mut Scan<'_>, list: &mut List) -> Plain {
    scan.take(b'[')?;
    scan.space();
    if scan.take(b']').is_none() {
        loop {
            value(scan, &mut list.elements)?;
            let last = list.elements.len() - 1;
            if list.outermost && !list.elements.nulls.is_valid(last) {
                return None;
            }
            scan.space();
            if scan.take(b']').is_some() {
                break;
            }
            scan.take(b',')?;
            scan.space();
        }
    }
    list.close_row().ok()
}

impl List {
    /// Ends the row's elements where the element column ends now.
    pub(super) fn close_row(&mut self) -> Result<(), Misfit> {
        let end = i32::try_from(self.elements.len()).map_err(|_| Misfit::Full)?;
        self.offsets.push(end);
        Ok(())
    }
}

fn null(column: &mut Column) -> Plain {
    column.field.is_nullable().then(|| column.push_null())
}
