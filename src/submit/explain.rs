//! `--dry-run` and `--explain`: a job is looked at and not started. Kafka is not asked, and no file but the SQL and
//! the options is opened.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::launch::{LaunchError, Prepared, prepare};
use super::refuse;
use crate::config::ingest::args::IngestArgs;
use crate::config::ingest::{DeadLetters, IngestOptions, StartingOffsets, Trigger};
use crate::config::kafka::KafkaProperties;
use crate::job::{JobError, StartAt, Times, check_rebuild};
use crate::model::Exit;
use crate::query::sql::SqlFile;
use crate::query::{
    Explained, Line, Output, Section, SinkOptions, duration_words, explain, size_words,
};
use crate::sink::{app_id, check_time_pattern, kafka as kafka_sink};
use crate::source::kafka::KafkaTopic;

/// Letters of a line at the most, but for words that are longer.
const LINE_LETTERS: usize = 100;
/// Where the text of a line begins.
const TEXT_COLUMN: usize = 16;

/// Where a plan begins.
const PLAN_COLUMN: usize = 4;
/// Letters of a line of a plan at the least, however far it is set in.
const NODE_LETTERS: usize = 50;

/// What to look at instead of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Whether it could be started.
    DryRun,
    /// All of it.
    Explain,
}

impl Look {
    /// What the command line asks for; to explain says more than a dry run.
    pub fn of(args: &IngestArgs) -> Option<Look> {
        match (args.explain, args.dry_run) {
            (true, _) => Some(Look::Explain),
            (false, true) => Some(Look::DryRun),
            (false, false) => None,
        }
    }
}

/// What `--explain` says of a job that is started.
pub fn explained(options: &IngestOptions, sql: &SqlFile) -> String {
    match prepare(options, sql) {
        Ok(prepared) => explanation(options, &prepared, sql),
        Err(error) => error.to_string(),
    }
}

/// Checks a job as a start would, and says on standard output what was asked for.
pub fn look(look: Look, options: &IngestOptions, sql: &SqlFile) -> ExitCode {
    let prepared = match prepare(options, sql).and_then(|prepared| checked(prepared, options)) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(error.exit(), &error.to_string()),
    };
    let text = match look {
        Look::DryRun => summary(options, &prepared),
        Look::Explain => explanation(options, &prepared, sql),
    };
    // Deliberately: nothing can be done when nobody reads any more.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Done.into()
}

/// What a start finds out only when it opens things, as far as it can be known before.
fn checked(prepared: Prepared, options: &IngestOptions) -> Result<Prepared, LaunchError> {
    if options.rebuild {
        check_rebuild(&prepared.plan)?;
    }
    KafkaTopic::check(&prepared.kafka, &prepared.group).map_err(JobError::from)?;
    for output in &prepared.plan.outputs {
        if let SinkOptions::Kafka(sink) = &output.sink {
            kafka_sink::check(&sink.kafka).map_err(JobError::from)?;
        }
        let pattern = (output.sink.files()).and_then(|files| files.time_pattern.as_deref());
        if let Some(Err(error)) = pattern.map(check_time_pattern) {
            return Err(LaunchError::Usage(error));
        }
    }
    Ok(prepared)
}

/// One line.
fn summary(options: &IngestOptions, prepared: &Prepared) -> String {
    let written = |output: &Output| match &output.sink {
        SinkOptions::Filesystem(files) => {
            format!("writes {} ({})", output.table, files.path.display())
        }
        SinkOptions::Delta(table) => format!("appends to {} ({})", output.table, table.place()),
        SinkOptions::Kafka(_) | SinkOptions::Postgres(_) => {
            format!("writes {} ({})", output.table, output.sink.place())
        }
        SinkOptions::Stdout(_) => format!("prints {}", output.table),
        SinkOptions::Preview { line } => format!("shows the SELECT of line {line}"),
    };
    let letters =
        (options.dead_letters.iter()).map(|place| format!("keeps dead letters in {place}"));
    let outputs: Vec<String> = (prepared.plan.outputs.iter().map(written))
        .chain(letters)
        .collect();
    format!(
        "{} is valid: reads topic {}, {}\n",
        options.sql_path.display(),
        prepared.plan.source.options.topic,
        outputs.join(", ")
    )
}

