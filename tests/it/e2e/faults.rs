//! What goes wrong outside of the job: how `stockpulse-ingest` says so, and its exit code.

use std::time::Instant;

use crate::job::harness::listing;
use crate::support::broker::TestBroker;
use crate::support::shipped::{Ended, Folder, INGEST, OHLC, Run};

/// Nothing listens there.
const NOBODY: &str = "127.0.0.1:1";

fn assert_refused(ended: &Ended, code: i32, named: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    for named in named {
        assert!(ended.said.contains(named), "no \"{named}\": {}", ended.said);
    }
    assert!(
        !ended.said.contains("panicked") && !ended.said.contains("RUST_BACKTRACE"),
        "{}",
        ended.said
    );
}

/// Two candles' ticks in a topic, and a run that wrote them.
fn written() -> (TestBroker, Folder) {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    produce_minutes(&broker, 0..2);
    folder.available_now(&broker, &[]);
    assert_eq!(listing(&folder.table()).len(), 1);
    (broker, folder)
}

/// A tick in each of these minutes of a day long ago.
fn produce_minutes(broker: &TestBroker, minutes: std::ops::Range<i64>) {
    let frame = |minute: i64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":2.5,"t":{time},"v":1}}]}}"#)
    };
    let frames: Vec<String> = minutes.map(frame).collect();
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
}

/// The one test that waits for the whole time that a broker is given.
#[test]
fn an_unreachable_broker_is_named_without_any_secret_and_ends_with_4() {
    let folder = Folder::new();
    let ended = Run::new(INGEST, folder.path())
        .arguments(&["--available-now", "--verbose", "ohlc.sql"])
        .conf("spark.kafka.security.protocol", "SASL_PLAINTEXT")
        .conf("spark.kafka.sasl.mechanisms", "PLAIN")
        .conf("spark.kafka.sasl.username", "ticks")
        .conf("spark.kafka.sasl.password", "hunter2")
        .env("KAFKA_PROPERTIES", "ssl.key.password=hunter3,debug=all")
        .env("STOCKPULSE_LOG", "trace")
        .env("KAFKA_BROKER", NOBODY)
        .end();
    assert_refused(&ended, 4, &["error: Kafka at 127.0.0.1:1", "KAFKA_BROKER"]);
    assert!(!ended.said.contains("hunter"), "{}", ended.said);
}

#[test]
fn while_the_broker_is_looked_for_a_signal_ends_with_0() {
    let folder = Folder::new();
    let run = Run::new(INGEST, folder.path())
        .arguments(&["ohlc.sql"])
        .env("KAFKA_BROKER", NOBODY)
        .start();
    run.wait_for(NOBODY);
    run.signal("TERM");
    let ended = run.end();
    assert_refused(&ended, 0, &["stopping"]);
}

#[test]
fn no_secret_is_said_by_a_job_that_runs() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    produce_minutes(&broker, 0..2);
    let ended = folder
        .ingest(&broker, &["--available-now", "--verbose"])
        .conf("spark.kafka.sasl.password", "hunter2")
        .conf("spark.kafka.debug", "all")
        .env("KAFKA_PROPERTIES", "ssl.key.password=hunter3")
        .env("STOCKPULSE_LOG", "trace")
        .end();
    assert_refused(&ended, 0, &["sasl.password", "2 rows in 1 files"]);
    assert!(!ended.said.contains("hunter"), "{}", ended.said);
}

#[test]
fn a_missing_topic_is_waited_for() {
    let (broker, folder) = (TestBroker::without_topic(2), Folder::with_idle_ms(300));
    let waiting = "the topic does not exist yet; waiting for it";
    let run = folder.ingest(&broker, &[]).start();
    let said = run.wait_for(waiting);
    assert!(
        said.contains(&broker.topic) && said.contains(&broker.bootstrap),
        "{said}"
    );
    run.signal("TERM");
    assert_refused(&run.end(), 0, &["stopped before the topic was there"]);

    let run = folder.ingest(&broker, &[]).start();
    run.wait_for(waiting);
    broker.create();
    produce_minutes(&broker, 0..2);
    run.wait_for("2 rows written");
    run.signal("INT");
    assert_refused(&run.end(), 0, &["2 rows in"]);
}

#[test]
fn wrong_sql_and_wrong_usage_are_said_before_kafka_is_asked() {
    let folder = Folder::new();
    folder.file(
        "wrong.sql",
        &OHLC.replace("max(price) AS high", "max(prise) AS high"),
    );
    let run = |arguments: &[&str]| {
        let started = Instant::now();
        let ended = Run::new(INGEST, folder.path())
            .arguments(arguments)
            .env("KAFKA_BROKER", NOBODY)
            .end();
        assert!(started.elapsed().as_secs() < 20, "{}", ended.said);
        ended
    };
    let line = 1 + OHLC
        .lines()
        .position(|line| line.contains("max(price)"))
        .unwrap();
    let column = 1 + "        max(".len();
    let place = format!("wrong.sql:{line}:{column}: ");
    assert_refused(&run(&["wrong.sql"]), 3, &[&place, "prise", "price"]);
    assert_refused(&run(&["missing.sql"]), 3, &["missing.sql"]);
    assert_refused(&run(&["--master", "yarn", "ohlc.sql"]), 2, &["yarn"]);
    assert_refused(&run(&[]), 2, &["the SQL file is missing"]);
}

