//! `--files`: files that are tables of the SQL without a declaration there.

use tracing::{info, warn};

use crate::config::ingest::{TableFile, UsageError};
use crate::query::declaration;
use crate::query::sql::SqlFile;

/// Whether all of `files` are there.
///
/// # Errors
/// The first that is not.
pub fn check(files: &[TableFile]) -> Result<(), UsageError> {
    match files.iter().find(|file| !file.path.is_file()) {
        None => Ok(()),
        Some(file) => Err(UsageError(format!(
            "--files: there is no file {}",
            file.path.display()
        ))),
    }
}

/// Declares each of `files` that the SQL does not declare itself.
///
/// # Errors
/// One that is to be a table cannot be read, or has a column that cannot be one.
pub fn add(sql: &mut SqlFile, files: &[TableFile]) -> Result<(), String> {
    for TableFile { table, path } in files {
        let shown = path.display();
        if sql.declares(table) {
            info!("--files: {shown} is not read, since the SQL declares {table} itself");
            continue;
        }
        let told = |error: String| format!("--files: {error}");
        let Some(declared) = declaration(table, path).map_err(told)? else {
            warn!(
                "--files: {shown} has no effect: a table is a .csv, .parquet, .json, .ndjson or .jsonl file"
            );
            continue;
        };
        if !declared.left_out.is_empty() {
            let columns = declared.left_out.join(", ");
            warn!(
                "--files: columns of {shown} are left out, SQL has no type for theirs: {columns}"
            );
        }
        let parsed = SqlFile::parse(&format!("--files {shown}"), &declared.sql, &|_| None);
        sql.declare(parsed.map_err(|faults| faults.to_string())?);
    }
    Ok(())
}
