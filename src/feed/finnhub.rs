//! Finnhub: a token in the address, a subscribe message per symbol, frames that need no translation.
//! Protocol: <https://finnhub.io/docs/api/websocket-trades>.

use std::fmt::Write;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc::Sender;
use tracing::info;

use super::websocket::Connection;
use super::{Feed, FeedError, Frame};
use crate::config::secret::Secret;

/// Finnhub sends a text ping about every 60 s; two and a half missed ones mean that it is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// The feed of one Finnhub account.
#[derive(Debug)]
pub struct Finnhub {
    url: Secret,
    symbols: Vec<String>,
}

impl Finnhub {
    /// `url` is the address without the token; `symbols` are subscribed in this order.
    pub fn new(url: &str, token: Secret, symbols: Vec<String>) -> Finnhub {
        Finnhub {
            url: Secret::new(with_token(url, token.reveal())),
            symbols,
        }
    }

    async fn session(&mut self, frames: &Sender<Frame>) -> Result<(), FeedError> {
        let mut connection = Connection::open(&self.url, IDLE_TIMEOUT)
            .await
            .map_err(|error| match error {
                FeedError::Refused(why) => {
                    FeedError::Refused(format!("{why}; check FINNHUB_TOKEN and FINNHUB_URL"))
                }
                other => other,
            })?;
        for symbol in &self.symbols {
            connection.send(subscribe(symbol)).await?;
        }
        info!(
            symbols = self.symbols.len(),
            "Connected to finnhub and subscribed."
        );
        loop {
            let frame = connection.next_frame().await?;
            if frames.send(frame).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Feed for Finnhub {
    fn name(&self) -> &'static str {
        "finnhub"
    }

    fn run<'a>(&'a mut self, frames: &'a Sender<Frame>) -> BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(self.session(frames))
    }
}

fn subscribe(symbol: &str) -> String {
    serde_json::json!({ "type": "subscribe", "symbol": symbol }).to_string()
}

/// Appends `token=…` to the query, percent-encoded where it must be.
///
/// An address without a path gets one: the WebSocket library would send the request line without it.
fn with_token(url: &str, token: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("wss", url));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if place.contains('/') { "" } else { "/" };
    let and = if query.is_empty() { "" } else { "&" };
    let mut url = format!("{scheme}://{place}{path}?{query}{and}token=");
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_into_the_query() {
        assert_eq!(
            with_token("wss://ws.finnhub.io", "c0ffee"),
            "wss://ws.finnhub.io/?token=c0ffee"
        );
        assert_eq!(with_token("wss://h:1/", "c"), "wss://h:1/?token=c");
        assert_eq!(
            with_token("ws://h/x?a=b", "a b&c"),
            "ws://h/x?a=b&token=a%20b%26c"
        );
        let feed = Finnhub::new("ws://h", Secret::new("hunter2"), vec![]);
        assert!(!format!("{feed:?}").contains("hunter2"));
    }

    #[test]
    fn a_subscribe_message_is_json_whatever_the_symbol() {
        assert_eq!(
            subscribe("BINANCE:BTCUSDT"),
            r#"{"symbol":"BINANCE:BTCUSDT","type":"subscribe"}"#
        );
        assert_eq!(subscribe("a\"b"), r#"{"symbol":"a\"b","type":"subscribe"}"#);
    }
}
