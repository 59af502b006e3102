//! The sink of a table of PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoint_dir;
use crate::checkpoint::Checkpoint;
use crate::job::JobSpec;
use crate::query::sql::PostgresSinkOptions;
use crate::query::{Output, postgres_declaration};
use crate::sink::SinkError;
use crate::sink::outbox::{Outbox, OutboxOptions};
use crate::sink::postgres::{PostgresOptions, PostgresTable};
use crate::sink::staging::Staging;

/// Where the rows of outboxes wait, below the checkpoint, a folder for each table.
const OUTBOX: &str = "outbox";

/// Connects, and checks that the table takes the rows. One attempt.
pub(super) fn open(
    spec: &JobSpec,
    output: &Output,
    options: &PostgresSinkOptions,
    checkpoint: Option<&Checkpoint>,
) -> Result<Outbox, SinkError> {
    let dir = staged_dir(spec, &output.table)?;
    let place = options.place();
    let table = PostgresOptions {
        url: options.url.clone(),
        database: options.database().to_owned(),
        schema: options.schema.clone(),
        table: options.table.clone(),
        sink: output.table.clone(),
        job: spec.name.clone(),
        key: output.primary_key.clone(),
        declaration: postgres_declaration(output, options),
        create: options.create_table,
        committed: checkpoint.map(|checkpoint| checkpoint.epoch),
        checkpoint: checkpoint_dir(spec),
    };
    let remote = PostgresTable::open(table, &output.schema)?;
    let outbox = OutboxOptions {
        table: output.table.clone(),
        published: place.clone(),
        place,
        connector: "postgres",
        staging: Staging::folder(&dir, &spec.disk)?,
        schema: Arc::clone(&output.schema),
        sort_columns: output.sort_columns.clone(),
        // Of rows with one key the latest one stays.
        time_first: true,
        file_bytes_max: None,
    };
    Ok(Outbox::new(outbox, Box::new(remote)))
}

/// Deliberately below the checkpoint: who takes it to another machine takes the rows along.
fn staged_dir(spec: &JobSpec, table: &str) -> Result<PathBuf, SinkError> {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => c.to_string(),
        c => format!("%{:X}", u32::from(c)),
    };
    let folder: String = table.chars().map(plain).collect();
    let dir = spec.checkpoint_dir.as_ref().ok_or_else(|| {
        SinkError::Options(
            "rows are written to PostgreSQL, but the job has no checkpoint".to_owned(),
        )
    })?;
    Ok(dir.join(OUTBOX).join(folder))
}
