//! Topics: what a reader hands on, and what it says when offsets, topic or broker are not there.
//! Kafka's is read from librdkafka's mock broker, in this process, on loopback.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stockpulse::config::kafka::KafkaProperties;
use stockpulse::model::{Offsets, Partition};
use stockpulse::source::kafka::KafkaTopic;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};
use stockpulse::source::{Bounds, Event, Source, SourceError, Topic};

use crate::support::broker::TestBroker;

const TOPIC: &str = "raw_ticks";
const GROUP: &str = "stockpulse-test";
/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, and who writes to it.
struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn new() -> Broker {
        let cluster = MockCluster::new(1).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("linger.ms", "1")
            .create()
            .unwrap();
        Broker { cluster, producer }
    }

    fn with_topic(partitions: i32) -> Broker {
        let broker = Broker::new();
        broker.cluster.create_topic(TOPIC, partitions, 1).unwrap();
        broker
    }

    fn append(&self, partition: Partition, payload: &[u8], count: usize) {
        for number in 0..count {
            let key = format!("key {number}");
            let record = || {
                BaseRecord::to(TOPIC)
                    .partition(partition)
                    .key(&key)
                    .payload(payload)
                    .timestamp(1000 + number as i64)
            };
            while self.producer.send(record()).is_err() {
                self.producer.poll(Duration::from_millis(10));
            }
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    fn properties(&self) -> KafkaProperties {
        KafkaProperties::new(self.cluster.bootstrap_servers())
    }

    fn topic(&self) -> KafkaTopic {
        self.topic_with(&self.properties())
    }

    fn topic_with(&self, properties: &KafkaProperties) -> KafkaTopic {
        let connected = KafkaTopic::connect(properties, TOPIC, GROUP, PATIENCE, &|| false);
        connected.unwrap().expect("nothing stopped it")
    }
}

/// What a source handed on.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    offsets: BTreeMap<Partition, Vec<i64>>,
    caught_up: BTreeMap<Partition, i64>,
}

impl Seen {
    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Frame(frame) => {
                let offsets = self.offsets.entry(frame.partition).or_default();
                offsets.push(frame.offset);
            }
            Event::CaughtUp { partition, offset } => {
                self.caught_up.insert(partition, offset);
            }
            Event::OutOfSight { partition } => {
                self.caught_up.remove(&partition);
            }
        }
    }
}

/// Polls until `done`, or an error.
fn read_until(
    source: &mut dyn Source,
    seen: &mut Seen,
    done: impl Fn(&Seen) -> bool,
) -> Result<(), SourceError> {
    let start = Instant::now();
    while !done(seen) {
        assert!(start.elapsed() < PATIENCE, "still waiting with {seen:?}");
        source.poll(100, Duration::from_millis(100), &mut |event| {
            seen.note(event)
        })?;
    }
    Ok(())
}

fn offsets(pairs: &[(Partition, i64)]) -> Offsets {
    Offsets(pairs.iter().copied().collect())
}

fn data_loss<T>(result: Result<T, SourceError>) -> String {
    match result {
        Err(SourceError::DataLoss(message)) => message,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("no error"),
    }
}

