//! `connector = 'delta', type = 'sink'`: the Delta Lake table that rows are appended to. Its options are Arroyo's,
//! which are a folder's; what a Delta table cannot hold is refused where it stands.

use arrow::datatypes::DataType;

use super::super::diagnostic::{Diagnostic, SourceText};
use super::super::options::Options;
use super::super::parser::Reader;
use super::super::table::ColumnDef;
use super::filesystem::{self, FilesystemSinkOptions};

/// What the name of a column may not have in a Delta table: Parquet's readers of old could not take it.
const NOT_IN_NAMES: [char; 10] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// The Delta Lake table that rows are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaSinkOptions {
    /// Its folder and its data files, which have no time pattern.
    pub files: FilesystemSinkOptions,
}

impl DeltaSinkOptions {
    pub(super) fn canonical(&self) -> String {
        let fields = self.files.partition_names().join(",");
        format!("delta sink path={:?} fields={fields}", self.files.path)
    }

    /// Where the table is, without any secret: `delta file:///data/ohlc`; a relative path is as it is written.
    pub fn place(&self) -> String {
        let path = self.files.path.display();
        match self.files.path.is_absolute() {
            true => format!("delta file://{path}"),
            false => format!("delta {path}"),
        }
    }
}

/// Takes a Delta sink's options. `None`: there were faults, and the reader has them.
pub(super) fn sink(reader: &mut Reader, mut options: Options) -> Option<DeltaSinkOptions> {
    let faults_before = reader.faults.len();
    let why = "it makes folders that a Delta table knows nothing of, so no reader could leave any out: SELECT a DATE column as well, and give 'partitioning.fields' = [that column]";
    options.refuse(reader, "partitioning.time_pattern", why);
    let at = options.span;
    let files = filesystem::files(reader, options, "a delta sink", false);
    if files.as_ref().is_some_and(|files| files.store.is_some()) {
        let message = "the local engine writes Delta tables to the local file system only";
        let help = "file:///data/ohlc, or a relative path such as data/ohlc; a table of plain files may be on an object store: connector = 'filesystem'";
        let fault = reader.source.diagnostic(at, message);
        reader.faults.push(fault.with_help(help));
    }
    (reader.faults.len() == faults_before).then_some(())?;
    files.map(|files| DeltaSinkOptions { files })
}

/// What a Delta table can have as columns, and as folders.
pub(in super::super) fn check_columns(
    source: &SourceText,
    options: &DeltaSinkOptions,
    columns: &[ColumnDef],
    faults: &mut Vec<Diagnostic>,
) {
    filesystem::check_columns(source, &options.files, columns, faults);
    for (at, column) in columns.iter().enumerate() {
        let name = &column.name;
        if let Some(wrong) = name.chars().find(|letter| NOT_IN_NAMES.contains(letter)) {
            let message = format!("a column of a Delta table cannot have {wrong:?} in its name");
            faults.push(source.diagnostic(column.span, message));
        }
        let same = |other: &&ColumnDef| other.name.to_lowercase() == name.to_lowercase();
        if let Some(other) = columns[..at].iter().find(same)
            && other.name != *name
        {
            let message = format!(
                "\"{name}\" and \"{}\" are one column to readers of Delta tables",
                other.name
            );
            faults.push(source.diagnostic(column.span, message));
        }
        if let Some(refused) = not_in_delta(&column.data_type) {
            let (what, help) = match refused {
                DataType::Time64(_) => ("TIME", "keep it as TEXT, or as a TIMESTAMP"),
                DataType::UInt64 => ("unsigned numbers", "declare it as DECIMAL(20, 0)"),
                _ => (
                    "unsigned numbers",
                    "declare it as the next wider one with a sign",
                ),
            };
            let message = format!("a Delta table has no {what}");
            faults.push(source.diagnostic(column.span, message).with_help(help));
        }
    }
    for field in &options.files.partition_fields {
        let is_time = |column: &&ColumnDef| {
            column.name == field.value && matches!(column.data_type, DataType::Timestamp(..))
        };
        if columns.iter().any(|column| is_time(&column)) {
            let message = format!(
                "\"{}\" is TIMESTAMP: a folder for each instant",
                field.value
            );
            let help = "SELECT its day as a DATE column as well, and partition by that";
            faults.push(source.diagnostic(field.span, message).with_help(help));
        }
    }
}

/// The type in it that has no like in a Delta table.
fn not_in_delta(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Time64(_) => Some(data_type.clone()),
        unsigned if unsigned.is_unsigned_integer() => Some(unsigned.clone()),
        DataType::List(item) => not_in_delta(item.data_type()),
        DataType::Struct(fields) => fields
            .iter()
            .find_map(|field| not_in_delta(field.data_type())),
        _ => None,
    }
}
