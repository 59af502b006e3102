//! How Kafka is reached: the broker's address and any librdkafka property.
//!
//! Properties come from `KAFKA_PROPERTIES` (a list) and from `--conf spark.kafka.<property>=<value>`
//! (one each); the latter wins. What a property may be is librdkafka's to say, when the source or the
//! producer makes its client: this file only keeps them, and keeps their values out of sight.

use std::collections::BTreeMap;

use super::secret::Secret;

/// Every `--conf` name that starts with this is a librdkafka property.
pub const CONF_PREFIX: &str = "spark.kafka.";

/// librdkafka's two names for the broker list.
const BROKER_LIST_NAMES: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// Parts of a property's name that mark its value as one to hide.
const SECRET_MARKS: [&str; 6] = [
    "password",
    "secret",
    "token",
    "credential",
    ".pem",
    "sasl.oauthbearer.config",
];

/// The broker's address and librdkafka properties. `Debug` shows the properties' names only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaProperties {
    /// `host:port`, or several with commas: librdkafka's `bootstrap.servers`.
    pub brokers: String,
    pairs: BTreeMap<String, Secret>,
}

impl KafkaProperties {
    /// No property but the brokers (`host:port[,host:port…]`).
    pub fn new(brokers: impl Into<String>) -> KafkaProperties {
        KafkaProperties {
            brokers: brokers.into(),
            pairs: BTreeMap::new(),
        }
    }

    /// Sets a librdkafka property; the last one set wins. `bootstrap.servers` replaces the brokers.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        if BROKER_LIST_NAMES.contains(&key.as_str()) {
            self.brokers = value;
        } else {
            self.pairs.insert(key, Secret::new(value));
        }
    }

    /// Sets what a `--conf` pair says if its name is `spark.kafka.<property>`. False: the name is
    /// another one, and nothing was set.
    pub fn set_conf(&mut self, name: &str, value: &str) -> bool {
        match name.strip_prefix(CONF_PREFIX) {
            Some(property) if !property.is_empty() => {
                self.set(property, value);
                true
            }
            _ => false,
        }
    }

    /// The properties beside the brokers, by name, with their values revealed: for librdkafka only.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.reveal()))
    }

    /// Reads a list such as `security.protocol=SASL_SSL,sasl.mechanisms=PLAIN`. A comma that belongs to
    /// a value is written `\,`. White space around names and values is dropped, empty entries are skipped.
    ///
    /// # Errors
    /// An entry without `=` or without a name. The message says which entry, never what it holds.
    pub fn parse_list(list: &str) -> Result<Vec<(String, String)>, String> {
        split_commas(list)
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.trim().is_empty())
            .map(|(index, entry)| match entry.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    Ok((key.trim().to_string(), value.trim().to_string()))
                }
                _ => Err(format!(
                    "entry {} is not name=value (a comma inside a value is written \\,)",
                    index + 1
                )),
            })
            .collect()
    }

    /// Checks that the brokers are `host`, `host:port` or `[ipv6]:port`, each perhaps after `scheme://`.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn check_brokers(&self) -> Result<(), String> {
        for broker in self.brokers.split(',').map(str::trim) {
            let address = broker
                .rsplit_once("://")
                .map_or(broker, |(_, address)| address);
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    (host, Some(port))
                }
                _ => (address, None),
            };
            let port_is_number =
                port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
            if host.is_empty() || host.contains(char::is_whitespace) || !port_is_number {
                return Err(match broker {
                    "" => "no address; write host:port".to_string(),
                    _ => format!("{broker} is not host:port"),
                });
            }
        }
        Ok(())
    }

    /// Whether a property's value must not be shown, judged by the property's name.
    pub fn is_secret(key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        SECRET_MARKS.iter().any(|mark| key.contains(mark))
    }
}

/// Splits at every comma that no backslash precedes, and takes that backslash away.
fn split_commas(list: &str) -> Vec<String> {
    let mut entries = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(char) = chars.next() {
        let entry = entries
            .last_mut()
            .expect("never empty: begins with one, only grows");
        match char {
            '\\' if chars.peek() == Some(&',') => entry.extend(chars.next()),
            ',' => entries.push(String::new()),
            other => entry.push(other),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<(String, String)>, String> {
        KafkaProperties::parse_list(text)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_string(), value.to_string())
    }

    #[test]
    fn a_list_is_split_at_commas_but_not_at_escaped_ones() {
        assert_eq!(list(""), Ok(vec![]));
        assert_eq!(
            list(" a=b , c = d=e ,"),
            Ok(vec![pair("a", "b"), pair("c", "d=e")])
        );
        assert_eq!(
            list(r"debug=broker\,topic,x="),
            Ok(vec![pair("debug", "broker,topic"), pair("x", "")])
        );
        assert_eq!(
            list(r"sasl.password=a\b"),
            Ok(vec![pair("sasl.password", r"a\b")])
        );
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_place_only() {
        let error = list("sasl.password=hunter2,hunter3").unwrap_err();
        assert!(
            error.starts_with("entry 2 ") && !error.contains("hunter"),
            "{error}"
        );
        assert!(list("=x").is_err());
    }

    #[test]
    fn values_are_not_in_debug() {
        let mut kafka = KafkaProperties::new("localhost:9092");
        kafka.set("sasl.password", "hunter2");
        assert!(kafka.set_conf("spark.kafka.linger.ms", "7"));
        assert!(!kafka.set_conf("spark.sql.x", "7") && !kafka.set_conf("spark.kafka.", "7"));
        assert_eq!(
            kafka.iter().collect::<Vec<_>>(),
            [("linger.ms", "7"), ("sasl.password", "hunter2")]
        );
        let debug = format!("{kafka:?}");
        assert!(
            debug.contains("sasl.password") && !debug.contains("hunter2"),
            "{debug}"
        );
        kafka.set("bootstrap.servers", "a:1,b:2");
        assert_eq!(kafka.brokers, "a:1,b:2");
    }

    #[test]
    fn brokers_are_checked() {
        for good in [
            "localhost:9092",
            "a:1, b:2",
            "kafka",
            "SASL_SSL://k.example:9093",
            "[::1]:9092",
        ] {
            assert_eq!(KafkaProperties::new(good).check_brokers(), Ok(()), "{good}");
        }
        for bad in ["", "a:1,", ":9092", "a:b", "a:0", "a:99999", "a b:1", "a:"] {
            assert!(KafkaProperties::new(bad).check_brokers().is_err(), "{bad}");
        }
    }

    #[test]
    fn secret_names_are_known() {
        for key in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
        ] {
            assert!(KafkaProperties::is_secret(key), "{key}");
        }
        for key in ["sasl.username", "ssl.ca.location", "linger.ms"] {
            assert!(!KafkaProperties::is_secret(key), "{key}");
        }
    }
}
