//! One WebSocket connection of a feed: connect, send text, read frames, notice silence.
//! What is said and what it means is the feed's own file.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, http::StatusCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{FRAME_BYTES_MAX, FeedError, Frame};
use crate::config::secret::Secret;

/// A connection that is not there after this long is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A message that cannot be sent in this time means that the connection is dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// Read buffer, bytes; small, because a feed's messages are, and an idle producer should be too.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// An open connection.
pub(super) struct Connection {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    idle_timeout: Duration,
}

impl Connection {
    /// Connects to `url` (`ws://` or `wss://`; it may hold a token, and no error shows it).
    /// A connection that says nothing for `idle_timeout` counts as lost.
    pub(super) async fn open(
        url: &Secret,
        idle_timeout: Duration,
    ) -> Result<Connection, FeedError> {
        // Another crate's choice, or an earlier connection's, is as good as ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let connecting = connect_async_with_config(url.reveal(), Some(limits), true);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => Ok(Connection {
                stream,
                idle_timeout,
            }),
            Ok(Err(error)) => Err(connect_error(&error)),
            Err(_) => Err(FeedError::Lost(format!(
                "no connection within {} s",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Sends one text message.
    pub(super) async fn send(&mut self, text: String) -> Result<(), FeedError> {
        match timeout(SEND_TIMEOUT, self.stream.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(|error| FeedError::Lost(describe(&error))),
            Err(_) => Err(FeedError::Lost(format!(
                "a message could not be sent within {} s",
                SEND_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Waits for the next text (or binary) message. Pings are answered underneath.
    pub(super) async fn next_frame(&mut self) -> Result<Frame, FeedError> {
        loop {
            let message = match timeout(self.idle_timeout, self.stream.next()).await {
                Ok(Some(message)) => message.map_err(|error| FeedError::Lost(describe(&error)))?,
                Ok(None) => return Err(FeedError::Lost("the connection ended".to_string())),
                Err(_) => {
                    return Err(FeedError::Lost(format!(
                        "nothing was heard for {} s",
                        self.idle_timeout.as_secs()
                    )));
                }
            };
            match message {
                Message::Text(text) => {
                    return Ok(Frame {
                        payload: Bytes::from(text),
                    });
                }
                Message::Binary(payload) => return Ok(Frame { payload }),
                Message::Close(Some(close)) => {
                    return Err(FeedError::Lost(format!(
                        "the server closed the connection ({})",
                        close.code
                    )));
                }
                Message::Close(None) => {
                    return Err(FeedError::Lost(
                        "the server closed the connection".to_string(),
                    ));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn connect_error(error: &Error) -> FeedError {
    match error {
        Error::Http(response) => match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                FeedError::Refused(format!("the server answered {status}"))
            }
            status => FeedError::Lost(format!("the server answered {status}")),
        },
        Error::Url(_) | Error::HttpFormat(_) => {
            FeedError::Refused("the address is not a WebSocket's".to_string())
        }
        other => FeedError::Lost(describe(other)),
    }
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
