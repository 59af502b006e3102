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
/// How long a topic may take to be gone, or to show up.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The topic as the options want it, generated if it is empty or the broker has none of its name.
    pub(super) fn ready(args: &BenchArgs) -> Result<Topic, BenchError> {
        let frames = args.frames().map_err(BenchError::Usage)?;
        let name = args.topic_name();
        let config = client_config(args)?;
        let found = bounds(&config, &args.broker, &name)?;
        let held: i64 = found.iter().map(|(_, low, high)| high - low).sum();
        let mut topic = Topic {
            name,
            frames,
            made: None,
        };
        if u64::try_from(held) == Ok(frames) && found.len() == args.partitions as usize {
            return Ok(topic);
        }
        if held == 0 && found.len() == args.partitions as usize {
            generate(args, &config, &topic)?;
            return Ok(topic);
        }
        if !found.is_empty() {
            let (name, broker) = (&topic.name, &args.broker);
            if args.topic.is_some() {
                return Err(BenchError::Usage(format!(
                    "topic {name} at {broker} holds {held} messages in {} partitions, not the \
                     {frames} in {} that are to be measured: delete it, or choose another with \
                     --topic",
                    found.len(),
                    args.partitions
                )));
            }
            eprintln!("topic {name} at {broker} is not whole: it is made anew");
            delete(&config, name).map_err(|e| BenchError::kafka("deleting", broker, &e))?;
        }
        create(args, &config, &topic.name)?;
        topic.made = Some((config.clone(), args.broker.clone()));
        generate(args, &config, &topic).inspect_err(|_| topic.leave(false))?;
        Ok(topic)
    }

    /// Deletes the topic if this run made it and it is not to be kept. Best effort: what fails is
    /// said on standard error.
    pub(super) fn leave(&self, keep: bool) {
        let Some((config, broker)) = self.made.as_ref().filter(|_| !keep) else {
            return;
        };
        let deleted = delete(config, &self.name);
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

fn delete(config: &ClientConfig, name: &str) -> KafkaResult<()> {
    let (client, runtime) = admin(config)?;
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
    let results = runtime.block_on(client.delete_topics(&[name], &options))?;
    results.into_iter().try_for_each(|result| {
        result
            .map(drop)
            .map_err(|(_, code)| KafkaError::AdminOp(code))
    })
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
    let since = Instant::now();
    loop {
        let results = runtime
            .block_on(client.create_topics([&new], &options))
            .map_err(failed)?;
        let refused = results.into_iter().find_map(Result::err);
        match refused {
            None => break,
            // One of this name is still being deleted.
            Some((_, RDKafkaErrorCode::TopicAlreadyExists)) if since.elapsed() < TOPIC_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Some((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    while bounds_if_known(config, &args.broker, name)?.len() != args.partitions as usize {
        if since.elapsed() > TOPIC_TIMEOUT {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bare::count;
    use crate::broker::EmbeddedBroker;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Bench {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn args(broker: &EmbeddedBroker, more: &[&str]) -> BenchArgs {
        let address = broker.address();
        let given = [
            "bench", "--broker", &address, "--topic", "t", "--ticks", "5000",
        ];
        Bench::parse_from(given.iter().chain(more)).args
    }

    /// The embedded broker makes no topics on request, so an empty one is there beforehand.
    #[test]
    fn what_is_generated_is_what_a_bare_consumer_counts() {
        let broker = EmbeddedBroker::start("t", 4, None).unwrap();
        let args_4 = args(&broker, &[]);
        Topic::ready(&args_4).unwrap();
        let ready = Topic::ready(&args_4).unwrap();
        assert_eq!(
            (ready.name.as_str(), ready.frames, ready.made.is_some()),
            ("t", 1_000, false)
        );
        let mut frames = Frames::new(1_000, 5, 50);
        let mut bytes = 0;
        while let Some((key, payload)) = frames.next_frame() {
            bytes += (key.len() + payload.len()) as u64;
        }
        let counted = count(&args_4).unwrap();
        assert_eq!((counted.messages, counted.bytes), (1_000, bytes));
        let other = Topic::ready(&args(&broker, &["--ticks-per-frame", "4"]))
            .err()
            .unwrap();
        assert!(matches!(other, BenchError::Usage(_)), "{other}");
        let usage = other.to_string();
        assert!(
            usage.contains("holds 1000 messages") && usage.contains("not the 1250"),
            "{usage}"
        );
    }

    #[test]
    fn no_broker_is_said_so() {
        let broker = EmbeddedBroker::start("t", 1, None).unwrap();
        let args = args(&broker, &[]);
        drop(broker);
        let error = Topic::ready(&args).err().unwrap();
        assert!(matches!(error, BenchError::Unreachable(_)), "{error}");
        assert!(error.to_string().contains(&args.broker), "{error}");
    }
}
