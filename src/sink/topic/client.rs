//! librdkafka's transactional producer, and who asks for the marker of its last transaction.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Marker, Send, TopicAddress};
use crate::config::kafka::KafkaProperties;
use crate::sink::{Peer, SinkError};

/// How long the broker may be away, or silent, before the job ends; the next start goes on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

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

/// A producer and its marker.
pub(super) struct Client {
    producer: BaseProducer<Reports>,
    /// It reads the marker, and is a member of nothing.
    asking: BaseConsumer<Reports>,
    topic: String,
    brokers: String,
}

impl Client {
    /// Connects, and waits until no transaction of an earlier process is open.
    pub(super) fn connect(to: &TopicAddress, job: &str) -> Result<Client, SinkError> {
        let TopicAddress { topic, kafka } = to;
        let reports = Reports::default();
        let client = Client {
            producer: create(&producer_config(kafka, topic, job), &reports)?,
            asking: create(&asking_config(kafka, job), &reports)?,
            topic: topic.clone(),
            brokers: kafka.brokers.clone(),
        };
        client.until_done("find the topic", || {
            let broker = client.producer.client();
            let metadata = broker.fetch_metadata(Some(&client.topic), ATTEMPT)?;
            let topic = metadata.topics().iter().find(|t| t.name() == client.topic);
            match topic.and_then(|topic| topic.error()).map(Code::from) {
                Some(code) => Err(KafkaError::MetadataFetch(code)),
                None if topic.is_none_or(|topic| topic.partitions().is_empty()) => {
                    Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition))
                }
                None => Ok(()),
            }
        })?;
        client.until_done("begin to write", || {
            client.producer.init_transactions(ATTEMPT)
        })?;
        Ok(client)
    }

    /// What was sent last; `None`: nothing, or the broker has forgotten it since
    /// (`offsets.retention.minutes`).
    pub(super) fn marker(&self) -> Result<Option<Marker>, SinkError> {
        self.until_done("ask what was written last", || {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&self.topic, 0);
            let answer = self.asking.committed_offsets(asked, ATTEMPT)?;
            let mut marker = None;
            for element in answer.elements() {
                element.error()?;
                if let Offset::Offset(epoch) = element.offset() {
                    let file = element.metadata().to_owned();
                    marker = Some(Marker { epoch, file });
                }
            }
            Ok(marker)
        })
    }

    /// Sends what `fill` sends, and the marker, together.
    pub(super) fn transact(
        &self,
        marker: &Marker,
        fill: &mut dyn FnMut(Send<'_>) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let begun = Instant::now();
        loop {
            self.reports().forget();
            let error = match self.attempt(marker, fill, begun) {
                Ok(()) => return Ok(()),
                Err(Failure::Sink(error)) => {
                    // Best effort: the next start aborts it too.
                    let _ = self.producer.abort_transaction(ATTEMPT);
                    return Err(error);
                }
                Err(Failure::Kafka(error)) => error,
            };
            let undelivered = self.reports().undelivered();
            if let Some(code) = undelivered.filter(|code| is_refusal(*code)) {
                let _ = self.producer.abort_transaction(ATTEMPT);
                return Err(self.refused(code));
            }
            let is_fatal = self.producer.client().fatal_error().is_some();
            if is_fatal || begun.elapsed() >= PATIENCE {
                return Err(self.failed("write", &error));
            }
            self.until_done("begin again", || self.producer.abort_transaction(ATTEMPT))?;
            std::thread::sleep(PAUSE);
        }
    }

    fn attempt(
        &self,
        marker: &Marker,
        fill: &mut dyn FnMut(Send<'_>) -> Result<(), SinkError>,
        begun: Instant,
    ) -> Result<(), Failure> {
        self.producer.begin_transaction()?;
        let mut failed = None;
        let filled = fill(&mut |key, payload| self.send(key, payload, begun, &mut failed));
        if let Some(error) = failed {
            return Err(Failure::Kafka(error));
        }
        filled.map_err(Failure::Sink)?;
        let mut offsets = TopicPartitionList::new();
        let mut place = offsets.add_partition(&self.topic, 0);
        place.set_offset(Offset::Offset(marker.epoch))?;
        place.set_metadata(marker.file.as_str());
        let group = self.asking.group_metadata();
        let group = group.ok_or(KafkaError::ClientCreation("no group".to_owned()))?;
        self.again(begun, || {
            self.producer
                .send_offsets_to_transaction(&offsets, &group, ATTEMPT)
        })?;
        self.again(begun, || self.producer.commit_transaction(ATTEMPT))?;
        Ok(())
    }

    fn send(
        &self,
        key: &str,
        payload: &[u8],
        begun: Instant,
        failed: &mut Option<KafkaError>,
    ) -> Result<(), SinkError> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if begun.elapsed() < PATIENCE =>
                {
                    self.producer.poll(PAUSE);
                    record = back;
                }
                Err((KafkaError::MessageProduction(code), _)) if is_refusal(code) => {
                    return Err(self.refused(code));
                }
                Err((error, _)) => {
                    let text = error.to_string();
                    *failed = Some(error);
                    return Err(away(text));
                }
            }
        }
    }

    /// Does it again while librdkafka says that this is what is to be done.
    fn again(&self, begun: Instant, step: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
        loop {
            match step() {
                Err(error) if is_retriable(&error) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    /// Tries until it is done, the broker refuses us, or patience is over.
    fn until_done<T>(
        &self,
        doing: &str,
        step: impl Fn() -> KafkaResult<T>,
    ) -> Result<T, SinkError> {
        let begun = Instant::now();
        loop {
            let error = match step() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_fatal = matches!(&error, KafkaError::Transaction(error) if error.is_fatal());
            let is_denied = error.rdkafka_error_code().is_some_and(is_denial);
            if is_fatal || is_denied || begun.elapsed() >= PATIENCE {
                return Err(self.failed(doing, &error));
            }
            // The pause, in which events are served.
            self.producer.poll(PAUSE);
            let _ = self.asking.poll(Duration::ZERO);
        }
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> SinkError {
        let (topic, brokers) = (&self.topic, &self.brokers);
        let code = error.rdkafka_error_code();
        let reason = self.reports().reason();
        let reason = reason.unwrap_or_else(|| match error {
            KafkaError::Transaction(error) => error.string(),
            error => error.to_string(),
        });
        match code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                SinkError::Foreign(format!(
                    "another process of this job has taken over topic {topic}: one job of a name for each topic; give this one another --name, or stop the other"
                ))
            }
            Some(code) if is_denial(code) => away(format!(
                "Kafka at {brokers} does not let us {doing} (topic {topic}): {reason}. Check the user's rights: to write this topic, to its transactions (transactional.id), and to the group that marks them"
            )),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => away(format!(
                "topic {topic} does not exist at {brokers}, and the broker does not create it; create it"
            )),
            _ => away(format!(
                "Kafka at {brokers} cannot be reached to {doing} (topic {topic}, tried for {PATIENCE:.0?}): {reason}. What was committed is kept beside the checkpoint, and the next start sends it"
            )),
        }
    }

    fn refused(&self, code: Code) -> SinkError {
        let topic = &self.topic;
        SinkError::NotWritable(format!(
            "topic {topic} does not take a message: {code}; raise the topic's max.message.bytes, to about three times that of the topic that is read. The message is kept beside the checkpoint, and the next start sends it"
        ))
    }

    fn reports(&self) -> &Reports {
        self.producer.context()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

enum Failure {
    Sink(SinkError),
    Kafka(KafkaError),
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Failure {
        Failure::Kafka(error)
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        // Of the flush before a commit.
        error => error.rdkafka_error_code() == Some(Code::OperationTimedOut),
    }
}

/// The message is at fault, not the way to the broker.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord
    )
}

fn is_denial(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

fn base_config(kafka: &KafkaProperties) -> ClientConfig {
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

fn producer_config(kafka: &KafkaProperties, topic: &str, job: &str) -> ClientConfig {
    let mut config = base_config(kafka);
    config.set("transactional.id", format!("{}-{topic}", group(job)));
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config
}

fn asking_config(kafka: &KafkaProperties, job: &str) -> ClientConfig {
    let mut config = base_config(kafka);
    config.set("group.id", group(job));
    config.set("enable.auto.commit", "false");
    // Not what a transaction says that is still open.
    config.set("isolation.level", "read_committed");
    config
}

/// The consumer group whose offset is the marker.
fn group(job: &str) -> String {
    format!("stockpulse-{job}-dead-letters")
}

fn create<C>(config: &ClientConfig, reports: &Reports) -> Result<C, SinkError>
where
    C: rdkafka::config::FromClientConfigAndContext<Reports>,
{
    config
        .create_with_context(reports.clone())
        .map_err(|error| {
            let why = match error {
                KafkaError::ClientConfig(_, _, key, _) if KafkaProperties::is_secret(&key) => {
                    format!("Kafka property {key}: librdkafka does not take its value")
                }
                KafkaError::ClientConfig(_, why, key, _) => format!("Kafka property {key}: {why}"),
                error => format!("the Kafka properties do not go together: {error}"),
            };
            SinkError::Options(why)
        })
}

/// What librdkafka tells us; clones share it.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Trouble>>);

#[derive(Default)]
struct Trouble {
    /// librdkafka's words for the newest error of a connection.
    reason: Option<String>,
    /// Why a message of this transaction was not taken.
    undelivered: Option<Code>,
}

impl Reports {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Option<String> {
        self.trouble().reason.clone()
    }

    fn undelivered(&self) -> Option<Code> {
        self.trouble().undelivered
    }

    fn forget(&self) {
        *self.trouble() = Trouble::default();
    }
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, fac: &str, message: &str) {
        tracing::debug!(fac, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client of the dead letters");
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            self.trouble().reason = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut trouble = self.trouble();
            trouble.undelivered = trouble.undelivered.or(error.rdkafka_error_code());
        }
    }
}

fn away(why: String) -> SinkError {
    SinkError::Away {
        peer: Peer::Kafka,
        why,
    }
}
