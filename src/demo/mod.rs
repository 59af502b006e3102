//! The whole pipeline in one process: embedded broker, feed, producer, ingest job, API. Nothing of it
//! outlives the process but the Parquet files.

mod screen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api;
use crate::broker::{BrokerError, EmbeddedBroker};
use crate::config::api::{ApiOptions, JobUrl};
use crate::config::demo::{DemoArgs, DemoFeed};
use crate::config::ingest::{DEFAULT_UI_HOST, DEFAULT_UI_PORT, IngestOptions, Trigger, UiOptions};
use crate::config::kafka::KafkaProperties;
use crate::config::producer::{DeliveryConfig, FeedConfig, ProducerArgs};
use crate::feed::{self, Timing};
use crate::job::{Console, ProgressReport, Summary};
use crate::metrics::ingest::IngestMetrics;
use crate::metrics::producer::ProducerMetrics;
use crate::model::Exit;
use crate::producer;
use crate::producer::backoff::Backoff;
use crate::query::sql::SqlFile;
use crate::submit;
use crate::submit::launch::{self, LaunchError, Prepared};
use crate::submit::page::JobPage;
use screen::Screen;

/// The job when there is no `sql/ohlc.sql` in the working directory.
const BUILT_IN_SQL: &str = include_str!("../../sql/ohlc.sql");
const TOPIC: &str = "raw_ticks";
const PARTITIONS: i32 = 4;
/// The simulated market begins this long ago, so that there are candles at once.
const HISTORY: Duration = Duration::from_secs(3600);
/// Marks a folder as one that a demo made, and may empty.
const MARKER: &str = "stockpulse-demo";

type Failure = (Exit, String);

/// Runs the demo until Ctrl-C, SIGTERM or `args.run_for`.
pub fn run(args: &DemoArgs) -> ExitCode {
    match demo(args) {
        Ok(()) => Exit::Done.into(),
        Err((exit, message)) => {
            eprintln!("error: {message}");
            exit.into()
        }
    }
}

fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let failed = |message: String| (Exit::Failed, message);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed(format!("cannot start: {error}")))?;
    let api_options = |broker: &str, symbols: &[String], job_url| ApiOptions {
        port: args.api_port,
        candles: table_of(&args.data_dir),
        job_url,
        kafka_broker: broker.to_string(),
        monitored_symbols: symbols.to_vec(),
        ..ApiOptions::default()
    };
    let listener = runtime
        .block_on(api::bind(&api_options("", &[], JobUrl::None), "--api-port"))
        .map_err(|error| failed(error.to_string()))?;
    let broker = EmbeddedBroker::start(TOPIC, PARTITIONS, args.kafka_port).map_err(|error| {
        failed(match error {
            BrokerError::Port { .. } => format!("{error} by --kafka-port"),
            other => other.to_string(),
        })
    })?;
    let table = start_anew(&args.data_dir)?;
    let feeds = feed_configs(args)?;
    let sql = sql(args, &broker.address(), &table)?;
    let job = job_options(args);
    let metrics = IngestMetrics::default();
    let prepared = launch::prepare(&job, &sql).map_err(unlaunched)?;
    let page = submit::page::open(&job, &sql, &metrics);
    let screen = Screen::new(
        &broker.address(),
        &table,
        listener.local_addr().ok(),
        page.as_ref().map(JobPage::url),
    );
    screen.welcome();

    let stop = Arc::new(AtomicBool::new(false));
    let (stop_producer, producer_stopping) = watch::channel(false);
    let (stop_api, mut api_stopping) = watch::channel(false);
    let job_url = page
        .as_ref()
        .map_or(JobUrl::None, |page| JobUrl::At(page.url()));
    let options = api_options(&broker.address(), &symbols(&feeds), job_url);
    let api = runtime.spawn(api::serve(
        options,
        listener,
        Box::pin(async move {
            // An error means that the demo is gone, which also ends the API.
            let _ = api_stopping.wait_for(|stopping| *stopping).await;
        }),
    ));
    let counters = ProducerMetrics::default();
    let feeds = feed::from_configs(&feeds, &Timing::default(), now_ms)
        .map_err(|error| (Exit::Usage, error.to_string()))?;
    let producing = runtime.spawn({
        let delivery = DeliveryConfig::new(KafkaProperties::new(broker.address()), TOPIC);
        let counters = counters.clone();
        async move {
            producer::run(
                feeds,
                &delivery,
                &Backoff::default(),
                &counters,
                producer_stopping,
            )
            .await
        }
    });
    runtime.spawn(stop_later(args.run_for, stop_producer, Arc::clone(&stop)));

    let ended = ingest(prepared, &job, &stop, &metrics, page.as_ref(), screen);
    drop(page);
    // The job ends first or last: what the producer still sends is not waited for.
    stop.store(true, Ordering::Relaxed);
    stop_api.send_replace(true);
    let produced = runtime.block_on(producing);
    let served = runtime.block_on(api);
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended?;
    if let Ok(Err(error)) = produced {
        return Err((error.exit(), error.to_string()));
    }
    match served {
        Ok(Err(error)) => Err(failed(error.to_string())),
        _ => Ok(()),
    }
}

