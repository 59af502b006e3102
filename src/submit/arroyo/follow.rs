//! A pipeline on its way: until it runs, while it runs, until it has ended.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Failure;
use super::api::{Change, Job, OperatorMetrics, Phase, Pipeline, StopMode};
use super::client::{Client, ClusterError};
use super::place::Placed;
use super::signals::Signals;
use crate::model::Exit;

/// How often a state is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks between two at checkpoints, metrics and errors, which the cluster collects every two seconds.
const LOOKS_PER_REPORT: u32 = 4;
/// How often one that waits says so.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// How long the state of before a restart may still be told.
const RESTART_LIMIT: Duration = Duration::from_secs(60);
/// How long a cluster may be away while a pipeline is followed.
const AWAY_LIMIT: Duration = Duration::from_secs(600);

/// What a wait came to.
pub(super) enum Reached {
    Running(Job),
    /// It ended before.
    Ended(Job),
    /// A signal came.
    Signal,
}

/// Asks for a stop after a last checkpoint.
pub(super) async fn stop(client: &Client, id: &str) -> Result<(), ClusterError> {
    let change = Change {
        stop: Some(StopMode::Checkpoint),
        ..Change::default()
    };
    client.change(id, &change).await.map(drop)
}

/// Waits until the pipeline runs, and says what it does until then.
pub(super) async fn until_running(
    client: &Client,
    placed: &Placed,
    signals: &Signals,
) -> Result<Reached, Failure> {
    let id = placed.pipeline.id.as_str();
    let mut states = States::new(id);
    let since = Instant::now();
    let mut has_moved = false;
    loop {
        let job = client.job(id).await?;
        let is_old = !has_moved
            && placed.before.as_ref().is_some_and(|before| {
                (&before.id, &before.state, before.run_id) == (&job.id, &job.state, job.run_id)
            });
        if !is_old {
            has_moved = true;
            states.say(&job);
        }
        match job.phase() {
            Phase::Running => return Ok(Reached::Running(job)),
            phase if phase.is_terminal() && !(is_old && since.elapsed() < RESTART_LIMIT) => {
                return Ok(Reached::Ended(job));
            }
            _ => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = signals.first() => return Ok(Reached::Signal),
        }
    }
}

