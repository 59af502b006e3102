//! What a database knows of the epochs that are in it: a row for each table of each job, written in the transaction that
//! writes the rows, so that it says for sure whether they are there.

use tokio_postgres::error::SqlState;

use super::connect::{Talk, literal};
use super::errors::{Failure, Place};
use super::table::{first, make};
use crate::config::postgres::quoted;
use crate::model::Epoch;
use crate::sink::SinkError;
use crate::sink::outbox::Marker;

/// The table, in the schema of the rows' own: a schema of ours would want a right on the whole database.
pub(super) const TABLE: &str = "stockpulse_epochs";

/// One job's and one table's row.
#[derive(Debug, Clone)]
pub(super) struct Epochs {
    /// `"public"."stockpulse_epochs"`
    table: String,
    /// `job = E'…' AND sink = E'…'`
    own: String,
    job: String,
    sink: String,
}

impl Epochs {
    pub(super) fn new(schema: &str, job: &str, sink: &str) -> Epochs {
        let (job, sink) = (literal(job), literal(sink));
        Epochs {
            table: format!("{}.{}", quoted(schema), quoted(TABLE)),
            own: format!("job = {job} AND sink = {sink}"),
            job,
            sink,
        }
    }

    /// Makes the table and the row, if they are not there: only a row that is there can be locked.
    pub(super) fn prepare(&self, talk: &Talk<'_>, place: &Place) -> Result<(), Failure> {
        let table = &self.table;
        let asked = format!("SELECT to_regclass({})::oid", literal(table));
        if first(&talk.rows(&asked)?).is_none() {
            self.make(talk, place)?;
        }
        let asked = format!(
            "SELECT has_table_privilege({0}, 'SELECT') AND has_table_privilege({0}, 'INSERT') AND has_table_privilege({0}, 'UPDATE')",
            literal(table)
        );
        if first(&talk.rows(&asked)?).as_deref() != Some("t") {
            return Err(Failure::Sink(SinkError::NotWritable(format!(
                "{}: user {} may not write {table}, where each commit is marked. Its owner gives the rights:\n{}",
                place.server(),
                place.user,
                place.grants()
            ))));
        }
        talk.run(&self.begin_row())
    }

    fn make(&self, talk: &Talk<'_>, place: &Place) -> Result<(), Failure> {
        let ddl = self.declaration();
        match make(talk, &ddl) {
            Err(Failure::Postgres(error))
                if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
            {
                Err(Failure::Sink(SinkError::NotWritable(format!(
                    "{}: a table is needed in which each commit is marked, and user {} may not make it. Its owner makes it and gives the rights:\n{ddl};\n{}",
                    place.server(),
                    place.user,
                    place.grants()
                ))))
            }
            made => made,
        }
    }

    fn declaration(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n    job text NOT NULL,\n    sink text NOT NULL,\n    epoch bigint NOT NULL,\n    staged text NOT NULL,\n    rows bigint NOT NULL,\n    published_at timestamptz NOT NULL DEFAULT now(),\n    PRIMARY KEY (job, sink)\n)",
            self.table
        )
    }

    /// The row as it is before the first epoch.
    fn begin_row(&self) -> String {
        format!(
            "INSERT INTO {} (job, sink, epoch, staged, rows) VALUES ({}, {}, 0, '', 0) ON CONFLICT DO NOTHING",
            self.table, self.job, self.sink
        )
    }

    /// What is marked, with the row locked until the transaction ends, that this is in.
    pub(super) fn locked(&self, talk: &Talk<'_>) -> Result<Marker, Failure> {
        let sql = format!(
            "SELECT epoch, staged FROM {} WHERE {} FOR UPDATE",
            self.table, self.own
        );
        if let Some(marker) = read(&talk.rows(&sql)?) {
            return Ok(marker);
        }
        // Somebody has removed it since the start.
        talk.run(&self.begin_row())?;
        let marker = read(&talk.rows(&sql)?);
        Ok(marker.unwrap_or(Marker {
            epoch: Epoch(0),
            file: String::new(),
        }))
    }

    /// Marks an epoch.
    pub(super) fn mark(&self, marker: &Marker, rows: u64) -> String {
        format!(
            "UPDATE {} SET epoch = {}, staged = {}, rows = {rows}, published_at = now() WHERE {}",
            self.table,
            marker.epoch.0,
            literal(&marker.file),
            self.own
        )
    }

    /// How it is made as if nothing had ever been written.
    pub(super) fn forget(&self) -> String {
        format!("DELETE FROM {} WHERE {}", self.table, self.own)
    }
}

fn read(rows: &[tokio_postgres::SimpleQueryRow]) -> Option<Marker> {
    let row = rows.first()?;
    Some(Marker {
        epoch: Epoch(row.get(0)?.parse().ok()?),
        file: row.get(1)?.to_owned(),
    })
}
