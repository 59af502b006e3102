//! One Parquet file: which rows in which order, and how they are written down.
//!
//! Plain types that every reader has had for years: text as UTF8, event times as nanoseconds
//! without a zone (in a Delta table as its microseconds, UTC), and no Arrow schema embedded beside Parquet's own.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray, UInt32Array, make_comparator,
    new_empty_array,
};
use arrow::compute::{SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, Encoding, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{Compression, ParquetOptions};
use crate::disk::{Disk, DiskFile};

/// Rows a page at most, and with that the grain in which a reader can skip.
const PAGE_ROWS: usize = 20_000;
/// zstd's level: candles of a minute come out as small as with the highest ones.
const ZSTD_LEVEL: i32 = 3;

/// Bytes of different values of a column whose values share bytes that are written once a row group.
const SHARED_BYTES: usize = 64 << 20;

/// Rows between two looks at the size of a file that may only grow so far.
const SIZED_PIECE_ROWS: usize = 1_000;

/// How instants are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instants {
    /// As they are declared, without a zone.
    Declared,
    /// As microseconds, UTC: what a Delta table calls a timestamp.
    MicrosUtc,
}

/// What a file holds.
pub(super) struct Written {
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

/// How a table's rows become files.
#[derive(Debug)]
pub(super) struct FileFormat {
    /// The columns as they are written.
    schema: SchemaRef,
    /// See [`ParquetOptions::file_bytes`].
    file_bytes: Option<u64>,
    sort_columns: Vec<usize>,
    /// For files of a page or less, and for longer ones.
    short: WriterProperties,
    long: WriterProperties,
}

/// A file that rows are written into.
pub(super) struct OpenFile {
    writer: ArrowWriter<DiskFile>,
    /// The writer's own.
    file: DiskFile,
    piece: usize,
    bytes_max: usize,
    rows: usize,
}

impl OpenFile {
    /// Writes the first of these rows, as many as the file may still have, at least one; how many.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<usize, ParquetError> {
        let mut written = 0;
        while written < batch.num_rows() {
            let rows = self.piece.min(batch.num_rows() - written);
            self.writer.write(&batch.slice(written, rows))?;
            written += rows;
            if self.is_full() {
                break;
            }
        }
        self.rows += written;
        Ok(written)
    }

    /// Whether it has grown to the size of a file.
    pub(super) fn is_full(&self) -> bool {
        self.writer.bytes_written() + self.writer.in_progress_size() >= self.bytes_max
    }

    /// What comes next is a row group of its own.
    pub(super) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()
    }

    /// Writes what is left; durable but for its name.
    pub(super) fn end(mut self) -> Result<Written, ParquetError> {
        // Not into_inner(), which makes a text of what the system refuses.
        self.writer.finish()?;
        drop(self.writer);
        self.file.sync()?;
        Ok(Written {
            rows: self.rows,
            bytes: self.file.bytes()?,
        })
    }
}

impl FileFormat {
    /// The format for these `columns` of rows of `declared`.
    pub(super) fn new(
        options: &ParquetOptions,
        declared: &Schema,
        columns: &[usize],
        instants: Instants,
    ) -> FileFormat {
        let schema = file_schema(declared, columns, instants);
        let place = |column: &usize| columns.iter().position(|written| written == column);
        let sort_columns = options.sort_columns.iter().filter_map(place);
        FileFormat {
            file_bytes: options.file_bytes,
            sort_columns: sort_columns
                .filter(|&column| is_comparable(schema.field(column).data_type()))
                .collect(),
            short: properties(options, &schema, false),
            long: properties(options, &schema, true),
            schema,
        }
    }

    /// Writes the first of the [`sorted`](FileFormat::sorted) rows as one file, as many as it may have, at least
    /// one; durable but for its name.
    pub(super) fn write(
        &self,
        disk: &Disk,
        path: &Path,
        batch: &RecordBatch,
    ) -> Result<Written, ParquetError> {
        let mut file = self.begin(disk, path, batch.num_rows())?;
        file.push(batch)?;
        file.end()
    }

    /// Begins a file of about so many rows.
    pub(super) fn begin(
        &self,
        disk: &Disk,
        path: &Path,
        rows: usize,
    ) -> Result<OpenFile, ParquetError> {
        let properties = if rows > PAGE_ROWS {
            &self.long
        } else {
            &self.short
        };
        let options = ArrowWriterOptions::new()
            .with_properties(properties.clone())
            .with_skip_arrow_metadata(true);
        let file = disk.create(path)?;
        // In pieces: the writer looks at the size of a row group between them, and we at the file's.
        let (piece, bytes_max) = match self.file_bytes {
            None => (PAGE_ROWS, usize::MAX),
            Some(bytes) => (
                SIZED_PIECE_ROWS,
                usize::try_from(bytes).unwrap_or(usize::MAX),
            ),
        };
        Ok(OpenFile {
            writer: ArrowWriter::try_new_with_options(
                file.try_clone()?,
                Arc::clone(&self.schema),
                options,
            )?,
            file,
            piece,
            bytes_max,
            rows: 0,
        })
    }

