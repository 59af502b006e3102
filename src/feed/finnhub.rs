//! Finnhub: a token in the address, a subscribe message a symbol, frames that need no translation, and no
//! trade ids.
//! Protocol: <https://finnhub.io/docs/api/websocket-trades>.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::loss::{FeedError, Loss, LossReason};
use super::venue::{Heard, Said, Venue};
use crate::config::secret::Secret;

/// Finnhub sends a text ping about every 60 s; two and a half missed ones mean that it is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(150);
/// Symbols of the free plan at the most.
pub const FREE_SYMBOLS: usize = 50;
/// An open session that ends this soon is suspicious.
const BRIEF: Duration = Duration::from_secs(30);
/// So many of them in a row mean that another program uses the token.
const BRIEF_SESSIONS: u32 = 3;
/// Symbols that were asked for last are shown up to this many.
const SHOWN_SYMBOLS: usize = 5;

/// The feed of one Finnhub account.
#[derive(Debug)]
pub struct Finnhub {
    url: Secret,
    /// In the order in which they were asked for.
    asked: Vec<String>,
    brief_sessions: u32,
}

impl Finnhub {
    /// `url` is the address without the token.
    pub fn new(url: &str, token: &Secret) -> Finnhub {
        Finnhub {
            url: Secret::new(with_token(url, token.reveal())),
            asked: Vec::new(),
            brief_sessions: 0,
        }
    }

    /// Finnhub's complaint, with what it leaves out.
    fn complaint(&self, text: &str) -> String {
        if !text.to_ascii_lowercase().contains("too many symbols") {
            return super::shown(text);
        }
        let asked = self.asked.len();
        let beyond = asked.saturating_sub(FREE_SYMBOLS).clamp(1, SHOWN_SYMBOLS);
        let last: Vec<&str> = self.asked[asked.saturating_sub(beyond)..]
            .iter()
            .map(String::as_str)
            .collect();
        format!(
            "{}; it does not say which: asked for last were {} (of {asked}; the free plan has {FREE_SYMBOLS})",
            super::shown(text),
            last.join(", ")
        )
    }
}

impl Venue for Finnhub {
    fn name(&self) -> &'static str {
        "finnhub"
    }

    fn venues_name(&self, symbol: &str) -> String {
        symbol.to_string()
    }

    fn url(&self, _symbols: &[&str]) -> Secret {
        self.url.clone()
    }

    fn subscribe(&mut self, symbols: &[&str]) -> Vec<String> {
        self.asked = symbols.iter().map(ToString::to_string).collect();
        symbols.iter().map(|symbol| subscribe(symbol)).collect()
    }

    fn subscribe_again(&mut self, symbols: &[&str]) -> Vec<String> {
        self.asked
            .retain(|asked| !symbols.contains(&asked.as_str()));
        self.asked.extend(symbols.iter().map(ToString::to_string));
        symbols.iter().map(|symbol| subscribe(symbol)).collect()
    }

    fn idle_timeout(&self) -> Duration {
        IDLE_TIMEOUT
    }

    fn has_ids(&self) -> bool {
        false
    }

    /// Stocks rest at night.
    fn never_closes(&self) -> bool {
        false
    }

    fn hear<'a>(&mut self, message: &'a Bytes) -> Said<'a> {
        let envelope: Envelope<'a> = match serde_json::from_slice(message) {
            Ok(envelope) => envelope,
            Err(error) => return Said::Malformed(super::malformed(&error)),
        };
        match (envelope.kind.as_deref(), envelope.data) {
            (Some("ping"), _) => Said::Alive,
            (Some("error"), _) => {
                Said::Error(self.complaint(envelope.msg.as_deref().unwrap_or_default()))
            }
            (Some("trade"), Some(data)) => Said::Frame(read(message, data)),
            (Some("trade"), None) => Said::Malformed("no data array".to_string()),
            (Some(other), _) => Said::Other(super::shown(other)),
            (None, _) => Said::Malformed("no type".to_string()),
        }
    }

    fn refused(&mut self, loss: Loss) -> FeedError {
        match loss.status {
            Some(401 | 403) => FeedError::Refused(format!(
                "{loss}; check FINNHUB_TOKEN (and FINNHUB_URL): the token is wrong, expired or not for this"
            )),
            Some(429) => FeedError::Lost(Loss {
                message: format!(
                    "{loss}; Finnhub allows one connection a token and few attempts a minute"
                ),
                ..loss
            }),
            _ => FeedError::Lost(loss),
        }
    }

    fn lost(&mut self, loss: Loss) -> Loss {
        let ended = matches!(loss.reason, LossReason::Closed | LossReason::Broken);
        self.brief_sessions = if ended && loss.lived < BRIEF {
            self.brief_sessions + 1
        } else {
            0
        };
        if self.brief_sessions < BRIEF_SESSIONS {
            return loss;
        }
        Loss {
            wait_long: true,
            lived: loss.lived,
            ..Loss::new(
                LossReason::Kicked,
                format!(
                    "{loss}, for the {}th time soon after it was opened: most likely another program uses the same \
                     FINNHUB_TOKEN, and as Finnhub allows one connection a token, each throws the other out; stop \
                     it, or take a token of its own",
                    self.brief_sessions
                ),
            )
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    msg: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    s: Cow<'a, str>,
    #[serde(default)]
    t: Option<i64>,
    #[serde(default, borrow)]
    v: Option<&'a RawValue>,
}

/// What is in a frame. An element whose volume is 0 is a price update and no trade: it is taken out. What
/// cannot be read goes on as it is, and is told by whoever takes the frame apart.
fn read<'a>(message: &'a Bytes, data: &'a RawValue) -> Heard<'a> {
    let as_it_is = |ticks| Heard {
        payload: message.clone(),
        ticks,
        price_updates: 0,
    };
    let Ok(elements) = serde_json::from_str::<Vec<&'a RawValue>>(data.get()) else {
        return as_it_is(Vec::new());
    };
    let (mut kept, mut ticks, mut price_updates) = (Vec::new(), Vec::new(), 0);
    for element in &elements {
        match serde_json::from_str::<Element<'a>>(element.get()) {
            Ok(tick) if tick.v.is_some_and(|volume| is_zero(volume.get())) => price_updates += 1,
            Ok(tick) => {
                ticks.extend(tick.t.map(|event_ms| (tick.s, event_ms)));
                kept.push(element.get());
            }
            Err(_) => kept.push(element.get()),
        }
    }
    if price_updates == 0 {
        return as_it_is(ticks);
    }
    // `data` borrows from `message`: where it stands is how far its text begins after the other's.
    let start = data.get().as_ptr() as usize - message.as_ptr() as usize;
    let (before, after) = (&message[..start], &message[start + data.get().len()..]);
    let payload = [before, b"[", kept.join(",").as_bytes(), b"]", after].concat();
    Heard {
        payload: Bytes::from(payload),
        ticks,
        price_updates,
    }
}

