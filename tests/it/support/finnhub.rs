//! A server on loopback that speaks as Finnhub does, and drops the connection when told to.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::broker::PATIENCE;

/// What the server does with one connection.
#[derive(Debug, Clone)]
pub enum Session {
    /// Answers the handshake with this status instead.
    Refuse(u16),
    /// Sends these frames after the subscriptions, then cuts the connection without a goodbye.
    Drop(Vec<String>),
    /// Sends these frames after the subscriptions, then says goodbye.
    Close(Vec<String>),
    /// Sends these frames after the subscriptions, then stays silent.
    Hold(Vec<String>),
}

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Path and query that it asked for.
    pub path: String,
    /// Its messages, in order.
    pub subscribed: Vec<String>,
}

/// The server; it serves the sessions in order, a connection each, and ends with this value.
pub struct FakeFinnhub {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl FakeFinnhub {
    /// Starts it; a session begins sending after so many messages of the client.
    pub async fn start(sessions: Vec<Session>, subscriptions: usize) -> FakeFinnhub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen_in, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            for session in sessions {
                let (socket, _) = listener.accept().await.unwrap();
                serve(socket, session, subscriptions, &seen_in).await;
            }
        });
        FakeFinnhub {
            address,
            seen,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What the client of the next session did, once it has subscribed.
    pub async fn seen(&mut self) -> Seen {
        let seen = tokio::time::timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("nobody subscribed in time")
            .expect("every session is over")
    }
}

impl Drop for FakeFinnhub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    socket: TcpStream,
    session: Session,
    subscriptions: usize,
    seen: &mpsc::UnboundedSender<Seen>,
) {
    let mut path = String::new();
    #[allow(
        clippy::result_large_err,
        reason = "the callback's type is the library's"
    )]
    let answer = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().to_string();
        match session {
            Session::Refuse(status) => {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::from_u16(status).unwrap();
                Err(refusal)
            }
            _ => Ok(response),
        }
    };
    let Ok(mut stream) = accept_hdr_async(socket, answer).await else {
        return;
    };
    let mut subscribed = Vec::new();
    while subscribed.len() < subscriptions {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => subscribed.push(text.to_string()),
            Some(Ok(_)) => {}
            _ => return,
        }
    }
    seen.send(Seen { path, subscribed }).unwrap();
    let (Session::Drop(frames) | Session::Close(frames) | Session::Hold(frames)) = &session else {
        return;
    };
    for frame in frames {
        stream.send(Message::text(frame.as_str())).await.unwrap();
    }
    match session {
        Session::Close(_) => stream.close(None).await.unwrap(),
        // Until the client goes; what it says is read, so that it is answered underneath.
        Session::Hold(_) => while let Some(Ok(_)) = stream.next().await {},
        Session::Drop(_) | Session::Refuse(_) => {}
    }
}
