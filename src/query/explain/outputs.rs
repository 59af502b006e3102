//! What is said of one INSERT: where its rows go, what is computed, what is held in memory.

use datafusion::logical_expr::Expr;

use super::super::lowering::column_name;
use super::super::plan::{JobPlan, Output};
use super::super::sinks::SinkOptions;
use super::super::sql::{
    CommitMode, FilesystemSinkOptions, KafkaSinkOptions, ParquetCompression, SqlFile,
};
use super::Section;
use super::expression::sql;
use super::held::Held;
use super::plans::AbovePlan;
use super::postgres::postgres;
use super::steps::{Names, Steps};
use super::words::{counted, duration_words, nanos_words, size_words};
use crate::window::Windows;

/// How an aggregate is held stands beside it, or below one that is longer than this.
const ALIGNED_LETTERS: usize = 48;

/// An INSERT of the job.
pub fn output(plan: &JobPlan, output: &Output, file: &SqlFile) -> Section {
    let mut section = sink(output);
    let plans = output.pipeline.plans();
    let names = Names {
        element: plans.element.clone(),
        ..Names::default()
    };
    let (steps, _) = Steps::of(&plans.below, file, &[], names);
    section.list("each batch", numbered(steps), "nothing to do");
    match (&plans.above, output.pipeline.windows()) {
        (Some(above), Some(windows)) => {
            windowed(&mut section, plan, output, file, above, windows);
        }
        _ => {
            let once = match output.sink.folder().is_some() || output.sink.remote().is_some() {
                true => "; each once, by its offset",
                false => "",
            };
            let rows = "leave as they come, without a window, in the order of each partition";
            section.say("rows", format!("{rows}{once}"));
        }
    }
    section
}

/// Where the rows go.
fn sink(output: &Output) -> Section {
    match &output.sink {
        SinkOptions::Filesystem(options) => {
            let path = options.path.display();
            let mut section = Section::new(format!("INSERT INTO {} → {path}", output.table));
            files(&mut section, output, options);
            section
        }
        SinkOptions::Postgres(options) => {
            let place = options.place();
            let mut section = Section::new(format!("INSERT INTO {} → {place}", output.table));
            postgres(&mut section, output, options);
            section
        }
        SinkOptions::Delta(options) => {
            let place = options.place();
            let mut section = Section::new(format!("INSERT INTO {} → {place}", output.table));
            files(&mut section, output, &options.files);
            section
        }
        SinkOptions::Kafka(options) => {
            let place = options.place();
            let mut section = Section::new(format!("INSERT INTO {} → {place}", output.table));
            messages(&mut section, output, options);
            section
        }
        SinkOptions::Stdout(_) => {
            let mut section = Section::new(format!("INSERT INTO {} → stdout", output.table));
            section.say("format", "a JSON object a line, on standard output");
            section
        }
        SinkOptions::Preview { line } => {
            let mut section = Section::new(format!("SELECT of line {line} → preview"));
            section.say("format", "a table on standard output");
            section
        }
    }
}

fn messages(section: &mut Section, output: &Output, options: &KafkaSinkOptions) {
    section.say("brokers", options.kafka.brokers.clone());
    section.say("format", "a JSON object a message");
    let mode = match options.commit_mode {
        CommitMode::ExactlyOnce => {
            "who reads committed messages sees each row once, also across crashes"
        }
        CommitMode::AtLeastOnce => {
            "a crash may repeat the rows of one commit; 'sink.commit_mode' = 'exactly_once' sends each once"
        }
    };
    section.say("mode", format!("{}: {mode}", options.commit_mode.as_str()));
    section.say(
        "key",
        match options.key() {
            Some(column) => format!("{column}, as text: its rows are in one partition, in order"),
            None => "none: rows are spread over the partitions".to_owned(),
        },
    );
    section.say(
        "timestamp",
        match (options.time(), output.pipeline.windows()) {
            (Some(column), _) => column.to_owned(),
            (None, Some(_)) => "the window's last millisecond".to_owned(),
            (None, None) => "the row's event time".to_owned(),
        },
    );
}

fn files(section: &mut Section, output: &Output, options: &FilesystemSinkOptions) {
    let codec = match options.compression.unwrap_or_default() {
        ParquetCompression::Uncompressed => "uncompressed",
        ParquetCompression::Snappy => "snappy",
        ParquetCompression::Gzip => "gzip",
        ParquetCompression::Zstd => "zstd",
        ParquetCompression::Lz4 => "lz4",
    };
    let size = options.rolling_bytes.map_or_else(String::new, |bytes| {
        format!(", a new one at {}", size_words(bytes))
    });
    section.say("files", format!("Parquet, {codec}{size}"));
    let of = match output.pipeline.windows() {
        Some(_) => "of the window's last instant",
        None => "of the row's event time",
    };
    let pattern = options.time_pattern.as_ref();
    let pattern = pattern.map(|pattern| format!("{pattern} {of} (UTC)"));
    let fields = options.partition_names().into_iter();
    let fields = fields.map(|field| format!("{field}=… (not in the files)"));
    let directories: Vec<String> = pattern.into_iter().chain(fields).collect();
    section.say(
        "directories",
        match directories.is_empty() {
            true => "none, files stand in the folder itself".to_owned(),
            false => directories.join(", in it "),
        },
    );
    let by: Vec<&str> = (output.sort_columns.iter())
        .map(|&at| output.schema.field(at).name().as_str())
        .collect();
    section.say(
        "sorted by",
        match by.is_empty() {
            true => "nothing, rows stay in their order".to_owned(),
            false => by.join(", "),
        },
    );
    let earlier = options.rolling_inactivity.map_or_else(String::new, |wait| {
        format!(", unless nothing new came for {}", duration_words(wait))
    });
    section.say(
        "interval",
        match options.rolling_interval {
            Some(interval) => {
                format!(
                    "at least {} between two files{earlier}",
                    duration_words(interval)
                )
            }
            None => "a file each commit".to_owned(),
        },
    );
}

