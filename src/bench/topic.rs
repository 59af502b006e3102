//! The topic that is measured: made once, checked before every use, deleted at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::cluster::Cluster;
use super::error::BenchError;
use super::stop::Stop;
use super::ticks::Frames;
use crate::config::bench::{BenchCompression, MarketArgs};

/// Longest wait for the last messages to be delivered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// What is in a topic.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) ticks: u64,
    pub(super) partitions: u32,
    pub(super) symbols: u32,
    pub(super) ticks_per_frame: u32,
    pub(super) compression: BenchCompression,
}

impl Content {
    pub(super) fn new(ticks: u64, market: &MarketArgs) -> Content {
        Content {
            ticks,
            partitions: market.partitions,
            symbols: market.symbols,
            ticks_per_frame: market.ticks_per_frame,
            compression: market.compression,
        }
    }

    /// A topic's name that says so.
    pub(super) fn name(&self) -> String {
        let (ticks, symbols, partitions) = (self.ticks, self.symbols, self.partitions);
        let (per_frame, codec) = (self.ticks_per_frame, self.compression.name());
        format!("stockpulse-bench-{ticks}t-{per_frame}f-{symbols}s-{partitions}p-{codec}")
    }

    /// Messages in the topic.
    fn frames(&self) -> Result<u64, BenchError> {
        let per_frame = u64::from(self.ticks_per_frame);
        match self.ticks % per_frame {
            0 => Ok(self.ticks / per_frame),
            _ => Err(BenchError::Usage(format!(
                "--ticks {} is no multiple of --ticks-per-frame {per_frame}",
                self.ticks
            ))),
        }
    }
}

/// A topic of a broker; it is deleted with this value if it was made by it and is not to be kept.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) frames: u64,
    cluster: Cluster,
    made: bool,
    /// Leave it there.
    keep: bool,
}

impl Topic {
    /// The topic of these ticks, generated if it is empty or the broker has none of its name: the one given, or one
    /// that says what is in it.
    pub(super) fn ready(
        cluster: &Cluster,
        content: &Content,
        named: Option<&str>,
        keep: bool,
        stop: &Stop,
    ) -> Result<Topic, BenchError> {
        let frames = content.frames()?;
        let mut topic = Topic {
            name: named.map_or_else(|| content.name(), str::to_owned),
            frames,
            cluster: cluster.clone(),
            made: false,
            keep,
        };
        let found = cluster.bounds(&topic.name)?;
        let held: i64 = found.iter().map(|(_, low, high)| high - low).sum();
        if u64::try_from(held) == Ok(frames) && found.len() == content.partitions as usize {
            return Ok(topic);
        }
        if held == 0 && found.len() == content.partitions as usize {
            topic.generate(content, stop)?;
            return Ok(topic);
        }
        if !found.is_empty() {
            let (name, broker) = (&topic.name, &cluster.broker);
            if named.is_some() {
                return Err(BenchError::Usage(format!(
                    "topic {name} at {broker} holds {held} messages in {} partitions, not the \
                     {frames} in {} that are to be measured: delete it, or choose another with \
                     --topic",
                    found.len(),
                    content.partitions
                )));
            }
            eprintln!("topic {name} at {broker} is not whole: it is made anew");
            cluster.delete(name).map_err(cluster.failed("deleting"))?;
        }
        cluster.create(&topic.name, content.partitions)?;
        topic.made = true;
        topic.keep = false; // until it is whole
        topic.generate(content, stop)?;
        topic.keep = keep;
        Ok(topic)
    }

    /// An empty topic, made unless it is there.
    pub(super) fn empty(
        cluster: &Cluster,
        name: &str,
        partitions: u32,
    ) -> Result<Topic, BenchError> {
        let found = cluster.bounds(name)?;
        let held: i64 = found.iter().map(|(_, low, high)| high - low).sum();
        let is_there = found.len() == partitions as usize && held == 0;
        if !found.is_empty() && !is_there {
            return Err(BenchError::Usage(format!(
                "topic {name} at {} holds {held} messages in {} partitions, where an empty one of {partitions} is \
                 needed: delete it, or choose others with --topic",
                cluster.broker,
                found.len()
            )));
        }
        if !is_there {
            cluster.create(name, partitions)?;
        }
        Ok(Topic {
            name: name.to_owned(),
            frames: 0,
            cluster: cluster.clone(),
            made: !is_there,
            keep: false,
        })
    }

