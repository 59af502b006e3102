//! Where reading starts when there is no checkpoint: offsets or times, as Spark's Kafka source takes them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::properties::{Properties, Property};
use super::{UsageError, known};
use crate::model::Partition;

/// A number for each partition of each topic.
type ByPartition = BTreeMap<String, BTreeMap<Partition, i64>>;

/// Where reading starts when there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingOffsets {
    /// At the first message that is retained.
    Earliest,
    /// After the last message.
    Latest,
    /// Per topic and partition; [`StartingOffsets::EARLIEST`] and [`StartingOffsets::LATEST`] may stand
    /// for an offset.
    Map(ByPartition),
    /// At the first message of each partition whose Kafka timestamp is not before this.
    Since {
        /// Milliseconds since 1970 UTC.
        time_ms: i64,
        /// Where a partition has no such message.
        absent: Absent,
    },
    /// The same with a time for each partition of each topic.
    SinceEach {
        /// Milliseconds since 1970 UTC.
        times_ms: ByPartition,
        /// Where a partition has no such message.
        absent: Absent,
    },
}

/// What is done where no message is as young as was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The job does not start.
    Refuse,
    /// Reading starts after the last message.
    Latest,
}

impl StartingOffsets {
    /// Stands for the first retained offset in a map, as in Spark.
    pub const EARLIEST: i64 = -2;
    /// Stands for the offset after the last message in a map, as in Spark.
    pub const LATEST: i64 = -1;
}

/// What the properties say; of several, as in Spark, a time for all beats times, which beat offsets. Says which have
/// no effect.
pub(super) fn starting(
    properties: &Properties,
    warnings: &mut Vec<String>,
) -> Result<Option<StartingOffsets>, UsageError> {
    let absent = properties.read(known::BY_TIMESTAMP_STRATEGY, absent)?;
    let time = properties.read(known::STARTING_TIMESTAMP, time)?;
    let times = properties.read(known::STARTING_BY_TIMESTAMP, times)?;
    let offsets = properties.read(known::STARTING_OFFSETS, offsets)?;
    let mut beaten = |names: &[&'static str], by: &str| {
        for property in names.iter().filter_map(|name| properties.get(name)) {
            warnings.push(format!("{property} has no effect beside {by}"));
        }
    };
    let or_refuse = absent.unwrap_or(Absent::Refuse);
    Ok(match (time, times) {
        (Some(time_ms), _) => {
            let others = [known::STARTING_BY_TIMESTAMP, known::STARTING_OFFSETS];
            beaten(&others, known::STARTING_TIMESTAMP);
            Some(StartingOffsets::Since {
                time_ms,
                absent: or_refuse,
            })
        }
        (None, Some(times_ms)) => {
            beaten(&[known::STARTING_OFFSETS], known::STARTING_BY_TIMESTAMP);
            Some(StartingOffsets::SinceEach {
                times_ms,
                absent: or_refuse,
            })
        }
        (None, None) => {
            if let Some(property) = properties.get(known::BY_TIMESTAMP_STRATEGY) {
                warnings.push(format!(
                    "{property} has no effect without {} or {}",
                    known::STARTING_TIMESTAMP,
                    known::STARTING_BY_TIMESTAMP
                ));
            }
            offsets
        }
    })
}

fn offsets(property: &Property) -> Result<StartingOffsets, UsageError> {
    if property.value.eq_ignore_ascii_case("earliest") {
        return Ok(StartingOffsets::Earliest);
    }
    if property.value.eq_ignore_ascii_case("latest") {
        return Ok(StartingOffsets::Latest);
    }
    by_partition(property, StartingOffsets::EARLIEST)
        .map(StartingOffsets::Map)
        .ok_or_else(|| {
            property.wrong(
                "earliest, latest, or offsets by topic and partition such as \
                 {\"raw_ticks\":{\"0\":23,\"1\":-2}} (-2 is earliest, -1 latest)",
            )
        })
}

fn times(property: &Property) -> Result<ByPartition, UsageError> {
    by_partition(property, 0).ok_or_else(|| {
        property.wrong(
            "milliseconds since 1970 by topic and partition such as {\"raw_ticks\":{\"0\":1700000000000}}",
        )
    })
}

fn time(property: &Property) -> Result<i64, UsageError> {
    let time: Option<i64> = json(property);
    time.filter(|time| *time >= 0)
        .ok_or_else(|| property.wrong("milliseconds since 1970 such as 1700000000000"))
}

fn absent(property: &Property) -> Result<Absent, UsageError> {
    match property.value.to_lowercase().as_str() {
        "error" => Ok(Absent::Refuse),
        "latest" => Ok(Absent::Latest),
        _ => Err(property.wrong("error or latest")),
    }
}

fn by_partition(property: &Property, least: i64) -> Option<ByPartition> {
    let map: ByPartition = json(property)?;
    let is_sound = |numbers: &BTreeMap<Partition, i64>| {
        let mut numbers = numbers.iter();
        numbers.all(|(partition, number)| *partition >= 0 && *number >= least)
    };
    map.values().all(is_sound).then_some(map)
}

fn json<T: DeserializeOwned>(property: &Property) -> Option<T> {
    serde_json::from_str(property.value).ok()
}
