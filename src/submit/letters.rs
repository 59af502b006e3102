//! `spark.stockpulse.deadLetters` held against what the job reads and writes.

use std::path::{Path, PathBuf};

use super::launch::LaunchError;
use crate::config::ingest::{self, IngestOptions};
use crate::config::kafka::KafkaProperties;
use crate::job::{DEAD_LETTERS, DeadLetters};
use crate::query::{JobPlan, SinkOptions, same_brokers};
use crate::sink::kafka::TopicAddress;

/// Where the job's dead letters go; `None`: they are counted only.
///
/// # Errors
/// [`LaunchError::Usage`] for a place that makes no sense for this job.
pub fn dead_letters(
    options: &IngestOptions,
    plan: &JobPlan,
    kafka: &KafkaProperties,
    checkpoint_dir: Option<&Path>,
) -> Result<Option<DeadLetters>, LaunchError> {
    let Some(told) = &options.dead_letters else {
        return Ok(None);
    };
    let refuse = |why: String| Err(LaunchError::Usage(format!("{DEAD_LETTERS}={told}: {why}")));
    let Some(checkpoint_dir) = checkpoint_dir else {
        return refuse(
            "the SQL only shows rows, and nothing is kept of such a job; INSERT INTO a table"
                .to_owned(),
        );
    };
    match told {
        ingest::DeadLetters::Folder(folder) => {
            let tables = plan.outputs.iter().filter_map(|output| {
                Some((format!("table \"{}\"", output.table), output.sink.folder()?))
            });
            let checkpoint = ("the checkpoint".to_owned(), checkpoint_dir);
            for (what, other) in tables.chain([checkpoint]) {
                if overlap(folder, other) {
                    return refuse(format!(
                        "that is the folder of {what} ({}), or in it, or around it; give dead letters a folder of their own, beside it",
                        other.display()
                    ));
                }
            }
            if folder.file_name().is_none() {
                return refuse(
                    "staged files need a folder beside it; name a folder below it".to_owned(),
                );
            }
            Ok(Some(DeadLetters::Folder(folder.clone())))
        }
        ingest::DeadLetters::Topic(topic) => {
            if *topic == plan.source.options.topic {
                return refuse(
                    "that is the topic that the job reads, so it would read its own dead letters; give them a topic of their own".to_owned(),
                );
            }
            let is_written = plan.outputs.iter().find(|output| match &output.sink {
                SinkOptions::Kafka(sink) => {
                    sink.topic == *topic && same_brokers(&sink.kafka.brokers, &kafka.brokers)
                }
                _ => false,
            });
            if let Some(output) = is_written {
                return refuse(format!(
                    "that is the topic of table \"{}\"; give dead letters a topic of their own",
                    output.table
                ));
            }
            if options.rebuild {
                return refuse(
                    "a rebuild computes dead letters again, and what is in a topic cannot be replaced; let the job catch up and stop it, rebuild without this property, then go on with it".to_owned(),
                );
            }
            Ok(Some(DeadLetters::Topic(Box::new(TopicAddress {
                topic: topic.clone(),
                kafka: kafka.clone(),
            }))))
        }
    }
}

/// Whether one is the other, or in it, whatever links and dots they are written with.
fn overlap(one: &Path, other: &Path) -> bool {
    let (one, other) = (real(one), real(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// The path without links and dots, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                real.pop();
            }
            part => real.push(part),
        }
        if let Ok(found) = real.canonicalize() {
            real = found;
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_overlap_however_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("data/ohlc")).unwrap();
        std::os::unix::fs::symlink(at("data/ohlc"), at("link")).unwrap();
        for (one, other, expected) in [
            ("data/ohlc", "data/ohlc/", true),
            ("data/ohlc/dead", "data/ohlc", true),
            ("data", "data/ohlc", true),
            ("data/x/../ohlc", "data/./ohlc", true),
            ("link/dead", "data/ohlc", true),
            ("data/dead", "data/ohlc", false),
            ("data/ohlc-dead", "data/ohlc", false),
        ] {
            assert_eq!(overlap(&at(one), &at(other)), expected, "{one} {other}");
        }
    }
}