    /// The columns as they are written.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The format of files that have only these columns of the table's, ascending.
    pub(super) fn of_columns(&self, columns: &[usize]) -> Result<FileFormat, ArrowError> {
        let place = |column: &usize| columns.iter().position(|kept| kept == column);
        Ok(FileFormat {
            schema: Arc::new(self.schema.project(columns)?),
            file_bytes: self.file_bytes,
            sort_columns: self.sort_columns.iter().filter_map(place).collect(),
            short: self.short.clone(),
            long: self.long.clone(),
        })
    }

    /// All rows in one batch of the written types, in the table's order; rows that are equal in it
    /// keep the order they came in.
    pub(super) fn sorted(&self, rows: &[RecordBatch]) -> RecordBatch {
        let rows: Vec<RecordBatch> = rows.iter().map(|rows| self.as_written(rows)).collect();
        let batch = concat_batches(&self.schema, &rows).expect("all have the written schema");
        if self.sort_columns.is_empty() {
            return batch;
        }
        let count = u32::try_from(batch.num_rows()).expect("an epoch has fewer than 2^32 rows");
        let arrival: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..count));
        let by: Vec<SortColumn> = self
            .sort_columns
            .iter()
            .map(|&column| batch.column(column))
            .chain([&arrival])
            .map(|values| SortColumn {
                values: Arc::clone(values),
                options: Some(SortOptions::default()),
            })
            .collect();
        let order = lexsort_to_indices(&by, None).expect("only comparable columns are kept");
        let columns = batch
            .columns()
            .iter()
            .map(|column| take(column, &order, None).expect("the order is a permutation"))
            .collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("types are unchanged")
    }

    fn as_written(&self, rows: &RecordBatch) -> RecordBatch {
        let columns = rows
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                let column = floored(column, field.data_type());
                cast(&column, field.data_type()).expect("rows have the declared schema")
            })
            .collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("rows have the declared schema")
    }
}

/// The declared columns in types that every reader knows. All may be null: whether they are is the
/// query's matter, and files of one table then have one schema for ever.
pub(super) fn file_schema(declared: &Schema, columns: &[usize], instants: Instants) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|&column| file_field(declared.field(column), instants));
    let fields: Vec<Field> = fields.collect();
    Arc::new(Schema::new(fields))
}

fn file_field(field: &Field, instants: Instants) -> Field {
    Field::new(field.name(), file_type(field.data_type(), instants), true)
}

fn file_type(declared: &DataType, instants: Instants) -> DataType {
    match declared {
        DataType::Timestamp(..) if instants == Instants::MicrosUtc => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        // Views stay: their values share bytes, and flat they may be more than memory, and offsets, hold.
        DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => file_type(values, instants),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| file_field(field, instants));
            DataType::Struct(fields.collect())
        }
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(Arc::new(file_field(item, instants)))
        }
        other => other.clone(),
    }
}

/// Nanoseconds that become microseconds, without what is lost: the instant before, also before 1970, where a
/// cast gives the one after.
fn floored(column: &ArrayRef, written: &DataType) -> ArrayRef {
    match (column.data_type(), written) {
        (DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Timestamp(unit, _))
            if *unit == TimeUnit::Microsecond =>
        {
            let nanos = column.as_primitive::<TimestampNanosecondType>();
            let floored: TimestampNanosecondArray =
                nanos.unary(|nanos| nanos - nanos.rem_euclid(1000));
            Arc::new(floored)
        }
        _ => Arc::clone(column),
    }
}

fn is_comparable(data_type: &DataType) -> bool {
    let empty = new_empty_array(data_type);
    make_comparator(&empty, &empty, SortOptions::default()).is_ok()
}

/// Statistics of each page are worth their bytes only where there is more than one.
fn properties(options: &ParquetOptions, schema: &Schema, long: bool) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(codec(options.compression))
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_offset_index_disabled(!long)
        .set_statistics_enabled(if long {
            EnabledStatistics::Page
        } else {
            EnabledStatistics::Chunk
        });
    if let Some(bytes) = options.row_group_bytes {
        properties = properties
            .set_max_row_group_bytes(Some(usize::try_from(bytes).unwrap_or(usize::MAX).max(1)));
    }
    for field in schema.fields() {
        let column = ColumnPath::new(vec![field.name().clone()]);
        properties = match field.data_type() {
            DataType::Utf8 => properties.set_column_dictionary_enabled(column, true),
            // Values that share bytes are often the same.
            DataType::BinaryView => properties
                .set_column_dictionary_enabled(column.clone(), true)
                .set_column_dictionary_page_size_limit(column, SHARED_BYTES),
            DataType::Timestamp(_, _) => {
                properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
            }
            _ => properties,
        };
    }
    properties.build()
}

fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Uncompressed => Codec::UNCOMPRESSED,
        Compression::Snappy => Codec::SNAPPY,
        Compression::Gzip => Codec::GZIP(GzipLevel::default()),
        Compression::Zstd => {
            Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("zstd's levels are 1 to 22"))
        }
        Compression::Lz4 => Codec::LZ4_RAW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_cut_off_to_the_microsecond_before_also_before_1970() {
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![
            Some(1_999),
            Some(-1),
            Some(-1_000),
            None,
        ]));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let written = cast(&floored(&nanos, &micros), &micros).unwrap();
        let written = written.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        let values: Vec<Option<i64>> = written.iter().collect();
        assert_eq!(values, [Some(1), Some(-1), Some(-1), None]);
        assert_eq!(*floored(&nanos, nanos.data_type()), *nanos);
    }
}
