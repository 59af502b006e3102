//! The embedded broker: what it keeps, on which port, and that it ends.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use stockpulse::broker::{BrokerError, EmbeddedBroker};

use crate::support::broker::{PATIENCE, TestBroker};

#[test]
fn frames_come_back_from_the_partitions_they_went_to() {
    let broker = TestBroker::start(3);
    let frames: Vec<(i32, String)> = (0..3_000)
        .map(|number| (number % 3, format!("frame {number}")))
        .collect();
    broker.produce(
        frames
            .iter()
            .map(|(partition, frame)| (*partition, frame.as_bytes())),
    );
    let stored = broker.read_all();
    assert_eq!(stored.len(), frames.len());
    for (index, message) in stored.iter().enumerate() {
        let (partition, offset) = ((index / 1_000) as i32, (index % 1_000) as i64);
        assert_eq!((message.partition, message.offset), (partition, offset));
        let number = offset * 3 + i64::from(partition);
        assert_eq!(message.payload, format!("frame {number}").as_bytes());
    }
}

#[test]
fn a_port_of_choice_leads_to_it() {
    // Taken by nobody just now; the system hands it to nobody else so soon.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let broker = EmbeddedBroker::start("ticks", 4, Some(port)).unwrap();
    assert_eq!(broker.address(), format!("127.0.0.1:{port}"));
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some("ticks"), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 4);
    assert_eq!(
        consumer.fetch_watermarks("ticks", 3, PATIENCE).unwrap(),
        (0, 0)
    );

    let taken = EmbeddedBroker::start("ticks", 1, Some(port))
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(taken, BrokerError::Port { port: named, .. } if named == port),
        "{taken}"
    );
    assert!(
        taken
            .to_string()
            .contains(&format!("port {port} of 127.0.0.1")),
        "{taken}"
    );

    drop(broker);
    let address = ([127, 0, 0, 1], port).into();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());
}

#[test]
fn a_wrong_number_of_partitions_is_refused() {
    for partitions in [-1, 0, 65] {
        let refused = EmbeddedBroker::start("ticks", partitions, None)
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(refused, BrokerError::Partitions(_)), "{refused}");
    }
}
