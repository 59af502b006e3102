//! Where ticks come from: one file a feed, each handing on Finnhub-shaped frames
//! `{"data":[{"c":null,"p":…,"s":"BINANCE:BTCUSDT","t":<ms>,"v":…}],"type":"trade"}`.
//!
//! A feed connects, subscribes and reads until it ends or is lost; trying again is the producer's
//! business. A WebSocket feed is a file that says the address, the subscribe messages and what its
//! messages mean, over `websocket`.

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc::Sender;

use crate::config::producer::FeedConfig;

pub mod finnhub;
pub mod replay;
pub mod simulated;
mod websocket;

/// Longest frame that is handed on whole, bytes: as long as Kafka's longest message by default.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// One text message of a feed, as it arrived; perhaps not JSON, perhaps not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message's bytes.
    pub payload: Bytes,
}

/// Why a feed stopped.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The connection is gone or was not made: try again after a while.
    #[error("{0}")]
    Lost(String),
    /// The feed will not have us as we are configured: trying again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// What the feed reads is damaged or cannot be read.
    #[error("{0}")]
    Failed(String),
}

/// A source of frames.
pub trait Feed: Send {
    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// Connects, subscribes and hands on frames until the feed has ended (`Ok`) or failed.
    ///
    /// After [`FeedError::Lost`] it may be called again and begins afresh, subscribing anew.
    /// Dropping the future stops the feed; a frame not yet handed on is then not counted as received.
    /// When `frames` is full the feed waits, and with it the peer. A closed channel ends it with `Ok`.
    fn run<'a>(&'a mut self, frames: &'a Sender<Frame>) -> BoxFuture<'a, Result<(), FeedError>>;
}

/// The feed that `config` describes. `now_ms` is the wall clock, milliseconds since 1970 UTC.
///
/// # Errors
/// [`FeedError::Refused`] if the feed's file cannot be read.
pub fn from_config(config: &FeedConfig, now_ms: fn() -> i64) -> Result<Box<dyn Feed>, FeedError> {
    Ok(match config {
        FeedConfig::Finnhub {
            url,
            token,
            symbols,
        } => Box::new(finnhub::Finnhub::new(url, token.clone(), symbols.clone())),
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
