//! The shipped binaries together on a broker: recorded trades in, candles out; faults and their exit
//! codes; the demo. On the embedded broker, or on a real Kafka (`STOCKPULSE_TEST_BROKER`).

mod candles;
mod dead_letters;
mod demo;
mod faults;
mod full_disk;
pub mod kafka_sink;
mod many_sinks;
mod outage;
mod signals;
mod young;

use crate::support::broker::TestBroker;
use crate::support::shipped::{Folder, PRODUCER, Run, TICKS};

/// `stockpulse-producer` replays the recorded frames into the topic.
pub fn replay(broker: &TestBroker, folder: &Folder) {
    let ended = Run::new(PRODUCER, folder.path())
        .arguments(&["--feed", "replay", "--file", TICKS])
        .env("KAFKA_BROKER", &broker.bootstrap)
        .env("KAFKA_TOPIC", &broker.topic)
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("ticks_delivered=12477"),
        "{}",
        ended.said
    );
}
