//! `connector = 'stdout'`: rows are printed, one JSON object a line.

use super::super::options::Options;
use super::super::parser::Reader;

/// Options that Arroyo has for this sink and its format, and the local engine does not run.
const NOT_RUN: [&str; 5] = [
    "connection_profile",
    "framing",
    "framing.",
    "idle_micros",
    "json.",
];

/// How a TIMESTAMP is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `RFC3339`, the default: text, `2019-12-05T06:18:00`, without a zone, UTC.
    #[default]
    Rfc3339,
    /// `UnixMillis`, `unix_millis`: a number.
    UnixMillis,
}

/// How a DECIMAL is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalEncoding {
    /// `number`, the default.
    #[default]
    Number,
    /// `string`
    String,
}

/// How rows are printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StdoutSinkOptions {
    /// Timestamps.
    pub timestamps: TimestampFormat,
    /// Decimals.
    pub decimals: DecimalEncoding,
}

impl StdoutSinkOptions {
    pub(super) fn canonical(&self) -> String {
        "stdout sink format=Json".to_owned()
    }
}

/// Takes the options of a sink that prints. `None`: there were faults, and the reader has them.
pub(super) fn sink(reader: &mut Reader, mut options: Options) -> Option<StdoutSinkOptions> {
    let faults_before = reader.faults.len();
    if options.has("type") {
        options.choice(reader, "type", &[("sink", ())]);
    }
    if let Some(format) = options.required_text(reader, "format")
        && format.value != "json"
    {
        let fault = reader
            .source
            .diagnostic(format.span, "the local engine prints JSON only");
        reader.faults.push(fault.with_help("it is 'json'"));
    }
    let (timestamps, decimals) = json_values(reader, &mut options);
    options.not_run(reader, &NOT_RUN);
    options.finish(reader, "a stdout sink");
    (reader.faults.len() == faults_before).then(|| StdoutSinkOptions {
        timestamps,
        decimals,
    })
}

/// Takes how values are written in JSON.
pub(super) fn json_values(
    reader: &mut Reader,
    options: &mut Options,
) -> (TimestampFormat, DecimalEncoding) {
    let timestamps = options.choice(
        reader,
        "json.timestamp_format",
        &[
            ("RFC3339", TimestampFormat::Rfc3339),
            ("UnixMillis", TimestampFormat::UnixMillis),
            ("unix_millis", TimestampFormat::UnixMillis),
        ],
    );
    let decimals = options.choice(
        reader,
        "json.decimal_encoding",
        &[
            ("number", DecimalEncoding::Number),
            ("string", DecimalEncoding::String),
        ],
    );
    (
        timestamps.map_or_else(TimestampFormat::default, |taken| taken.value),
        decimals.map_or_else(DecimalEncoding::default, |taken| taken.value),
    )
}
