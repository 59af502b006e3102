//! Rows → a Kafka topic, each once for whoever reads committed messages, or at least once for whoever does not care.
//!
//! A staged file is a line of JSON for every message; sending it is one transaction with all of them and, as an
//! offset of a consumer group of its own, the marker. At least once there is neither.

mod connection;
mod letters;
mod reports;
mod rows;
mod transactions;

use std::io::BufRead;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;

use self::connection::{Connection, Message};
use self::letters::LetterLines;
use self::reports::Reports;
use self::rows::{Row, RowLines};
use self::transactions::{Names, Transactions};
use super::outbox::{Marker, Outbox, OutboxOptions, Remote, not_read};
use super::staging::Staging;
use super::{SinkError, SinkRows};
use crate::config::kafka::KafkaProperties;
use crate::disk::Disk;
use crate::model::Epoch;

/// Staged files end in this.
const ENDING: &str = ".jsonl";
/// A staged file is closed when it has so many bytes: a transaction must end within `transaction.timeout.ms`, a
/// minute.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A topic, and how its brokers are reached.
#[derive(Debug, Clone)]
pub struct TopicAddress {
    /// The topic.
    pub topic: String,
    /// How Kafka is reached.
    pub kafka: KafkaProperties,
}

impl TopicAddress {
    /// For people; without properties.
    fn place(&self) -> String {
        format!("kafka topic {}", self.topic)
    }
}

/// Whether properties are ones that a sink can have. Nobody is asked.
///
/// # Errors
/// [`SinkError::Options`].
pub fn check(kafka: &KafkaProperties) -> Result<(), SinkError> {
    connection::check(kafka)
}

/// Where and how dead letters are sent.
#[derive(Debug)]
pub struct LetterOptions {
    /// What their files go by in the checkpoint.
    pub table: String,
    /// Where they go.
    pub to: TopicAddress,
    /// The job's name: its transactions and its marker carry it.
    pub job: String,
    /// Where files are staged.
    pub stage: PathBuf,
    /// Columns that an epoch's rows are sorted by, ascending, nulls first.
    pub sort_columns: Vec<usize>,
    /// The way to the disk.
    pub disk: Disk,
}

/// Where and how a table's rows are sent.
#[derive(Debug)]
pub struct TopicOptions {
    /// The sink's table name in the SQL.
    pub table: String,
    /// Where they go.
    pub to: TopicAddress,
    /// The job's name: its transactions and its marker carry it.
    pub job: String,
    /// Where files are staged.
    pub stage: PathBuf,
    /// Whether readers of committed messages see each row once; else a crash may repeat those of one commit.
    pub exactly_once: bool,
    /// The column that is a message's key, as text; `None`: it has none.
    pub key: Option<usize>,
    /// The column that is a message's timestamp; `None`: the row's event time.
    pub time: Option<usize>,
    /// Whether a TIMESTAMP is written as a number of milliseconds.
    pub unix_millis: bool,
    /// Whether a DECIMAL is written as text.
    pub decimals_as_text: bool,
    /// Columns that an epoch's rows are sorted by, ascending, nulls first.
    pub sort_columns: Vec<usize>,
    /// Whether they are sorted by their event time before that.
    pub time_first: bool,
    /// The way to the disk.
    pub disk: Disk,
}

/// An outbox of a table's rows. Connects; with `exactly_once` it also ends what an earlier process of this job has
/// begun, and shuts it out. One attempt.
///
/// # Errors
/// As [`letters`]; [`SinkError::Options`] for columns that JSON has no form of, too.
pub fn rows(options: &TopicOptions, schema: &SchemaRef) -> Result<Outbox, SinkError> {
    let staging = Staging::folder(&options.stage, &options.disk)?;
    let lines = RowLines::new(
        schema,
        [options.unix_millis, options.decimals_as_text],
        [options.key, options.time],
    )?;
    let name = format!("stockpulse-{}-{}", options.job, options.table);
    let client = match options.exactly_once {
        true => Client::Transactions(Box::new(Transactions::connect(
            &options.to,
            &Names {
                group: format!("{name}-marker"),
                transactional_id: name,
            },
        )?)),
        false => Client::plain(&options.to)?,
    };
    let remote = KafkaRemote {
        form: Form::Rows(lines),
        client,
    };
    let outbox = OutboxOptions {
        table: options.table.clone(),
        published: options.to.topic.clone(),
        place: options.to.place(),
        connector: "kafka",
        staging,
        schema: SchemaRef::clone(schema),
        sort_columns: options.sort_columns.clone(),
        time_first: options.time_first,
        file_bytes_max: Some(FILE_BYTES_MAX),
    };
    Ok(Outbox::new(outbox, Box::new(remote)))
}