/// What every topic does: `append` adds a number of frames to a partition of an empty topic of two.
fn check_topic(topic: &dyn Topic, append: &dyn Fn(Partition, usize)) {
    append(0, 5);
    append(1, 3);
    let bounds = |low, high| Bounds { low, high };
    let expected = BTreeMap::from([(0, bounds(0, 5)), (1, bounds(0, 3))]);
    assert_eq!(topic.bounds().unwrap(), expected);

    // From exact offsets, the end included, each partition to its end.
    let mut source = topic.open(&offsets(&[(0, 2), (1, 3)])).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *source, &mut seen, |seen| seen.caught_up.len() == 2).unwrap();
    assert_eq!(seen.offsets, BTreeMap::from([(0, vec![2, 3, 4])]));
    assert_eq!(seen.caught_up, BTreeMap::from([(0, 5), (1, 3)]));

    // What is appended later follows, and the end is announced again.
    let mut seen = Seen::default();
    append(1, 2);
    read_until(&mut *source, &mut seen, |seen| {
        seen.caught_up.contains_key(&1)
    })
    .unwrap();
    assert_eq!(seen.offsets, BTreeMap::from([(1, vec![3, 4])]));
    assert_eq!(seen.caught_up, BTreeMap::from([(1, 5)]));

    // A limit holds, and nothing is lost between two polls.
    let mut source = topic.open(&offsets(&[(0, 0)])).unwrap();
    let mut seen = Seen::default();
    let start = Instant::now();
    while seen.caught_up.is_empty() {
        assert!(start.elapsed() < PATIENCE);
        let frames = source.poll(1, Duration::from_millis(100), &mut |event| seen.note(event));
        assert!(frames.unwrap() <= 1);
    }
    assert_eq!(seen.offsets, BTreeMap::from([(0, vec![0, 1, 2, 3, 4])]));

    let message = data_loss(topic.open(&offsets(&[(0, 6)])));
    assert!(message.contains("offset 6 is needed"), "{message}");
    assert!(message.contains("retains 0 to 4"), "{message}");
    let message = data_loss(topic.open(&offsets(&[(9, 0)])));
    assert!(message.contains("partition 9"), "{message}");
}

#[test]
fn kafka_is_a_topic() {
    let broker = Broker::with_topic(2);
    check_topic(&broker.topic(), &|partition, count| {
        broker.append(partition, b"{}", count);
    });
}

#[test]
fn replay_is_a_topic() {
    let topic = ReplayTopic::new(TOPIC, 2);
    check_topic(&topic, &|partition, count| {
        for _ in 0..count {
            topic.append(partition, ReplayFrame::default());
        }
    });
}

#[test]
fn a_frame_comes_with_its_key_time_and_bytes() {
    let broker = Broker::with_topic(1);
    broker.append(0, b"{\"type\":\"ping\"}", 2);
    let tombstone: BaseRecord<'_, str, [u8]> = BaseRecord::to(TOPIC).partition(0).key("gone");
    broker.producer.send(tombstone).unwrap();
    broker.producer.flush(PATIENCE).unwrap();
    let mut source = broker.topic().open(&offsets(&[(0, 1)])).unwrap();
    let (mut frames, mut done) = (Vec::new(), false);
    while !done {
        let on_event = &mut |event: Event<'_>| match event {
            Event::Frame(frame) => {
                assert!(frame.timestamp_ms.is_some());
                frames.push((
                    frame.offset,
                    frame.timestamp_ms.filter(|_| frame.payload.is_some()),
                    frame.key.map(<[u8]>::to_vec),
                    frame.payload.map(<[u8]>::to_vec),
                ));
            }
            Event::CaughtUp { .. } => done = true,
            Event::OutOfSight { .. } => {}
        };
        source
            .poll(100, Duration::from_millis(100), on_event)
            .unwrap();
    }
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(
        frames,
        [
            (1, Some(1001), bytes("key 1"), bytes("{\"type\":\"ping\"}")),
            (2, None, bytes("gone"), None),
        ]
    );
}

#[test]
fn readers_in_threads_read_their_own_partitions_whole() {
    let broker = Broker::with_topic(4);
    for partition in 0..4 {
        broker.append(partition, b"{\"data\":[]}", 5000);
    }
    let topic = broker.topic();
    std::thread::scope(|scope| {
        for own in [[0, 1], [2, 3]] {
            let mut source = topic.open(&offsets(&own.map(|p| (p, 0)))).unwrap();
            scope.spawn(move || {
                let mut seen = Seen::default();
                read_until(&mut *source, &mut seen, |seen| seen.caught_up.len() == 2).unwrap();
                let whole: Vec<i64> = (0..5000).collect();
                assert_eq!(seen.offsets, own.map(|p| (p, whole.clone())).into());
            });
        }
    });
}

