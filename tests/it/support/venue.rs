//! A server on loopback that speaks as a feed's venue does, over TCP or TLS, and misbehaves when told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::broker::PATIENCE;
use super::speech::Speech;

/// Between two signs of life while a session only holds.
const BEAT: Duration = Duration::from_millis(20);

/// What the server does with one connection.
#[derive(Debug, Clone)]
pub enum Session {
    /// Answers the handshake with this status, and perhaps `Retry-After` in seconds.
    Refuse(u16, Option<u64>),
    /// Takes the subscription and answers it, does this, and then holds.
    Serve(Vec<Act>),
    /// Takes the subscription, says these instead of the venue's answer, does this, and then holds.
    Answer(Vec<String>, Vec<Act>),
}

/// One thing that the server does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A text message.
    Say(String),
    /// These bytes on the connection, whatever they are.
    Raw(Vec<u8>),
    /// A text message that is not UTF-8.
    WrongUtf8,
    /// The beginning of a message that is too long.
    Huge,
    /// Waits for the next message of the client.
    Await,
    /// Says nothing for so long.
    Sleep(Duration),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
    /// Says nothing more, answers nothing, and keeps the connection until the client goes.
    Stall,
    /// Ends the connection without a goodbye.
    Drop,
    /// Resets the connection.
    Reset,
    /// Ends its own direction only, and reads on until the client goes.
    HalfClose,
    /// Says goodbye with this code.
    Close(u16),
}

/// What a client said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Path and query that it asked for.
    pub path: String,
    /// Its messages before the first act, in order.
    pub subscribed: Vec<String>,
}

/// The server: it serves the sessions in order, a connection each, and afterwards only holds.
pub struct FakeVenue {
    address: SocketAddr,
    tls: bool,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Everything that clients said, over all sessions.
    pub said: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

struct Shared {
    speech: Speech,
    acceptor: Option<TlsAcceptor>,
    seen: mpsc::UnboundedSender<Seen>,
    said: Arc<Mutex<Vec<String>>>,
}

impl FakeVenue {
    /// Over TCP.
    pub async fn start(speech: Speech, sessions: Vec<Session>) -> FakeVenue {
        FakeVenue::start_with(speech, sessions, None).await
    }

    /// Over TLS, with a certificate of `authority` if there is one.
    pub async fn start_with(
        speech: Speech,
        sessions: Vec<Session>,
        authority: Option<&Authority>,
    ) -> FakeVenue {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen_in, seen) = mpsc::unbounded_channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared {
            speech,
            acceptor: authority.map(Authority::acceptor),
            seen: seen_in,
            said: Arc::clone(&said),
        });
        let tls = authority.is_some();
        let task = tokio::spawn(async move {
            let mut sessions = sessions.into_iter();
            let mut running = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let session = sessions.next().unwrap_or(Session::Serve(Vec::new()));
                let shared = Arc::clone(&shared);
                running.spawn(async move {
                    // Whatever ends the connection early is the client's right.
                    let _ = shared.serve(socket, session).await;
                });
            }
        });
        FakeVenue {
            address,
            tls,
            seen,
            said,
            task,
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://{}", self.address)
    }

    /// What the client of the next session said, once it has subscribed.
    pub async fn seen(&mut self) -> Seen {
        let seen = tokio::time::timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("nobody subscribed in time")
            .expect("the server runs as long as this value")
    }
}

impl Drop for FakeVenue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;
type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl Shared {
    async fn serve(&self, socket: TcpStream, session: Session) -> Ended {
        let (refuse, answers, acts) = match session {
            Session::Refuse(status, retry_after) => (Some((status, retry_after)), None, Vec::new()),
            Session::Serve(acts) => (None, None, acts),
            Session::Answer(answers, acts) => (None, Some(answers), acts),
        };
        socket.set_nodelay(true)?;
        if acts.iter().any(|act| matches!(act, Act::Reset)) {
            socket.set_zero_linger()?;
        }
        let stream: Box<dyn Stream> = match &self.acceptor {
            Some(acceptor) => Box::new(acceptor.accept(socket).await?),
            None => Box::new(socket),
        };
        let mut path = String::new();
        #[allow(
            clippy::result_large_err,
            reason = "the callback's type is the library's"
        )]
        let answer = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().to_string();
            let Some((status, retry_after)) = refuse else {
                return Ok(response);
            };
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(seconds) = retry_after {
                let value = HeaderValue::from(seconds);
                refusal.headers_mut().insert("retry-after", value);
            }
            Err(refusal)
        };
        let mut socket = accept_hdr_async(stream, answer).await?;
        for text in self.speech.greeting() {
            socket.send(Message::text(text)).await?;
        }
        let mut subscribed = Vec::new();
        while subscribed.len() < self.speech.subscriptions(&path) {
            subscribed.push(self.next(&mut socket).await?);
        }
        let answers = answers.unwrap_or_else(|| self.speech.answers(&subscribed));
        // Nobody looks in some tests.
        let _ = self.seen.send(Seen { path, subscribed });
        for text in answers {
            socket.send(Message::text(text)).await?;
        }
        for act in acts {
            if !self.act(&mut socket, act).await? {
                return Ok(());
            }
        }
        self.hold(&mut socket).await
    }

    /// False: the session is over.
    async fn act(
        &self,
        socket: &mut Socket,
        act: Act,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        match act {
            Act::Say(text) => socket.send(Message::text(text)).await?,
            Act::Raw(bytes) => {
                socket.get_mut().write_all(&bytes).await?;
                socket.get_mut().flush().await?;
            }
            Act::WrongUtf8 => {
                socket
                    .get_mut()
                    .write_all(&[0x81, 0x02, 0xff, 0xfe])
                    .await?;
                socket.get_mut().flush().await?;
            }
            Act::Huge => {
                let mut start = vec![0x81, 127];
                start.extend(64_000_000_u64.to_be_bytes());
                start.extend([b'x'; 4096]);
                socket.get_mut().write_all(&start).await?;
                socket.get_mut().flush().await?;
            }
            Act::Await => drop(self.next(socket).await?),
            Act::Sleep(time) => tokio::time::sleep(time).await,
            Act::Wait(until) => until.notified().await,
            Act::Stall => {
                until_gone(socket).await;
                return Ok(false);
            }
            Act::Drop | Act::Reset => return Ok(false),
            Act::HalfClose => {
                socket.get_mut().shutdown().await?;
                until_gone(socket).await;
                return Ok(false);
            }
            Act::Close(code) => {
                let frame = CloseFrame {
                    code: code.into(),
                    reason: "as the test says".into(),
                };
                socket.close(Some(frame)).await?;
                until_gone(socket).await;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The client's next text.
    async fn next(
        &self,
        socket: &mut Socket,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.said.lock().unwrap().push(text.to_string());
                    return Ok(text.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the client is gone".into()),
            }
        }
    }

    /// Lives and says so, until the client goes.
    async fn hold(&self, socket: &mut Socket) -> Ended {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => match self.speech.beat() {
                    Some(text) => socket.send(Message::text(text)).await?,
                    None => socket.send(Message::Ping("alive".into())).await?,
                },
                said = self.next(socket) => drop(said?),
            }
        }
    }
}

async fn until_gone(socket: &mut Socket) {
    let mut bytes = [0; 1024];
    while let Ok(1..) = socket.get_mut().read(&mut bytes).await {}
}

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes its certificate.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
