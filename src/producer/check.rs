//! `--check`: tries Kafka, and each feed until every symbol has ticked or the wait is over, and says what is
//! wrong in plain words. Nothing is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::delivery::Delivery;
use super::split::{Parts, split};
use crate::config::producer::{FeedConfig, ProducerConfig};
use crate::feed::{Feed, FeedError, Frame, Items, Queue, What};
use crate::metrics::producer::ProducerMetrics;
use crate::model::Exit;

/// Kafka is waited for at the most this long.
const KAFKA_WAIT: Duration = Duration::from_secs(5);

/// What was found: lines to show, and how the process should end.
pub(super) struct Report {
    pub(super) lines: Vec<String>,
    pub(super) exit: Exit,
}

impl Report {
    fn say(&mut self, verdict: &str, what: &str, text: &str) {
        self.lines.push(format!("{verdict:<5} {what:<9} {text}"));
    }

    fn fail(&mut self, exit: Exit, what: &str, text: &str) {
        self.say("FAIL", what, text);
        if self.exit == Exit::Done {
            self.exit = exit;
        }
    }
}

/// Tries everything that a run needs, and waits `wait` for ticks.
pub(super) async fn check(
    config: &ProducerConfig,
    feeds: Vec<Box<dyn Feed>>,
    wait: Duration,
) -> Report {
    let mut report = Report {
        lines: Vec::new(),
        exit: Exit::Done,
    };
    check_kafka(config, &mut report).await;
    for (feed, config) in feeds.into_iter().zip(&config.feeds) {
        let symbols = match config {
            FeedConfig::Live(live) => live.symbols.as_slice(),
            FeedConfig::Simulated { .. } | FeedConfig::Replay { .. } => &[],
        };
        check_feed(feed, symbols, wait, &mut report).await;
    }
    report
}

async fn check_kafka(config: &ProducerConfig, report: &mut Report) {
    let metrics = ProducerMetrics::default();
    let delivery = match Delivery::new(&config.delivery, &metrics) {
        Ok(delivery) => Arc::new(delivery),
        Err(error) => return report.fail(error.exit(), "kafka", &error.to_string()),
    };
    let wait = config.delivery.kafka_wait.min(KAFKA_WAIT);
    if let Err(error) = Arc::clone(&delivery).await_topic(wait).await {
        return report.fail(error.exit(), "kafka", &error.to_string());
    }
    let brokers = &config.delivery.kafka.brokers;
    let (topic, gap_topic) = delivery.topics();
    report.say(
        "ok",
        "kafka",
        &format!("topic {topic} at {brokers} can be used"),
    );
    match gap_topic {
        Some((gaps, true)) => report.say("ok", "gaps", &format!("are recorded in topic {gaps}")),
        Some((gaps, false)) => report.say(
            "warn",
            "gaps",
            &format!("topic {gaps} is not there: gaps are logged and counted only"),
        ),
        None => report.say(
            "ok",
            "gaps",
            "are logged and counted only, as GAP_TOPIC says",
        ),
    }
}

/// What is known of a symbol.
enum Heard {
    Nothing,
    Tick(Duration),
    Refused(String),
}

async fn check_feed(
    mut feed: Box<dyn Feed>,
    symbols: &[String],
    wait: Duration,
    report: &mut Report,
) {
    let (queue, mut items) = Queue::new();
    let (metrics, name) = (ProducerMetrics::default().feed(feed.name()), feed.name());
    let outlet = queue.outlet(Arc::clone(&metrics), feed.when_full());
    drop(queue);
    let started = Instant::now();
    let mut heard: BTreeMap<&str, Heard> = symbols
        .iter()
        .map(|symbol| (symbol.as_str(), Heard::Nothing))
        .collect();
    let mut lost = None;
    let listening = async {
        tokio::select! {
            ended = feed.run(&outlet) => ended.err(),
            () = listen(&mut items, &mut heard, started) => None,
        }
    };
    let ended = timeout_at(started + wait, listening).await;
    if let Ok(Some(error)) = ended {
        lost = Some(error);
    }
    while let Ok(item) = items.try_recv() {
        take(item.what, &mut heard, started);
    }
    match &lost {
        Some(FeedError::Refused(why)) => report.fail(Exit::Usage, name, why),
        Some(other) => report.fail(Exit::Failed, name, &other.to_string()),
        None if symbols.is_empty()
            || heard.values().any(|heard| matches!(heard, Heard::Tick(_))) =>
        {
            report.say("ok", name, "ticks come");
        }
        None if metrics.message_age_ms(0).is_some() => report.say("ok", name, "connected"),
        None => report.say("warn", name, &format!("nothing was heard for {wait:?}")),
    }
    for (symbol, heard) in &heard {
        match heard {
            Heard::Tick(after) => {
                let text = format!("{symbol}: a tick after {:.1} s", after.as_secs_f64());
                report.say("ok", name, &text);
            }
            Heard::Refused(why) => report.fail(Exit::Usage, name, &format!("{symbol}: {why}")),
            Heard::Nothing if lost.is_some() => {}
            Heard::Nothing => report.say(
                "warn",
                name,
                &format!(
                    "{symbol}: no tick for {wait:?}; its market rests, or there is no such symbol"
                ),
            ),
        }
    }
}

/// Until every symbol has ticked or was refused, and something was heard.
async fn listen(items: &mut Items, heard: &mut BTreeMap<&str, Heard>, started: Instant) {
    while let Some(item) = items.recv().await {
        take(item.what, heard, started);
        if heard.values().all(|heard| !matches!(heard, Heard::Nothing)) {
            return;
        }
    }
}

fn take(what: What, heard: &mut BTreeMap<&str, Heard>, started: Instant) {
    match what {
        What::SymbolRefused { symbol, why } => {
            if let Some(heard) = heard.get_mut(&*symbol) {
                *heard = Heard::Refused(why);
            }
        }
        What::Frame(frame) => {
            for symbol in symbols_of(&frame) {
                if let Some(heard @ Heard::Nothing) = heard.get_mut(symbol.as_str()) {
                    *heard = Heard::Tick(started.elapsed());
                }
            }
        }
        What::Gap(_) => {}
    }
}

fn symbols_of(frame: &Frame) -> Vec<String> {
    if let Some(content) = &frame.content {
        return vec![content.symbol.to_string()];
    }
    match split(&frame.payload) {
        Parts::Ticks(messages) => messages
            .into_iter()
            .filter_map(|message| Some(message.key?.into_owned()))
            .collect(),
        _ => Vec::new(),
    }
}
