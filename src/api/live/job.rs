//! The ingest job, asked for the candles of its open windows.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;

use crate::candles::Candle;
use crate::config::api::{ApiOptions, JobUrl};
use crate::config::secret::Secret;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_millis(800);
/// Bytes of an answer at the most.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The newest windows that are asked for: the running one, and those that wait for late ticks.
const WINDOWS: usize = 3;

/// What is known of the job.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) enum JobState {
    /// It is never asked.
    Off,
    /// It answered.
    Connected(Open),
    /// It did not, and why.
    Unreachable(String),
}

/// The candles of its open windows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::api) struct Open {
    /// Nanoseconds since 1970 UTC; none: it has seen no tick.
    pub(in crate::api) watermark: Option<i64>,
    /// By symbol, each ordered by time.
    pub(in crate::api) candles: HashMap<String, Vec<Candle>>,
}

/// Where the job is and which of its tables is this one.
pub(in crate::api) struct Job {
    at: Option<(reqwest::Client, String)>,
    token: Option<Secret>,
    output: Option<String>,
    folder: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    watermark: Option<String>,
    rows: Vec<Row>,
}

/// A row that lacks any of these is no candle.
#[derive(Deserialize)]
struct Row {
    symbol: Option<String>,
    window_start: Option<String>,
    window_end: Option<String>,
    open: Option<f64>,
    high: Option<f64>,
    low: Option<f64>,
    close: Option<f64>,
    volume: Option<f64>,
    trades: Option<i64>,
}

impl Job {
    pub(in crate::api) fn new(options: &ApiOptions) -> Job {
        let at = match &options.job_url {
            JobUrl::None => None,
            JobUrl::At(url) => {
                // An error means that it is installed already.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .timeout(ANSWER_LIMIT)
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    .build();
                match client {
                    Ok(client) => Some((client, format!("{url}/api/v1/open?newest={WINDOWS}"))),
                    Err(error) => {
                        tracing::warn!("the job is not asked: {error}");
                        None
                    }
                }
            }
        };
        Job {
            at,
            token: options.job_token.clone(),
            output: options.job_output.clone(),
            folder: folder_name(&options.candles),
        }
    }

    /// Asks once. Whatever goes wrong is part of the answer.
    pub(in crate::api) async fn ask(&self) -> JobState {
        let Some((client, url)) = &self.at else {
            return JobState::Off;
        };
        match self.answer(client, url).await {
            Ok(open) => JobState::Connected(open),
            Err(error) => JobState::Unreachable(error),
        }
    }

    async fn answer(&self, client: &reqwest::Client, url: &str) -> Result<Open, String> {
        let mut request = client.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        // Deliberately without the client's own words: they name the address, which is not everybody's.
        let unreachable = |error: reqwest::Error| match error.is_timeout() {
            true => "the job does not answer in time".to_string(),
            false => "the job cannot be reached".to_string(),
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("the job answers {status}"));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(format!(
                    "the job's answer is larger than {ANSWER_BYTES_MAX} bytes"
                ));
            }
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|error| format!("the job's answer is not understood: {error}"))?;
        self.open(answer)
    }

    fn open(&self, answer: Answer) -> Result<Open, String> {
        let names: Vec<String> = (answer.outputs.iter())
            .map(|output| output.name.clone())
            .collect();
        let named =
            |name: &Option<String>| names.iter().position(|known| Some(known) == name.as_ref());
        let at = match &self.output {
            Some(_) => named(&self.output),
            None => named(&self.folder).or((names.len() == 1).then_some(0)),
        };
        let output = at.and_then(|at| answer.outputs.into_iter().nth(at));
        let output = output.ok_or_else(|| {
            format!(
                "the job has no table of this name; it has {}: say which by --job-output",
                match names.is_empty() {
                    true => "none".to_string(),
                    false => names.join(", "),
                }
            )
        })?;
        let mut candles: HashMap<String, Vec<Candle>> = HashMap::new();
        for candle in output.rows.into_iter().filter_map(candle) {
            candles
                .entry(candle.symbol.clone())
                .or_default()
                .push(candle);
        }
        for of_symbol in candles.values_mut() {
            of_symbol.sort_by_key(|candle| candle.start);
        }
        Ok(Open {
            watermark: output.watermark.as_deref().and_then(nanos),
            candles,
        })
    }
}

fn folder_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_string())
}

fn candle(row: Row) -> Option<Candle> {
    Some(Candle {
        symbol: row.symbol?,
        start: nanos(&row.window_start?)?,
        end: nanos(&row.window_end?)?,
        open: row.open?,
        high: row.high?,
        low: row.low?,
        close: row.close?,
        volume: row.volume,
        trades: row.trades,
    })
    .filter(|candle| candle.start < candle.end)
}

fn nanos(rfc3339: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(rfc3339)
        .ok()?
        .timestamp_nanos_opt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(candles: &str, output: Option<&str>, answer: &str) -> Result<Open, String> {
        let job = Job::new(&ApiOptions {
            candles: candles.into(),
            job_url: JobUrl::None,
            job_output: output.map(str::to_string),
            ..ApiOptions::default()
        });
        job.open(serde_json::from_str(answer).unwrap())
    }

    const TWO: &str = r#"{"outputs":[
        {"name":"ohlc","watermark":"1970-01-01T00:00:01Z","rows":[
            {"symbol":"A","window_start":"1970-01-01T00:01:00Z","window_end":"1970-01-01T00:02:00Z","open":1,"high":2,"low":0.5,"close":1.5,"volume":3,"trades":4},
            {"symbol":"A","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z","open":1,"high":2,"low":0.5,"close":1.5,"vwap":3},
            {"symbol":null,"window_start":"x","window_end":"y","open":null,"high":null,"low":null,"close":null}]},
        {"name":"other","watermark":null,"rows":[]}]}"#;

    #[test]
    fn the_table_is_found_by_its_name() {
        let rows = |open: Result<Open, String>| open.unwrap().candles.len();
        assert_eq!(rows(open("data/ohlc", None, TWO)), 1);
        assert_eq!(rows(open("data/other", None, TWO)), 0);
        assert_eq!(rows(open("data/x", Some("ohlc"), TWO)), 1);
        let error = open("data/x", None, TWO).unwrap_err();
        assert!(
            error.contains("ohlc, other") && error.contains("--job-output"),
            "{error}"
        );
        let one = r#"{"outputs":[{"name":"y","watermark":null,"rows":[]}]}"#;
        assert_eq!(rows(open("data/x", None, one)), 0);
    }

    #[test]
    fn rows_are_candles_by_time_and_what_is_none_is_left_out() {
        let open = open("data/ohlc", None, TWO).unwrap();
        assert_eq!(open.watermark, Some(1_000_000_000));
        let starts: Vec<_> = open.candles["A"]
            .iter()
            .map(|candle| candle.start)
            .collect();
        assert_eq!(starts, [0, 60_000_000_000]);
        assert_eq!(open.candles["A"][1].trades, Some(4));
        assert_eq!(open.candles["A"][0].volume, None);
    }
}