fn explanation(options: &IngestOptions, prepared: &Prepared, sql: &SqlFile) -> String {
    let Explained {
        mut source,
        mut time,
        mut outputs,
        plans,
    } = explain(&prepared.plan, sql);
    for (section, output) in outputs.iter_mut().zip(&prepared.plan.outputs) {
        if matches!(output.sink, SinkOptions::Delta(_)) {
            section.say(
                "versions",
                format!(
                    "one each commit; its transaction is {:?}, with the epoch as its version",
                    app_id(&options.name, &output.table)
                ),
            );
        }
    }
    kafka(&mut source, &prepared.kafka);
    let mut pipelines = prepared.plan.outputs.iter().map(|output| &output.pipeline);
    let has_windows = pipelines.any(|pipeline| pipeline.windows().is_some());
    source.say("begins", begins(&prepared.start));
    source.say(
        "group",
        match prepared.start {
            StartAt::Group => format!(
                "{}, which is told the offsets, and asked where to begin",
                prepared.group
            ),
            _ => format!(
                "{}, which is told the offsets and never asked",
                prepared.group
            ),
        },
    );
    time.say(
        "future",
        format!(
            "an event time over {} ahead of its Kafka timestamp is {}",
            duration_words(options.max_future_skew),
            match has_windows {
                true => "rejected",
                false => "kept, since no query has windows",
            }
        ),
    );
    let mut text = format!(
        "Job {}, from {}\n",
        options.name,
        options.sql_path.display()
    );
    for section in [source, time].iter().chain(&outputs) {
        show(&mut text, section);
    }
    if let Some(bytes) = options.memory_limit {
        let mut memory = Section::new("Memory");
        let size = size_words(bytes);
        memory.say(
            "limit",
            format!("{size} for open windows and what is computed when they close; the job ends when they take more"),
        );
        show(&mut text, &memory);
    }
    show(&mut text, &commits(options, prepared));
    text += "\nDataFusion's plans, optimised\n";
    for (title, plan) in plans {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {title}\n");
        for line in plan.lines() {
            let node = line.trim_start();
            let before = PLAN_COLUMN + line.len() - node.len();
            let letters = LINE_LETTERS.saturating_sub(before).max(NODE_LETTERS);
            for line in wrapped(node, letters, 4) {
                let _ = writeln!(text, "{:before$}{line}", "");
            }
        }
    }
    text
}

/// How Kafka is reached; of properties only the names, since a value may be a password.
fn kafka(source: &mut Section, kafka: &KafkaProperties) {
    const ISOLATION: &str = "isolation.level";
    source.say("brokers", brokers(&kafka.brokers));
    let committed = (kafka.iter()).any(|pair| pair == (ISOLATION, "read_committed"));
    source.say(
        "messages",
        match committed {
            true => "those of committed transactions",
            false => "all, also of transactions that are open or aborted",
        },
    );
    // Behind the topic, which is the first.
    source.lines[1..].rotate_right(2);
    let properties: Vec<&str> = (kafka.iter())
        .map(|(name, _)| name)
        .filter(|name| *name != ISOLATION)
        .collect();
    if !properties.is_empty() {
        source.say(
            "properties",
            format!("{} (values are not shown)", properties.join(", ")),
        );
    }
}

/// The brokers, without what an address may say of a login.
fn brokers(list: &str) -> String {
    let host = |broker: &str| match broker.rsplit_once('@') {
        Some((_, host)) => host.to_owned(),
        None => broker.trim().to_owned(),
    };
    list.split(',').map(host).collect::<Vec<_>>().join(", ")
}

