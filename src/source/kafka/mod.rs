//! A topic of a Kafka broker, through librdkafka.
//!
//! Offsets are ours: partitions are assigned by hand at exact offsets, nothing is committed by
//! itself, and an offset that is gone is an error instead of a jump. The consumer group only serves
//! Kafka's own tools.

mod ask;
mod client;
mod properties;
mod reader;
mod reports;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer};

use self::ask::{Asking, Found};
use self::client::Client;
use self::reader::{KafkaSource, assignment};
use self::reports::Reports;
use super::{Bounds, Source, SourceError, Topic};
use crate::config::kafka::KafkaProperties;
use crate::model::{Offsets, Partition};

/// How long a broker may stay silent before it counts as unreachable, unless told otherwise.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a job that waits for its topic says so.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a topic that was there must be missing to count as gone: a broker that has just
/// started may not know its topics yet.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// Events of librdkafka that are served in passing, at most.
const EVENTS: usize = 64;

/// A topic of a Kafka broker.
pub struct KafkaTopic {
    brokers: String,
    name: String,
    timeout: Duration,
    config: ClientConfig,
    /// Asks and commits; it reads nothing.
    client: Client,
}

impl KafkaTopic {
    /// Checks the properties one by one, as [`KafkaTopic::connect`] does before it connects. Whether they
    /// go together, librdkafka knows only then.
    ///
    /// # Errors
    /// [`SourceError::Property`] for a property that cannot be.
    pub fn check(properties: &KafkaProperties, group: &str) -> Result<(), SourceError> {
        let config = properties::client_config(properties, group)?;
        properties::check(&properties::asking_config(&config))
    }

    /// Connects, and waits for the topic if it does not exist yet, saying so every 30 s.
    ///
    /// `group` is the consumer group that [`Topic::commit`] tells where we are. The broker counts as
    /// unreachable after `timeout` without an answer, now and later ([`REACH_TIMEOUT`]). `stop` is
    /// asked at least once a second; `None`: it said yes.
    ///
    /// # Errors
    /// [`SourceError::Property`] for a property that cannot be, [`SourceError::Unreachable`] for a
    /// broker that does not answer or does not let us in.
    pub fn connect(
        properties: &KafkaProperties,
        topic: &str,
        group: &str,
        timeout: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<KafkaTopic>, SourceError> {
        let config = properties::client_config(properties, group)?;
        let topic = KafkaTopic {
            brokers: properties.brokers.clone(),
            name: topic.to_owned(),
            timeout,
            client: Client::new(properties::create(
                &properties::asking_config(&config),
                Reports::new(topic),
            )?),
            config,
        };
        let Some(partitions) = topic.wait_for_partitions(stop)? else {
            return Ok(None);
        };
        // The leaders answer at the addresses that they advertise, which need not be the given one.
        let bounds = topic.asking().bounds(&partitions, stop)?;
        Ok(bounds.map(|_| topic))
    }

    fn wait_for_partitions(
        &self,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Partition>>, SourceError> {
        let mut said: Option<Instant> = None;
        loop {
            match self.asking().partitions(stop)? {
                None => return Ok(None),
                Some(Found::Partitions(partitions)) => return Ok(Some(partitions)),
                Some(Found::Missing) => {}
            }
            if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                let (topic, brokers) = (&self.name, &self.brokers);
                tracing::warn!(%topic, %brokers, "the topic does not exist yet; waiting for it");
            }
            // The pause, in which librdkafka's events are served.
            let _ = self.client.poll(LOOK_EVERY);
        }
    }

    /// The topic's partitions now; it can have got more.
    fn partitions(&self) -> Result<Vec<Partition>, SourceError> {
        let start = Instant::now();
        loop {
            if let Some(Found::Partitions(partitions)) = self.asking().partitions(&|| false)? {
                return Ok(partitions);
            }
            if start.elapsed() >= GONE_AFTER {
                return Err(SourceError::DataLoss(format!(
                    "topic {} is gone from Kafka at {}; create it again and fill it, or start over \
                     with another checkpoint location and output path",
                    self.name, self.brokers
                )));
            }
            let _ = self.client.poll(LOOK_EVERY);
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            client: &self.client,
            brokers: &self.brokers,
            topic: &self.name,
            timeout: self.timeout,
        }
    }
}

impl Topic for KafkaTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        let partitions = self.partitions()?;
        let bounds = self.asking().bounds(&partitions, &|| false)?;
        Ok(bounds.expect("nothing asked it to stop"))
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        let bounds = self.bounds()?;
        super::check_retained(&self.name, start, &bounds)?;
        let config = properties::reader_config(&self.config, start.0.len(), bounds.len());
        // One context for all clients of the topic: trouble with the broker is said once.
        let reports = Reports::clone(self.client.context());
        let client = self.client.reader(properties::create(&config, reports)?);
        client
            .assign(&assignment(&self.name, start))
            .map_err(|error| {
                SourceError::Failed(format!("cannot start to read topic {}: {error}", self.name))
            })?;
        let source = KafkaSource::new(client, &self.brokers, &self.name, start, &bounds);
        Ok(Box::new(source))
    }

    fn partition_count(&self) -> Option<usize> {
        self.asking().partition_count()
    }

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        let partitions = self.partitions()?;
        let committed = self.asking().committed(&partitions, &|| false)?;
        Ok(committed.expect("nothing asked it to stop"))
    }

    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        let offsets = self.asking().since(times_ms, &|| false)?;
        Ok(offsets.expect("nothing asked it to stop"))
    }

    /// Sent in the background; the last one is waited for when the topic is dropped, some seconds
    /// at the most.
    fn commit(&self, offsets: &Offsets) {
        for _ in 0..EVENTS {
            if self.client.poll(Duration::ZERO).is_none() {
                break;
            }
        }
        if offsets.0.is_empty() {
            return;
        }
        let sent = self
            .client
            .commit(&assignment(&self.name, offsets), CommitMode::Async);
        if let Err(error) = sent {
            self.client.context().commit_failed(&error.to_string());
        }
    }
}
