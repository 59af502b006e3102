//! `connector = 'postgres', type = 'sink'`: the table of a PostgreSQL database that rows are written to.

use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};

use super::super::diagnostic::{Diagnostic, SourceText};
use super::super::options::{Options, Taken};
use super::super::parser::Reader;
use super::super::table::{ColumnDef, sql_name};
use crate::config::postgres::PostgresUrl;
use crate::config::secret::Secret;

/// Letters of a name at the most; the server would cut a longer one.
const LONGEST_NAME_BYTES: usize = 63;
/// The schema of a table where none is said.
const PUBLIC: &str = "public";
/// Options of other connectors that mean nothing here.
const NOT_RUN: [&str; 3] = ["connection_profile", "format", "idle_micros"];

/// The table that rows are written to, and how its server is reached. `Debug` shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSinkOptions {
    /// The server, the database, who logs in.
    pub url: PostgresUrl,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Least time between two commits of closed windows; `None`: not given.
    pub rolling_interval: Option<Duration>,
    /// Rows are committed earlier when no window has closed for this long; `None`: not given.
    pub rolling_inactivity: Option<Duration>,
    /// Whether a table that is not there is made; not an option of the SQL.
    pub create_table: bool,
}

impl PostgresSinkOptions {
    pub(super) fn canonical(&self) -> String {
        format!("postgres sink {}", self.place())
    }

    /// Where the rows go, for people and for the checkpoint: `postgres://db:5432/market/public.ohlc_candles`.
    pub fn place(&self) -> String {
        let (servers, database) = (self.url.servers(), self.database());
        format!(
            "postgres://{servers}/{database}/{}.{}",
            self.schema, self.table
        )
    }

    /// The database: the user's name where none is said.
    pub fn database(&self) -> &str {
        let database = self.url.database.as_deref();
        database.or(self.url.user.as_deref()).unwrap_or_default()
    }
}

/// Takes a PostgreSQL sink's options. `table` is its name in the SQL. `None`: there were faults, and the reader has
/// them.
pub(super) fn sink(
    reader: &mut Reader,
    mut options: Options,
    table: &str,
) -> Option<PostgresSinkOptions> {
    let faults_before = reader.faults.len();
    let url = options.required_text(reader, "url");
    let url = url.and_then(|taken| url_of(reader, &taken));
    let username = options.text(reader, "username");
    let password = options.text(reader, "password");
    let named = options.text(reader, "table");
    let schema = options.text(reader, "schema");
    let rolling_interval = options.duration(reader, "rolling_policy.interval");
    let rolling_inactivity = options.duration(reader, "rolling_policy.inactivity_interval");
    options.not_run(reader, &NOT_RUN);
    for name in [&named, &schema].into_iter().flatten() {
        check_name(reader, name);
    }
    let span = options.span;
    options.finish(reader, "a postgres sink");
    let mut url = url?;
    let filled = |taken: Option<Taken<String>>| taken.map(|t| t.value).filter(|v| !v.is_empty());
    url.user = filled(username).or(url.user);
    url.password = filled(password).map(Secret::new).or(url.password);
    if url.user.is_none() {
        let message = "nobody is named to log in as";
        let fault = reader.source.diagnostic(span, message);
        let help = "postgres://USER@HOST/DATABASE, or the option 'username'";
        reader.faults.push(fault.with_help(help));
    }
    (reader.faults.len() == faults_before).then(|| PostgresSinkOptions {
        url,
        schema: filled(schema).unwrap_or_else(|| PUBLIC.to_owned()),
        table: filled(named).unwrap_or_else(|| table.to_owned()),
        rolling_interval: rolling_interval.map(|taken| taken.value),
        rolling_inactivity: rolling_inactivity.map(|taken| taken.value),
        create_table: false,
    })
}

fn url_of(reader: &mut Reader, taken: &Taken<String>) -> Option<PostgresUrl> {
    match PostgresUrl::parse(&taken.value) {
        Ok(url) => Some(url),
        Err(why) => {
            let message = "option 'url' cannot be read";
            let fault = reader.source.diagnostic(taken.span, message);
            reader.faults.push(fault.with_help(why));
            None
        }
    }
}

fn check_name(reader: &mut Reader, name: &Taken<String>) {
    let message = match name.value.as_str() {
        "" => "the name is empty".to_owned(),
        text if text.len() > LONGEST_NAME_BYTES => {
            format!("the name is longer than {LONGEST_NAME_BYTES} bytes")
        }
        text if text.contains(char::is_control) => "the name has a control character".to_owned(),
        _ => return,
    };
    reader
        .faults
        .push(reader.source.diagnostic(name.span, message));
}

/// Refuses columns of types that no column of PostgreSQL is.
pub(in crate::query::sql) fn check_types(
    source: &SourceText,
    columns: &[ColumnDef],
    faults: &mut Vec<Diagnostic>,
) {
    for column in columns {
        if column.name.len() > LONGEST_NAME_BYTES {
            let message = format!(
                "the name of column \"{}\" is longer than {LONGEST_NAME_BYTES} bytes",
                column.name
            );
            faults.push(source.diagnostic(column.span, message));
        }
        if type_name(&column.data_type, false).is_none() {
            let message = format!(
                "column \"{}\" is {}, which no column of PostgreSQL can be",
                column.name,
                sql_name(&column.data_type)
            );
            let help = "give each of its fields a column of its own, or declare it JSON and write a text of that form";
            faults.push(source.diagnostic(column.span, message).with_help(help));
        }
    }
}

/// What a column of this type is in a table that StockPulse makes; `None`: nothing is.
pub fn type_name(data_type: &DataType, is_json: bool) -> Option<String> {
    let name = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json => "jsonb",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::UInt64 => "numeric(20)",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Time64(TimeUnit::Nanosecond) => "time",
        DataType::Timestamp(_, None) => "timestamptz",
        DataType::Binary => "bytea",
        DataType::Decimal128(precision, scale) => {
            return Some(format!("numeric({precision},{scale})"));
        }
        DataType::List(item) if !item.data_type().is_nested() => {
            return type_name(item.data_type(), false).map(|name| format!("{name}[]"));
        }
        _ => return None,
    };
    Some(name.to_owned())
}
