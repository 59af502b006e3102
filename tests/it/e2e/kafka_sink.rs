//! Candles into a topic by the shipped job: each once, keyed and in order; what is refused; a second process; a
//! broker that is away.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::candles::rows;
use super::replay;
use crate::job::harness::{assert_recorded_candles, listing};
use crate::support::broker::{Stored, TestBroker};
use crate::support::cut::CutBroker;
use crate::support::shipped::{Folder, INGEST, OHLC, Run};

/// How long the sink's broker is away, unless told otherwise.
const OUTAGE: Duration = Duration::from_secs(5);
/// librdkafka's own is 10 s, for which no test waits twice.
const RECONNECT_MS: &str = "500";
const IDLE_MICROS: u64 = 5_000_000;

/// The main job, into a topic. `more` are options of its own.
pub fn into_topic(topic: &str, more: &str) -> String {
    let begin = OHLC
        .find("    connector = 'filesystem'")
        .expect("the table");
    let end = begin + OHLC[begin..].find(");").expect("its end");
    let options = format!(
        "    connector = 'kafka',\n    type = 'sink',\n    bootstrap_servers = '{{{{ SINK_BROKER }}}}',\n    \
         topic = '{topic}',\n    format = 'json',\n    'sink.key_field' = 'symbol'{more}\n"
    );
    format!("{}{options}{}", &OHLC[..begin], &OHLC[end..])
}

/// The main job, and its candles once more as table `sent`, which is a topic.
pub fn files_and_topic(topic: &str) -> String {
    let sql = into_topic(topic, EXACTLY).replace("ohlc", "sent");
    let table = &sql[sql.find("CREATE TABLE sent").unwrap()..sql.find("-- (3)").unwrap()];
    let insert = &sql[sql.find("INSERT INTO sent").unwrap()..];
    format!("{OHLC}\n{table}\n{insert}")
}

pub const EXACTLY: &str = ",\n    'sink.commit_mode' = 'exactly_once'";

/// The job of the folder, which has its checkpoint where [`Folder::checkpoints`] says.
pub fn job(folder: &Folder, source: &TestBroker, sink: &str, name: &str) -> Run {
    folder
        .ingest(source, &["--name", name])
        .conf(
            "spark.sql.streaming.checkpointLocation",
            "data/_checkpoints/ohlc",
        )
        .conf("spark.stockpulse.var.SINK_BROKER", sink)
        .conf("spark.stockpulse.trigger", "50 milliseconds")
}

/// What a reader of committed messages finds in the topic, as sorted rows of the table. Each message is keyed by its
/// symbol, and each symbol's candles are in one partition. Where the broker tells committed messages from others they are
/// also in the order of their windows, and none is there twice.
pub fn candles(broker: &TestBroker) -> Vec<String> {
    let mut rows = rows_of(&broker.read_committed(), broker.isolates());
    if !broker.isolates() {
        rows.dedup();
    }
    rows
}

/// Messages as sorted rows.
pub fn rows_of(messages: &[Stored], in_order: bool) -> Vec<String> {
    let mut rows = Vec::new();
    let mut last: BTreeMap<String, (i32, String)> = BTreeMap::new();
    for message in messages {
        let row: Value = serde_json::from_slice(&message.payload).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_string();
        let key = message.key.clone().expect("a key");
        assert_eq!(key, text("symbol"));
        let start = text("window_start");
        if let Some((partition, before)) = last.insert(key, (message.partition, start.clone())) {
            assert_eq!(partition, message.partition, "{row}");
            assert!(!in_order || before < start, "{row} comes after {before}");
        }
        let number = |name: &str| row[name].to_string();
        rows.push(format!(
            "{},{start}Z,{}Z,{},{},{},{},{},{}",
            text("symbol"),
            text("window_end"),
            number("open"),
            number("high"),
            number("low"),
            number("close"),
            number("volume"),
            number("trades")
        ));
    }
    rows.sort();
    rows
}

