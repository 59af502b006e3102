//! `--files`: a CSV, Parquet or JSON file is a table of the SQL without a declaration there.

use super::*;

/// The tables and views of the main job.
fn tables() -> &'static str {
    let job: &'static str = include_str!("../../../sql/ohlc.sql");
    job.split_once("INSERT INTO ohlc").unwrap().0
}

const SELECT: &str = "SELECT sector, window.start AS minute, trades FROM (\n  \
    SELECT sectors.sector, tumble(interval '1 minute') AS window, count(*) AS trades\n  \
    FROM ticks JOIN sectors ON ticks.symbol = sectors.symbol GROUP BY 1, 2)";

fn run(shell: &Shell, sql: &str, files: &str) -> Ended {
    let broker = TestBroker::start(1);
    let frame = |symbol: &str, minute: i64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"{symbol}","p":1.5,"t":{time},"v":1}}]}}"#)
    };
    let frames = [("A", 0), ("B", 0), ("C", 0), ("A", 1)].map(|(s, minute)| frame(s, minute));
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
    std::fs::write(shell.path().join("job.sql"), sql).unwrap();
    let topic = format!("KAFKA_TOPIC={}", broker.topic);
    let line = [
        "--files",
        files,
        "job.sql",
        &topic,
        "--available-now",
        "--master=local[1]",
    ];
    shell.run(&line, &[("KAFKA_BROKER", &broker.bootstrap)])
}

fn undeclared() -> String {
    tables().to_owned() + SELECT
}

#[test]
fn a_file_is_a_table_of_its_own_name() {
    let shell = Shell::new()
        .with_file("Sectors.2026.csv", "symbol,sector\nA,tech\nB,energy\n")
        .with_file("log4j.properties", "a=b\n");
    let ended = run(&shell, &undeclared(), "Sectors.2026.csv,log4j.properties");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    expect![[r#"
         sector | minute              |    trades
        --------+---------------------+-----------
         tech   | 2019-12-05T06:18:00 |         1
         energy | 2019-12-05T06:18:00 |         1
         tech   | 2019-12-05T06:19:00 |         1
    "#]]
    .assert_eq(&ended.stdout);
    let warned = "--files: log4j.properties has no effect";
    assert!(ended.stderr.contains(warned), "{}", ended.stderr);

    let lines = "{\"symbol\":\"A\",\"sector\":\"tech\",\"since\":{\"year\":1999}}\n";
    let shell = Shell::new().with_file("x.ndjson", lines);
    let ended = run(&shell, &undeclared(), "x.ndjson#sectors");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    expect![[r#"
         sector | minute              |    trades
        --------+---------------------+-----------
         tech   | 2019-12-05T06:18:00 |         1
         tech   | 2019-12-05T06:19:00 |         1
    "#]]
    .assert_eq(&ended.stdout);
}

#[test]
fn what_the_sql_declares_is_not_taken_from_the_line() {
    let shell = Shell::new()
        .with_file("sectors.csv", "symbol,sector\nA,line\n")
        .with_file("declared.csv", "symbol,sector\nA,declared\n");
    let declared = "CREATE TABLE sectors (symbol TEXT, sector TEXT) WITH (connector = 'filesystem', type = 'source', path = 'declared.csv', format = 'csv');\n";
    let ended = run(
        &shell,
        &(declared.to_owned() + &undeclared()),
        "sectors.csv",
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("declared") && !ended.stdout.contains("line"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains("the SQL declares sectors itself"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_that_is_no_table_is_refused() {
    let shell = Shell::new().with_file("sectors.parquet", "symbol,sector\n");
    let ended = run(&shell, &undeclared(), "sectors.parquet");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("--files: sectors.parquet cannot be read"),
        "{}",
        ended.stderr
    );
    let shell = Shell::new().with_file("sectors.csv", "symbol,name\nA,x\n");
    let ended = run(&shell, &undeclared(), "sectors.csv");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("sector"), "{}", ended.stderr);
}
