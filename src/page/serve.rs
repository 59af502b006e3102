//! Listening, and ending.

use std::io;
use std::net::SocketAddr;

use axum::middleware;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::board::Board;
use super::guard::guard;
use super::routes::router;
use crate::config::ingest::UiOptions;

/// Ports that are tried, as Spark does (`spark.port.maxRetries`).
const PORTS: u16 = 17;

/// A page that is served, until it is dropped.
pub struct Page {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Page {
    /// Listens and serves.
    ///
    /// # Errors
    /// None of the ports is free, or the address is not of this machine.
    pub fn start(options: &UiOptions, board: Board) -> io::Result<Page> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Only to ask the broker for the ends of its partitions.
            .max_blocking_threads(1)
            .build()?;
        let listener = runtime.block_on(listen(options))?;
        let address = listener.local_addr()?;
        let routes =
            router(board).layer(middleware::from_fn_with_state(options.token.clone(), guard));
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = axum::serve(listener, routes) => {
                        if let Err(error) = ended {
                            tracing::warn!(%error, "the job's page ends; the job goes on");
                        }
                    }
                    // Dropped, or told.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("page".to_owned())
            .spawn(serve)?;
        Ok(Page {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of its own is told already.
            let _ = thread.join();
        }
    }
}

async fn listen(options: &UiOptions) -> io::Result<TcpListener> {
    let mut port = options.port;
    loop {
        match TcpListener::bind((options.host.as_str(), port)).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && port < options.port.saturating_add(PORTS - 1) =>
            {
                port += 1;
            }
            listening => return listening,
        }
    }
}