    fn generate(&self, content: &Content, stop: &Stop) -> Result<(), BenchError> {
        let failed = self.cluster.failed("generating ticks");
        let mut config = self.cluster.config();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", content.compression.name())
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("queue.buffering.max.messages", "200000")
            .set("partitioner", "murmur2_random");
        let deliveries = Arc::new(Deliveries::default());
        let context = DeliveryContext(Arc::clone(&deliveries));
        let producer: BaseProducer<DeliveryContext> =
            config.create_with_context(context).map_err(&failed)?;
        let (name, broker) = (&self.name, &self.cluster.broker);
        eprintln!(
            "generating {} ticks into topic {name} at {broker}",
            content.ticks
        );
        let mut frames = Frames::new(self.frames, content.ticks_per_frame, content.symbols);
        let mut since_sent = Instant::now();
        while let Some((key, payload)) = frames.next_frame() {
            let mut record = BaseRecord::to(name).key(key).payload(payload);
            while let Err((error, unsent)) = producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || since_sent.elapsed() > FLUSH_TIMEOUT {
                    return Err(failed(error));
                }
                stop.check()?;
                producer.poll(Duration::from_millis(50));
                record = unsent;
            }
            since_sent = Instant::now();
            producer.poll(Duration::ZERO);
        }
        stop.check()?;
        producer.flush(FLUSH_TIMEOUT).map_err(&failed)?;
        match deliveries.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(BenchError::Failed(format!(
                "{count} of {} messages were not delivered to topic {name} at {broker}",
                self.frames
            ))),
        }
    }
}

impl Drop for Topic {
    /// Best effort: what fails is said on standard error.
    fn drop(&mut self) {
        if !self.made || self.keep {
            return;
        }
        if let Err(error) = self.cluster.delete(&self.name) {
            eprintln!(
                "topic {} at {} could not be deleted: {error}",
                self.name, self.cluster.broker
            );
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bare::count;
    use crate::broker::EmbeddedBroker;
    use crate::config::bench::BrokerArgs;

    fn cluster(broker: &EmbeddedBroker) -> Cluster {
        let args = BrokerArgs {
            broker: broker.address(),
            kafka_properties: None,
        };
        Cluster::new(&args).unwrap()
    }

    fn content(ticks_per_frame: u32) -> Content {
        Content {
            ticks: 5_000,
            partitions: 4,
            symbols: 50,
            ticks_per_frame,
            compression: BenchCompression::Lz4,
        }
    }

    fn ready(cluster: &Cluster, content: &Content) -> Result<Topic, BenchError> {
        Topic::ready(cluster, content, Some("t"), false, &Stop::default())
    }

    #[test]
    fn a_topic_is_named_after_what_it_holds() {
        let content = content(5);
        assert_eq!(content.name(), "stockpulse-bench-5000t-5f-50s-4p-lz4");
        assert_eq!(content.frames().unwrap(), 1_000);
        let uneven = Content {
            ticks_per_frame: 7,
            ..content
        };
        let error = uneven.frames().unwrap_err().to_string();
        assert!(error.contains("no multiple"), "{error}");
    }

    /// The embedded broker makes no topics on request, so an empty one is there beforehand.
    #[test]
    fn what_is_generated_is_what_a_bare_consumer_counts() {
        let broker = EmbeddedBroker::start("t", 4, None).unwrap();
        let cluster = cluster(&broker);
        ready(&cluster, &content(5)).unwrap();
        let again = ready(&cluster, &content(5)).unwrap();
        assert_eq!((again.name.as_str(), again.frames), ("t", 1_000));
        assert!(!again.made);
        let mut frames = Frames::new(1_000, 5, 50);
        let mut bytes = 0;
        while let Some((key, payload)) = frames.next_frame() {
            bytes += (key.len() + payload.len()) as u64;
        }
        let counted = count(&cluster, "t").unwrap();
        assert_eq!((counted.messages, counted.bytes), (1_000, bytes));
        let other = ready(&cluster, &content(4)).err().unwrap();
        assert!(matches!(other, BenchError::Usage(_)), "{other}");
        let usage = other.to_string();
        assert!(
            usage.contains("holds 1000 messages") && usage.contains("not the 1250"),
            "{usage}"
        );
        let full = Topic::empty(&cluster, "t", 4).err().unwrap();
        assert!(matches!(full, BenchError::Usage(_)), "{full}");
    }

    #[test]
    fn no_broker_is_said_so() {
        let broker = EmbeddedBroker::start("t", 1, None).unwrap();
        let cluster = cluster(&broker);
        drop(broker);
        let error = ready(&cluster, &content(5)).err().unwrap();
        assert!(matches!(error, BenchError::Unreachable(_)), "{error}");
        assert!(error.to_string().contains(&cluster.broker), "{error}");
    }
}