/// Nothing comes from a broker that is away, which does not mean that there is nothing.
#[test]
fn a_broker_that_is_away_leaves_no_partition_caught_up_until_it_is_back() {
    const EVERY_BROKER: i32 = -1;
    let broker = Broker::with_topic(2);
    broker.append(0, b"{}", 3);
    let mut properties = broker.properties();
    properties.set("reconnect.backoff.max.ms", "200");
    let topic = broker.topic_with(&properties);
    let start = Offsets(BTreeMap::from([(0, 0), (1, 0)]));
    let mut source = topic.open(&start).unwrap();
    let mut seen = Seen::default();
    let caught_up = BTreeMap::from([(0, 3), (1, 0)]);
    for _ in 0..2 {
        read_until(source.as_mut(), &mut seen, |seen| {
            seen.caught_up == caught_up
        })
        .unwrap();
        broker.cluster.broker_down(EVERY_BROKER).unwrap();
        read_until(source.as_mut(), &mut seen, |seen| seen.caught_up.is_empty()).unwrap();
        broker.cluster.broker_up(EVERY_BROKER).unwrap();
    }
    read_until(source.as_mut(), &mut seen, |seen| {
        seen.caught_up == caught_up
    })
    .unwrap();
    // Every frame once, those of before and those of after.
    broker.append(0, b"{}", 2);
    broker.append(1, b"{}", 1);
    let caught_up = BTreeMap::from([(0, 5), (1, 1)]);
    read_until(source.as_mut(), &mut seen, |seen| {
        seen.caught_up == caught_up
    })
    .unwrap();
    let offsets = BTreeMap::from([(0, vec![0, 1, 2, 3, 4]), (1, vec![0])]);
    assert_eq!(seen.offsets, offsets);
}

#[test]
fn a_missing_topic_is_waited_for() {
    let broker = Broker::new();
    let looks = Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        if looks.get() == 3 {
            broker.cluster.create_topic(TOPIC, 3, 1).unwrap();
        }
        false
    };
    let connected = KafkaTopic::connect(&broker.properties(), TOPIC, GROUP, PATIENCE, &stop);
    assert_eq!(connected.unwrap().unwrap().bounds().unwrap().len(), 3);
    assert!(looks.get() >= 3);
}

#[test]
fn waiting_for_a_missing_topic_can_be_stopped_and_creates_nothing() {
    let broker = Broker::new();
    let looks = Cell::new(0);
    let stop = || looks.replace(looks.get() + 1) == 3;
    let connected = KafkaTopic::connect(&broker.properties(), TOPIC, GROUP, PATIENCE, &stop);
    assert!(connected.unwrap().is_none());
    let metadata = broker
        .producer
        .client()
        .fetch_metadata(None, PATIENCE)
        .unwrap();
    assert!(metadata.topics().iter().all(|topic| topic.name() != TOPIC));
}

#[test]
fn an_unreachable_broker_is_named_within_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let limit = Duration::from_millis(1500);
    let properties = KafkaProperties::new(address.clone());
    match KafkaTopic::connect(&properties, TOPIC, GROUP, limit, &|| false) {
        Err(SourceError::Unreachable(message)) => {
            assert!(message.contains(&address), "{message}");
            assert!(message.contains("refused"), "{message}");
            assert!(message.contains("KAFKA_BROKER"), "{message}");
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("no broker is there"),
    }
    let stopped = KafkaTopic::connect(&properties, TOPIC, GROUP, PATIENCE, &|| true);
    assert!(stopped.unwrap().is_none());
}

#[test]
fn a_property_that_exactness_forbids_is_refused() {
    let mut properties = KafkaProperties::new("localhost:1");
    properties.set("auto.offset.reset", "earliest");
    match KafkaTopic::connect(&properties, TOPIC, GROUP, PATIENCE, &|| false) {
        Err(SourceError::Property(message)) => {
            assert!(message.contains("auto.offset.reset"), "{message}");
        }
        _ => panic!("expected a refusal"),
    }
}