/// Whether a JSON number is 0.
fn is_zero(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    mantissa.contains('0') && mantissa.bytes().all(|byte| b"-0.".contains(&byte))
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
    use expect_test::expect;

    fn finnhub() -> Finnhub {
        Finnhub::new("ws://h", &Secret::new("hunter2"))
    }

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
        assert!(!format!("{:?}", finnhub()).contains("hunter2"));
    }

    #[test]
    fn a_subscribe_message_is_json_whatever_the_symbol() {
        assert_eq!(
            subscribe("BINANCE:BTCUSDT"),
            r#"{"symbol":"BINANCE:BTCUSDT","type":"subscribe"}"#
        );
        assert_eq!(subscribe("a\"b"), r#"{"symbol":"a\"b","type":"subscribe"}"#);
    }

    #[test]
    fn a_price_update_is_no_tick_and_the_rest_keeps_its_digits() {
        let message = Bytes::from_static(
            br#"{"data":[{"p":1.10,"s":"A","t":1,"v":0},{"p":2.20,"s":"A","t":2,"v":0.010},{"s":"B","t":3,"v":0.0e5},{"s":"B"}],"type":"trade","n":1.0}"#,
        );
        let mut finnhub = finnhub();
        let Said::Frame(heard) = finnhub.hear(&message) else {
            panic!("no frame");
        };
        expect![[
            r#"{"data":[{"p":2.20,"s":"A","t":2,"v":0.010},{"s":"B"}],"type":"trade","n":1.0}"#
        ]]
        .assert_eq(std::str::from_utf8(&heard.payload).unwrap());
        assert_eq!(
            (heard.ticks, heard.price_updates),
            (vec![("A".into(), 2)], 2)
        );
        let plain = Bytes::from_static(br#"{"type":"trade","data":[ {"s":"A","t":1,"v":10}, 7 ]}"#);
        let Said::Frame(heard) = finnhub.hear(&plain) else {
            panic!("no frame");
        };
        assert_eq!((heard.payload, heard.price_updates), (plain.clone(), 0));
    }

    #[test]
    fn too_many_symbols_are_named_by_their_order() {
        let mut finnhub = finnhub();
        let symbols: Vec<String> = (0..53).map(|number| format!("S{number}")).collect();
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        assert_eq!(finnhub.subscribe(&symbols).len(), 53);
        let message =
            Bytes::from_static(br#"{"type":"error","msg":"Subscribing to too many symbols"}"#);
        let Said::Error(text) = finnhub.hear(&message) else {
            panic!("no error");
        };
        expect!["Subscribing to too many symbols; it does not say which: asked for last were S50, S51, S52 (of 53; the free plan has 50)"]
            .assert_eq(&text);
    }

    #[test]
    fn brief_sessions_in_a_row_mean_another_program() {
        let mut finnhub = finnhub();
        let mut lost = |reason, seconds| {
            let lived = Duration::from_secs(seconds);
            let loss = Loss {
                lived,
                ..Loss::new(reason, "it ended")
            };
            finnhub.lost(loss).reason
        };
        assert_eq!(lost(LossReason::Closed, 5), LossReason::Closed);
        assert_eq!(lost(LossReason::Broken, 5), LossReason::Broken);
        assert_eq!(lost(LossReason::Closed, 100), LossReason::Closed);
        for _ in 0..2 {
            assert_eq!(lost(LossReason::Broken, 5), LossReason::Broken);
        }
        assert_eq!(lost(LossReason::Closed, 5), LossReason::Kicked);
        assert_eq!(lost(LossReason::Idle, 150), LossReason::Idle);
    }

    #[test]
    fn zeros_are_zero() {
        for zero in ["0", "0.0", "-0", "0e5", "0.000"] {
            assert!(is_zero(zero), "{zero}");
        }
        for other in ["0.01", "10", "1e-9", "null", "\"0\"", "true", ""] {
            assert!(!is_zero(other), "{other}");
        }
    }
}
