//! Reads some partitions of a Kafka topic: one librdkafka consumer, owned by one thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};

use super::ask::{Asking, denied};
use super::client::Client;
use super::verdict::{Verdict, judge};
use crate::model::{FrameRef, Offsets, Partition};
use crate::source::{Bounds, Event, Source, SourceError, check_retained};

/// How long a reader that found its offsets gone asks what is left.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a reader to whom nothing comes asks whether there is really nothing.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);
/// How long it waits for the answer; meanwhile it reads nothing.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads some partitions of a topic.
pub(super) struct KafkaSource {
    client: Client,
    brokers: String,
    topic: String,
    places: BTreeMap<Partition, Place>,
    /// When the broker was asked whether there is really nothing more.
    asked_at: Instant,
}

struct Place {
    /// Next offset to read.
    next: i64,
    /// Where the partition ended when it was opened.
    end: i64,
    /// Nothing has come since it was read to its end.
    at_end: bool,
    /// Where it ended when that was asked last.
    asked: Option<i64>,
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
            let place = Place {
                next,
                end,
                at_end: false,
                asked: None,
            };
            (partition, place)
        };
        KafkaSource {
            client,
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            places: start.0.iter().map(place).collect(),
            asked_at: Instant::now(),
        }
    }

    /// Moves past what `partition` held. What stands between the last frame and the end (a
    /// transaction's marks, compacted frames) is not handed on, so it is stepped over here.
    fn caught_up(
        places: &mut BTreeMap<Partition, Place>,
        partition: Partition,
    ) -> Option<Event<'static>> {
        let place = places.get_mut(&partition)?;
        place.next = place.next.max(place.end);
        place.at_end = true;
        Some(Event::CaughtUp {
            partition,
            offset: place.next,
        })
    }

    /// Asks the broker whether the partitions that were read to their end still end there, and says of which
    /// they do. What stands beyond without ever being handed on (a transaction's marks) still stands there when
    /// it is asked the next time.
    fn confirm(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        let at_end = self.places.iter().filter(|(_, place)| place.at_end);
        let partitions: Vec<Partition> = at_end.map(|(&partition, _)| partition).collect();
        if partitions.is_empty() {
            return;
        }
        let asking = Asking {
            client: &self.client,
            brokers: &self.brokers,
            topic: &self.topic,
            timeout: CONFIRM_TIMEOUT,
        };
        let Some(ends) = asking.ends(&partitions) else {
            return;
        };
        for (partition, end) in ends {
            let Some(place) = self.places.get_mut(&partition) else {
                continue;
            };
            let is_known = place.asked.replace(end) == Some(end);
            if end <= place.next || is_known {
                let offset = place.next;
                on_event(Event::CaughtUp { partition, offset });
            }
        }
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
        let next = self
            .places
            .iter()
            .map(|(&partition, place)| (partition, place.next));
        let wanted = Offsets(next.collect());
        let partitions: Vec<Partition> = wanted.0.keys().copied().collect();
        let asking = Asking {
            client: &self.client,
            brokers: &self.brokers,
            topic: &self.topic,
            timeout: ASK_TIMEOUT,
        };
        let retained = asking.bounds(&partitions, &|| false);
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
        let deadline = Instant::now() + timeout;
        let mut frames = 0;
        let mut waiting = true;
        while frames < max_frames {
            let wait = match waiting {
                true => deadline.saturating_duration_since(Instant::now()),
                false => Duration::ZERO,
            };
            match self.client.poll(wait) {
                Some(Ok(message)) => {
                    let frame = frame(&message);
                    if let Some(place) = self.places.get_mut(&frame.partition) {
                        place.next = frame.offset + 1;
                        place.at_end = false;
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
                Some(Err(error)) => self.judge(&error)?,
                // Nothing more is there; or a log line was served, and there is time left.
                None if wait.is_zero() => break,
                None => {}
            }
        }
        if frames == 0 && self.asked_at.elapsed() >= CONFIRM_EVERY {
            self.confirm(on_event);
            self.asked_at = Instant::now();
        }
        Ok(frames)
    }
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
