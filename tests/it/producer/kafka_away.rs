//! Kafka goes away, stalls, answers late or not at all: within the queue's bound nothing is lost, beyond it
//! everything is counted and recorded, and the feed does not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::delivery;
use super::live::{Running, config, feeds, start_with, timing};
use crate::support::broker::TestBroker;
use crate::support::fault_port::FaultPort;
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, FakeVenue, Session};

const SPEECH: Speech = Speech::Kraken;
const SYMBOL: &str = "KRAKEN:BTC/USD";
/// Trades of a phase.
const PHASE: u64 = 200;

/// A feed of phases, each sent when the test says so, through a port that fails.
struct Phases {
    running: Running,
    port: FaultPort,
    next: Vec<Arc<Notify>>,
    sent: u64,
    _server: FakeVenue,
}

impl Phases {
    async fn start(phases: usize, queue_messages_max: &str) -> Phases {
        let next: Vec<Arc<Notify>> = (0..phases).map(|_| Arc::new(Notify::new())).collect();
        let mut acts = Vec::new();
        for (phase, next) in next.iter().enumerate() {
            acts.push(Act::Wait(Arc::clone(next)));
            let ids = phase as u64 * PHASE..(phase as u64 + 1) * PHASE;
            acts.extend(ids.map(|id| {
                Act::Say(SPEECH.trade(Told {
                    symbol: 0,
                    id: id + 1,
                }))
            }));
        }
        let server = FakeVenue::start(SPEECH, vec![Session::Serve(acts)]).await;
        let broker = TestBroker::start(2);
        let port = FaultPort::open(&broker.bootstrap);
        let mut delivery = delivery(&broker);
        delivery.kafka.brokers = port.address.clone();
        for (name, value) in [
            ("reconnect.backoff.ms", "20"),
            ("reconnect.backoff.max.ms", "100"),
            ("retry.backoff.ms", "20"),
            ("socket.timeout.ms", "2000"),
            ("queue.buffering.max.messages", queue_messages_max),
        ] {
            delivery.kafka.set(name, value);
        }
        let timing = stockpulse::feed::Timing {
            idle: Some(Duration::from_secs(60)),
            ..timing()
        };
        let feeds = feeds(vec![config(SPEECH, &server.url(), None)], &timing);
        Phases {
            running: start_with(feeds, broker, delivery),
            port,
            next,
            sent: 0,
            _server: server,
        }
    }

    /// Sends the next phase, and waits until it has arrived here.
    async fn send(&mut self) {
        self.next[(self.sent / PHASE) as usize].notify_one();
        self.sent += PHASE;
        let sent = self.sent;
        self.running
            .until(|counts| counts.messages_accepted + counts.ticks_dropped == sent)
            .await;
    }

    async fn delivered(&self, ticks: u64) {
        self.running
            .until(|counts| counts.ticks_delivered == ticks)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_on_the_way_to_kafka_every_tick_arrives() {
    let mut phases = Phases::start(6, "100000").await;
    phases.send().await;
    phases.delivered(PHASE).await;
    phases.port.delay(Duration::from_millis(30));
    phases.send().await;
    phases.port.hiccup();
    phases.send().await;
    phases.port.delay(Duration::ZERO);
    phases.port.stall(true);
    phases.send().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    phases.port.stall(false);
    phases.port.cut(true);
    phases.send().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    phases.port.cut(false);
    phases.delivered(5 * PHASE).await;
    phases.port.swallow(1);
    phases.send().await;
    phases.delivered(6 * PHASE).await;

    let Phases { running, sent, .. } = phases;
    // The embedded broker does not tell a message that is sent again by its sequence number, as Kafka does.
    let exact = running.broker.isolates();
    let stopped = running.stop().await;
    let expected: Vec<String> = (1..=sent)
        .map(|id| SPEECH.tick(Told { symbol: 0, id }))
        .collect();
    if exact {
        assert_eq!(stopped.of(SYMBOL), expected);
    } else {
        let mut seen = std::collections::BTreeSet::new();
        let mut stored = stopped.of(SYMBOL);
        stored.retain(|text| seen.insert(*text));
        assert_eq!(stored, expected);
    }
    let counts = stopped.counts;
    assert_eq!(
        (counts.reconnects, counts.gaps, counts.ticks_dropped),
        (0, 0, 0)
    );
    assert_eq!((counts.messages_failed, counts.ticks_received), (0, sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_the_newest_are_dropped_counted_and_recorded() {
    let mut phases = Phases::start(3, "50").await;
    // The bound holds for what comes at once too, so the first phase may lose some already.
    phases.send().await;
    phases
        .running
        .until(|counts| counts.messages_accepted == counts.messages_delivered)
        .await;
    phases.port.cut(true);
    phases.send().await;
    let counts = phases.running.metrics.counts();
    let waiting = counts.messages_accepted - counts.messages_delivered;
    assert!(
        waiting <= 50 && counts.ticks_dropped >= PHASE - 50,
        "{counts:?}"
    );
    phases.port.cut(false);
    phases
        .running
        .until(|counts| counts.messages_accepted == counts.messages_delivered)
        .await;
    phases.send().await;

    let Phases { running, sent, .. } = phases;
    let stopped = running.stop().await;
    let counts = stopped.counts;
    assert_eq!(counts.ticks_delivered + counts.ticks_dropped, sent);
    assert_eq!(
        (
            counts.reconnects,
            counts.trades_missing,
            counts.messages_failed
        ),
        (0, 0, 0)
    );
    let recorded: u64 = (stopped.gaps.iter())
        .inspect(|gap| assert_eq!(gap["reason"], "queue_full", "{gap}"))
        .map(|gap| gap["missing"].as_u64().unwrap())
        .sum();
    assert_eq!(recorded, counts.ticks_dropped, "{:?}", stopped.gaps);
    // Each tick is there, or lies within a record.
    let stored = stopped.of(SYMBOL);
    let told: Vec<(u64, u64)> = (stopped.gaps.iter())
        .map(|gap| ["first_id", "last_id"].map(|id| gap[id].as_str().unwrap().parse().unwrap()))
        .map(|[first, last]: [u64; 2]| (first, last))
        .collect();
    for id in 1..=sent {
        let tick = SPEECH.tick(Told { symbol: 0, id });
        let is_told = told
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&id));
        assert!(
            is_told || stored.contains(&tick.as_str()),
            "{id} is gone: {told:?}"
        );
    }
    let in_order: Vec<&str> = (1..=sent)
        .map(|id| SPEECH.tick(Told { symbol: 0, id }))
        .filter_map(|tick| stored.iter().find(|stored| **stored == tick).copied())
        .collect();
    let mut stored_once = stored.clone();
    stored_once.dedup();
    assert_eq!(stored_once, in_order);
}
