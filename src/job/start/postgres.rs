//! The sink of a table of PostgreSQL.

use std::sync::Arc;

use super::checkpoint_dir;
use super::sinks::outbox_dir;
use crate::checkpoint::Checkpoint;
use crate::job::{JobError, JobSpec};
use crate::query::sql::PostgresSinkOptions;
use crate::query::{Output, postgres_declaration};
use crate::sink::outbox::{Outbox, OutboxOptions};
use crate::sink::postgres::{PostgresOptions, PostgresTable};
use crate::sink::staging::Staging;

/// Connects, and checks that the table takes the rows. One attempt.
pub(super) fn open(
    spec: &JobSpec,
    output: &Output,
    options: &PostgresSinkOptions,
    checkpoint: Option<&Checkpoint>,
) -> Result<Outbox, JobError> {
    let dir = outbox_dir(spec, &output.table)?;
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
        // Of rows with one key the latest one stays; without windows the one that was read last.
        time_first: output.pipeline.windows().is_some(),
        file_bytes_max: None,
    };
    Ok(Outbox::new(outbox, Box::new(remote)))
}
