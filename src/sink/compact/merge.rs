//! Files → one file with all their rows, in memory that does not grow with them: rows are read in the order in
//! which they came, and every so many of them are sorted as one row group.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;

use super::NotCompacted;
use crate::disk::Disk;
use crate::sink::file::{FileFormat, OpenFile};
use crate::sink::place::not_written;

/// Rows that are sorted together, and with that the most of a row group.
const RUN_ROWS: usize = 500_000;
/// Bytes in memory of such rows, about; sorting them takes twice as much more.
const RUN_BYTES: usize = 64 << 20;
/// Rows that are read at once.
const READ_ROWS: usize = 8_192;

/// What files were merged into.
#[derive(Debug)]
pub(super) struct Merged {
    /// Each with its size.
    pub(super) files: Vec<(PathBuf, u64)>,
}

impl Merged {
    /// Whether the merged files, and nothing else, stand in `dir`.
    pub(super) fn stands_in(&self, dir: &Path) -> bool {
        let there = fs::read_dir(dir).map_or(0, |entries| entries.count());
        let size = |path: &PathBuf| fs::metadata(path).map(|metadata| metadata.len()).ok();
        there == self.files.len()
            && (self.files.iter()).all(|(path, bytes)| size(path) == Some(*bytes))
    }
}

/// Merges `sources`, in this order, into files named by `target`; their names are not durable yet.
pub(super) fn merge(
    disk: &Disk,
    format: &FileFormat,
    sources: &[PathBuf],
    target: &dyn Fn(usize) -> PathBuf,
    stop: &dyn Fn() -> bool,
) -> Result<Merged, NotCompacted> {
    let limits = (RUN_ROWS, RUN_BYTES);
    merge_in_runs(disk, format, sources, target, stop, limits)
}

fn merge_in_runs(
    disk: &Disk,
    format: &FileFormat,
    sources: &[PathBuf],
    target: &dyn Fn(usize) -> PathBuf,
    stop: &dyn Fn() -> bool,
    (run_rows, run_bytes): (usize, usize),
) -> Result<Merged, NotCompacted> {
    let (columns, rows) = look_at(format, sources, stop)?;
    let unfit = |error: arrow::error::ArrowError| NotCompacted::Unfit(error.to_string());
    let format = &format.of_columns(&columns).map_err(unfit)?;
    let mut output = Output {
        disk,
        format,
        target,
        rows,
        open: None,
        files: Vec::new(),
    };
    let mut run = Vec::new();
    let (mut rows_in_run, mut bytes_in_run) = (0, 0);
    for source in sources {
        let unread = |error: &dyn std::fmt::Display| unread(source, error);
        let file = File::open(source).map_err(|error| unread(&error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|reader| reader.with_batch_size(READ_ROWS).build())
            .map_err(|error| unread(&error))?;
        for batch in reader {
            if stop() {
                return Err(NotCompacted::Stopped);
            }
            let batch = batch.map_err(|error| unread(&error))?;
            let batch = with_columns(format, &batch).map_err(|error| unread(&error))?;
            rows_in_run += batch.num_rows();
            bytes_in_run += batch.get_array_memory_size();
            run.push(batch);
            if rows_in_run >= run_rows || bytes_in_run >= run_bytes {
                output.write(&std::mem::take(&mut run))?;
                (rows_in_run, bytes_in_run) = (0, 0);
            }
        }
    }
    output.write(&run)?;
    let files = output.end()?;
    check(format, &files, rows)?;
    Ok(Merged { files })
}

/// Where merged rows go.
struct Output<'a> {
    disk: &'a Disk,
    format: &'a FileFormat,
    target: &'a dyn Fn(usize) -> PathBuf,
    /// All that are to come.
    rows: usize,
    open: Option<(PathBuf, OpenFile)>,
    files: Vec<(PathBuf, u64)>,
}

