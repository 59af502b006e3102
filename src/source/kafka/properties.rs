//! Which librdkafka properties a reader runs with: ours, the user's over them, and on top those
//! that exact offsets depend on.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::reports::Reports;
use crate::config::kafka::KafkaProperties;
use crate::source::SourceError;

/// Kilobytes of frames that wait in all readers of a topic together.
const QUEUE_KBYTES: usize = 2 * 1024;
/// Frames that wait in all readers of a topic together. librdkafka needs about 300 bytes for each
/// beside its content, so this bounds memory where frames are small.
const QUEUE_FRAMES: usize = 6_000;

/// Ours, which the user's properties override.
const DEFAULTS: [(&str, &str); 9] = [
    ("client.id", "stockpulse-ingest"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    // The fetcher sleeps this long when the queue is full; with the default of a second it sleeps
    // on while a quick reader has long run dry, the sooner the smaller the queue is.
    ("fetch.queue.backoff.ms", "2"),
    // Every fetch wakes four threads, here and there: the broker gathers what comes within 50 ms,
    // unless there is enough of it.
    ("fetch.min.bytes", "16384"),
    ("fetch.wait.max.ms", "50"),
    // A response is kept whole until its last message is handed on.
    ("fetch.message.max.bytes", "131072"),
    ("fetch.max.bytes", "4194304"),
    ("socket.keepalive.enable", "true"),
];

/// For the client that asks and commits: how long it may wait for a silent broker, and with its last
/// commit for the group's coordinator when a job ends. It never joins the group.
const ASKING: [(&str, &str); 3] = [
    ("socket.timeout.ms", "10000"),
    ("session.timeout.ms", "2000"),
    ("heartbeat.interval.ms", "500"),
];

/// What exact offsets depend on; a user who sets one of these is told so.
const FIXED: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

/// The configuration of every client of a topic.
pub(super) fn client_config(
    properties: &KafkaProperties,
    group: &str,
) -> Result<ClientConfig, SourceError> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(key, value);
    }
    config.set("group.id", group);
    config.set_log_level(RDKafkaLogLevel::Info);
    for (key, value) in properties.iter() {
        if let Some((_, fixed)) = FIXED.iter().find(|(name, _)| *name == key) {
            return Err(SourceError::Property(format!(
                "Kafka property {key} cannot be set: offsets are kept in the checkpoint, for which \
                 it stays at {fixed}; where a first run starts is spark.stockpulse.startingOffsets"
            )));
        }
        if key == "debug" {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config.set(key, value);
    }
    for (key, value) in FIXED {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &properties.brokers);
    Ok(config)
}

/// The configuration of the client that asks and commits.
pub(super) fn asking_config(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    // The newer group protocol refuses the properties of the older one.
    if config.get("group.protocol").is_none() {
        for (key, value) in ASKING {
            config.set(key, value);
        }
    }
    config
}

/// The configuration of a reader of `partitions` of the topic's `all`: it has its share of the queue.
pub(super) fn reader_config(config: &ClientConfig, partitions: usize, all: usize) -> ClientConfig {
    let mut config = config.clone();
    let share = |whole: usize| (whole * partitions / all.max(partitions).max(1)).max(1000);
    for (key, whole) in [
        ("queued.max.messages.kbytes", QUEUE_KBYTES),
        ("queued.min.messages", QUEUE_FRAMES),
    ] {
        if config.get(key).is_none() {
            config.set(key, share(whole).to_string());
        }
    }
    config
}

/// Makes a client; an error names the property, never its value.
pub(super) fn create<C>(config: &ClientConfig, reports: Reports) -> Result<C, SourceError>
where
    C: rdkafka::config::FromClientConfigAndContext<Reports>,
{
    config
        .create_with_context(reports)
        .map_err(|error| SourceError::Property(property_error(&error)))
}

/// Checks every property by itself, without a client.
pub(super) fn check(config: &ClientConfig) -> Result<(), SourceError> {
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(error) => Err(SourceError::Property(property_error(&error))),
    }
}

fn property_error(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) if KafkaProperties::is_secret(key) => {
            format!("Kafka property {key}: librdkafka does not take its value")
        }
        KafkaError::ClientConfig(_, description, key, _) => {
            format!("Kafka property {key}: {description}")
        }
        KafkaError::ClientCreation(reason) => {
            format!("the Kafka properties do not go together: {reason}")
        }
        KafkaError::Nul(_) => "a Kafka property holds a NUL character".to_owned(),
        other => format!("the Kafka client cannot be made: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<ClientConfig, SourceError> {
        let mut properties = KafkaProperties::new("localhost:9092");
        for (key, value) in pairs {
            properties.set(*key, *value);
        }
        client_config(&properties, "stockpulse-ohlc")
    }

    #[test]
    fn the_users_properties_win_but_for_those_that_exactness_needs() {
        let config = config(&[("fetch.wait.max.ms", "7"), ("group.id", "mine")]).unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("group.id"), Some("mine"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("bootstrap.servers"), Some("localhost:9092"));
    }

    #[test]
    fn a_fixed_property_is_refused_by_name() {
        for (key, _) in FIXED {
            let error = config(&[(key, "x")]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn readers_share_the_queue() {
        let config = config(&[]).unwrap();
        let frames = |partitions, all| {
            let reader = reader_config(&config, partitions, all);
            reader.get("queued.min.messages").map(str::to_owned)
        };
        assert_eq!(frames(4, 4).as_deref(), Some("6000"));
        assert_eq!(frames(1, 4).as_deref(), Some("1500"));
        assert_eq!(frames(1, 1000).as_deref(), Some("1000"));
        assert_eq!(frames(1, 0).as_deref(), Some("6000"));
    }

    #[test]
    fn a_refused_value_is_not_shown() {
        let refused = |key: &str, value: &str| {
            let config = config(&[(key, value)]).unwrap();
            let made: Result<rdkafka::consumer::BaseConsumer<Reports>, _> =
                create(&config, Reports::new("raw_ticks"));
            made.err().unwrap().to_string()
        };
        let error = refused("no.such.password", "hunter2");
        assert!(error.contains("no.such.password"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(refused("no.such.property", "1").contains("no.such.property"));
        assert!(refused("fetch.wait.max.ms", "soon").contains("fetch.wait.max.ms"));
    }
}
