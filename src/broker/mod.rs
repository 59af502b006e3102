//! The embedded broker for demo and tests: librdkafka's mock cluster, in this process, on loopback.
//!
//! It speaks Kafka's protocol to any client of this machine, kcat included, and keeps everything in
//! memory: about 5 MB as stored (compressed) or 100,000 batches a partition; beyond that its oldest
//! messages go and the low watermark moves up. It has no admin API and finds no offsets by time.
//! Deliberately: no durability, no TLS, no other machine; for those there is Kafka.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};

mod port;

use port::ForwardedPort;

/// Partitions of a topic at the most; the broker lives in memory.
const PARTITIONS_MAX: i32 = 64;

/// What starting the embedded broker failed with.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is not free, or may not be used.
    #[error(
        "port {port} of 127.0.0.1 cannot be used for the embedded broker: {reason}; choose another port"
    )]
    Port {
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        reason: std::io::Error,
    },
    /// More or fewer partitions than it can have.
    #[error("the embedded broker can have 1 to {PARTITIONS_MAX} partitions, not {0}")]
    Partitions(i32),
    /// librdkafka refused.
    #[error("the embedded broker does not start: {0}")]
    Start(#[from] KafkaError),
}

/// A broker that lives as long as this value; dropping it ends the broker and forgets the topic.
pub struct EmbeddedBroker {
    // Before the cluster, so that nobody is sent to one that is gone.
    port: Option<ForwardedPort>,
    client: BaseProducer,
    address: String,
}

impl EmbeddedBroker {
    /// Starts a broker that holds `topic`, empty, with 1 to 64 partitions.
    ///
    /// The mock cluster always listens on a free port of its own choice (librdkafka binds to port 0).
    /// With `port` that port is forwarded to it: clients find the broker there, are told its real
    /// address, and go on with that; both are on 127.0.0.1.
    ///
    /// # Errors
    /// The port is taken, the number of partitions cannot be, or librdkafka refuses the topic's name.
    pub fn start(
        topic: &str,
        partitions: i32,
        port: Option<u16>,
    ) -> Result<EmbeddedBroker, BrokerError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(BrokerError::Partitions(partitions));
        }
        // This client's only use is to own the cluster: it ends with it.
        let client: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .set("client.id", "embedded-broker")
            .create()?;
        let address = {
            let cluster = client.client().mock_cluster().ok_or_else(|| {
                KafkaError::ClientCreation(
                    "librdkafka was built without its mock cluster".to_string(),
                )
            })?;
            cluster.create_topic(topic, partitions, 1)?;
            cluster.bootstrap_servers()
        };
        let port = match port {
            None => None,
            Some(port) => Some(
                ForwardedPort::open(port, &address)
                    .map_err(|reason| BrokerError::Port { port, reason })?,
            ),
        };
        Ok(EmbeddedBroker {
            port,
            client,
            address,
        })
    }

    /// Where clients find it: `127.0.0.1:port`, the port that was asked for if one was.
    pub fn address(&self) -> String {
        match &self.port {
            Some(port) => port.address(),
            None => self.address.clone(),
        }
    }

    /// Adds another topic.
    ///
    /// # Errors
    /// The number of partitions cannot be, or librdkafka refuses the topic's name.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(BrokerError::Partitions(partitions));
        }
        match self.client.client().mock_cluster() {
            Some(cluster) => Ok(cluster.create_topic(topic, partitions, 1)?),
            None => Ok(()),
        }
    }

    /// Cuts every connection and takes no new ones (`false`), or takes them again (`true`): for tests of
    /// a broker that goes away and comes back with what it held.
    ///
    /// # Errors
    /// librdkafka refuses.
    pub fn set_reachable(&self, reachable: bool) -> Result<(), BrokerError> {
        const EVERY_BROKER: i32 = -1;
        match self.client.client().mock_cluster() {
            Some(cluster) if reachable => Ok(cluster.broker_up(EVERY_BROKER)?),
            Some(cluster) => Ok(cluster.broker_down(EVERY_BROKER)?),
            None => Ok(()),
        }
    }
}
