//! Brings a pipeline onto the cluster: created, or the one of the same name restarted, left alone or replaced.

use std::time::Duration;

use tracing::{info, warn};

use super::Failure;
use super::api::{Change, Job, NewPipeline, Phase, Pipeline, StopMode};
use super::client::{Client, ClusterError};
use super::follow::{stop, until_ended};
use super::signals::Signals;
use crate::query::sql::{KafkaSourceOptions, SourceOffset, Submission};

/// How often it is looked whether a pipeline was created although no answer came, and how long after.
const LOOKS: usize = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A pipeline of the wanted name that is there already, with its job.
pub(super) struct Present {
    pub pipeline: Pipeline,
    pub job: Job,
}

/// What is wanted of the cluster.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub submission: &'a Submission,
    pub parallelism: u64,
    /// `None`: the cluster's own, or as it is.
    pub checkpoint_interval: Option<Duration>,
}

impl Wanted<'_> {
    fn interval_micros(&self) -> Option<u64> {
        let micros = self.checkpoint_interval?.as_micros();
        u64::try_from(micros).ok()
    }
}

/// A pipeline that is to be followed.
pub(super) struct Placed {
    pub pipeline: Pipeline,
    /// The state that it was restarted from, which the cluster still tells for a while.
    pub before: Option<Job>,
}

/// The pipeline of this name: the one that is not at its end, else the newest.
///
/// # Errors
/// Several of them run, so that it is not clear which is meant.
pub(super) async fn present(client: &Client, name: &str) -> Result<Option<Present>, Failure> {
    let mut found = Vec::new();
    for pipeline in client.pipelines_named(name).await? {
        let job = client.job(&pipeline.id).await?;
        found.push(Present { pipeline, job });
    }
    let is_alive = |present: &Present| !present.job.phase().is_terminal();
    let alive: Vec<&str> = (found.iter().filter(|present| is_alive(present)))
        .map(|present| present.pipeline.id.as_str())
        .collect();
    if alive.len() > 1 {
        return Err(Failure::Usage(format!(
            "{} pipelines named {name} run on the cluster ({}); stop all but one with --kill ID, or choose another --name",
            alive.len(),
            alive.join(", ")
        )));
    }
    let chosen = found.iter().position(is_alive).unwrap_or(0);
    Ok((chosen < found.len()).then(|| found.swap_remove(chosen)))
}

/// Brings the pipeline onto the cluster. `sources` are the topics that it reads, as far as they are known.
pub(super) async fn place(
    client: &Client,
    wanted: &Wanted<'_>,
    present: Option<Present>,
    sources: &[KafkaSourceOptions],
    signals: &Signals,
) -> Result<Option<Placed>, Failure> {
    let Some(Present { pipeline, mut job }) = present else {
        return create(client, wanted).await.map(Some);
    };
    let id = pipeline.id.clone();
    let is_same = wanted.submission.is_same(&pipeline.query);
    if job.phase() == Phase::Ending || !is_same && !job.phase().is_terminal() {
        match is_same {
            true => info!("pipeline {id} has the same SQL and is ending; waiting for that"),
            false => {
                info!(
                    "pipeline {id} has other SQL and is replaced: it stops after a last checkpoint"
                );
                signals.say_at_once(format!(
                    "stopped at once; pipeline {id} is stopping, and nothing replaces it"
                ));
                stop(client, &id).await?;
            }
        }
        job = until_ended(client, &id).await?;
        if signals.came() {
            info!(
                "stopped; pipeline {id} is {}, and nothing replaced it",
                job.state
            );
            return Ok(None);
        }
    }
    match (is_same, job.phase()) {
        (true, Phase::Stopped | Phase::Failed) => {
            again(client, wanted, pipeline, job).await.map(Some)
        }
        (true, Phase::Finished) => {
            info!(
                "pipeline {id} has the same SQL and is finished, which cannot be restarted; a new one is created"
            );
            create(client, wanted).await.map(Some)
        }
        (true, _) => {
            info!(
                "pipeline {id} has the same SQL and is {}; it is left as it is",
                job.state
            );
            let change = settings(wanted, &pipeline);
            let pipeline = match change {
                Some(change) => client.change(&id, &change).await?,
                None => pipeline,
            };
            Ok(Some(Placed {
                pipeline,
                before: None,
            }))
        }
        (false, phase) => {
            for line in becomes_of_state(&id, phase, sources) {
                warn!("{line}");
            }
            create(client, wanted).await.map(Some).inspect_err(|_| {
                warn!("pipeline {id} is stopped and was not replaced; with its old SQL and the same --name it goes on from its last checkpoint");
            })
        }
    }
}

