//! Which partition directory a row belongs to: by its event time and by the values of columns.
//!
//! ```text
//! data/ohlc/date=2026-11-22/exchange=KRAKEN/live-ohlc-0000000012-000.parquet
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::layout::TimePattern;
use super::{ParquetOptions, RowTimes, SinkError, SinkRows};

/// Directories that one epoch may write to: each costs a file, and an fsync or two.
const DIRECTORIES_MAX: usize = 10_000;
/// The directory of a null, as Hive and all that read its layout call it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Bytes of a directory's name at most; the limit of file systems.
const NAME_BYTES: usize = 255;

/// A table's partition directories.
#[derive(Debug)]
pub(super) struct Partitioning {
    pattern: Option<TimePattern>,
    /// Columns of the rows, and what their directories begin with: `symbol=`.
    columns: Vec<(usize, String)>,
    /// Columns of the files.
    in_files: Vec<usize>,
}

impl Partitioning {
    /// # Errors
    /// [`SinkError::Options`] for a time pattern that is no directory.
    pub(super) fn new(
        options: &ParquetOptions,
        schema: &Schema,
    ) -> Result<Partitioning, SinkError> {
        let pattern = options.time_pattern.as_deref().map(TimePattern::parse);
        let columns = options.partition_columns.iter();
        let columns = columns.map(|&column| {
            let name = schema.field(column).name();
            (column, format!("{}=", escaped(name)))
        });
        let in_files = 0..schema.fields().len();
        Ok(Partitioning {
            pattern: pattern.transpose().map_err(SinkError::Options)?,
            columns: columns.collect(),
            in_files: in_files
                .filter(|column| !options.partition_columns.contains(column))
                .collect(),
        })
    }

    /// Columns of the rows that are columns of the files, in order.
    pub(super) fn in_files(&self) -> &[usize] {
        &self.in_files
    }

    /// What the directories of times are named by.
    pub(super) fn pattern(&self) -> Option<&TimePattern> {
        self.pattern.as_ref()
    }

    /// What the names of the directories of columns begin with, in order.
    pub(super) fn prefixes(&self) -> Vec<String> {
        self.columns.iter().map(|(_, name)| name.clone()).collect()
    }

    /// The files' columns of the rows, by their directory below the table's; `""` is the table's own.
    ///
    /// # Errors
    /// [`SinkError::Options`] for a row without an event time where there is a time pattern, for a value
    /// that is too long for a directory's name, and for more directories than an epoch may have.
    pub(super) fn by_directory(
        &self,
        rows: Vec<SinkRows>,
    ) -> Result<BTreeMap<String, Vec<RecordBatch>>, SinkError> {
        let mut grouped: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for SinkRows { times, rows } in rows {
            if rows.num_rows() == 0 {
                continue;
            }
            for (dir, rows) in self.split(&times, &rows)? {
                let rows = rows.project(&self.in_files).map_err(not_split)?;
                grouped.entry(dir).or_default().push(rows);
            }
            if grouped.len() > DIRECTORIES_MAX {
                return Err(SinkError::Options(format!(
                    "one epoch would write to more than {DIRECTORIES_MAX} partition directories; partition by fewer columns, or by such with fewer values"
                )));
            }
        }
        Ok(grouped)
    }

    /// What a directory of these says of each column, in order, where there is no time pattern; a null is `None`.
    /// `None`: it is no directory of this table.
    pub(super) fn values(&self, dir: &str) -> Option<Vec<Option<String>>> {
        if self.columns.is_empty() {
            return dir.is_empty().then(Vec::new);
        }
        let parts: Vec<&str> = dir.split('/').collect();
        if parts.len() != self.columns.len() {
            return None;
        }
        let values = parts.iter().zip(&self.columns);
        values
            .map(
                |(part, (_, name))| match part.strip_prefix(name.as_str())? {
                    NULL => Some(None),
                    value => unescaped(value).map(Some),
                },
            )
            .collect()
    }

