//! Where an output's rows go in a case's run, and how they are read back. The only place that knows what
//! kinds of outputs there are.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;

use super::rows::Rows;
use crate::candles::{Filter, scan};
use crate::query::sql::{FilesystemSinkOptions, ParquetCompression};
use crate::query::{JobPlan, SinkOptions};

/// An output of a run.
pub struct Place {
    /// The table's name in the SQL.
    pub table: String,
    path: PathBuf,
    schema: SchemaRef,
}

/// What an output holds.
pub struct Held {
    /// Its rows.
    pub rows: Rows,
    /// The partition directories of its files, with the table's name before them.
    pub directories: BTreeSet<String>,
}

/// Sends every output of `plan` into a folder of its own below `folder`, whatever the SQL says: another path,
/// or standard output. No closed window waits there, since a run is over before an interval is.
pub fn redirect(plan: &mut JobPlan, folder: &Path) -> Vec<Place> {
    let outputs = plan.outputs.iter_mut().enumerate();
    let places = outputs.map(|(at, output)| {
        let path = folder.join(format!("table-{at}"));
        let files = output.sink.files();
        output.sink = SinkOptions::Filesystem(FilesystemSinkOptions {
            path: path.clone(),
            store: None,
            compression: Some(ParquetCompression::Uncompressed),
            row_group_bytes: None,
            time_pattern: files.and_then(|files| files.time_pattern.clone()),
            // A column that names directories is not in the files, and a case wants to see it.
            partition_fields: Vec::new(),
            rolling_bytes: None,
            rolling_interval: None,
            rolling_inactivity: None,
            filename_prefix: None,
        });
        Place {
            table: output.table.clone(),
            path,
            schema: output.schema.clone(),
        }
    });
    places.collect()
}

impl Place {
    /// Reads what was written, with the reader of every other command.
    ///
    /// # Errors
    /// A file that cannot be read, or a column that cannot be shown.
    pub fn read(&self) -> Result<Held, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("the rows of {} cannot be read: {error}", self.table)
        };
        let files = files_below(&self.path).map_err(|error| failed(&error))?;
        let batches = match files.is_empty() {
            true => Vec::new(),
            false => batches(&self.path).map_err(|error| failed(&error))?,
        };
        let directories = files.iter().map(|file| {
            let (directory, _) = file.rsplit_once('/').unwrap_or_default();
            format!("{}/{directory}", self.table)
        });
        Ok(Held {
            rows: Rows::new(&self.schema, &batches).map_err(|error| failed(&error))?,
            directories: directories.collect(),
        })
    }
}

fn batches(path: &Path) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let rows = scan(path, &Filter::default()).await?;
        Ok(rows.batches.try_collect().await?)
    })
}

/// The files at and below `root`, relative, sorted; none where it is not there.
///
/// # Errors
/// A folder that cannot be read.
pub fn files_below(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            match path.strip_prefix(root) {
                Ok(file) if !path.is_dir() => found.push(file.display().to_string()),
                _ => folders.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}