/// A pipeline at its end goes on from its last checkpoint.
async fn again(
    client: &Client,
    wanted: &Wanted<'_>,
    pipeline: Pipeline,
    job: Job,
) -> Result<Placed, Failure> {
    let id = pipeline.id.as_str();
    info!(
        "pipeline {id} has the same SQL and is {}; it is restarted from its last checkpoint",
        job.state
    );
    let change = Change {
        stop: Some(StopMode::None),
        ..settings(wanted, &pipeline).unwrap_or_default()
    };
    let mut pipeline_now = client.change(id, &change).await?;
    // Stopped, it starts when it is to run; failed, only when a restart is asked for.
    if job.phase() == Phase::Failed {
        pipeline_now = client.restart(id).await?;
    }
    Ok(Placed {
        pipeline: pipeline_now,
        before: Some(job),
    })
}

/// Settings that differ from those of the pipeline; `None`: none does.
fn settings(wanted: &Wanted<'_>, pipeline: &Pipeline) -> Option<Change> {
    let parallelism = Some(wanted.parallelism).filter(|wanted| *wanted != pipeline.parallelism());
    let interval =
        (wanted.interval_micros()).filter(|wanted| *wanted != pipeline.checkpoint_interval_micros);
    if let Some(parallelism) = parallelism {
        info!(
            "its parallelism becomes {parallelism} instead of {}",
            pipeline.parallelism()
        );
    }
    if let Some(interval) = interval {
        info!(
            "its checkpoint interval becomes {:?}",
            Duration::from_micros(interval)
        );
    }
    (parallelism.is_some() || interval.is_some()).then_some(Change {
        parallelism,
        checkpoint_interval_micros: interval,
        stop: None,
    })
}

async fn create(client: &Client, wanted: &Wanted<'_>) -> Result<Placed, Failure> {
    let pipeline = NewPipeline {
        name: wanted.name,
        query: &wanted.submission.text,
        parallelism: wanted.parallelism,
        checkpoint_interval_micros: wanted.interval_micros(),
    };
    let before: Vec<String> = ids(client, wanted).await?;
    let pipeline = match client.create(&pipeline).await {
        Ok(pipeline) => pipeline,
        Err(
            error @ ClusterError::Unreachable {
                perhaps_done: true, ..
            },
        ) => created(client, wanted, &before).await.ok_or(error)?,
        Err(error) => return Err(error.into()),
    };
    info!(
        "pipeline {} is created, with a parallelism of {}",
        pipeline.id,
        pipeline.parallelism()
    );
    Ok(Placed {
        pipeline,
        before: None,
    })
}

async fn ids(client: &Client, wanted: &Wanted<'_>) -> Result<Vec<String>, Failure> {
    let pipelines = client.pipelines_named(wanted.name).await?;
    Ok(pipelines.into_iter().map(|pipeline| pipeline.id).collect())
}

/// The pipeline that a request created whose answer was lost.
async fn created(client: &Client, wanted: &Wanted<'_>, before: &[String]) -> Option<Pipeline> {
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_PAUSE).await;
        let named = client.pipelines_named(wanted.name).await.ok()?;
        let is_new = |pipeline: &Pipeline| {
            pipeline.query == wanted.submission.text && !before.contains(&pipeline.id)
        };
        if let Some(pipeline) = named.into_iter().find(is_new) {
            warn!("the answer was lost, but the pipeline was created");
            return Some(pipeline);
        }
    }
    None
}

/// What an edit costs on Arroyo.
fn becomes_of_state(old: &str, phase: Phase, sources: &[KafkaSourceOptions]) -> Vec<String> {
    let ended = match phase {
        Phase::Failed => "failed",
        Phase::Finished => "finished",
        _ => "stopped",
    };
    let mut lines = vec![format!(
        "the state of pipeline {old} ({ended}) does not carry over to the new SQL: windows that were open in it are not gone on with; \
         it is kept, and can be deleted in the console"
    )];
    for source in sources {
        let topic = &source.topic;
        lines.push(match source.source_offset {
            Some(SourceOffset::Earliest) => format!(
                "the new pipeline reads topic {topic} from its beginning ('source.offset' = 'earliest'), so into the same path \
                 it writes again what {old} wrote; give it another path, or 'group' and a 'source.group_id'"
            ),
            Some(SourceOffset::Group) => format!(
                "the new pipeline reads topic {topic} from the offsets that group {} committed with its last checkpoint; ticks before \
                 them are not in its windows, so the first ones are incomplete",
                source.group_id.as_deref().unwrap_or("(none is given: each pipeline has its own, without offsets)")
            ),
            Some(SourceOffset::Latest) | None => format!(
                "the new pipeline begins after the latest message of topic {topic}: what came since {old} stopped is in no window"
            ),
        });
    }
    if sources.is_empty() {
        lines.push(
            "where the new pipeline begins to read is what the SQL says of its sources".to_owned(),
        );
    }
    lines
}
