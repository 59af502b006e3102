//! A file that is a table of the SQL without a declaration there: what that declaration would be.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::sql::StaticFormat;

/// What a file is as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTable {
    /// The statement that declares it.
    pub sql: String,
    /// Columns that are not in it, since the dialect has no type for theirs.
    pub left_out: Vec<String>,
}

/// The declaration of `table`, whose columns are those of a CSV, Parquet or JSON file. `None`: by its name it is
/// none of these.
///
/// # Errors
/// The file cannot be read, or has no column.
pub fn declaration(table: &str, path: &Path) -> Result<Option<FileTable>, String> {
    let Some(format) = format(path) else {
        return Ok(None);
    };
    let told = |error: String| format!("{} cannot be read: {error}", path.display());
    let schema = match format {
        StaticFormat::Csv => csv(path),
        StaticFormat::Json => json(path),
        StaticFormat::Parquet => parquet(path),
    };
    let schema = schema.map_err(told)?;
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for field in schema.fields() {
        match sql_type(field.data_type()) {
            Some(sql_type) => columns.push(format!("{} {sql_type}", quoted(field.name(), '"'))),
            None => left_out.push(field.name().clone()),
        }
    }
    if columns.is_empty() {
        return Err(told("it has no column that SQL has a type for".to_owned()));
    }
    let sql = format!(
        "CREATE TABLE {} (\n  {}\n) WITH (connector = 'filesystem', type = 'source', path = {}, format = '{}');\n",
        quoted(table, '"'),
        columns.join(",\n  "),
        quoted(&path.display().to_string(), '\''),
        format.extension()
    );
    Ok(Some(FileTable { sql, left_out }))
}

fn format(path: &Path) -> Option<StaticFormat> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" => Some(StaticFormat::Csv),
        "parquet" => Some(StaticFormat::Parquet),
        "json" | "ndjson" | "jsonl" => Some(StaticFormat::Json),
        _ => None,
    }
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| error.to_string())
}

/// The first line names the columns; all the others say what they are.
fn csv(path: &Path) -> Result<Schema, String> {
    let format = Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(open(path)?, None)
        .map_err(|error| error.to_string())?;
    let trimmed = |field: &Field| field.clone().with_name(field.name().trim());
    Ok(Schema::new(
        schema
            .fields()
            .iter()
            .map(|f| trimmed(f))
            .collect::<Vec<_>>(),
    ))
}

fn json(path: &Path) -> Result<Schema, String> {
    let mut reader = BufReader::new(open(path)?);
    let inferred = arrow::json::reader::infer_json_schema(&mut reader, None);
    let (schema, _) = inferred.map_err(|error| error.to_string())?;
    Ok(schema)
}

fn parquet(path: &Path) -> Result<Schema, String> {
    // Deliberately first: DataFusion would look for a folder of that name, and say less.
    open(path)?;
    let path = path.display().to_string();
    let read = async {
        let context = SessionContext::new();
        let table = context
            .read_parquet(path, ParquetReadOptions::default())
            .await?;
        Ok(table.schema().as_arrow().clone())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let read: datafusion::common::Result<Schema> = runtime.block_on(read);
    read.map_err(|error| error.strip_backtrace())
}

/// How the dialect writes a type; `None`: it has none for it. Text that is always null in a CSV or JSON file is text.
fn sql_type(data_type: &DataType) -> Option<String> {
    let plain = |name: &str| Some(name.to_owned());
    match data_type {
        DataType::Boolean => plain("BOOLEAN"),
        DataType::Int8 => plain("TINYINT"),
        DataType::Int16 => plain("SMALLINT"),
        DataType::Int32 => plain("INT"),
        DataType::Int64 => plain("BIGINT"),
        DataType::UInt8 => plain("TINYINT UNSIGNED"),
        DataType::UInt16 => plain("SMALLINT UNSIGNED"),
        DataType::UInt32 => plain("INT UNSIGNED"),
        DataType::UInt64 => plain("BIGINT UNSIGNED"),
        DataType::Float16 | DataType::Float32 => plain("REAL"),
        DataType::Float64 => plain("DOUBLE"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => plain("TEXT"),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::Date32 | DataType::Date64 => plain("DATE"),
        DataType::Timestamp(unit, _) => Some(format!(
            "TIMESTAMP({})",
            match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            }
        )),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => plain("BYTEA"),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            Some(format!("DECIMAL({precision}, {scale})"))
        }
        DataType::List(item) | DataType::LargeList(item) => {
            sql_type(item.data_type()).map(|item| format!("{item}[]"))
        }
        DataType::Struct(fields) => {
            let fields: Option<Vec<String>> = fields
                .iter()
                .map(|field| {
                    let sql_type = sql_type(field.data_type())?;
                    Some(format!("{} {sql_type}", quoted(field.name(), '"')))
                })
                .collect();
            fields.map(|fields| format!("STRUCT<{}>", fields.join(", ")))
        }
        _ => None,
    }
}

