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

    /// What the venue calls a symbol of the user's: what stands behind its prefix, in capitals, unless it says otherwise.
    fn venues_name(&self, symbol: &str) -> String {
        let name = symbol.split_once(':').map_or(symbol, |(_, name)| name);
        name.to_ascii_uppercase()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{binance::Binance, coinbase::Coinbase, finnhub::Finnhub, kraken::Kraken};

    /// A message of each venue with everything in it.
    const MESSAGES: [&str; 5] = [
        r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":2,"m":true}}"#,
        r#"{"type":"match","trade_id":10,"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.2","price":"4"}"#,
        r#"{"channel":"trade","type":"update","data":[{"symbol":"A/B","price":0.5,"qty":1e-5,"trade_id":4,"timestamp":"2023-09-25T07:49:37.7Z"}]}"#,
        r#"{"data":[{"c":null,"p":1.1,"s":"A","t":1,"v":0},{"p":2,"s":"A","t":2,"v":1}],"type":"trade"}"#,
        r#"{"type":"error","message":"Failed","reason":"X is not a valid product","msg":"Subscribing to too many symbols"}"#,
    ];

    fn venues() -> [Box<dyn Venue>; 4] {
        [
            Box::new(Binance::new(&["wss://b".to_string()])),
            Box::new(Coinbase::new("wss://c")),
            Box::new(Kraken::new("wss://k")),
            Box::new(Finnhub::new("wss://f", &Secret::new("t"))),
        ]
    }

    proptest::proptest! {
        /// Whatever a server sends, cut or with bytes exchanged, it is told what it is; a trade has numbers.
        #[test]
        fn no_message_makes_it_panic(
            message in 0..MESSAGES.len(),
            length in 0..200_usize,
            changes in proptest::collection::vec((0..200_usize, proptest::num::u8::ANY), 0..4),
        ) {
            let mut bytes = MESSAGES[message].as_bytes().to_vec();
            bytes.truncate(length);
            for (at, byte) in changes {
                if let Some(changed) = bytes.get_mut(at) {
                    *changed = byte;
                }
            }
            let bytes = Bytes::from(bytes);
            for mut venue in venues() {
                if let Said::Trades(trades) = venue.hear(&bytes) {
                    for trade in trades {
                        for number in [trade.price, trade.size] {
                            proptest::prop_assert!(serde_json::from_str::<f64>(number).is_ok());
                        }
                    }
                }
            }
        }
    }
}
