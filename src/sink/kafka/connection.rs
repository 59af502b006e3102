//! A producer of librdkafka for one topic: how it is made, how messages leave, and how its errors read.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::TopicAddress;
use super::reports::{Reports, is_denial, is_refusal};
use crate::config::kafka::KafkaProperties;
use crate::sink::{Peer, SinkError};

/// How long one attempt may take without a sign of the broker.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10);
/// How often it is looked whether messages are delivered.
const LOOK: Duration = Duration::from_millis(100);

/// Ours, which the user's properties override.
const DEFAULTS: [(&str, &str); 6] = [
    ("client.id", "stockpulse-ingest"),
    ("compression.type", "zstd"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "65536"),
    // What the topic takes is for the broker to say.
    ("message.max.bytes", "100000000"),
    ("socket.keepalive.enable", "true"),
];

/// Properties of readers that say how this job reads its own topic.
const OF_READERS: [&str; 3] = ["group.id", "group.instance.id", "group.protocol"];

/// One message of the topic.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Decides the partition; `None`: any.
    pub key: Option<&'a [u8]>,
    /// Its timestamp, milliseconds since 1970; `None`: now.
    pub time_ms: Option<i64>,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// A producer of one topic.
pub(super) struct Connection {
    producer: BaseProducer<Reports>,
    config: ClientConfig,
    topic: String,
    brokers: String,
    reports: Reports,
}

impl Connection {
    /// A producer with `extra` properties, which override the user's. Nothing is asked yet.
    pub(super) fn new(
        to: &TopicAddress,
        extra: &[(&str, &str)],
        reports: &Reports,
    ) -> Result<Connection, SinkError> {
        let mut config = base_config(&to.kafka);
        for (key, value) in extra {
            config.set(*key, *value);
        }
        Ok(Connection {
            producer: create(&config, reports)?,
            config,
            topic: to.topic.clone(),
            brokers: to.kafka.brokers.clone(),
            reports: reports.clone(),
        })
    }

    /// A new producer in the place of one that has failed for good.
    pub(super) fn renew(&mut self) -> Result<(), SinkError> {
        self.producer = create(&self.config, &self.reports)?;
        Ok(())
    }

