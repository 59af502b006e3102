//! The topic that is measured: made once, checked before every use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::error::BenchError;
use super::ticks::Frames;
use crate::config::bench::BenchArgs;

/// Longest wait for an answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the last messages to be delivered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a topic that was just made may take to show up.
const NEW_TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic that holds exactly the frames to measure.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) frames: u64,
    /// Taken again by [`Topic::leave`]: this run made it.
    made: Option<(ClientConfig, String)>,
}

/// The settings that every client starts from.
pub(super) fn client_config(args: &BenchArgs) -> Result<ClientConfig, BenchError> {
    let kafka = args.kafka().map_err(BenchError::Usage)?;
    let mut config = ClientConfig::new();
    config.set("client.id", "stockpulse-bench");
    for (key, value) in kafka.iter() {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &kafka.brokers);
    Ok(config)
}

impl Topic {
    /// The topic as the options want it, generated if the broker has none of its name.
    pub(super) fn ready(args: &BenchArgs) -> Result<Topic, BenchError> {
        let frames = args.frames().map_err(BenchError::Usage)?;
        let name = args.topic_name();
        let config = client_config(args)?;
        let found = bounds(&config, &args.broker, &name)?;
        let mut topic = Topic {
            name,
            frames,
            made: None,
        };
        if found.is_empty() {
            create(args, &config, &topic.name)?;
            topic.made = Some((config.clone(), args.broker.clone()));
            generate(args, &config, &topic).inspect_err(|_| topic.leave(false))?;
            return Ok(topic);
        }
        let held: i64 = found.iter().map(|(_, low, high)| high - low).sum();
        if u64::try_from(held) != Ok(frames) || found.len() != args.partitions as usize {
            return Err(BenchError::Usage(format!(
                "topic {} at {} holds {held} messages in {} partitions, not the {frames} in {} that \
                 are to be measured: delete it, or choose another with --topic",
                topic.name,
                args.broker,
                found.len(),
                args.partitions
            )));
        }
        Ok(topic)
    }

    /// Deletes the topic if this run made it and it is not to be kept. Best effort: what fails is
    /// said on standard error.
    pub(super) fn leave(&self, keep: bool) {
        let Some((config, broker)) = self.made.as_ref().filter(|_| !keep) else {
            return;
        };
        let names = [self.name.as_str()];
        let deleted = admin(config).and_then(|(client, runtime)| {
            runtime.block_on(client.delete_topics(&names, &AdminOptions::new()))
        });
        if let Err(error) = deleted {
            eprintln!(
                "topic {} at {broker} could not be deleted: {error}",
                self.name
            );
        }
    }
}

/// Per partition its first retained and its next offset; empty if there is no such topic.
pub(super) fn bounds(
    config: &ClientConfig,
    broker: &str,
    topic: &str,
) -> Result<Vec<(i32, i64, i64)>, BenchError> {
    let failed = |error: KafkaError| BenchError::kafka("looking for the topic", broker, &error);
    let mut config = config.clone();
    // Asking for a topic must not make one.
    config.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let metadata = consumer
        .fetch_metadata(Some(topic), ANSWER_TIMEOUT)
        .map_err(failed)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| {
            let id = partition.id();
            let (low, high) = consumer
                .fetch_watermarks(topic, id, ANSWER_TIMEOUT)
                .map_err(failed)?;
            Ok((id, low, high))
        })
        .collect()
}

fn create(args: &BenchArgs, config: &ClientConfig, name: &str) -> Result<(), BenchError> {
    let failed = |error: KafkaError| BenchError::kafka("making the topic", &args.broker, &error);
    let (client, runtime) = admin(config).map_err(failed)?;
    let partitions = i32::try_from(args.partitions).unwrap_or(i32::MAX);
    // Retention off: the ticks are old, and must stay until the last round.
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1");
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
    let results = runtime
        .block_on(client.create_topics([&new], &options))
        .map_err(failed)?;
    for result in results {
        result.map_err(|(_, code)| failed(KafkaError::AdminOp(code)))?;
    }
    let since = Instant::now();
    while bounds_if_known(config, &args.broker, name)?.len() != args.partitions as usize {
        if since.elapsed() > NEW_TOPIC_TIMEOUT {
            let text = format!(
                "topic {name} was made at {} but does not show up",
                args.broker
            );
            return Err(BenchError::Failed(text));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// As [`bounds`], but a topic whose partitions have no leader yet is not known yet.
fn bounds_if_known(
    config: &ClientConfig,
    broker: &str,
    name: &str,
) -> Result<Vec<(i32, i64, i64)>, BenchError> {
    match bounds(config, broker, name) {
        Err(BenchError::Failed(_)) => Ok(Vec::new()),
        outcome => outcome,
    }
}

type Admin = (AdminClient<DefaultClientContext>, tokio::runtime::Runtime);

fn admin(config: &ClientConfig) -> KafkaResult<Admin> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::Fail))?;
    Ok((config.create()?, runtime))
}

/// Counts the messages that the broker did not take.
#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
}

struct DeliveryContext(Arc<Deliveries>);

impl ClientContext for DeliveryContext {}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn generate(args: &BenchArgs, config: &ClientConfig, topic: &Topic) -> Result<(), BenchError> {
    let failed = |error: KafkaError| BenchError::kafka("generating ticks", &args.broker, &error);
    let mut config = config.clone();
    config
        .set("enable.idempotence", "true")
        .set("compression.type", args.compression.name())
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "200000")
        .set("partitioner", "murmur2_random");
    let deliveries = Arc::new(Deliveries::default());
    let context = DeliveryContext(Arc::clone(&deliveries));
    let producer: BaseProducer<DeliveryContext> =
        config.create_with_context(context).map_err(failed)?;
    let (name, total) = (&topic.name, topic.frames);
    eprintln!(
        "generating {} ticks into topic {name} at {}",
        args.ticks, args.broker
    );
    let mut frames = Frames::new(total, args.ticks_per_frame, args.symbols);
    let mut since_sent = Instant::now();
    while let Some((key, payload)) = frames.next_frame() {
        let mut record = BaseRecord::to(name).key(key).payload(payload);
        while let Err((error, unsent)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || since_sent.elapsed() > FLUSH_TIMEOUT {
                return Err(failed(error));
            }
            producer.poll(Duration::from_millis(50));
            record = unsent;
        }
        since_sent = Instant::now();
        producer.poll(Duration::ZERO);
    }
    producer.flush(FLUSH_TIMEOUT).map_err(failed)?;
    match deliveries.failed.load(Ordering::Relaxed) {
        0 => Ok(()),
        count => Err(BenchError::Failed(format!(
            "{count} of {total} messages were not delivered to topic {name} at {}",
            args.broker
        ))),
    }
}
