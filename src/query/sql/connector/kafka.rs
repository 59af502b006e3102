//! `connector = 'kafka', type = 'source'`: the topic that a table reads.

use std::time::Duration;

use crate::config::secret::Secret;

use super::super::options::{Options, Taken};
use super::super::parser::Reader;

/// How long a partition may be silent before it leaves the watermark, when `idle_micros` is not given.
const DEFAULT_IDLE: Duration = Duration::from_secs(5 * 60);

/// Options that Arroyo has for Kafka sources and their formats, and the local engine does not run.
const NOT_RUN: [&str; 13] = [
    "auth.region",
    "avro.",
    "connection_profile",
    "event_time_field",
    "framing",
    "framing.",
    "json.",
    "lookup.",
    "schema_registry.",
    "sink.",
    "source.group_id_prefix",
    "value.subject",
    "watermark_field",
];

/// How a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFormat {
    /// `json`: one JSON object a message, columns by name.
    Json,
    /// `raw_string`: the message as text, in the one column `value`.
    RawString,
}

/// What happens to a message that is not of the declared shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadData {
    /// `fail`, the default: the job stops.
    Fail,
    /// `drop`: it is counted and left out.
    Drop,
}

/// Where reading starts when there is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceOffset {
    /// `earliest`: at the first retained message.
    Earliest,
    /// `latest`: after the last message.
    Latest,
    /// `group`: where the consumer group stands.
    Group,
}

/// Whether messages of open and aborted transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// `read_uncommitted`, the default: all of them.
    Uncommitted,
    /// `read_committed`: those of committed transactions only.
    Committed,
}

/// `'auth.type' = 'sasl'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslOptions {
    /// librdkafka's `security.protocol`: `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
    /// librdkafka's `sasl.mechanism`: `PLAIN`, `SCRAM-SHA-256`…
    pub mechanism: String,
    /// User.
    pub username: Secret,
    /// Password.
    pub password: Secret,
}

/// The topic that a table reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSourceOptions {
    /// Brokers to begin with: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Topic.
    pub topic: String,
    /// How a message is read.
    pub format: FrameFormat,
    /// What happens to a message of another shape.
    pub bad_data: BadData,
    /// Where reading starts without a checkpoint; `None`: not given.
    pub source_offset: Option<SourceOffset>,
    /// Consumer group to commit to, if given.
    pub group_id: Option<String>,
    /// Whether uncommitted messages are read.
    pub read_mode: ReadMode,
    /// `client_configs`: librdkafka properties.
    pub client_configs: Vec<(String, Secret)>,
    /// `auth.*`; `None`: no authentication.
    pub sasl: Option<SaslOptions>,
    /// A partition that is silent for this long leaves the watermark; `None`: never (`idle_micros` 0 or less).
    pub idle: Option<Duration>,
}

impl KafkaSourceOptions {
    /// What the options say in librdkafka's properties, without `bootstrap.servers` and `group.id`:
    /// `client_configs`, authentication, the read mode. Later ones win over earlier ones.
    pub fn kafka_properties(&self) -> Vec<(String, Secret)> {
        let mut properties = properties(&self.client_configs, self.sasl.as_ref());
        let isolation = Secret::new(self.read_mode.isolation_level());
        properties.push(("isolation.level".to_owned(), isolation));
        properties
    }

    pub(super) fn canonical(&self) -> String {
        format!(
            "kafka source topic={:?} format={:?} read_mode={}",
            self.topic,
            self.format,
            self.read_mode.isolation_level()
        )
    }
}

impl ReadMode {
    /// librdkafka's `isolation.level`.
    pub fn isolation_level(self) -> &'static str {
        match self {
            ReadMode::Uncommitted => "read_uncommitted",
            ReadMode::Committed => "read_committed",
        }
    }
}

/// `client_configs` and authentication in librdkafka's properties.
pub(super) fn properties(
    client_configs: &[(String, Secret)],
    sasl: Option<&SaslOptions>,
) -> Vec<(String, Secret)> {
    let mut properties = client_configs.to_vec();
    let mut set = |name: &str, value: Secret| properties.push((name.to_owned(), value));
    if let Some(sasl) = sasl {
        set("security.protocol", Secret::new(sasl.protocol.as_str()));
        set("sasl.mechanism", Secret::new(sasl.mechanism.as_str()));
        set("sasl.username", sasl.username.clone());
        set("sasl.password", sasl.password.clone());
    }
    properties
}

