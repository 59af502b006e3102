//! Listening, serving, stopping.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::connections;
use super::live::Live;
use super::routes::{App, router};
use super::sql::SqlDoor;
use crate::candles::Store;
use crate::config::api::{ApiArgs, ApiOptions};
use crate::config::{command_line, env, log};
use crate::model::Exit;

/// How long requests under way may still take after a stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// How the port is chosen on the command line of `stockpulse-api`.
const PORT_FLAG: &str = "--port (API_PORT)";

/// What serving failed with.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address cannot be listened on; a busy port most often.
    #[error("{0}")]
    Listen(String),
    /// Anything else that serving cannot go on after.
    #[error("the API stopped: {0}")]
    Failed(#[from] io::Error),
}

/// Listens on the options' host and port.
///
/// # Errors
/// The port is taken, the address is not of this machine, or it may not be used. The message names
/// the address and `port_flag`, how this program's user chooses another port: `--port (API_PORT)`.
pub async fn bind(options: &ApiOptions, port_flag: &str) -> Result<TcpListener, ApiError> {
    let ApiOptions { host, port, .. } = options;
    TcpListener::bind((host.as_str(), *port))
        .await
        .map_err(|error| {
            ApiError::Listen(match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {host}:{port}: another program uses port {port}; \
                     stop it, or choose another port with {port_flag}"
                ),
                io::ErrorKind::PermissionDenied => format!(
                    "cannot listen on {host}:{port}: {error}; \
                     choose a port above 1023 with {port_flag}"
                ),
                _ => format!("cannot listen on {host}:{port}: {error}"),
            })
        })
}

/// Answers requests on `listener` until `stop` resolves, then lets the requests under way end, for
/// [`SHUTDOWN_GRACE`] at the most. `options.host` and `options.port` are not looked at.
///
/// # Errors
/// What the server needs cannot be set up. A failing connection is that client's matter.
pub async fn serve(
    options: ApiOptions,
    listener: TcpListener,
    stop: BoxFuture<'static, ()>,
) -> Result<(), ApiError> {
    let store = Store::new(&options.candles).map_err(io::Error::other)?;
    let store = Arc::new(store);
    let live = Arc::new(Live::start(Arc::clone(&store), &options));
    let sql = options.sql.map(SqlDoor::new).transpose()?.map(Arc::new);
    let most = options.max_connections;
    let app = App {
        options: Arc::new(options),
        store,
        live: Arc::clone(&live),
        sql,
    };
    let (stopping, stopped) = watch::channel(false);
    let until_stop = async move {
        stop.await;
        // A stream has no end of its own.
        live.stop();
        stopping.send_replace(true);
    };
    let serving = connections::answer(listener, router(app), most, until_stop.boxed());
    tokio::select! {
        () = serving => Ok(()),
        () = grace_over(stopped) => {
            warn!("requests were still under way after {SHUTDOWN_GRACE:?}; they are cut off");
            Ok(())
        }
    }
}

async fn grace_over(mut stopped: watch::Receiver<bool>) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}

/// The whole of `stockpulse-api`: reads the command line, serves until SIGINT or SIGTERM.
///
/// Ends with 0 after a signal, 1 when it cannot listen or serve, 2 for a wrong command line.
pub fn run() -> ExitCode {
    if let Err(error) = env::load_dotenv() {
        eprintln!("error: {error}");
        return Exit::Usage.into();
    }
    let args = command_line::parse::<ApiArgs>();
    log::init_logging(args.verbose);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ApiError::Failed)
        .and_then(|runtime| runtime.block_on(run_until_signal(args.into())));
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed.into()
        }
    }
}

async fn run_until_signal(options: ApiOptions) -> Result<(), ApiError> {
    let stop = stop_signal()?;
    let listener = bind(&options, PORT_FLAG).await?;
    let address = listener.local_addr()?;
    info!("the API listens on http://{address}/");
    if !address.ip().is_loopback() && options.token.is_none() {
        warn!(
            "the API is open to whoever reaches {address}: set API_TOKEN, or listen on 127.0.0.1"
        );
    }
    serve(options, listener, stop.boxed()).await?;
    info!("the API has stopped");
    Ok(())
}

/// Resolves on SIGINT or SIGTERM; from this call on they no longer end the process by themselves.
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