fn begins(start: &StartAt) -> String {
    let at = match start {
        StartAt::Earliest => "with the earliest message".to_owned(),
        StartAt::Latest => "after the latest message".to_owned(),
        StartAt::Group => "where the consumer group stands".to_owned(),
        StartAt::Since { times, or_latest } => {
            let at = match times {
                Times::All(time) => moment(*time),
                Times::Each(times) => {
                    let times = times.iter();
                    let times =
                        times.map(|(partition, time)| format!("{partition} {}", moment(*time)));
                    format!("partition {}", times.collect::<Vec<_>>().join(", "))
                }
            };
            let absent = match or_latest {
                true => "; where there is none, after the latest message",
                false => "",
            };
            format!("with the first message of {at} or later{absent}")
        }
        StartAt::Offsets(offsets) => {
            let offsets = offsets.iter().map(|(partition, offset)| match *offset {
                StartingOffsets::EARLIEST => format!("{partition} earliest"),
                StartingOffsets::LATEST => format!("{partition} latest"),
                offset => format!("{partition} at {offset}"),
            });
            format!("partition {}", offsets.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{at}, unless a checkpoint says where")
}

fn moment(time_ms: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(time_ms) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        None => format!("{time_ms} ms"),
    }
}

/// What is committed, and when.
fn commits(options: &IngestOptions, prepared: &Prepared) -> Section {
    let outputs = &prepared.plan.outputs;
    let mut section = Section::new("Commits");
    let Some(dir) = &prepared.checkpoint_dir else {
        section.say(
            "checkpoint",
            "none: rows are only shown, and each run begins anew",
        );
        return section;
    };
    section.say("checkpoint", dir.to_string());
    section.say(
        "trigger",
        match options.trigger {
            Trigger::AvailableNow => {
                "available now: what the topic holds at the start, then the job ends".to_owned()
            }
            Trigger::AtOnce => {
                "as soon as a window can be closed, else every second, until stopped".to_owned()
            }
            Trigger::ProcessingTime(time) => {
                format!(
                    "every {} if rows are ready, until stopped",
                    duration_words(time)
                )
            }
        },
    );
    let intervals = outputs
        .iter()
        .filter_map(|output| output.sink.rolling()?.interval);
    if let Some(longest) = intervals.max() {
        section.say(
            "interval",
            format!(
                "rows of all tables wait for at least {} (rolling_policy.interval)",
                duration_words(longest)
            ),
        );
    }
    section.say(
        "exactly once",
        "offsets, watermarks and the names of staged files are one commit, after which the files are published; a restart goes on from it",
    );
    section.say(
        "dead letters",
        match &options.dead_letters {
            None => "rejects and late ticks are counted, and not kept (spark.stockpulse.deadLetters)".to_owned(),
            Some(DeadLetters::Folder(path)) => format!(
                "rejects and late ticks, with their bytes: {}, published with the tables' files",
                path.display()
            ),
            Some(DeadLetters::Topic(topic)) => format!(
                "rejects and late ticks, with their bytes: topic {topic}, a transaction for each commit"
            ),
        },
    );
    if outputs
        .iter()
        .any(|output| matches!(output.sink, SinkOptions::Stdout(_)))
    {
        section.say(
            "stdout",
            "rows are printed before the commit, so that after a crash some come again",
        );
    }
    section
}

fn show(text: &mut String, section: &Section) {
    let _ = write!(text, "\n{}\n", section.title);
    for Line { label, text: said } in &section.lines {
        let mut label = label.as_str();
        for line in wrapped(said, LINE_LETTERS - TEXT_COLUMN, 2) {
            let width = TEXT_COLUMN - 2;
            let _ = writeln!(text, "  {label:width$}{line}");
            label = "";
        }
    }
}

/// Cuts a text at spaces into lines of so many letters; what follows the first is set in. A longer word stays whole.
fn wrapped(text: &str, letters: usize, indent: usize) -> Vec<String> {
    if text.chars().count() <= letters {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let length = line.chars().count() + 1 + word.chars().count();
        if line.trim().is_empty() {
            line += word;
        } else if length <= letters {
            line += " ";
            line += word;
        } else {
            lines.push(line);
            line = format!("{:indent$}{word}", "");
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_goes_on_in_the_next_line() {
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrapped("  a   b", 8, 2), ["  a   b"]);
        assert_eq!(wrapped("abcdefghijkl m", 4, 2), ["abcdefghijkl", "  m"]);
        assert_eq!(wrapped("", 4, 2), [""]);
    }

    #[test]
    fn an_address_is_shown_without_a_login() {
        assert_eq!(brokers("a:1, me:secret@b:2"), "a:1, b:2");
    }
}
