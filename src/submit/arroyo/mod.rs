//! `--master arroyo://`: the same SQL file as a pipeline on an Arroyo cluster, through its REST API.
//!
//! The text is made ready (variables, absolute paths), validated there, and placed: created, restarted, left alone
//! or instead of another. Then it is followed until it runs, and as a client until it ends.

mod api;
mod client;
mod follow;
mod notes;
mod partitions;
mod place;
mod signals;
mod status;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tracing::{info, warn};

use super::explain::Look;
use super::{environment, refuse};
use crate::config::ingest::{Action, ArroyoSettings, Cluster, DeployMode, IngestOptions, Trigger};
use crate::model::Exit;
use crate::query::sql::{Diagnostic, Diagnostics, SqlFile, Submission};
use api::{Graph, Phase, SqlFault};
use client::{Client, ClusterError};
use follow::Reached;
use place::{Present, Wanted};
use signals::Signals;

/// Why there is no pipeline, or it ended before its time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    #[error("{0}")]
    Sql(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Partitions(String),
    #[error("{0}")]
    Pipeline(String),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Failure::Cluster(error) => error.exit(),
            Failure::Sql(_) => Exit::SqlRefused,
            Failure::Usage(_) => Exit::Usage,
            Failure::Partitions(_) => Exit::KafkaUnreachable,
            Failure::Pipeline(_) => Exit::Failed,
        }
    }
}

/// Does on the cluster what the command line asks for, and returns how it ended.
pub(super) fn run(options: &IngestOptions, cluster: &Cluster, look: Option<Look>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(act(options, cluster, look)),
        Err(error) => Err(Failure::Pipeline(format!("no runtime: {error}"))),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => refuse(failure.exit(), &failure.to_string()),
    }
}

async fn act(
    options: &IngestOptions,
    cluster: &Cluster,
    look: Option<Look>,
) -> Result<Exit, Failure> {
    let signals = Signals::listen()
        .map_err(|error| Failure::Pipeline(format!("cannot listen for signals: {error}")))?;
    let client = Client::new(cluster)?;
    match &options.action {
        Action::Status(id) => status::status(&client, &cluster.url, id).await,
        Action::Kill(id) => status::kill(&client, id, &signals).await,
        Action::Run => submit(options, cluster, &client, look, &signals).await,
    }
}

/// A file that the cluster takes.
struct Ready {
    submission: Submission,
    sql: Option<SqlFile>,
    graph: Graph,
}

async fn submit(
    options: &IngestOptions,
    cluster: &Cluster,
    client: &Client,
    look: Option<Look>,
    signals: &Signals,
) -> Result<Exit, Failure> {
    notes::refuse(options)?;
    let stopped = || {
        info!("stopped; no pipeline was touched");
        Ok(Exit::Done)
    };
    let ready = tokio::select! {
        ready = validated(options, cluster, client) => ready?,
        () = signals.first() => return stopped(),
    };
    if let Some(look) = look {
        print(&shown(options, cluster, &ready.graph, look));
        return Ok(Exit::Done);
    }
    let prepared = async {
        let present = place::present(client, &options.name).await?;
        let same = present
            .as_ref()
            .filter(|present| ready.submission.is_same(&present.pipeline.query));
        let parallelism = partitions::parallelism(
            options,
            asked_parallelism(options, &cluster.settings),
            same.map(|present| present.pipeline.parallelism()),
            ready.sql.as_ref(),
            signals,
        );
        let parallelism = parallelism.await?;
        Ok::<(Option<Present>, u64), Failure>((present, parallelism))
    };
    let (present, parallelism) = tokio::select! {
        prepared = prepared => prepared?,
        () = signals.first() => return stopped(),
    };
    let wanted = Wanted {
        name: &options.name,
        submission: &ready.submission,
        parallelism,
        checkpoint_interval: checkpoint_interval(options, &cluster.settings),
    };
    let sources = partitions::sources(ready.sql.as_ref());
    let Some(placed) = place::place(client, &wanted, present, &sources, signals).await? else {
        return Ok(Exit::Done);
    };
    let id = placed.pipeline.id.clone();
    // On standard output, for scripts: the id, and where it is to be seen.
    print(&format!("{id}\n{}/pipelines/{id}", cluster.url));
    signals.say_at_once(format!(
        "left at once; pipeline {id} goes on on the cluster: --status {id} says how, --kill {id} stops it"
    ));
    let is_client = options.deploy_mode == DeployMode::Client;
    match follow::until_running(client, &placed, signals).await? {
        Reached::Running(job) if is_client => {
            info!("pipeline {id} runs; Ctrl-C stops it after a last checkpoint");
            follow::attached(client, &placed.pipeline, job, signals).await
        }
        Reached::Running(_) => {
            info!("pipeline {id} runs");
            Ok(Exit::Done)
        }
        Reached::Ended(job) if is_client || job.phase() != Phase::Stopped => {
            follow::ended(&id, &job)
        }
        Reached::Ended(_) => Err(Failure::Pipeline(format!(
            "pipeline {id} was stopped before it ran"
        ))),
        Reached::Signal if is_client => follow::detach(client, &id, signals).await,
        Reached::Signal => {
            info!("stopped; pipeline {id} goes on on the cluster: --status {id} says how");
            Ok(Exit::Done)
        }
    }
}

