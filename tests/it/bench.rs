//! `stockpulse bench` as a user runs it, small, on the embedded broker: what it measures, refuses and leaves behind.
//! No figure is looked at: a busy machine has its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use stockpulse::broker::EmbeddedBroker;
use tempfile::TempDir;

use crate::support::shipped::{Ended, Run, STOCKPULSE};

/// The topic of 1,000 ticks where `scale` varies nothing of it.
const SCALE_TOPIC: &str = "stockpulse-bench-1000t-5f-50s-4p-lz4";
/// The one of its axis `memory`.
const MEMORY_TOPIC: &str = "stockpulse-bench-1000t-1f-1000s-4p-lz4";

/// A broker with these topics, empty: the embedded one makes none when it is asked to.
fn broker(topics: &[&str]) -> EmbeddedBroker {
    let broker = EmbeddedBroker::start(topics[0], 4, None).unwrap();
    for topic in &topics[1..] {
        broker.create_topic(topic, 4).unwrap();
    }
    broker
}

fn bench(folder: &TempDir, line: &str) -> Run {
    let work_dir = folder.path().display().to_string();
    let line: Vec<&str> = line.split_whitespace().collect();
    Run::new(STOCKPULSE, Path::new(env!("CARGO_MANIFEST_DIR")))
        .arguments(&["bench"])
        .arguments(&line)
        .arguments(&["--work-dir", &work_dir])
}

/// Runs it to a good end: the report, which alone is on standard output. It leaves no file.
fn report(line: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(STOCKPULSE)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .arg("bench")
        .args(line.split_whitespace())
        .args(["--json", "--work-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_backlog_beside_the_bare_consumer() {
    let broker = broker(&["t"]);
    let (address, line) = (broker.address(), "--topic t --ticks 5000 --rounds 2");
    for what in ["", "backlog "] {
        let report = report(&format!("{what}--broker {address} {line}"));
        assert_eq!(report["frames"], 1_000);
        assert_eq!(report["rounds"].as_array().unwrap().len(), 2);
        assert!(report["candles"].as_u64().unwrap() > 0);
        assert!(report["wall_ratio_to_bare"]["median"].is_number());
        // Of a run so short the CPU time may be less than the clock's hundredth.
        assert!(report.get("cpu_ratio_to_bare").is_some());
    }
}

#[test]
fn a_live_job_is_watched_and_killed() {
    let broker = broker(&["t-idle", "t-latency", "t-restart", "t-replay", "t-quiet"]);
    let line = "--topic t --rate 500 --quiet-rate 200 --seconds 3 --kills 1 --replay-seconds 3";
    let report = report(&format!("live --broker {} {line}", broker.address()));
    assert!(report["first_poll_s"]["median"].as_f64().unwrap() > 0.0);
    assert!(report["restart"]["first_candle_s"]["max"].as_f64().unwrap() > 0.0);
    assert!(report["restart_replay"]["first_poll_s"]["min"].is_number());
    assert!(report["latency"]["ticks_per_s"].as_f64().unwrap() > 0.0);
    for held in ["quiet", "idle", "idle_after"] {
        let memory = &report[held]["memory"];
        assert!(
            memory["rss_bytes"].as_u64() > memory["anon_bytes"].as_u64(),
            "{report}"
        );
    }
}

#[test]
fn scale_varies_one_thing_at_a_time() {
    let broker = broker(&[SCALE_TOPIC, MEMORY_TOPIC]);
    let line = "--ticks 1000 --rounds 1 --axis inserts,memory";
    let report = report(&format!("scale --broker {} {line}", broker.address()));
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[1]["axis"], "inserts");
    assert_eq!(rows[1]["value"], "2");
    assert_eq!(report["open"].as_array().unwrap().len(), 4);
    assert!(rows.iter().all(|row| row["candles"].as_u64() > Some(0)));
}

#[test]
fn an_aggregate_beside_datafusion() {
    let broker = broker(&["t"]);
    let line = format!(
        "aggregates --broker {} --topic t --ticks 5000 --rounds 1 --threads 2",
        broker.address()
    );
    let report = report(&line);
    let aggregates = report["aggregates"].as_array().unwrap();
    assert_eq!(aggregates.len(), 5);
    assert_eq!(aggregates[1]["aggregate"], "stddev(price)");
    assert!(aggregates[1]["query_cpu_s"].is_number());
    let folder = tempfile::tempdir().unwrap();
    let wrong = bench(&folder, &line).arguments(&["--aggregate", "stdev(price)"]);
    let Ended { code, said, .. } = wrong.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stdev"), "{said}");
}

#[test]
fn wrong_usage_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (line, named) in [
        ("--sql nowhere.sql", "nowhere.sql is no file"),
        ("scale --ticks 150", "no multiple of 100"),
        ("live --symbols 2", "--partitions 4 without ticks"),
        ("compaction --topic t", "unexpected argument '--topic'"),
        ("live --rounds 2", "unexpected argument '--rounds'"),
    ] {
        let Ended { code, said, .. } = bench(&folder, line).end();
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains(named), "{line}: {said}");
    }
}

/// Processes that were started with this folder in their command line.
#[cfg(target_os = "linux")]
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(&folder) && line.contains("stockpulse-ingest"))
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_bench_and_what_it_started() {
    let broker = broker(&["t-idle"]);
    let folder = tempfile::tempdir().unwrap();
    let line = format!("live --broker {} --topic t --kills 1", broker.address());
    let running = bench(&folder, &line).start();
    running.wait_for("starting the job");
    // Whether the job runs already or is about to be started: it must be gone.
    let until = std::time::Instant::now() + crate::support::broker::PATIENCE;
    while processes_of(folder.path()).is_empty() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    running.signal("INT");
    let Ended { code, said, .. } = running.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped by a signal"), "{said}");
    assert_eq!(processes_of(folder.path()), [""; 0]);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
