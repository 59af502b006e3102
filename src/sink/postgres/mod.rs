//! Rows → a table of PostgreSQL, each exactly once: an epoch's rows and the row that says so are one transaction.
//!
//! *encode*: lines as COPY reads them, with what the table would refuse refused. *send*: BEGIN, lock the job's row in
//! `stockpulse_epochs`, COPY into a temporary table, INSERT … ON CONFLICT DO UPDATE, mark the epoch, COMMIT. *marker*:
//! that row. The checkpoint is first, the database second: epochs are cut by time, so one that was sent before its
//! commit could come again cut otherwise.

mod connect;
mod copy;
mod epochs;
mod errors;
mod table;
mod tls;
mod values;

use std::io::BufRead;
use std::pin::pin;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::SinkExt;

use self::connect::{SILENCE, Server, Talk};
use self::copy::Lines;
use self::epochs::Epochs;
use self::errors::{Failure, Place, copied_line};
use super::outbox::{Marker, Remote};
use super::{SinkError, SinkRows};
use crate::config::postgres::{PostgresUrl, quoted};
use crate::model::Epoch;

/// The temporary table that rows are copied into.
const ROWS: &str = "stockpulse_rows";
/// Bytes that are handed to the server at once.
const PIECE_BYTES: usize = 64 << 10;
/// Lines are kept up to so many bytes, to say which row the server refuses.
const KEPT_BYTES: usize = 16 << 20;
/// A server that writes fewer rows a second than this is taken for one that does not answer.
const SLOWEST_ROWS_A_SECOND: u64 = 1000;
/// Somebody else's locks are waited for at most so long; less than the silence after which we give up.
const LOCK_TIMEOUT: &str = "8s";

/// Where rows go, and how.
#[derive(Debug)]
pub struct PostgresOptions {
    /// The server, the database, the login.
    pub url: PostgresUrl,
    /// The database's name.
    pub database: String,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The table's name in the SQL.
    pub sink: String,
    /// The job's name.
    pub job: String,
    /// Columns of the PRIMARY KEY; none: rows are appended.
    pub key: Vec<usize>,
    /// The declaration that the SQL stands for.
    pub declaration: String,
    /// Whether the table is made if it is not there.
    pub create: bool,
    /// The last epoch that the job has committed; `None`: it has no checkpoint.
    pub committed: Option<Epoch>,
    /// Where its checkpoints are, for messages.
    pub checkpoint: String,
}

/// A table that rows are sent to.
#[derive(Debug)]
pub struct PostgresTable {
    server: Server,
    lines: Lines,
    epochs: Epochs,
    /// `CREATE TEMP TABLE …`
    begin_copy: String,
    /// `INSERT … SELECT`
    insert: String,
    /// The newest epoch that was seen there.
    seen: Epoch,
}

impl PostgresTable {
    /// Connects, checks the table and everything it takes to write to it. One attempt.
    ///
    /// # Errors
    /// [`SinkError::Away`] if the server does not answer; [`SinkError::NotWritable`] for a login, a right, a table or a
    /// column that is missing or wrong; [`SinkError::Foreign`] for a database that knows more of this job than its
    /// checkpoint; [`SinkError::Options`] for certificates that cannot be read.
    pub fn open(options: PostgresOptions, schema: &SchemaRef) -> Result<PostgresTable, SinkError> {
        let place = Place {
            servers: options.url.servers(),
            user: options.url.user.clone().unwrap_or_default(),
            table: format!("{}.{}", options.schema, options.table),
            schema: options.schema,
            database: options.database,
            sink: options.sink,
            ddl: options.declaration,
            leave_out: String::new(),
        };
        let epochs = Epochs::new(&place.schema, &options.job, &place.sink);
        let mut server = Server::new(&options.url, &options.job, place.clone())?;
        let columns = server.with("prepare the table", |talk| {
            let columns = table::prepare(
                talk,
                &place,
                schema,
                &options.key,
                &options.table,
                options.create,
            )?;
            epochs.prepare(talk, &place)?;
            Ok(columns)
        })?;
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let exact = format!("{}.{}", quoted(&place.schema), quoted(&options.table));
        let mut opened = PostgresTable {
            begin_copy: begin_copy(&exact, &names),
            insert: insert(&exact, &names, &options.key),
            lines: Lines::new(columns, options.key),
            server,
            epochs,
            seen: Epoch(0),
        };
        opened.check_known(options.committed, &options.checkpoint)?;
        Ok(opened)
    }

    /// Refuses a database that knows more than the checkpoint.
    fn check_known(&mut self, committed: Option<Epoch>, checkpoint: &str) -> Result<(), SinkError> {
        let known = self.ask()?;
        match committed {
            None if known.epoch > Epoch(0) => Err(self.ahead(
                known.epoch,
                &format!("{checkpoint} holds no checkpoint that knows of it"),
            )),
            Some(committed) if known.epoch > committed => Err(self.ahead(
                known.epoch,
                &format!("the checkpoint in {checkpoint} is of epoch {committed}"),
            )),
            _ => Ok(()),
        }
    }

