//! The command line of `stockpulse demo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::api::DEFAULT_API_PORT;
use super::instant::parse_duration;

/// Where the demo's ticks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoFeed {
    /// Made up in this process: random walks, bursts, ticks out of order
    Simulated,
    /// The real market: from finnhub.io where FINNHUB_TOKEN is set, else from the exchanges that the symbols name
    Live,
    /// The real market, from finnhub.io; needs FINNHUB_TOKEN
    Finnhub,
    /// Frames from a file
    Replay,
}

/// The whole pipeline in one process: feed, embedded Kafka broker, ingest job, API.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where the ticks come from
    #[arg(long, value_enum, default_value_t = DemoFeed::Simulated)]
    pub feed: DemoFeed,

    /// File that --feed replay reads: a frame a line, .ndjson or .ndjson.gz
    #[arg(long, value_name = "FILE", required_if_eq("feed", "replay"))]
    pub replay_file: Option<PathBuf>,

    /// Folder for candles and checkpoint; the demo starts it anew each time
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    pub data_dir: PathBuf,

    /// Port of the API, on this machine only; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_API_PORT)]
    pub api_port: u16,

    /// Port of the embedded broker, on this machine only; without it, any free one
    #[arg(long, value_name = "PORT")]
    pub kafka_port: Option<u16>,

    /// Stop after this long: 30s, 5m, 1h; without it, on Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub run_for: Option<Duration>,

    /// Symbols of the simulated feed
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub symbols: u16,

    /// Ticks a second of the simulated feed, all symbols together
    #[arg(long, value_name = "TICKS/S", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,

    /// The job; when the default is not there, the copy inside the program is used
    #[arg(long, value_name = "FILE", default_value = "sql/ohlc.sql")]
    pub sql: PathBuf,
}
