//! librdkafka's transactions, an attempt at a time, and the marker of the last one.
//!
//! A call of librdkafka that has run out of time goes on by itself and must be called again, and no other instead.
//! So what is open is kept from attempt to attempt as a [`Step`], and is done with before anything else.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::connection::{ATTEMPT, Connection, base_config, create};
use super::reports::{Reports, is_fencing, is_retriable};
use super::{Marker, TopicAddress};
use crate::model::Epoch;
use crate::sink::SinkError;

/// How long a failed transaction is given to be taken back at once: readers wait for it.
const ABORT: Duration = Duration::from_secs(2);
/// How long librdkafka is asked at once to take a transaction back.
const TURN: Duration = Duration::from_millis(250);
/// How long it is listened to at once.
const LISTEN: Duration = Duration::from_millis(20);
/// How long the broker lets a transaction be open without `transaction.timeout.ms`, milliseconds.
const LIFETIME_MS: u64 = 60_000;

/// What the broker knows a sink by.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Of its transactions: the last process that takes it shuts the others out.
    pub transactional_id: String,
    /// The consumer group whose offset is the marker.
    pub group: String,
}

/// A producer of transactions, and who reads their marker.
pub(super) struct Transactions {
    connection: Connection,
    /// It reads the marker, and is a member of nothing.
    asking: BaseConsumer<Reports>,
    reports: Reports,
    step: Step,
    /// When the transaction was begun.
    begun: Instant,
    /// What this process has seen as the marker, or has tried to set.
    seen: Vec<Option<Marker>>,
    /// The broker gave our transactions up: whether for their age, or for another process, the marker shows.
    given_up: bool,
}

/// What is to be done next with what is open.
enum Step {
    /// The id is to be taken.
    Init,
    /// Nothing is open.
    Ready,
    /// The marker is to be added, then all is to be committed.
    Mark(TopicPartitionList),
    /// All is to be committed.
    Commit,
    /// All is to be taken back.
    Abort,
    /// The producer has failed for good.
    Broken,
}

impl Transactions {
    /// Connects, takes the id, and asks for the marker. One attempt.
    pub(super) fn connect(to: &TopicAddress, names: &Names) -> Result<Transactions, SinkError> {
        let reports = Reports::default();
        let extra = [
            ("transactional.id", names.transactional_id.as_str()),
            ("enable.idempotence", "true"),
            ("acks", "all"),
        ];
        let mut asking = base_config(&to.kafka);
        asking.set("group.id", &names.group);
        asking.set("enable.auto.commit", "false");
        // Not what a transaction says that is still open.
        asking.set("isolation.level", "read_committed");
        let mut client = Transactions {
            connection: Connection::new(to, &extra, &reports)?,
            asking: create(&asking, &reports)?,
            reports,
            step: Step::Init,
            begun: Instant::now(),
            seen: Vec::new(),
            given_up: false,
        };
        client.connection.find_topic()?;
        client.marker()?;
        Ok(client)
    }

    /// What was sent last, once nothing is open any more; `None`: nothing, or the broker has forgotten it since
    /// (`offsets.retention.minutes`).
    pub(super) fn marker(&mut self) -> Result<Option<Marker>, SinkError> {
        self.settle(Instant::now() + ATTEMPT)?;
        let marker = self.ask().map_err(|error| {
            // Events are served while nobody sends.
            self.connection.producer().poll(Duration::ZERO);
            let _ = self.asking.poll(Duration::ZERO);
            self.connection.failed("ask what was written last", &error)
        })?;
        if self.given_up && marker.is_some() && !self.seen.contains(&marker) {
            return Err(self.taken_over());
        }
        self.given_up = false;
        self.seen = vec![marker.clone()];
        Ok(marker)
    }

