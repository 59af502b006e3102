//! How a pipeline is to be run on an Arroyo cluster: properties and variables that only a cluster reads.

use std::path::PathBuf;
use std::time::Duration;

use super::properties::{Properties, Property};
use super::{UsageError, known, values};
use crate::model::parse_duration;

/// More subtasks than this are a slip of the finger.
const MOST_SUBTASKS: u64 = 4096;
/// Shortest and longest time between two checkpoints; Arroyo's rule.
const CHECKPOINT_INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(86_400)];
/// Certificate authorities that are trusted beside the system's.
const CA_FILE: &str = "STOCKPULSE_CA_FILE";

/// How a pipeline is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArroyoSettings {
    /// Subtasks of each operator, 1 and more; `None`: as many as the topic has partitions.
    pub parallelism: Option<u64>,
    /// Time between two checkpoints, a second to a day; `None`: the trigger's, else the cluster's own.
    pub checkpoint_interval: Option<Duration>,
    /// Certificate authorities (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl ArroyoSettings {
    /// The time, or the nearest one that Arroyo takes as a checkpoint interval.
    pub fn allowed_interval(time: Duration) -> Duration {
        let [shortest, longest] = CHECKPOINT_INTERVALS;
        time.clamp(shortest, longest)
    }
}

pub(super) fn settings(
    properties: &Properties,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ArroyoSettings, UsageError> {
    let ca_file = environment(CA_FILE).filter(|file| !file.is_empty());
    Ok(ArroyoSettings {
        parallelism: properties.read(known::ARROYO_PARALLELISM, parallelism)?,
        checkpoint_interval: properties.read(known::ARROYO_CHECKPOINT_INTERVAL, interval)?,
        ca_file: ca_file.map(PathBuf::from),
    })
}

fn parallelism(property: &Property) -> Result<u64, UsageError> {
    match values::positive(property)? {
        subtasks if subtasks <= MOST_SUBTASKS => Ok(subtasks),
        _ => Err(property.wrong(&format!("a whole number from 1 to {MOST_SUBTASKS}"))),
    }
}

fn interval(property: &Property) -> Result<Duration, UsageError> {
    parse_duration(property.value)
        .filter(|time| ArroyoSettings::allowed_interval(*time) == *time)
        .ok_or_else(|| property.wrong("a time from 1 second to a day, such as 10 seconds"))
}