    /// Asks for the topic; a broker that makes topics makes it now.
    pub(super) fn find_topic(&self) -> Result<(), SinkError> {
        let found = || {
            let broker = self.producer.client();
            let metadata = broker.fetch_metadata(Some(&self.topic), ATTEMPT)?;
            let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
            match topic.and_then(|topic| topic.error()).map(Code::from) {
                Some(code) => Err(KafkaError::MetadataFetch(code)),
                None if topic.is_none_or(|topic| topic.partitions().is_empty()) => {
                    Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition))
                }
                None => Ok(()),
            }
        };
        found().map_err(|error| self.failed("find the topic", &error))
    }

    /// The producer, for what is asked of it beside messages.
    pub(super) fn producer(&self) -> &BaseProducer<Reports> {
        &self.producer
    }

    /// The topic's name.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// A property of the producer, as the user or we have set it.
    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.config.get(key)
    }

    /// Hands a message to librdkafka; waits while its queue is full and the broker takes messages.
    ///
    /// # Errors
    /// [`SinkError::Away`]; [`SinkError::NotWritable`] for a message that the topic does not take.
    pub(super) fn send(&self, message: &Message<'_>) -> Result<(), SinkError> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.topic).payload(message.payload);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        if let Some(time) = message.time_ms {
            record = record.timestamp(time);
        }
        let mut silence = Silence::begin(&self.reports);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if !silence.is_too_long() =>
                {
                    self.producer.poll(LOOK);
                    record = back;
                }
                Err((KafkaError::MessageProduction(code), _)) if is_refusal(code) => {
                    return Err(self.refused(code));
                }
                Err((error, _)) => return Err(self.failed("write", &error)),
            }
        }
    }

    /// Waits until all messages are with the broker.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub(super) fn deliver(&self) -> Result<(), SinkError> {
        let mut silence = Silence::begin(&self.reports);
        loop {
            if let Some(code) = self.reports.undelivered() {
                return Err(match is_refusal(code) {
                    true => self.refused(code),
                    false => self.failed("write", &KafkaError::MessageProduction(code)),
                });
            }
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            if silence.is_too_long() {
                return Err(self.failed("write", &KafkaError::Flush(Code::OperationTimedOut)));
            }
            self.producer.poll(LOOK);
        }
    }

    /// What an error of librdkafka is to the job.
    pub(super) fn failed(&self, doing: &str, error: &KafkaError) -> SinkError {
        let (topic, brokers) = (&self.topic, &self.brokers);
        let reason = self.reports.reason().unwrap_or_else(|| match error {
            error if error.rdkafka_error_code() == Some(Code::OperationTimedOut) => {
                "it does not answer".to_owned()
            }
            KafkaError::Transaction(error) => error.string(),
            error => error.to_string(),
        });
        let why = match error.rdkafka_error_code() {
            Some(code) if is_denial(code) => format!(
                "Kafka at {brokers} does not let us {doing} (topic {topic}): {reason}. Check the user's rights: to write this topic, to its transactions (transactional.id), and to the group that marks them"
            ),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => format!(
                "topic {topic} does not exist at {brokers}, and the broker does not create it; create it"
            ),
            _ => format!(
                "Kafka at {brokers} cannot be reached to {doing} (topic {topic}): {reason}. What was committed is kept beside the checkpoint, and is sent when it is back, or by the next start"
            ),
        };
        let peer = Peer::Kafka;
        SinkError::Away { peer, why }
    }

    fn refused(&self, code: Code) -> SinkError {
        let topic = &self.topic;
        let way_out = match code {
            Code::InvalidTimestamp => {
                "its timestamp is further from now than the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms allow; raise them"
            }
            _ => {
                "raise the topic's max.message.bytes; for dead letters, to about three times that of the topic that is read"
            }
        };
        SinkError::NotWritable(format!(
            "topic {topic} does not take a message: {code}; {way_out}. The message is kept beside the checkpoint, and the next start sends it"
        ))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// How long no message was taken.
struct Silence<'a> {
    reports: &'a Reports,
    since: Instant,
    delivered: u64,
}

impl Silence<'_> {
    fn begin(reports: &Reports) -> Silence<'_> {
        Silence {
            reports,
            since: Instant::now(),
            delivered: reports.delivered(),
        }
    }

    fn is_too_long(&mut self) -> bool {
        let delivered = self.reports.delivered();
        if delivered != self.delivered {
            (self.delivered, self.since) = (delivered, Instant::now());
        }
        self.since.elapsed() >= ATTEMPT
    }
}

/// The user's properties over our defaults.
pub(super) fn base_config(kafka: &KafkaProperties) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    for (key, value) in kafka.iter().filter(|(key, _)| !OF_READERS.contains(key)) {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &kafka.brokers);
    config
}

/// A client of librdkafka; no secret is in the error.
pub(super) fn create<C>(config: &ClientConfig, reports: &Reports) -> Result<C, SinkError>
where
    C: FromClientConfigAndContext<Reports>,
{
    let client = config.create_with_context(reports.clone());
    client.map_err(|error| unfit(&error))
}

/// Whether librdkafka takes the user's properties; nobody is asked.
pub(super) fn check(kafka: &KafkaProperties) -> Result<(), SinkError> {
    let checked = base_config(kafka).create_native_config();
    checked.map(drop).map_err(|error| unfit(&error))
}

fn unfit(error: &KafkaError) -> SinkError {
    SinkError::Options(match error {
        KafkaError::ClientConfig(_, _, key, _) if KafkaProperties::is_secret(key) => {
            format!("Kafka property {key}: librdkafka does not take its value")
        }
        KafkaError::ClientConfig(_, why, key, _) => format!("Kafka property {key}: {why}"),
        error => format!("the Kafka properties do not go together: {error}"),
    })
}
