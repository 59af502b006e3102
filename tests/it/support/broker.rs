//! A broker with one empty topic for a test: the embedded one, or with `STOCKPULSE_TEST_BROKER`
//! (`host:port`) a real Kafka, where the topic gets a name of its own and is deleted at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use stockpulse::broker::EmbeddedBroker;
use stockpulse::config::kafka::KafkaProperties;
use stockpulse::model::Partition;

/// Address of a real Kafka to test with.
const TEST_BROKER: &str = "STOCKPULSE_TEST_BROKER";
/// Longer than anything a test waits for, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker and its topic.
pub struct TestBroker {
    /// Where clients find it, `host:port`.
    pub bootstrap: String,
    /// The topic, empty at the start.
    pub topic: String,
    partitions: i32,
    embedded: Option<EmbeddedBroker>,
    /// Whether the topic is to be deleted at the end.
    deletes: bool,
}

/// A message of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub partition: Partition,
    pub offset: i64,
    pub key: Option<String>,
    pub payload: Vec<u8>,
    /// Its timestamp, milliseconds since 1970.
    pub time_ms: Option<i64>,
}

impl TestBroker {
    /// A broker with an empty topic of so many partitions.
    pub fn start(partitions: i32) -> TestBroker {
        match real_broker() {
            Some(bootstrap) => {
                let topic = unique_topic();
                create_topic(&bootstrap, &topic, partitions);
                TestBroker {
                    bootstrap,
                    topic,
                    partitions,
                    embedded: None,
                    deletes: true,
                }
            }
            None => TestBroker::embedded(partitions),
        }
    }

    /// The embedded broker, whatever is set, with an empty topic of so many partitions.
    pub fn embedded(partitions: i32) -> TestBroker {
        let topic = "raw_ticks".to_string();
        let embedded = EmbeddedBroker::start(&topic, partitions, None).unwrap();
        TestBroker {
            bootstrap: embedded.address(),
            topic,
            partitions,
            embedded: Some(embedded),
            deletes: false,
        }
    }

    /// Whether it finds messages by their times: the embedded one does not.
    pub fn keeps_times(&self) -> bool {
        self.embedded.is_none()
    }

    /// Cuts the embedded broker off, or takes connections again.
    pub fn set_reachable(&self, reachable: bool) {
        let embedded = self.embedded.as_ref().expect("the embedded broker");
        embedded.set_reachable(reachable).unwrap();
    }

    /// A broker whose topic is not there before [`TestBroker::create`].
    pub fn without_topic(partitions: i32) -> TestBroker {
        match real_broker() {
            Some(bootstrap) => TestBroker {
                bootstrap,
                topic: unique_topic(),
                partitions,
                embedded: None,
                deletes: true,
            },
            None => {
                let embedded = EmbeddedBroker::start("another", 1, None).unwrap();
                TestBroker {
                    bootstrap: embedded.address(),
                    topic: "raw_ticks".to_string(),
                    partitions,
                    embedded: Some(embedded),
                    deletes: false,
                }
            }
        }
    }

    /// Creates the topic.
    pub fn create(&self) {
        match &self.embedded {
            Some(embedded) => embedded.create_topic(&self.topic, self.partitions).unwrap(),
            None => create_topic(&self.bootstrap, &self.topic, self.partitions),
        }
    }

    /// Another topic of the same broker, empty.
    pub fn beside(&self, name: &str, partitions: i32) -> TestBroker {
        let topic = format!("{}_{name}", self.topic);
        match &self.embedded {
            Some(embedded) => embedded.create_topic(&topic, partitions).unwrap(),
            None => create_topic(&self.bootstrap, &topic, partitions),
        }
        TestBroker {
            bootstrap: self.bootstrap.clone(),
            topic,
            partitions,
            embedded: None,
            deletes: self.embedded.is_none(),
        }
    }

    /// Whether the broker keeps transactions as Kafka does: the embedded one also shows what is not committed,
    /// keeps no offsets of transactions and shuts out no old producer.
    pub fn isolates(&self) -> bool {
        real_broker().is_some()
    }

    /// Forgets the topic and everything in it, and creates it again.
    pub fn empty(&mut self) {
        match &mut self.embedded {
            Some(embedded) => {
                *embedded = EmbeddedBroker::start(&self.topic, self.partitions, None).unwrap();
                self.bootstrap = embedded.address();
            }
            None => {
                let (topic, partitions) = (self.topic.clone(), self.partitions);
                with_admin(&self.bootstrap, async |admin, options| {
                    admin.delete_topics(&[&topic], options).await.unwrap();
                    // A topic that is being deleted is there for a moment yet.
                    let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
                    let started = Instant::now();
                    while let Err((_, code)) =
                        &admin.create_topics([&new], options).await.unwrap()[0]
                    {
                        assert_eq!(*code, RDKafkaErrorCode::TopicAlreadyExists);
                        assert!(started.elapsed() < PATIENCE, "{topic} is not deleted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                });
            }
        }
    }

    /// Per partition the next offset to read that a consumer group has committed, -1 for none.
    pub fn committed(&self, group: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.topic, 0, self.partitions - 1);
        let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
        let offset = |partition| match committed.find_partition(&self.topic, partition) {
            Some(element) => element.offset().to_raw().unwrap_or(-1),
            None => -1,
        };
        (0..self.partitions)
            .map(|partition| offset(partition).max(-1))
            .collect()
    }

    /// Per partition how many messages it holds.
    pub fn ends(&self) -> Vec<i64> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let end = |partition| {
            let watermarks = consumer.fetch_watermarks(&self.topic, partition, PATIENCE);
            watermarks.unwrap().1
        };
        (0..self.partitions).map(end).collect()
    }

    /// How a room under test reaches it.
    pub fn kafka(&self) -> KafkaProperties {
        KafkaProperties::new(&self.bootstrap)
    }

    /// Appends frames to the partitions named, each partition's in this order, once each.
    pub fn produce<'a>(&self, frames: impl IntoIterator<Item = (Partition, &'a [u8])>) {
        self.appender().append(frames);
    }