    /// What is marked, once nothing that was begun is open any more.
    fn ask(&mut self) -> Result<Marker, SinkError> {
        let epochs = &self.epochs;
        let known = self.server.with("ask what was written last", |talk| {
            talk.run(&begin())?;
            let known = epochs.locked(talk)?;
            talk.run("COMMIT")?;
            Ok(known)
        })?;
        self.notice(&known)?;
        Ok(known)
    }

    /// A database does not go back while it is written to.
    fn notice(&mut self, known: &Marker) -> Result<(), SinkError> {
        if known.epoch < self.seen {
            let place = &self.server.place;
            return Err(SinkError::Foreign(format!(
                "{}: table {} had epoch {} of this job and now has {}: the database went back to an earlier state, by a restored backup or a standby that took over without the newest commits. Rows of the epochs between may be missing. Bring the newer state back; or compute them again with another checkpoint location, after\n  {};",
                place.server(),
                place.table,
                self.seen,
                known.epoch,
                self.epochs.forget()
            )));
        }
        self.seen = known.epoch;
        Ok(())
    }

    fn ahead(&self, known: Epoch, why: &str) -> SinkError {
        let place = &self.server.place;
        let twice = match self.lines.has_key() {
            true => "rows replace those with their keys",
            false => "rows that Kafka still has come a second time, unless you empty the table",
        };
        SinkError::Foreign(format!(
            "{}: table {} has rows up to epoch {known} of a job of this name, but {why}. You can\n  - give the job the checkpoint location that it had\n  - make it a job of its own: another --name\n  - write all of it again, where {twice}: with a new checkpoint location, after\n    {};",
            place.server(),
            place.table,
            self.epochs.forget()
        ))
    }
}

impl Remote for PostgresTable {
    fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError> {
        self.lines.write(&rows.rows, &self.server.place, text)
    }

    fn ending(&self) -> &'static str {
        ".copy"
    }

    fn marker(&mut self, epoch: Epoch) -> Result<Option<Marker>, SinkError> {
        let known = self.ask()?;
        if known.epoch > epoch {
            return Err(self.ahead(known.epoch, &format!("the checkpoint is of epoch {epoch}")));
        }
        Ok((known.epoch > Epoch(0)).then_some(known))
    }

    fn send(&mut self, marker: &Marker, staged: &mut dyn BufRead) -> Result<(), SinkError> {
        let PostgresTable {
            server,
            lines,
            epochs,
            begin_copy,
            insert,
            seen,
        } = self;
        server.place.leave_out = epochs.mark(marker, 0);
        let place = server.place.clone();
        let known = server.with("write the rows", |talk| {
            talk.run(&begin())?;
            let known = epochs.locked(talk)?;
            // An attempt whose answer was lost; or what must not be, which is looked at below.
            if known.epoch >= marker.epoch || known.epoch < *seen {
                talk.run("ROLLBACK")?;
                return Ok(Some(known));
            }
            talk.run(begin_copy)?;
            let rows = copy(talk, staged, lines, &place)?;
            let limit = SILENCE + Duration::from_secs(rows / SLOWEST_ROWS_A_SECOND);
            talk.run(&format!(
                "SET LOCAL statement_timeout = {}",
                limit.as_millis()
            ))?;
            talk.wait_for(limit, talk.client.batch_execute(insert))?;
            talk.run(&epochs.mark(marker, rows))?;
            talk.wait_for(limit, talk.client.batch_execute("COMMIT"))?;
            Ok(None)
        })?;
        let Some(known) = known else {
            self.seen = marker.epoch;
            return Ok(());
        };
        self.notice(&known)?;
        match known == *marker {
            true => Ok(()),
            false => Err(self.ahead(
                known.epoch,
                &format!(
                    "the checkpoint is of epoch {}, with other rows",
                    marker.epoch
                ),
            )),
        }
    }

    fn remembers(&self) -> bool {
        true
    }
}

/// A transaction in which nothing waits for ever, and that a lost client does not hold for long.
fn begin() -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
         SET LOCAL statement_timeout = '{}s'; \
         SET LOCAL idle_in_transaction_session_timeout = '60s'; \
         SET LOCAL TimeZone = 'UTC'; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        SILENCE.as_secs()
    )
}

/// The name of the column that says in which order rows came; none of the table's.
fn order_column(names: &[&str]) -> String {
    let mut name = "__row".to_owned();
    while names.contains(&name.as_str()) {
        name.push('_');
    }
    quoted(&name)
}

fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}

fn begin_copy(table: &str, names: &[&str]) -> String {
    format!(
        "CREATE TEMPORARY TABLE {ROWS} ON COMMIT DROP AS SELECT {}, 0::bigint AS {} FROM {table} WITH NO DATA",
        listed(names),
        order_column(names)
    )
}