fn job_options(args: &DemoArgs) -> IngestOptions {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    IngestOptions {
        ui: Some(UiOptions {
            host: DEFAULT_UI_HOST.to_owned(),
            // Who wants any port for one wants it for both.
            port: match args.api_port {
                0 => 0,
                _ => DEFAULT_UI_PORT,
            },
            token: None,
        }),
        ..IngestOptions::plain("ohlc", threads, Trigger::AtOnce)
    }
}

fn ingest(
    prepared: Prepared,
    options: &IngestOptions,
    stop: &Arc<AtomicBool>,
    metrics: &IngestMetrics,
    page: Option<&JobPage>,
    mut screen: Screen,
) -> Result<(), Failure> {
    let mut show = |report: &ProgressReport| {
        if let Some(page) = page {
            page.update(report);
        }
        screen.show(report);
    };
    let ended = launch::launch(
        prepared,
        options,
        stop,
        metrics,
        Console::stdout(),
        page.map(|page| &page.board),
        &mut show,
    );
    let summary: Option<Summary> = ended.map_err(unlaunched)?;
    screen.goodbye(summary.as_ref());
    Ok(())
}

fn unlaunched(error: LaunchError) -> Failure {
    (error.exit(), error.to_string())
}

/// Ctrl-C, SIGTERM or the end of `--for`: the producer first, so that the job's last commit has all.
async fn stop_later(after: Option<Duration>, producer: watch::Sender<bool>, job: Arc<AtomicBool>) {
    let after = async {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = after => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    producer.send_replace(true);
    producer.closed().await;
    job.store(true, Ordering::Relaxed);
}

/// An empty folder for this demo. One that holds anything else than an earlier demo is left alone.
fn start_anew(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |doing: &str, error: std::io::Error| {
        let message = format!(
            "cannot {doing} {}: {error}; choose another folder by --data-dir",
            dir.display()
        );
        (Exit::NotWritable, message)
    };
    let marker = dir.join(MARKER);
    let empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed("read", error)),
    };
    if !empty && !marker.exists() {
        let message = format!(
            "{} holds files that no demo made, and the demo starts its folder anew; choose another by --data-dir",
            dir.display()
        );
        return Err((Exit::Mismatch, message));
    }
    if !empty {
        std::fs::remove_dir_all(dir).map_err(|error| failed("empty", error))?;
    }
    std::fs::create_dir_all(dir).map_err(|error| failed("create", error))?;
    std::fs::write(
        &marker,
        "A demo made this folder; the next one empties it.\n",
    )
    .map_err(|error| failed("write to", error))?;
    Ok(table_of(dir))
}

/// The candles' place in the demo's folder.
fn table_of(dir: &Path) -> PathBuf {
    dir.join("ohlc")
}

fn feed_configs(args: &DemoArgs) -> Result<Vec<FeedConfig>, Failure> {
    let env = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    let usage = |message: String| (Exit::Usage, message);
    match args.feed {
        DemoFeed::Simulated => Ok(vec![FeedConfig::Simulated {
            symbols: feed::simulated::SYMBOLS
                .iter()
                .take(usize::from(args.symbols))
                .map(ToString::to_string)
                .collect(),
            seed: 1,
            ticks_per_second: f64::from(args.rate),
            history: HISTORY,
        }]),
        DemoFeed::Live => ProducerArgs::live_from_environment().map_err(usage),
        DemoFeed::Finnhub if env("FINNHUB_TOKEN").is_none() => Err(usage(
            "--feed finnhub needs FINNHUB_TOKEN in the environment or .env; a free token is to be had at finnhub.io, and --feed live and simulated need none".to_string(),
        )),
        // With a token that is what live means.
        DemoFeed::Finnhub => ProducerArgs::live_from_environment().map_err(usage),
        DemoFeed::Replay => match &args.replay_file {
            Some(path) => Ok(vec![FeedConfig::Replay { path: path.clone(), speed: None }]),
            None => Err(usage("--feed replay needs --replay-file FILE".to_string())),
        },
    }
}

fn symbols(feeds: &[FeedConfig]) -> Vec<String> {
    let symbols = |feed: &FeedConfig| match feed {
        FeedConfig::Simulated { symbols, .. } => symbols.clone(),
        FeedConfig::Live(live) => live.symbols.clone(),
        FeedConfig::Replay { .. } => Vec::new(),
    };
    feeds.iter().flat_map(symbols).collect()
}

fn sql(args: &DemoArgs, broker: &str, table: &Path) -> Result<SqlFile, Failure> {
    let path = args.sql.display().to_string();
    let text = match std::fs::read_to_string(&args.sql) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == "sql/ohlc.sql" => {
            BUILT_IN_SQL.to_string()
        }
        Err(error) => return Err((Exit::SqlRefused, format!("cannot read {path}: {error}"))),
    };
    let table = table.display().to_string();
    let lookup = |name: &str| match name {
        "KAFKA_BROKER" => Some(broker.to_string()),
        "KAFKA_TOPIC" => Some(TOPIC.to_string()),
        "CANDLES_PATH" => Some(table.clone()),
        _ => std::env::var(name).ok().filter(|value| !value.is_empty()),
    };
    SqlFile::parse(&path, &text, &lookup).map_err(|faults| (Exit::SqlRefused, faults.to_string()))
}

fn now_ms() -> i64 {
    crate::job::wall_clock() / crate::model::NANOS_PER_MILLI
}