    fn split(
        &self,
        times: &RowTimes,
        rows: &RecordBatch,
    ) -> Result<Vec<(String, RecordBatch)>, SinkError> {
        let mut keys: Vec<ArrayRef> = Vec::new();
        for (column, _) in &self.columns {
            keys.push(Arc::clone(rows.column(*column)));
        }
        if let (Some(pattern), RowTimes::Each(times)) = (&self.pattern, times) {
            if times.null_count() > 0 {
                let message = "a row has no event time, so it is in no partition directory";
                return Err(SinkError::Options(message.to_owned()));
            }
            let width = pattern.grain();
            let grains: Int64Array = times.unary(|time| time.div_euclid(width));
            keys.push(Arc::new(grains));
        }
        if keys.is_empty() {
            return Ok(vec![(self.directory(times, rows, 0)?, rows.clone())]);
        }
        let groups = groups(&keys).map_err(not_split)?;
        let one = groups.len() == 1;
        let split = groups.into_iter().map(|group| {
            let first = group.first().map_or(0, |&row| row as usize);
            let dir = self.directory(times, rows, first)?;
            let rows = match one {
                true => rows.clone(),
                false => take_record_batch(rows, &UInt32Array::from(group)).map_err(not_split)?,
            };
            Ok((dir, rows))
        });
        split.collect()
    }

    /// The directory of a row: that of its time, then those of its values, as Arroyo orders them.
    fn directory(
        &self,
        times: &RowTimes,
        rows: &RecordBatch,
        row: usize,
    ) -> Result<String, SinkError> {
        let mut parts = Vec::new();
        if let Some(pattern) = &self.pattern {
            parts.push(pattern.dir(match times {
                RowTimes::One(time) => *time,
                RowTimes::Each(times) => times.value(row),
            }));
        }
        for (column, name) in &self.columns {
            let part = format!("{name}{}", value(&rows.column(*column).slice(row, 1))?);
            if part.len() > NAME_BYTES {
                return Err(SinkError::Options(format!(
                    "a value of \"{}\" is longer than the name of a directory may be",
                    name.trim_end_matches('=')
                )));
            }
            parts.push(part);
        }
        Ok(parts.join("/"))
    }
}

/// The rows of each combination of keys, in the order in which those first appear.
fn groups(keys: &[ArrayRef]) -> Result<Vec<Vec<u32>>, ArrowError> {
    let fields = keys
        .iter()
        .map(|key| SortField::new(key.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let rows = converter.convert_columns(keys)?;
    let mut known = HashMap::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for (at, row) in (0..).zip(rows.iter()) {
        let group = *known.entry(row).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    Ok(groups)
}

/// What a directory says of a value.
fn value(value: &ArrayRef) -> Result<String, SinkError> {
    let text = cast(value, &DataType::Utf8).map_err(not_split)?;
    let text = text.as_string::<i32>();
    Ok(match text.is_null(0) {
        true => NULL.to_owned(),
        false => match text.value(0) {
            // An empty name would read back as nothing at all.
            "" => NULL.to_owned(),
            text => escaped(text),
        },
    })
}

/// `%` and two hexadecimal digits for what cannot stand in a name, and for what the object store of
/// DataFusion escapes: for `WHERE symbol = 'a~b'` DataFusion looks in `symbol=a%7Eb` and nowhere else.
/// Deliberately not `:`, `=` and `'`, though Hive escapes them: it would look in `symbol=BINANCE:BTCUSDT`.
fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '/' | '\\' | '%' | '"' | '#' | '*' | '?' | '^' | '`' | '|' | '~' | '<' | '>' | '['
            | ']' | '{' | '}' => percent(letter, &mut name),
            letter if letter.is_control() => percent(letter, &mut name),
            letter => name.push(letter),
        }
    }
    name
}

/// The value that [`escaped`] gives such a name.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok()
}

fn percent(letter: char, name: &mut String) {
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String cannot fail.
        let _ = write!(name, "%{byte:02X}");
    }
}

fn not_split(error: ArrowError) -> SinkError {
    SinkError::Options(format!(
        "rows cannot be split by partition directory: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_directory_is_read_back_from_its_name() {
        for value in ["BINANCE:BTC", "a~b", "a/b", "100%", "ES=F", "ü \n", "%7E"] {
            let name = escaped(value);
            assert!(!name.contains('/'), "{name}");
            assert_eq!(unescaped(&name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(unescaped("a%7"), None);
        assert_eq!(unescaped("a%zz"), None);
        let partitioning = Partitioning {
            pattern: None,
            columns: vec![(0, "day=".to_owned()), (1, "s%2F=".to_owned())],
            in_files: Vec::new(),
        };
        let values = |dir: &str| partitioning.values(dir);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            values("day=2026-11-22/s%2F=a%7Eb"),
            Some(vec![some("2026-11-22"), some("a~b")])
        );
        assert_eq!(
            values("day=__HIVE_DEFAULT_PARTITION__/s%2F=x"),
            Some(vec![None, some("x")])
        );
        for other in ["", "day=1", "day=1/s=2", "day=1/s%2F=2/x=3"] {
            assert_eq!(values(other), None, "{other}");
        }
    }
}
