//! A case as it is on disk: its SQL, its ticks, and what its `case.json` says besides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::ticks::{self, PARTITIONS_MAX, TickFrame};
use crate::config::instant::parse_instant;
use crate::model::{NANOS_PER_MILLI, Partition};
use crate::query::sql::{Diagnostics, SqlFile};

/// What a case says of itself besides SQL and ticks; it may be missing.
pub const CASE_FILE: &str = "case.json";

/// `case.json`; all of it can be left out. Paths are relative to the case's folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseFile {
    /// What it shows.
    about: String,
    /// The SQL file; by default the one in the folder, or `job.sql` of several.
    sql: Option<PathBuf>,
    /// Replacements in the SQL: text that is there once, and what stands there instead.
    edit: Vec<(String, String)>,
    /// Values of `{{ NAME }}`. The environment has none: a case is the same everywhere.
    vars: BTreeMap<String, String>,
    /// The file of ticks; by default `ticks.ndjson` in the folder.
    ticks: Option<PathBuf>,
    /// Partitions of the topic; by default as many as the ticks name.
    partitions: Option<Partition>,
    /// The wall clock at the end of the ticks; by default so late that every window closes.
    now: Option<String>,
}

/// A case, read from its folder.
#[derive(Debug)]
pub struct Case {
    /// Its frames in the order of arrival.
    pub frames: Vec<TickFrame>,
    /// Partitions of the topic, 1 and up.
    pub partitions: Partition,
    /// It does not say itself what is in which partition.
    pub may_be_dealt: bool,
    /// The wall clock at the end, nanoseconds since 1970 UTC.
    pub now: Option<i64>,
    /// The newest time in the ticks, nanoseconds since 1970 UTC.
    pub newest: Option<i64>,
    sql_path: PathBuf,
    sql: String,
    vars: BTreeMap<String, String>,
}

impl Case {
    /// Reads the case in `folder`.
    ///
    /// # Errors
    /// What is missing or wrong, with the file.
    pub fn read(folder: &Path) -> Result<Case, String> {
        let path = folder.join(CASE_FILE);
        let file = match path.exists() {
            true => serde_json::from_str(&read_text(&path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            false => CaseFile::default(),
        };
        let fault = |what: String| format!("{}: {what}", path.display());
        let sql_path = match &file.sql {
            Some(sql) => below(folder, sql),
            None => only_sql(folder)?,
        };
        let mut sql = read_text(&sql_path)?;
        for (old, new) in &file.edit {
            if sql.matches(old.as_str()).count() != 1 {
                let what = format!("edit: {old:?} is not once in {}", sql_path.display());
                return Err(fault(what));
            }
            sql = sql.replace(old, new);
        }
        let ticks_path = match &file.ticks {
            Some(ticks) => below(folder, ticks),
            None => ticks::only_file(folder)?,
        };
        let ticks = ticks::read(&ticks_path)?;
        let named = ticks.frames.iter().map(|frame| frame.partition + 1).max();
        let named = named.unwrap_or(1);
        let partitions = file.partitions.unwrap_or(named);
        if !(named..=PARTITIONS_MAX).contains(&partitions) {
            let what = format!(
                "partitions: {partitions} is not from {named}, which the ticks need, to {PARTITIONS_MAX}"
            );
            return Err(fault(what));
        }
        let now = file.now.as_deref().map(parse_instant).transpose();
        Ok(Case {
            may_be_dealt: !ticks.names_partitions && file.partitions.is_none(),
            frames: ticks.frames,
            partitions,
            now: now.map_err(|error| fault(format!("now: {error}")))?,
            newest: ticks.newest_ms.map(|ms| ms.saturating_mul(NANOS_PER_MILLI)),
            sql_path,
            sql,
            vars: file.vars,
        })
    }

    /// Parses its SQL; positions are those of the file, where it is not edited.
    ///
    /// # Errors
    /// Every fault of the SQL.
    pub fn sql(&self) -> Result<SqlFile, Diagnostics> {
        let lookup = |name: &str| self.vars.get(name).cloned();
        SqlFile::parse(&self.sql_path.display().to_string(), &self.sql, &lookup)
    }

    /// Variables of `case.json` that the SQL does not have.
    pub fn unused_vars(&self, variables: &BTreeSet<String>) -> Vec<&str> {
        let unused = self.vars.keys().filter(|name| !variables.contains(*name));
        unused.map(String::as_str).collect()
    }
}

/// The one SQL file in the folder, or `job.sql` of several.
fn only_sql(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = (entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "sql"))
        .collect();
    files.sort();
    let job = folder.join("job.sql");
    match &files[..] {
        [only] => Ok(only.clone()),
        [] => Err(format!(
            "there is no SQL: write job.sql, or name a SQL file in {CASE_FILE} (\"sql\")"
        )),
        _ if files.contains(&job) => Ok(job),
        _ => Err(format!(
            "there are {} SQL files, and none is job.sql; say in {CASE_FILE} which it is (\"sql\")",
            files.len()
        )),
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// `path` from `folder`, without the detours: `cases/a` and `../b.sql` are `cases/b.sql`.
fn below(folder: &Path, path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in folder.join(path).components() {
        let goes_up = part == Component::ParentDir;
        match plain.components().next_back() {
            Some(Component::Normal(_)) if goes_up => drop(plain.pop()),
            _ => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_detours() {
        let check = |folder: &str, path: &str, plain: &str| {
            assert_eq!(below(Path::new(folder), Path::new(path)), Path::new(plain));
        };
        check("tests/cases/a", "../../../sql/ohlc.sql", "sql/ohlc.sql");
        check("a", "../../b.sql", "../b.sql");
        check("..", "../b.sql", "../../b.sql");
        check("a", "/b.sql", "/b.sql");
    }
}
