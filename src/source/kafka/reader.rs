//! Reads some partitions of a Kafka topic: one librdkafka consumer, owned by one thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::ask::{Asking, denied};
use super::client::Client;
use super::verdict::{Verdict, judge};
use crate::model::{FrameRef, Offsets, Partition};
use crate::source::{Bounds, Event, Source, SourceError, check_retained};

/// How long a reader that found its offsets gone asks what is left.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// A broker that has nothing new is asked this often whether it is still there.
const SIGHT_EVERY: Duration = Duration::from_secs(1);

/// Reads some partitions of a topic.
pub(super) struct KafkaSource {
    client: Client,
    brokers: String,
    topic: String,
    places: BTreeMap<Partition, Place>,
    /// The broker answered when it was last asked.
    in_sight: bool,
    /// When it is to be asked again.
    ask_at: Instant,
}

struct Place {
    /// Next offset to read.
    next: i64,
    /// Where the partition ended when it was opened.
    end: i64,
    /// Nothing has come since it was read to its end.
    caught_up: bool,
}

impl KafkaSource {
    /// A source over a consumer that was assigned `start`, in a topic that retained `bounds`.
    pub(super) fn new(
        client: Client,
        brokers: &str,
        topic: &str,
        start: &Offsets,
        bounds: &BTreeMap<Partition, Bounds>,
    ) -> KafkaSource {
        let place = |(&partition, &next): (&Partition, &i64)| {
            let end = bounds.get(&partition).map_or(next, |bounds| bounds.high);
            let caught_up = false;
            (
                partition,
                Place {
                    next,
                    end,
                    caught_up,
                },
            )
        };
        KafkaSource {
            client,
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            places: start.0.iter().map(place).collect(),
            in_sight: true,
            ask_at: Instant::now() + SIGHT_EVERY,
        }
    }

    /// Looks whether the broker is still there, if somebody relies on it: silence says that a partition is
    /// at its end only while the broker answers. Once it is back, every partition is read on from its next
    /// offset, so that librdkafka says anew when it has reached the end.
    fn keep_in_sight(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
        let relied_on = !self.in_sight || self.places.values().any(|place| place.caught_up);
        if !relied_on || Instant::now() < self.ask_at {
            return Ok(());
        }
        let partitions: Vec<Partition> = self.places.keys().copied().collect();
        let answered = self.asking().is_answered(&partitions);
        self.ask_at = Instant::now() + SIGHT_EVERY;
        match (self.in_sight, answered) {
            (true, false) => {
                self.client.context().silent();
                for (&partition, place) in &mut self.places {
                    place.caught_up = false;
                    on_event(Event::OutOfSight { partition });
                }
            }
            (false, true) => {
                let list = assignment(&self.topic, &self.wanted());
                self.client.assign(&list).map_err(|error| {
                    let topic = &self.topic;
                    SourceError::Failed(format!("cannot go on reading topic {topic}: {error}"))
                })?;
                self.client.context().answered();
            }
            _ => {}
        }
        self.in_sight = answered;
        Ok(())
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            client: &self.client,
            brokers: &self.brokers,
            topic: &self.topic,
            timeout: ASK_TIMEOUT,
        }
    }

    /// The next offset of each partition.
    fn wanted(&self) -> Offsets {
        let next = self.places.iter();
        Offsets(next.map(|(&p, place)| (p, place.next)).collect())
    }

    /// Moves past what `partition` held. What stands between the last frame and the end (a
    /// transaction's marks, compacted frames) is not handed on, so it is stepped over here.
    fn caught_up(
        places: &mut BTreeMap<Partition, Place>,
        partition: Partition,
    ) -> Option<Event<'static>> {
        let place = places.get_mut(&partition)?;
        place.next = place.next.max(place.end);
        place.caught_up = true;
        Some(Event::CaughtUp {
            partition,
            offset: place.next,
        })
    }

    /// `Ok`: librdkafka goes on by itself.
    fn judge(&self, error: &KafkaError) -> Result<(), SourceError> {
        let (topic, brokers) = (&self.topic, &self.brokers);
        let reason = self.client.context().reason();
        let (Some(code), false) = (
            error.rdkafka_error_code(),
            matches!(error, KafkaError::MessageConsumptionFatal(_)),
        ) else {
            return Err(SourceError::Failed(format!(
                "reading topic {topic} failed: {error}"
            )));
        };
        match judge(code) {
            Verdict::Transient => Ok(()),
            Verdict::Lost => Err(self.lost(&reason.unwrap_or_else(|| code.to_string()))),
            Verdict::Missing => Err(SourceError::DataLoss(format!(
                "topic {topic} or a partition of it is gone from Kafka at {brokers} ({code})"
            ))),
            Verdict::Denied => Err(SourceError::Unreachable(denied(
                brokers, topic, code, reason,
            ))),
            Verdict::Broken => Err(SourceError::Failed(format!(
                "reading topic {topic} cannot go on: {}",
                reason.unwrap_or_else(|| code.to_string())
            ))),
        }
    }

    /// Which offsets are gone: librdkafka's error does not say it in numbers.
    fn lost(&self, reason: &str) -> SourceError {
        let wanted = self.wanted();
        let partitions: Vec<Partition> = wanted.0.keys().copied().collect();
        let retained = self.asking().bounds(&partitions, &|| false);
        let checked = match retained {
            Ok(Some(bounds)) => check_retained(&self.topic, &wanted, &bounds),
            Ok(None) => Ok(()),
            Err(error) => return error,
        };
        checked.err().unwrap_or_else(|| {
            SourceError::DataLoss(format!(
                "topic {}: an offset of {:?} is no longer retained ({reason})",
                self.topic, wanted.0
            ))
        })
    }
}

impl Source for KafkaSource {
    fn poll(
        &mut self,
        max_frames: usize,
        timeout: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        self.keep_in_sight(on_event)?;
        let deadline = Instant::now() + timeout;
        let mut frames = 0;
        let mut waiting = true;
        while frames < max_frames {
            // In whole milliseconds: less than one would be waited for by asking again and again.
            let wait = match waiting {
                true => whole_millis(deadline.saturating_duration_since(Instant::now())),
                false => Duration::ZERO,
            };
            match self.client.poll(wait) {
                Some(Ok(message)) => {
                    let frame = frame(&message);
                    // One from before an outage can come twice.
                    let place = self.places.get_mut(&frame.partition);
                    if let Some(place) = place.filter(|place| frame.offset >= place.next) {
                        place.next = frame.offset + 1;
                        place.caught_up = false;
                        on_event(Event::Frame(frame));
                        frames += 1;
                    }
                    waiting = false;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    Self::caught_up(&mut self.places, partition)
                        .into_iter()
                        .for_each(&mut *on_event);
                    waiting = false;
                }
                Some(Err(error)) => {
                    self.judge(&error)?;
                    self.ask_at = Instant::now();
                }
                // Nothing more is there; or a log line was served, and there is time left.
                None if wait.is_zero() => break,
                None => {}
            }
        }
        Ok(frames)
    }
}

/// The partitions of `offsets`, to be read from there.
pub(super) fn assignment(topic: &str, offsets: &Offsets) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.0.len());
    for (&partition, &offset) in &offsets.0 {
        list.add_partition_offset(topic, partition, Offset::Offset(offset.max(0)))
            .expect("0 and up is an offset");
    }
    list
}

/// The nearest whole milliseconds of a short time.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis((time.as_micros() as u64 + 500) / 1000)
}

fn frame<'a>(message: &'a BorrowedMessage<'_>) -> FrameRef<'a> {
    FrameRef {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key(),
        payload: message.payload(),
    }
}
