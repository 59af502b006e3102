//! `WITH (connector = …)`: what a table is in the world outside, with typed options.

mod delta;
mod filesystem;
mod kafka;
mod kafka_sink;
mod postgres;
mod static_table;
mod stdout;

pub use delta::DeltaSinkOptions;
pub(super) use delta::check_columns as check_delta_columns;
pub(super) use filesystem::check_columns;
pub use filesystem::{FilesystemSinkOptions, ParquetCompression, StoreOptions};
pub use kafka::{BadData, FrameFormat, KafkaSourceOptions, ReadMode, SaslOptions, SourceOffset};
pub(super) use kafka_sink::check_columns as check_kafka_columns;
pub use kafka_sink::{CommitMode, KafkaSinkOptions};
pub(super) use postgres::check_types;
pub use postgres::{PostgresSinkOptions, type_name as postgres_type};
pub use static_table::{StaticFormat, StaticTableOptions};
pub use stdout::{DecimalEncoding, StdoutSinkOptions, TimestampFormat};

use super::options::Options;
use super::parser::Reader;

/// Connectors that Arroyo has; the local engine runs some of them.
const KNOWN_CONNECTORS: [&str; 21] = [
    "blackhole",
    "confluent",
    "delta",
    "filesystem",
    "fluvio",
    "iceberg",
    "impulse",
    "kafka",
    "kinesis",
    "memory",
    "mqtt",
    "nats",
    "nexmark",
    "polling_http",
    "preview",
    "rabbitmq",
    "redis",
    "single_file",
    "sse",
    "stdout",
    "webhook",
];

/// What a table stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connector {
    /// A topic to read.
    KafkaSource(KafkaSourceOptions),
    /// Files that are read once, to join with.
    StaticTable(StaticTableOptions),
    /// A folder of Parquet files to write.
    FilesystemSink(FilesystemSinkOptions),
    /// A topic to write.
    KafkaSink(KafkaSinkOptions),
    /// A table of PostgreSQL to write.
    PostgresSink(PostgresSinkOptions),
    /// Standard output.
    StdoutSink(StdoutSinkOptions),
    /// A Delta Lake table to append to.
    DeltaSink(DeltaSinkOptions),
}

impl Connector {
    /// Whether rows come from it; otherwise they go into it.
    pub fn is_source(&self) -> bool {
        matches!(self, Connector::KafkaSource(_) | Connector::StaticTable(_))
    }

    /// Why it cannot have a PRIMARY KEY; `None`: it can.
    pub(super) fn refuses_key(&self) -> Option<&'static str> {
        Some(match self {
            Connector::KafkaSource(_) => {
                "messages of a topic have no key that is one of their columns"
            }
            Connector::StaticTable(_) => "files are read as they are, without a key",
            Connector::FilesystemSink(_) => {
                "a folder has no keys: each row is written once, and none is replaced"
            }
            Connector::KafkaSink(_) => {
                "a topic keeps every message; 'sink.key_field' is the column that messages are keyed by"
            }
            Connector::StdoutSink(_) => "what is printed has no keys",
            Connector::PostgresSink(_) => return None,
            Connector::DeltaSink(_) => {
                "a Delta table is appended to: each row is written once, and none is replaced"
            }
        })
    }

    /// The options that decide which rows there are and where they go, for the fingerprint: without
    /// secrets, addresses, and what may change between two runs of the same query.
    pub fn canonical(&self) -> String {
        match self {
            Connector::KafkaSource(options) => options.canonical(),
            Connector::StaticTable(options) => options.canonical(),
            Connector::FilesystemSink(options) => options.canonical(),
            Connector::KafkaSink(options) => options.canonical(),
            Connector::StdoutSink(options) => options.canonical(),
            Connector::PostgresSink(options) => options.canonical(),
            Connector::DeltaSink(options) => options.canonical(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Source,
    Sink,
}

/// Takes the connector and its options. `None`: there were faults, and the reader has them.
/// `table` is the table's name.
pub(super) fn connector(
    reader: &mut Reader,
    mut options: Options,
    table: &str,
) -> Option<Connector> {
    let name = options.required_text(reader, "connector")?;
    let directions = [("source", Direction::Source), ("sink", Direction::Sink)];
    match name.value.as_str() {
        "kafka" => {
            let direction = direction(reader, &mut options, &directions)?;
            if direction == Direction::Sink {
                return kafka_sink::sink(reader, options).map(Connector::KafkaSink);
            }
            kafka::source(reader, options).map(Connector::KafkaSource)
        }
        "filesystem" => {
            let direction = direction(reader, &mut options, &directions)?;
            if direction == Direction::Source {
                return static_table::source(reader, options).map(Connector::StaticTable);
            }
            filesystem::sink(reader, options).map(Connector::FilesystemSink)
        }
        "postgres" => {
            direction(reader, &mut options, &directions[1..])?;
            postgres::sink(reader, options, table).map(Connector::PostgresSink)
        }
        "delta" => {
            direction(reader, &mut options, &[("sink", Direction::Sink)])?;
            delta::sink(reader, options).map(Connector::DeltaSink)
        }
        "stdout" => stdout::sink(reader, options).map(Connector::StdoutSink),
        known if KNOWN_CONNECTORS.contains(&known) => {
            not_run(reader, name.span, &format!("the connector '{known}'"));
            None
        }
        unknown => {
            let known = KNOWN_CONNECTORS.iter().copied().chain(["postgres"]);
            let fault = reader
                .source
                .diagnostic(name.span, format!("unknown connector '{unknown}'"))
                .with_nearest(
                    unknown,
                    known,
                    Some(
                        "the local engine runs 'kafka' and 'filesystem' (source and sink), 'delta', 'postgres' and 'stdout' (sinks)"
                            .to_owned(),
                    ),
                );
            reader.faults.push(fault);
            None
        }
    }
}

fn direction(
    reader: &mut Reader,
    options: &mut Options,
    directions: &[(&'static str, Direction)],
) -> Option<Direction> {
    let help = "type = 'source' or type = 'sink'";
    options
        .required_choice(reader, "type", directions, help)
        .map(|taken| taken.value)
}

fn not_run(reader: &mut Reader, at: datafusion::sql::sqlparser::tokenizer::Span, what: &str) {
    let fault = reader
        .source
        .diagnostic(at, format!("the local engine does not run {what}"))
        .with_help(
            "it reads 'kafka' topics and 'filesystem' tables, and writes 'filesystem', 'kafka', 'postgres', 'delta' and 'stdout' sinks",
        );
    reader.faults.push(fault);
}
