//! What the shipped producer costs: memory without ticks, start, CPU time at 20,000 ticks a second. A second of them
//! here; `STOCKPULSE_TEST_LOAD_SECONDS=30 cargo test --release --test it producer::load -- --nocapture` is longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::binary::Run;
use super::seen::{Serving, get};
use crate::support::broker::{PATIENCE, TestBroker};
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, FakeVenue, Session};

const SPEECH: Speech = Speech::Binance;
const TICKS_PER_SECOND: u64 = 20_000;
/// Ticks are sent so many at once.
const BURST: u64 = 200;
/// What it may take without ticks, also unoptimised and with symbols; kilobytes.
const IDLE_KB_MAX: u64 = 40_000;

/// Kilobytes, by a line of `/proc/PID/status`.
fn memory_kb(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|status| status.strip_prefix(line));
    let digits = found
        .unwrap()
        .trim()
        .trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB");
    digits.parse().unwrap()
}

/// CPU time of a process so far; the clock of `/proc` ticks a hundred times a second.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = [fields[11], fields[12]]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn counter(metrics: &str, name: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_ticks_a_second_all_arrive() {
    let seconds = std::env::var("STOCKPULSE_TEST_LOAD_SECONDS").ok();
    let seconds: u64 = seconds.map_or(1, |seconds| seconds.parse().unwrap());
    let ticks = seconds * TICKS_PER_SECOND;
    let begin = Arc::new(Notify::new());
    let mut acts = vec![Act::Wait(Arc::clone(&begin))];
    for id in 0..ticks {
        if id % BURST == 0 {
            acts.push(Act::Sleep(Duration::from_micros(
                BURST * 1_000_000 / TICKS_PER_SECOND,
            )));
        }
        acts.push(Act::Say(SPEECH.trade(Told {
            symbol: (id % 2) as usize,
            id: id / 2,
        })));
    }
    let broker = TestBroker::start(4);
    let mut server = FakeVenue::start(SPEECH, vec![Session::Serve(acts)]).await;
    let mut run = Run::new(&["--port", "0", "--gap-topic", "none"])
        .env("BINANCE_URL", &server.url())
        .env("KAFKA_BROKER", &broker.bootstrap)
        .env("KAFKA_TOPIC", &broker.topic);
    let started = Instant::now();
    let mut serving = Serving::start(&mut run);
    let listening = started.elapsed();
    serving.wait_for("Connected and subscribed");
    let connected = started.elapsed();
    server.seen().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = serving.child.id();
    let [idle_kb, anonymous_kb] = ["VmRSS", "RssAnon"].map(|line| memory_kb(pid, line));

    let (cpu_before, sending) = (cpu(pid), Instant::now());
    begin.notify_one();
    let delivered = || {
        let metrics = get(&serving.address, "/metrics");
        counter(&metrics, "stockpulse_producer_ticks_delivered_total")
    };
    while delivered() < ticks {
        assert!(
            sending.elapsed() < PATIENCE + Duration::from_secs(seconds),
            "{}",
            delivered()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (took, cpu) = (sending.elapsed(), cpu(pid) - cpu_before);
    let metrics = get(&serving.address, "/metrics");
    for lost in ["ticks_dropped", "trades_missing", "duplicates"] {
        let name = format!("stockpulse_producer_{lost}_total{{feed=\"binance\"}}");
        assert_eq!(counter(&metrics, &name), 0, "{metrics}");
    }
    println!(
        "start: flags read after {listening:?}, feed connected after {connected:?}; without ticks {idle_kb} kB resident, \
         {anonymous_kb} kB of it its own; {ticks} ticks in {took:?}: {cpu:?} of CPU time, {:.1} us a tick; \
         then {} kB resident",
        cpu.as_secs_f64() * 1e6 / ticks as f64,
        memory_kb(pid, "VmHWM"),
    );
    assert!(idle_kb < IDLE_KB_MAX, "{idle_kb} kB");
}
