//! `--status` and `--kill`: a pipeline by its id or its name.

use tracing::info;

use super::api::{Phase, Pipeline};
use super::client::Client;
use super::follow::{ended, stop, until_ended};
use super::place::{Present, present};
use super::signals::Signals;
use super::{Failure, print};
use crate::model::Exit;

/// Says on standard output how a pipeline gets on.
pub(super) async fn status(client: &Client, console: &str, wanted: &str) -> Result<Exit, Failure> {
    let Present { pipeline, job } = find(client, wanted).await?;
    let checkpoints = client
        .checkpoints(&pipeline.id, &job.id)
        .await
        .unwrap_or_default();
    let newest = (checkpoints.iter())
        .filter_map(|checkpoint| Some((checkpoint.epoch, checkpoint.finish_time?)))
        .max();
    let checkpoint = match newest {
        Some((epoch, finished)) => format!("{epoch}, {}", time(Some(finished))),
        None => "none".to_owned(),
    };
    let mut text = format!(
        "pipeline    {}\nname        {}\nstate       {}\nstarted     {}\n",
        pipeline.id,
        pipeline.name,
        job.state,
        time(job.start_time)
    );
    if job.phase().is_terminal() {
        text += &format!("ended       {}\n", time(job.finish_time));
    }
    if job.phase() == Phase::Failed {
        text += &format!("failure     {}\n", job.failure());
    }
    text += &format!(
        "parallelism {}\ntasks       {}\ncheckpoint  {checkpoint}\nconsole     {console}/pipelines/{}",
        pipeline.parallelism(),
        job.tasks
            .map_or_else(|| "–".to_owned(), |tasks| tasks.to_string()),
        pipeline.id
    );
    print(&text);
    Ok(Exit::Done)
}

/// Stops a pipeline after a last checkpoint, and waits until it has ended. A signal ends the wait.
pub(super) async fn kill(
    client: &Client,
    wanted: &str,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let Present { pipeline, job } = find(client, wanted).await?;
    let id = pipeline.id.as_str();
    if job.phase().is_terminal() {
        info!(
            "pipeline {id} ({}) does not run: it is {}",
            pipeline.name, job.state
        );
        return Ok(Exit::Done);
    }
    stop(client, id).await?;
    info!(
        "pipeline {id} ({}) stops after a last checkpoint",
        pipeline.name
    );
    tokio::select! {
        job = until_ended(client, id) => ended(id, &job?),
        () = signals.first() => {
            info!("pipeline {id} is still stopping; --status {id} says how it gets on");
            Ok(Exit::Done)
        }
    }
}

async fn find(client: &Client, wanted: &str) -> Result<Present, Failure> {
    // What is no id of Arroyo's would be another path.
    let is_id = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let by_id: Option<Pipeline> = match wanted.chars().all(is_id) && !wanted.is_empty() {
        true => client.pipeline(wanted).await?,
        false => None,
    };
    if let Some(pipeline) = by_id {
        let job = client.job(&pipeline.id).await?;
        return Ok(Present { pipeline, job });
    }
    let named = present(client, wanted).await?;
    named.ok_or_else(|| {
        Failure::Pipeline(format!(
            "the cluster has no pipeline of the id or the name \"{wanted}\""
        ))
    })
}

/// Microseconds since 1970 as a time.
fn time(micros: Option<u64>) -> String {
    let micros = micros.and_then(|micros| i64::try_from(micros).ok());
    let time = micros.and_then(chrono::DateTime::from_timestamp_micros);
    time.map_or_else(
        || "–".to_owned(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}
