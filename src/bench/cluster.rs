//! The broker that is measured on: its topics are looked for, made and deleted here.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::error::BenchError;
use crate::config::bench::BrokerArgs;

/// Longest wait for an answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic may take to be gone, or to show up.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// What a partition retains: its number, its first and its next offset.
pub(super) type PartitionBounds = (i32, i64, i64);

/// How the broker is reached.
#[derive(Clone)]
pub(super) struct Cluster {
    /// As it was given.
    pub(super) broker: String,
    config: ClientConfig,
}

impl Cluster {
    /// The broker of the options; nothing is asked of it yet.
    pub(super) fn new(args: &BrokerArgs) -> Result<Cluster, BenchError> {
        let kafka = args.properties().map_err(BenchError::Usage)?;
        let mut config = ClientConfig::new();
        config.set("client.id", "stockpulse-bench");
        for (key, value) in kafka.iter() {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &kafka.brokers);
        Ok(Cluster {
            broker: args.broker.clone(),
            config,
        })
    }

    /// The settings that every client starts from.
    pub(super) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Says what it was asked for when it failed.
    pub(super) fn failed(&self, doing: &str) -> impl Fn(KafkaError) -> BenchError + use<> {
        let (doing, broker) = (doing.to_owned(), self.broker.clone());
        move |error| BenchError::kafka(&doing, &broker, &error)
    }

    /// What each partition retains; empty if there is no such topic.
    pub(super) fn bounds(&self, topic: &str) -> Result<Vec<PartitionBounds>, BenchError> {
        let failed = self.failed("looking for the topic");
        let mut config = self.config();
        // Asking for a topic must not make one.
        config.set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = config.create().map_err(&failed)?;
        let metadata = consumer
            .fetch_metadata(Some(topic), ANSWER_TIMEOUT)
            .map_err(&failed)?;
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        partitions
            .map(|partition| {
                let id = partition.id();
                let (low, high) = consumer
                    .fetch_watermarks(topic, id, ANSWER_TIMEOUT)
                    .map_err(&failed)?;
                Ok((id, low, high))
            })
            .collect()
    }

    pub(super) fn delete(&self, name: &str) -> KafkaResult<()> {
        let (client, runtime) = self.admin()?;
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
        let results = runtime.block_on(client.delete_topics(&[name], &options))?;
        results.into_iter().try_for_each(|result| {
            result
                .map(drop)
                .map_err(|(_, code)| KafkaError::AdminOp(code))
        })
    }

    /// Makes a topic, and waits until it can be seen.
    pub(super) fn create(&self, name: &str, partitions: u32) -> Result<(), BenchError> {
        let failed = self.failed("making the topic");
        let (client, runtime) = self.admin().map_err(&failed)?;
        // Retention off: the ticks may be old, and must stay until the last round.
        let number = i32::try_from(partitions).unwrap_or(i32::MAX);
        let new = NewTopic::new(name, number, TopicReplication::Fixed(1))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
        let since = Instant::now();
        loop {
            let results = runtime
                .block_on(client.create_topics([&new], &options))
                .map_err(&failed)?;
            let refused = results.into_iter().find_map(Result::err);
            match refused {
                None => break,
                // One of this name is still being deleted.
                Some((_, RDKafkaErrorCode::TopicAlreadyExists))
                    if since.elapsed() < TOPIC_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Some((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
            }
        }
        while self.bounds_if_known(name)?.len() != partitions as usize {
            if since.elapsed() > TOPIC_TIMEOUT {
                let text = format!(
                    "topic {name} was made at {} but does not show up",
                    self.broker
                );
                return Err(BenchError::Failed(text));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// As [`Cluster::bounds`], but a topic whose partitions have no leader yet is not known yet.
    fn bounds_if_known(&self, name: &str) -> Result<Vec<PartitionBounds>, BenchError> {
        match self.bounds(name) {
            Err(BenchError::Failed(_)) => Ok(Vec::new()),
            outcome => outcome,
        }
    }

    fn admin(&self) -> KafkaResult<(AdminClient<DefaultClientContext>, tokio::runtime::Runtime)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::Fail))?;
        Ok((self.config.create()?, runtime))
    }
}
