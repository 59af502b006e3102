//! Rows → a Kafka topic, each once for whoever reads committed messages.
//!
//! A staged file is a line of JSON for every message; sending it is one transaction with all of them and, as an
//! offset of a consumer group of its own, the marker.

mod connection;
mod letters;
mod reports;
mod transactions;

use std::io::BufRead;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;

use self::connection::{Connection, Message};
use self::letters::LetterLines;
use self::transactions::Transactions;
use super::outbox::{Marker, Outbox, OutboxOptions, Remote, not_read};
use super::staging::Staging;
use super::{SinkError, SinkRows};
use crate::config::kafka::KafkaProperties;
use crate::disk::Disk;
use crate::model::Epoch;

/// Staged files end in this.
const ENDING: &str = ".jsonl";

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
    let names = transactions::Names {
        transactional_id: format!("{group}-{}", options.to.topic),
        group,
    };
    let remote = KafkaRemote {
        form: Form::Letters(lines),
        client: Transactions::connect(&options.to, &names)?,
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
    client: Transactions,
}

/// What a line of a staged file is.
#[derive(Debug)]
enum Form {
    /// A dead letter, which is the message as it stands.
    Letters(LetterLines),
}

impl Remote for KafkaRemote {
    fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError> {
        match &self.form {
            Form::Letters(lines) => lines.encode(&rows.rows, text),
        }
    }

    fn ending(&self) -> &'static str {
        ENDING
    }

    fn marker(&mut self, _: Epoch) -> Result<Option<Marker>, SinkError> {
        self.client.marker()
    }

    fn send(&mut self, marker: &Marker, staged: &mut dyn BufRead) -> Result<(), SinkError> {
        let form = &self.form;
        self.client.transact(marker, &mut |connection| {
            send_lines(form, &marker.file, staged, connection)
        })
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
        match form {
            Form::Letters(_) => {
                let key = letters::key(text).map_err(|error| not_read(file, &error.into()))?;
                connection.send(&Message {
                    key: Some(key.as_bytes()),
                    time_ms: None,
                    payload: text,
                })?;
            }
        }
    }
}
