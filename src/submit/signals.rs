//! SIGINT and SIGTERM, as every way of running a job hears them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, heard from when this was made.
pub(super) struct Signals {
    interrupted: Signal,
    terminated: Signal,
}

impl Signals {
    /// Listens, in the runtime that this is called in.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
        })
    }

    /// The next one, as `kill` calls it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupted.recv() => "INT",
            _ = self.terminated.recv() => "TERM",
        }
    }
}
