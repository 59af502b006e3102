//! `connector = 'kafka', type = 'sink'`: the topic that a table writes.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::Ident;

use super::super::diagnostic::{Diagnostic, SourceText};
use super::super::options::{Options, Taken};
use super::super::parser::Reader;
use super::super::table::{ColumnDef, sql_name};
use super::kafka::{SaslOptions, client_configs, properties, sasl};
use super::stdout::{DecimalEncoding, TimestampFormat, json_values};
use crate::config::kafka::KafkaProperties;
use crate::config::secret::Secret;

/// Options that Arroyo has for Kafka sinks and their formats, and the local engine does not run.
const NOT_RUN: [&str; 9] = [
    "auth.region",
    "avro.",
    "connection_profile",
    "framing",
    "framing.",
    "json.",
    "protobuf.",
    "schema_registry.",
    "value.subject",
];

/// How often a reader of the topic sees each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitMode {
    /// `at_least_once`, the default, as Arroyo's: a crash may repeat the rows of one commit.
    #[default]
    AtLeastOnce,
    /// `exactly_once`: by transactions; who reads committed messages sees each row once.
    ExactlyOnce,
}

impl CommitMode {
    /// As the option has it.
    pub fn as_str(self) -> &'static str {
        match self {
            CommitMode::AtLeastOnce => "at_least_once",
            CommitMode::ExactlyOnce => "exactly_once",
        }
    }
}

/// The topic that a table writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSinkOptions {
    /// Topic.
    pub topic: String,
    /// How often a reader sees each row.
    pub commit_mode: CommitMode,
    /// The column whose value, as text, is a message's key; `None`: messages have none.
    key_field: Option<Ident>,
    /// The column that is a message's timestamp; `None`: the row's event time.
    timestamp_field: Option<Ident>,
    /// How a TIMESTAMP is written.
    pub timestamps: TimestampFormat,
    /// How a DECIMAL is written.
    pub decimals: DecimalEncoding,
    /// How its brokers are reached: by what the table's own options say, until a start adds what is given beside
    /// the SQL.
    pub kafka: KafkaProperties,
    properties: Vec<(String, Secret)>,
}

impl KafkaSinkOptions {
    /// What the options say in librdkafka's properties, without `bootstrap.servers`. Later ones win over earlier
    /// ones.
    pub fn kafka_properties(&self) -> &[(String, Secret)] {
        &self.properties
    }

    /// The column that is a message's key.
    pub fn key(&self) -> Option<&str> {
        self.key_field.as_ref().map(|field| field.value.as_str())
    }

    /// The column that is a message's timestamp.
    pub fn time(&self) -> Option<&str> {
        let field = self.timestamp_field.as_ref();
        field.map(|field| field.value.as_str())
    }

    /// Where rows go, as a checkpoint remembers it and people read it.
    pub fn place(&self) -> String {
        format!("kafka topic {}", self.topic)
    }

    pub(super) fn canonical(&self) -> String {
        format!(
            "kafka sink topic={:?} format=Json commit_mode={} key={:?} timestamp={:?}",
            self.topic,
            self.commit_mode.as_str(),
            self.key(),
            self.time()
        )
    }
}

/// Takes a Kafka sink's options. `None`: there were faults, and the reader has them.
pub(super) fn sink(reader: &mut Reader, mut options: Options) -> Option<KafkaSinkOptions> {
    let faults_before = reader.faults.len();
    let bootstrap_servers = options.required_text(reader, "bootstrap_servers");
    let topic = options.required_text(reader, "topic");
    if let Some(format) = options.required_text(reader, "format")
        && format.value != "json"
    {
        let message = "the local engine writes JSON only into topics";
        let fault = reader.source.diagnostic(format.span, message);
        reader.faults.push(fault.with_help("it is 'json'"));
    }
    let commit_mode = options.choice(
        reader,
        "sink.commit_mode",
        &[
            ("at_least_once", CommitMode::AtLeastOnce),
            ("exactly_once", CommitMode::ExactlyOnce),
        ],
    );
    let key_field = options.text(reader, "sink.key_field").map(ident);
    let timestamp_field = options.text(reader, "sink.timestamp_field").map(ident);
    let (timestamps, decimals) = json_values(reader, &mut options);
    let client_configs = options
        .text(reader, "client_configs")
        .map_or_else(Vec::new, |taken| client_configs(reader, &taken));
    let sasl: Option<SaslOptions> = sasl(reader, &mut options);
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, "a Kafka sink");
    if reader.faults.len() > faults_before {
        return None;
    }
    let properties = properties(&client_configs, sasl.as_ref());
    let mut kafka = KafkaProperties::new(bootstrap_servers?.value.trim());
    for (name, value) in &properties {
        kafka.set(name.as_str(), value.reveal());
    }
    Some(KafkaSinkOptions {
        topic: topic?.value.trim().to_owned(),
        commit_mode: commit_mode.map_or_else(CommitMode::default, |taken| taken.value),
        key_field,
        timestamp_field,
        timestamps,
        decimals,
        kafka,
        properties,
    })
}

fn ident(taken: Taken<String>) -> Ident {
    Ident::with_span(taken.span, taken.value)
}

/// Holds the columns that options name against the table's.
pub(in super::super) fn check_columns(
    source: &SourceText,
    options: &KafkaSinkOptions,
    columns: &[ColumnDef],
    faults: &mut Vec<Diagnostic>,
) {
    let mut check = |field: &Option<Ident>, fits: fn(&DataType) -> bool, what: &str, help: &str| {
        let Some(field) = field else {
            return;
        };
        let Some(column) = columns.iter().find(|column| column.name == field.value) else {
            let message = format!("the table has no column \"{}\"", field.value);
            let names = columns.iter().map(|column| column.name.as_str());
            let fault = source.diagnostic(field.span, message);
            faults.push(fault.with_nearest(&field.value, names, None));
            return;
        };
        if !fits(&column.data_type) {
            let message = format!(
                "\"{}\" is {}, which cannot be a message's {what}",
                field.value,
                sql_name(&column.data_type)
            );
            faults.push(source.diagnostic(field.span, message).with_help(help));
        }
    };
    check(
        &options.key_field,
        is_key,
        "key",
        "it is a column of one value: text, a number, BOOLEAN, DATE or TIMESTAMP",
    );
    check(
        &options.timestamp_field,
        |data_type| matches!(data_type, DataType::Timestamp(..)),
        "timestamp",
        "it is a TIMESTAMP; without the option it is the row's event time",
    );
}

/// Whether values have a text that a message can be keyed by.
fn is_key(data_type: &DataType) -> bool {
    use DataType::{Boolean, LargeUtf8, Utf8, Utf8View};
    data_type.is_primitive() || matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Boolean)
}
