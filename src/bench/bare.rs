//! What the job is compared with: a consumer that only counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::error::BenchError;
use crate::config::bench::BareArgs;

/// With nothing read for so long, the topic is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What StockPulse's own source sets, so that both read alike: librdkafka's default (1000) makes a
/// reader a little slower than the fetcher sleep for a second at a time.
const FETCH_BACKOFF_MS: &str = "10";

/// What the bare consumer found; its standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Messages read.
    pub(super) messages: u64,
    /// Bytes of their keys and payloads.
    pub(super) bytes: u64,
}

/// Reads the topic from its first to its present end, and prints what was there as JSON.
pub(super) fn run(args: &BareArgs) -> Result<(), BenchError> {
    let counted = count(&Cluster::new(&args.kafka)?, &args.topic)?;
    let line = serde_json::to_string(&counted).expect("two numbers are always JSON");
    println!("{line}");
    Ok(())
}

/// Reads the topic from its first to its present end.
pub(super) fn count(cluster: &Cluster, topic: &str) -> Result<Counted, BenchError> {
    let failed = cluster.failed("reading the topic");
    let mut config = cluster.config();
    config
        .set("group.id", "stockpulse-bench")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS);
    let consumer: BaseConsumer = config.create().map_err(&failed)?;
    let mut ends = BTreeMap::new();
    let mut start = TopicPartitionList::new();
    for (partition, low, high) in cluster.bounds(topic)? {
        start
            .add_partition_offset(topic, partition, Offset::Offset(low))
            .map_err(&failed)?;
        if low < high {
            ends.insert(partition, high);
        }
    }
    consumer.assign(&start).map_err(&failed)?;
    let mut counted = Counted {
        messages: 0,
        bytes: 0,
    };
    let mut quiet_since = None;
    while !ends.is_empty() {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if quiet_since.get_or_insert_with(Instant::now).elapsed() > STALL_TIMEOUT {
                let text = format!("topic {topic} at {} has stopped coming", cluster.broker);
                return Err(BenchError::Failed(text));
            }
            continue;
        };
        quiet_since = None;
        let message = message.map_err(&failed)?;
        counted.messages += 1;
        counted.bytes += (message.key_len() + message.payload_len()) as u64;
        let partition = message.partition();
        if ends
            .get(&partition)
            .is_some_and(|&end| message.offset() + 1 >= end)
        {
            ends.remove(&partition);
        }
    }
    Ok(counted)
}