/// Takes a Kafka source's options. `None`: there were faults, and the reader has them.
pub(super) fn source(reader: &mut Reader, mut options: Options) -> Option<KafkaSourceOptions> {
    let faults_before = reader.faults.len();
    let bootstrap_servers = options.required_text(reader, "bootstrap_servers");
    let topic = options.required_text(reader, "topic");
    let format = format(reader, &mut options);
    let bad_data = options.choice(
        reader,
        "bad_data",
        &[("fail", BadData::Fail), ("drop", BadData::Drop)],
    );
    let source_offset = options.choice(
        reader,
        "source.offset",
        &[
            ("earliest", SourceOffset::Earliest),
            ("latest", SourceOffset::Latest),
            ("group", SourceOffset::Group),
        ],
    );
    let group_id = options.text(reader, "source.group_id");
    let read_mode = options.choice(
        reader,
        "source.read_mode",
        &[
            ("read_uncommitted", ReadMode::Uncommitted),
            ("read_committed", ReadMode::Committed),
        ],
    );
    let client_configs = options
        .text(reader, "client_configs")
        .map_or_else(Vec::new, |taken| client_configs(reader, &taken));
    let sasl = sasl(reader, &mut options);
    let idle = options.integer(reader, "idle_micros");
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, "a Kafka source");
    if reader.faults.len() > faults_before {
        return None;
    }
    Some(KafkaSourceOptions {
        bootstrap_servers: bootstrap_servers?.value.trim().to_owned(),
        topic: topic?.value.trim().to_owned(),
        format: format?,
        bad_data: bad_data.map_or(BadData::Fail, |taken| taken.value),
        source_offset: source_offset.map(|taken| taken.value),
        group_id: group_id.map(|taken| taken.value),
        read_mode: read_mode.map_or(ReadMode::Uncommitted, |taken| taken.value),
        client_configs,
        sasl,
        idle: idle.map_or(Some(DEFAULT_IDLE), |taken| {
            let micros = u64::try_from(taken.value).ok()?;
            (micros > 0).then(|| Duration::from_micros(micros))
        }),
    })
}

fn format(reader: &mut Reader, options: &mut Options) -> Option<FrameFormat> {
    const NOT_RUN_FORMATS: [&str; 5] =
        ["avro", "debezium_json", "parquet", "protobuf", "raw_bytes"];
    let taken = options.required_text(reader, "format")?;
    let message = match taken.value.as_str() {
        "json" => return Some(FrameFormat::Json),
        "raw_string" => return Some(FrameFormat::RawString),
        known if NOT_RUN_FORMATS.contains(&known) => {
            format!("the local engine does not run the format '{known}' for Kafka sources")
        }
        _ => "unknown format".to_owned(),
    };
    let fault = reader.source.diagnostic(taken.span, message);
    reader
        .faults
        .push(fault.with_help("it is 'json' or 'raw_string'"));
    None
}

/// `name=value,name=value`. Deliberately: a fault does not repeat the text, it may hold a password.
pub(super) fn client_configs(reader: &mut Reader, taken: &Taken<String>) -> Vec<(String, Secret)> {
    let pairs: Option<Vec<_>> = taken
        .value
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), Secret::new(value.trim())))
        })
        .collect();
    pairs.unwrap_or_else(|| {
        let fault = reader
            .source
            .diagnostic(taken.span, "'client_configs' cannot be read")
            .with_help("it is 'name=value,name=value' with librdkafka's property names");
        reader.faults.push(fault);
        Vec::new()
    })
}

pub(super) fn sasl(reader: &mut Reader, options: &mut Options) -> Option<SaslOptions> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        None,
        Sasl,
        AwsMskIam,
    }
    const SASL: [&str; 4] = [
        "auth.mechanism",
        "auth.protocol",
        "auth.username",
        "auth.password",
    ];
    let kinds = [
        ("none", Kind::None),
        ("sasl", Kind::Sasl),
        ("aws_msk_iam", Kind::AwsMskIam),
    ];
    let kind = options.choice(reader, "auth.type", &kinds);
    match kind.as_ref().map_or(Kind::None, |kind| kind.value) {
        Kind::None => {
            options.need(reader, &SASL, "'auth.type' = 'sasl'");
            None
        }
        Kind::AwsMskIam => {
            let at = kind.map_or(options.span, |kind| kind.span);
            let message = "the local engine does not run 'aws_msk_iam'";
            reader.faults.push(reader.source.diagnostic(at, message));
            None
        }
        Kind::Sasl => {
            let mechanism = options.required_text(reader, "auth.mechanism");
            let protocol = options.required_text(reader, "auth.protocol");
            let username = options.required_text(reader, "auth.username");
            let password = options.required_text(reader, "auth.password");
            Some(SaslOptions {
                protocol: protocol?.value,
                mechanism: mechanism?.value,
                username: Secret::new(username?.value),
                password: Secret::new(password?.value),
            })
        }
    }
}