fn quoted(text: &str, mark: char) -> String {
    let doubled = text.replace(mark, &format!("{mark}{mark}"));
    format!("{mark}{doubled}{mark}")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(name: &str, text: &str, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let table = declaration("sectors", &path);
        let shown = format!("{table:#?}");
        expected.assert_eq(&shown.replace(&dir.path().display().to_string(), "DIR"));
    }

    #[test]
    fn a_csv_files_lines_say_what_its_columns_are() {
        check(
            "a.csv",
            "symbol, weight,listed,\"a \"\"b\"\"\",empty\nA,1.5,2020-01-02,true,\nB,2,2021-01-01,false,\n",
            expect![[r#"
                Ok(
                    Some(
                        FileTable {
                            sql: "CREATE TABLE \"sectors\" (\n  \"symbol\" TEXT,\n  \"weight\" DOUBLE,\n  \"listed\" DATE,\n  \"a \"\"b\"\"\" BOOLEAN,\n  \"empty\" TEXT\n) WITH (connector = 'filesystem', type = 'source', path = 'DIR/a.csv', format = 'csv');\n",
                            left_out: [],
                        },
                    ),
                )"#]],
        );
    }

    #[test]
    fn a_json_files_objects_may_hold_others() {
        check(
            "a.ndjson",
            "{\"symbol\":\"A\",\"tags\":[1,2],\"of\":{\"x\":1}}\n{\"symbol\":null,\"more\":null}\n",
            expect![[r#"
                Ok(
                    Some(
                        FileTable {
                            sql: "CREATE TABLE \"sectors\" (\n  \"of\" STRUCT<\"x\" BIGINT>,\n  \"symbol\" TEXT,\n  \"tags\" BIGINT[],\n  \"more\" TEXT\n) WITH (connector = 'filesystem', type = 'source', path = 'DIR/a.ndjson', format = 'json');\n",
                            left_out: [],
                        },
                    ),
                )"#]],
        );
    }

    #[test]
    fn what_is_no_table_is_told() {
        check(
            "a.csv",
            "",
            expect![[r#"
            Err(
                "DIR/a.csv cannot be read: it has no column that SQL has a type for",
            )"#]],
        );
        check(
            "a.json",
            "not JSON\n",
            expect![[r#"
            Err(
                "DIR/a.json cannot be read: Json error: Not valid JSON: expected ident at line 1 column 2",
            )"#]],
        );
        check(
            "a.parquet",
            "not Parquet",
            expect![[r#"
            Err(
                "DIR/a.parquet cannot be read: Parquet error: Parquet error: Invalid Parquet file. Corrupt footer",
            )"#]],
        );
        check(
            "log4j.properties",
            "a=b",
            expect![[r#"
            Ok(
                None,
            )"#]],
        );
    }

    #[test]
    fn types_are_the_dialects() {
        let of = |data_type| sql_type(&data_type).unwrap_or_default();
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert_eq!(of(dictionary), "TEXT");
        assert_eq!(of(DataType::Decimal128(10, 2)), "DECIMAL(10, 2)");
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(of(time), "TIMESTAMP(6)");
        assert_eq!(sql_type(&DataType::Duration(TimeUnit::Second)), None);
    }
}
