//! What `stockpulse-ingest` prints: rows and nothing else on standard output, everything else on standard error.

use std::io::Read;
use std::process::{Child, Stdio};

use super::*;

/// The tables and views of the main job.
fn tables() -> &'static str {
    let job: &'static str = include_str!("../../../sql/ohlc.sql");
    job.split_once("INSERT INTO ohlc").unwrap().0
}

const SELECT: &str = "SELECT symbol, window.start AS minute, close FROM (\n  \
    SELECT symbol, tumble(interval '1 minute') AS window, last_value(price) AS close FROM ticks GROUP BY 1, 2)";

/// A topic of five minutes.
fn market() -> TestBroker {
    let broker = TestBroker::start(1);
    let frames = (0..5).map(|minute| {
        let time = 1_575_526_680_000_i64 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":{minute}.5,"t":{time},"v":1}}]}}"#)
    });
    let frames: Vec<String> = frames.collect();
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
    broker
}

fn line(broker: &TestBroker) -> Vec<String> {
    let topic = format!("spark.stockpulse.var.KAFKA_TOPIC={}", broker.topic);
    ["job.sql", "--master", "local[1]", "--conf", &topic]
        .map(str::to_owned)
        .to_vec()
}

fn run(sql: &str, more: &[&str]) -> (Shell, Ended) {
    let broker = market();
    let shell = Shell::new().with_file("job.sql", sql);
    let line = line(&broker);
    let mut words: Vec<&str> = line.iter().map(String::as_str).collect();
    words.extend(more);
    let ended = shell.run(&words, &[("KAFKA_BROKER", &broker.bootstrap)]);
    (shell, ended)
}

#[test]
fn a_select_prints_a_table_and_leaves_no_file() {
    let (shell, ended) = run(&(tables().to_owned() + SELECT), &["--available-now"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    expect![[r#"
         symbol | minute              |     close
        --------+---------------------+-----------
         A      | 2019-12-05T06:18:00 |       0.5
         A      | 2019-12-05T06:19:00 |       1.5
         A      | 2019-12-05T06:20:00 |       2.5
         A      | 2019-12-05T06:21:00 |       3.5
         A      | 2019-12-05T06:22:00 |       4.5
    "#]]
    .assert_eq(&ended.stdout);
    assert!(
        ended.stderr.contains("done: 5 rows printed by this run"),
        "{}",
        ended.stderr
    );
    let left: Vec<_> = std::fs::read_dir(shell.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["job.sql"]);
}

#[test]
fn rows_into_standard_output_need_a_place_for_checkpoints() {
    let sql = tables().to_owned()
        + "CREATE TABLE seen (symbol TEXT, minute TIMESTAMP, close DOUBLE) WITH (connector = 'stdout', format = 'json');\n"
        + "INSERT INTO seen "
        + SELECT;
    let (_, ended) = run(&sql, &["--available-now"]);
    assert_eq!(ended.code, Some(2));
    expect![[r#"
        error: there is no place for checkpoints, since the job writes no folder that they could be beside; give one by --conf spark.sql.streaming.checkpointLocation=DIR
    "#]].assert_eq(&ended.stderr);
    let place = "spark.sql.streaming.checkpointLocation=kept";
    let (shell, ended) = run(&sql, &["--available-now", "--conf", place]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    expect![[r#"
        {"symbol":"A","minute":"2019-12-05T06:18:00","close":0.5}
        {"symbol":"A","minute":"2019-12-05T06:19:00","close":1.5}
        {"symbol":"A","minute":"2019-12-05T06:20:00","close":2.5}
        {"symbol":"A","minute":"2019-12-05T06:21:00","close":3.5}
        {"symbol":"A","minute":"2019-12-05T06:22:00","close":4.5}
    "#]]
    .assert_eq(&ended.stdout);
    assert!(shell.path().join("kept").is_dir());
}

#[test]
fn a_reader_that_goes_away_ends_the_job_well() {
    let broker = market();
    let shell = Shell::new().with_file(
        "job.sql",
        &(tables().to_owned() + "SELECT symbol, price FROM ticks"),
    );
    let mut child: Child = Command::new(env!("CARGO_BIN_EXE_stockpulse-ingest"))
        .args(line(&broker))
        .current_dir(shell.path())
        .env_clear()
        .env("KAFKA_BROKER", &broker.bootstrap)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 10]).unwrap();
    drop(pipe);
    // It notices when it next has something to print.
    let frame = r#"{"type":"trade","data":[{"s":"A","p":1,"t":1575526980000,"v":1}]}"#;
    broker.produce([(0, frame.as_bytes())].into_iter());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("nobody reads what is printed any more") && !stderr.contains("panic"),
        "{stderr}"
    );
}