#[test]
fn a_path_that_cannot_be_written_is_named_and_ends_with_7() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    produce_minutes(&broker, 0..2);
    // Root may write anywhere, but not even root makes a folder below a file.
    folder.file("file", "");
    let ended = folder
        .ingest(&broker, &["--available-now"])
        .env("CANDLES_PATH", "file/ohlc")
        .end();
    assert_refused(&ended, 7, &["file/_checkpoints", "a file stands where"]);
    let ended = folder
        .ingest(&broker, &["--available-now"])
        .env("CANDLES_PATH", "file/ohlc")
        .conf("spark.sql.streaming.checkpointLocation", "checkpoints")
        .end();
    assert_refused(&ended, 7, &["file/ohlc", "a file stands where"]);
    let ended = folder
        .ingest(&broker, &["--available-now"])
        .conf("spark.sql.streaming.checkpointLocation", "file/checkpoints")
        .end();
    assert_refused(&ended, 7, &["file/checkpoints"]);
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap().len(), 0);
}

#[test]
fn a_second_job_on_the_same_checkpoint_ends_with_5() {
    let (broker, folder) = (TestBroker::start(1), Folder::with_idle_ms(200));
    produce_minutes(&broker, 0..2);
    let first = folder.ingest(&broker, &[]).start();
    first.wait_for("2 rows written");
    let before = listing(folder.path());
    let second = folder.ingest(&broker, &["--available-now"]).end();
    assert_refused(&second, 5, &["data/_checkpoints/ohlc"]);
    assert_eq!(listing(folder.path()), before);
    first.signal("TERM");
    assert_refused(&first.end(), 0, &[]);
    folder.available_now(&broker, &[]);
}

#[test]
fn a_damaged_checkpoint_is_named_and_ends_with_5() {
    let (broker, folder) = written();
    let (table, newest) = (listing(&folder.table()), folder.newest_checkpoint());
    let name = newest.file_name().unwrap().to_str().unwrap();
    let whole = std::fs::read_to_string(&newest).unwrap();
    produce_minutes(&broker, 2..5);
    let edited = whole.replacen("\"next\": 2", "\"next\": 1", 1);
    assert_ne!(edited, whole);
    for damaged in [&whole[..whole.len() / 2], "", &edited] {
        std::fs::write(&newest, damaged).unwrap();
        let ended = folder.ingest(&broker, &["--available-now"]).end();
        assert_refused(&ended, 5, &[name]);
        assert_eq!(listing(&folder.table()), table);
    }
    std::fs::write(&newest, whole).unwrap();
    let ended = folder.available_now(&broker, &[]);
    assert!(ended.said.contains("3 rows in 1 files"), "{}", ended.said);
}

#[test]
fn a_checkpoint_of_a_newer_version_is_named_and_ends_with_5() {
    let (broker, folder) = written();
    let (table, newest) = (listing(&folder.table()), folder.newest_checkpoint());
    let name = newest.file_name().unwrap().to_str().unwrap();
    let whole = std::fs::read_to_string(&newest).unwrap();
    produce_minutes(&broker, 2..5);
    let newer = whole.replacen("{\"version\":1,", "{\"version\":2,", 1);
    assert_ne!(newer, whole);
    // A newer program may write everything else in another way.
    for newer in [newer.as_str(), "{\"version\":17,\"state\":[1,2]}"] {
        std::fs::write(&newest, newer).unwrap();
        let version = newer[1..]
            .split(',')
            .next()
            .unwrap()
            .replace("\"version\":", "version ");
        let ended = folder.ingest(&broker, &["--available-now"]).end();
        let refused = [
            name,
            &version,
            "reads version 1",
            "run the version of StockPulse that wrote it",
        ];
        assert_refused(&ended, 5, &refused);
        assert_eq!(listing(&folder.table()), table);
        assert_eq!(std::fs::read_to_string(&newest).unwrap(), newer);
    }
    std::fs::write(&newest, whole).unwrap();
    let ended = folder.available_now(&broker, &[]);
    assert!(ended.said.contains("3 rows in 1 files"), "{}", ended.said);
}

#[test]
fn a_checkpoint_of_another_query_or_none_for_the_table_ends_with_5() {
    let (broker, folder) = written();
    let table = listing(&folder.table());
    folder.file(
        "ohlc.sql",
        &OHLC.replace(
            "tumble(interval '1 minute')",
            "tumble(interval '5 minutes')",
        ),
    );
    let ended = folder.ingest(&broker, &["--available-now"]).end();
    assert_refused(&ended, 5, &["another query", "window"]);
    folder.file("ohlc.sql", &format!("-- says the same\n{OHLC}"));
    folder.available_now(&broker, &[]);
    std::fs::remove_dir_all(folder.checkpoints()).unwrap();
    let ended = folder.ingest(&broker, &["--available-now"]).end();
    assert_refused(&ended, 5, &["data/ohlc", "no checkpoint"]);
    assert_eq!(listing(&folder.table()), table);
}

#[test]
fn offsets_that_are_gone_end_with_6() {
    let (mut broker, folder) = written();
    broker.empty();
    let table = listing(&folder.table());
    let ended = folder.ingest(&broker, &["--available-now"]).end();
    assert_refused(&ended, 6, &["partition 0", "offset 2", "failOnDataLoss"]);
    assert_eq!(listing(&folder.table()), table);
}