/// Frames that the mock broker forgets the oldest of: it keeps about 5 MB a partition.
fn overflow(broker: &Broker) {
    broker.append(0, &vec![b'x'; 100_000], 80);
}

#[test]
fn offsets_that_retention_took_before_the_start_are_data_loss() {
    let broker = Broker::with_topic(1);
    overflow(&broker);
    let topic = broker.topic();
    let Bounds { low, high } = topic.bounds().unwrap()[&0];
    assert!(low > 0, "the mock broker forgot nothing");
    let message = data_loss(topic.open(&offsets(&[(0, low - 1)])));
    assert!(
        message.contains(&format!("offset {} is needed", low - 1)),
        "{message}"
    );
    assert!(
        message.contains(&format!("retains {low} to {}", high - 1)),
        "{message}"
    );
    topic.open(&offsets(&[(0, low)])).unwrap();
    topic.open(&offsets(&[(0, high)])).unwrap();
}

#[test]
fn offsets_that_retention_takes_from_a_slow_reader_are_data_loss() {
    let broker = Broker::with_topic(1);
    broker.append(0, &vec![b'x'; 100_000], 40);
    let mut properties = broker.properties();
    properties.set("queued.min.messages", "1");
    properties.set("fetch.message.max.bytes", "100000");
    let mut source = broker
        .topic_with(&properties)
        .open(&offsets(&[(0, 0)]))
        .unwrap();
    let mut seen = Seen::default();
    read_until(&mut *source, &mut seen, |seen| !seen.offsets.is_empty()).unwrap();
    overflow(&broker);
    let message = data_loss(read_until(&mut *source, &mut seen, |_| false));
    assert!(
        message.contains("topic raw_ticks, partition 0"),
        "{message}"
    );
    assert!(message.contains("retains"), "{message}");
}

#[test]
fn a_broker_that_is_away_for_a_while_is_waited_for() {
    let broker = Broker::with_topic(1);
    broker.append(0, b"before", 10);
    let mut source = broker.topic().open(&offsets(&[(0, 0)])).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *source, &mut seen, |seen| !seen.caught_up.is_empty()).unwrap();
    broker.cluster.broker_down(1).unwrap();
    // Long enough for the broken connection to be noticed and tried again.
    let polled = source.poll(100, Duration::from_millis(500), &mut |event| {
        seen.note(event)
    });
    assert_eq!(polled.unwrap(), 0);
    broker.cluster.broker_up(1).unwrap();
    broker.append(0, b"after", 10);
    let all = |seen: &Seen| seen.offsets[&0].len() >= 20;
    read_until(&mut *source, &mut seen, all).unwrap();
    assert_eq!(seen.offsets[&0], (0..20).collect::<Vec<_>>());
}

#[test]
fn the_group_is_told_the_newest_offsets() {
    let broker = Broker::with_topic(2);
    broker.append(0, b"{}", 10);
    let topic = broker.topic();
    for next in 1..=10 {
        topic.commit(&offsets(&[(0, next), (1, 0)]));
    }
    drop(topic);
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.cluster.bootstrap_servers())
        .set("group.id", GROUP)
        .create()
        .unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(TOPIC, 0, 1);
    let told = member.committed_offsets(asked, PATIENCE).unwrap();
    let told: Vec<Offset> = told
        .elements()
        .iter()
        .map(|element| element.offset())
        .collect();
    assert_eq!(told, [Offset::Offset(10), Offset::Offset(0)]);
    assert_eq!(
        broker.topic().group_offsets().unwrap(),
        offsets(&[(0, 10), (1, 0)])
    );
}

#[test]
fn a_group_that_has_told_nothing_stands_nowhere() {
    let broker = Broker::with_topic(2);
    assert_eq!(broker.topic().group_offsets().unwrap(), offsets(&[]));
}