    /// For who appends often: an idempotent producer takes a while to begin.
    pub fn appender(&self) -> Appender {
        let failures = Arc::new(AtomicU64::new(0));
        let producer = self
            .client()
            .set("enable.idempotence", "true")
            .set("compression.type", "zstd")
            .set("linger.ms", "5")
            .create_with_context(Failures(Arc::clone(&failures)))
            .unwrap();
        Appender {
            producer,
            failures,
            topic: self.topic.clone(),
        }
    }

    /// Everything that the topic holds now: partitions in order, offsets in order within each.
    pub fn read_all(&self) -> Vec<Stored> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let ends: i64 = (0..self.partitions)
            .map(|partition| {
                let (low, high) = consumer
                    .fetch_watermarks(&self.topic, partition, PATIENCE)
                    .unwrap();
                high - low
            })
            .sum();
        self.read_until(|stored| stored.len() as i64 >= ends)
    }

    /// Reads the topic from its beginning until `enough` says so of what was read.
    pub fn read_until(&self, enough: impl Fn(&[Stored]) -> bool) -> Vec<Stored> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let mut start = TopicPartitionList::new();
        for partition in 0..self.partitions {
            start
                .add_partition_offset(&self.topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&start).unwrap();
        let (mut stored, started) = (Vec::new(), Instant::now());
        while !enough(&stored) {
            assert!(
                started.elapsed() < PATIENCE,
                "only {} messages came",
                stored.len()
            );
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => stored.push(stored_of(&message)),
                Some(Err(error)) => panic!("reading {}: {error}", self.topic),
            }
        }
        stored.sort_by_key(|message| (message.partition, message.offset));
        stored
    }

    /// What a reader of committed messages finds in the topic now, partition by partition.
    pub fn read_committed(&self) -> Vec<Stored> {
        let mut client = self.client();
        client.set("enable.partition.eof", "true");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut start = TopicPartitionList::new();
        for partition in 0..self.partitions {
            start
                .add_partition_offset(&self.topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&start).unwrap();
        let (mut stored, mut ended, started) = (Vec::new(), 0, Instant::now());
        while ended < self.partitions {
            assert!(started.elapsed() < PATIENCE, "{} has no end", self.topic);
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => stored.push(stored_of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => panic!("reading {}: {error}", self.topic),
            }
        }
        stored.sort_by_key(|message| (message.partition, message.offset));
        stored
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "stockpulse-test")
            .set("enable.auto.commit", "false")
            // librdkafka's default of a second makes a reader of a full topic slow.
            .set("fetch.queue.backoff.ms", "10");
        client
    }
}

fn stored_of(message: &impl Message) -> Stored {
    let key = message.key();
    Stored {
        partition: message.partition(),
        offset: message.offset(),
        key: key.map(|key| String::from_utf8(key.to_vec()).unwrap()),
        payload: message.payload().unwrap_or_default().to_vec(),
        time_ms: message.timestamp().to_millis(),
    }
}

/// Appends to the topic.
pub struct Appender {
    producer: BaseProducer<Failures>,
    failures: Arc<AtomicU64>,
    topic: String,
}

impl Appender {
    /// Frames to the partitions named, each partition's in this order, once each; they are there when
    /// this returns.
    pub fn append<'a>(&self, frames: impl IntoIterator<Item = (Partition, &'a [u8])>) {
        for (partition, frame) in frames {
            let record = || {
                BaseRecord::<(), [u8]>::to(&self.topic)
                    .partition(partition)
                    .payload(frame)
            };
            while let Err((error, _)) = self.producer.send(record()) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full, "producing to partition {partition}");
                self.producer.poll(Duration::from_millis(100));
            }
        }
        self.producer.flush(PATIENCE).unwrap();
        let failures = self.failures.load(Ordering::Relaxed);
        assert_eq!(failures, 0, "messages were not delivered");
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if self.deletes {
            let (bootstrap, topic) = (self.bootstrap.clone(), self.topic.clone());
            with_admin(&bootstrap, async |admin, options| {
                // A topic that stays behind harms nobody; its name is its own.
                let _ = admin.delete_topics(&[topic.as_str()], options).await;
            });
        }
    }
}

/// Whether tests run on a real Kafka.
pub fn is_real_broker() -> bool {
    real_broker().is_some()
}

/// Whether tests run on a real Kafka, as CI's last step does.
pub fn is_real() -> bool {
    real_broker().is_some()
}

fn real_broker() -> Option<String> {
    let named = std::env::var(TEST_BROKER).ok()?;
    let named = named.trim();
    (!named.is_empty()).then(|| named.to_string())
}

fn create_topic(bootstrap: &str, topic: &str, partitions: i32) {
    with_admin(bootstrap, async |admin, options| {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for created in admin.create_topics([&new], options).await.unwrap() {
            created.unwrap();
        }
    });
}

/// On a thread of its own, because a test may already be inside of a runtime.
fn with_admin(
    bootstrap: &str,
    work: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) + Send,
) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", bootstrap);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let admin: AdminClient<_> = client.create().unwrap();
            let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(work(&admin, &options));
        });
        thread.join().unwrap();
    });
}

fn unique_topic() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("stockpulse_test_{}_{nanos}_{number}", std::process::id())
}

/// Counts the messages that were not delivered.
struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
