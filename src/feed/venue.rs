//! What a venue's own file says: its address, its subscribe messages, and what its messages mean.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::loss::{FeedError, Loss};
use crate::config::secret::Secret;

/// A venue of trades on a WebSocket. Its methods do no I/O.
pub trait Venue: Send {
    /// Its name in logs, metrics and gap records.
    fn name(&self) -> &'static str;

    /// What the venue calls a symbol of the user's.
    fn venues_name(&self, symbol: &str) -> String;

    /// Where to connect, if these symbols are wanted.
    fn url(&self, symbols: &[&str]) -> Secret;

    /// What to say once connected.
    fn subscribe(&mut self, symbols: &[&str]) -> Vec<String>;

    /// What to say for symbols that are silent; none if the venue has nothing for it.
    fn subscribe_again(&mut self, symbols: &[&str]) -> Vec<String> {
        self.subscribe(symbols)
    }

    /// A connection that is silent for so long is dead, as often as this venue speaks.
    fn idle_timeout(&self) -> Duration;

    /// A connection is replaced by a new one at this age, because the venue cuts it soon after.
    fn renew_after(&self) -> Option<Duration> {
        None
    }

    /// Whether its trades have ids that count up by one, per symbol.
    fn has_ids(&self) -> bool {
        true
    }

    /// Whether its markets never close, so that silence of all symbols means that something is wrong.
    fn never_closes(&self) -> bool {
        true
    }

    /// What a message means.
    fn hear<'a>(&mut self, message: &'a Bytes) -> Said<'a>;

    /// What the answer of a handshake that was refused means here.
    fn refused(&mut self, loss: Loss) -> FeedError {
        FeedError::Lost(loss)
    }

    /// An open session was lost; the venue may know better why.
    fn lost(&mut self, loss: Loss) -> Loss {
        loss
    }
}

/// What a message means.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Trades, in the order of the message.
    Trades(Vec<Trade<'a>>),
    /// A frame that is Finnhub's already.
    Frame(Heard<'a>),
    /// A sign of life.
    Alive,
    /// A sign of life that names a symbol's latest trade and when it was said, milliseconds since 1970 UTC.
    LatestTrade(Cow<'a, str>, u64, i64),
    /// A symbol that the venue does not have, by the venue's name, and its words. If all were refused with
    /// it, the others are to be subscribed again.
    SymbolRefused {
        /// The venue's name of it.
        symbol: String,
        /// The venue's words.
        why: String,
        /// Whether the rest of the subscription was refused too.
        all: bool,
    },
    /// The venue's complaint.
    Error(String),
    /// The server is about to go: a new connection should be there before.
    Leaving,
    /// Of a kind that holds no trades.
    Other(String),
    /// Not what the venue should say; what is wrong, without the message's text.
    Malformed(String),
}

/// A trade as the venue tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade<'a> {
    /// The venue's name of the symbol.
    pub symbol: Cow<'a, str>,
    /// Digits of the price, a JSON number.
    pub price: &'a str,
    /// Digits of the size, a JSON number.
    pub size: &'a str,
    /// When it was traded, milliseconds since 1970 UTC.
    pub event_ms: i64,
    /// Its id.
    pub id: u64,
    /// Repeated by the venue at each subscription: perhaps from before the first.
    pub repeated: bool,
}

/// A frame of Finnhub's, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard<'a> {
    /// The frame, without price updates.
    pub payload: Bytes,
    /// Symbol and event time of its ticks, in order; none: it could not be read.
    pub ticks: Vec<(Cow<'a, str>, i64)>,
    /// Elements that were price updates and are taken out.
    pub price_updates: u64,
}