#[test]
fn a_gap_is_stepped_over_and_forgotten_offsets_are_data_loss() {
    let topic = ReplayTopic::new(TOPIC, 1);
    topic.append(0, ReplayFrame::default());
    topic.append_gap(0, 3);
    topic.append(0, ReplayFrame::default());
    topic.append_gap(0, 2);
    let mut source = topic.open(&offsets(&[(0, 0)])).unwrap();
    let mut seen = Seen::default();
    read_until(&mut *source, &mut seen, |seen| !seen.caught_up.is_empty()).unwrap();
    assert_eq!(seen.offsets[&0], [0, 4]);
    assert_eq!(seen.caught_up[&0], 7);

    topic.append(0, ReplayFrame::default());
    topic.append(0, ReplayFrame::default());
    topic.forget(0, 8);
    let message = data_loss(read_until(&mut *source, &mut seen, |_| false));
    assert!(message.contains("offset 7 is needed"), "{message}");
    assert!(message.contains("retains 8 to 8"), "{message}");
}

#[test]
fn a_waiting_reader_wakes_when_the_topic_grows() {
    let topic = ReplayTopic::new(TOPIC, 1);
    let mut source = topic.open(&offsets(&[(0, 0)])).unwrap();
    source.poll(1, Duration::ZERO, &mut |_| {}).unwrap();
    let polls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let frames = source.poll(1, PATIENCE, &mut |_| {}).unwrap();
            polls.fetch_add(frames, Ordering::SeqCst);
        });
        topic.append(0, ReplayFrame::default());
    });
    assert_eq!(polls.into_inner(), 1);
    topic.commit(&offsets(&[(0, 1)]));
    assert_eq!(topic.committed(), offsets(&[(0, 1)]));
}

#[test]
fn a_job_ends_although_the_broker_is_gone() {
    let broker = Broker::with_topic(1);
    broker.append(0, b"{}", 10);
    let connected = KafkaTopic::connect(
        &broker.properties(),
        TOPIC,
        GROUP,
        Duration::from_secs(1),
        &|| false,
    );
    let topic = connected.unwrap().unwrap();
    let source = topic.open(&offsets(&[(0, 0)])).unwrap();
    topic.commit(&offsets(&[(0, 1)]));
    broker.cluster.broker_down(1).unwrap();
    topic.commit(&offsets(&[(0, 2)]));
    assert!(matches!(topic.bounds(), Err(SourceError::Unreachable(_))));
    let start = Instant::now();
    drop(source);
    drop(topic);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

/// The embedded broker keeps no times, and says of each that there is none; Apache Kafka knows them.
#[test]
fn offsets_are_found_by_the_times_of_messages() {
    let broker = TestBroker::start(2);
    let kafka = KafkaProperties::new(broker.bootstrap.as_str());
    let topic = KafkaTopic::connect(&kafka, &broker.topic, GROUP, PATIENCE, &|| false);
    let topic = topic.unwrap().unwrap();
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_millis() as i64
    };
    let begun = now();
    broker.produce([(0, &b"one"[..]), (0, b"two"), (1, b"three")]);
    let between = now() + 1;
    while now() < between {
        std::hint::spin_loop();
    }
    broker.produce([(0, &b"four"[..])]);
    let since = |times: &[(Partition, i64)]| {
        let times = times.iter().copied().collect();
        topic.offsets_since(&times).unwrap().0
    };
    let offsets = |found: &[(Partition, i64)]| found.iter().copied().collect::<BTreeMap<_, _>>();
    let (all, later) = match broker.keeps_times() {
        true => (offsets(&[(0, 0), (1, 0)]), offsets(&[(0, 2)])),
        false => (offsets(&[]), offsets(&[])),
    };
    assert_eq!(since(&[(0, begun), (1, begun)]), all);
    assert_eq!(since(&[(0, between), (1, between)]), later);
    assert_eq!(since(&[]), offsets(&[]));
}
