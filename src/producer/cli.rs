//! The binary `stockpulse-producer`: flags in, exit code out; SIGINT and SIGTERM stop it.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::backoff::Backoff;
use crate::config::command_line;
use crate::config::env::load_dotenv;
use crate::config::log::init_logging;
use crate::config::producer::{ProducerArgs, ProducerConfig};
use crate::feed;
use crate::metrics::producer::ProducerMetrics;
use crate::model::Exit;

/// Runs the producer as the process's command line and environment say.
pub fn run() -> ExitCode {
    match start() {
        Ok(()) => Exit::Done.into(),
        Err((exit, message)) => {
            eprintln!("stockpulse-producer: {message}");
            exit.into()
        }
    }
}

fn start() -> Result<(), (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
    load_dotenv().map_err(usage)?;
    // clap ends the process for --help and for a flag that it does not know, with 0 and 2.
    let args = command_line::parse::<ProducerArgs>();
    init_logging(args.verbose);
    let config = args.check().map_err(usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (Exit::Failed, format!("cannot start: {error}")))?;
    let ended = runtime.block_on(serve(&config));
    runtime.shutdown_background();
    ended
}

async fn serve(config: &ProducerConfig) -> Result<(), (Exit, String)> {
    let mut signals = Signals::new()
        .map_err(|error| (Exit::Failed, format!("cannot listen for signals: {error}")))?;
    let (stop, stopping) = watch::channel(false);
    let metrics = ProducerMetrics::default();
    let feed = feed::from_config(&config.feed, now_ms)
        .map_err(|error| (Exit::Usage, error.to_string()))?;
    let backoff = Backoff::default();
    let mut running = std::pin::pin!(super::run(
        vec![feed],
        &config.delivery,
        &backoff,
        &metrics,
        stopping
    ));
    let ended = tokio::select! {
        ended = &mut running => ended,
        name = signals.next() => {
            info!(signal = name, "Stopping; what was accepted is delivered first.");
            // The receiver lives in `running`; if it has just ended there is nothing to stop.
            let _ = stop.send(true);
            tokio::select! {
                ended = &mut running => ended,
                _ = signals.next() => {
                    return Err((Exit::Failed, "stopped at once by a second signal".to_string()));
                }
            }
        }
    };
    let counts = metrics.counts();
    info!(
        frames_received = counts.frames_received,
        messages_delivered = counts.messages_delivered,
        ticks_delivered = counts.ticks_delivered,
        messages_failed = counts.messages_failed,
        frames_malformed = counts.frames_malformed,
        frames_error = counts.frames_error,
        reconnects = counts.reconnects,
        "The producer has ended."
    );
    ended.map_err(|error| (error.exit(), error.to_string()))
}

/// The signals that stop the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Milliseconds since 1970 UTC.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