/// Waits until the pipeline is at an end; a cluster that is away meanwhile is waited for.
pub(super) async fn until_ended(client: &Client, id: &str) -> Result<Job, Failure> {
    let mut states = States::new(id);
    let mut away = Away::default();
    loop {
        if let Some(job) = away.look(client, id).await? {
            states.say(&job);
            if job.phase().is_terminal() {
                return Ok(job);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Stays with a running pipeline, and shows how it gets on, until it ends or a signal comes, which stops it.
pub(super) async fn attached(
    client: &Client,
    pipeline: &Pipeline,
    job: Job,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let id = pipeline.id.as_str();
    let mut states = States::new(id);
    states.state.clone_from(&job.state);
    let mut report = Report::new(client, pipeline, &job.id);
    let mut away = Away::default();
    for look in 0u32.. {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = signals.first() => return detach(client, id, signals).await,
        }
        let Some(job) = away.look(client, id).await? else {
            continue;
        };
        states.say(&job);
        report.job.clone_from(&job.id);
        if job.phase().is_terminal() {
            report.errors().await;
            return ended(id, &job);
        }
        if look % LOOKS_PER_REPORT == 0 {
            report.errors().await;
            report.checkpoint().await;
        }
    }
    Ok(Exit::Done)
}

/// Stops the pipeline after a last checkpoint.
pub(super) async fn detach(client: &Client, id: &str, signals: &Signals) -> Result<Exit, Failure> {
    info!("stopping pipeline {id} after a last checkpoint; once more leaves it at once");
    signals.say_at_once(format!(
        "left at once; pipeline {id} may still run or be stopping on the cluster: --status {id} says how it gets on"
    ));
    if let Err(error) = stop(client, id).await {
        warn!("pipeline {id} was not stopped and goes on; --kill {id} stops it");
        return Err(error.into());
    }
    let job = until_ended(client, id).await?;
    ended(id, &job)
}

/// How a pipeline that is at its end counts.
pub(super) fn ended(id: &str, job: &Job) -> Result<Exit, Failure> {
    match job.phase() {
        Phase::Failed => Err(Failure::Pipeline(format!(
            "pipeline {id} failed: {}",
            job.failure()
        ))),
        Phase::Finished => {
            info!("pipeline {id} is finished");
            Ok(Exit::Done)
        }
        _ => {
            info!("pipeline {id} is stopped; submitted again, it goes on from its last checkpoint");
            Ok(Exit::Done)
        }
    }
}

/// Says states as they change, and now and then that one lasts.
struct States<'a> {
    id: &'a str,
    state: String,
    said: Instant,
}

impl<'a> States<'a> {
    fn new(id: &'a str) -> States<'a> {
        States {
            id,
            state: String::new(),
            said: Instant::now(),
        }
    }

    fn say(&mut self, job: &Job) {
        let is_waiting = matches!(job.phase(), Phase::Starting | Phase::Ending);
        if self.state != job.state {
            info!("pipeline {} is {}", self.id, job.state);
        } else if is_waiting && self.said.elapsed() >= SAY_EVERY {
            info!("pipeline {} is still {}", self.id, job.state);
        } else {
            return;
        }
        self.state.clone_from(&job.state);
        self.said = Instant::now();
    }
}

/// A cluster that does not answer is waited for: the pipeline goes on without us.
#[derive(Default)]
struct Away {
    since: Option<Instant>,
}

impl Away {
    /// The job; `None`: the cluster does not answer now.
    async fn look(&mut self, client: &Client, id: &str) -> Result<Option<Job>, Failure> {
        match (client.job(id).await, self.since) {
            (Ok(job), None) => Ok(Some(job)),
            (Ok(job), Some(_)) => {
                self.since = None;
                info!("the cluster answers again");
                Ok(Some(job))
            }
            (Err(error @ ClusterError::Unreachable { .. }), None) => {
                warn!("{error}; pipeline {id} goes on as it can, and the cluster is asked again");
                self.since = Some(Instant::now());
                Ok(None)
            }
            (Err(ClusterError::Unreachable { .. }), Some(since))
                if since.elapsed() < AWAY_LIMIT =>
            {
                Ok(None)
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// What is told of a running pipeline: each error and each checkpoint once.
struct Report<'a> {
    client: &'a Client,
    pipeline: &'a Pipeline,
    job: String,
    errors: BTreeSet<String>,
    epoch: Option<u64>,
}

impl<'a> Report<'a> {
    fn new(client: &'a Client, pipeline: &'a Pipeline, job: &str) -> Report<'a> {
        Report {
            client,
            pipeline,
            job: job.to_owned(),
            errors: BTreeSet::new(),
            epoch: None,
        }
    }

    /// Deliberately without an error of its own: what cannot be asked for now is asked for again.
    async fn errors(&mut self) {
        let errors = self.client.errors(&self.pipeline.id, &self.job).await;
        for error in errors.unwrap_or_default().into_iter().rev() {
            if self.errors.insert(error.id) {
                let details = match error.details.trim() {
                    "" => String::new(),
                    details => format!(": {details}"),
                };
                let operator = (error.operator_id.map(|operator| format!(" in {operator}")))
                    .unwrap_or_default();
                warn!(
                    "pipeline {} reports{operator}: {}{details}",
                    self.pipeline.id, error.message
                );
            }
        }
    }

    async fn checkpoint(&mut self) {
        let checkpoints = self.client.checkpoints(&self.pipeline.id, &self.job).await;
        let finished = (checkpoints.unwrap_or_default().into_iter())
            .filter_map(|checkpoint| {
                Some((
                    checkpoint.epoch,
                    checkpoint.start_time,
                    checkpoint.finish_time?,
                ))
            })
            .max();
        let Some((epoch, start, end)) = finished else {
            return;
        };
        if self.epoch.replace(epoch) == Some(epoch) {
            return;
        }
        let took = Duration::from_micros(end.saturating_sub(start));
        let metrics = self.client.metrics(&self.pipeline.id, &self.job).await;
        let rates = rates(self.pipeline, &metrics.unwrap_or_default());
        info!("checkpoint {epoch} took {} ms{rates}", took.as_millis());
    }
}

/// How many messages a second go in and out, as far as it was told.
fn rates(pipeline: &Pipeline, metrics: &[OperatorMetrics]) -> String {
    let newest = |name: &str, of: &dyn Fn(u64) -> bool| -> Vec<f64> {
        (metrics.iter().filter(|operator| of(operator.node_id)))
            .flat_map(|operator| {
                operator
                    .metric_groups
                    .iter()
                    .filter(|group| group.name == name)
            })
            .flat_map(|group| group.subtasks.iter())
            .filter_map(|subtask| Some(subtask.metrics.last()?.value))
            .collect()
    };
    let graph = &pipeline.graph;
    let sent = newest("messages_sent", &|node| graph.is_source(node));
    let received = newest("messages_recv", &|node| graph.is_sink(node));
    let pressed = newest("backpressure", &|_| true)
        .into_iter()
        .fold(0.0, f64::max);
    let mut text = String::new();
    for (rates, what) in [(sent, "read"), (received, "written")] {
        if !rates.is_empty() {
            text += &format!(", {:.0} rows/s {what}", rates.iter().sum::<f64>());
        }
    }
    if pressed > 0.5 {
        text += &format!(", backpressure {:.0} %", pressed * 100.0);
    }
    text
}
