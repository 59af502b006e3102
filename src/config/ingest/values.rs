//! What the values of properties and flags mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::properties::{Properties, Property};
use super::{LONGEST_NAME, UsageError, known};
use crate::model::parse_duration;

/// Letters of a topic's name at the most; Kafka's rule.
const LONGEST_TOPIC: usize = 249;
/// Shortest and longest processing time; a shorter one would be all commits.
const PROCESSING_TIMES: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(86_400)];

/// When micro-batches are committed, and whether the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Read what the topic holds at the start, then end.
    AvailableNow,
    /// Go on until stopped, and commit windows as soon as they can be closed; whatever else there is waits for a second.
    AtOnce,
    /// Go on until stopped; this is the least time between two commits.
    ProcessingTime(Duration),
}

/// Where checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// On an object store, as its URL says, which holds no secret.
    Url(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Folder(path) => write!(f, "{}", path.display()),
            Place::Url(url) => f.write_str(url),
        }
    }
}

/// The codec of Parquet files, as Spark names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// `uncompressed`, `none`
    Uncompressed,
    /// `snappy`
    Snappy,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
    /// `lz4`, `lz4_raw`
    Lz4,
}

/// Where rejects and late ticks are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetters {
    /// In a folder, as Parquet.
    Folder(PathBuf),
    /// In a topic of the job's own brokers, as JSON.
    Topic(String),
}

impl std::fmt::Display for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeadLetters::Folder(path) => path.display().fmt(f),
            DeadLetters::Topic(topic) => write!(f, "kafka:{topic}"),
        }
    }
}

/// `--name`, else `spark.app.name`, else the SQL file's stem.
pub(super) fn job_name(
    flag: Option<&str>,
    properties: &Properties,
    sql: &Path,
) -> Result<String, UsageError> {
    let property = properties.get(known::APP_NAME);
    let (name, place) = match (flag, &property) {
        (Some(flag), _) => (flag.trim(), "--name"),
        (None, Some(property)) => (property.value, known::APP_NAME),
        (None, None) => {
            let stem = sql.file_stem().unwrap_or_default().to_string_lossy();
            return Ok(plain_name(&stem));
        }
    };
    if plain_name(name) == name {
        Ok(name.to_owned())
    } else {
        Err(UsageError(format!(
            "{place} is \"{name}\"; a job's name is letters, digits, - _ and ., begins with a letter or \
             digit and has at most {LONGEST_NAME} of them: {}",
            plain_name(name)
        )))
    }
}

/// The name in the letters that file names and consumer groups can have; never empty.
pub(super) fn plain_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_start_matches(['-', '_', '.']);
    match name {
        "" => "job".to_owned(),
        _ => name.chars().take(LONGEST_NAME).collect(),
    }
}

pub(super) fn trigger(property: &Property) -> Result<Trigger, UsageError> {
    if property.value.eq_ignore_ascii_case("availableNow") {
        return Ok(Trigger::AvailableNow);
    }
    let [shortest, longest] = PROCESSING_TIMES;
    parse_duration(property.value)
        .filter(|time| (shortest..=longest).contains(time))
        .map(Trigger::ProcessingTime)
        .ok_or_else(|| {
            property.wrong(&format!(
                "availableNow, or a time from {shortest:?} to a day such as 1 second or 500 milliseconds"
            ))
        })
}

pub(super) fn positive(property: &Property) -> Result<u64, UsageError> {
    let number = property.value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| property.wrong("a whole number above 0"))
}

pub(super) fn port(property: &Property) -> Result<u16, UsageError> {
    let port = property.value.parse();
    port.map_err(|_| property.wrong("a port, 0 (any free one) to 65535"))
}

pub(super) fn host(property: &Property) -> Result<String, UsageError> {
    match property.value {
        "" => Err(property.wrong("an address to listen on, such as 127.0.0.1 or 0.0.0.0")),
        host => Ok(host.to_owned()),
    }
}

pub(super) fn boolean(property: &Property) -> Result<bool, UsageError> {
    match property.value.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(property.wrong("true or false")),
    }
}

pub(super) fn duration(property: &Property) -> Result<Duration, UsageError> {
    parse_duration(property.value)
        .ok_or_else(|| property.wrong("a length of time such as 10 minutes"))
}

/// `kafka:TOPIC`, or a folder; a folder that is called so is `./kafka:…`.
pub(super) fn dead_letters(property: &Property) -> Result<DeadLetters, UsageError> {
    const WANTED: &str = "a folder of this machine (a path, or file:/// and one), or kafka: and a topic such as kafka:dead_letters";
    let Some(topic) = property.value.strip_prefix("kafka:") else {
        return local_path(property)
            .map(DeadLetters::Folder)
            .map_err(|_| property.wrong(WANTED));
    };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name = (1..=LONGEST_TOPIC).contains(&topic.len()) && !matches!(topic, "." | "..");
    match is_name && topic.chars().all(is_letter) {
        true => Ok(DeadLetters::Topic(topic.to_owned())),
        false => Err(property.wrong(&format!(
            "{WANTED}; a topic's name is 1 to {LONGEST_TOPIC} letters, digits, . _ and -"
        ))),
    }
}

/// A path, a `file:///` URL, or the URL of an object store, which is looked at where it is opened.
pub(super) fn place(property: &Property) -> Result<Place, UsageError> {
    let is_url = property.value.starts_with("s3::")
        || (property.value.split_once("://")).is_some_and(|(scheme, _)| scheme != "file");
    if !is_url {
        return local_path(property).map(Place::Folder);
    }
    // Deliberately without the value, which may hold a login.
    let is_abfs = property.value.starts_with("abfs");
    if property.value.contains('?') || (property.value.contains('@') && !is_abfs) {
        return Err(UsageError(format!(
            "{property} is a URL with a login or a signature in it; these belong into the environment"
        )));
    }
    Ok(Place::Url(property.value.to_owned()))
}

/// A path, or a `file:///` URL.
pub(super) fn local_path(property: &Property) -> Result<PathBuf, UsageError> {
    let path = match property.value.split_once("://") {
        None => property.value,
        Some(("file", path)) if path.starts_with('/') => path,
        Some(_) => return Err(property.wrong("a path of this machine, or file:/// and one")),
    };
    match path {
        "" => Err(property.wrong("a path")),
        _ => Ok(PathBuf::from(path)),
    }
}

/// What Spark takes, as far as it is written here.
pub(super) fn codec(property: &Property) -> Result<Codec, UsageError> {
    match property.value.to_lowercase().as_str() {
        "uncompressed" | "none" => Ok(Codec::Uncompressed),
        "snappy" => Ok(Codec::Snappy),
        "gzip" => Ok(Codec::Gzip),
        "zstd" => Ok(Codec::Zstd),
        "lz4" | "lz4_raw" => Ok(Codec::Lz4),
        _ => Err(property.wrong("zstd, snappy, gzip, lz4, lz4_raw, uncompressed or none")),
    }
}

/// Deliberately no other zone: windows of a day, folders and times would differ from what the name promises.
pub(super) fn time_zone(property: &Property) -> Result<(), UsageError> {
    const UTC: [&str; 8] = [
        "utc", "etc/utc", "gmt", "etc/gmt", "z", "+00:00", "utc+0", "zulu",
    ];
    match UTC.contains(&property.value.to_lowercase().as_str()) {
        true => Ok(()),
        false => Err(property.wrong(
            "UTC: windows, folders and times are UTC; what is shown to people is converted where it is read",
        )),
    }
}