    fn ask(&self) -> KafkaResult<Option<Marker>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(self.connection.topic(), 0);
        let answer = self.asking.committed_offsets(asked, ATTEMPT)?;
        let mut marker = None;
        for element in answer.elements() {
            element.error()?;
            if let Offset::Offset(epoch) = element.offset() {
                marker = Some(Marker {
                    epoch: Epoch(u64::try_from(epoch).unwrap_or(0)),
                    file: element.metadata().to_owned(),
                });
            }
        }
        Ok(marker)
    }

    /// Sends what `fill` sends, and the marker, together. One attempt, as long as the broker takes messages.
    pub(super) fn transact(
        &mut self,
        marker: &Marker,
        fill: &mut dyn FnMut(&Connection) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.settle(Instant::now() + ATTEMPT)?;
        self.reports.forget();
        self.begun = Instant::now();
        let begun = self.connection.producer().begin_transaction();
        begun.map_err(|error| self.after(&error))?;
        self.step = Step::Abort;
        let sent = self.send(marker, fill);
        if sent.is_err() && matches!(self.step, Step::Abort) {
            // Best effort: the next attempt does it too, and so does the next start.
            let _ = self.settle(Instant::now() + ABORT);
        }
        sent
    }

    fn send(
        &mut self,
        marker: &Marker,
        fill: &mut dyn FnMut(&Connection) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let filled = fill(&self.connection).and_then(|()| self.connection.deliver());
        if filled.is_err() && self.connection.producer().client().fatal_error().is_some() {
            // The transaction's own words say which.
            self.advance(Instant::now() + ABORT)?;
        }
        filled?;
        let mut offsets = TopicPartitionList::new();
        let mut place = offsets.add_partition(self.connection.topic(), 0);
        place
            .set_offset(Offset::Offset(marker.epoch.0.cast_signed()))
            .map_err(|error| self.connection.failed("write", &error))?;
        place.set_metadata(marker.file.as_str());
        self.seen.push(Some(marker.clone()));
        self.step = Step::Mark(offsets);
        let until = Instant::now() + ATTEMPT;
        while !matches!(self.step, Step::Ready) {
            self.advance(until)?;
        }
        Ok(())
    }

    /// Does what is open, until nothing is.
    fn settle(&mut self, until: Instant) -> Result<(), SinkError> {
        while !matches!(self.step, Step::Ready) {
            let was_abort = matches!(self.step, Step::Abort);
            if let Err(error) = self.advance(until) {
                // What could not be committed can be taken back in the same attempt.
                if was_abort || !matches!(self.step, Step::Abort) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// One step. On an error the next step is the one that the error asks for.
    fn advance(&mut self, until: Instant) -> Result<(), SinkError> {
        let left = until.saturating_duration_since(Instant::now());
        let producer = self.connection.producer();
        let (done, next) = match &self.step {
            Step::Ready => return Ok(()),
            Step::Broken => {
                self.connection.renew()?;
                self.step = Step::Init;
                return Ok(());
            }
            Step::Init => (producer.init_transactions(left), Step::Ready),
            Step::Mark(offsets) => {
                let group = self.asking.group_metadata();
                let group = group.ok_or(KafkaError::ClientCreation("no group".to_owned()));
                let marked = group
                    .and_then(|group| producer.send_offsets_to_transaction(offsets, &group, left));
                (marked, Step::Commit)
            }
            Step::Commit => (producer.commit_transaction(left), Step::Ready),
            Step::Abort => (self.abort(until), Step::Ready),
        };
        match done {
            Ok(()) => {
                self.step = next;
                Ok(())
            }
            Err(error) => Err(self.after(&error)),
        }
    }

    /// Takes back what is open. librdkafka drops the messages that are on their way, and waits until somebody has
    /// heard of each: so it is asked in short turns, and what it tells is listened to between them.
    fn abort(&self, until: Instant) -> KafkaResult<()> {
        let producer = self.connection.producer();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match producer.abort_transaction(left.min(TURN)) {
                Err(error) if is_retriable(&error) && !left.is_zero() => {
                    let turn = Instant::now() + TURN.min(left);
                    producer.poll(LISTEN);
                    while producer.in_flight_count() > 0 && Instant::now() < turn {
                        producer.poll(LISTEN);
                    }
                }
                aborted => return aborted,
            }
        }
    }

    /// Chooses the step that follows a failed one, and says what has failed.
    fn after(&mut self, error: &KafkaError) -> SinkError {
        let fatal = self.connection.producer().client().fatal_error();
        let is_fatal =
            fatal.is_some() || matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        let code = fatal.map(|(code, _)| code).or(error.rdkafka_error_code());
        if is_fatal {
            if code.is_some_and(is_fencing) {
                if self.begun.elapsed() < self.lifetime() {
                    return self.taken_over();
                }
                self.given_up = true;
            }
            self.step = Step::Broken;
        } else if !is_retriable(error) {
            self.step = match self.step {
                Step::Mark(_) | Step::Commit => Step::Abort,
                Step::Init => Step::Init,
                _ => Step::Broken,
            };
        }
        self.connection.failed("write", error)
    }

    /// How long the broker lets a transaction be open.
    fn lifetime(&self) -> Duration {
        let told = self.connection.property("transaction.timeout.ms");
        Duration::from_millis(told.and_then(|ms| ms.parse().ok()).unwrap_or(LIFETIME_MS))
    }

    fn taken_over(&self) -> SinkError {
        SinkError::Foreign(format!(
            "another process of this job has taken over topic {}: one job of a name for each topic; give this one another --name, or stop the other",
            self.connection.topic()
        ))
    }
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions")
            .field("topic", &self.connection.topic())
            .finish_non_exhaustive()
    }
}