fn windowed(
    section: &mut Section,
    plan: &JobPlan,
    output: &Output,
    file: &SqlFile,
    above: &AbovePlan,
    windows: Windows,
) {
    let aggregate = &above.aggregate;
    let schema = aggregate.input.schema();
    let names: Vec<String> = (schema.fields().iter())
        .map(|field| field.name().clone())
        .collect();
    let text = |expr: &Expr| sql(expr, schema, &names);
    let mut keys: Vec<String> = aggregate.group_expr.iter().map(text).collect();
    keys[above.window_at] = "window".to_owned();
    let functions: Vec<String> = aggregate.aggr_expr.iter().map(text).collect();
    let rows = [keys.clone(), functions.clone()].concat();
    // Once to learn what the SQL calls things, then to tell it with those names.
    let unnamed: Vec<String> = (0..rows.len()).map(column_name).collect();
    let names = Steps::of(&above.plan, file, &unnamed, Names::default()).1;
    let mut named = rows;
    let mut labels: Vec<&str> = vec![""; named.len()];
    for (at, name) in names.rows.iter().rev() {
        labels[*at] = name;
        if *at != above.window_at {
            named[*at].clone_from(name);
        }
    }
    section.say("window", window(windows));
    keys.remove(above.window_at);
    section.say(
        "keys",
        match keys.is_empty() {
            true => "none but the window".to_owned(),
            false => keys.join(", "),
        },
    );
    let held = output.pipeline.held();
    let labels = &labels[aggregate.group_expr.len()..];
    section.list("aggregates", aligned(labels, &functions, &held), "none");
    let (steps, _) = Steps::of(&above.plan, file, &named, names.clone());
    let mut steps = numbered(steps);
    if output.pipeline.plans_windows() {
        steps.insert(
            0,
            "a DataFusion plan is run for each window, see below:".to_owned(),
        );
    }
    section.list("at the close", steps, "nothing to do");
    memory(section, plan, windows, &keys, &functions, &held);
}

fn window(windows: Windows) -> String {
    let width = nanos_words(windows.width());
    match windows.overlap() {
        1 => format!("tumble {width}, aligned to 1970 UTC"),
        overlap => format!(
            "hop {width} every {}, aligned to 1970 UTC: a tick is in {overlap} windows",
            nanos_words(windows.slide()),
        ),
    }
}

/// The aggregates as a table: what the SQL calls it, what it is, how it is held.
fn aligned(labels: &[&str], functions: &[String], held: &[Held]) -> Vec<String> {
    let letters = |text: &str| text.chars().count();
    let label_width = labels.iter().map(|label| letters(label)).max().unwrap_or(0);
    let widths = functions.iter().map(|function| letters(function));
    let width = widths.filter(|width| *width <= ALIGNED_LETTERS).max();
    let width = width.unwrap_or(0);
    let rows = labels.iter().zip(functions).zip(held);
    let mut lines = Vec::new();
    for ((label, function), held) in rows {
        let label = match label_width {
            0 => String::new(),
            width => format!("{label:width$}  "),
        };
        if letters(function) > ALIGNED_LETTERS {
            lines.push(format!("{label}{function}"));
            lines.push(format!(
                "{:1$}{2}",
                "",
                width + letters(&label) + 2,
                held.words()
            ));
        } else {
            lines.push(format!("{label}{function:width$}  {}", held.words()));
        }
    }
    lines
}

/// What is held until windows close, and warnings where that grows.
fn memory(
    section: &mut Section,
    plan: &JobPlan,
    windows: Windows,
    keys: &[String],
    functions: &[String],
    held: &[Held],
) {
    let delay = plan.source.watermark.delay;
    let behind = delay / windows.slide() + i64::from(delay % windows.slide() > 0);
    let open = windows.overlap() + behind;
    let per = match keys {
        [] => " and partition",
        [_] => ", partition and key",
        _ => ", partition and keys",
    };
    section.say(
        "in memory",
        format!(
            "the aggregates of each open window{per}; about {} open at once",
            counted(open.unsigned_abs().into(), "window")
        ),
    );
    for (function, held) in functions.iter().zip(held) {
        if let Some(warning) = held.warning() {
            let copies = match windows.overlap() {
                1 => String::new(),
                overlap => format!(", in each of the {overlap} windows of a tick"),
            };
            section.say("WARNING", format!("{function} {warning}{copies}"));
        }
    }
}

fn numbered(steps: Vec<String>) -> Vec<String> {
    let steps = steps.into_iter().enumerate();
    steps
        .map(|(at, step)| format!("{}. {step}", at + 1))
        .collect()
}
