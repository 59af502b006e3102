//! One job, several tables, each somewhere else: the one whose server is away is named everywhere and holds no
//! other up; a job that is stopped meanwhile ends well, and the next start sends what is left.

use serde_json::Value;

use super::candles::rows;
use super::kafka_sink::{candles, files_and_topic, job};
use super::replay;
use crate::crash::delta::read;
use crate::job::harness::assert_recorded_candles;
use crate::page::{address, request, wait_for};
use crate::support::broker::TestBroker;
use crate::support::cut::CutBroker;
use crate::support::shipped::{Folder, INGEST, Run};

/// A folder, a topic and a Delta table of the same candles.
fn three_tables(topic: &str) -> String {
    let sql = files_and_topic(topic);
    let (_, rest) = sql.split_once("CREATE TABLE ohlc (").unwrap();
    let (columns, _) = rest.split_once(") WITH").unwrap();
    let (_, insert) = sql.split_once("INSERT INTO sent").unwrap();
    format!(
        "{sql}\nCREATE TABLE versions ({columns}) WITH (connector = 'delta', type = 'sink', format = 'parquet',
        path = 'data/versions');\nINSERT INTO versions{insert}"
    )
}

/// What is said of a table's sink.
fn sink<'a>(job: &'a Value, table: &str) -> &'a Value {
    let mut sinks = job["sinks"].as_array().unwrap().iter();
    sinks.find(|sink| sink["table"] == table).unwrap()
}

#[test]
fn one_that_is_away_is_named_everywhere_holds_no_other_up_and_loses_nothing() {
    let (kafka, source, folder) = (CutBroker::start(2), TestBroker::embedded(2), Folder::new());
    let out = &kafka.broker;
    folder.file("ohlc.sql", &three_tables(&out.topic));
    let of_job = |run: Run| run.env("XDG_RUNTIME_DIR", folder.path().to_str().unwrap());
    let run = job(&folder, &source, kafka.address(), &out.topic)
        .conf("spark.ui.enabled", "true")
        .conf("spark.ui.port", "0")
        .conf("spark.kafka.reconnect.backoff.max.ms", "500");
    let running = of_job(run).start();
    let page = address(&running);
    // The sinks are there, and now one of them goes.
    wait_for(page, "/api/v1/job", |job| job["state"] == "running");
    kafka.set_reachable(false);
    replay(&source, &folder);
    let stands = wait_for(page, "/api/v1/job", |job| {
        job["sinks"].is_array() && !sink(job, "sent")["away"].is_null()
    });
    let away = &sink(&stands, "sent")["away"];
    assert!(away["attempts"].as_u64() >= Some(1), "{stands}");
    assert!(!away["why"].as_str().unwrap().is_empty(), "{stands}");
    for (table, connector) in [("ohlc", "filesystem"), ("versions", "delta")] {
        let other = sink(&stands, table);
        assert_eq!(other["connector"], connector);
        assert_eq!(other["away"], Value::Null, "{stands}");
        assert!(other["rows_written"].as_u64() > Some(0), "{stands}");
    }
    assert!(!rows(&folder).is_empty());
    assert_eq!(request(page, "/healthz", None).0, 200);
    let (_, _, metrics) = request(page, "/metrics", None);
    for metric in ["attempts_failed_total", "waiting_seconds"] {
        let name = format!("stockpulse_sink_{metric}{{table=\"sent\",connector=\"kafka\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        let value: f64 = value
            .unwrap_or_else(|| panic!("no {name}"))
            .parse()
            .unwrap();
        assert!(value > 0.0, "{name}{value}");
    }
    let status = Run::new(INGEST, folder.path()).arguments(&["--status", &out.topic]);
    let status = of_job(status).end();
    let place = format!("for kafka topic {} (table sent), away for ", out.topic);
    assert!(status.said.contains(&place), "{}", status.said);

    running.signal("TERM");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for said in [
        "is away, and is tried again",
        "the next start sends it the rows",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    kafka.set_reachable(true);
    let ended = job(&folder, &source, kafka.address(), &out.topic)
        .arguments(&["--available-now"])
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&rows(&folder), "files");
    assert_recorded_candles(&candles(out), "topic");
    let table = read(&folder.path().join("data/versions")).unwrap();
    assert_recorded_candles(&table.rows, "Delta table");
}

#[test]
fn a_job_waits_no_longer_than_it_is_told_to_and_the_next_start_sends_the_rest() {
    let (kafka, source, folder) = (CutBroker::start(2), TestBroker::embedded(2), Folder::new());
    let out = &kafka.broker;
    folder.file("ohlc.sql", &files_and_topic(&out.topic));
    let run = || {
        job(&folder, &source, kafka.address(), &out.topic)
            .conf("spark.stockpulse.sinkPatience", "2 seconds")
            .conf("spark.kafka.reconnect.backoff.max.ms", "500")
    };
    let running = run()
        .conf("spark.ui.enabled", "true")
        .conf("spark.ui.port", "0")
        .start();
    let page = address(&running);
    wait_for(page, "/api/v1/job", |job| job["state"] == "running");
    kafka.set_reachable(false);
    replay(&source, &folder);
    let ended = running.end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(!rows(&folder).is_empty());
    kafka.set_reachable(true);
    let ended = run().arguments(&["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&rows(&folder), "files");
    assert_recorded_candles(&candles(out), "topic");
}
