//! How many subtasks a pipeline gets: Arroyo's watermark is per subtask, so as many as its topic has partitions.

use std::time::{Duration, Instant};

use tracing::warn;

use super::Failure;
use super::signals::Signals;
use crate::config::ingest::IngestOptions;
use crate::query::sql::{Connector, KafkaSourceOptions, SqlFile, Statement};
use crate::source::Topic;
use crate::source::kafka::KafkaTopic;

/// How long the broker is asked when the answer is needed.
const NEEDED: Duration = Duration::from_secs(15);
/// How long it is asked when the answer only serves a warning.
const USEFUL: Duration = Duration::from_secs(5);
/// Why less subtasks than partitions are wrong.
const WHY: &str = "Arroyo's watermark is one for each subtask, so what a subtask reads of a second partition is \
    dropped as late when it catches up";

/// The Kafka topics that the file reads, where the local engine understands it.
pub(super) fn sources(sql: Option<&SqlFile>) -> Vec<KafkaSourceOptions> {
    let statements = sql.map_or(&[][..], |sql| &sql.statements);
    let sources = statements.iter().filter_map(|statement| match statement {
        Statement::CreateTable(table) => match &table.connector {
            Connector::KafkaSource(source) => Some(source.clone()),
            _ => None,
        },
        _ => None,
    });
    sources.collect()
}

/// The parallelism of a pipeline: as told, else the partitions of its topic. `running`: that of the same pipeline, if
/// it is there already.
///
/// # Errors
/// It was not told, and the topic cannot be asked.
pub(super) async fn parallelism(
    options: &IngestOptions,
    told: Option<u64>,
    running: Option<u64>,
    sql: Option<&SqlFile>,
    signals: &Signals,
) -> Result<u64, Failure> {
    let sources = sources(sql);
    let limit = match told.or(running) {
        Some(_) => USEFUL,
        None => NEEDED,
    };
    let mut most: Option<(u64, String)> = None;
    let mut unknown = None;
    for source in &sources {
        match partitions(options, source, limit, signals).await {
            Ok(count) if most.as_ref().is_none_or(|(most, _)| count > *most) => {
                most = Some((count, source.topic.clone()));
            }
            Ok(_) => {}
            Err(why) => unknown = Some((&source.topic, why)),
        }
    }
    match (told.or(running), most, unknown) {
        (Some(told), most, unknown) => {
            if let Some((partitions, topic)) = most.filter(|(partitions, _)| *partitions > told) {
                warn!(
                    "a parallelism of {told} is less than the {partitions} partitions of topic {topic}: {WHY}"
                );
            } else if let Some((topic, why)) = unknown {
                warn!(
                    "whether a parallelism of {told} is enough for topic {topic} is not known: {why}"
                );
            }
            Ok(told)
        }
        (None, _, Some((topic, why))) => Err(Failure::Partitions(format!(
            "how many partitions topic {topic} has is not known here: {why}; say how many subtasks the pipeline \
             gets, at least one for each partition: --conf spark.stockpulse.arroyo.parallelism=4 ({WHY})"
        ))),
        (None, Some((partitions, _)), None) => Ok(partitions),
        (None, None, None) => {
            warn!(
                "the parallelism is 1, since no topic is known whose partitions could be counted; \
                 spark.stockpulse.arroyo.parallelism changes it"
            );
            Ok(1)
        }
    }
}

/// Asks the broker from here.
async fn partitions(
    options: &IngestOptions,
    source: &KafkaSourceOptions,
    limit: Duration,
    signals: &Signals,
) -> Result<u64, String> {
    let kafka = options.kafka(&source.bootstrap_servers, &source.kafka_properties());
    let (topic, signals) = (source.topic.clone(), signals.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let since = Instant::now();
        let stop = || signals.came() || since.elapsed() >= limit;
        let group = "stockpulse-partitions";
        match KafkaTopic::connect(&kafka, &topic, group, limit, &stop) {
            Ok(Some(topic)) => topic
                .partition_count()
                .ok_or_else(|| "the broker does not say so".to_owned()),
            Ok(None) => Err("the broker does not answer, or has no such topic".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    });
    match asked.await {
        Ok(count) => count.map(|count| count as u64),
        Err(_) => Err("asking the broker failed".to_owned()),
    }
}
