//! Questions to the broker: which partitions a topic has, and what they retain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::reports::Reports;
use super::verdict::{Verdict, judge};
use crate::model::{Offsets, Partition};
use crate::source::{Bounds, SourceError};

/// How long one attempt may take; after it `stop` is asked again.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Pause between two attempts, in which librdkafka's events are served.
const PAUSE: Duration = Duration::from_millis(100);

/// What a topic was found to be.
pub(super) enum Found {
    /// Its partitions, ascending.
    Partitions(Vec<Partition>),
    /// It is not there (yet).
    Missing,
}

/// Who is asked, and for how long.
pub(super) struct Asking<'a> {
    pub(super) client: &'a BaseConsumer<Reports>,
    pub(super) brokers: &'a str,
    pub(super) topic: &'a str,
    /// Time without an answer after which the broker counts as unreachable.
    pub(super) timeout: Duration,
}

impl Asking<'_> {
    /// The topic's partitions; `None`: `stop` said so.
    pub(super) fn partitions(&self, stop: &dyn Fn() -> bool) -> Result<Option<Found>, SourceError> {
        self.until_answered(stop, || {
            let metadata = self.client.fetch_metadata(Some(self.topic), ATTEMPT)?;
            let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
            let error = topic.and_then(|topic| topic.error());
            if let Some(code) = error.map(RDKafkaErrorCode::from) {
                // A topic that has just been created has no leader for a moment.
                return match judge(code) {
                    Verdict::Missing => Ok(Found::Missing),
                    _ => Err(KafkaError::MetadataFetch(code)),
                };
            }
            let partitions = topic.into_iter().flat_map(|topic| topic.partitions());
            let mut partitions: Vec<Partition> = partitions.map(|p| p.id()).collect();
            partitions.sort_unstable();
            Ok(if partitions.is_empty() {
                Found::Missing
            } else {
                Found::Partitions(partitions)
            })
        })
    }

    /// How many partitions the topic has, asked once.
    pub(super) fn partition_count(&self) -> Option<usize> {
        let metadata = self.client.fetch_metadata(Some(self.topic), ATTEMPT).ok()?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic)?;
        match topic.error() {
            None => Some(topic.partitions().len()),
            Some(_) => None,
        }
    }

    /// What each of `partitions` retains; `None`: `stop` said so.
    pub(super) fn bounds(
        &self,
        partitions: &[Partition],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<BTreeMap<Partition, Bounds>>, SourceError> {
        if partitions.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        self.until_answered(stop, || {
            // The ends first: what is appended meanwhile then counts as still to come.
            let highs = self.offsets(partitions, Offset::End)?;
            let lows = self.offsets(partitions, Offset::Beginning)?;
            let bounds = partitions.iter().map(|partition| {
                let low = lows[partition];
                let high = highs[partition].max(low);
                (*partition, Bounds { low, high })
            });
            Ok(bounds.collect())
        })
    }

    /// Where the consumer group stands in each of `partitions` that it has committed for; `None`:
    /// `stop` said so.
    pub(super) fn committed(
        &self,
        partitions: &[Partition],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Offsets>, SourceError> {
        self.until_answered(stop, || {
            let mut asked = TopicPartitionList::with_capacity(partitions.len());
            for &partition in partitions {
                asked.add_partition(self.topic, partition);
            }
            let answer = self.client.committed_offsets(asked, ATTEMPT)?;
            let mut offsets = Offsets::default();
            for element in answer.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    offsets.0.insert(element.partition(), offset);
                }
            }
            Ok(offsets)
        })
    }

    /// The first offsets of messages that are as young as `times_ms`, of the partitions that have any; `None`:
    /// `stop` said so.
    pub(super) fn since(
        &self,
        times_ms: &BTreeMap<Partition, i64>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Offsets>, SourceError> {
        if times_ms.is_empty() {
            return Ok(Some(Offsets::default()));
        }
        self.until_answered(stop, || {
            let mut asked = TopicPartitionList::with_capacity(times_ms.len());
            for (&partition, &time) in times_ms {
                asked.add_partition_offset(self.topic, partition, Offset::Offset(time))?;
            }
            let answer = self.client.offsets_for_times(asked, ATTEMPT)?;
            let mut offsets = Offsets::default();
            for element in answer.elements() {
                element.error()?;
                // Without such a message it is the end.
                if let Offset::Offset(offset) = element.offset() {
                    offsets.0.insert(element.partition(), offset);
                }
            }
            Ok(offsets)
        })
    }

    /// Whether the leaders of `partitions` answer now.
    pub(super) fn is_answered(&self, partitions: &[Partition]) -> bool {
        self.offsets(partitions, Offset::End).is_ok()
    }

    /// One request to each leader, however many partitions there are.
    fn offsets(
        &self,
        partitions: &[Partition],
        which: Offset,
    ) -> KafkaResult<BTreeMap<Partition, i64>> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition_offset(self.topic, partition, which)?;
        }
        let answer = self.client.offsets_for_times(asked, ATTEMPT)?;
        let mut offsets = BTreeMap::new();
        for element in answer.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        let unanswered = KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable);
        let whole = partitions.iter().all(|p| offsets.contains_key(p));
        if whole { Ok(offsets) } else { Err(unanswered) }
    }

    /// Asks again until there is an answer, the broker refuses us, or `timeout` is over.
    fn until_answered<T>(
        &self,
        stop: &dyn Fn() -> bool,
        ask: impl Fn() -> KafkaResult<T>,
    ) -> Result<Option<T>, SourceError> {
        let start = Instant::now();
        loop {
            if stop() {
                return Ok(None);
            }
            let error = match ask() {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            self.judge(&error)?;
            let reported = self.client.poll(PAUSE).and_then(Result::err);
            reported.map_or(Ok(()), |error| self.judge(&error))?;
            if start.elapsed() >= self.timeout {
                return Err(self.unreachable(&error));
            }
        }
    }

    /// `Ok`: trying again can help.
    fn judge(&self, error: &KafkaError) -> Result<(), SourceError> {
        let (topic, brokers) = (self.topic, self.brokers);
        let Some(code) = error.rdkafka_error_code() else {
            return Err(SourceError::Failed(format!(
                "asking Kafka at {brokers} about topic {topic} failed: {error}"
            )));
        };
        match judge(code) {
            Verdict::Denied => Err(SourceError::Unreachable(denied(
                brokers,
                topic,
                code,
                self.reason(),
            ))),
            Verdict::Broken => Err(SourceError::Failed(format!(
                "asking Kafka at {brokers} about topic {topic} failed: {}",
                self.reason().unwrap_or_else(|| code.to_string())
            ))),
            Verdict::Transient | Verdict::Lost | Verdict::Missing => Ok(()),
        }
    }

    fn unreachable(&self, error: &KafkaError) -> SourceError {
        let reason = self.reason().unwrap_or_else(|| error.to_string());
        SourceError::Unreachable(format!(
            "Kafka at {} cannot be reached (tried for {:.0?}): {reason}. Check that the broker runs, \
             that KAFKA_BROKER names it, that the address it advertises (advertised.listeners) can be \
             reached from here, and whether it asks for TLS or a login (security.protocol)",
            self.brokers, self.timeout
        ))
    }

    fn reason(&self) -> Option<String> {
        self.client.context().reason()
    }
}

/// The message of a broker that does not let us in.
pub(super) fn denied(
    brokers: &str,
    topic: &str,
    code: RDKafkaErrorCode,
    reason: Option<String>,
) -> String {
    let reason = reason.unwrap_or_else(|| code.to_string());
    format!(
        "Kafka at {brokers} does not let us read topic {topic}: {reason}. Check security.protocol, \
         sasl.mechanisms, user and password, and the user's right to read this topic"
    )
}
