//! Feed → Kafka topic: frames become messages keyed by symbol, a lost feed is tried again, and what
//! was accepted is delivered before the producer ends.
//!
//! [`run()`] is the service; [`cli`] is the binary `stockpulse-producer`.
//! Deliberately: nothing of DataFusion is used here, so that the producer starts quickly and stays small.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tracing::{error, info, warn};

pub mod backoff;
mod check;
pub mod cli;
mod delivery;
mod forward;
mod gaps;
mod properties;
mod screen;
mod split;

use crate::config::producer::DeliveryConfig;
use crate::feed::{Feed, FeedError, Loss, Outlet, Queue, WhenFull};
use crate::metrics::producer::ProducerMetrics;
use crate::model::Exit;
use backoff::Backoff;
use delivery::Delivery;
use forward::forward;

/// Why the producer ended.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// librdkafka does not take a property.
    #[error("{0}")]
    Property(String),
    /// Kafka or the topic was not there in time, or went away before everything was delivered.
    #[error("{0}")]
    Unreachable(String),
    /// A feed will not have us as we are configured.
    #[error("{0}")]
    Refused(String),
    /// Anything else that it cannot go on after.
    #[error("{0}")]
    Failed(String),
}

impl ProducerError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            ProducerError::Property(_) | ProducerError::Refused(_) => Exit::Usage,
            ProducerError::Unreachable(_) => Exit::KafkaUnreachable,
            ProducerError::Failed(_) => Exit::Failed,
        }
    }
}

