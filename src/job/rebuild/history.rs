//! Whether a rebuild would lose history: candles of ticks that Kafka has forgotten since.
//!
//! Where the old checkpoint says from which offsets on the job has read, it is lost if a partition no longer
//! begins there; that is known before anything is read. Where nobody knows (no checkpoint, or one of another
//! topic), a partition that has lost its beginning counts as a loss; if none has, the first instants of the old
//! and of the new generation are compared, before the swap.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::checkpoint::{Checkpoint, GenerationTable};
use crate::job::{JobError, JobSpec};
use crate::model::{NANOS_PER_MILLI, Offsets, Partition};
use crate::sink::SinkError;
use crate::sink::generation;
use crate::source::{Bounds, Event, Topic};

/// Kafka's oldest messages are looked at for so long, for the date in a refusal.
const LOOK: Duration = Duration::from_secs(5);
/// Messages that are looked at together.
const LOOK_FRAMES: usize = 64;

/// What is known of the time before a rebuild.
pub enum History {
    /// Everything that the old generation was made of is there, or there is no old generation.
    Retained,
    /// Some of it is gone: what, and back to when each table goes and Kafka goes.
    Gone(String),
    /// Not known; per table the old generation's first instant.
    Unknown(Vec<(GenerationTable, Option<i64>)>),
}

/// Compares what the old generation was made of with what the new one will be, `reach`.
pub fn look_back(
    old: Option<&Checkpoint>,
    topic: &dyn Topic,
    reach: &BTreeMap<Partition, Bounds>,
    tables: &[GenerationTable],
) -> Result<History, JobError> {
    let mut filled = Vec::new();
    for table in tables {
        if generation::holds_files(&table.dir)? {
            filled.push(table);
        }
    }
    if filled.is_empty() {
        return Ok(History::Retained);
    }
    let old = old.filter(|old| {
        let is_known = |partition| old.since.contains_key(partition);
        old.topic == topic.name() && old.partitions.keys().all(is_known)
    });
    let lost: Vec<String> = match old {
        Some(old) => (old.partitions.iter())
            .filter_map(|(&at, state)| lost_since(old.since[&at], state.next, at, reach))
            .collect(),
        None => (reach.iter())
            .filter(|(_, bounds)| bounds.low > 0)
            .map(|(at, bounds)| {
                let low = bounds.low;
                format!("partition {at} begins at offset {low}, and no checkpoint says where the job began")
            })
            .collect(),
    };
    let survey = |table: &GenerationTable| generation::survey(&table.dir);
    if lost.is_empty() && old.is_some() {
        return Ok(History::Retained);
    }
    if lost.is_empty() {
        let oldest = |table: &&GenerationTable| Ok(((*table).clone(), survey(table)?.oldest));
        let oldest: Result<_, SinkError> = filled.iter().map(oldest).collect();
        return Ok(History::Unknown(oldest?));
    }
    let mut text = lost.join("; ");
    for table in filled {
        let since = since(survey(table)?.oldest);
        text.push_str(&format!(". {} holds rows{since}", table.dir.display()));
    }
    match oldest_message(topic, &topic.bounds()?)? {
        Some(nanos) => text.push_str(&format!("; Kafka's oldest message is of {}", date(nanos))),
        None => text.push_str("; Kafka holds no message now"),
    }
    Ok(History::Gone(text))
}

/// What of `since..next` a partition has lost.
fn lost_since(
    since: i64,
    next: i64,
    partition: Partition,
    bounds: &BTreeMap<Partition, Bounds>,
) -> Option<String> {
    match bounds.get(&partition) {
        _ if since >= next => None,
        None => Some(format!("partition {partition} is gone")),
        Some(bounds) if next > bounds.high => Some(format!(
            "partition {partition}: offset {next} was read before, but the topic ends at {}: it may have been deleted and created again",
            bounds.high
        )),
        Some(bounds) if since < bounds.low => Some(format!(
            "partition {partition}: offsets {since} to {} are gone",
            next.min(bounds.low) - 1
        )),
        Some(_) => None,
    }
}

impl History {
    /// Refuses a rebuild that is known to lose history; before anything is read.
    pub fn check_before(&self, spec: &JobSpec, topic: &str) -> Result<(), JobError> {
        let History::Gone(gone) = self else {
            return Ok(());
        };
        let what = format!("topic {topic} no longer holds what the candles were made of: {gone}");
        refuse(&what, !spec.fail_on_data_loss)
    }

    /// Refuses one that turns out to reach less far back, where nothing else was known.
    pub fn check_after(&self, tables: &[GenerationTable], may_lose: bool) -> Result<(), JobError> {
        let History::Unknown(before) = self else {
            return Ok(());
        };
        for (table, oldest) in before {
            let Some(now) = tables.iter().find(|now| now.table == table.table) else {
                continue;
            };
            let rebuilt = generation::survey(&now.rebuilt)?;
            let reaches_back = match (rebuilt.oldest, oldest) {
                (Some(now), Some(before)) => now <= *before,
                // Without a TIMESTAMP column nobody can say, and without a row everything is lost.
                _ => false,
            };
            if !reaches_back {
                let what = format!(
                    "{} holds rows{}, and the rebuilt one {} rows{}",
                    table.dir.display(),
                    since(*oldest),
                    rebuilt.rows,
                    since(rebuilt.oldest)
                );
                refuse(&what, may_lose)?;
            }
        }
        Ok(())
    }
}

fn refuse(what: &str, may_lose: bool) -> Result<(), JobError> {
    if may_lose {
        tracing::warn!("the rebuild reaches less far back than the table: {what}");
        return Ok(());
    }
    Err(JobError::DataLoss(format!(
        "a rebuild would take candles out of the table that cannot be computed again: {what}. Nothing was changed. Swap it in nevertheless by --conf spark.stockpulse.failOnDataLoss=false (the candles of before are kept beside the table), or give the table another path and the job another checkpoint location"
    )))
}

/// ` since DATE`, or nothing where it is not known.
pub fn since(oldest: Option<i64>) -> String {
    oldest.map_or(String::new(), |nanos| format!(" since {}", date(nanos)))
}

fn date(nanos: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanos);
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Kafka's timestamp of the oldest message, nanoseconds; `None`: there is none, or it was not there in time.
fn oldest_message(
    topic: &dyn Topic,
    bounds: &BTreeMap<Partition, Bounds>,
) -> Result<Option<i64>, JobError> {
    let filled = bounds.iter().filter(|(_, bounds)| bounds.low < bounds.high);
    let mut start = Offsets(
        filled
            .map(|(&partition, bounds)| (partition, bounds.low))
            .collect(),
    );
    let mut oldest: Option<i64> = None;
    if start.0.is_empty() {
        return Ok(None);
    }
    let mut source = topic.open(&start)?;
    let begun = Instant::now();
    while !start.0.is_empty() && begun.elapsed() < LOOK {
        source.poll(LOOK_FRAMES, LOOK / 10, &mut |event| match event {
            Event::Frame(frame) => {
                if start.0.remove(&frame.partition).is_some() {
                    let nanos = frame
                        .timestamp_ms
                        .and_then(|ms| ms.checked_mul(NANOS_PER_MILLI));
                    oldest = [oldest, nanos].into_iter().flatten().min();
                }
            }
            Event::CaughtUp { partition, .. } => {
                start.0.remove(&partition);
            }
            Event::OutOfSight { .. } => {}
        })?;
    }
    Ok(oldest)
}