/// An outbox of dead letters: rows with columns `partition` and `offset`, which are the messages' keys. Connects, ends
/// what an earlier process of this job has begun, and shuts it out. One attempt.
///
/// # Errors
/// [`SinkError::Away`] for a broker that does not answer, a topic that is not there and cannot be made, and a right
/// that is missing; [`SinkError::Options`] for a property that librdkafka does not take;
/// [`SinkError::NotWritable`] for the folder.
pub fn letters(options: &LetterOptions, schema: &SchemaRef) -> Result<Outbox, SinkError> {
    let staging = Staging::folder(&options.stage, &options.disk)?;
    let lines = LetterLines::new(schema)?;
    let group = format!("stockpulse-{}-dead-letters", options.job);
    let names = Names {
        transactional_id: format!("{group}-{}", options.to.topic),
        group,
    };
    let remote = KafkaRemote {
        form: Form::Letters(lines),
        client: Client::Transactions(Box::new(Transactions::connect(&options.to, &names)?)),
    };
    let outbox = OutboxOptions {
        table: options.table.clone(),
        published: options.to.topic.clone(),
        place: options.to.place(),
        connector: "kafka",
        staging,
        schema: SchemaRef::clone(schema),
        sort_columns: options.sort_columns.clone(),
        time_first: false,
        file_bytes_max: None,
    };
    Ok(Outbox::new(outbox, Box::new(remote)))
}

/// A topic, as an outbox sends to it.
#[derive(Debug)]
struct KafkaRemote {
    form: Form,
    client: Client,
}

/// What a line of a staged file is.
#[derive(Debug)]
enum Form {
    /// A dead letter, which is the message as it stands.
    Letters(LetterLines),
    /// A row with what goes beside it.
    Rows(RowLines),
}

/// How lines are sent.
#[derive(Debug)]
enum Client {
    /// Each once.
    Transactions(Box<Transactions>),
    /// At least once.
    Plain {
        connection: Connection,
        reports: Reports,
    },
}

impl Client {
    fn plain(to: &TopicAddress) -> Result<Client, SinkError> {
        let reports = Reports::default();
        let extra = [("enable.idempotence", "true"), ("acks", "all")];
        let connection = Connection::new(to, &extra, &reports)?;
        connection.find_topic()?;
        Ok(Client::Plain {
            connection,
            reports,
        })
    }
}

impl Remote for KafkaRemote {
    fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError> {
        match &self.form {
            Form::Letters(lines) => lines.encode(&rows.rows, text),
            Form::Rows(lines) => lines.encode(rows, text),
        }
    }

    fn ending(&self) -> &'static str {
        ENDING
    }

    fn marker(&mut self, _: Epoch) -> Result<Option<Marker>, SinkError> {
        match &mut self.client {
            Client::Transactions(client) => client.marker(),
            Client::Plain { .. } => Ok(None),
        }
    }

    fn send(&mut self, marker: &Marker, staged: &mut dyn BufRead) -> Result<(), SinkError> {
        let form = &self.form;
        let mut fill = |connection: &Connection| send_lines(form, &marker.file, staged, connection);
        match &mut self.client {
            Client::Transactions(client) => client.transact(marker, &mut fill),
            Client::Plain {
                connection,
                reports,
            } => {
                reports.forget();
                let sent = fill(connection).and_then(|()| connection.deliver());
                // What is still on its way must not come behind what the next attempt sends.
                sent.or_else(|error| connection.renew().and(Err(error)))
            }
        }
    }

    /// A broker forgets a group's offsets (`offsets.retention.minutes`).
    fn remembers(&self) -> bool {
        false
    }
}

fn send_lines(
    form: &Form,
    file: &str,
    staged: &mut dyn BufRead,
    connection: &Connection,
) -> Result<(), SinkError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = staged.read_until(b'\n', &mut line);
        if read.map_err(|error| not_read(file, &error))? == 0 {
            return Ok(());
        }
        let text = line.trim_ascii_end();
        let damaged = |error: serde_json::Error| not_read(file, &error.into());
        match form {
            Form::Letters(_) => connection.send(&Message {
                key: Some(letters::key(text).map_err(damaged)?.as_bytes()),
                time_ms: None,
                payload: text,
            })?,
            Form::Rows(_) => {
                let row: Row<'_> = serde_json::from_slice(text).map_err(damaged)?;
                connection.send(&Message {
                    key: row.k.as_deref().map(str::as_bytes),
                    time_ms: row.t,
                    payload: row.v.get().as_bytes(),
                })?;
            }
        }
    }
}
