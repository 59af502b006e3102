//! What is said of the source: its topic and columns, and event time.

use std::time::Duration;

use datafusion::sql::sqlparser::ast;

use super::super::plan::{JobPlan, SourcePlan};
use super::super::sql::{BadData, ColumnKind, FrameFormat, TableDef};
use super::super::stream::FrameColumn;
use super::Section;
use super::words::{counted, duration_words, nanos_words};

/// The stream that is read, as far as the SQL says it. `table` is its declaration.
pub fn source(source: &SourcePlan, table: Option<&TableDef>) -> Section {
    let mut section = Section::new(format!("Source {}", source.table));
    section.say("topic", &source.options.topic);
    section.say(
        "format",
        match source.options.format {
            FrameFormat::Json => "json: one object a message",
            FrameFormat::RawString => "raw_string: a message is one text",
        },
    );
    section.say(
        "bad data",
        match source.options.bad_data {
            BadData::Drop => "drop: what is not of the declared shape is counted and left out",
            BadData::Fail => "fail: what is not of the declared shape stops the job",
        },
    );
    let names: Vec<&str> = (source.decoded.fields().iter())
        .map(|field| field.name().as_str())
        .collect();
    let declared = table.map_or(names.len(), |table| {
        let physical = |kind: &ColumnKind| matches!(kind, ColumnKind::Physical);
        (table.columns.iter())
            .filter(|column| physical(&column.kind))
            .count()
    });
    section.say(
        "decoded",
        format!(
            "{} of {}{}{}",
            names.len(),
            counted(declared as u128, "declared column"),
            if names.is_empty() { "" } else { ": " },
            names.join(", ")
        ),
    );
    let metadata: Vec<&str> = (source.frame_columns.iter())
        .map(|column| metadata(*column))
        .collect();
    section.say(
        "metadata",
        match metadata.is_empty() {
            true => "none".to_owned(),
            false => metadata.join(", "),
        },
    );
    section
}

/// What a column that is known of a message is, in words.
pub fn metadata(column: FrameColumn) -> &'static str {
    match column {
        FrameColumn::KafkaTime => "Kafka's timestamp",
        FrameColumn::KafkaMillis => "timestamp",
        FrameColumn::Offset => "offset_id",
        FrameColumn::Partition => "partition",
        FrameColumn::Topic => "topic",
        FrameColumn::Key => "key",
    }
}

/// Event time.
pub fn time(plan: &JobPlan, table: Option<&TableDef>) -> Section {
    let source = &plan.source;
    let mut section = Section::new("Time");
    let declared = table.and_then(|table| table.watermark.as_ref());
    section.say(
        "watermark",
        match declared.map(|watermark| (&watermark.column, &watermark.expr)) {
            Some((column, Some(expr))) => format!("for {column}: {}", without_brackets(expr)),
            Some((column, None)) => format!("{column} itself"),
            None => format!(
                "Kafka's timestamp - INTERVAL '{}', since the table has no WATERMARK FOR",
                nanos_words(source.watermark.delay)
            ),
        },
    );
    section.say(
        "delay",
        match source.watermark.delay {
            0 => "none: the expression subtracts no interval".to_owned(),
            delay => nanos_words(delay),
        },
    );
    section.say("idle", idle(source.options.idle));
    let windowed = (plan.outputs.iter()).any(|output| output.pipeline.windows().is_some());
    section.say(
        "late",
        match windowed {
            true => {
                "a tick whose window's end is not after the watermark that its partition had before its message: counted, not added"
            }
            false => "nothing, since no query has windows",
        },
    );
    section
}

fn without_brackets(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => without_brackets(inner),
        other => other,
    }
}

fn idle(after: Option<Duration>) -> String {
    match after {
        Some(after) => format!(
            "a partition that is read to its end and silent for {} leaves the watermark; when all are, the wall clock closes windows",
            duration_words(after)
        ),
        None => "never (idle_micros): a silent partition keeps the windows of all of them open"
            .to_owned(),
    }
}
