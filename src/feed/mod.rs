//! Where ticks come from: one file a feed, each handing on Finnhub-shaped frames
//! `{"data":[{"c":null,"p":…,"s":"BINANCE:BTCUSDT","t":<ms>,"v":…,"i":"<trade id>"}],"type":"trade"}`.
//!
//! A feed connects, subscribes and reads until it ends or is lost; trying again is the producer's
//! business. A venue on a WebSocket is a file that says its address, its subscribe messages and what
//! its messages mean ([`venue`]); how a session goes is one file for all of them ([`live`]).

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::config::producer::{FeedConfig, LiveConfig, VenueConfig};

mod binance;
mod coinbase;
mod complaints;
pub mod finnhub;
pub mod gap;
mod ids;
mod kraken;
mod ledger;
pub mod live;
pub mod log_limit;
pub mod loss;
pub mod outlet;
mod renewal;
pub mod replay;
pub mod simulated;
mod ticks;
pub mod timing;
mod tls;
pub mod venue;
mod websocket;

pub use gap::Gap;
pub use loss::{FeedError, Loss, LossReason};
pub use outlet::{Item, Items, Outlet, Queue, What};
pub use timing::Timing;
pub use tls::{Trust, trust};

/// Longest frame that is handed on whole, bytes: as long as Kafka's longest message by default.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// One text message that holds ticks, as it arrived or as the feed wrote it; perhaps not JSON, perhaps
/// not UTF-8.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The message's bytes.
    pub payload: Bytes,
    /// When it arrived.
    pub received: Instant,
    /// What is in it, where the feed knows; `None`: it is to be taken apart.
    pub content: Option<Content>,
}

/// What is in a frame of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The symbol, as the topic names it.
    pub symbol: Arc<str>,
    /// Ticks in it, above 0.
    pub ticks: u32,
    /// Earliest and latest event time, milliseconds since 1970 UTC.
    pub event_ms: (i64, i64),
    /// Lowest and highest trade id, where the venue has ids.
    pub ids: Option<(u64, u64)>,
}

impl Frame {
    /// A frame as it arrived.
    pub fn new(payload: Bytes) -> Frame {
        Frame {
            payload,
            received: Instant::now(),
            content: None,
        }
    }
}

/// What becomes of a feed's frames while the queue to Kafka is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The feed waits: what it reads does not go away.
    Wait,
    /// The newest frames are dropped, counted and recorded as a gap: a live feed that nobody reads is cut off
    /// by its server, and more is lost than is dropped.
    Drop,
}

/// A source of frames.
pub trait Feed: Send {
    /// Its name in the log and in metrics.
    fn name(&self) -> &'static str;

    /// What becomes of its frames while the queue to Kafka is full.
    fn when_full(&self) -> WhenFull {
        WhenFull::Wait
    }

    /// Connects, subscribes and hands on frames until the feed has ended (`Ok`) or failed.
    ///
    /// After [`FeedError::Lost`] it may be called again and begins afresh, subscribing anew; what it
    /// remembers of the sessions before tells it what was missed and what comes twice.
    /// Dropping the future stops the feed; a frame not yet handed on is then not counted as received.
    /// A closed outlet ends it with `Ok`.
    fn run<'a>(&'a mut self, outlet: &'a Outlet) -> BoxFuture<'a, Result<(), FeedError>>;

    /// Gaps that it knows of and has not recorded yet, when it is stopped for good.
    fn open_gaps(&mut self) -> Vec<Gap> {
        Vec::new()
    }
}

/// The feeds that `configs` describe. `now_ms` is the wall clock, milliseconds since 1970 UTC.
///
/// # Errors
/// [`FeedError::Refused`] if a feed's file, or the file of certificates, cannot be read.
pub fn from_configs(
    configs: &[FeedConfig],
    timing: &Timing,
    now_ms: fn() -> i64,
) -> Result<Vec<Box<dyn Feed>>, FeedError> {
    let feed = |config| from_config(config, timing, now_ms);
    configs.iter().map(feed).collect()
}

fn from_config(
    config: &FeedConfig,
    timing: &Timing,
    now_ms: fn() -> i64,
) -> Result<Box<dyn Feed>, FeedError> {
    Ok(match config {
        FeedConfig::Live(live) => from_live(live, timing, now_ms)?,
        FeedConfig::Simulated {
            symbols,
            seed,
            ticks_per_second,
            history,
        } => {
            let history_ms = i64::try_from(history.as_millis()).unwrap_or(i64::MAX);
            let start_ms = now_ms().saturating_sub(history_ms);
            let market = simulated::Market::new(symbols, *seed, *ticks_per_second, start_ms);
            Box::new(simulated::Simulated::new(market, now_ms))
        }
        FeedConfig::Replay { path, speed } => {
            let replay = replay::Replay::new(path.clone(), *speed);
            replay.check()?;
            Box::new(replay)
        }
    })
}

fn from_live(
    config: &LiveConfig,
    timing: &Timing,
    now_ms: fn() -> i64,
) -> Result<Box<dyn Feed>, FeedError> {
    let trust = tls::trust(config.ca_file.as_deref())?;
    let timing = timing.with(config.idle_timeout, config.symbol_idle_timeout);
    let symbols = config.symbols.as_slice();
    Ok(match &config.venue {
        VenueConfig::Finnhub { url, token } => {
            let venue = finnhub::Finnhub::new(url, token);
            Box::new(live::Live::new(venue, symbols, trust, timing, now_ms))
        }
        VenueConfig::Binance { urls } => {
            let venue = binance::Binance::new(urls);
            Box::new(live::Live::new(venue, symbols, trust, timing, now_ms))
        }
        VenueConfig::Coinbase { url } => {
            let venue = coinbase::Coinbase::new(url);
            Box::new(live::Live::new(venue, symbols, trust, timing, now_ms))
        }
        VenueConfig::Kraken { url } => {
            let venue = kraken::Kraken::new(url);
            Box::new(live::Live::new(venue, symbols, trust, timing, now_ms))
        }
    })
}

/// A venue's word or text is shown up to this many characters.
const SHOWN_CHARS: usize = 200;

/// A venue's own text, as far as it is shown.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// What is wrong with a message or a frame: serde's own words quote its values; the kind of mistake and its place say enough.
pub(crate) fn malformed(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "truncated JSON",
        Category::Data => "JSON of another shape",
        Category::Syntax | Category::Io => "not JSON",
    };
    format!("{what} at line {}, column {}", error.line(), error.column())
}