/// Reads the file and has the cluster validate it.
async fn validated(
    options: &IngestOptions,
    cluster: &Cluster,
    client: &Client,
) -> Result<Ready, Failure> {
    let path: &Path = &options.sql_path;
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Failure::Sql(format!("the SQL file {shown} cannot be read: {error}"))
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let folder = std::env::current_dir().map_err(unreadable)?;
    let lookup = |name: &str| options.variable(name, &environment);
    let submission = Submission::new(&shown.to_string(), &text, &lookup, &folder)
        .map_err(|faults| Failure::Sql(faults.to_string()))?;
    for name in options.unused_vars(&submission.variables) {
        warn!("spark.stockpulse.var.{name} has no effect: {shown} has no {{{{ {name} }}}}");
    }
    let sql = SqlFile::parse(&shown.to_string(), &text, &lookup).ok();
    notes::say(options, cluster, sql.as_ref());
    let validation = client.validate(&submission.text).await?;
    match (validation.graph, validation.errors.is_empty()) {
        (Some(graph), true) => Ok(Ready {
            submission,
            sql,
            graph,
        }),
        (_, false) => {
            let faults = validation
                .errors
                .iter()
                .map(|fault| diagnostic(&submission, fault));
            Err(Failure::Sql(Diagnostics(faults.collect()).to_string()))
        }
        (None, true) => Err(Failure::Sql(format!(
            "the cluster does not take {shown}, and says no reason"
        ))),
    }
}

fn diagnostic(submission: &Submission, fault: &SqlFault) -> Diagnostic {
    let (message, span) = match fault {
        SqlFault::Placed { message, span } => (message, span.as_ref()),
        SqlFault::Text(message) => (message, None),
    };
    let place = span.map(|span| [&span.start, &span.end].map(|place| (place.line, place.column)));
    let fault = submission.diagnostic(place, message.trim());
    fault.with_help("this is what the Arroyo cluster says; docs/ARROYO.md lists what it takes")
}

/// The parallelism that was asked for: by its own property, else by spark-submit's options for cores.
fn asked_parallelism(options: &IngestOptions, settings: &ArroyoSettings) -> Option<u64> {
    let cores = options.cores.and_then(|cores| u64::try_from(cores).ok());
    settings.parallelism.or(cores)
}

/// As told, else the trigger's where it has one, else the cluster's own.
fn checkpoint_interval(options: &IngestOptions, settings: &ArroyoSettings) -> Option<Duration> {
    let (None, Trigger::ProcessingTime(time)) = (settings.checkpoint_interval, options.trigger)
    else {
        return settings.checkpoint_interval;
    };
    let allowed = ArroyoSettings::allowed_interval(time);
    if allowed != time {
        warn!(
            "the trigger of {time:?} becomes a checkpoint interval of {allowed:?}: Arroyo takes 1 second to a day"
        );
    }
    Some(allowed)
}

/// What a dry run says, and what `--explain` does.
fn shown(options: &IngestOptions, cluster: &Cluster, graph: &Graph, look: Look) -> String {
    let mut text = format!(
        "{} is valid on the Arroyo cluster at {}: {} operators",
        options.sql_path.display(),
        cluster.url,
        graph.nodes.len()
    );
    if look == Look::Explain {
        for node in &graph.nodes {
            let into: Vec<String> = (graph.edges.iter())
                .filter(|edge| edge.src_id == node.node_id)
                .map(|edge| edge.dest_id.to_string())
                .collect();
            let into = match into.is_empty() {
                true => String::new(),
                false => format!(" → {}", into.join(", ")),
            };
            text += &format!("\n  {:>3}  {}{into}", node.node_id, node.description);
        }
    }
    text
}

/// A text on standard output, and the end of its line.
fn print(text: &str) {
    // Deliberately: nothing can be done when nobody reads any more.
    let _ = writeln!(std::io::stdout(), "{text}");
}
