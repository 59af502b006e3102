//! The binary `stockpulse-producer`: flags in, exit code out; SIGINT and SIGTERM stop it.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::{check, screen};
use crate::config::command_line;
use crate::config::env::load_dotenv;
use crate::config::log::{end_status_line, init_logging};
use crate::config::producer::{FeedConfig, ProducerArgs, ProducerConfig, VenueConfig};
use crate::feed::finnhub::FREE_SYMBOLS;
use crate::feed::{self, Timing};
use crate::health::{self, Probes};
use crate::metrics::producer::ProducerMetrics;
use crate::model::Exit;

/// How the port is chosen.
const PORT_FLAG: &str = "--port (PRODUCER_PORT)";

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
    end_status_line();
    runtime.shutdown_background();
    ended
}

async fn serve(config: &ProducerConfig) -> Result<(), (Exit, String)> {
    let mut signals = Signals::new()
        .map_err(|error| (Exit::Failed, format!("cannot listen for signals: {error}")))?;
    let (stop, stopping) = watch::channel(false);
    let metrics = ProducerMetrics::default();
    let feeds = feed::from_configs(&config.feeds, &Timing::default(), now_ms)
        .map_err(|error| (Exit::Usage, error.to_string()))?;
    warn_of_many_symbols(config);
    if let Some(wait) = config.check {
        let report = check::check(config, feeds, wait);
        return tokio::select! {
            report = report => tell(&report),
            _ = signals.next() => Err((Exit::Failed, "stopped before everything was tried".to_string())),
        };
    }
    let mut showing = std::pin::pin!(show(config, &metrics).await?);
    let backoff = Backoff::default();
    let mut running = std::pin::pin!(super::run(
        feeds,
        &config.delivery,
        &backoff,
        &metrics,
        stopping
    ));
    let ended = tokio::select! {
        ended = &mut running => ended,
        never = &mut showing => match never {},
        name = signals.next() => {
            info!(signal = name, "Stopping; what was accepted is delivered first.");
            // The receiver lives in `running`; if it has just ended there is nothing to stop.
            let _ = stop.send(true);
            tokio::select! {
                ended = &mut running => ended,
                never = &mut showing => match never {},
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
        ticks_dropped = counts.ticks_dropped,
        trades_missing = counts.trades_missing,
        trades_recovered = counts.trades_recovered,
        duplicates = counts.duplicates,
        "The producer has ended."
    );
    ended.map_err(|error| (error.exit(), error.to_string()))
}

/// The port is opened now; what is returned serves it and draws the status line, and never ends.
async fn show(
    config: &ProducerConfig,
    metrics: &ProducerMetrics,
) -> Result<impl Future<Output = std::convert::Infallible> + use<>, (Exit, String)> {
    let listener = match &config.listen {
        None => None,
        Some((host, port)) => {
            let listener = health::bind(host, *port, PORT_FLAG).await;
            Some(listener.map_err(|message| (Exit::Failed, message))?)
        }
    };
    if let Some(address) = listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok())
    {
        info!(%address, "Serving /healthz, /readyz and /metrics.");
    }
    let metrics = metrics.clone();
    Ok(async move {
        let serving = async {
            if let Some(listener) = listener
                && let Err(reason) = health::serve(listener, probes(&metrics)).await
            {
                error!(%reason, "Health and metrics are no longer served; ticks go on.");
            }
        };
        let drawing = async {
            if stderr().is_terminal() {
                screen::show(&metrics, now_ms).await;
            }
        };
        tokio::join!(serving, drawing);
        std::future::pending().await
    })
}

fn probes(metrics: &ProducerMetrics) -> Probes {
    let (asked, counted) = (metrics.clone(), metrics.clone());
    Probes {
        unready: Box::new(move || unready(&asked)),
        metrics: Box::new(move || counted.text(now_ms())),
    }
}

/// Why ticks do not flow.
fn unready(metrics: &ProducerMetrics) -> Vec<String> {
    let mut reasons = Vec::new();
    if !metrics.is_kafka_reachable() {
        reasons.push("Kafka is not reached".to_string());
    }
    let feeds = metrics.feeds();
    let away = feeds.iter().filter(|feed| !feed.is_connected());
    reasons.extend(away.map(|feed| format!("feed {} is not connected", feed.feed())));
    reasons
}

/// Finnhub itself does not say which symbols are too many.
fn warn_of_many_symbols(config: &ProducerConfig) {
    for feed in &config.feeds {
        if let FeedConfig::Live(live) = feed
            && matches!(live.venue, VenueConfig::Finnhub { .. })
            && live.symbols.len() > FREE_SYMBOLS
        {
            let symbols = live.symbols.len();
            warn!(
                symbols,
                "Finnhub's free plan has {FREE_SYMBOLS} symbols; those beyond may be refused."
            );
        }
    }
}

/// Shows what `--check` found.
fn tell(report: &check::Report) -> Result<(), (Exit, String)> {
    for line in &report.lines {
        // A reader that is gone misses the lines; the exit code is the verdict.
        let _ = writeln!(stdout(), "{line}");
    }
    match report.exit {
        Exit::Done => Ok(()),
        exit => Err((
            exit,
            "not everything is there; the lines marked FAIL say what to do".to_string(),
        )),
    }
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
