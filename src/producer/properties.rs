//! The producer's librdkafka properties: ours, and over them the user's.

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::ProducerError;
use crate::config::kafka::KafkaProperties;
use crate::config::producer::DeliveryConfig;

/// Messages that wait for their acknowledgement at the most; then a live feed's newest are dropped, others wait.
const QUEUE_MESSAGES_MAX: &str = "400000";
/// Kilobytes of them at the most.
const QUEUE_KBYTES_MAX: &str = "65536";
/// A message may wait this long for others to be compressed with, milliseconds.
const LINGER_MS: &str = "20";

/// Our properties, with librdkafka's other names for them: a user may use either.
const DEFAULTS: [(&str, &str, &[&str]); 9] = [
    ("client.id", "stockpulse-producer", &[]),
    ("enable.idempotence", "true", &[]),
    ("acks", "all", &["request.required.acks"]),
    // Java's default: a symbol is in the same partition whoever writes it.
    ("partitioner", "murmur2_random", &[]),
    ("linger.ms", LINGER_MS, &["queue.buffering.max.ms"]),
    ("queue.buffering.max.messages", QUEUE_MESSAGES_MAX, &[]),
    ("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX, &[]),
    // Never given up while we run: a broker may be away for long. The queue's limits hold meanwhile.
    ("message.timeout.ms", "0", &["delivery.timeout.ms"]),
    ("socket.keepalive.enable", "true", &[]),
];

/// librdkafka's other name of `compression.type`.
const COMPRESSION_NAMES: [&str; 2] = ["compression.type", "compression.codec"];

/// The configuration of the producer's client.
///
/// # Errors
/// [`ProducerError::Property`] names a property that librdkafka does not take.
pub(super) fn client_config(config: &DeliveryConfig) -> Result<ClientConfig, ProducerError> {
    let given = |name: &str| config.kafka.iter().any(|(key, _)| key == name);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.kafka.brokers);
    for (name, value, aliases) in DEFAULTS {
        if !aliases.iter().any(|alias| given(alias)) {
            client.set(name, value);
        }
    }
    if !COMPRESSION_NAMES.iter().any(|name| given(name)) {
        client.set("compression.type", config.compression.name());
    }
    for (key, value) in config.kafka.iter() {
        // One at a time, so that the first wrong one by name is reported, not a random one.
        ClientConfig::new()
            .set(key, value)
            .create_native_config()
            .map_err(|error| refused(&error))?;
        client.set(key, value);
    }
    Ok(client)
}

/// What a person can do about a property, without the value of one that is to be hidden.
pub(super) fn refused(error: &KafkaError) -> ProducerError {
    ProducerError::Property(match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => format!(
            "Kafka property {key} is not one of librdkafka's; see KAFKA_PROPERTIES and --conf spark.kafka.{key}"
        ),
        KafkaError::ClientConfig(_, _, key, _) if KafkaProperties::is_secret(key) => {
            format!("Kafka property {key}: librdkafka does not take its value")
        }
        KafkaError::ClientConfig(_, reason, key, value) => {
            format!("Kafka property {key}: librdkafka does not take {value:?} ({reason})")
        }
        KafkaError::ClientCreation(reason) => {
            format!("librdkafka does not take the Kafka properties together: {reason}")
        }
        other => format!("librdkafka does not take the Kafka properties: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> DeliveryConfig {
        let mut kafka = KafkaProperties::new("localhost:9092");
        for (key, value) in pairs {
            kafka.set(*key, *value);
        }
        DeliveryConfig::new(kafka, "raw_ticks")
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        match client_config(&config(pairs)) {
            Err(ProducerError::Property(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_deliver_once_and_in_order() {
        let client = client_config(&config(&[])).unwrap();
        for (key, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "lz4"),
        ] {
            assert_eq!(client.get(key), Some(value), "{key}");
        }
        client.create_native_config().unwrap();
    }

    #[test]
    fn the_user_beats_us_by_any_name() {
        let client = client_config(&config(&[
            ("compression.codec", "zstd"),
            ("linger.ms", "0"),
        ]))
        .unwrap();
        assert_eq!(client.get("compression.type"), None);
        assert_eq!(client.get("linger.ms"), Some("0"));
    }

    #[test]
    fn a_wrong_property_is_named() {
        assert!(refusal(&[("no.such", "x")]).contains("property no.such is not"));
        let message = refusal(&[("linger.ms", "soon")]);
        assert!(
            message.contains("linger.ms") && message.contains("soon"),
            "{message}"
        );
        let message = refusal(&[("sasl.no.such.password", "hunter2")]);
        assert!(
            message.contains("sasl.no.such.password") && !message.contains("hunter2"),
            "{message}"
        );
    }
}