/// Of rows with one key the last one that came; they take the places of those with their keys that are there. In the
/// order of the key, so that two jobs never wait for each other's rows crosswise.
fn insert(table: &str, names: &[&str], key: &[usize]) -> String {
    let (columns, order) = (listed(names), order_column(names));
    if key.is_empty() {
        return format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM pg_temp.{ROWS} ORDER BY {order}"
        );
    }
    let keys: Vec<&str> = key.iter().map(|&at| names[at]).collect();
    let others = (0..names.len()).filter(|at| !key.contains(at));
    let others: Vec<String> = others
        .map(|at| format!("{0} = EXCLUDED.{0}", quoted(names[at])))
        .collect();
    let keys = listed(&keys);
    let then = match others.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", others.join(", ")),
    };
    format!(
        "INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({keys}) {columns} FROM pg_temp.{ROWS} \
         ORDER BY {keys}, {order} DESC ON CONFLICT ({keys}) DO {then}"
    )
}

/// Copies the staged lines, each with its number behind it. Returns how many there are.
fn copy(
    talk: &Talk<'_>,
    staged: &mut dyn BufRead,
    lines: &Lines,
    place: &Place,
) -> Result<u64, Failure> {
    let statement = format!("COPY pg_temp.{ROWS} FROM STDIN");
    let mut sink = pin!(talk.wait(talk.client.copy_in::<_, Bytes>(&statement))?);
    let mut kept = Vec::new();
    let mut rows: u64 = 0;
    let mut is_read = false;
    let mut failed = None;
    while !is_read {
        let mut piece = Vec::with_capacity(PIECE_BYTES + 1024);
        while piece.len() < PIECE_BYTES {
            let from = piece.len();
            let read = staged.read_until(b'\n', &mut piece).map_err(|error| {
                SinkError::NotWritable(format!(
                    "staged rows of {} cannot be read: {error}",
                    place.sink
                ))
            })?;
            if read == 0 {
                is_read = true;
                break;
            }
            if kept.len() < KEPT_BYTES {
                kept.extend_from_slice(&piece[from..]);
            }
            if piece.last() == Some(&b'\n') {
                piece.pop();
            }
            rows += 1;
            piece.extend_from_slice(format!("\t{rows}\n").as_bytes());
        }
        if piece.is_empty() {
            break;
        }
        // Where the server has already refused, `finish` below says why.
        if let Err(failure) = talk.wait(sink.send(Bytes::from(piece))) {
            let Failure::Postgres(error) = failure else {
                return Err(failure);
            };
            failed = Some(error);
            break;
        }
    }
    let copied = talk.wait(sink.as_mut().finish());
    match (copied, failed) {
        (Ok(_), None) => Ok(rows),
        (Ok(_), Some(error)) => Err(Failure::Postgres(error)),
        (Err(Failure::Postgres(error)), _) => Err(match copied_line(&error) {
            Some(line) => refused(error, line, &kept, lines, place),
            None => Failure::Postgres(error),
        }),
        (Err(failure), _) => Err(failure),
    }
}

/// The server's answer, with the row that it is about.
fn refused(
    error: tokio_postgres::Error,
    line: usize,
    kept: &[u8],
    lines: &Lines,
    place: &Place,
) -> Failure {
    let text = kept
        .split(|byte| *byte == b'\n')
        .nth(line.saturating_sub(1));
    let row = text.map(|text| lines.named_line(&String::from_utf8_lossy(text)));
    match (
        place.explain("write the rows", Failure::Postgres(error), true),
        row,
    ) {
        (SinkError::NotWritable(why), Some(row)) => {
            Failure::Sink(SinkError::NotWritable(format!("{why} (row {row})")))
        }
        (other, _) => Failure::Sink(other),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn of_rows_with_one_key_the_last_takes_the_place_of_what_is_there() {
        let names = ["symbol", "at", "Price"];
        expect![[r#"INSERT INTO "s"."t" ("symbol", "at", "Price") SELECT DISTINCT ON ("at", "symbol") "symbol", "at", "Price" FROM pg_temp.stockpulse_rows ORDER BY "at", "symbol", "__row" DESC ON CONFLICT ("at", "symbol") DO UPDATE SET "Price" = EXCLUDED."Price""#]]
            .assert_eq(&insert("\"s\".\"t\"", &names, &[1, 0]));
        expect![[r#"INSERT INTO "s"."t" ("symbol", "at", "Price") SELECT "symbol", "at", "Price" FROM pg_temp.stockpulse_rows ORDER BY "__row""#]]
            .assert_eq(&insert("\"s\".\"t\"", &names, &[]));
        assert!(insert("t", &["a"], &[0]).ends_with("ON CONFLICT (\"a\") DO NOTHING"));
    }

    #[test]
    fn the_column_of_the_order_is_none_of_the_tables() {
        assert_eq!(order_column(&["a"]), "\"__row\"");
        let copied = begin_copy("t", &["__row", "a\"b"]);
        assert!(
            copied.contains("SELECT \"__row\", \"a\"\"b\", 0::bigint AS \"__row_\" FROM t"),
            "{copied}"
        );
    }
}
