//! What a SQL file means, as far as a checkpoint and a folder of candles depend on it; and whether an
//! edited file may go on from another's.

use std::collections::BTreeMap;
use std::path::Path;

use super::plan::{Output, SourcePlan};
use super::sinks::STDOUT;
use super::sql::{SqlFile, Statement, sql_name};

/// The meaning of a file: entries that are compared one by one when a job starts again.
///
/// `topic` is what is read; `path T`, `partitioning T`, `window T`, `keys T` and `columns T` are a table's
/// place, the directories in it, its window, group keys and columns; `connector T` is what writes it, if that is
/// no folder and no printing, and `key T` its PRIMARY KEY; `sql` is the whole text without layout and comments.
pub fn of(file: &SqlFile, source: &SourcePlan, outputs: &[Output]) -> BTreeMap<String, String> {
    let canonical: Vec<&str> = file.statements.iter().map(Statement::canonical).collect();
    let mut meaning = BTreeMap::from([
        ("topic".to_string(), source.options.topic.clone()),
        ("sql".to_string(), canonical.join(";\n")),
    ]);
    for output in outputs {
        let table = &output.table;
        let columns = output.schema.fields().iter();
        let columns =
            columns.map(|field| format!("{} {}", field.name(), sql_name(field.data_type())));
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let windows = match output.pipeline.windows() {
            None => "none".to_owned(),
            Some(windows) if windows.overlap() == 1 => {
                format!("tumble {} s", seconds(windows.width()))
            }
            Some(windows) => format!(
                "hop {} s, {} s",
                seconds(windows.slide()),
                seconds(windows.width())
            ),
        };
        if output.sink.is_preview() {
            continue;
        }
        if let Some(sink) = output.sink.files() {
            let pattern = sink.time_pattern.as_deref();
            let by: Vec<&str> = pattern.into_iter().chain(sink.partition_names()).collect();
            let by = match by.is_empty() {
                true => "none".to_string(),
                false => by.join(", "),
            };
            meaning.insert(format!("partitioning {table}"), by);
        }
        if let Some(remote) = output.sink.remote() {
            meaning.insert(format!("connector {table}"), remote.to_owned());
        }
        if !output.primary_key.is_empty() {
            let names = (output.primary_key.iter()).map(|&at| output.schema.field(at).name());
            let names: Vec<&str> = names.map(String::as_str).collect();
            meaning.insert(format!("key {table}"), names.join(", "));
        }
        meaning.insert(format!("path {table}"), output.sink.place());
        meaning.insert(format!("window {table}"), windows);
        meaning.insert(format!("keys {table}"), output.pipeline.keys().join(", "));
        meaning.insert(
            format!("columns {table}"),
            columns.collect::<Vec<_>>().join(", "),
        );
    }
    meaning
}

/// The folder that a table of `meaning` is written to; `None`: it is written to something else.
pub fn folder_of<'a>(meaning: &'a BTreeMap<String, String>, table: &str) -> Option<&'a Path> {
    let place = path_of(meaning, table)?;
    let is_folder = !meaning.contains_key(&format!("connector {table}")) && place != STDOUT;
    is_folder.then(|| Path::new(place))
}

/// Where a table of `meaning` is written to: a folder, `standard output`, what its connector calls its place.
pub fn path_of<'a>(meaning: &'a BTreeMap<String, String>, table: &str) -> Option<&'a str> {
    meaning.get(&format!("path {table}")).map(String::as_str)
}

/// The tables of `meaning`, each with its folder.
fn tables(meaning: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    meaning.iter().filter_map(|(name, path)| {
        let table = name.strip_prefix("path ")?;
        Some((table, path.as_str()))
    })
}

/// What an edited file does to a job that goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// The same rows.
    None,
    /// Windows that are still open are computed by the new SQL; emitted ones stay. Tables of these names are
    /// no longer written.
    Resume(Vec<String>),
    /// It cannot go on: one line a difference, `what: old → new`.
    Refuse(Vec<String>),
}

/// The columns of `was` that are not in `is`; columns may be added.
fn lost_columns(name: &str, was: &str, is: &str) -> Vec<String> {
    let is: Vec<&str> = is.split(", ").collect();
    let lost = was.split(", ").filter(|column| !is.contains(column));
    let lost = lost.map(|was| {
        let (column, _) = was.split_once(' ').unwrap_or((was, ""));
        let same_name = |is: &&&str| is.split_once(' ').is_some_and(|(is, _)| is == column);
        let now = is.iter().find(same_name).copied().unwrap_or("nothing");
        format!("{name}: {was} → {now}")
    });
    lost.collect()
}

/// Compares what a checkpoint was written for with what the file means now.
///
/// A table that is no longer written keeps its candles, and the others go on exactly. One that is added
/// cannot: its first windows would miss the ticks before the point where the job reads on.
pub fn compare(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Change {
    if old == new {
        return Change::None;
    }
    let gone: Vec<&str> = (tables(old).map(|(table, _)| table))
        .filter(|table| path_of(new, table).is_none())
        .collect();
    let added: Vec<(&str, &str)> = tables(new)
        .filter(|(table, _)| path_of(old, table).is_none())
        .collect();
    let of_table =
        |name: &str, table: &str| name.split_once(' ').is_some_and(|(_, of)| of == table);
    let mut refused: Vec<String> = (added.iter())
        .map(|&(table, path)| match tables(old).find(|(_, of)| *of == path && path != STDOUT) {
            // One folder under another name.
            Some((was, _)) => format!("table of {path}: {was} → {table}"),
            None => format!(
                "table {table}: nothing → {path}; its first windows would lack the ticks that were read before"
            ),
        })
        .collect();
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let whole_table = gone.iter().any(|table| of_table(name, table))
            || added.iter().any(|(table, _)| of_table(name, table));
        match (old.get(name), new.get(name)) {
            _ if name == "sql" || whole_table => {}
            (Some(was), Some(is)) if name.starts_with("columns ") => {
                refused.extend(lost_columns(name, was, is));
            }
            (was, is) if was == is => {}
            (was, is) => {
                let shown =
                    |text: Option<&String>| text.map_or("nothing", String::as_str).to_string();
                refused.push(format!("{name}: {} → {}", shown(was), shown(is)));
            }
        }
    }
    match refused.is_empty() {
        true => Change::Resume(gone.into_iter().map(str::to_string).collect()),
        false => Change::Refuse(refused),
    }
}