#[test]
fn each_candle_is_a_message_keyed_by_its_symbol_and_a_second_run_sends_nothing() {
    for mode in [EXACTLY, ""] {
        let (broker, folder) = (TestBroker::start(2), Folder::new());
        let out = broker.beside("candles", 3);
        folder.file("ohlc.sql", &into_topic(&out.topic, mode));
        replay(&broker, &folder);
        let run = || {
            job(&folder, &broker, &broker.bootstrap, &out.topic)
                .arguments(&["--available-now"])
                .end()
        };
        let ended = run();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(ended.said.contains("2469 rows"), "{}", ended.said);
        assert_recorded_candles(&candles(&out), "topic");
        let outbox = folder.checkpoints().join("outbox/ohlc");
        assert_eq!(listing(&outbox), [""; 0]);
        let ended = run();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(out.read_committed().len(), 2469);
    }
}

#[test]
fn a_message_has_the_time_of_its_window_or_of_a_column() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let tick = |minute: i64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":2.5,"t":{time},"v":1}}]}}"#)
    };
    broker.produce([tick(0), tick(5)].iter().map(|tick| (0, tick.as_bytes())));
    for (more, expected) in [
        ("", 1_575_526_739_999),
        (
            ", 'sink.timestamp_field' = 'window_start', 'json.timestamp_format' = 'unix_millis'",
            1_575_526_680_000,
        ),
    ] {
        let out = broker.beside(&format!("out{expected}"), 1);
        folder.file("ohlc.sql", &into_topic(&out.topic, more));
        let _ = std::fs::remove_dir_all(folder.checkpoints());
        let ended = job(&folder, &broker, &broker.bootstrap, &out.topic)
            .arguments(&["--available-now"])
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let stored = out.read_committed();
        assert_eq!(stored[0].time_ms, Some(expected));
        let row: Value = serde_json::from_slice(&stored[0].payload).unwrap();
        assert_eq!(row["window_start"].is_number(), !more.is_empty(), "{row}");
    }
}

#[test]
fn a_second_process_of_the_job_shuts_the_first_out() {
    let (broker, first, second) = (TestBroker::start(1), Folder::new(), Folder::new());
    let out = broker.beside("candles", 1);
    let tick = |minute: i64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":2.5,"t":{time},"v":1}}]}}"#)
    };
    let produce = |minutes: &[i64]| {
        let ticks: Vec<String> = minutes.iter().map(|&minute| tick(minute)).collect();
        broker.produce(ticks.iter().map(|tick| (0, tick.as_bytes())));
    };
    for folder in [&first, &second] {
        folder.file("ohlc.sql", &into_topic(&out.topic, EXACTLY));
    }
    let start = |folder| job(folder, &broker, &broker.bootstrap, &out.topic).start();
    produce(&[0, 5]);
    let one = start(&first);
    one.wait_for(" is committed");
    let other = start(&second);
    other.wait_for(" is committed");
    produce(&[10, 15]);
    if broker.isolates() {
        let ended = one.end();
        assert_eq!(ended.code, Some(5), "{}", ended.said);
        assert!(
            ended
                .said
                .contains("another process of this job has taken over"),
            "{}",
            ended.said
        );
    }
    other.signal("TERM");
    let ended = other.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

