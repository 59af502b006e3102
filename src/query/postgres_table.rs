//! The table of a PostgreSQL sink as its declaration in the SQL would have it: what is shown, and made if that is asked
//! for.

use arrow::datatypes::Field;

use super::plan::Output;
use super::sql::{PostgresSinkOptions, postgres_type};
use crate::config::postgres::quoted;
use crate::model::{EXTENSION_NAME_KEY, JSON_EXTENSION};

/// `CREATE TABLE` for the rows of `output`, over several lines, without a semicolon.
pub fn postgres_declaration(output: &Output, options: &PostgresSinkOptions) -> String {
    let fields = output.schema.fields().iter().enumerate();
    let mut parts: Vec<String> = fields
        .map(|(at, field)| {
            let not_null = if output.primary_key.contains(&at) {
                " NOT NULL"
            } else {
                ""
            };
            format!("{} {}{not_null}", quoted(field.name()), created_as(field))
        })
        .collect();
    if !output.primary_key.is_empty() {
        let key = output.primary_key.iter();
        let key: Vec<String> = key
            .map(|&at| quoted(output.schema.field(at).name()))
            .collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{} (\n    {}\n)",
        quoted(&options.schema),
        quoted(&options.table),
        parts.join(",\n    ")
    )
}

fn created_as(field: &Field) -> String {
    let is_json =
        field.metadata().get(EXTENSION_NAME_KEY).map(String::as_str) == Some(JSON_EXTENSION);
    // Others were refused with the declaration.
    postgres_type(field.data_type(), is_json).unwrap_or_else(|| "text".to_owned())
}

/// Why rows may replace each other; `None`: the key has room for all that tells two rows apart, or there is none.
pub fn doubtful_key(output: &Output) -> Option<String> {
    output.pipeline.windows()?;
    let groups = output.pipeline.keys();
    let key_columns = output.primary_key.len();
    // A key of as many columns as there are groups, and the window: what each stands for is the user's to say.
    let is_short = (1..=groups.len()).contains(&key_columns);
    is_short.then(|| {
        let groups = match groups {
            [] => String::new(),
            groups => format!("{}, and ", groups.join(", ")),
        };
        format!("rows are told apart by {groups}the window; the key has fewer columns: of rows with one key the last one stays")
    })
}
