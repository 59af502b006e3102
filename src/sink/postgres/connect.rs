//! One connection to a PostgreSQL server: made when it is needed, given up when anything fails on it.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode as ClientSslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use super::errors::{Failure, Place};
use super::tls::Tls;
use crate::config::postgres::{PostgresUrl, SslMode};
use crate::runtime::Runtime;
use crate::sink::SinkError;

/// How long nothing may come.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// A connection on which nothing happens is asked whether it lives.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// How often, until it is given up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// See above.
const KEEPALIVE_RETRIES: u32 = 3;

/// A server, and the connection to it if there is one.
pub(super) struct Server {
    pub place: Place,
    config: Config,
    tls: Tls,
    runtime: Runtime,
    session: Option<Session>,
    /// Whether a connection was ever made.
    ran: bool,
    /// Whether somebody could listen, and was warned of.
    warned: bool,
    is_local: bool,
}

struct Session {
    client: Client,
    /// What moves its bytes.
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ends what the server may still be at: a half-done transaction is undone.
        self.task.abort();
    }
}

impl Server {
    /// What `url` says; nothing is connected yet.
    ///
    /// # Errors
    /// [`SinkError::Options`] for certificates that cannot be read.
    pub(super) fn new(url: &PostgresUrl, job: &str, place: Place) -> Result<Server, SinkError> {
        let runtime = Runtime::of_process()?;
        Ok(Server {
            config: config(url, job, &place),
            tls: Tls::new(url.ssl_mode, &url.root_certificates)?,
            runtime,
            place,
            session: None,
            ran: false,
            warned: false,
            is_local: url.hosts.iter().all(|host| host.is_local()),
        })
    }

    /// Does `step` on the connection, which is made first if there is none. Whatever fails, the connection is given up:
    /// what was begun on it is undone by the server.
    pub(super) fn with<T>(
        &mut self,
        doing: &str,
        step: impl FnOnce(&Talk<'_>) -> Result<T, Failure>,
    ) -> Result<T, SinkError> {
        let ran = self.ran;
        let done = self.connected().and_then(|client| {
            step(&Talk {
                client: client.0,
                runtime: client.1,
            })
        });
        match done {
            Ok(done) => Ok(done),
            Err(failure) => {
                let doing = if self.session.is_none() {
                    "connect"
                } else {
                    doing
                };
                self.session = None;
                Err(self.place.explain(doing, failure, ran))
            }
        }
    }

    fn connected(&mut self) -> Result<(&Client, &Runtime), Failure> {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.client.is_closed())
        {
            self.session = None;
        }
        if self.session.is_none() {
            self.tls.forget();
            let connecting = self.config.connect(self.tls.clone());
            // The hosts are tried one after the other, each within its own limit.
            let hosts = self.config.get_hosts().len().max(1) as u32;
            let one = self
                .config
                .get_connect_timeout()
                .copied()
                .unwrap_or(SILENCE);
            let limit = (one * hosts).max(SILENCE);
            let (client, connection) =
                (self.runtime.wait_for(limit, connecting)).ok_or(Failure::Silent(limit))??;
            let task = self.runtime.handle().spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(reason = %error, "a connection to PostgreSQL ended");
                }
            });
            self.session = Some(Session { client, task });
            self.warn_if_open();
            self.ran = true;
        }
        match &self.session {
            Some(session) => Ok((&session.client, &self.runtime)),
            None => Err(Failure::Silent(SILENCE)),
        }
    }

    fn warn_if_open(&mut self) {
        if !self.tls.is_used() && !self.is_local && !self.warned {
            self.warned = true;
            tracing::warn!(
                "the connection to {} is not encrypted: who is in between reads rows and may change them. sslmode=verify-full in the URL prevents it",
                self.place.server()
            );
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Deliberately without the configuration, which has the password.
        f.debug_struct("Server")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

fn config(url: &PostgresUrl, job: &str, place: &Place) -> Config {
    let mut config = Config::new();
    for host in &url.hosts {
        config.host(&host.name).port(host.port);
    }
    config
        .user(&place.user)
        .dbname(&place.database)
        .application_name(match &url.application_name {
            Some(name) => name.clone(),
            None => format!("stockpulse-{job}"),
        })
        .ssl_mode(match url.ssl_mode {
            SslMode::Disable => ClientSslMode::Disable,
            SslMode::Prefer => ClientSslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => ClientSslMode::Require,
        })
        .connect_timeout(url.connect_timeout)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(KEEPALIVE_IDLE);
    if url.read_write {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    if let Some(password) = &url.password {
        config.password(password.reveal());
    }
    config
}

/// What can be said on a connection.
pub(super) struct Talk<'a> {
    pub client: &'a Client,
    runtime: &'a Runtime,
}

impl Talk<'_> {
    /// Waits for `work`, as long as nothing may come.
    pub(super) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        self.wait_for(SILENCE, work)
    }

    /// Waits for `work`, for `limit`.
    pub(super) fn wait_for<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        match self.runtime.wait_for(limit, work) {
            Some(done) => Ok(done?),
            None => Err(Failure::Silent(limit)),
        }
    }

    /// Statements without rows.
    pub(super) fn run(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.batch_execute(sql))
    }

    /// The rows of a query, as text.
    pub(super) fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, Failure> {
        let messages = self.wait(self.client.simple_query(sql))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// A text as a literal of the server's SQL, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let text = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", text.replace('\\', "\\\\")),
        false => format!("'{text}'"),
    }
}
