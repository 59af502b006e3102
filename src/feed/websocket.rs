//! One WebSocket connection of a feed: connect, send text, read messages, notice silence.
//! What is said and what it means is the venue's own file.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::loss::{FeedError, Loss, LossReason};
use super::tls::Trust;
use super::{FRAME_BYTES_MAX, Timing};
use crate::config::secret::Secret;

/// A message that cannot be sent in this time means that the connection is dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// Read buffer, bytes; small, because a feed's messages are, and an idle producer should be too.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// A server that names a longer wait is asked again after this one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// A server's words are shown up to this many characters.
const REASON_CHARS: usize = 120;

/// An open connection.
pub(super) struct Connection {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    idle_timeout: Duration,
    last_heard: Instant,
}

impl Connection {
    /// Connects to `url` (`ws://` or `wss://`; it may hold a token, and no error shows it), and sends
    /// `hello`. A connection that says nothing for `idle_timeout` counts as lost.
    pub(super) async fn open(
        url: Secret,
        trust: Trust,
        timing: Timing,
        idle_timeout: Duration,
        hello: Vec<String>,
    ) -> Result<Connection, FeedError> {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let connector = Some(Connector::Rustls(trust));
        let connecting = connect_async_tls_with_config(url.reveal(), Some(limits), true, connector);
        let stream = match timeout(timing.connect, connecting).await {
            Ok(Ok((stream, _))) => stream,
            Ok(Err(error)) => return Err(connect_error(&error)),
            Err(_) => {
                let message = format!("no connection within {:?}", timing.connect);
                return Err(Loss::new(LossReason::Unreachable, message).into());
            }
        };
        let mut connection = Connection {
            stream,
            idle_timeout,
            last_heard: Instant::now(),
        };
        for text in hello {
            connection.send(text).await?;
        }
        Ok(connection)
    }

    /// Sends one text message.
    pub(super) async fn send(&mut self, text: String) -> Result<(), FeedError> {
        match timeout(SEND_TIMEOUT, self.stream.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(|error| lost(&error).into()),
            Err(_) => {
                let message = format!(
                    "a message could not be sent within {} s",
                    SEND_TIMEOUT.as_secs()
                );
                Err(Loss::new(LossReason::Broken, message).into())
            }
        }
    }

    /// Waits for the next text (or binary) message. Pings are answered underneath, and are a sign of life.
    /// Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Bytes, Loss> {
        loop {
            let deadline = self.last_heard + self.idle_timeout;
            let message = match timeout_at(deadline, self.stream.next()).await {
                Ok(Some(message)) => message.map_err(|error| lost(&error))?,
                Ok(None) => return Err(Loss::new(LossReason::Broken, "the connection ended")),
                Err(_) => {
                    let message = format!("nothing was heard for {:?}", self.idle_timeout);
                    return Err(Loss::new(LossReason::Idle, message));
                }
            };
            self.last_heard = Instant::now();
            match message {
                Message::Text(text) => return Ok(Bytes::from(text)),
                Message::Binary(payload) => return Ok(payload),
                Message::Close(close) => {
                    let why = close.map_or(String::new(), |close| {
                        let reason: String = close.reason.chars().take(REASON_CHARS).collect();
                        format!(" ({} {reason:?})", u16::from(close.code))
                    });
                    let message = format!("the server closed the connection{why}");
                    return Err(Loss::new(LossReason::Closed, message));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// When anything was heard last, pings included.
    pub(super) fn last_heard(&self) -> Instant {
        self.last_heard
    }
}

fn connect_error(error: &Error) -> FeedError {
    match error {
        Error::Http(response) => refused(response).into(),
        Error::Url(_) | Error::HttpFormat(_) => {
            FeedError::Refused("the address is not a WebSocket's".to_string())
        }
        other => {
            let mut message = describe(other);
            if message.contains("certificate") {
                message += "; if a proxy signs connections here, name its authority by --ca-file";
            }
            Loss::new(LossReason::Unreachable, message).into()
        }
    }
}

fn refused<T>(response: &http::Response<T>) -> Loss {
    let status = response.status();
    let seconds = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let throttled = [418, 429].contains(&status.as_u16());
    let reason = match status.as_u16() {
        418 | 429 => LossReason::Throttled,
        451 => LossReason::Blocked,
        _ => LossReason::Refused,
    };
    Loss {
        status: Some(status.as_u16()),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
        wait_long: throttled,
        ..Loss::new(reason, format!("the server answered {status}"))
    }
}

fn lost(error: &Error) -> Loss {
    let reason = match error {
        Error::Protocol(_) => match error.to_string() {
            // A peer that is gone without a goodbye is no peer that speaks wrongly.
            text if text.contains("without closing handshake") => LossReason::Broken,
            _ => LossReason::Protocol,
        },
        Error::Utf8(_) | Error::Capacity(_) | Error::AttackAttempt => LossReason::Protocol,
        Error::ConnectionClosed | Error::AlreadyClosed => LossReason::Closed,
        _ => LossReason::Broken,
    };
    Loss::new(reason, describe(error))
}

/// The error without the address, whose query may hold a token.
fn describe(error: &Error) -> String {
    match error {
        Error::Url(_) | Error::HttpFormat(_) => "the address is wrong".to_string(),
        Error::Http(response) => format!("the server answered {}", response.status()),
        Error::WriteBufferFull(_) => "the server does not take our messages".to_string(),
        other => other.to_string(),
    }
}