impl Output<'_> {
    /// Sorts these rows and writes them, into as many files as their size asks for.
    fn write(&mut self, run: &[RecordBatch]) -> Result<(), NotCompacted> {
        let mut rows = self.format.sorted(run);
        while rows.num_rows() > 0 {
            let (path, mut file) = match self.open.take() {
                Some(open) => open,
                None => {
                    let path = (self.target)(self.files.len());
                    let file = self.format.begin(self.disk, &path, self.rows);
                    (
                        path.clone(),
                        file.map_err(|error| not_written(&path, &error))?,
                    )
                }
            };
            let written = file
                .push(&rows)
                .map_err(|error| not_written(&path, &error))?;
            rows = rows.slice(written, rows.num_rows() - written);
            match file.is_full() {
                true => self.close(path, file)?,
                false => {
                    let ended = file.end_row_group();
                    ended.map_err(|error| not_written(&path, &error))?;
                    self.open = Some((path, file));
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, path: PathBuf, file: OpenFile) -> Result<(), NotCompacted> {
        let written = file.end().map_err(|error| not_written(&path, &error))?;
        self.files.push((path, written.bytes));
        Ok(())
    }

    fn end(mut self) -> Result<Vec<(PathBuf, u64)>, NotCompacted> {
        if let Some((path, file)) = self.open.take() {
            self.close(path, file)?;
        }
        Ok(self.files)
    }
}

/// The table's columns that any of the files has, and all their rows, by their footers. What the table does not
/// have, or has of another type, cannot be merged.
fn look_at(
    format: &FileFormat,
    sources: &[PathBuf],
    stop: &dyn Fn() -> bool,
) -> Result<(Vec<usize>, usize), NotCompacted> {
    let table = ArrowSchemaConverter::new().convert(format.schema());
    let table = table.map_err(|error| NotCompacted::Unfit(error.to_string()))?;
    let table = table.root_schema().get_fields();
    let (mut columns, mut rows) = (BTreeSet::new(), 0);
    for source in sources {
        if stop() {
            return Err(NotCompacted::Stopped);
        }
        let (fields, rows_in_file) = footer(source).map_err(|error| unread(source, &error))?;
        rows += rows_in_file;
        for field in &fields {
            let column = table.iter().position(|column| column == field);
            columns.insert(column.ok_or_else(|| {
                let why = "is not a column of the table as it is now, or is of another type";
                let name = field.name();
                NotCompacted::Unfit(format!("{}: \"{name}\" {why}", source.display()))
            })?);
        }
    }
    Ok((columns.into_iter().collect(), rows))
}

/// The columns and the number of rows of a file.
fn footer(path: &Path) -> Result<(Vec<Arc<Type>>, usize), ParquetError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let metadata = reader.metadata().file_metadata();
    let rows = usize::try_from(metadata.num_rows());
    let fields = metadata.schema().get_fields().to_vec();
    Ok((
        fields,
        rows.map_err(|e| ParquetError::General(e.to_string()))?,
    ))
}

/// The rows with all columns of `format`; what a file does not have is null.
fn with_columns(
    format: &FileFormat,
    rows: &RecordBatch,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let fields = format.schema().fields().iter();
    let columns = fields.map(|field| match rows.column_by_name(field.name()) {
        Some(column) => Ok(Arc::clone(column)),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, arrow::error::ArrowError>>()?;
    let types = format.schema().fields().iter().zip(&columns);
    let types = types.map(|(field, column)| {
        let field = field.as_ref().clone();
        Arc::new(field.with_data_type(column.data_type().clone()))
    });
    let schema = arrow::datatypes::Schema::new(types.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// Reads the footers of what was written: every row must be there, in the columns that were meant.
fn check(
    format: &FileFormat,
    files: &[(PathBuf, u64)],
    expected: usize,
) -> Result<(), NotCompacted> {
    let meant = ArrowSchemaConverter::new().convert(format.schema());
    let meant = meant.map_err(|error| NotCompacted::Unfit(error.to_string()))?;
    let mut rows = 0;
    for (path, _) in files {
        let (fields, rows_in_file) = footer(path).map_err(|error| unread(path, &error))?;
        rows += rows_in_file;
        if fields != meant.root_schema().get_fields() {
            let why = "was not written with the columns that were meant";
            return Err(NotCompacted::Unfit(format!("{} {why}", path.display())));
        }
    }
    match rows == expected {
        true => Ok(()),
        false => Err(NotCompacted::Unfit(format!(
            "{expected} rows were to be merged, and {rows} are in the merged file"
        ))),
    }
}

fn unread(path: &Path, error: &dyn std::fmt::Display) -> NotCompacted {
    NotCompacted::Unfit(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray, TimestampNanosecondArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

    use super::*;
    use crate::sink::file::Instants;
    use crate::sink::{Compression, ParquetOptions};

    const NEVER: &dyn Fn() -> bool = &|| false;

    fn format(folder: &Path) -> FileFormat {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let schema = Schema::new(vec![
            Field::new("symbol", DataType::Utf8, true),
            Field::new("at", time, true),
            Field::new("trades", DataType::Int64, true),
        ]);
        let options = ParquetOptions {
            table: "t".to_owned(),
            job: "t".to_owned(),
            path: folder.to_path_buf(),
            time_pattern: None,
            partition_columns: Vec::new(),
            file_bytes: None,
            compression: Compression::Zstd,
            row_group_bytes: None,
            filename_prefix: None,
            sort_columns: vec![0, 1],
            disk: Disk::default(),
        };
        FileFormat::new(&options, &schema, &[0, 1, 2], Instants::Declared)
    }

    /// A file of a minute: each symbol once, with a number of its own; without `trades` before minute 10.
    fn minute(format: &FileFormat, folder: &Path, minute: i64) -> PathBuf {
        let symbols = ["B", "A", "C"];
        let trades = (0..3).map(|symbol| (minute >= 10).then_some(minute * 3 + symbol));
        let rows = RecordBatch::try_from_iter([
            (
                "symbol",
                Arc::new(StringArray::from(symbols.to_vec())) as arrow::array::ArrayRef,
            ),
            (
                "at",
                Arc::new(TimestampNanosecondArray::from(vec![minute; 3])),
            ),
            ("trades", Arc::new(trades.collect::<Int64Array>())),
        ]);
        let (columns, path) = match minute < 10 {
            true => (vec![0, 1], folder.join(format!("{minute}.parquet"))),
            false => (vec![0, 1, 2], folder.join(format!("{minute}.parquet"))),
        };
        let format = format.of_columns(&columns).unwrap();
        let rows = format.sorted(&[rows.unwrap().project(&columns).unwrap()]);
        format.write(&Disk::default(), &path, &rows).unwrap();
        path
    }

    #[test]
    fn every_so_many_rows_are_sorted_as_a_row_group_and_nulls_fill_what_was_added() {
        let folder = tempfile::tempdir().unwrap();
        let format = format(folder.path());
        let sources: Vec<PathBuf> = (0..20)
            .map(|number| minute(&format, folder.path(), number))
            .collect();
        let target = |ordinal| folder.path().join(format!("merged-{ordinal}"));
        let merged = |limits| {
            merge_in_runs(&Disk::default(), &format, &sources, &target, NEVER, limits).unwrap()
        };
        for limits in [(21, usize::MAX), (usize::MAX, 1), (usize::MAX, usize::MAX)] {
            let [(file, bytes)] = &merged(limits).files[..] else {
                panic!("not one file");
            };
            assert_eq!(fs::metadata(file).unwrap().len(), *bytes);
            let open = || ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap());
            let groups = open().unwrap().metadata().num_row_groups();
            let expected = match limits {
                (21, _) => 3,
                (_, 1) => 20,
                _ => 1,
            };
            assert_eq!(groups, expected);
            let mut rows = Vec::new();
            for group in 0..groups {
                let reader = open().unwrap().with_row_groups(vec![group]).build();
                let mut in_group = Vec::new();
                for batch in reader.unwrap() {
                    let batch = batch.unwrap();
                    let trades = batch.column(2).as_primitive::<Int64Type>();
                    let trades = trades.iter();
                    let keys = batch.column(0).as_string::<i32>().iter();
                    let times = batch.column(1);
                    let times = times
                        .as_primitive::<arrow::datatypes::TimestampNanosecondType>()
                        .values();
                    in_group.extend(
                        keys.zip(times.to_vec())
                            .zip(trades)
                            .map(|((key, time), trades)| (key.unwrap().to_owned(), time, trades)),
                    );
                }
                assert!(in_group.is_sorted(), "{in_group:?}");
                rows.extend(in_group);
            }
            rows.sort();
            assert_eq!(rows.len(), 60);
            assert_eq!(rows[0], ("A".to_owned(), 0, None));
            assert_eq!(rows[59], ("C".to_owned(), 19, Some(59)));
        }
    }

    #[test]
    fn it_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let format = format(folder.path());
        let sources = [1, 2].map(|number| minute(&format, folder.path(), number));
        let target = |ordinal| folder.path().join(format!("merged-{ordinal}"));
        for after in 0..4 {
            let asked = std::cell::Cell::new(0);
            let stop = || asked.replace(asked.get() + 1) == after;
            let merged = merge(&Disk::default(), &format, &sources, &target, &stop);
            assert!(matches!(merged, Err(NotCompacted::Stopped)), "{after}");
        }
    }
}