/// Sends what the feeds hand on to Kafka until every feed has ended, or `stop` turns true or is dropped.
///
/// Then what was accepted is delivered: after a stop within `flush_wait`, after the feeds' own end for as
/// long as there is progress. Feeds that are lost are tried again after `backoff`, for ever.
///
/// # Errors
/// Kafka or the topic is not there at the start, a property or a feed's configuration is wrong, a feed's
/// file cannot be read, or not everything was delivered. The rest has been delivered then.
pub async fn run(
    feeds: Vec<Box<dyn Feed>>,
    config: &DeliveryConfig,
    backoff: &Backoff,
    metrics: &ProducerMetrics,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ProducerError> {
    let delivery = Arc::new(Delivery::new(config, metrics)?);
    tokio::select! {
        there = Arc::clone(&delivery).await_topic(config.kafka_wait) => there?,
        () = stopped(&mut stop) => return Ok(()),
    }
    info!(broker = %config.kafka.brokers, topic = %config.topic, "Sending ticks to Kafka.");
    let failed_before = metrics.counts().messages_failed;

    let (queue, mut items) = Queue::new();
    let mut tasks = JoinSet::new();
    for feed in feeds {
        let outlet = queue.outlet(metrics.feed(feed.name()), feed.when_full());
        tasks.spawn(keep_feeding(feed, outlet, backoff.clone(), stop.clone()));
    }
    drop(queue);

    let ended = {
        let patience = config.flush_wait / 2;
        let mut forwarding = std::pin::pin!(forward(&delivery, &mut items, metrics, patience));
        tokio::select! {
            forwarded = &mut forwarding => { forwarded?; None }
            () = stopped(&mut stop) => {
                let deadline = tokio::time::Instant::now() + config.flush_wait;
                if let Ok(forwarded) = timeout_at(deadline, &mut forwarding).await {
                    forwarded?;
                }
                Some(deadline)
            }
        }
    };
    let left = match ended {
        Some(deadline) => flush_until(&delivery, deadline).await,
        None => flush_patiently(&delivery, config, &mut stop).await,
    };
    let left = left + items.len() as u64;
    if left > 0 {
        return Err(ProducerError::Unreachable(format!(
            "{left} messages were accepted from the feed and not acknowledged by Kafka at {} in time; they are lost",
            config.kafka.brokers
        )));
    }
    outcome(tasks).await?;
    let failed = metrics.counts().messages_failed - failed_before;
    if ended.is_none() && failed > 0 {
        return Err(ProducerError::Failed(format!(
            "{failed} messages were refused by Kafka at {} and are lost; the log says why",
            config.kafka.brokers
        )));
    }
    Ok(())
}

/// After a stop: what is left when `deadline` has come.
async fn flush_until(delivery: &Delivery, deadline: tokio::time::Instant) -> u64 {
    match timeout_at(deadline, delivery.flush(Duration::MAX)).await {
        Ok(left) => left,
        Err(_) => delivery.pending(),
    }
}

/// After the feeds' end: what is left when there was no progress for `kafka_wait`, or after a stop.
async fn flush_patiently(
    delivery: &Delivery,
    config: &DeliveryConfig,
    stop: &mut watch::Receiver<bool>,
) -> u64 {
    tokio::select! {
        left = delivery.flush(config.kafka_wait) => left,
        () = stopped(stop) => {
            flush_until(delivery, tokio::time::Instant::now() + config.flush_wait).await
        }
    }
}

/// Runs a feed, again and again while it is lost, until it ends or `stop` says so.
async fn keep_feeding(
    mut feed: Box<dyn Feed>,
    outlet: Outlet,
    backoff: Backoff,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ProducerError> {
    let ended = try_feeding(&mut feed, &outlet, &backoff, &mut stop).await;
    if let Err(error) = &ended {
        // Told at once: other feeds may go on for long.
        error!(feed = feed.name(), "{error}");
    }
    for gap in feed.open_gaps() {
        outlet.gap(gap).await;
    }
    ended
}

async fn try_feeding(
    feed: &mut Box<dyn Feed>,
    outlet: &Outlet,
    backoff: &Backoff,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), ProducerError> {
    let mut failures = 0;
    if feed.when_full() == WhenFull::Wait {
        // What is made up or read from a file is there as long as it runs.
        outlet.metrics().connected(true);
    }
    loop {
        let ended = tokio::select! {
            ended = feed.run(outlet) => ended,
            () = stopped(stop) => return Ok(()),
        };
        let name = feed.name();
        let loss = match ended {
            Ok(()) => return Ok(()),
            Err(FeedError::Lost(loss)) => loss,
            Err(FeedError::Refused(reason)) => {
                return Err(ProducerError::Refused(format!("feed {name}: {reason}")));
            }
            Err(FeedError::Failed(reason)) => {
                return Err(ProducerError::Failed(format!("feed {name}: {reason}")));
            }
        };
        failures = if loss.lived >= backoff.healthy_after {
            1
        } else {
            failures + 1
        };
        outlet.metrics().reconnect(loss.reason.label());
        let wait = wait(backoff, &loss, failures);
        warn!(
            feed = name,
            kind = loss.reason.label(),
            reason = %loss,
            failures,
            wait_ms = wait.as_millis() as u64,
            "The feed is lost; it is tried again."
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(stop) => return Ok(()),
        }
    }
}

/// As the backoff says, and not before the server wants.
fn wait(backoff: &Backoff, loss: &Loss, failures: u32) -> Duration {
    let long = if loss.wait_long {
        backoff.long
    } else {
        Duration::ZERO
    };
    let random = rand::random();
    let wait = backoff.wait(failures, random);
    wait.max(long.mul_f64(1.0 + random / 4.0))
        .max(loss.retry_after.unwrap_or_default())
}

/// The first error of the feeds; every one is logged if there are several.
async fn outcome(mut tasks: JoinSet<Result<(), ProducerError>>) -> Result<(), ProducerError> {
    let mut first = Ok(());
    while let Some(joined) = tasks.join_next().await {
        let ended = joined.unwrap_or_else(|broken| {
            Err(ProducerError::Failed(format!("a feed broke off: {broken}")))
        });
        match (&first, ended) {
            (_, Ok(())) => {}
            (Ok(()), failed) => first = failed,
            (Err(_), Err(another)) => error!("{another}"),
        }
    }
    first
}

/// Waits until `stop` is true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|&stop| stop).await;
}