/// The topic that is read goes on while the one that is written is away.
#[test]
fn while_the_broker_of_the_sink_is_away_the_job_waits_and_nothing_is_lost() {
    let (kafka, source, folder) = (CutBroker::start(2), TestBroker::embedded(2), Folder::new());
    let out = &kafka.broker;
    let more =
        format!("{EXACTLY},\n    client_configs = 'reconnect.backoff.max.ms={RECONNECT_MS}'");
    // The market is quiet soon, so that its last candle is written, too.
    let sql = into_topic(&out.topic, &more).replacen(
        "connector = 'kafka',",
        &format!("connector = 'kafka',\n    idle_micros = {IDLE_MICROS},"),
        1,
    );
    folder.file("ohlc.sql", &sql);
    let run = job(&folder, &source, kafka.address(), &out.topic)
        .conf("spark.stockpulse.maxOffsetsPerTrigger", "100")
        .start();
    replay(&source, &folder);
    run.wait_for(" is committed");
    kafka.set_reachable(false);
    let told = std::env::var("STOCKPULSE_TEST_OUTAGE_SECONDS").ok();
    let outage = told.map_or(OUTAGE, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    assert!(!run.ends_within(outage), "it ended while the sink was away");
    kafka.set_reachable(true);
    run.wait_for("2,469 rows written");
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&candles(out), &ended.said);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let folder = Folder::new();
    let refused = |sql: &str, more: &[&str], code: i32, why: &str| {
        folder.file("ohlc.sql", sql);
        let ended = Run::new(INGEST, folder.path())
            .arguments(&["ohlc.sql", "--dry-run"])
            .arguments(more)
            .conf("spark.stockpulse.var.SINK_BROKER", "localhost:9092")
            .conf(
                "spark.sql.streaming.checkpointLocation",
                "data/_checkpoints",
            )
            .end();
        assert_eq!(ended.code, Some(code), "{why}: {}", ended.said);
        assert!(ended.said.contains(why), "{why}: {}", ended.said);
    };
    let job = into_topic("candles", EXACTLY);
    refused(&job, &[], 0, "writes ohlc (kafka topic candles)");
    refused(
        &into_topic("raw_ticks", ""),
        &[],
        3,
        "\"ohlc\" writes to the topic that the job reads",
    );
    let insert = &job[job.find("INSERT INTO ohlc").unwrap()..];
    let twice = format!("{job}\n{insert}");
    refused(&twice, &[], 3, "\"ohlc\" is written by two INSERTs");
    refused(
        &into_topic("candles", ", client_configs = 'linger=5'"),
        &[],
        2,
        "Kafka property linger",
    );
    refused(
        &job,
        &["--conf", "spark.stockpulse.deadLetters=kafka:candles"],
        2,
        "that is the topic of table \"ohlc\"",
    );
}

#[test]
fn a_rebuild_is_refused_since_what_is_in_a_topic_cannot_be_replaced() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let out = broker.beside("candles", 1);
    folder.file("ohlc.sql", &files_and_topic(&out.topic));
    let ended = job(&folder, &broker, &broker.bootstrap, &out.topic)
        .arguments(&["--available-now", "--rebuild"])
        .end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    let place = format!("sent (kafka topic {})", out.topic);
    assert!(ended.said.contains(&place), "{}", ended.said);
}

#[test]
fn a_look_at_the_job_says_where_rows_go_how_often_and_by_which_key() {
    let folder = Folder::new();
    let explained = |sql: &str| {
        folder.file("ohlc.sql", sql);
        let ended = Run::new(INGEST, folder.path())
            .arguments(&["ohlc.sql", "--explain"])
            .conf("spark.stockpulse.var.SINK_BROKER", "other:9092")
            .conf(
                "spark.sql.streaming.checkpointLocation",
                "data/_checkpoints",
            )
            .conf("spark.kafka.sasl.password", "hunter2")
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(!ended.said.contains("hunter2"), "{}", ended.said);
        ended.said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = explained(&into_topic("candles", EXACTLY));
    for text in [
        "INSERT INTO ohlc → kafka topic candles",
        "brokers other:9092",
        "exactly_once: who reads committed messages sees each row once",
        "key symbol",
    ] {
        assert!(said.contains(text), "no \"{text}\": {said}");
    }
    let said = explained(&into_topic("candles", ""));
    let text = "at_least_once: a crash may repeat the rows of one commit; 'sink.commit_mode' = 'exactly_once' sends each once";
    assert!(said.contains(text), "{said}");
}

/// What the job of the folder has written as files is what it sends as messages.
#[test]
fn a_table_of_files_beside_it_has_the_same_rows() {
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    let out = broker.beside("candles", 2);
    folder.file("ohlc.sql", &files_and_topic(&out.topic));
    replay(&broker, &folder);
    let ended = job(&folder, &broker, &broker.bootstrap, &out.topic)
        .arguments(&["--available-now"])
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&rows(&folder), "files");
    assert_recorded_candles(&candles(&out), "topic");
}
